-- Parallel sessions have no cap unless a person gives one. Ten was the cap of those that nobody gave.
ALTER TABLE automations
  ALTER COLUMN max_parallel DROP NOT NULL,
  ALTER COLUMN max_parallel DROP DEFAULT;

UPDATE automations SET max_parallel = NULL WHERE max_parallel = 10;
