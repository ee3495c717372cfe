package automation

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/app/provider"
	"carillon/db"
)

// deactivate ends a person's account.
func (k *kit) deactivate(who account.Actor) {
	k.t.Helper()
	check(k.t, db.SetDeactivated(k.t.Context(), k.DB, who.ID, begun, begun))
}

// role gives a person a role of the permissions given in place of theirs.
func (k *kit) role(who account.Actor, permissions ...account.Permission) account.Actor {
	k.t.Helper()
	r := db.Role{ID: db.NewID(), Name: "Role of " + who.Name, Permissions: []string{}, CreatedAt: begun, Version: 1}
	for _, p := range permissions {
		r.Permissions = append(r.Permissions, string(p))
	}
	check(k.t, db.InsertRole(k.t.Context(), k.DB, &r))
	check(k.t, db.SetRoles(k.t.Context(), k.DB, who.ID, []uuid.UUID{r.ID}))
	return k.actor(who.ID)
}

func TestATransferChangesTheOwnerTellsBothAndIsWrittenDown(t *testing.T) {
	k := setup(t)
	a := k.create(nil)
	lee := k.person("Lee", account.RoleMember)
	offered, err := k.Transfers().Transfer(t.Context(), k.mira, a.ID, lee.ID)
	if err != nil || offered {
		t.Fatalf("it is offered %v (%v)", offered, err)
	}
	if got := k.reload(a); got.CreatorID != lee.ID || got.Version != a.Version+1 {
		t.Errorf("the owner is %s, version %d; want Lee and a version more", got.CreatorID, got.Version)
	}
	for _, who := range []account.Actor{k.jonas, lee} {
		list, err := k.inbox.List(t.Context(), who, db.NotificationFilter{Limit: 5})
		check(t, err)
		if len(list) != 1 || list[0].Kind != inbox.Transferred || list[0].AutomationID != a.ID {
			t.Errorf("%s was told %+v; want one notice of the transfer", who.Name, list)
		}
	}
	events, err := db.AuditOf(t.Context(), k.DB, a.ID, 1)
	check(t, err)
	if e := events[0]; e.Action != "automation.transfer" || e.ActorID != k.mira.ID || e.Before["owner"] != "Jonas" ||
		e.After["owner"] != "Lee" {
		t.Errorf("the audit log says %+v", e)
	}
	if _, err := k.Definitions().Editable(t.Context(), k.jonas, a.ID); !errors.Is(err, fault.ErrForbidden) {
		t.Errorf("who gave it away edits it with %v; want ErrForbidden: they may read what they were told of", err)
	}
	run, err := k.Runs().Start(t.Context(), a.ID, Trigger{Source: db.ByWebhook})
	check(t, err)
	if run.Session.OwnerID != lee.ID {
		t.Error("a run by webhook does not belong to the new owner")
	}
}

func TestAnAutomationGoesOnlyToSomebodyWhoCouldOwnIt(t *testing.T) {
	k := setup(t)
	a := k.create(func(in *Input) { in.Provider, in.Prompt = "shell", "true" })
	gone, outsider, viewer, noShell := k.person("Gone", account.RoleMember), k.person("Out", account.RoleMember),
		k.person("View", account.RoleMember), k.person("NoShell", account.RoleMember)
	k.deactivate(gone)
	check(t, db.RemoveMember(t.Context(), k.DB, k.workspace.ID, outsider.ID))
	viewer, noShell = k.role(viewer, account.ViewAll), k.role(noShell, account.Manage)
	k.person("Max", account.RoleManager)
	k.person("Boss", account.RoleAdministrator)
	stranger := k.person("Stranger", account.RoleMember)
	for _, tt := range []struct {
		name  string
		actor account.Actor
		to    uuid.UUID
		want  string // of fault.Invalid; or an error's text
	}{
		{"deactivated", k.mira, gone.ID, "Gone has no active account."},
		{"no member", k.mira, outsider.ID, "Out is not a member of the workspace Scratch."},
		{"may not have any", k.mira, viewer.ID, "View may not have automations."},
		{"may not use its provider", k.mira, noShell.ID, "NoShell may not use the provider Shell."},
		{"nobody", k.mira, uuid.New(), "Choose a person from the list."},
		{"who has it", k.mira, k.jonas.ID, "Jonas owns it already."},
		{"somebody else's automation", stranger, stranger.ID, fault.ErrNotFound.Error()},
		{"somebody else's automation, seen", viewer, viewer.ID, fault.ErrForbidden.Error()},
	} {
		_, err := k.Transfers().Transfer(t.Context(), tt.actor, a.ID, tt.to)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v; want %s", tt.name, err, tt.want)
		}
	}
	if got := k.reload(a); got.CreatorID != k.jonas.ID {
		t.Fatal("it changed hands all the same")
	}
	possibleOwners, err := k.Transfers().PossibleOwners(t.Context(), k.jonas, a.ID)
	check(t, err)
	var names []string
	for _, u := range possibleOwners {
		names = append(names, u.Name)
	}
	if got := strings.Join(names, " "); got != "Boss Max Mira NoShell Stranger" {
		// the one who may not use its provider is told so
		t.Errorf("Jonas is offered %s", got)
	}
	offered, err := k.Transfers().Transfer(t.Context(), k.jonas, a.ID, stranger.ID)
	if err != nil || offered {
		t.Errorf("to an equal it is offered %v (%v)", offered, err)
	}
}

func TestAllOfAPersonsAutomationsAreHandedOverAndWhatIsLeftIsCounted(t *testing.T) {
	k := setup(t)
	for range 3 {
		k.create(nil)
	}
	script := k.create(func(in *Input) { in.Provider, in.Prompt = "shell", "true" })
	lee := k.role(k.person("Lee", account.RoleMember), account.Manage)
	k.deactivate(k.jonas)
	result, err := k.Transfers().HandOver(t.Context(), k.mira, k.jonas.ID, lee.ID)
	check(t, err)
	if got := result.String(); got != "Handed over 3, skipped 1: 1 that Lee cannot have." {
		t.Errorf("the result is %q", got)
	}
	if got := k.reload(script); got.CreatorID != k.jonas.ID {
		t.Error("the script went to somebody who may not run scripts")
	}
	if _, err := k.Transfers().HandOver(t.Context(), lee, k.jonas.ID, lee.ID); !errors.Is(err, fault.ErrForbidden) {
		t.Errorf("a member hands over with %v; want ErrForbidden", err)
	}
	var invalid fault.Invalid
	if _, err := k.Transfers().HandOver(t.Context(), k.mira, k.mira.ID, k.jonas.ID); !errors.As(err, &invalid) {
		t.Errorf("handing over to somebody deactivated gave %v; want Invalid", err)
	}
}

func TestTheShellProviderSwitchedOffHoldsAtSaveAndAtRun(t *testing.T) {
	k := setup(t)
	a := k.create(func(in *Input) { in.Provider, in.Prompt = "shell", "true" })
	k.Providers.List = func() []provider.Provider { return []provider.Provider{{ID: "agent", Name: "Agent"}} }
	in := k.input()
	in.Provider, in.Prompt = "shell", "true"
	var invalid fault.Invalid
	if _, _, err := k.Definitions().Create(t.Context(), k.mira, in); !errors.As(err, &invalid) ||
		!strings.Contains(invalid["provider"], "There is no provider shell here.") {
		t.Errorf("saving gave %v; want a mistake at provider", err)
	}
	var unable *Unable
	if _, err := k.Runs().Start(t.Context(), a.ID, Trigger{Source: db.ByWebhook}); !errors.As(err, &unable) ||
		!strings.Contains(unable.Reason, "the provider shell is not available") {
		t.Errorf("running gave %v; want that it is not available", err)
	}
}
