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

// The lifetimes of links by which people choose a password.
const (
	InvitationLifetime = 7 * 24 * time.Hour
	ResetLifetime      = 24 * time.Hour
)

// Invitation is the input for a person to invite.
type Invitation struct {
	Email string
	Name  string // empty: the person gives it; until then the address is the name
	Roles []uuid.UUID
	// Password is the person's password; empty: the person chooses one by a link.
	Password string
}

// Link is a link by which a person chooses a password or confirms an address.
type Link struct {
	Token string // empty: there is no link
	// Mailed says that the link is sent to the person by e-mail alone and shown to nobody: whoever has the link can
	// sign in as the person, and its creator is not a member of all the person's workspaces.
	Mailed bool
}

// Invite adds a person. Without a password it returns the link by which the person chooses one, which cannot be read
// again later. It returns fault.Invalid for bad input, by the fields email, name, password and roles, and
// fault.ErrForbidden also for a role with permissions that the actor does not have.
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
	if errors.As(err, &bad) && bad["user"] != "" { // there is no page of the person for this error
		bad["email"] = bad["user"]
		delete(bad, "user")
	}
	return u, link, err
}

// RenewInvitation makes a new link for a person who has not accepted the invitation, and makes the old link invalid. It
// returns fault.Invalid, by the field user, if the person has accepted it or the link cannot be delivered.
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

// ResetPassword removes a person's password, ends all their sign-ins and API tokens, and notifies the person. It
// returns the link by which the person chooses another password, which cannot be read again later. It returns
// fault.ErrForbidden also for the actor's own account and for a person who may do more than the actor, because the
// actor could otherwise sign in as this person. It returns fault.Invalid, by the field user, if the link cannot be
// delivered.
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

// notifyReset notifies a person that somebody has reset the password. A nil actor is the command line.
func (s *Service) notifyReset(ctx context.Context, tx bun.Tx, actor *Actor, user uuid.UUID, now time.Time) error {
	by := "Whoever runs the server"
	if actor != nil {
		by = actor.Name
	}
	return notifyOwn(ctx, tx, user, now, by+" reset your password",
		"Every sign-in and API token that you had ended then. If you did not ask for it, ask them why.")
}

// mayHoldLink reports whether the actor may see a link by which one can sign in as a person. The actor must be a member
// of all the person's workspaces, or an administrator, so that the link gives no further access.
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

// Joining is the data for the page of a link.
type Joining struct {
	Email, Name string
	Invites     bool // otherwise it resets a password, unless Confirms is set
	Confirms    bool // it confirms the address
}

// Joining finds the person of a link. It returns fault.ErrNotFound for an invalid link.
func (s *Service) Joining(ctx context.Context, token string) (*Joining, error) {
	link, u, err := s.linked(ctx, s.DB, token)
	if err != nil {
		return nil, err
	}
	return &Joining{Email: u.Email, Name: u.Name, Invites: link.Invites, Confirms: link.Confirms}, nil
}

// linked finds a valid link and its person. A link is valid only if its creator may still create it. Otherwise one
// could create a link, wait until the person gets more permissions or another workspace, and sign in as the person.
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

// JoinInput is the input of a link's page. Name and TimeZone, an IANA name, belong to an invitation; an empty zone
// changes nothing.
type JoinInput struct {
	Name, Password, TimeZone string
}

// Join sets the password of a link's person, and for an invitation the name and the time zone, and signs the person in.
// A link can be used once. It returns fault.ErrNotFound as Joining does, and fault.Invalid for bad input, by the fields
// name, password and time_zone.
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
	stored := s.hash(in.Password) // before the transaction, because hashing may wait
	now := s.Now().Truncate(time.Microsecond)
	login := &db.Login{
		ID: db.NewID(), UserID: u.ID, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(LoginLifetime),
		Address: address, UserAgent: db.Printable(userAgent, 300),
	}
	err = s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := db.LockUser(ctx, tx, u.ID); err != nil {
			return err
		}
		// Checked again under the lock: the link may have been used, or the person deactivated, while the password was
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
