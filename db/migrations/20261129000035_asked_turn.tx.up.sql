-- The turn that was at work when somebody asked to end it: a word that arrives late ends no other. Null: none was. Of a run all
-- turns are meant, so that cancel_turn is of people's messages alone.
ALTER TABLE sessions ADD COLUMN interrupt_turn uuid, ADD COLUMN cancel_turn uuid;
