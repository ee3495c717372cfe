-- Whether the run of a session has yet to pass its gate. Judging a gate takes no agent's place, so these sessions have a queue of
-- their own.
ALTER TABLE sessions ADD COLUMN at_gate boolean NOT NULL DEFAULT false;
--bun:split
UPDATE sessions s SET at_gate = true FROM executions e
WHERE e.session_id = s.id AND s.status IN ('queued', 'in_progress') AND e.status IN ('queued', 'running') AND e.snapshot->'gate' IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM turns t WHERE t.session_id = s.id AND t.execution_id = e.id AND t.started_at IS NOT NULL);
--bun:split
CREATE INDEX sessions_gates ON sessions (queued_at, id) WHERE status = 'queued' AND at_gate;
