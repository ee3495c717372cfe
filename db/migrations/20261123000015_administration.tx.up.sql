-- Administration: links with which people choose a password, roles that are edited, and an audit log that stays.

ALTER TABLE roles
  ADD COLUMN updated_at timestamptz,
  ADD COLUMN version    bigint NOT NULL DEFAULT 1; -- of what people edit; tells two editors apart
--bun:split
-- A link that lets a person choose a password: an invitation, or a reset. One at a time for each.
CREATE TABLE password_links (
  user_id    uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
  hash       bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32), -- SHA-256 of the token; the token is nowhere
  invites    boolean NOT NULL,                     -- the person also says what they are called
  created_by uuid REFERENCES users ON DELETE CASCADE, -- null: the command line; the link is worth what its maker may do
  created_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL
);
--bun:split
CREATE INDEX password_links_maker ON password_links (created_by) WHERE created_by IS NOT NULL;
--bun:split
CREATE INDEX users_by_name ON users (lower(name), id);
--bun:split
CREATE INDEX audit_events_actor ON audit_events (actor_id, id DESC);
--bun:split
CREATE INDEX audit_events_workspace ON audit_events (workspace_id, id DESC) WHERE workspace_id IS NOT NULL;
--bun:split
CREATE INDEX audit_events_action ON audit_events (action text_pattern_ops, id DESC);
--bun:split
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
--bun:split
CREATE TRIGGER audit_events_stay BEFORE UPDATE OR DELETE ON audit_events FOR EACH ROW EXECUTE FUNCTION audit_events_stay();
--bun:split
CREATE TRIGGER audit_events_stay_whole BEFORE TRUNCATE ON audit_events FOR EACH STATEMENT EXECUTE FUNCTION audit_events_stay();
