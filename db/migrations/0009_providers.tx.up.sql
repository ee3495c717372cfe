-- Providers: tried by a person, paused while their vendor refuses, and the models that they refuse.

-- The newest trial of a provider: one real turn in a folder that is thrown away. A worker takes it by writing who.
CREATE TABLE provider_trials (
  provider     text PRIMARY KEY,
  requested_by uuid REFERENCES users ON DELETE SET NULL,
  requested_at timestamptz NOT NULL,
  worker       text NOT NULL DEFAULT '',
  started_at   timestamptz,
  finished_at  timestamptz,
  error_class  text NOT NULL DEFAULT '',           -- empty, of a finished one: it worked
  reason       text NOT NULL DEFAULT '',
  answer       text NOT NULL DEFAULT '',
  usage        jsonb,                              -- null: the agent did not tell
  CHECK (finished_at IS NULL OR started_at IS NOT NULL)
);

-- Trouble that is the provider's and not a task's: not signed in, or a quota used up. The row lasts from the first
-- failure until a run succeeds again; starts wait until the time given, and after it one run at a time tries. It
-- concerns one account of the provider: the server's, or the own one of a workspace whose variables sign the agent in.
CREATE TABLE provider_pauses (
  provider     text NOT NULL,
  since        timestamptz NOT NULL,
  until        timestamptz NOT NULL,
  failed_at    timestamptz NOT NULL,               -- the newest failure that counted
  failures     integer NOT NULL CHECK (failures > 0),
  error_class  text NOT NULL,
  reason       text NOT NULL,
  workspace_id uuid REFERENCES workspaces ON DELETE CASCADE, -- null: the server's account
  keys         text[] NOT NULL DEFAULT '{}'        -- patterns of LIKE for the variables that sign the provider in
);
CREATE UNIQUE INDEX provider_pauses_account
  ON provider_pauses (provider, coalesce(workspace_id, '00000000-0000-0000-0000-000000000000'));
-- The pauses of a workspace, for when it is deleted.
CREATE INDEX provider_pauses_workspace ON provider_pauses (workspace_id) WHERE workspace_id IS NOT NULL;

-- Models that a provider refused to the server's account, until it takes them again. A refusal concerns that model
-- alone: the provider is not paused for it.
CREATE TABLE refused_models (
  provider   text NOT NULL,
  model      text NOT NULL,
  refused_at timestamptz NOT NULL,                 -- the newest time
  reason     text NOT NULL,
  PRIMARY KEY (provider, model)
);
-- What is forgotten by its age.
CREATE INDEX refused_models_at ON refused_models (refused_at);
