package account

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/secret"
	"carillon/db"
)

// People lists the people of this installation. It returns fault.ErrForbidden without users.manage.
func (s *Service) People(ctx context.Context, actor Actor, f db.PersonFilter) ([]db.Person, error) {
	if !actor.Can(ManageUsers) {
		return nil, fault.ErrForbidden
	}
	f.Now = s.Now()
	return db.People(ctx, s.DB, f)
}

// PersonDetail is a person with the data for people who manage people.
type PersonDetail struct {
	db.Person
	Roles      []db.Role
	Workspaces []db.Workspace
	Logins     []db.Login
	Identities []db.Identity // their accounts at single sign-ons
	Tokens     []db.APIToken
	// Beyond says that the person has permissions that the actor does not have, so that the actor may not change the
	// account.
	Beyond bool
}

// Person finds a person with details. It returns fault.ErrForbidden without users.manage.
func (s *Service) Person(ctx context.Context, actor Actor, id uuid.UUID) (*PersonDetail, error) {
	if !actor.Can(ManageUsers) {
		return nil, fault.ErrForbidden
	}
	p, err := Found(db.PersonByID(ctx, s.DB, id, s.Now()))
	if err != nil {
		return nil, err
	}
	d := &PersonDetail{Person: *p, Beyond: !actor.Covers(p.Permissions)}
	if d.Roles, err = db.RolesOf(ctx, s.DB, id); err != nil {
		return nil, err
	}
	if d.Workspaces, err = db.WorkspacesOf(ctx, s.DB, id); err != nil {
		return nil, err
	}
	if d.Identities, err = db.Identities(ctx, s.DB, id); err != nil {
		return nil, err
	}
	if d.Tokens, err = db.APITokensOf(ctx, s.DB, id); err != nil {
		return nil, err
	}
	d.Logins, err = db.Logins(ctx, s.DB, id, s.Now())
	return d, err
}

// UpdatePerson changes the address and the name of a person. It returns fault.ErrForbidden also for a person who may do
// more than the actor, because links can be sent to the new address, and fault.Invalid for bad input, by the fields
// email and name. It returns fault.ErrStale if PersonVersion differs from the given version; an empty version is not
// compared.
//
// Only a member of all the person's workspaces or an administrator may change the address. Earlier links become
// invalid. With a mail server it returns the link that confirms the new address. An unconfirmed address is not used for
// sign-ins by single sign-on or for e-mail. The address of a person with an open invitation is confirmed by accepting
// the invitation.
func (s *Service) UpdatePerson(ctx context.Context, actor Actor, user uuid.UUID, email, name,
	version string) (link Link, err error) {
	bad := fault.Invalid{}
	email, problem := cleanEmail(email)
	if problem != "" {
		bad["email"] = problem
	}
	name = form.NameOf(name)
	if problem := checkName(name); problem != "" {
		bad["name"] = problem
	}
	if len(bad) > 0 {
		if !actor.Can(ManageUsers) {
			return Link{}, fault.ErrForbidden
		}
		return Link{}, bad
	}
	err = s.changeOther(ctx, &actor, user, "user.update", func(ctx context.Context, tx bun.Tx, u *db.User,
		now time.Time) (change, error) {
		if version != "" && version != PersonVersion(u) {
			return change{}, fault.ErrStale
		}
		c := change{
			before: map[string]any{"email": u.Email, "name": u.Name},
			after:  map[string]any{"email": email, "name": name},
		}
		another := !strings.EqualFold(u.Email, email)
		u.Email, u.Name, u.UpdatedAt = email, name, now
		var open bool
		if another {
			if open, err = s.changeAddress(ctx, tx, actor, u, now); err != nil {
				return c, err
			}
		}
		err := db.UpdateUser(ctx, tx, u)
		if db.Conflict(err) == "users_email" {
			return c, fault.Invalid{"email": "Somebody has this address already."}
		}
		if err == nil && open && user != actor.ID {
			err = notifyOwn(ctx, tx, user, now, actor.Name+" changed the e-mail address of your account",
				"You sign in as "+email+" now. If you did not ask for it, ask them why.")
		}
		if err == nil && open && s.Mail {
			link, err = addressLink(ctx, tx, actor.ID, user, now)
		}
		return c, err
	})
	return link, err
}

// changeAddress prepares a person's row for another address. It reports whether the address has to be confirmed by a
// link.
func (s *Service) changeAddress(ctx context.Context, tx bun.Tx, actor Actor, u *db.User,
	now time.Time) (open bool, err error) {
	reaches, err := s.mayHoldLink(ctx, tx, actor, u.ID)
	if err != nil {
		return false, err
	}
	if !reaches {
		return false,
			fault.Invalid{"email": "You are not a member of all workspaces of this person, so an administrator has " +
				"to change the address."}
	}
	if err := db.ExpirePasswordLink(ctx, tx, u.ID, now); err != nil { // it was sent to the former address
		return false, err
	}
	p, err := db.PersonByID(ctx, tx, u.ID, now)
	if err != nil || p.Status() == db.Invited {
		return false, err
	}
	u.EmailChangedAt = now
	return true, nil
}

// addressLink makes a link that confirms a person's address.
func addressLink(ctx context.Context, tx bun.Tx, by, user uuid.UUID, now time.Time) (Link, error) {
	l := Link{Token: secret.Token(), Mailed: true}
	return l, db.SavePasswordLink(ctx, tx, &db.PasswordLink{
		UserID: user, Hash: linkHash(l.Token), Confirms: true, Mailed: true, CreatedBy: by, CreatedAt: now,
		ExpiresAt: now.Add(InvitationLifetime),
	})
}

// RenewAddressLink makes a new link for a person's unconfirmed address, and makes the old link invalid. It returns
// fault.Invalid, by the field user, if there is nothing to confirm or no mail server, and fault.ErrForbidden also for a
// person who may do more than the actor.
func (s *Service) RenewAddressLink(ctx context.Context, actor Actor, user uuid.UUID) (link Link, err error) {
	err = s.changeOther(ctx, &actor, user, "user.ask_address", func(ctx context.Context, tx bun.Tx, u *db.User,
		now time.Time) (change, error) {
		switch {
		case u.EmailChangedAt.IsZero() || !u.DeactivatedAt.IsZero():
			return change{}, fault.Invalid{"user": "There is no address to confirm."}
		case !s.Mail:
			return change{},
				fault.Invalid{"user": "No mail server is set. Whoever runs the server can confirm the address: " +
					"carillon user confirm-address."}
		}
		link, err = addressLink(ctx, tx, actor.ID, user, now)
		return change{after: map[string]any{"email": u.Email}}, err
	})
	return link, err
}

// ConfirmAddressByLink confirms an address by the link that was sent to it. The link can be used once. It returns
// fault.ErrNotFound as Joining does.
func (s *Service) ConfirmAddressByLink(ctx context.Context, token, address string) error {
	err := s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		_, before, err := s.linked(ctx, tx, token)
		if err != nil {
			return err
		}
		if _, err := db.LockUser(ctx, tx, before.ID); err != nil {
			return err
		}
		// Checked again under the lock: the address may have been changed.
		link, u, err := s.linked(ctx, tx, token)
		if err != nil {
			return err
		}
		if !link.Confirms {
			return fault.ErrNotFound
		}
		if _, err := db.TakePasswordLink(ctx, tx, u.ID, linkHash(token)); err != nil {
			return err
		}
		now := s.Now()
		if err := db.ConfirmAddress(ctx, tx, u.ID, now); err != nil {
			return err
		}
		return db.AddAudit(ctx, tx, db.AuditEvent{
			ID: db.NewID(), At: now, ActorID: u.ID, Action: "user.confirm_address", SubjectKind: "user",
			SubjectID: u.ID, SubjectName: u.Name,
			Reason: "by the mail to it", After: map[string]any{"email": u.Email}, Address: address,
		})
	})
	if err != nil {
		return fmt.Errorf("confirm address: %w", err)
	}
	return nil
}

// ConfirmAddress confirms a person's changed address from the command line, without an e-mail. It returns
// fault.Invalid, by the field user, if there is nothing to confirm.
func (s *Service) ConfirmAddress(ctx context.Context, user uuid.UUID) error {
	return s.changeOther(ctx, nil, user, "user.confirm_address", func(ctx context.Context, tx bun.Tx, u *db.User,
		now time.Time) (change, error) {
		if u.EmailChangedAt.IsZero() {
			return change{}, fault.Invalid{"user": "There is no address to confirm."}
		}
		if err := db.ExpirePasswordLink(ctx, tx, user, now); err != nil {
			return change{}, err
		}
		return change{after: map[string]any{"email": u.Email}}, db.ConfirmAddress(ctx, tx, user, now)
	})
}

// PersonVersion is the version of the fields that UpdatePerson changes.
func PersonVersion(u *db.User) string { return db.Fingerprint(u.Email, u.Name) }

// RolesVersion is the version of a list of roles, for SetRoles.
func RolesVersion(roles []uuid.UUID) string {
	var list []any
	for _, id := range slices.SortedFunc(slices.Values(roles), func(a, b uuid.UUID) int {
		return strings.Compare(a.String(), b.String())
	}) {
		list = append(list, id)
	}
	return db.Fingerprint(list...)
}

// SetRoles replaces the roles of a person. It returns fault.ErrForbidden for an added or removed role with permissions
// that the actor does not have, and fault.Invalid, by the field roles, for an empty list, for an unknown role, and for
// removing the last administrator. It returns fault.ErrStale if RolesVersion of the person's roles differs from the
// given version; an empty version is not compared.
func (s *Service) SetRoles(ctx context.Context, actor *Actor, user uuid.UUID, roles []uuid.UUID, version string) error {
	if len(roles) == 0 {
		if actor != nil && !actor.Can(ManageUsers) {
			return fault.ErrForbidden
		}
		return fault.Invalid{"roles": "Choose at least one role."}
	}
	return s.changeOther(ctx, actor, user, "user.set_roles", func(ctx context.Context, tx bun.Tx, u *db.User,
		_ time.Time) (change, error) {
		list, err := s.grantable(ctx, tx, actor, roles)
		if err != nil {
			return change{}, err
		}
		if version != "" {
			held, err := db.RolesOf(ctx, tx, user)
			if err != nil {
				return change{}, err
			}
			if version != RolesVersion(ids(held)) {
				return change{}, fault.ErrStale
			}
		}
		if err := db.SetRoles(ctx, tx, user, ids(list)); err != nil {
			return change{}, err
		}
		return change{before: map[string]any{"roles": u.RoleName}, after: map[string]any{"roles": names(list)}},
			s.keepAdministrator(ctx, tx, u, "roles")
	})
}

// grantable finds the roles of a list and checks that the actor may assign them.
func (s *Service) grantable(ctx context.Context, tx bun.Tx, actor *Actor, roles []uuid.UUID) ([]db.Role, error) {
	roles = slices.Clone(roles)
	slices.SortFunc(roles, func(a, b uuid.UUID) int { return strings.Compare(a.String(), b.String()) })
	roles = slices.Compact(roles)
	list, err := db.RolesByIDs(ctx, tx, roles)
	if err != nil {
		return nil, err
	}
	if len(list) != len(roles) {
		return nil, fault.Invalid{"roles": "One of these roles is gone. Load the page again."}
	}
	for _, r := range list {
		if actor != nil && !actor.Covers(r.Permissions) {
			return nil, fault.ErrForbidden
		}
	}
	return list, nil
}

// keepAdministrator refuses a change after which there would be no active administrator. The lock of changeOther
// serializes all such changes.
func (s *Service) keepAdministrator(ctx context.Context, tx bun.Tx, was *db.User, field string) error {
	if !Grants(was.Permissions, Admin) {
		return nil
	}
	left, err := db.CanAdminister(ctx, tx, string(Admin))
	if err == nil && !left {
		err = fault.Invalid{field: "This is the last administrator. Make another one first."}
	}
	return err
}

func ids(list []db.Role) []uuid.UUID {
	var all []uuid.UUID
	for _, r := range list {
		all = append(all, r.ID)
	}
	return all
}

func names(list []db.Role) string {
	var all []string
	for _, r := range list {
		all = append(all, r.Name)
	}
	return strings.Join(all, ", ")
}

// change has the values before and after a change, for the audit log. quiet says that nothing was changed.
type change struct {
	before, after map[string]any
	quiet         bool
}

// lockPeople serializes changes of people and roles until the transaction ends. It then asks again whether the actor
// may manage people, and sets the actor to the one with the permissions of this moment, whom all else that the change
// needs is to be asked of. A nil actor is the command line. It returns fault.ErrForbidden.
func lockPeople(ctx context.Context, tx bun.Tx, actor *Actor) error {
	err := db.LockKey(ctx, tx, uuid.Nil)
	if err != nil || actor == nil {
		return err
	}
	*actor, err = StillMay(ctx, tx, *actor, ManageUsers, uuid.Nil)
	return err
}

// changeOther calls fn to change a person's account, and writes the change into the audit log. All such changes are
// serialized, so that two administrators cannot deactivate each other. See lockPeople for the actor.
func (s *Service) changeOther(ctx context.Context, actor *Actor, user uuid.UUID, action string,
	fn func(ctx context.Context, tx bun.Tx, u *db.User, now time.Time) (change, error)) error {
	if actor != nil && !actor.Can(ManageUsers) {
		return fault.ErrForbidden
	}
	err := s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := lockPeople(ctx, tx, actor); err != nil {
			return err
		}
		// The row is locked against a concurrent sign-in and the person's own changes.
		if _, err := db.LockUser(ctx, tx, user); db.IsNotFound(err) {
			return fault.ErrNotFound
		} else if err != nil {
			return err
		}
		u, err := db.UserByID(ctx, tx, user)
		if err != nil {
			return err
		}
		if actor != nil && !actor.Covers(u.Permissions) {
			return fault.ErrForbidden
		}
		now := s.Now()
		name := u.Name
		c, err := fn(ctx, tx, u, now)
		if err != nil || c.quiet {
			return err
		}
		event := db.AuditEvent{
			ID: db.NewID(), At: now, Action: action, SubjectKind: "user", SubjectID: user, SubjectName: name,
			Before: c.before, After: c.after,
		}
		if actor != nil {
			event.ActorID = actor.ID
		}
		return db.AddAudit(ctx, tx, event)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	return nil
}
