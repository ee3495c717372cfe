-- Pull requests: what sessions led to, and where it stands.

-- One that an agent only wrote of (found_by 'output') counts for nothing until its branch is known to be the session's.
CREATE TABLE pull_requests (
  id             uuid PRIMARY KEY,
  session_id     uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
  forge          text NOT NULL CHECK (forge IN ('github', 'gitlab', 'gitea', 'azure')),
  repository     text NOT NULL,
  number         bigint NOT NULL CHECK (number > 0),
  url            text NOT NULL,
  key            text NOT NULL,                    -- host, repository and number: equal for equal ones
  title          text NOT NULL DEFAULT '',
  branch         text NOT NULL DEFAULT '',
  state          text NOT NULL CHECK (state IN ('open', 'merged', 'closed')),
  found_by       text NOT NULL CHECK (found_by IN ('output', 'branch', 'hand', 'created', 'webhook')),
  created_at     timestamptz NOT NULL,             -- of this row
  updated_at     timestamptz NOT NULL,
  -- the forge's last change that is known; what comes late is told by it
  remote_at      timestamptz,
  checked_at     timestamptz,                      -- when the forge was last asked
  settled_at     timestamptz,                      -- when its end was applied to the session
  problem        text NOT NULL DEFAULT '',         -- why the forge could not be asked, as a sentence
  UNIQUE (session_id, key)
);
CREATE INDEX pull_requests_number ON pull_requests (forge, lower(repository), number);
CREATE INDEX pull_requests_open ON pull_requests (checked_at NULLS FIRST) WHERE state = 'open';
