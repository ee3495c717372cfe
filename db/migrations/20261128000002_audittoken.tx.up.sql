-- What a program did in a person's name is told apart from what they did themselves.
ALTER TABLE audit_events
  ADD COLUMN token text NOT NULL DEFAULT ''; -- name of the API token that was used; empty: none
