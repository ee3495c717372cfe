package account

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/cron"
	"carillon/app/fault"
	"carillon/app/form"
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

// Link is a link by which a person chooses a password or confirms an address.
type Link struct {
	Token string // empty: there is no link
	// Mailed says that it goes to the person by e-mail alone and is shown to nobody: whoever holds it may become the
	// person, and its maker is no member of one of the person's workspaces.
	Mailed bool
}

// Invite adds a person. When they have yet to choose a password it returns the link with which they do, the
// only time that it can be had. It returns fault.Invalid for bad input, by the fields email, name, password and roles,
// and fault.ErrForbidden also for a role that may do more than the actor.
func (s *Service) Invite(ctx context.Context, actor Actor, in Invitation) (u *db.User, link Link, err error) {
	if strings.TrimSpace(in.Name) == "" {
		in.Name, _, _ = strings.Cut(strings.TrimSpace(in.Email), "@")
	}
	a := addition{NewUser: NewUser{Email: in.Email, Name: in.Name, Password: in.Password}, roles: in.Roles}
	if in.Password == "" {
		a.invite = &link
	}
	u, err = s.addUser(ctx, &actor, a)
	var bad fault.Invalid
	if errors.As(err, &bad) && bad["user"] != "" { // there is no page of the person to say it on
		bad["email"] = bad["user"]
		delete(bad, "user")
	}
	return u, link, err
}

// RenewInvitation makes a new link for somebody who has yet to accept their invitation; the old one works no more. It
// returns fault.Invalid, by the field user, when they have accepted it, and where the link could go to nobody.
func (s *Service) RenewInvitation(ctx context.Context, actor Actor, user uuid.UUID) (link Link, err error) {
	err = s.changeOther(ctx, &actor, user, "user.invite", func(ctx context.Context, tx bun.Tx, u *db.User,
		now time.Time) (change, error) {
		p, err := db.PersonByID(ctx, tx, user, now)
		if err != nil {
			return change{}, err
		}
		if p.Status() != db.Invited {
			return change{}, fault.Invalid{"user": u.Name + " has no open invitation."}
		}
		link, err = s.link(ctx, tx, actor, u, true, now)
		return change{}, err
	})
	return link, err
}

// ResetPassword takes a person's password away, ends all their sign-ins and API tokens, tells them by a notice, and
// returns the link with which they choose another, the only time that it can be had. It returns fault.ErrForbidden also
// for the actor's own, and for that of somebody who may do more than the actor: it would be the way to become them. It
// returns fault.Invalid, by the field user, where the link could go to nobody.
func (s *Service) ResetPassword(ctx context.Context, actor Actor, user uuid.UUID) (link Link, err error) {
	if actor.ID == user {
		return Link{}, fault.ErrForbidden
	}
	err = s.changeOther(ctx, &actor, user, "user.reset_password", func(ctx context.Context, tx bun.Tx, u *db.User,
		now time.Time) (change, error) {
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
		if err := endAccess(ctx, tx, user); err != nil {
			return change{}, err
		}
		if err := s.notifyReset(ctx, tx, &actor, user, now); err != nil {
			return change{}, err
		}
		link, err = s.link(ctx, tx, actor, u, false, now)
		return change{after: map[string]any{"by_mail_alone": link.Mailed}}, err
	})
	return link, err
}

// notifyReset tells a person that somebody took their password. A nil actor is the command line.
func (s *Service) notifyReset(ctx context.Context, tx bun.Tx, actor *Actor, user uuid.UUID, now time.Time) error {
	by := "Whoever runs the server"
	if actor != nil {
		by = actor.Name
	}
	return notifyOwn(ctx, tx, user, now, by+" reset your password",
		"Every sign-in and API token that you had ended then. If you did not ask for it, ask them why.")
}

// mayHoldLink reports whether somebody may hold a link by which they could become a person: they are a member of all
// the person's workspaces, or an administrator, so that nothing opens to them that was shut.
func (s *Service) mayHoldLink(ctx context.Context, q bun.IDB, actor Actor, person uuid.UUID) (bool, error) {
	if actor.Can(Admin) {
		return true, nil
	}
	return db.InAllWorkspacesOf(ctx, q, actor.ID, person)
}

// link writes a link by which a person chooses a password.
func (s *Service) link(ctx context.Context, tx bun.Tx, by Actor, u *db.User, invites bool,
	now time.Time) (Link, error) {
	shown, err := s.mayHoldLink(ctx, tx, by, u.ID)
	if err != nil {
		return Link{}, err
	}
	switch {
	case shown:
	case !s.Mail:
		return Link{}, fault.Invalid{"user": "You are not a member of all workspaces of " + u.Name +
			", so the link would have to go by e-mail, and no mail server is set. Ask an administrator."}
	case !u.EmailChangedAt.IsZero():
		return Link{}, fault.Invalid{"user": "You are not a member of all workspaces of " + u.Name +
			", so the link would have to go by e-mail, and nobody has confirmed the address yet. Ask an administrator."}
	}
	l := Link{Token: secret.Token(), Mailed: !shown}
	lifetime := ResetLifetime
	if invites {
		lifetime = InvitationLifetime
	}
	return l, db.SavePasswordLink(ctx, tx, &db.PasswordLink{
		UserID: u.ID, Hash: linkHash(l.Token), Invites: invites, Mailed: l.Mailed, CreatedBy: by.ID, CreatedAt: now,
		ExpiresAt: now.Add(lifetime),
	})
}

func linkHash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// Joining is what a link's page needs to know of the person that it is for.
type Joining struct {
	Email, Name string
	Invites     bool // else it resets a password, or:
	Confirms    bool // it confirms the address
}

// Joining finds whom a link is for. It returns fault.ErrNotFound for a link that does not work, or no more.
func (s *Service) Joining(ctx context.Context, token string) (*Joining, error) {
	link, u, err := s.linked(ctx, s.DB, token)
	if err != nil {
		return nil, err
	}
	return &Joining{Email: u.Email, Name: u.Name, Invites: link.Invites, Confirms: link.Confirms}, nil
}

// linked finds a link that works, and its person. A link is worth what its maker may do now: else somebody could make
// one, wait until the person may do more or comes into another workspace, and become them.
func (s *Service) linked(ctx context.Context, q bun.IDB, token string) (*db.PasswordLink, *db.User, error) {
	link, err := Found(db.PasswordLinkByHash(ctx, q, linkHash(token), s.Now()))
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
		} else if !link.Mailed {
			if ok, err := s.mayHoldLink(ctx, q, by, u.ID); err != nil || !ok {
				return nil, nil, cmp.Or(err, error(fault.ErrNotFound))
			}
		}
	}
	return link, u, nil
}

// JoinInput is what the person of a link types. Name and TimeZone, an IANA name, are of an invitation; without a zone
// the one that they have stays.
type JoinInput struct {
	Name, Password, TimeZone string
}

// Join lets the person of a link choose a password, and on an invitation what they are called and their time zone, and
// signs them in. The link works once. It returns fault.ErrNotFound as Joining does, and fault.Invalid for bad input, by
// the fields name, password and time_zone.
func (s *Service) Join(ctx context.Context, token string, in JoinInput, address, userAgent string) (*db.Login, error) {
	link, u, err := s.linked(ctx, s.DB, token)
	if err == nil && link.Confirms {
		err = fault.ErrNotFound
	}
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
	name := form.NameOf(in.Name)
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
		// Again, now that nothing moves: it may have been used, or the person deactivated, while the password was
		// hashed.
		if _, u, err = s.linked(ctx, tx, token); err != nil {
			return err
		}
		if _, err := db.TakePasswordLink(ctx, tx, u.ID, linkHash(token)); err != nil {
			return err
		}
		event := db.AuditEvent{
			ID: db.NewID(), At: now, ActorID: u.ID, Action: "user.choose_password", SubjectKind: "user",
			SubjectID: u.ID, SubjectName: name, Address: address,
		}
		if link.Invites {
			event.Action, event.Before, event.After = "user.accept_invitation", map[string]any{"name": u.Name},
				map[string]any{"name": name}
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
