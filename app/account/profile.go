package account

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/cron"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/db"
)

// Profile is the data of a person's own profile.
type Profile struct {
	db.User
	Notices    db.NoticePreferences
	LastEmail  *db.Copy      // the newest copy by e-mail that was tried; nil when there is none
	LastHook   *db.Copy      // the same for the webhook
	Logins     []db.Login    // the last used first
	Identities []db.Identity // their accounts at single sign-ons
}

// HasPassword reports whether the person has a password.
func (p *Profile) HasPassword() bool { return p.PasswordHash != "" }

// Wants reports whether the person wants copies of a kind of notices.
func (p *Profile) Wants(kind string) bool { return !slices.Contains(p.Notices.Muted, kind) }

// Profile finds the actor's profile.
func (s *Service) Profile(ctx context.Context, actor Actor) (*Profile, error) {
	u, err := Found(db.UserByID(ctx, s.DB, actor.ID))
	if err != nil {
		return nil, err
	}
	notices, err := db.NoticePreferencesOf(ctx, s.DB, actor.ID)
	if err != nil {
		return nil, err
	}
	p := &Profile{User: *u, Notices: *notices}
	if p.LastEmail, err = db.LastCopy(ctx, s.DB, actor.ID, db.EmailChannel); err != nil {
		return nil, err
	}
	if p.LastHook, err = db.LastCopy(ctx, s.DB, actor.ID, db.WebhookChannel); err != nil {
		return nil, err
	}
	if p.Identities, err = db.Identities(ctx, s.DB, actor.ID); err != nil {
		return nil, err
	}
	p.Logins, err = db.Logins(ctx, s.DB, actor.ID, s.Now())
	return p, err
}

// ProfileInput is the input for a person's profile.
type ProfileInput struct {
	Name, TimeZone, Theme string
	Version               string // ProfileVersion of the form; empty: not compared
}

// UpdateProfile changes a person's name, time zone and theme. It returns fault.Invalid for bad input, by the fields
// name, time_zone and theme, and fault.ErrStale if the profile was changed since the form was read.
func (s *Service) UpdateProfile(ctx context.Context, actor Actor, in ProfileInput) error {
	bad := fault.Invalid{}
	name := form.NameOf(in.Name)
	if problem := checkName(name); problem != "" {
		bad["name"] = problem
	}
	if _, err := cron.Zone(in.TimeZone); err != nil {
		bad["time_zone"] = fault.Sentence(err.Error())
	}
	if in.Theme != "" && in.Theme != "light" && in.Theme != "dark" {
		bad["theme"] = "Choose light, dark or the system’s."
	}
	if len(bad) > 0 {
		return bad
	}
	return s.change(ctx, actor, "user.update_profile",
		func(ctx context.Context, tx bun.Tx, u *db.User) (before, after map[string]any, err error) {
			if in.Version != "" && in.Version != ProfileVersion(u) {
				return nil, nil, fault.ErrStale
			}
			before = map[string]any{"name": u.Name, "time_zone": u.TimeZone, "theme": u.Theme}
			u.Name = name
			u.TimeZone = in.TimeZone
			u.Theme = in.Theme
			u.UpdatedAt = s.Now()
			after = map[string]any{"name": u.Name, "time_zone": u.TimeZone, "theme": u.Theme}
			return before, after, db.UpdateProfile(ctx, tx, u)
		})
}

// ProfileVersion is the version of the fields that UpdateProfile changes.
func ProfileVersion(u *db.User) string { return db.Fingerprint(u.Name, u.TimeZone, u.Theme) }

// NoticesVersion is the version of the fields that UpdateNotices changes.
func NoticesVersion(p db.NoticePreferences) string {
	return db.Fingerprint(p.Email, p.WebhookURL, slices.Sorted(slices.Values(p.Muted)))
}

// change is own with a line in the audit log.
func (s *Service) change(ctx context.Context, actor Actor, action string,
	fn func(ctx context.Context, tx bun.Tx, u *db.User) (before, after map[string]any, err error)) error {
	return s.own(ctx, actor, action, func(ctx context.Context, tx bun.Tx, u *db.User) error {
		before, after, err := fn(ctx, tx, u)
		if err != nil {
			return err
		}
		return db.AddAudit(ctx, tx, db.AuditEvent{
			ID: db.NewID(), At: s.Now(), ActorID: actor.ID, Action: action, SubjectKind: "user", SubjectID: u.ID,
			SubjectName: u.Name,
			Before:      before, After: after,
		})
	})
}

// own locks the actor's row and calls fn to change the actor's own data. It returns fault.ErrForbidden for a request
// with a token, and fault.ErrNotFound if the person was deactivated.
func (s *Service) own(ctx context.Context, actor Actor, action string,
	fn func(ctx context.Context, tx bun.Tx, u *db.User) error) error {
	if actor.byProgram() {
		return fault.ErrForbidden
	}
	err := s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		u, err := db.LockUser(ctx, tx, actor.ID)
		if db.IsNotFound(err) || err == nil && !u.DeactivatedAt.IsZero() {
			return fault.ErrNotFound
		}
		if err != nil {
			return err
		}
		return fn(ctx, tx, u)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	return nil
}

// checkName gives the problem with a person's name, or "".
func checkName(name string) string {
	bad := fault.Invalid{}
	form.Name(bad, "name", "Enter your name.", name, 200)
	return bad["name"]
}

// ChangePassword changes the actor's password and ends all their sign-ins but the given one, because somebody who knew
// the old password may have the others. It returns fault.Invalid for bad input, by the fields current and password, and
// *Throttled after too many wrong current passwords.
//
// API tokens stay valid: they are for programs and can be revoked on their own page. A reset by somebody else ends them
// too.
func (s *Service) ChangePassword(ctx context.Context, actor Actor, login uuid.UUID, current, chosen string) error {
	if actor.byProgram() { // it may not guess the password either
		return fault.ErrForbidden
	}
	now := s.Now()
	// a key of its own, so that wrong guesses here do not prevent a sign-in
	guesses := attemptKey("password of", actor.ID.String())
	u, err := db.UserByID(ctx, s.DB, actor.ID)
	if err != nil {
		return err
	}
	if u.PasswordHash == "" {
		return fault.Invalid{"current": "You sign in without a password here. An administrator can give you one."}
	}
	// Counted before the password is checked, so that concurrent guesses cannot exceed the limit together.
	if err := db.AddSignInFailure(ctx, s.DB, now, guesses); err != nil {
		return err
	}
	n, err := db.SignInFailures(ctx, s.DB, guesses, now.Add(-attemptWindow))
	if err != nil {
		return err
	}
	if n > attemptsPerPair {
		return &Throttled{Until: now.Add(attemptWindow)}
	}
	bad := fault.Invalid{}
	if problem := checkPassword(chosen); problem != "" {
		bad["password"] = problem
	} else if chosen == current {
		bad["password"] = "Choose one that differs from the current one."
	}
	ok := false
	if len(current) <= maxPassword {
		if ok, _, err = s.checkHash(u.PasswordHash, current); err != nil {
			return fmt.Errorf("change password: %w", err)
		}
	}
	if !ok {
		delete(bad, "password") // it must not depend on the guess
		bad["current"] = "This is not your current password."
	} else if err := db.ClearSignInFailures(ctx, s.DB, guesses); err != nil {
		return err
	}
	if len(bad) > 0 {
		return bad
	}
	stored := s.hash(chosen)
	return s.change(ctx, actor, "user.change_password",
		func(ctx context.Context, tx bun.Tx, locked *db.User) (before, after map[string]any, err error) {
			if locked.PasswordHash != u.PasswordHash { // the password was changed or reset meanwhile
				return nil, nil, fault.ErrStale
			}
			if err := db.SetPasswordHash(ctx, tx, actor.ID, stored, s.Now()); err != nil {
				return nil, nil, err
			}
			return nil, nil, db.DeleteLogins(ctx, tx, actor.ID, login)
		})
}

// EndLogin ends one of the actor's sign-ins. It returns fault.ErrNotFound if there is no such sign-in.
func (s *Service) EndLogin(ctx context.Context, actor Actor, login uuid.UUID) error {
	return s.change(ctx, actor, "user.end_login",
		func(ctx context.Context, tx bun.Tx, _ *db.User) (before, after map[string]any, err error) {
			ended, err := db.DeleteLoginOf(ctx, tx, actor.ID, login)
			if err == nil && !ended {
				err = fault.ErrNotFound
			}
			return nil, nil, err
		})
}

// EndOtherLogins ends all of the actor's sign-ins but one.
func (s *Service) EndOtherLogins(ctx context.Context, actor Actor, kept uuid.UUID) error {
	return s.change(ctx, actor, "user.end_other_logins",
		func(ctx context.Context, tx bun.Tx, _ *db.User) (before, after map[string]any, err error) {
			return nil, nil, db.DeleteLogins(ctx, tx, actor.ID, kept)
		})
}

// NoticesInput is the input for copies of notices outside the inbox.
type NoticesInput struct {
	Email      bool
	WebhookURL string   // empty: none
	Kinds      []string // kinds of notices to copy
	Version    string   // NoticesVersion of the form; empty: not compared
}

// UpdateNotices changes the actor's settings for copies of notices. For the first webhook it returns the webhook's
// secret, which is shown once. It deletes queued copies of a channel that is switched off. It returns fault.Invalid for
// bad input, by the fields email, webhook and kinds, and fault.ErrStale if the settings were changed since the form was
// read.
func (s *Service) UpdateNotices(ctx context.Context, actor Actor, in NoticesInput) (secret string, err error) {
	bad := fault.Invalid{}
	address := strings.TrimSpace(in.WebhookURL)
	if address != "" {
		if problem := s.Outbound.CheckURL(address); problem != "" {
			bad["webhook"] = problem
		}
	}
	for _, kind := range in.Kinds {
		if !slices.Contains(s.NoticeKinds, kind) {
			bad["kinds"] = "There is no such kind of notice."
		}
	}
	muted := []string{}
	for _, kind := range s.NoticeKinds {
		if !slices.Contains(in.Kinds, kind) {
			muted = append(muted, kind)
		}
	}
	if len(bad) > 0 {
		return "", bad
	}
	err = s.change(ctx, actor, "user.update_notices",
		func(ctx context.Context, tx bun.Tx, _ *db.User) (before, after map[string]any, err error) {
			p, err := db.NoticePreferencesOf(ctx, tx, actor.ID)
			if err != nil {
				return nil, nil, err
			}
			if in.Version != "" && in.Version != NoticesVersion(*p) {
				return nil, nil, fault.ErrStale
			}
			before = auditedNotices(p)
			if p.UpdatedAt.IsZero() && !in.Email && address == "" && len(muted) == 0 {
				return before, before, nil // there are no settings, before and after
			}
			switch {
			case s.Mail:
				p.Email = in.Email
			case in.Email && !p.Email: // without a mail server e-mail cannot be switched on; an earlier choice is kept
				return nil, nil, fault.Invalid{"email": "This server cannot send e-mail: no mail server is set."}
			}
			p.WebhookURL, p.Muted, p.UpdatedAt = address, muted, s.Now()
			if address == "" {
				p.WebhookSecret = nil
			} else if p.WebhookSecret == nil {
				secret = s.newWebhookSecret(p)
			}
			if err := db.SaveNoticePreferences(ctx, tx, p); err != nil {
				return nil, nil, err
			}
			for channel, on := range map[db.CopyChannel]bool{
				db.EmailChannel: p.Email, db.WebhookChannel: address != "",
			} {
				if on {
					continue
				}
				if err := db.DeleteQueuedCopies(ctx, tx, actor.ID, channel); err != nil {
					return nil, nil, err
				}
			}
			return before, auditedNotices(p), nil
		})
	return secret, err
}

// auditedNotices gives the settings of copies for the audit log. It has only the host of the webhook, because the rest
// of the address may be a secret.
func auditedNotices(p *db.NoticePreferences) map[string]any {
	host := ""
	if u, err := url.Parse(p.WebhookURL); err == nil {
		host = u.Host
	}
	return map[string]any{"email": p.Email, "webhook": host, "muted": p.Muted}
}

// RenewWebhookSecret replaces the secret of the actor's webhook and returns the new one, which is shown once. It
// returns fault.ErrNotFound if there is no webhook.
func (s *Service) RenewWebhookSecret(ctx context.Context, actor Actor) (secret string, err error) {
	err = s.change(ctx, actor, "user.renew_webhook_secret",
		func(ctx context.Context, tx bun.Tx, _ *db.User) (before, after map[string]any, err error) {
			p, err := db.NoticePreferencesOf(ctx, tx, actor.ID)
			if err != nil {
				return nil, nil, err
			}
			if p.WebhookURL == "" {
				return nil, nil, fault.ErrNotFound
			}
			secret, p.UpdatedAt = s.newWebhookSecret(p), s.Now()
			return nil, nil, db.SaveNoticePreferences(ctx, tx, p)
		})
	return secret, err
}

// webhookSecretPrefix is the prefix of a secret's text form. Source: the specification "Standard Webhooks".
const webhookSecretPrefix = "whsec_"

// newWebhookSecret makes a secret, writes its sealed form into p, and returns its text form.
func (s *Service) newWebhookSecret(p *db.NoticePreferences) string {
	raw := make([]byte, 32)
	rand.Read(raw) //nolint:errcheck // never fails, by its documentation
	text := webhookSecretPrefix + base64.StdEncoding.EncodeToString(raw)
	p.WebhookSecret = s.Keys.Seal(text, webhookPurpose(p.UserID))
	return text
}

func webhookPurpose(user uuid.UUID) string { return "notice webhook " + user.String() }

// WebhookKey decrypts the secret of a person's webhook, which is the key of signatures.
func (s *Service) WebhookKey(user uuid.UUID, sealed []byte) ([]byte, error) {
	text, err := s.Keys.Open(sealed, webhookPurpose(user))
	if err != nil {
		return nil, fmt.Errorf("open the secret of a webhook: %w", err)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, webhookSecretPrefix))
	if err != nil {
		return nil, fmt.Errorf("open the secret of a webhook: %w", err)
	}
	return raw, nil
}
