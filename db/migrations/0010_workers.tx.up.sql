-- The processes of an installation, and the rows that their loops could not deal with.

-- The processes that run agents. Each writes what it found on its machine, and renews seen_at while it lives: one that
-- has been silent for a while is not counted on.
CREATE TABLE workers (
  id        text PRIMARY KEY,                      -- the name under which it holds sessions
  name      text NOT NULL,                         -- of its machine, for people
  seen_at   timestamptz NOT NULL,
  -- by provider: path, version, problem, models, why none are listed, names of variables that are set
  providers jsonb NOT NULL DEFAULT '{}',
  places    integer NOT NULL DEFAULT 0 CHECK (places >= 0), -- sessions that it runs at once; 0: it did not say
  -- what holds on its machine, as it found it: its sandbox, its limits, what it hides; {} is one that has not looked
  machine   jsonb NOT NULL DEFAULT '{}'
);

-- Processes that serve pages or schedules and run no agents, with what holds on their machines.
CREATE TABLE servers (
  id      text PRIMARY KEY,                        -- of one life of a process
  name    text NOT NULL,                           -- of its machine, for people
  seen_at timestamptz NOT NULL,
  machine jsonb NOT NULL
);

-- What a loop over many people's rows could not deal with: it rests, and the loop goes on with the others.
CREATE TABLE set_aside (
  task  text NOT NULL,                             -- which loop
  key   text NOT NULL,                             -- which of its rows: an id, or the name of a step
  about text NOT NULL,                             -- what that is, in words
  since timestamptz NOT NULL,                      -- of the first time in a row
  times integer NOT NULL CHECK (times > 0),        -- how often in a row
  until timestamptz NOT NULL,                      -- how long it rests
  error text NOT NULL,                             -- of the last time, in words
  PRIMARY KEY (task, key)
);
