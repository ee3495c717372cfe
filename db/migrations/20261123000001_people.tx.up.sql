-- People, what they may do, and their sign-ins.

CREATE TABLE users (
  id            uuid PRIMARY KEY,
  email         text NOT NULL CHECK (email <> '' AND length(email) <= 254),
  name          text NOT NULL CHECK (name <> '' AND length(name) <= 200),
  password_hash text NOT NULL DEFAULT '',          -- argon2id in its usual text form; empty: no password sign-in
  time_zone     text NOT NULL DEFAULT 'UTC',       -- an IANA name; only for showing times
  theme         text NOT NULL DEFAULT '' CHECK (theme IN ('', 'light', 'dark')), -- empty: the system's
  deactivated_at timestamptz,                      -- people are never deleted: their history keeps its names
  created_at    timestamptz NOT NULL,
  updated_at    timestamptz NOT NULL
);
--bun:split
CREATE UNIQUE INDEX users_email ON users (lower(email));
--bun:split
CREATE TABLE roles (
  id          uuid PRIMARY KEY,
  name        text NOT NULL CHECK (name <> '' AND length(name) <= 100),
  key         text UNIQUE,                         -- of the three built in: administrator, manager, member
  permissions text[] NOT NULL DEFAULT '{}',
  created_at  timestamptz NOT NULL
);
--bun:split
CREATE UNIQUE INDEX roles_name ON roles (lower(name));
--bun:split
CREATE TABLE user_roles (
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  role_id uuid NOT NULL REFERENCES roles ON DELETE RESTRICT,
  PRIMARY KEY (user_id, role_id)
);
--bun:split
CREATE INDEX user_roles_role ON user_roles (role_id);
--bun:split
-- A browser sign-in. The signed cookie carries the id; a deleted row ends it everywhere at once.
CREATE TABLE logins (
  id         uuid PRIMARY KEY,
  user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  created_at timestamptz NOT NULL,
  seen_at    timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  address    text NOT NULL DEFAULT '',
  user_agent text NOT NULL DEFAULT ''
);
--bun:split
CREATE INDEX logins_user ON logins (user_id);
--bun:split
CREATE INDEX logins_expiry ON logins (expires_at);
--bun:split
-- Failed sign-ins, counted per key (a hash of the e-mail, or of the address) to slow guessing down.
CREATE TABLE sign_in_failures (
  key bytea NOT NULL,
  at  timestamptz NOT NULL
);
--bun:split
CREATE INDEX sign_in_failures_key ON sign_in_failures (key, at);
--bun:split
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
  address      text NOT NULL DEFAULT ''
);
--bun:split
CREATE INDEX audit_events_subject ON audit_events (subject_id, at DESC);
--bun:split
CREATE INDEX audit_events_at ON audit_events (id DESC);
--bun:split
CREATE TABLE settings (
  key        text PRIMARY KEY,
  value      jsonb NOT NULL,
  updated_at timestamptz NOT NULL
);
