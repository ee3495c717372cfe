-- Webhooks: what senders sent and what they were answered.

-- One call of an HTTP trigger with a known token. Calls that met a run in flight are different events, so each is kept
-- and can be replayed. On screen they are folded into the first of their streak, which counts them all. Of one streak
-- the first 1,000 are kept.
CREATE TABLE webhook_deliveries (
  id            uuid PRIMARY KEY,
  automation_id uuid NOT NULL REFERENCES automations ON DELETE CASCADE,
  at            timestamptz NOT NULL,
  method        text NOT NULL,
  address       text NOT NULL,
  fingerprint   text NOT NULL,
  headers       jsonb NOT NULL,                    -- secrets left out
  query         text NOT NULL DEFAULT '',
  size          bigint NOT NULL,
  body          bytea NOT NULL,                    -- at most 64 KiB of it
  verdict       text NOT NULL CHECK (verdict IN
    ('started', 'busy', 'filtered', 'signature', 'invalid', 'too_large', 'unable', 'duplicate', 'error')),
  status        integer NOT NULL,                  -- of the answer
  answer        jsonb NOT NULL,
  execution_id  uuid REFERENCES executions ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
  blocked_by    uuid,                              -- busy: the run in the way
  folded        integer NOT NULL DEFAULT 1,
  last_at       timestamptz NOT NULL,
  -- What a call brought as it was, sealed, where its query and body are kept without the values of secret parameters.
  -- NULL: the call brought none, or is too large to be kept whole.
  sealed        bytea,
  -- the first call of the streak; null: the first one itself, or no streak
  head          uuid REFERENCES webhook_deliveries ON DELETE CASCADE
);
CREATE INDEX webhook_deliveries_automation ON webhook_deliveries (automation_id, id DESC);
CREATE INDEX webhook_deliveries_shown ON webhook_deliveries (automation_id, id DESC) WHERE head IS NULL;
CREATE UNIQUE INDEX webhook_deliveries_folded ON webhook_deliveries (automation_id, blocked_by)
  WHERE verdict = 'busy' AND head IS NULL;
CREATE INDEX webhook_deliveries_head ON webhook_deliveries (head, id DESC) WHERE head IS NOT NULL;
CREATE INDEX webhook_deliveries_execution ON webhook_deliveries (execution_id) WHERE execution_id IS NOT NULL;
-- What is pruned is old by its last call: a streak goes as a whole.
CREATE INDEX webhook_deliveries_last_at ON webhook_deliveries (last_at);

-- What a sender calls one delivery, with what it was answered: the same one again starts nothing.
CREATE TABLE webhook_keys (
  automation_id uuid NOT NULL REFERENCES automations ON DELETE CASCADE,
  key           text NOT NULL CHECK (length(key) <= 300),
  at            timestamptz NOT NULL,
  status        integer NOT NULL,
  answer        jsonb NOT NULL,
  PRIMARY KEY (automation_id, key)
);
CREATE INDEX webhook_keys_at ON webhook_keys (at);

-- What was signed and taken, for as long as a delivery's key: sent again under another key, or without one, it does
-- nothing.
CREATE TABLE signed_bodies (
  automation_id uuid REFERENCES automations ON DELETE CASCADE, -- of a call of an HTTP trigger
  workspace_id  uuid REFERENCES workspaces ON DELETE CASCADE,  -- of a forge's webhook
  signature     bytea NOT NULL,                    -- a hash of what the signature covers and of the secret
  at            timestamptz NOT NULL,
  answer        jsonb NOT NULL,                    -- to the first one, which the others are given too
  CONSTRAINT signed_bodies_owner CHECK (num_nonnulls(automation_id, workspace_id) = 1)
);
CREATE UNIQUE INDEX signed_bodies_automation ON signed_bodies (automation_id, signature)
  WHERE automation_id IS NOT NULL;
CREATE UNIQUE INDEX signed_bodies_workspace ON signed_bodies (workspace_id, signature)
  WHERE workspace_id IS NOT NULL;
CREATE INDEX signed_bodies_at ON signed_bodies (at);
