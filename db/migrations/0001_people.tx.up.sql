-- People, what they may do, and how they sign in.

CREATE TABLE users (
  id            uuid PRIMARY KEY,
  email         text NOT NULL CHECK (email <> '' AND length(email) <= 254),
  name          text NOT NULL CHECK (name <> '' AND length(name) <= 200),
  password_hash text NOT NULL DEFAULT '',          -- argon2id in its usual text form; empty: no password sign-in
  time_zone     text NOT NULL DEFAULT 'UTC',       -- an IANA name; only for showing times
  theme         text NOT NULL DEFAULT '' CHECK (theme IN ('', 'light', 'dark')), -- empty: the system's
  deactivated_at timestamptz,                      -- people are never deleted: their history keeps its names
  created_at    timestamptz NOT NULL,
  updated_at    timestamptz NOT NULL,
  -- An address that was changed on an account counts only once a link in a mail to it was answered. Until then a single
  -- sign-on finds nobody by it, and no copies of notices go there.
  email_changed_at timestamptz                     -- null: as the account was made with it, or the mail was answered
);
CREATE UNIQUE INDEX users_email ON users (lower(email));
CREATE INDEX users_by_name ON users (lower(name), id);

CREATE TABLE roles (
  id          uuid PRIMARY KEY,
  name        text NOT NULL CHECK (name <> '' AND length(name) <= 100),
  key         text UNIQUE,                         -- of the three built in: administrator, manager, member
  permissions text[] NOT NULL DEFAULT '{}',
  created_at  timestamptz NOT NULL,
  updated_at  timestamptz,
  version     bigint NOT NULL DEFAULT 1            -- of what people edit; tells two editors apart
);
CREATE UNIQUE INDEX roles_name ON roles (lower(name));

CREATE TABLE user_roles (
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  role_id uuid NOT NULL REFERENCES roles ON DELETE RESTRICT,
  PRIMARY KEY (user_id, role_id)
);
CREATE INDEX user_roles_role ON user_roles (role_id);

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
CREATE INDEX logins_user ON logins (user_id);
CREATE INDEX logins_expiry ON logins (expires_at);

-- Failed sign-ins, counted per key (a hash of the e-mail, or of the address) to slow guessing down.
CREATE TABLE sign_in_failures (
  key bytea NOT NULL,
  at  timestamptz NOT NULL
);
CREATE INDEX sign_in_failures_key ON sign_in_failures (key, at);

-- A link that lets a person choose a password: an invitation, or a reset. Or one that confirms their address. One at a
-- time for each.
CREATE TABLE password_links (
  user_id    uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
  hash       bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32), -- SHA-256 of the token; the token is nowhere
  invites    boolean NOT NULL,                     -- the person also says what they are called
  -- null: the command line; the link is worth what its maker may do
  created_by uuid REFERENCES users ON DELETE CASCADE,
  created_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  confirms   boolean NOT NULL DEFAULT false,       -- it confirms the address and lets nobody choose a password
  mailed     boolean NOT NULL DEFAULT false,       -- it was sent to the person alone, and its maker never saw it
  CONSTRAINT password_links_confirms CHECK (NOT confirms OR NOT invites)
);
CREATE INDEX password_links_maker ON password_links (created_by) WHERE created_by IS NOT NULL;

-- Accounts of people at a single sign-on. The provider's pair of issuer and subject names one for ever; an e-mail
-- address may be given to somebody else.
CREATE TABLE user_identities (
  issuer     text NOT NULL CHECK (issuer <> ''),
  subject    text NOT NULL CHECK (subject <> '' AND length(subject) <= 255),
  user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  email      text NOT NULL DEFAULT '',             -- as the provider last told it; only for showing
  created_at timestamptz NOT NULL,
  used_at    timestamptz NOT NULL,                 -- the last sign-in by it
  PRIMARY KEY (issuer, subject),
  CONSTRAINT user_identities_one UNIQUE (user_id, issuer) -- a second account of the same provider is another person
);

-- Secrets by which programs ask on behalf of a person: only their hashes.
CREATE TABLE api_tokens (
  id          uuid PRIMARY KEY,
  user_id     uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  name        text NOT NULL CHECK (name <> ''),
  hash        bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32), -- SHA-256 of the token; the token is nowhere
  narrowed    boolean NOT NULL,                    -- else it may do all that the person may
  permissions text[] NOT NULL DEFAULT '{}',        -- of a narrowed one: these, as far as the person holds them
  created_at  timestamptz NOT NULL,
  expires_at  timestamptz NOT NULL,
  used_at     timestamptz,                         -- to the minute; null: never
  used_from   text NOT NULL DEFAULT '',            -- the address of that use
  CHECK (narrowed OR permissions = '{}')
);
CREATE INDEX api_tokens_user ON api_tokens (user_id, id DESC);
CREATE INDEX api_tokens_expiry ON api_tokens (expires_at);
