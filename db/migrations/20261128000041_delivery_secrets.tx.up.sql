-- What a call brought as it was, sealed, where its query and body are kept without the values of secret parameters.
-- NULL: the call brought none, or is too large to be kept whole.
ALTER TABLE webhook_deliveries ADD COLUMN sealed bytea;
--bun:split
-- Calls that were kept before, of automations that take secrets: nothing of what they brought stays. Nothing of it can be
-- replayed, as their size says.
UPDATE webhook_deliveries d SET body = '', query = '', size = greatest(d.size, 1)
FROM automations a LEFT JOIN workflows w ON w.id = a.workflow_id
WHERE a.id = d.automation_id AND a.execution_type = 'workflow'
  AND (w.id IS NULL OR w.parameters @> '[{"type": "secret"}]');
