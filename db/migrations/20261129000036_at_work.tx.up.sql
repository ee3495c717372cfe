ALTER TABLE sessions
  ADD COLUMN at_work_since timestamptz,              -- when its worker took it
  ADD COLUMN resumes integer NOT NULL DEFAULT 0;     -- how often a worker was lost during the work that goes on
--bun:split
-- The time at work of earlier attempts and before resumes: a timeout counts it, and no time of waiting.
ALTER TABLE executions ADD COLUMN worked_seconds double precision NOT NULL DEFAULT 0;
