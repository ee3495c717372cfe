package automation_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/app/provider"
	"carillon/db"
)

func TestATransferChangesTheOwnerTellsBothAndIsWrittenDown(t *testing.T) {
	k := setup(t)
	a := k.Make(nil)
	lee := k.Person("Lee", account.RoleMember)
	offered, err := k.Transfers().Transfer(t.Context(), k.Mira, a.ID, lee.ID)
	if err != nil || offered {
		t.Fatalf("it is offered %v (%v)", offered, err)
	}
	if got := k.Reload(a); got.CreatorID != lee.ID || got.Version != a.Version+1 {
		t.Errorf("the owner is %s, version %d; want Lee and a version more", got.CreatorID, got.Version)
	}
	for _, who := range []account.Actor{k.Jonas, lee} {
		list, err := k.Inbox.List(t.Context(), who, db.NotificationFilter{Limit: 5})
		check(t, err)
		if len(list) != 1 || list[0].Kind != inbox.Transferred || list[0].AutomationID != a.ID {
			t.Errorf("%s was told %+v; want one notice of the transfer", who.Name, list)
		}
	}
	events, err := db.AuditOf(t.Context(), k.DB, a.ID, 1)
	check(t, err)
	if e := events[0]; e.Action != "automation.transfer" || e.ActorID != k.Mira.ID || e.Before["owner"] != "Jonas" ||
		e.After["owner"] != "Lee" {
		t.Errorf("the audit log says %+v", e)
	}
	if _, err := k.Definitions().Editable(t.Context(), k.Jonas, a.ID); !errors.Is(err, fault.ErrForbidden) {
		t.Errorf("who gave it away edits it with %v; want ErrForbidden: they may read what they were told of", err)
	}
	run, err := k.Runs().Start(t.Context(), a.ID, automation.Trigger{Source: db.ByWebhook})
	check(t, err)
	if run.Session.OwnerID != lee.ID {
		t.Error("a run by webhook does not belong to the new owner")
	}
}

func TestAnAutomationGoesOnlyToSomebodyWhoCouldOwnIt(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { in.Provider, in.Prompt = "shell", "true" })
	gone, outsider, viewer, noShell := k.Person("Gone", account.RoleMember), k.Person("Out", account.RoleMember),
		k.Person("View", account.RoleMember), k.Person("NoShell", account.RoleMember)
	k.Deactivate(gone)
	check(t, db.RemoveMember(t.Context(), k.DB, k.Scratch.ID, outsider.ID))
	viewer, noShell = k.Allow(viewer, account.ViewAll), k.Allow(noShell, account.Manage)
	k.Person("Max", account.RoleManager)
	k.Person("Boss", account.RoleAdministrator)
	stranger := k.Person("Stranger", account.RoleMember)
	for _, tt := range []struct {
		name  string
		actor account.Actor
		to    uuid.UUID
		want  string // of fault.Invalid; or an error's text
	}{
		{"deactivated", k.Mira, gone.ID, "Gone has no active account."},
		{"no member", k.Mira, outsider.ID, "Out is not a member of the workspace Scratch."},
		{"may not have any", k.Mira, viewer.ID, "View may not have automations."},
		{"may not use its provider", k.Mira, noShell.ID, "NoShell may not use the provider Shell."},
		{"nobody", k.Mira, uuid.New(), "Choose a person from the list."},
		{"who has it", k.Mira, k.Jonas.ID, "Jonas owns it already."},
		{"somebody else's automation", stranger, stranger.ID, fault.ErrNotFound.Error()},
		{"somebody else's automation, seen", viewer, viewer.ID, fault.ErrForbidden.Error()},
	} {
		_, err := k.Transfers().Transfer(t.Context(), tt.actor, a.ID, tt.to)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v; want %s", tt.name, err, tt.want)
		}
	}
	if got := k.Reload(a); got.CreatorID != k.Jonas.ID {
		t.Fatal("it changed hands all the same")
	}
	possibleOwners, err := k.Transfers().PossibleOwners(t.Context(), k.Jonas, a.ID)
	check(t, err)
	var names []string
	for _, u := range possibleOwners {
		names = append(names, u.Name)
	}
	if got := strings.Join(names, " "); got != "Boss Max Mira NoShell Stranger" {
		// the one who may not use its provider is told so
		t.Errorf("Jonas is offered %s", got)
	}
	offered, err := k.Transfers().Transfer(t.Context(), k.Jonas, a.ID, stranger.ID)
	if err != nil || offered {
		t.Errorf("to an equal it is offered %v (%v)", offered, err)
	}
}

func TestAllOfAPersonsAutomationsAreHandedOverAndWhatIsLeftIsCounted(t *testing.T) {
	k := setup(t)
	for range 3 {
		k.Make(nil)
	}
	script := k.Make(func(in *automation.Input) { in.Provider, in.Prompt = "shell", "true" })
	lee := k.Allow(k.Person("Lee", account.RoleMember), account.Manage)
	k.Deactivate(k.Jonas)
	result, err := k.Transfers().HandOver(t.Context(), k.Mira, k.Jonas.ID, lee.ID)
	check(t, err)
	if got := result.String(); got != "Handed over 3, skipped 1: 1 that Lee cannot have." {
		t.Errorf("the result is %q", got)
	}
	if got := k.Reload(script); got.CreatorID != k.Jonas.ID {
		t.Error("the script went to somebody who may not run scripts")
	}
	if _, err := k.Transfers().HandOver(t.Context(), lee, k.Jonas.ID, lee.ID); !errors.Is(err, fault.ErrForbidden) {
		t.Errorf("a member hands over with %v; want ErrForbidden", err)
	}
	var invalid fault.Invalid
	if _, err := k.Transfers().HandOver(t.Context(), k.Mira, k.Mira.ID, k.Jonas.ID); !errors.As(err, &invalid) {
		t.Errorf("handing over to somebody deactivated gave %v; want Invalid", err)
	}
}

func TestTheShellProviderSwitchedOffHoldsAtSaveAndAtRun(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { in.Provider, in.Prompt = "shell", "true" })
	k.Providers.List = func() []provider.Provider { return []provider.Provider{{ID: "agent", Name: "Agent"}} }
	in := k.Input()
	in.Provider, in.Prompt = "shell", "true"
	var invalid fault.Invalid
	if _, _, err := k.Definitions().Create(t.Context(), k.Mira, in); !errors.As(err, &invalid) ||
		!strings.Contains(invalid["provider"], "There is no provider shell here.") {
		t.Errorf("saving gave %v; want a mistake at provider", err)
	}
	var unable *automation.Unable
	if _, err := k.Runs().Start(t.Context(), a.ID, automation.Trigger{Source: db.ByWebhook}); !errors.As(err,
		&unable) ||
		!strings.Contains(unable.Reason, "the provider shell is not available") {
		t.Errorf("running gave %v; want that it is not available", err)
	}
}
