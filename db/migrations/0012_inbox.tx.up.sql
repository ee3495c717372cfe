-- The inbox: notices to people, and the copies of them that leave it.

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
  dismissed_at  timestamptz,
  -- The workspace that it tells of: a copy that waits goes to nobody who has left it, also where the automation is gone
  -- or there never was one.
  workspace_id  uuid REFERENCES workspaces ON DELETE SET NULL
);
CREATE UNIQUE INDEX notifications_once ON notifications (user_id, dedup_key);
CREATE INDEX notifications_list ON notifications (user_id, id DESC) WHERE dismissed_at IS NULL;
CREATE INDEX notifications_unread ON notifications (user_id) WHERE read_at IS NULL AND dismissed_at IS NULL;
-- Who was told of an automation may read it: the look-up by both.
CREATE INDEX notifications_automation ON notifications (automation_id, user_id) WHERE automation_id IS NOT NULL;
-- Without these, deleting what a notice names reads the whole table for the rows that name it.
CREATE INDEX notifications_execution ON notifications (execution_id) WHERE execution_id IS NOT NULL;
CREATE INDEX notifications_session ON notifications (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX notifications_workspace ON notifications (workspace_id) WHERE workspace_id IS NOT NULL;

-- Which copies each person wants.
CREATE TABLE notice_preferences (
  user_id        uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
  email          boolean NOT NULL DEFAULT false,   -- a copy goes to the person's address
  webhook_url    text NOT NULL DEFAULT '',         -- a copy is posted here; empty: nowhere
  webhook_secret bytea,                            -- sealed; signs what is posted
  muted          text[] NOT NULL DEFAULT '{}',     -- kinds without copies, so that a kind added later has them
  updated_at     timestamptz NOT NULL,
  CHECK (webhook_url = '' OR webhook_secret IS NOT NULL)
);

-- What became of each copy.
CREATE TABLE notice_deliveries (
  id              uuid PRIMARY KEY,
  notification_id uuid NOT NULL REFERENCES notifications ON DELETE CASCADE,
  channel         text NOT NULL CHECK (channel IN ('email', 'webhook')),
  status          text NOT NULL CHECK (status IN ('queued', 'sent', 'failed')),
  attempts        integer NOT NULL,                -- begun; each is a claim, and the number guards its outcome
  next_attempt_at timestamptz NOT NULL,            -- of an attempt under way: when another process may take over
  last_error      text NOT NULL DEFAULT '',
  created_at      timestamptz NOT NULL,
  sent_at         timestamptz,
  UNIQUE (notification_id, channel)
);
CREATE INDEX notice_deliveries_queue ON notice_deliveries (channel, next_attempt_at) WHERE status = 'queued';
