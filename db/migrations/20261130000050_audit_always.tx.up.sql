-- The audit log is only added to, in a session that replays another server's changes too (session_replication_role).
ALTER TABLE audit_events ENABLE ALWAYS TRIGGER audit_events_stay;
--bun:split
ALTER TABLE audit_events ENABLE ALWAYS TRIGGER audit_events_stay_whole;
