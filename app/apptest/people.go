package apptest

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/db"
)

// Prepare writes what each database has from the program's first start: the roles built in, and the workspace Scratch.
func Prepare(t testing.TB, d *db.DB, rules *automation.Service) {
	t.Helper()
	Check(t, account.EnsureRoles(t.Context(), d, rules.Now()))
	Check(t, rules.Workspaces.EnsureScratch(t.Context()))
}

// NewPerson makes a person with a role built in, a member of Scratch, without the cost of hashing a password.
func NewPerson(t testing.TB, d *db.DB, rules *automation.Service, name, role string) account.Actor {
	t.Helper()
	r, err := db.RoleByKey(t.Context(), d, role)
	Check(t, err)
	now := rules.Now()
	u := &db.User{
		ID: db.NewID(), Email: strings.ToLower(name) + "@example.com", Name: name, TimeZone: "UTC", CreatedAt: now,
		UpdatedAt: now,
	}
	Check(t, db.InTx(t.Context(), d, func(ctx context.Context, tx bun.Tx) error {
		if err := db.InsertUser(ctx, tx, u, r.ID); err != nil {
			return err
		}
		return rules.Workspaces.JoinScratch(ctx, tx, u.ID)
	}))
	return ActorOf(t, d, u.ID)
}

// ActorOf reads a person with the permissions of now.
func ActorOf(t testing.TB, d *db.DB, id uuid.UUID) account.Actor {
	t.Helper()
	u, err := db.UserByID(t.Context(), d, id)
	Check(t, err)
	return account.ActorOf(u)
}

// Person makes a person with a role built in, a member of Scratch.
func (k *Kit) Person(name, role string) account.Actor {
	k.T.Helper()
	return NewPerson(k.T, k.DB, k.Rules, name, role)
}

// Actor reads a person with the permissions of now.
func (k *Kit) Actor(id uuid.UUID) account.Actor {
	k.T.Helper()
	return ActorOf(k.T, k.DB, id)
}

// Holder makes a person with some permissions, a member of Scratch.
func (k *Kit) Holder(name string, permissions ...account.Permission) account.Actor {
	k.T.Helper()
	return k.Allow(k.Person(name, account.RoleMember), permissions...)
}

// Allow gives a person a role of the permissions in place of theirs.
func (k *Kit) Allow(who account.Actor, permissions ...account.Permission) account.Actor {
	k.T.Helper()
	r := db.Role{ID: db.NewID(), Name: "Role of " + who.Name, Permissions: []string{}, CreatedAt: Begun, Version: 1}
	for _, p := range permissions {
		r.Permissions = append(r.Permissions, string(p))
	}
	Check(k.T, db.InsertRole(k.T.Context(), k.DB, &r))
	Check(k.T, db.SetRoles(k.T.Context(), k.DB, who.ID, []uuid.UUID{r.ID}))
	return k.Actor(who.ID)
}

// Deactivate ends a person's account.
func (k *Kit) Deactivate(who account.Actor) {
	k.T.Helper()
	Check(k.T, db.SetDeactivated(k.T.Context(), k.DB, who.ID, Begun, Begun))
}

// Elsewhere makes another workspace, of which a person is the only member.
func (k *Kit) Elsewhere(who account.Actor) uuid.UUID {
	k.T.Helper()
	w := &db.Workspace{
		ID: db.NewID(), Name: "Elsewhere", DefaultBranch: "main", CreatedAt: Begun, UpdatedAt: Begun, Version: 1,
	}
	Check(k.T, db.InsertWorkspace(k.T.Context(), k.DB, w))
	Check(k.T, db.AddMember(k.T.Context(), k.DB, w.ID, who.ID))
	return w.ID
}
