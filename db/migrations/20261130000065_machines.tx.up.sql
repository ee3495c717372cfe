-- What holds on the machine of a worker, as it found it: its sandbox, its limits, what it hides. {} is one that has not looked.
ALTER TABLE workers ADD COLUMN machine jsonb NOT NULL DEFAULT '{}';
--bun:split
-- Processes that serve pages or schedules and run no agents, with what holds on their machines.
CREATE TABLE servers (
  id      text PRIMARY KEY,      -- of one life of a process
  name    text NOT NULL,         -- of its machine, for people
  seen_at timestamptz NOT NULL,
  machine jsonb NOT NULL
);
--bun:split
-- For the list of workspaces whose agents are not confined, by name.
CREATE INDEX workspaces_unconfined ON workspaces (lower(name), id) WHERE NOT sandbox AND removed_at IS NULL;
