-- The last event of the session when the turn ended. An event of the turn behind it was written by who had lost the session.
-- NULL: the turn has not ended, or ended before this was noted.
ALTER TABLE turns ADD COLUMN ended_seq bigint;
