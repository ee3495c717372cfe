-- What a session's worktree holds beside changed files, and where a session has moved from.
ALTER TABLE sessions
  -- commits that its base does not have, as of its last turn
  ADD COLUMN commits integer NOT NULL DEFAULT 0,
  -- what it has put on its stash
  ADD COLUMN stashes integer NOT NULL DEFAULT 0,
  -- ignored files and folders: no change, and kept as long as changed files are
  ADD COLUMN ignored_files integer NOT NULL DEFAULT 0,
  -- branches that the agent made beside the session's own, one a line
  ADD COLUMN made_branches text NOT NULL DEFAULT '',
  -- what was lost when the session moved to another worker, as sentences for a person
  ADD COLUMN not_saved text NOT NULL DEFAULT '';

-- Workers that a session was taken away from while they were silent. Each removes its worktree when it comes back.
CREATE TABLE session_moves (
  session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
  worker text NOT NULL,
  -- of its machine; empty where it was forgotten
  name text NOT NULL DEFAULT '',
  -- when the worker was seen last
  seen_at timestamptz,
  -- the session's fence then: one higher at the next claim, the session was nowhere else
  fence bigint NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (session_id, worker)
);
CREATE INDEX session_moves_worker ON session_moves (worker);
