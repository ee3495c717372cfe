-- A pause concerns one account of a provider: the server's, or the own one of a workspace whose variables sign the agent in.
ALTER TABLE provider_pauses
  ADD COLUMN workspace_id uuid REFERENCES workspaces ON DELETE CASCADE, -- null: the server's account
  ADD COLUMN keys text[] NOT NULL DEFAULT '{}',                         -- patterns of LIKE for the variables that sign the provider in
  DROP CONSTRAINT provider_pauses_pkey;
--bun:split
CREATE UNIQUE INDEX provider_pauses_account ON provider_pauses (provider, coalesce(workspace_id, '00000000-0000-0000-0000-000000000000'));
--bun:split
-- The pauses of a workspace, for when it is deleted.
CREATE INDEX provider_pauses_workspace ON provider_pauses (workspace_id) WHERE workspace_id IS NOT NULL;
