package workspace

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/provider"
	"carillon/app/secret"
	"carillon/db"
	"carillon/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// kit is a service on a database of its own with people and a workspace.
type kit struct {
	*Service
	DB        *db.DB // that of the service
	t         *testing.T
	now       time.Time
	workspace db.Workspace  // Scratch
	mira      account.Actor // an administrator
	jonas     account.Actor // a member
}

// begun is when tests begin: a Monday at noon, far from changes of the clocks.
var begun = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func setup(t *testing.T) *kit {
	t.Parallel()
	d := dbtest.New(t)
	k := &kit{t: t, DB: d, now: begun}
	now := func() time.Time { return k.now }
	keys, err := secret.Parse("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	check(t, err)
	k.Service = &Service{
		DB: d, Now: now, Keys: keys, Providers: &provider.Service{DB: d, Now: now, List: func() []provider.Provider {
			return []provider.Provider{{ID: "shell", Name: "Shell", Script: true}, {ID: "agent", Name: "Agent"}}
		}},
		Probe: func(context.Context, Remote) (string, fault.Invalid) { return "main", nil },
	}
	check(t, account.EnsureRoles(t.Context(), d, begun))
	check(t, k.EnsureScratch(t.Context()))
	k.mira = k.person("Mira", account.RoleAdministrator)
	k.jonas = k.person("Jonas", account.RoleMember)
	list, err := k.List(t.Context(), k.mira)
	check(t, err)
	k.workspace = list[0]
	return k
}

// person makes a person with a role built in, without the cost of hashing a password.
func (k *kit) person(name, role string) account.Actor {
	k.t.Helper()
	r, err := db.RoleByKey(k.t.Context(), k.DB, role)
	check(k.t, err)
	u := &db.User{
		ID: db.NewID(), Email: name + "@example.com", Name: name, TimeZone: "UTC", CreatedAt: begun, UpdatedAt: begun,
	}
	check(k.t, k.DB.RunInTx(k.t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		return errors.Join(db.InsertUser(ctx, tx, u, r.ID), k.JoinScratch(ctx, tx, u.ID))
	}))
	return k.actor(u.ID)
}

func (k *kit) actor(id uuid.UUID) account.Actor {
	k.t.Helper()
	u, err := db.UserByID(k.t.Context(), k.DB, id)
	check(k.t, err)
	return account.ActorOf(u)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("got error %v; want %v", got, want)
	}
}

// wantInvalid expects a mistake in one field, and returns its sentence.
func wantInvalid(t *testing.T, err error, field string) string {
	t.Helper()
	var bad fault.Invalid
	if !errors.As(err, &bad) || bad[field] == "" {
		t.Fatalf("got error %v; want something about the field %s", err, field)
	}
	return bad[field]
}

// holding is a new person with a role of their own, a member of Scratch.
func (k *kit) holding(name string, permissions ...account.Permission) account.Actor {
	k.t.Helper()
	r := db.Role{ID: db.NewID(), Name: "Role of " + name, Permissions: []string{}, CreatedAt: begun, Version: 1}
	for _, p := range permissions {
		r.Permissions = append(r.Permissions, string(p))
	}
	check(k.t, db.InsertRole(k.t.Context(), k.DB, &r))
	who := k.person(name, account.RoleMember)
	check(k.t, db.SetRoles(k.t.Context(), k.DB, who.ID, []uuid.UUID{r.ID}))
	return k.actor(who.ID)
}

func roleOf(k *kit, key string) uuid.UUID {
	k.t.Helper()
	r, err := db.RoleByKey(k.t.Context(), k.DB, key)
	check(k.t, err)
	return r.ID
}
