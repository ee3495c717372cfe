-- What a loop over many people's rows could not deal with: it rests, and the loop goes on with the others.
CREATE TABLE set_aside (
  task text NOT NULL,                    -- which loop
  key text NOT NULL,                     -- which of its rows: an id, or the name of a step
  about text NOT NULL,                   -- what that is, in words
  since timestamptz NOT NULL,            -- of the first time in a row
  times integer NOT NULL CHECK (times > 0), -- how often in a row
  until timestamptz NOT NULL,            -- how long it rests
  error text NOT NULL,                   -- of the last time, in words
  PRIMARY KEY (task, key)
);

-- People and things that are removed, or looked for, by what refers to them.
CREATE INDEX sessions_bot ON sessions (bot_id) WHERE bot_id IS NOT NULL;
CREATE INDEX session_tokens_turn ON session_tokens (turn_id);
