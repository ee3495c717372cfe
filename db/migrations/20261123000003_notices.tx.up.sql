-- Copies of notices outside the inbox: what each person wants, and what became of each copy.

CREATE TABLE notice_preferences (
  user_id        uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
  email          boolean NOT NULL DEFAULT false,    -- a copy goes to the person's address
  webhook_url    text NOT NULL DEFAULT '',          -- a copy is posted here; empty: nowhere
  webhook_secret bytea,                             -- sealed; signs what is posted
  muted          text[] NOT NULL DEFAULT '{}',      -- kinds without copies, so that a kind added later has them
  updated_at     timestamptz NOT NULL,
  CHECK (webhook_url = '' OR webhook_secret IS NOT NULL)
);
--bun:split
CREATE TABLE notice_deliveries (
  id              uuid PRIMARY KEY,
  notification_id uuid NOT NULL REFERENCES notifications ON DELETE CASCADE,
  channel         text NOT NULL CHECK (channel IN ('email', 'webhook')),
  status          text NOT NULL CHECK (status IN ('queued', 'sent', 'failed')),
  attempts        integer NOT NULL,                 -- begun; each is a claim, and the number guards its outcome
  next_attempt_at timestamptz NOT NULL,             -- of an attempt under way: when another process may take over
  last_error      text NOT NULL DEFAULT '',
  created_at      timestamptz NOT NULL,
  sent_at         timestamptz,
  UNIQUE (notification_id, channel)
);
--bun:split
CREATE INDEX notice_deliveries_queue ON notice_deliveries (channel, next_attempt_at) WHERE status = 'queued';
