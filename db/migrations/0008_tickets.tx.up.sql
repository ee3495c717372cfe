-- Tickets: work to be done in a workspace, by people and by sessions. And what sessions report of it.

-- The newest number of each workspace's tickets; its row is locked while one is made, so that numbers have no gaps.
CREATE TABLE ticket_numbers (
  workspace_id uuid PRIMARY KEY REFERENCES workspaces ON DELETE CASCADE,
  last         bigint NOT NULL
);

CREATE TABLE tickets (
  id           uuid PRIMARY KEY,
  workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE RESTRICT,
  number       bigint NOT NULL CHECK (number > 0), -- counts in the workspace; also its age in the queue
  title        text NOT NULL CHECK (title <> ''),
  body         text NOT NULL DEFAULT '',
  priority     smallint NOT NULL CHECK (priority BETWEEN 1 AND 4), -- 1 urgent, 2 high, 3 medium, 4 low
  status       text NOT NULL CHECK (status IN ('open', 'in_progress', 'done', 'canceled')),
  assignee_id  uuid REFERENCES users ON DELETE SET NULL,
  labels       text[] NOT NULL DEFAULT '{}',
  created_by   uuid REFERENCES users ON DELETE SET NULL,    -- the person, or the owner of the session
  created_session uuid REFERENCES sessions ON DELETE SET NULL, -- null: a person wrote it
  -- the session that took it from the queue, while it is in progress
  claimed_by   uuid REFERENCES sessions ON DELETE SET NULL,
  version      bigint NOT NULL DEFAULT 1,          -- of what people edit; tells two editors apart
  created_at   timestamptz NOT NULL,
  updated_at   timestamptz NOT NULL,
  closed_at    timestamptz,                        -- done or canceled
  UNIQUE (workspace_id, number),
  CHECK ((status IN ('done', 'canceled')) = (closed_at IS NOT NULL)),
  CHECK (claimed_by IS NULL OR status = 'in_progress')
);
-- The queue: what a session takes next is at its front.
CREATE INDEX tickets_queue ON tickets (workspace_id, priority, number) WHERE status = 'open';
CREATE INDEX tickets_list ON tickets (workspace_id, id DESC);
CREATE INDEX tickets_assignee ON tickets (assignee_id, id DESC) WHERE assignee_id IS NOT NULL;
CREATE UNIQUE INDEX tickets_claimed ON tickets (claimed_by) WHERE claimed_by IS NOT NULL; -- one at a time
CREATE INDEX tickets_created_session ON tickets (created_session) WHERE created_session IS NOT NULL;

-- Sessions that worked on a ticket.
CREATE TABLE ticket_sessions (
  ticket_id  uuid NOT NULL REFERENCES tickets ON DELETE CASCADE,
  session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (ticket_id, session_id)
);
CREATE INDEX ticket_sessions_session ON ticket_sessions (session_id);

-- What sessions report by themselves, beside their final answer.
CREATE TABLE session_reports (
  id         uuid PRIMARY KEY,
  session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
  ticket_id  uuid REFERENCES tickets ON DELETE SET NULL, -- the one that it is about, if any
  outcome    text NOT NULL CHECK (outcome IN ('done', 'nothing_to_do', 'blocked', 'failed')),
  summary    text NOT NULL,
  created_at timestamptz NOT NULL
);
CREATE INDEX session_reports_session ON session_reports (session_id, id DESC);
CREATE INDEX session_reports_ticket ON session_reports (ticket_id, id DESC) WHERE ticket_id IS NOT NULL;
