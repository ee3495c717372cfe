-- The HTTP trigger: what its senders sent and what they were answered.

ALTER TABLE automations
  ADD COLUMN sender           text NOT NULL DEFAULT '' CHECK (sender IN ('', 'github', 'gitlab', 'gitea', 'standard', 'hmac')), -- signed calls only; empty: the token is enough
  ADD COLUMN signature_header text NOT NULL DEFAULT '',   -- hmac: where the signature is
  ADD COLUMN signature_sealed bytea,                      -- the secret shared with the sender, encrypted
  ADD COLUMN filter           jsonb NOT NULL DEFAULT '{}', -- which payloads start a run
  ADD COLUMN append_payload   boolean NOT NULL DEFAULT false, -- the whole payload follows the prompt, fenced as data
  ADD CONSTRAINT automations_sender CHECK ((sender = '') = (signature_sealed IS NULL)),
  ADD CONSTRAINT automations_sender_http CHECK (trigger = 'http' OR (sender = '' AND filter = '{}' AND NOT append_payload));
--bun:split
-- One call to a known token. Calls refused because the same run was in the way are folded into one row.
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
  verdict       text NOT NULL CHECK (verdict IN ('started', 'busy', 'filtered', 'signature', 'invalid', 'too_large', 'unable', 'duplicate', 'error')),
  status        integer NOT NULL,                  -- of the answer
  answer        jsonb NOT NULL,
  execution_id  uuid REFERENCES executions ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
  blocked_by    uuid,                              -- busy: the run in the way
  folded        integer NOT NULL DEFAULT 1,
  last_at       timestamptz NOT NULL
);
--bun:split
CREATE INDEX webhook_deliveries_automation ON webhook_deliveries (automation_id, id DESC);
--bun:split
CREATE INDEX webhook_deliveries_at ON webhook_deliveries (at);
--bun:split
CREATE UNIQUE INDEX webhook_deliveries_folded ON webhook_deliveries (automation_id, blocked_by) WHERE verdict = 'busy';
--bun:split
-- What a sender calls one delivery, with what it was answered: the same one again starts nothing.
CREATE TABLE webhook_keys (
  automation_id uuid NOT NULL REFERENCES automations ON DELETE CASCADE,
  key           text NOT NULL CHECK (length(key) <= 300),
  at            timestamptz NOT NULL,
  status        integer NOT NULL,
  answer        jsonb NOT NULL,
  PRIMARY KEY (automation_id, key)
);
--bun:split
CREATE INDEX webhook_keys_at ON webhook_keys (at);
