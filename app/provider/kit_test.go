package provider

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/db"
	"carillon/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// kit is a service on a database of its own with people.
type kit struct {
	*Service
	DB    *db.DB // that of the service
	t     *testing.T
	now   time.Time
	mira  account.Actor // an administrator
	jonas account.Actor // a member
}

// begun is when tests begin: a Monday at noon, far from changes of the clocks.
var begun = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func setup(t *testing.T) *kit {
	t.Parallel()
	d := dbtest.New(t)
	k := &kit{t: t, DB: d, now: begun}
	now := func() time.Time { return k.now }
	k.Service = &Service{DB: d, Now: now, List: func() []Provider {
		return []Provider{{ID: "shell", Name: "Shell", Script: true},
			{ID: "agent", Name: "Agent", Models: []string{"small", "large"}}}
	}}
	check(t, account.EnsureRoles(t.Context(), d, begun))
	k.mira = k.person("Mira", account.RoleAdministrator)
	k.jonas = k.person("Jonas", account.RoleMember)
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
		return db.InsertUser(ctx, tx, u, r.ID)
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

func manyPaths(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("/opt/%d", i)
	}
	return list
}
