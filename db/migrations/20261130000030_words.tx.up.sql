-- Whose words a session acts on. Its agent may do what all of them may do, and no more.
--
-- Of an automation: who made it, and who last changed what it runs. Each is a list, since an agent that makes or changes an
-- automation acts on the words of several people.
ALTER TABLE automations ADD COLUMN made_by uuid[] NOT NULL DEFAULT '{}';
--bun:split
ALTER TABLE automations ADD COLUMN changed_by uuid[] NOT NULL DEFAULT '{}';
--bun:split
UPDATE automations a SET
  made_by = ARRAY[coalesce((SELECT e.actor_id FROM audit_events e
    WHERE e.subject_id = a.id AND e.action = 'automation.create' AND e.actor_id IS NOT NULL ORDER BY e.at LIMIT 1), a.creator_id)],
  changed_by = ARRAY[coalesce((SELECT e.actor_id FROM audit_events e
    WHERE e.subject_id = a.id AND e.action IN ('automation.create', 'automation.update') AND e.actor_id IS NOT NULL
    ORDER BY e.at DESC LIMIT 1), a.creator_id)];
--bun:split

-- Of a bot and a workflow: who last changed them; created_by says who made them.
ALTER TABLE bots ADD COLUMN changed_by uuid REFERENCES users ON DELETE SET NULL;
--bun:split
ALTER TABLE workflows ADD COLUMN changed_by uuid REFERENCES users ON DELETE SET NULL;
--bun:split
UPDATE bots b SET changed_by = coalesce((SELECT e.actor_id FROM audit_events e
  WHERE e.subject_id = b.id AND e.action LIKE 'bot.%' AND e.actor_id IS NOT NULL ORDER BY e.at DESC LIMIT 1), b.created_by);
--bun:split
UPDATE workflows wf SET changed_by = coalesce((SELECT e.actor_id FROM audit_events e
  WHERE e.subject_id = wf.id AND e.action LIKE 'workflow.%' AND e.actor_id IS NOT NULL ORDER BY e.at DESC LIMIT 1), wf.created_by);
--bun:split

-- Of a session: everybody who had a word in what it was started with, the owner of its automation first. Authors of messages are
-- with those.
ALTER TABLE sessions ADD COLUMN people uuid[] NOT NULL DEFAULT '{}';
--bun:split
UPDATE sessions s SET people = ARRAY[a.creator_id, s.owner_id] || a.made_by || a.changed_by
  FROM automations a WHERE a.id = s.automation_id AND s.status NOT IN ('done', 'canceled');
--bun:split

-- Whether the agent of a run may manage automations is part of what the run was started with.
UPDATE executions e SET snapshot = e.snapshot || '{"may_automate": true}'
  FROM automations a WHERE a.id = e.automation_id AND a.may_automate AND e.status IN ('queued', 'running');
