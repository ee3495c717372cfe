-- Calls of tools that a session was refused, each kind once, until its worker has written them into the transcript.
CREATE TABLE refused_calls (
  session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
  tool       text NOT NULL,
  reason     text NOT NULL,
  times      integer NOT NULL DEFAULT 1,
  at         timestamptz NOT NULL, -- the first time
  PRIMARY KEY (session_id, tool, reason)
);
