-- After how many days without work a workspace's open sessions are closed; null: never.
ALTER TABLE workspaces ADD COLUMN idle_days integer CHECK (idle_days BETWEEN 1 AND 3650);

-- When a person opened a closed session again: it is not idle since its work ended.
ALTER TABLE sessions ADD COLUMN reopened_at timestamptz;

-- The look for sessions that are idle, per workspace.
CREATE INDEX sessions_idle ON sessions (workspace_id, (greatest(ended_at, reopened_at, created_at))) WHERE status = 'waiting';
