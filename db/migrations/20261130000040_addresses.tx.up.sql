-- An address that was changed on an account counts only once a link in a mail to it was answered. Until then a single sign-on
-- finds nobody by it, and no copies of notices go there.
ALTER TABLE users ADD COLUMN email_changed_at timestamptz; -- null: as the account was made with it, or the mail was answered
--bun:split
ALTER TABLE password_links
  ADD COLUMN confirms boolean NOT NULL DEFAULT false, -- it confirms the address and lets nobody choose a password
  ADD COLUMN mailed boolean NOT NULL DEFAULT false,   -- it was sent to the person alone, and its maker never saw it
  ADD CONSTRAINT password_links_confirms CHECK (NOT confirms OR NOT invites);
