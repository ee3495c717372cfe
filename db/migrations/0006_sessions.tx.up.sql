-- Sessions, the executions that launch them, and what is said in them.

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
  -- its pull requests
  pr_requested_at timestamptz,                     -- one is to be opened by the worker that has the worktree
  pr_requested_by uuid REFERENCES users ON DELETE SET NULL, -- null: the automation's own option
  pr_error      text NOT NULL DEFAULT '',          -- why the last one could not be opened, as a sentence
  pr_checked_at timestamptz,                       -- when the forge was last asked for one by the branch
  pr_changed_at timestamptz,                       -- when anything about its pull requests last changed
  -- When the changed files were last listed. NULL: not since the agent last began, so what stands there may not be all.
  changes_at    timestamptz,
  interrupt_requested_at timestamptz,              -- the turn at work is to end, and the session to stay open
  interrupt_requested_by uuid REFERENCES users ON DELETE SET NULL,
  forget        boolean NOT NULL DEFAULT false,    -- Reset Context: the next turn begins a new conversation
  -- When a person opened a closed session again: it is not idle since its work ended.
  reopened_at   timestamptz,
  -- The turn that was at work when somebody asked to end it: a word that arrives late ends no other. Null: none was. Of
  -- a run all turns are meant, so that cancel_turn is of people's messages alone.
  interrupt_turn uuid,
  cancel_turn   uuid,
  at_work_since timestamptz,                       -- when its worker took it
  resumes       integer NOT NULL DEFAULT 0,        -- how often a worker was lost during the work that goes on
  -- what its worktree holds beside changed files
  commits       integer NOT NULL DEFAULT 0,        -- that its base does not have, as of its last turn
  stashes       integer NOT NULL DEFAULT 0,        -- what it has put on its stash
  -- ignored files and folders: no change, and kept as long as changed files are
  ignored_files integer NOT NULL DEFAULT 0,
  made_branches text NOT NULL DEFAULT '',          -- that the agent made beside the session's own, one a line
  -- what was lost when it moved to another worker, as sentences for a person
  not_saved     text NOT NULL DEFAULT '',
  -- How often a person's message could not be given to the agent, since something that surrounds it could not be used:
  -- the network, a lock in the repository, the disk. It is tried again a few times; a run has its attempts for that.
  outages       integer NOT NULL DEFAULT 0,
  -- Whether its run has yet to pass its gate. Judging a gate takes no agent's place, so these sessions have a queue of
  -- their own.
  at_gate       boolean NOT NULL DEFAULT false,
  -- Whose words it acts on: everybody who had a word in what it was started with, the owner of its automation first.
  -- Authors of messages are with those.
  people        uuid[] NOT NULL DEFAULT '{}',
  CHECK ((status = 'queued') = (queued_at IS NOT NULL)),
  CHECK ((status = 'in_progress') = (lease_until IS NOT NULL)),
  CHECK ((status IN ('done', 'canceled')) = (closed_at IS NOT NULL))
);
CREATE INDEX sessions_queue ON sessions (queued_at, id) WHERE status = 'queued';
CREATE INDEX sessions_gates ON sessions (queued_at, id) WHERE status = 'queued' AND at_gate;
CREATE INDEX sessions_leases ON sessions (lease_until) WHERE status = 'in_progress';
CREATE INDEX sessions_workspace ON sessions (workspace_id, id DESC);
CREATE INDEX sessions_automation ON sessions (automation_id, id DESC) WHERE automation_id IS NOT NULL;
CREATE INDEX sessions_owner ON sessions (owner_id, id DESC);
CREATE INDEX sessions_bot ON sessions (bot_id) WHERE bot_id IS NOT NULL;
CREATE INDEX sessions_worktrees ON sessions (closed_at) WHERE closed_at IS NOT NULL AND worktree_removed_at IS NULL;
-- The look for sessions that are idle, per workspace.
CREATE INDEX sessions_idle ON sessions (workspace_id, (greatest(ended_at, reopened_at, created_at)))
  WHERE status = 'waiting';
CREATE INDEX sessions_pr_requested ON sessions (worker, pr_requested_at) WHERE pr_requested_at IS NOT NULL;
CREATE INDEX sessions_branch ON sessions (workspace_id, branch) WHERE branch <> '';

-- Workers that a session was taken away from while they were silent. Each removes its worktree when it comes back.
CREATE TABLE session_moves (
  session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
  worker     text NOT NULL,
  name       text NOT NULL DEFAULT '',             -- of its machine; empty where it was forgotten
  seen_at    timestamptz,                          -- when the worker was seen last
  -- the session's fence then: one higher at the next claim, the session was nowhere else
  fence      bigint NOT NULL,
  at         timestamptz NOT NULL,
  PRIMARY KEY (session_id, worker)
);
CREATE INDEX session_moves_worker ON session_moves (worker);

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
  status        text NOT NULL
    CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'canceled', 'timed_out', 'skipped', 'missed')),
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
  -- the sums over its turns, kept since budgets ask for them at every start
  turns         integer NOT NULL DEFAULT 0,        -- that have begun
  counted       integer NOT NULL DEFAULT 0,        -- of those, whose tokens are known
  priced        integer NOT NULL DEFAULT 0,        -- of those, whose price is known
  tokens_in     bigint NOT NULL DEFAULT 0,
  tokens_cached bigint NOT NULL DEFAULT 0,
  tokens_out    bigint NOT NULL DEFAULT 0,
  cost_usd      double precision NOT NULL DEFAULT 0,
  result        text NOT NULL DEFAULT '' CHECK (result IN ('', 'nothing_to_do')), -- of a success: a kind of its own
  -- the time at work of earlier attempts and before resumes: a timeout counts it, and no time of waiting
  worked_seconds double precision NOT NULL DEFAULT 0,
  CHECK ((status IN ('queued', 'running')) = (finished_at IS NULL)),
  CHECK (status <> 'running' OR started_at IS NOT NULL),
  CHECK (source = 'manual' OR user_id IS NULL),
  CHECK (source = 'webhook' OR token_fingerprint = ''),
  CHECK ((status IN ('skipped', 'missed')) = (skip_count > 0))
);
-- The guard against overlap: of an automation, one execution in flight.
CREATE UNIQUE INDEX executions_one_in_flight ON executions (automation_id)
  WHERE status IN ('queued', 'running') AND NOT parallel;
-- A due time is answered once, by however many schedulers.
CREATE UNIQUE INDEX executions_once ON executions (automation_id, scheduled_for) WHERE source = 'schedule';
CREATE INDEX executions_in_flight ON executions (automation_id) WHERE status IN ('queued', 'running');
CREATE INDEX executions_automation ON executions (automation_id, id DESC);
CREATE INDEX executions_failed ON executions (id DESC) WHERE status IN ('failed', 'timed_out');
CREATE INDEX executions_user ON executions (user_id, id DESC) WHERE user_id IS NOT NULL;
-- The history narrowed to runs that found nothing to do.
CREATE INDEX executions_nothing_to_do ON executions (id DESC) WHERE result = 'nothing_to_do';

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
  -- what it used, as its agent told; not told is unknown, which is why there are flags beside the numbers
  conversation text NOT NULL DEFAULT '',           -- the agent's own id; some agents tell sums over all of it
  counted      boolean NOT NULL DEFAULT false,     -- the agent told its tokens
  priced       boolean NOT NULL DEFAULT false,     -- the agent told its price
  tokens_in    bigint NOT NULL DEFAULT 0 CHECK (tokens_in >= 0), -- that came from no cache
  tokens_cached bigint NOT NULL DEFAULT 0 CHECK (tokens_cached >= 0), -- read from a cache
  tokens_out   bigint NOT NULL DEFAULT 0 CHECK (tokens_out >= 0),
  cost_usd     double precision NOT NULL DEFAULT 0 CHECK (cost_usd >= 0 AND cost_usd < 1e12),
  -- A step of a workflow that Carillon takes itself, such as Asset or Clear Context: no message to the agent, so that
  -- it counts as none and uses nothing.
  own          boolean NOT NULL DEFAULT false,
  -- The last event of the session when the turn ended. An event of the turn behind it was written by who had lost the
  -- session. NULL: the turn has not ended, or ended before this was noted.
  ended_seq    bigint,
  UNIQUE (session_id, position)
);
CREATE INDEX turns_execution ON turns (execution_id) WHERE execution_id IS NOT NULL;
-- Usage of a month is read by when turns ended.
CREATE INDEX turns_finished ON turns (finished_at) WHERE finished_at IS NOT NULL;

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
CREATE INDEX execution_attempts_turn ON execution_attempts (turn_id) WHERE turn_id IS NOT NULL;

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
-- The newest words of a message, by which a check finds those that came after its end.
CREATE INDEX session_events_turn ON session_events (turn_id, at);

-- The secret by which the agent of a session asks the MCP server: only its hash. It is good while the turn runs that it
-- was made for, and the worker that made it holds the session.
CREATE TABLE session_tokens (
  hash       bytea PRIMARY KEY CHECK (octet_length(hash) = 32), -- SHA-256 of the token
  session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
  turn_id    uuid NOT NULL REFERENCES turns ON DELETE CASCADE,
  fence      bigint NOT NULL,
  created_at timestamptz NOT NULL
);
CREATE INDEX session_tokens_session ON session_tokens (session_id);
CREATE INDEX session_tokens_turn ON session_tokens (turn_id);

-- Calls of tools that a session was refused, each kind once, until its worker has written them into the transcript.
CREATE TABLE refused_calls (
  session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
  tool       text NOT NULL,
  reason     text NOT NULL,
  times      integer NOT NULL DEFAULT 1,
  at         timestamptz NOT NULL,                 -- the first time
  PRIMARY KEY (session_id, tool, reason)
);
