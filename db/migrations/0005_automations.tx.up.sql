-- Automations: what starts them, what they run, how they fare.

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
  max_parallel   integer CHECK (max_parallel BETWEEN 1 AND 1000), -- null: no cap, unless a person gives one
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
  disabled_kind  text NOT NULL DEFAULT ''
    CHECK (disabled_kind IN ('', 'person', 'failures', 'finished', 'missed', 'removed', 'invalid')),
  disabled_reason text NOT NULL DEFAULT '',
  disabled_at    timestamptz,
  failure_streak integer NOT NULL DEFAULT 0,
  skip_id        uuid,                             -- the row of the skip streak that is going on
  version        bigint NOT NULL DEFAULT 1,        -- of what people edit; tells two editors apart
  created_at     timestamptz NOT NULL,
  updated_at     timestamptz NOT NULL,
  -- http: which calls are taken
  sender         text NOT NULL DEFAULT ''          -- signed calls only; empty: the token is enough
    CHECK (sender IN ('', 'github', 'gitlab', 'gitea', 'standard', 'hmac')),
  signature_header text NOT NULL DEFAULT '',       -- hmac: where the signature is
  signature_sealed bytea,                          -- the secret shared with the sender, encrypted
  filter         jsonb NOT NULL DEFAULT '{}',      -- which payloads start a run
  append_payload boolean NOT NULL DEFAULT false,   -- the whole payload follows the prompt, fenced as data
  -- what its runs may do and have to pass
  create_pr      boolean NOT NULL DEFAULT false,   -- open a pull request after a successful run with changes
  may_automate   boolean NOT NULL DEFAULT false,   -- its sessions may create, edit and run automations
  retries        integer NOT NULL DEFAULT 2 CHECK (retries BETWEEN 0 AND 10),
  -- what must hold before a run begins, what must hold at its end, and the limits of a run, a day and a month
  gate           jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(gate) = 'object'),
  success        jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(success) = 'object'),
  budget         jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(budget) = 'object'),
  -- Whose words its sessions act on: who made it, and who last changed what it runs. The agent of a session may do what
  -- all of them may do, and no more. Each is a list, since an agent that makes or changes an automation acts on the
  -- words of several people.
  made_by        uuid[] NOT NULL DEFAULT '{}',
  changed_by     uuid[] NOT NULL DEFAULT '{}',

  CONSTRAINT automations_recurring CHECK ((trigger = 'recurring') = (cron <> '')),
  CONSTRAINT automations_one_time  CHECK ((trigger = 'one_time') = (run_at IS NOT NULL)),
  CONSTRAINT automations_zone      CHECK ((trigger IN ('recurring', 'one_time')) = (time_zone <> '')),
  CONSTRAINT automations_loop      CHECK (trigger = 'loop' OR (max_iterations IS NULL AND stop_text = '')),
  CONSTRAINT automations_catch_up  CHECK (NOT catch_up OR trigger = 'recurring'),
  CONSTRAINT automations_parallel  CHECK (NOT allow_parallel OR trigger = 'http'),
  CONSTRAINT automations_http      CHECK (trigger <> 'http' OR enabled), -- cannot be disabled
  CONSTRAINT automations_schedule
    CHECK (next_run_at IS NULL OR (enabled AND trigger IN ('one_time', 'recurring', 'loop'))),
  CONSTRAINT automations_workflow  CHECK (execution_type = 'inline' OR session_type = 'develop'),
  CONSTRAINT automations_workflow_id CHECK (workflow_id IS NULL OR execution_type = 'workflow'),
  CONSTRAINT automations_bot_id    CHECK (bot_id IS NULL OR session_type = 'bot'),
  CONSTRAINT automations_unchanged CHECK (NOT only_unchanged OR (auto_complete AND session_type = 'develop')),
  CONSTRAINT automations_prompt    CHECK (execution_type = 'workflow' OR prompt <> ''),
  CONSTRAINT automations_toggles   CHECK (session_type = 'develop' OR toggles = '{}'),
  CONSTRAINT automations_sender    CHECK ((sender = '') = (signature_sealed IS NULL)),
  CONSTRAINT automations_sender_http
    CHECK (trigger = 'http' OR (sender = '' AND filter = '{}' AND NOT append_payload))
) WITH (fillfactor = 70);                          -- room for next_run_at to move without touching indexes' pages
CREATE INDEX automations_due ON automations (next_run_at, id) WHERE enabled AND next_run_at IS NOT NULL;
CREATE INDEX automations_workspace ON automations (workspace_id, lower(name), id);
CREATE INDEX automations_creator ON automations (creator_id);
CREATE INDEX automations_bot ON automations (bot_id) WHERE bot_id IS NOT NULL;
CREATE INDEX automations_workflow_used ON automations (workflow_id) WHERE workflow_id IS NOT NULL;

-- The secrets of HTTP Trigger automations: only their hash. More than one while a regenerated one has a grace.
CREATE TABLE trigger_tokens (
  hash          bytea PRIMARY KEY CHECK (octet_length(hash) = 32), -- SHA-256 of the token
  automation_id uuid NOT NULL REFERENCES automations ON DELETE CASCADE,
  created_by    uuid REFERENCES users ON DELETE SET NULL,
  created_at    timestamptz NOT NULL,
  expires_at    timestamptz                        -- null: the current one
);
CREATE UNIQUE INDEX trigger_tokens_current ON trigger_tokens (automation_id) WHERE expires_at IS NULL;
CREATE INDEX trigger_tokens_automation ON trigger_tokens (automation_id);

-- An automation that somebody is asked to take over. Of each automation one offer at most is open.
CREATE TABLE transfer_offers (
  automation_id uuid PRIMARY KEY REFERENCES automations ON DELETE CASCADE,
  to_id         uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  from_id       uuid NOT NULL REFERENCES users ON DELETE CASCADE, -- worth what this person may do when it is accepted
  created_at    timestamptz NOT NULL
);
