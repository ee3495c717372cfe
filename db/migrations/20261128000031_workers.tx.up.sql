-- The processes that run agents. Each writes what it found on its machine, and renews seen_at while it lives: one that has been
-- silent for a while is not counted on.
CREATE TABLE workers (
  id        text PRIMARY KEY,                 -- the name under which it holds sessions
  name      text NOT NULL,                    -- of its machine, for people
  seen_at   timestamptz NOT NULL,
  providers jsonb NOT NULL DEFAULT '{}'       -- by provider: path, version, problem, models, why none are listed, names of variables that are set
);
