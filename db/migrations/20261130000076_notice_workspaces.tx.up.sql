-- The workspace that a notice tells of: a copy of it that waits goes to nobody who has left it, also where the automation is gone
-- or there never was one.
ALTER TABLE notifications ADD COLUMN workspace_id uuid REFERENCES workspaces ON DELETE SET NULL;
--bun:split
UPDATE notifications n SET workspace_id = a.workspace_id FROM automations a WHERE a.id = n.automation_id;
--bun:split
CREATE INDEX notifications_workspace ON notifications (workspace_id) WHERE workspace_id IS NOT NULL;
