package automation

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/aside"
	"carillon/app/inbox"
	"carillon/app/provider"
	"carillon/db"
)

func TestNoticesOfAnAutomationWithoutAnOwnerGoToWhoMaySeeItAlone(t *testing.T) {
	k := setup(t)
	inside, outside := k.person("Inside", account.RoleManager), k.person("Outside", account.RoleManager)
	check(t, db.RemoveMember(t.Context(), k.DB, k.workspace.ID, outside.ID))
	for _, tt := range []struct {
		name string
		left func() error
	}{
		{"deactivated", func() error { return db.SetDeactivated(t.Context(), k.DB, k.jonas.ID, begun, begun) }},
		{"no member any more", func() error {
			check(t, db.SetDeactivated(t.Context(), k.DB, k.jonas.ID, time.Time{}, begun))
			return db.RemoveMember(t.Context(), k.DB, k.workspace.ID, k.jonas.ID)
		}},
	} {
		a, err := db.AutomationByID(t.Context(), k.DB, k.createdBy(k.mira).ID)
		check(t, err)
		check(t, db.SetCreator(t.Context(), k.DB, a.ID, k.jonas.ID, begun))
		a.CreatorID = k.jonas.ID
		check(t, tt.left())
		check(t, k.DB.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			return k.notifyCreator(ctx, tx, a, inbox.Notice{
				Kind: inbox.RunFailed, Title: "It failed", Body: "with words of the agent", Key: tt.name,
			})
		}))
	}
	k.expectInbox(inside, inbox.RunFailed, inbox.RunFailed)
	k.expectInbox(k.mira, inbox.RunFailed, inbox.RunFailed) // an administrator is at home everywhere
	k.expectInbox(outside)
	k.expectInbox(k.jonas)
}

// createdBy makes an automation of somebody's.
func (k *kit) createdBy(who account.Actor) *db.Automation {
	k.t.Helper()
	a, _, err := k.Definitions().Create(k.t.Context(), who, k.input())
	check(k.t, err)
	return a
}

func TestTroubleOfAWorkspaceIsToldToItsOwnKeepersAlone(t *testing.T) {
	k := setup(t)
	role := db.Role{
		ID: db.NewID(), Name: "Keeper", Permissions: []string{string(account.ManageSettings)}, CreatedAt: begun,
		Version: 1,
	}
	check(t, db.InsertRole(t.Context(), k.DB, &role))
	inside, outside := k.person("Inside", account.RoleMember), k.person("Outside", account.RoleMember)
	for _, who := range []account.Actor{inside, outside} {
		check(t, k.DB.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			return db.SetRoles(ctx, tx, who.ID, []uuid.UUID{role.ID})
		}))
	}
	check(t, db.RemoveMember(t.Context(), k.DB, k.workspace.ID, outside.ID))
	a := k.create(nil)
	fail := func(context.Context) error { return errors.New("no") }
	check(t, k.Round(db.TaskStart).Deal(t.Context(), aside.Row{
		Key: "1", About: "the automation " + a.Name, Automation: a,
	}, fail))
	check(t, k.Round(db.TaskReap).Deal(t.Context(), aside.Row{
		Key: "2", About: "the session Secret plans", Workspace: k.workspace.ID,
	}, fail))
	check(t, k.DB.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		of := provider.Account{Provider: provider.Provider{ID: "agent", Name: "Agent"}, Workspace: k.workspace.ID}
		return k.Providers.Pause(ctx, tx, of, provider.Trouble{Class: "auth", Reason: "no"})
	}))
	// of the whole server: for all who keep it
	check(t, k.Round(db.TaskSweep).Deal(t.Context(), aside.Row{Key: "3", About: "a step of the sweep"}, fail))
	k.expectInbox(inside, inbox.Server, inbox.Server, inbox.ProviderPaused, inbox.Server)
	k.expectInbox(outside, inbox.Server)
}
