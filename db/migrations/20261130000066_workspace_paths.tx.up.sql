-- Paths of the workers' machines that the sandbox of a workspace shows, read-only: absolute or below ~, one a line.
ALTER TABLE workspaces ADD COLUMN sandbox_shows text NOT NULL DEFAULT '';
