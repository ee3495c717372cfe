-- Calls that met a run in flight are different events, so each is kept and can be replayed. On screen they are folded
-- into the first of their streak, which counts them all. Of one streak the first 1,000 are kept.
ALTER TABLE webhook_deliveries
  ADD COLUMN head uuid REFERENCES webhook_deliveries ON DELETE CASCADE; -- the first call of the streak; null: the first one itself, or no streak
--bun:split
DROP INDEX webhook_deliveries_folded;
--bun:split
CREATE UNIQUE INDEX webhook_deliveries_folded ON webhook_deliveries (automation_id, blocked_by) WHERE verdict = 'busy' AND head IS NULL;
--bun:split
CREATE INDEX webhook_deliveries_head ON webhook_deliveries (head, id DESC) WHERE head IS NOT NULL;
--bun:split
CREATE INDEX webhook_deliveries_shown ON webhook_deliveries (automation_id, id DESC) WHERE head IS NULL;
--bun:split
-- What is pruned is old by its last call: a streak goes as a whole.
DROP INDEX webhook_deliveries_at;
--bun:split
CREATE INDEX webhook_deliveries_last_at ON webhook_deliveries (last_at);
