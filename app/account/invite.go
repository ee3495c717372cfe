package account

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/cron"
	"carillon/app/fault"
	"carillon/app/secret"
	"carillon/db"
)

// How long the links hold with which people choose a password.
const (
	InvitationLifetime = 7 * 24 * time.Hour
	ResetLifetime      = 24 * time.Hour
)

// Invitation is somebody to be invited, as a person typed it.
type Invitation struct {
	Email string
	Name  string // empty: the person says; until then they are called by their address
	Roles []uuid.UUID
	// Password lets the person in at once; without one they choose it by a link.
	Password string
}

// Invite adds a person. When they have yet to choose a password it returns the token of the link with which they do, the
// only time that it can be had. It returns fault.Invalid for bad input, by the fields email, name, password and roles, and
// fault.ErrForbidden also for a role that may do more than the actor.
func (s *Service) Invite(ctx context.Context, actor Actor, in Invitation) (u *db.User, token string, err error) {
	if strings.TrimSpace(in.Name) == "" {
		in.Name, _, _ = strings.Cut(strings.TrimSpace(in.Email), "@")
	}
	a := addition{NewUser: NewUser{Email: in.Email, Name: in.Name, Password: in.Password}, roles: in.Roles}
	if in.Password == "" {
		a.invite = &token
	}
	u, err = s.add(ctx, &actor, a)
	return u, token, err
}

// RenewInvitation makes a new link for somebody who has yet to accept their invitation; the old one works no more. It
// returns fault.Invalid, by the field user, when they have accepted it.
func (s *Service) RenewInvitation(ctx context.Context, actor Actor, user uuid.UUID) (token string, err error) {
	err = s.changeOther(ctx, &actor, user, "user.invite", func(ctx context.Context, tx bun.Tx, u *db.User, now time.Time) (change, error) {
		p, err := db.PersonByID(ctx, tx, user, now)
		if err != nil {
			return change{}, err
		}
		if p.Status() != db.Invited {
			return change{}, fault.Invalid{"user": u.Name + " has no open invitation."}
		}
		token, err = s.link(ctx, tx, actor.ID, user, true, now)
		return change{}, err
	})
	return token, err
}

// ResetPassword takes a person's password away, ends all their sign-ins and API tokens, and returns the token of a link with which they
// choose another, the only time that it can be had. It returns fault.ErrForbidden also for the actor's own, and for that of
// somebody who may do more than the actor: it would be the way to become them.
func (s *Service) ResetPassword(ctx context.Context, actor Actor, user uuid.UUID) (token string, err error) {
	if actor.ID == user {
		return "", fault.ErrForbidden
	}
	err = s.changeOther(ctx, &actor, user, "user.reset_password", func(ctx context.Context, tx bun.Tx, u *db.User, now time.Time) (change, error) {
		p, err := db.PersonByID(ctx, tx, user, now)
		if err != nil {
			return change{}, err
		}
		switch p.Status() {
		case db.Deactivated:
			return change{}, fault.Invalid{"user": u.Name + " is deactivated. Activate the account first."}
		case db.Invited:
			return change{}, fault.Invalid{"user": u.Name + " has an open invitation. Make a new link of it."}
		}
		if err := db.SetPasswordHash(ctx, tx, user, "", now); err != nil {
			return change{}, err
		}
		if err := shutOut(ctx, tx, user); err != nil {
			return change{}, err
		}
		token, err = s.link(ctx, tx, actor.ID, user, false, now)
		return change{}, err
	})
	return token, err
}

// link writes a link and returns its token.
func (s *Service) link(ctx context.Context, tx bun.Tx, by, user uuid.UUID, invites bool, now time.Time) (string, error) {
	lifetime := ResetLifetime
	if invites {
		lifetime = InvitationLifetime
	}
	token := secret.Token()
	return token, db.SavePasswordLink(ctx, tx, &db.PasswordLink{
		UserID: user, Hash: linkHash(token), Invites: invites, CreatedBy: by, CreatedAt: now, ExpiresAt: now.Add(lifetime),
	})
}

func linkHash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// Joining is what a link's page needs to know of the person that it is for.
type Joining struct {
	Email, Name string
	Invites     bool // else it resets a password
}

// Joining finds whom a link is for. It returns fault.ErrNotFound for a link that does not work, or no more.
func (s *Service) Joining(ctx context.Context, token string) (*Joining, error) {
	link, u, err := s.linked(ctx, s.DB, token)
	if err != nil {
		return nil, err
	}
	return &Joining{Email: u.Email, Name: u.Name, Invites: link.Invites}, nil
}

// linked finds a link that works, and its person. A link is worth what its maker may do now: else somebody could make one,
// wait until the person may do more, and become them.
func (s *Service) linked(ctx context.Context, q bun.IDB, token string) (*db.PasswordLink, *db.User, error) {
	link, err := db.PasswordLinkByHash(ctx, q, linkHash(token), s.Now())
	if db.IsNotFound(err) {
		return nil, nil, fault.ErrNotFound
	}
	if err != nil {
		return nil, nil, err
	}
	u, err := db.UserByID(ctx, q, link.UserID)
	if err != nil {
		return nil, nil, err
	}
	if !u.DeactivatedAt.IsZero() {
		return nil, nil, fault.ErrNotFound
	}
	if link.CreatedBy != uuid.Nil {
		maker, err := db.UserByID(ctx, q, link.CreatedBy)
		if err != nil {
			return nil, nil, err
		}
		if by := ActorOf(maker); !maker.DeactivatedAt.IsZero() || !by.Can(ManageUsers) || !by.Covers(u.Permissions) {
			return nil, nil, fault.ErrNotFound
		}
	}
	return link, u, nil
}

// JoinInput is what the person of a link types. Name and TimeZone, an IANA name, are of an invitation; without a zone the one
// that they have stays.
type JoinInput struct {
	Name, Password, TimeZone string
}

// Join lets the person of a link choose a password, and on an invitation what they are called and their time zone, and signs
// them in. The link works once. It returns fault.ErrNotFound as Joining does, and fault.Invalid for bad input, by the fields
// name, password and time_zone.
func (s *Service) Join(ctx context.Context, token string, in JoinInput, address, userAgent string) (*db.Login, error) {
	link, u, err := s.linked(ctx, s.DB, token)
	if err != nil {
		return nil, err
	}
	bad := fault.Invalid{}
	if problem := checkPassword(in.Password); problem != "" {
		bad["password"] = problem
	}
	if _, err := cron.Zone(in.TimeZone); err != nil && link.Invites && in.TimeZone != "" {
		bad["time_zone"] = fault.Sentence(err.Error())
	}
	name := NameOf(in.Name)
	if !link.Invites {
		name = u.Name
	} else if problem := checkName(name); problem != "" {
		bad["name"] = problem
	}
	if len(bad) > 0 {
		return nil, bad
	}
	stored := s.hash(in.Password) // before the transaction, since hashing waits for its turn
	now := s.Now().Truncate(time.Microsecond)
	login := &db.Login{
		ID: db.NewID(), UserID: u.ID, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(LoginLifetime),
		Address: address, UserAgent: db.Printable(userAgent, 300),
	}
	err = s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := db.LockUser(ctx, tx, u.ID); err != nil {
			return err
		}
		// Again, now that nothing moves: it may have been used, or the person deactivated, while the password was hashed.
		if _, u, err = s.linked(ctx, tx, token); err != nil {
			return err
		}
		if _, err := db.TakePasswordLink(ctx, tx, u.ID, linkHash(token)); err != nil {
			return err
		}
		event := db.AuditEvent{
			ID: db.NewID(), At: now, ActorID: u.ID, Action: "user.choose_password", SubjectKind: "user", SubjectID: u.ID, SubjectName: name, Address: address,
		}
		if link.Invites {
			event.Action, event.Before, event.After = "user.accept_invitation", map[string]any{"name": u.Name}, map[string]any{"name": name}
			if u.Name, u.UpdatedAt = name, now; in.TimeZone != "" {
				u.TimeZone = in.TimeZone
			}
			if err := db.UpdateProfile(ctx, tx, u); err != nil {
				return err
			}
		}
		if err := db.SetPasswordHash(ctx, tx, u.ID, stored, now); err != nil {
			return err
		}
		if err := db.DeleteLogins(ctx, tx, u.ID, uuid.Nil); err != nil {
			return err
		}
		if err := db.InsertLogin(ctx, tx, login); err != nil {
			return err
		}
		return db.AddAudit(ctx, tx, event)
	})
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	return login, nil
}
