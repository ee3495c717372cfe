-- Sessions that are not closed, of a workspace: pages and monitoring count them, and most sessions are closed.
CREATE INDEX sessions_open ON sessions (workspace_id, status) WHERE status IN ('queued', 'in_progress', 'waiting');
