-- What was signed and taken, for as long as a delivery's key: sent again under another key, or without one, it does nothing.
CREATE TABLE signed_bodies (
  automation_id uuid REFERENCES automations ON DELETE CASCADE, -- of a call of an HTTP trigger
  workspace_id  uuid REFERENCES workspaces ON DELETE CASCADE,  -- of a forge's webhook
  signature     bytea NOT NULL,                                -- a hash of what the signature covers and of the secret
  at            timestamptz NOT NULL,
  answer        jsonb NOT NULL,                                -- to the first one, which the others are given too
  CONSTRAINT signed_bodies_owner CHECK (num_nonnulls(automation_id, workspace_id) = 1)
);
--bun:split
CREATE UNIQUE INDEX signed_bodies_automation ON signed_bodies (automation_id, signature) WHERE automation_id IS NOT NULL;
--bun:split
CREATE UNIQUE INDEX signed_bodies_workspace ON signed_bodies (workspace_id, signature) WHERE workspace_id IS NOT NULL;
--bun:split
CREATE INDEX signed_bodies_at ON signed_bodies (at);
