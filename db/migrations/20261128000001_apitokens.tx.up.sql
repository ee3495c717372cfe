-- Secrets by which programs ask on behalf of a person: only their hashes.
CREATE TABLE api_tokens (
  id          uuid PRIMARY KEY,
  user_id     uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  name        text NOT NULL CHECK (name <> ''),
  hash        bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32), -- SHA-256 of the token; the token is nowhere
  narrowed    boolean NOT NULL,            -- else it may do all that the person may
  permissions text[] NOT NULL DEFAULT '{}', -- of a narrowed one: these, as far as the person holds them
  created_at  timestamptz NOT NULL,
  expires_at  timestamptz NOT NULL,
  used_at     timestamptz,                 -- to the minute; null: never
  used_from   text NOT NULL DEFAULT '',    -- the address of that use
  CHECK (narrowed OR permissions = '{}')
);
--bun:split
CREATE INDEX api_tokens_user ON api_tokens (user_id, id DESC);
--bun:split
CREATE INDEX api_tokens_expiry ON api_tokens (expires_at);
