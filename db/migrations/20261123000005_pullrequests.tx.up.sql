-- Pull requests: what sessions led to, where it stands, and the forge of a workspace.

ALTER TABLE workspaces
  ADD COLUMN forge               text NOT NULL DEFAULT '' CHECK (forge IN ('', 'github', 'gitlab', 'gitea', 'azure')), -- empty: known by the repository's address
  ADD COLUMN forge_base          text NOT NULL DEFAULT '', -- web address of a forge of one's own; empty: by the repository's address
  ADD COLUMN forge_secret_sealed bytea;                    -- the secret that the forge's webhooks are verified with, encrypted
--bun:split
ALTER TABLE automations
  ADD COLUMN create_pr boolean NOT NULL DEFAULT false; -- open a pull request after a successful run with changes
--bun:split
ALTER TABLE sessions
  ADD COLUMN pr_requested_at timestamptz,                               -- a pull request is to be opened by the worker that has the worktree
  ADD COLUMN pr_requested_by uuid REFERENCES users ON DELETE SET NULL,  -- null: the automation's own option
  ADD COLUMN pr_error        text NOT NULL DEFAULT '',                  -- why the last one could not be opened, as a sentence
  ADD COLUMN pr_checked_at   timestamptz,                               -- when the forge was last asked for one by the branch
  ADD COLUMN pr_changed_at   timestamptz;                               -- when anything about its pull requests last changed
--bun:split
CREATE INDEX sessions_pr_requested ON sessions (worker, pr_requested_at) WHERE pr_requested_at IS NOT NULL;
--bun:split
CREATE INDEX sessions_branch ON sessions (workspace_id, branch) WHERE branch <> '';
--bun:split
CREATE TABLE pull_requests (
  id             uuid PRIMARY KEY,
  session_id     uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
  forge          text NOT NULL CHECK (forge IN ('github', 'gitlab', 'gitea', 'azure')),
  repository     text NOT NULL,
  number         bigint NOT NULL CHECK (number > 0),
  url            text NOT NULL,
  key            text NOT NULL,                   -- host, repository and number: equal for equal ones
  title          text NOT NULL DEFAULT '',
  branch         text NOT NULL DEFAULT '',
  state          text NOT NULL CHECK (state IN ('open', 'merged', 'closed')),
  found_by       text NOT NULL CHECK (found_by IN ('output', 'branch', 'hand', 'created', 'webhook')),
  created_at     timestamptz NOT NULL,            -- of this row
  updated_at     timestamptz NOT NULL,
  remote_at      timestamptz,                     -- the forge's last change that is known; what comes late is told by it
  checked_at     timestamptz,                     -- when the forge was last asked
  settled_at     timestamptz,                     -- when its end was applied to the session
  problem        text NOT NULL DEFAULT '',        -- why the forge could not be asked, as a sentence
  UNIQUE (session_id, key)
);
--bun:split
CREATE INDEX pull_requests_number ON pull_requests (forge, lower(repository), number);
--bun:split
CREATE INDEX pull_requests_open ON pull_requests (checked_at NULLS FIRST) WHERE state = 'open';
