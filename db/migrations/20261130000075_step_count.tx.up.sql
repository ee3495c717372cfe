-- How many steps a workflow has, so that lists do not read the steps, which may be megabytes.
ALTER TABLE workflows ADD COLUMN step_count integer NOT NULL GENERATED ALWAYS AS (jsonb_array_length(steps)) STORED;
