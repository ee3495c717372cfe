-- Workspaces: the repositories in which sessions run, who may go there, and what sessions are given there.

-- A Git repository in which sessions run.
CREATE TABLE workspaces (
  id             uuid PRIMARY KEY,
  name           text NOT NULL CHECK (name <> '' AND length(name) <= 100),
  git_url        text NOT NULL DEFAULT '',         -- empty: a repository that Carillon makes itself
  default_branch text NOT NULL CHECK (default_branch <> ''),
  token_sealed   bytea,                            -- https access token, encrypted
  provider       text NOT NULL DEFAULT '',         -- default of its automations; empty: none
  model          text NOT NULL DEFAULT '',
  created_by     uuid REFERENCES users ON DELETE SET NULL,
  created_at     timestamptz NOT NULL,
  updated_at     timestamptz NOT NULL,
  removed_at     timestamptz,                      -- removed: its automations stay, and their runs fail saying so
  version        bigint NOT NULL DEFAULT 1,
  -- its forge; empty: known by the repository's address
  forge          text NOT NULL DEFAULT '' CHECK (forge IN ('', 'github', 'gitlab', 'gitea', 'azure')),
  forge_base     text NOT NULL DEFAULT '',         -- web address of a forge of one's own; empty: by the same
  forge_secret_sealed bytea,                       -- the secret that the forge's webhooks are verified with, encrypted
  -- confinement of its agents by bubblewrap
  sandbox        boolean NOT NULL DEFAULT false,
  sandbox_offline boolean NOT NULL DEFAULT false,  -- and have no network there
  -- after how many days without work its open sessions are closed; null: never
  idle_days      integer CHECK (idle_days BETWEEN 1 AND 3650),
  -- Remotes obey the policy for private networks. Those that were set before it did go on as they are, until their
  -- address is changed.
  remote_anywhere boolean NOT NULL DEFAULT false,
  -- paths of the workers' machines that its sandbox shows, read-only: absolute or below ~, one a line
  sandbox_shows  text NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX workspaces_name ON workspaces (lower(name)) WHERE removed_at IS NULL;
-- For the list of workspaces whose agents are not confined, by name.
CREATE INDEX workspaces_unconfined ON workspaces (lower(name), id) WHERE NOT sandbox AND removed_at IS NULL;

CREATE TABLE workspace_members (
  workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  PRIMARY KEY (workspace_id, user_id)
);
CREATE INDEX workspace_members_user ON workspace_members (user_id);

-- Environment of the sessions of a workspace. A secret has only its sealed form.
CREATE TABLE workspace_variables (
  workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  name         text NOT NULL CHECK (name ~ '^[A-Za-z_][A-Za-z0-9_]*$' AND length(name) <= 100),
  secret       boolean NOT NULL,
  value        text NOT NULL DEFAULT '',
  sealed       bytea,
  PRIMARY KEY (workspace_id, name),
  CHECK (secret = (sealed IS NOT NULL)),
  CHECK (NOT secret OR value = '')
);
