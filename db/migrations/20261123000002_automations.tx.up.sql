-- Workspaces, automations, executions, sessions: what Carillon is for.

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
  version        bigint NOT NULL DEFAULT 1
);
--bun:split
CREATE UNIQUE INDEX workspaces_name ON workspaces (lower(name)) WHERE removed_at IS NULL;
--bun:split
CREATE TABLE workspace_members (
  workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  PRIMARY KEY (workspace_id, user_id)
);
--bun:split
CREATE INDEX workspace_members_user ON workspace_members (user_id);
--bun:split
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
--bun:split
-- A prepared sequence of steps with parameters.
CREATE TABLE workflows (
  id           uuid PRIMARY KEY,
  workspace_id uuid REFERENCES workspaces ON DELETE CASCADE, -- null: for all workspaces
  name         text NOT NULL CHECK (name <> '' AND length(name) <= 200),
  description  text NOT NULL DEFAULT '',
  steps        jsonb NOT NULL DEFAULT '[]',
  parameters   jsonb NOT NULL DEFAULT '[]',
  created_by   uuid REFERENCES users ON DELETE SET NULL,
  created_at   timestamptz NOT NULL,
  updated_at   timestamptz NOT NULL,
  version      bigint NOT NULL DEFAULT 1
);
--bun:split
-- Instructions with a provider and limits, to whom a session may be given.
CREATE TABLE bots (
  id            uuid PRIMARY KEY,
  workspace_id  uuid REFERENCES workspaces ON DELETE CASCADE, -- null: for all workspaces
  name          text NOT NULL CHECK (name <> '' AND length(name) <= 200),
  instructions  text NOT NULL DEFAULT '',
  provider      text NOT NULL DEFAULT '',
  model         text NOT NULL DEFAULT '',
  locks_agent   boolean NOT NULL DEFAULT false,     -- provider and model cannot be chosen elsewhere
  allowed_tools text[] NOT NULL DEFAULT '{}',
  read_only     boolean NOT NULL DEFAULT false,
  enabled       boolean NOT NULL DEFAULT true,
  created_by    uuid REFERENCES users ON DELETE SET NULL,
  created_at    timestamptz NOT NULL,
  updated_at    timestamptz NOT NULL,
  version       bigint NOT NULL DEFAULT 1
);
--bun:split
CREATE TABLE automations (
  id             uuid PRIMARY KEY,
  workspace_id   uuid NOT NULL REFERENCES workspaces ON DELETE RESTRICT,
  creator_id     uuid NOT NULL REFERENCES users ON DELETE RESTRICT,
  name           text NOT NULL CHECK (name <> '' AND length(name) <= 200),
  -- what starts it
  trigger        text NOT NULL CHECK (trigger IN ('manual', 'one_time', 'recurring', 'loop', 'http')),
  run_at         timestamptz,                      -- one_time: the instant chosen
  cron           text NOT NULL DEFAULT '',         -- recurring: five fields
  time_zone      text NOT NULL DEFAULT '',         -- recurring, one_time: IANA name
  max_iterations integer CHECK (max_iterations > 0), -- loop: stop after so many; null: no limit
  stop_text      text NOT NULL DEFAULT '',         -- loop: stop when the final answer contains it
  iterations     integer NOT NULL DEFAULT 0,       -- loop: runs since it was last enabled
  next_run_at    timestamptz,                      -- the schedule: the one time at which it is next due
  scheduled_since timestamptz,                     -- when the schedule began to hold; due times before it need no row
  catch_up       boolean NOT NULL DEFAULT false,   -- Auto-Execute Missed Runs on Startup
  allow_parallel boolean NOT NULL DEFAULT false,   -- http: bypass the guard
  max_parallel   integer NOT NULL DEFAULT 10 CHECK (max_parallel BETWEEN 1 AND 1000),
  -- what it runs
  session_type   text NOT NULL CHECK (session_type IN ('develop', 'chat', 'bot')),
  execution_type text NOT NULL CHECK (execution_type IN ('inline', 'workflow')),
  prompt         text NOT NULL DEFAULT '',
  workflow_id    uuid REFERENCES workflows ON DELETE SET NULL, -- removed: the automation stays and says so
  bot_id         uuid REFERENCES bots ON DELETE SET NULL,
  parameters     jsonb NOT NULL DEFAULT '{}',      -- stored values of placeholders or workflow parameters
  base_branch    text NOT NULL DEFAULT '',         -- empty: the workspace's default
  provider       text NOT NULL DEFAULT '',
  model          text NOT NULL DEFAULT '',
  toggles        text[] NOT NULL DEFAULT '{}',
  auto_complete  boolean NOT NULL DEFAULT false,
  only_unchanged boolean NOT NULL DEFAULT false,   -- Complete only if no file changes
  timeout_seconds integer NOT NULL DEFAULT 21600 CHECK (timeout_seconds BETWEEN 0 AND 2592000), -- 0: none
  -- how it fares
  enabled        boolean NOT NULL,
  disabled_kind  text NOT NULL DEFAULT '' CHECK (disabled_kind IN ('', 'person', 'failures', 'finished', 'missed', 'removed', 'invalid')),
  disabled_reason text NOT NULL DEFAULT '',
  disabled_at    timestamptz,
  failure_streak integer NOT NULL DEFAULT 0,
  skip_id        uuid,                             -- the row of the skip streak that is going on
  version        bigint NOT NULL DEFAULT 1,        -- of what people edit; tells two editors apart
  created_at     timestamptz NOT NULL,
  updated_at     timestamptz NOT NULL,

  CONSTRAINT automations_recurring CHECK ((trigger = 'recurring') = (cron <> '')),
  CONSTRAINT automations_one_time  CHECK ((trigger = 'one_time') = (run_at IS NOT NULL)),
  CONSTRAINT automations_zone      CHECK ((trigger IN ('recurring', 'one_time')) = (time_zone <> '')),
  CONSTRAINT automations_loop      CHECK (trigger = 'loop' OR (max_iterations IS NULL AND stop_text = '')),
  CONSTRAINT automations_catch_up  CHECK (NOT catch_up OR trigger = 'recurring'),
  CONSTRAINT automations_parallel  CHECK (NOT allow_parallel OR trigger = 'http'),
  CONSTRAINT automations_http      CHECK (trigger <> 'http' OR enabled), -- cannot be disabled
  CONSTRAINT automations_schedule  CHECK (next_run_at IS NULL OR (enabled AND trigger IN ('one_time', 'recurring', 'loop'))),
  CONSTRAINT automations_workflow  CHECK (execution_type = 'inline' OR session_type = 'develop'),
  CONSTRAINT automations_workflow_id CHECK (workflow_id IS NULL OR execution_type = 'workflow'),
  CONSTRAINT automations_bot_id    CHECK (bot_id IS NULL OR session_type = 'bot'),
  CONSTRAINT automations_unchanged CHECK (NOT only_unchanged OR (auto_complete AND session_type = 'develop')),
  CONSTRAINT automations_prompt    CHECK (execution_type = 'workflow' OR prompt <> ''),
  CONSTRAINT automations_toggles   CHECK (session_type = 'develop' OR toggles = '{}')
) WITH (fillfactor = 70);                          -- room for next_run_at to move without touching indexes' pages
--bun:split
CREATE INDEX automations_due ON automations (next_run_at, id) WHERE enabled AND next_run_at IS NOT NULL;
--bun:split
CREATE INDEX automations_workspace ON automations (workspace_id, lower(name), id);
--bun:split
CREATE INDEX automations_creator ON automations (creator_id);
--bun:split
CREATE INDEX automations_bot ON automations (bot_id) WHERE bot_id IS NOT NULL;
--bun:split
CREATE INDEX automations_workflow_used ON automations (workflow_id) WHERE workflow_id IS NOT NULL;
--bun:split
-- The secrets of HTTP Trigger automations: only their hash. More than one while a regenerated one has a grace.
CREATE TABLE trigger_tokens (
  hash          bytea PRIMARY KEY CHECK (octet_length(hash) = 32), -- SHA-256 of the token
  automation_id uuid NOT NULL REFERENCES automations ON DELETE CASCADE,
  created_by    uuid REFERENCES users ON DELETE SET NULL,
  created_at    timestamptz NOT NULL,
  expires_at    timestamptz                        -- null: the current one
);
--bun:split
CREATE UNIQUE INDEX trigger_tokens_current ON trigger_tokens (automation_id) WHERE expires_at IS NULL;
--bun:split
CREATE INDEX trigger_tokens_automation ON trigger_tokens (automation_id);
--bun:split
-- One conversation with one coding agent in a worktree of its own. A session is also the unit of work that a
-- worker takes: worker, fence and lease_until say which process has it, and since which taking.
CREATE TABLE sessions (
  id            uuid PRIMARY KEY,
  workspace_id  uuid NOT NULL REFERENCES workspaces ON DELETE RESTRICT,
  automation_id uuid REFERENCES automations ON DELETE SET NULL,
  owner_id      uuid NOT NULL REFERENCES users ON DELETE RESTRICT,
  bot_id        uuid REFERENCES bots ON DELETE SET NULL,
  type          text NOT NULL CHECK (type IN ('develop', 'chat', 'bot')),
  title         text NOT NULL,
  status        text NOT NULL CHECK (status IN ('queued', 'in_progress', 'waiting', 'done', 'canceled')),
  provider      text NOT NULL,
  model         text NOT NULL DEFAULT '',
  base_branch   text NOT NULL DEFAULT '',
  branch        text NOT NULL DEFAULT '',          -- the session's own, once its worktree exists
  base_commit   text NOT NULL DEFAULT '',          -- what changes are counted from
  conversation  text NOT NULL DEFAULT '',          -- the agent's own id, for the next turn
  files_changed integer NOT NULL DEFAULT 0,
  lines_added   integer NOT NULL DEFAULT 0,
  lines_removed integer NOT NULL DEFAULT 0,
  diff          text NOT NULL DEFAULT '',          -- against base_commit, as of the end of the last turn
  diff_cut      boolean NOT NULL DEFAULT false,    -- the diff was too long to keep whole
  last_seq      bigint NOT NULL DEFAULT 0,         -- the newest event
  created_at    timestamptz NOT NULL,
  queued_at     timestamptz,                       -- since when it waits for a worker
  started_at    timestamptz,
  ended_at      timestamptz,                       -- end of the last turn
  closed_at     timestamptz,                       -- done or canceled
  closed_by     uuid REFERENCES users ON DELETE SET NULL, -- null: Carillon itself
  worktree_removed_at timestamptz,
  worker        text NOT NULL DEFAULT '',
  fence         bigint NOT NULL DEFAULT 0,
  lease_until   timestamptz,
  cancel_requested_at timestamptz,
  cancel_requested_by uuid REFERENCES users ON DELETE SET NULL,
  CHECK ((status = 'queued') = (queued_at IS NOT NULL)),
  CHECK ((status = 'in_progress') = (lease_until IS NOT NULL)),
  CHECK ((status IN ('done', 'canceled')) = (closed_at IS NOT NULL))
);
--bun:split
CREATE INDEX sessions_queue ON sessions (queued_at, id) WHERE status = 'queued';
--bun:split
CREATE INDEX sessions_leases ON sessions (lease_until) WHERE status = 'in_progress';
--bun:split
CREATE INDEX sessions_workspace ON sessions (workspace_id, id DESC);
--bun:split
CREATE INDEX sessions_automation ON sessions (automation_id, id DESC) WHERE automation_id IS NOT NULL;
--bun:split
CREATE INDEX sessions_worktrees ON sessions (closed_at) WHERE closed_at IS NOT NULL AND worktree_removed_at IS NULL;
--bun:split
-- One firing of one automation, or one due time that came to nothing: skipped and missed are rows too.
CREATE TABLE executions (
  id            uuid PRIMARY KEY,
  automation_id uuid NOT NULL REFERENCES automations ON DELETE CASCADE,
  -- null: never came to one. The execution is written first, since the guards below decide whether there is a session.
  session_id    uuid UNIQUE REFERENCES sessions ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
  source        text CHECK (source IN ('schedule', 'manual', 'webhook')), -- null: written before attribution existed
  mark          text NOT NULL DEFAULT '' CHECK (mark IN ('', 'loop', 'catch_up', 'replay')),
  user_id       uuid REFERENCES users ON DELETE SET NULL, -- manual: who
  token_fingerprint text NOT NULL DEFAULT '',      -- webhook: first 8 hex digits of the token's hash
  status        text NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'canceled', 'timed_out', 'skipped', 'missed')),
  parallel      boolean NOT NULL DEFAULT false,    -- started past the guard
  neutral       boolean NOT NULL DEFAULT false,    -- ended without counting for or against the automation
  reason        text NOT NULL DEFAULT '',          -- why it failed, was skipped or missed
  error_class   text NOT NULL DEFAULT '',          -- start, auth, model, rate_limit, transient, agent, timeout, ...
  exit_code     integer,
  blocked_by    uuid,                              -- skipped: the execution that was in flight
  scheduled_for timestamptz,                       -- schedule: the due time
  skip_count    integer NOT NULL DEFAULT 0,        -- skipped, missed: how many due times this row stands for
  last_skipped_for timestamptz,                    -- the newest of them
  iteration     integer NOT NULL DEFAULT 0,        -- loop: which one
  answer        text NOT NULL DEFAULT '',          -- the agent's final answer
  parameters    jsonb NOT NULL DEFAULT '{}',       -- the values with which it ran
  unresolved    text[],                            -- placeholders nobody supplied; null: a workflow
  snapshot      jsonb NOT NULL DEFAULT '{}',       -- the automation as it was: later edits change later runs only
  created_at    timestamptz NOT NULL,
  started_at    timestamptz,
  finished_at   timestamptz,
  CHECK ((status IN ('queued', 'running')) = (finished_at IS NULL)),
  CHECK (status <> 'running' OR started_at IS NOT NULL),
  CHECK (source = 'manual' OR user_id IS NULL),
  CHECK (source = 'webhook' OR token_fingerprint = ''),
  CHECK ((status IN ('skipped', 'missed')) = (skip_count > 0))
);
--bun:split
-- The guard against overlap: of an automation, one execution in flight.
CREATE UNIQUE INDEX executions_one_in_flight ON executions (automation_id) WHERE status IN ('queued', 'running') AND NOT parallel;
--bun:split
-- A due time is answered once, by however many schedulers.
CREATE UNIQUE INDEX executions_once ON executions (automation_id, scheduled_for) WHERE source = 'schedule';
--bun:split
CREATE INDEX executions_in_flight ON executions (automation_id) WHERE status IN ('queued', 'running');
--bun:split
CREATE INDEX executions_automation ON executions (automation_id, id DESC);
--bun:split
CREATE INDEX executions_failed ON executions (id DESC) WHERE status IN ('failed', 'timed_out');
--bun:split
CREATE INDEX executions_user ON executions (user_id, id DESC) WHERE user_id IS NOT NULL;
--bun:split
-- One message to the agent and its answer. A session with a queued turn and no worker is itself queued.
CREATE TABLE turns (
  id           uuid PRIMARY KEY,
  session_id   uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
  execution_id uuid REFERENCES executions ON DELETE SET NULL, -- null: a person's reply
  position     integer NOT NULL,
  kind         text NOT NULL CHECK (kind IN ('prompt', 'reply', 'step', 'review', 'verification')),
  label        text NOT NULL DEFAULT '',
  author_id    uuid REFERENCES users ON DELETE SET NULL,
  prompt       text NOT NULL,
  status       text NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'canceled')),
  reason       text NOT NULL DEFAULT '',
  answer       text NOT NULL DEFAULT '',
  created_at   timestamptz NOT NULL,
  started_at   timestamptz,
  finished_at  timestamptz,
  UNIQUE (session_id, position)
);
--bun:split
CREATE INDEX turns_execution ON turns (execution_id) WHERE execution_id IS NOT NULL;
--bun:split
-- What the agent did and said, in order. Bounded per session by the runner.
CREATE TABLE session_events (
  session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
  seq        bigint NOT NULL,
  turn_id    uuid NOT NULL,
  at         timestamptz NOT NULL,
  kind       text NOT NULL,
  body       jsonb NOT NULL,
  PRIMARY KEY (session_id, seq)
);
--bun:split
CREATE TABLE notifications (
  id            uuid PRIMARY KEY,
  user_id       uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  kind          text NOT NULL,
  title         text NOT NULL,
  body          text NOT NULL DEFAULT '',
  automation_id uuid REFERENCES automations ON DELETE SET NULL,
  execution_id  uuid REFERENCES executions ON DELETE SET NULL,
  session_id    uuid REFERENCES sessions ON DELETE SET NULL,
  link          text NOT NULL DEFAULT '',          -- outside link, such as a pull request
  dedup_key     text NOT NULL,                     -- the same thing is told once
  created_at    timestamptz NOT NULL,
  read_at       timestamptz,
  starred_at    timestamptz,
  dismissed_at  timestamptz
);
--bun:split
CREATE UNIQUE INDEX notifications_once ON notifications (user_id, dedup_key);
--bun:split
CREATE INDEX notifications_list ON notifications (user_id, id DESC) WHERE dismissed_at IS NULL;
--bun:split
CREATE INDEX notifications_unread ON notifications (user_id) WHERE read_at IS NULL AND dismissed_at IS NULL;
