-- Who was told of an automation may read it: the look-up by both.
DROP INDEX notifications_automation;
--bun:split
CREATE INDEX notifications_automation ON notifications (automation_id, user_id) WHERE automation_id IS NOT NULL;
