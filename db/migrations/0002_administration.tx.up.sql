-- What administrators set, and who changed what.

-- What is set on pages: the texts of session toggles, one a key, and all that concerns providers under one key.
CREATE TABLE settings (
  key        text PRIMARY KEY,
  value      jsonb NOT NULL,
  updated_at timestamptz NOT NULL
);

-- Append-only: who changed what, and every refusal. subject_id has no foreign key, since rows outlive their subject.
CREATE TABLE audit_events (
  id           uuid PRIMARY KEY,
  at           timestamptz NOT NULL,
  actor_id     uuid REFERENCES users ON DELETE SET NULL, -- null: Carillon itself
  action       text NOT NULL,                      -- 'automation.disable'
  subject_kind text NOT NULL,
  subject_id   uuid,
  subject_name text NOT NULL DEFAULT '',
  workspace_id uuid,
  reason       text NOT NULL DEFAULT '',
  before       jsonb,
  after        jsonb,
  address      text NOT NULL DEFAULT '',
  -- What a program did in a person's name is told apart from what they did themselves.
  token        text NOT NULL DEFAULT ''            -- name of the API token that was used; empty: none
);
CREATE INDEX audit_events_subject ON audit_events (subject_id, at DESC);
CREATE INDEX audit_events_at ON audit_events (id DESC);
CREATE INDEX audit_events_actor ON audit_events (actor_id, id DESC);
CREATE INDEX audit_events_workspace ON audit_events (workspace_id, id DESC) WHERE workspace_id IS NOT NULL;
CREATE INDEX audit_events_action ON audit_events (action text_pattern_ops, id DESC);

-- The audit log is only ever added to. The one change let through is that of a person who is gone: ON DELETE SET NULL.
CREATE FUNCTION audit_events_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND NEW.actor_id IS NULL THEN
    OLD.actor_id := NULL;
    IF OLD IS NOT DISTINCT FROM NEW THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION 'the audit log is only added to' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER audit_events_stay BEFORE UPDATE OR DELETE ON audit_events
  FOR EACH ROW EXECUTE FUNCTION audit_events_stay();
CREATE TRIGGER audit_events_stay_whole BEFORE TRUNCATE ON audit_events
  FOR EACH STATEMENT EXECUTE FUNCTION audit_events_stay();
-- Also in a session that replays another server's changes (session_replication_role).
ALTER TABLE audit_events ENABLE ALWAYS TRIGGER audit_events_stay;
ALTER TABLE audit_events ENABLE ALWAYS TRIGGER audit_events_stay_whole;
