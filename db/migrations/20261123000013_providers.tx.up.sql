-- Providers: tried by a person, paused while their vendor refuses, retried; sessions that go on; sandboxes.

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
--bun:split
-- Trouble that is the provider's and not a task's: not signed in, or a quota used up. The row lasts from the first failure
-- until a run succeeds again; starts wait until the time given, and after it one run at a time tries.
CREATE TABLE provider_pauses (
  provider    text PRIMARY KEY,
  since       timestamptz NOT NULL,
  until       timestamptz NOT NULL,
  failed_at   timestamptz NOT NULL,                -- the newest failure that counted
  failures    integer NOT NULL CHECK (failures > 0),
  error_class text NOT NULL,
  reason      text NOT NULL
);
--bun:split
-- An attempt of a run that failed in a way that passes by itself, and after which the run was tried again.
CREATE TABLE execution_attempts (
  execution_id uuid NOT NULL REFERENCES executions ON DELETE CASCADE,
  attempt      integer NOT NULL CHECK (attempt > 0),
  turn_id      uuid REFERENCES turns ON DELETE SET NULL,
  failed_at    timestamptz NOT NULL,
  retry_at     timestamptz NOT NULL,
  error_class  text NOT NULL,
  reason       text NOT NULL,
  PRIMARY KEY (execution_id, attempt)
);
--bun:split
CREATE INDEX execution_attempts_turn ON execution_attempts (turn_id) WHERE turn_id IS NOT NULL;
--bun:split
ALTER TABLE automations ADD COLUMN retries integer NOT NULL DEFAULT 2 CHECK (retries BETWEEN 0 AND 10);
--bun:split
ALTER TABLE sessions
  ADD COLUMN interrupt_requested_at timestamptz,   -- the turn at work is to end, and the session to stay open
  ADD COLUMN interrupt_requested_by uuid REFERENCES users ON DELETE SET NULL,
  ADD COLUMN forget boolean NOT NULL DEFAULT false; -- Reset Context: the next turn begins a new conversation
--bun:split
-- Confinement of a workspace's agents by bubblewrap.
ALTER TABLE workspaces
  ADD COLUMN sandbox boolean NOT NULL DEFAULT false,
  ADD COLUMN sandbox_offline boolean NOT NULL DEFAULT false; -- and have no network there
