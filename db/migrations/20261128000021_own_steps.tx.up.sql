-- A step of a workflow that Carillon takes itself, such as Asset or Clear Context: no message to the agent, so that it counts as
-- none and uses nothing.
ALTER TABLE turns ADD COLUMN own boolean NOT NULL DEFAULT false;
