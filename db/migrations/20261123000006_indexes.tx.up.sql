-- Indexes under foreign keys: without them, deleting an automation reads whole tables for the rows that name it.

CREATE INDEX notifications_automation ON notifications (automation_id) WHERE automation_id IS NOT NULL;
--bun:split
CREATE INDEX notifications_execution ON notifications (execution_id) WHERE execution_id IS NOT NULL;
--bun:split
CREATE INDEX notifications_session ON notifications (session_id) WHERE session_id IS NOT NULL;
--bun:split
CREATE INDEX webhook_deliveries_execution ON webhook_deliveries (execution_id) WHERE execution_id IS NOT NULL;
--bun:split
CREATE INDEX sessions_owner ON sessions (owner_id, id DESC);
--bun:split
-- When the changed files were last listed. NULL: not since the agent last began, so what stands there may not be all.
ALTER TABLE sessions ADD COLUMN changes_at timestamptz;
--bun:split
UPDATE sessions SET changes_at = ended_at;
