-- An automation that somebody is asked to take over. Of each automation one offer at most is open.
CREATE TABLE transfer_offers (
  automation_id uuid PRIMARY KEY REFERENCES automations ON DELETE CASCADE,
  to_id         uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  from_id       uuid NOT NULL REFERENCES users ON DELETE CASCADE, -- worth what this person may do when it is accepted
  created_at    timestamptz NOT NULL
);
