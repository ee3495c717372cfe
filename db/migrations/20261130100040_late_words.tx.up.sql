-- The newest words of a message, by which a check finds those that came after its end.
CREATE INDEX session_events_turn ON session_events (turn_id, at);
