-- Remotes obey the policy for private networks. Those that were set before it did go on as they are, until their address is changed.
ALTER TABLE workspaces ADD COLUMN remote_anywhere boolean NOT NULL DEFAULT false;
--bun:split
UPDATE workspaces SET remote_anywhere = true WHERE git_url <> '';
