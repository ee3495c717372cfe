-- Accounts of people at a single sign-on. The provider's pair of issuer and subject names one for ever; an e-mail address
-- may be given to somebody else.
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
