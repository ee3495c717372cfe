package plan

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/bot"
	"carillon/app/fault"
	"carillon/app/provider"
	"carillon/app/secret"
	"carillon/app/spec"
	"carillon/app/workflow"
	"carillon/app/workspace"
	"carillon/db"
	"carillon/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// kit is a service on a database of its own with people and a workspace.
type kit struct {
	*Service
	t         *testing.T
	workspace db.Workspace
	mira      account.Actor // an administrator
	jonas     account.Actor // a member, of the workspace too
}

// begun is when tests begin: a Monday at noon, far from changes of the clocks.
var begun = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func setup(t *testing.T) *kit {
	t.Parallel()
	d := dbtest.New(t)
	keys, err := secret.Parse("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	check(t, err)
	now := func() time.Time { return begun }
	providers := &provider.Service{DB: d, Now: now, List: func() []provider.Provider {
		return []provider.Provider{{ID: "shell", Name: "Shell", Script: true},
			{ID: "agent", Name: "Agent", Models: []string{"small", "large"}}}
	}}
	rules := &automation.Service{
		DB: d, Now: now, Keys: keys, Log: slog.New(slog.DiscardHandler), Providers: providers,
		Workspaces: &workspace.Service{
			DB: d, Now: now, Keys: keys, Providers: providers,
			Probe: func(_ context.Context, r workspace.Remote) (string, fault.Invalid) { return "main", nil },
		},
	}
	k := &kit{t: t, Service: &Service{
		DB: d, Keys: keys, Automations: rules,
		Workflows: &workflow.Service{
			DB: d, Now: now, Keys: keys, RunsScripts: rules.Providers.RunsScripts,
			Changed: rules.Definitions().StopAutomating, Lost: rules.Definitions().DisableUsers,
		},
		Bots: &bot.Service{
			DB: d, Now: now, Provider: rules.Providers.Find, Changed: rules.Definitions().StopAutomating,
			Lost: rules.Definitions().DisableUsers,
		},
	}}
	check(t, account.EnsureRoles(t.Context(), d, begun))
	check(t, rules.Workspaces.EnsureScratch(t.Context()))
	k.mira = k.person("Mira", account.RoleAdministrator)
	k.jonas = k.person("Jonas", account.RoleMember)
	list, err := rules.Workspaces.List(t.Context(), k.mira)
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
	check(k.t, db.InTx(k.t.Context(), k.DB, func(ctx context.Context, tx bun.Tx) error {
		return errors.Join(db.InsertUser(ctx, tx, u, r.ID), k.Automations.Workspaces.JoinScratch(ctx, tx, u.ID))
	}))
	return k.actor(u.ID)
}

// holder is a person with some permissions.
func (k *kit) holder(name string, permissions ...account.Permission) account.Actor {
	k.t.Helper()
	who := k.person(name, account.RoleMember)
	r := db.Role{ID: db.NewID(), Name: "Role of " + who.Name, Permissions: []string{}, CreatedAt: begun, Version: 1}
	for _, p := range permissions {
		r.Permissions = append(r.Permissions, string(p))
	}
	check(k.t, db.InsertRole(k.t.Context(), k.DB, &r))
	check(k.t, db.SetRoles(k.t.Context(), k.DB, who.ID, []uuid.UUID{r.ID}))
	return k.actor(who.ID)
}

func (k *kit) actor(id uuid.UUID) account.Actor {
	k.t.Helper()
	u, err := db.UserByID(k.t.Context(), k.DB, id)
	check(k.t, err)
	return account.ActorOf(u)
}

// input is an automation that is right as it stands.
func (k *kit) input() automation.Input {
	return automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360, Name: "Audit", Workspace: k.workspace.ID.String(), Trigger: "manual",
		SessionType: "develop", Prompt: "Look around.", Provider: "agent", AutoComplete: true, Retries: 2,
	}}
}

// create makes an automation of Jonas's.
func (k *kit) create() *db.Automation {
	k.t.Helper()
	a, _, err := k.Automations.Definitions().Create(k.t.Context(), k.jonas, k.input())
	check(k.t, err)
	return a
}

func (k *kit) exec(sql string, args ...any) {
	k.t.Helper()
	_, err := k.DB.NewRaw(sql, args...).Exec(k.t.Context())
	check(k.t, err)
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
