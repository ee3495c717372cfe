-- What an automation may run beside a prompt of its own: workflows and bots.

-- A prepared sequence of steps with parameters.
CREATE TABLE workflows (
  id           uuid PRIMARY KEY,
  workspace_id uuid REFERENCES workspaces ON DELETE CASCADE, -- null: for all workspaces
  name         text NOT NULL CHECK (name <> '' AND length(name) <= 200),
  description  text NOT NULL DEFAULT '',
  steps        jsonb NOT NULL DEFAULT '[]',
  parameters   jsonb NOT NULL DEFAULT '[]',
  created_by   uuid REFERENCES users ON DELETE SET NULL,
  created_at   timestamptz NOT NULL,
  updated_at   timestamptz NOT NULL,
  version      bigint NOT NULL DEFAULT 1,
  changed_by   uuid REFERENCES users ON DELETE SET NULL, -- who last changed it; created_by says who made it
  -- how many steps it has, so that lists do not read the steps, which may be megabytes
  step_count   integer NOT NULL GENERATED ALWAYS AS (jsonb_array_length(steps)) STORED
);

-- Instructions with a provider and limits, to whom a session may be given.
CREATE TABLE bots (
  id            uuid PRIMARY KEY,
  workspace_id  uuid REFERENCES workspaces ON DELETE CASCADE, -- null: for all workspaces
  name          text NOT NULL CHECK (name <> '' AND length(name) <= 200),
  instructions  text NOT NULL DEFAULT '',
  provider      text NOT NULL DEFAULT '',
  model         text NOT NULL DEFAULT '',
  locks_agent   boolean NOT NULL DEFAULT false,    -- provider and model cannot be chosen elsewhere
  allowed_tools text[] NOT NULL DEFAULT '{}',
  read_only     boolean NOT NULL DEFAULT false,
  enabled       boolean NOT NULL DEFAULT true,
  created_by    uuid REFERENCES users ON DELETE SET NULL,
  created_at    timestamptz NOT NULL,
  updated_at    timestamptz NOT NULL,
  version       bigint NOT NULL DEFAULT 1,
  changed_by    uuid REFERENCES users ON DELETE SET NULL -- who last changed it; created_by says who made it
);
