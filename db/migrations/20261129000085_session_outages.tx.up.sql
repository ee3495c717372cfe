-- How often a person's message could not be given to the agent, since something that surrounds it could not be used: the network, a
-- lock in the repository, the disk. It is tried again a few times; a run has its attempts for that.
ALTER TABLE sessions ADD COLUMN outages integer NOT NULL DEFAULT 0;
