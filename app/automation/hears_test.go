package automation_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/aside"
	"carillon/app/fault"
	"carillon/app/forge"
	"carillon/app/inbox"
	"carillon/app/provider"
	"carillon/app/ticket"
	"carillon/db"
)

func TestNoticesOfAnAutomationWithoutAnOwnerGoToWhoMaySeeItAlone(t *testing.T) {
	k := setup(t)
	inside, outside := k.Person("Inside", account.RoleManager), k.Person("Outside", account.RoleManager)
	check(t, db.RemoveMember(t.Context(), k.DB, k.Scratch.ID, outside.ID))
	for _, tt := range []struct {
		name string
		left func() error
	}{
		{"deactivated", func() error { return db.SetDeactivated(t.Context(), k.DB, k.Jonas.ID, begun, begun) }},
		{"no member any more", func() error {
			check(t, db.SetDeactivated(t.Context(), k.DB, k.Jonas.ID, time.Time{}, begun))
			return db.RemoveMember(t.Context(), k.DB, k.Scratch.ID, k.Jonas.ID)
		}},
	} {
		a, err := db.AutomationByID(t.Context(), k.DB, k.MakeOf(k.Mira, nil).ID)
		check(t, err)
		check(t, db.SetCreator(t.Context(), k.DB, a.ID, k.Jonas.ID, begun))
		a.CreatorID = k.Jonas.ID
		check(t, tt.left())
		check(t, k.DB.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			return k.NotifyCreator(ctx, tx, a, inbox.Notice{
				Kind: inbox.RunFailed, Title: "It failed", Body: "with words of the agent", Key: tt.name,
			})
		}))
	}
	k.ExpectInbox(inside, inbox.RunFailed, inbox.RunFailed)
	k.ExpectInbox(k.Mira, inbox.RunFailed, inbox.RunFailed) // an administrator is at home everywhere
	k.ExpectInbox(outside)
	k.ExpectInbox(k.Jonas)
}

func TestTroubleOfAWorkspaceIsToldToItsOwnKeepersAlone(t *testing.T) {
	k := setup(t)
	role := db.Role{
		ID: db.NewID(), Name: "Keeper", Permissions: []string{string(account.ManageSettings)}, CreatedAt: begun,
		Version: 1,
	}
	check(t, db.InsertRole(t.Context(), k.DB, &role))
	inside, outside := k.Person("Inside", account.RoleMember), k.Person("Outside", account.RoleMember)
	for _, who := range []account.Actor{inside, outside} {
		check(t, k.DB.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			return db.SetRoles(ctx, tx, who.ID, []uuid.UUID{role.ID})
		}))
	}
	check(t, db.RemoveMember(t.Context(), k.DB, k.Scratch.ID, outside.ID))
	a := k.Make(nil)
	fail := func(context.Context) error { return errors.New("no") }
	check(t, k.Round(db.TaskStart).Deal(t.Context(), aside.Row{
		Key: "1", About: "the automation " + a.Name, Automation: a,
	}, fail))
	check(t, k.Round(db.TaskReap).Deal(t.Context(), aside.Row{
		Key: "2", About: "the session Secret plans", Workspace: k.Scratch.ID,
	}, fail))
	check(t, k.DB.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		of := provider.Account{Provider: provider.Provider{ID: "agent", Name: "Agent"}, Workspace: k.Scratch.ID}
		return k.Providers.Pause(ctx, tx, of, provider.Trouble{Class: "auth", Reason: "no"})
	}))
	// of the whole server: for all who keep it
	check(t, k.Round(db.TaskSweep).Deal(t.Context(), aside.Row{Key: "3", About: "a step of the sweep"}, fail))
	k.ExpectInbox(inside, inbox.Server, inbox.Server, inbox.ProviderPaused, inbox.Server)
	k.ExpectInbox(outside, inbox.Server)
}

func TestAClosedPullRequestOfALoopIsAlsoToldToWhoIsAssignedToItsTicketEachOnce(t *testing.T) {
	k := setup(t)
	k.hub()
	lena := k.Person("Lena", account.RoleMember)
	a := k.Make(gated(loop))
	s := k.open(a)
	for i, who := range []account.Actor{lena, lena, k.Jonas} {
		tk, err := k.Tickets.Create(t.Context(), k.Jonas, ticket.Input{
			Workspace: k.Scratch.ID.String(), Title: fmt.Sprint("Ticket ", i), Assignee: who.ID.String(),
		})
		check(t, err)
		check(t, k.Tickets.Link(t.Context(), k.Jonas, s.ID, tk.Number))
	}
	for range 2 {
		k.told(k.pull(7, forge.Closed, s.Branch), 1)
	}
	k.ExpectInbox(k.Jonas, inbox.PRClosed)
	k.ExpectInbox(lena, inbox.PRClosed)
	k.ExpectInbox(k.Mira)
}

func TestWhoIsToldMayReadWhatTheNoticeIsAboutAndNothingMore(t *testing.T) {
	k := setup(t)
	k.hub()
	lena := k.Person("Lena", account.RoleMember)
	s, other := k.open(k.Make(gated(loop))), k.open(k.Make(gated(nil)))
	tk, err := k.Tickets.Create(t.Context(), k.Jonas, ticket.Input{
		Workspace: k.Scratch.ID.String(), Title: "x", Assignee: lena.ID.String(),
	})
	check(t, err)
	check(t, k.Tickets.Link(t.Context(), k.Jonas, s.ID, tk.Number))
	e, err := db.ExecutionBySession(t.Context(), k.DB, s.ID)
	check(t, err)
	look := func() []error {
		_, session := k.Sessions().Find(t.Context(), lena, s.ID)
		_, transcript := k.Sessions().Transcript(t.Context(), lena, s.ID, 0, 10)
		_, execution := k.Runs().Find(t.Context(), lena, e.ID)
		_, automation := k.Definitions().Find(t.Context(), lena, s.AutomationID)
		return []error{session, transcript, execution, automation}
	}
	for _, err := range look() {
		wantErr(t, err, fault.ErrNotFound)
	}
	k.told(k.pull(7, forge.Closed, s.Branch), 1)
	k.ExpectInbox(lena, inbox.PRClosed)
	for _, err := range look() {
		check(t, err)
	}
	wantErr(t, k.Sessions().Reply(t.Context(), lena, s.ID, "Go on."), fault.ErrForbidden)
	_, err = k.Runs().RunNow(t.Context(), lena, s.AutomationID, nil)
	wantErr(t, err, fault.ErrForbidden)
	_, err = k.Sessions().Find(t.Context(), lena, other.ID)
	wantErr(t, err, fault.ErrNotFound)
	_, err = k.Sessions().Find(t.Context(), k.Person("Anna", account.RoleMember), s.ID)
	wantErr(t, err, fault.ErrNotFound)
	check(t, k.Workspaces.RemoveMember(t.Context(), k.Mira, k.Scratch.ID, lena.ID))
	for _, err := range look() {
		wantErr(t, err, fault.ErrNotFound)
	}
}

func TestWhoIsAssignedAndLeftIsNotTold(t *testing.T) {
	k := setup(t)
	k.hub()
	lena := k.Person("Lena", account.RoleMember)
	s := k.open(k.Make(gated(loop)))
	tk, err := k.Tickets.Create(t.Context(), k.Jonas, ticket.Input{
		Workspace: k.Scratch.ID.String(), Title: "x", Assignee: lena.ID.String(),
	})
	check(t, err)
	check(t, k.Tickets.Link(t.Context(), k.Jonas, s.ID, tk.Number))
	check(t, k.Workspaces.RemoveMember(t.Context(), k.Mira, k.Scratch.ID, lena.ID))
	k.told(k.pull(7, forge.Closed, s.Branch), 1)
	k.ExpectInbox(lena)
}
