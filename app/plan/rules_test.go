package plan

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/apptest"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/app/workflow"
	"carillon/db"
)

// one is the only automation of a name.
func (k *kit) one(name string) *db.Automation {
	k.T.Helper()
	var list []db.Automation
	check(k.T, k.DB.NewSelect().Model(&list).Where("a.name = ?", name).Scan(k.T.Context()))
	if len(list) != 1 {
		k.T.Fatalf("there are %d automations named %s; want one", len(list), name)
	}
	return &list[0]
}

func TestManifestsGiveNobodyMoreThanTheEditor(t *testing.T) {
	k := setup(t)
	ctx := t.Context()
	max := k.Person("Max", account.RoleMember)
	outsider := k.Person("Olga", account.RoleMember)
	k.Exec("DELETE FROM workspace_members WHERE user_id = ?", outsider.ID)
	manager := k.Person("Mona", account.RoleManager)
	k.applyFiles(k.Jonas, files(audit))
	k.applyFiles(manager,
		files("kind: Workflow\nname: Release\nsteps: [{text: Look.}]\n---\nkind: Bot\nname: Rita\ninstructions: Be "+
			"kind.\n"))

	// Members see neither one another's automations nor a way to bots and workflows.
	if p, short := k.plan(max, files(audit)); short != "create Automation Audit" ||
		p.Changes[0].Workspace != "Scratch" {
		t.Errorf("to Max, who does not see the automation of Jonas, the plan is %s", short)
	}
	for text, want := range map[string]string{
		"kind: Bot\nname: Otto\ninstructions: x\n":            "a.yaml:1: You may not create bots.",
		"kind: Workflow\nname: W\nsteps: [{text: x}]\n":       "a.yaml:1: You may not create workflows.",
		"kind: Workflow\nname: Release\nsteps: [{text: x}]\n": "a.yaml:1: You may not change workflows.",
		"kind: Bot\nname: Rita\ninstructions: Be rude.\n":     "a.yaml:1: You may not change bots.",
	} {
		_, err := k.Plan(ctx, max, files(text))
		expectRefused(t, err, want)
		wantErr(t, err, fault.ErrForbidden)
	}
	if _, short := k.plan(max,
		files("kind: Bot\nname: Rita\ninstructions: Be kind.\n")); short != "unchanged Bot Rita" {
		t.Errorf("a bot that stays as it is: %s", short)
	}
	_, err := k.Plan(ctx, outsider, files(audit))
	expectRefused(t, err, "a.yaml:3: workspace: This workspace does not exist, or you are not a member of it.")
	if errors.Is(err, fault.ErrForbidden) {
		t.Error("an outsider learns that the workspace exists")
	}

	// What runs with the secrets of a workspace that somebody does not see is not theirs to change.
	hidden := db.Workspace{
		ID: db.NewID(), Name: "Hidden", DefaultBranch: "main", Provider: "agent",
		CreatedAt: apptest.Begun, UpdatedAt: apptest.Begun,
		Version: 1,
	}
	check(t, db.InsertWorkspace(ctx, k.DB, &hidden))
	k.applyFiles(k.Mira,
		files("kind: Automation\nname: There\nworkspace: Hidden\ntrigger: manual\nexecution_type: "+
			"workflow\nworkflow: Release\n"))
	_, err = k.Plan(ctx, manager, files("kind: Workflow\nname: Release\nsteps: [{text: Send the secrets.}]\n"))
	expectRefused(t, err,
		"a.yaml:1: workspace: Automations in workspaces that you are not a member of use this workflow")
	_, err = k.Plan(ctx, manager, files(strings.Replace(audit, "Scratch", "Hidden", 1)))
	expectRefused(t, err, "a.yaml:3: workspace: This workspace does not exist, or you are not a member of it.")

	// Who sees everybody's and manages their own may neither change nor prune what is somebody else's.
	reader := k.Holder("Rosa", account.ViewAll, account.Manage)
	_, err = k.Plan(ctx, reader, files(strings.Replace(audit, "around", "about", 1)))
	expectRefused(t, err, "a.yaml:1: You may not change this automation.")
	in := files(strings.Replace(audit, "Audit", "Mine", 1))
	in.Prune = true
	if _, short := k.plan(reader, in); short != "create Automation Mine" {
		t.Errorf("pruning by somebody who may only manage their own: %s", short)
	}
	_, err = k.Plan(ctx, k.Holder("Vera", account.ViewAll), files(strings.Replace(audit, "Audit", "Hers", 1)))
	expectRefused(t, err, "a.yaml:1: You may not create automations.")

	// Scripts and commands on a worker need their permission; the owner stays who it was.
	plain := k.Holder("Paul", account.ManageAll)
	_, err = k.Plan(ctx, plain, files(strings.Replace(audit, "agent", "shell", 1)+"gate: {command: exit 0}\n"))
	expectRefused(t, err, "a.yaml:5: provider: You may not run shell scripts.",
		"a.yaml:7: gate.command: You may not run commands on a worker.")
	k.applyFiles(plain, files(strings.Replace(audit, "around", "about", 1)))
	if a := k.one("Audit"); a.CreatorID != k.Jonas.ID || a.Prompt != "Look about." {
		t.Errorf("the automation is %s's and says %q", a.CreatorID, a.Prompt)
	}
	if text := k.export(outsider, ""); strings.Contains(text, "Audit") || strings.Contains(text, "Scratch") {
		t.Errorf("an outsider exports\n%s", text)
	}
	_, err = k.Export(ctx, outsider, "Scratch")
	expectRefused(t, err, "workspace: This workspace does not exist, or you are not a member of it.")
}

func TestPruneDeletesWhatTheFilesLackInTheirWorkspacesAlone(t *testing.T) {
	k := setup(t)
	ctx := t.Context()
	other := db.Workspace{
		ID: db.NewID(), Name: "Other", DefaultBranch: "main", Provider: "agent",
		CreatedAt: apptest.Begun, UpdatedAt: apptest.Begun,
		Version: 1,
	}
	check(t, db.InsertWorkspace(ctx, k.DB, &other))
	const global = "---\nkind: Bot\nname: Rita\ninstructions: Be kind.\n"
	const doomed = "---\nkind: Workflow\nname: Doomed\nworkspace: Scratch\nsteps: [{text: x}]\n"
	nightly := strings.NewReplacer("Audit", "Nightly", "manual", "recurring\ncron: 0 2 * * *\ntime_zone: UTC",
		"prompt: Look around.", "execution_type: workflow\nworkflow: Doomed").Replace(audit)
	k.applyFiles(k.Mira, files(audit+"---\n"+strings.NewReplacer("Audit", "Elsewhere", "Scratch", "Other").
		Replace(audit)+global+doomed+"---\n"+nightly))
	in := files(audit)
	if _, short := k.plan(k.Mira, in); short != "unchanged Automation Audit" {
		t.Errorf("without prune the plan is %s", short)
	}
	in.Prune = true
	_, short := k.plan(k.Mira, in)
	if want := "unchanged Automation Audit; delete Automation Nightly; delete Workflow Doomed"; short != want {
		t.Errorf("with prune the plan is %s; want %s", short, want)
	}
	// A workflow that is to go is not one to be named, and one that somebody else's automation uses says so.
	in = files(audit + "---\n" + nightly)
	in.Prune = true
	_, err := k.Plan(ctx, k.Mira, in)
	expectRefused(t, err, "a.yaml:16: workflow: This workflow is not in the files, so it would be deleted")
	k.Exec("UPDATE automations SET creator_id = ? WHERE name = 'Nightly'", k.Jonas.ID)
	keeper := k.Holder("Kim", account.Manage, account.ViewAll, account.ManageWorkflows)
	in = files(strings.Replace(audit, "Audit", "Mine", 1))
	in.Prune = true
	p, short := k.plan(keeper, in)
	if short != "create Automation Mine; delete Workflow Doomed" ||
		p.Changes[1].Note != "This switches off 1 automation that use it." {
		t.Errorf("the plan is %s, with %q", short, p.Changes[1].Note)
	}
	_, err = k.Apply(ctx, keeper, in, p.Fingerprint)
	check(t, err)
	if a := k.one("Nightly"); a.Enabled || a.DisabledKind != db.ByRemoval {
		t.Errorf("the automation of the workflow that went is %+v", a)
	}
	list, err := db.Notifications(ctx, k.DB, db.NotificationFilter{User: k.Jonas.ID, Limit: 10})
	if err != nil || len(list) != 1 || list[0].Kind != inbox.Disabled {
		t.Errorf("Jonas has the notices %+v, %v; want one of what was switched off", list, err)
	}
	k.one("Audit")
	k.one("Elsewhere")
}

func TestNamesThatDoNotTellNeedAnID(t *testing.T) {
	k := setup(t)
	a, b := k.Make(nil), k.Make(nil)
	text := k.export(k.Jonas, "")
	if !strings.Contains(text, "id: "+a.ID.String()) || !strings.Contains(text, "id: "+b.ID.String()) {
		t.Errorf("two of a name are exported as\n%s", text)
	}
	if _, short := k.plan(k.Jonas, files(text)); short != "unchanged Automation Audit; unchanged Automation Audit" {
		t.Errorf("the plan of an export is %s", short)
	}
	k.applyFiles(k.Jonas, files("id: "+a.ID.String()+"\n"+strings.Replace(audit, "Audit", "Renamed", 1)))
	if got := k.one("Renamed"); got.ID != a.ID || got.Name != "Renamed" {
		t.Errorf("the name is %s", got.Name)
	}
	_, err := k.Plan(t.Context(), k.Jonas,
		files("id: "+a.ID.String()+"\n"+audit+"---\nid: "+a.ID.String()+"\n"+audit))
	expectRefused(t, err, "a.yaml:11: name: This is there twice: also in a.yaml, line 1.")

	// A workflow of the workspace goes before one for all; the other is named by its id.
	steps := []workflow.StepInput{{Kind: "message", Text: "Look."}}
	all, err := k.Workflows.Create(t.Context(), k.Mira, workflow.Input{Name: "Release", Steps: steps})
	check(t, err)
	own, err := k.Workflows.Create(t.Context(), k.Mira, workflow.Input{
		Name: "Release", Workspace: k.Scratch.ID.String(), Steps: steps,
	})
	check(t, err)
	work := strings.NewReplacer("Audit", "Work", "prompt: Look around.", "execution_type: workflow\nworkflow: Release").
		Replace(audit)
	k.applyFiles(k.Mira, files(work))
	if got := k.one("Work").WorkflowID; got != own.ID {
		t.Errorf("the workflow is %s; want the workspace's own %s", got, own.ID)
	}
	k.applyFiles(k.Mira, files(strings.Replace(work, "workflow: Release", "workflow: "+all.ID.String(), 1)))
	if got := k.one("Work").WorkflowID; got != all.ID {
		t.Errorf("the workflow is %s; want %s", got, all.ID)
	}
	if text := k.export(k.Mira, ""); !strings.Contains(text, "workflow: "+all.ID.String()) {
		t.Errorf("a workflow that its name does not tell is exported as\n%s", text)
	}
}

func TestEnabledIsLeftAloneUnlessItIsSaid(t *testing.T) {
	k := setup(t)
	nightly := strings.Replace(audit, "manual", "recurring\ncron: 0 2 * * *\ntime_zone: UTC", 1)
	k.applyFiles(k.Jonas, files(nightly))
	a := k.one("Audit")
	check(t, k.Automations.Definitions().SetEnabled(t.Context(), k.Jonas, a.ID, false))
	if _, short := k.plan(k.Jonas, files(nightly)); short != "unchanged Automation Audit" {
		t.Errorf("of one that was switched off the plan is %s", short)
	}
	off := k.export(k.Jonas, "")
	if !strings.Contains(off, "enabled: false\n") {
		t.Errorf("one that is off is exported as\n%s", off)
	}
	if _, short := k.plan(k.Jonas,
		files(nightly+"enabled: true\n")); short != "update Automation Audit enabled:false>true" {
		t.Errorf("the plan is %s", short)
	}
	k.applyFiles(k.Jonas, files(nightly+"enabled: true\n"))
	if a = k.one("Audit"); !a.Enabled || a.NextRunAt.IsZero() {
		t.Errorf("it is enabled %t and due %s", a.Enabled, a.NextRunAt)
	}
	k.applyFiles(k.Jonas, files(strings.Replace(off, "around", "about", 1)))
	if a = k.one("Audit"); a.Enabled || !a.NextRunAt.IsZero() || a.Prompt != "Look about." {
		t.Errorf("it is enabled %t, due %s, with %q", a.Enabled, a.NextRunAt, a.Prompt)
	}

	// A One-Time that is over is created as it is where it says that it is off, and not where it does not.
	past := strings.NewReplacer("Audit", "Past", "manual", "one_time\nrun_at: 2026-01-01T10:00\ntime_zone: UTC").
		Replace(audit)
	_, err := k.Plan(t.Context(), k.Jonas, files(past))
	expectRefused(t, err, "a.yaml:5: run_at: This time is more than 5 minutes past.")
	k.applyFiles(k.Jonas, files(past+"enabled: false\n"))
	if a := k.one("Past"); a.Enabled || !a.RunAt.Equal(time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)) ||
		!a.NextRunAt.IsZero() {
		t.Errorf("it is %+v", a)
	}
	if _, short := k.plan(k.Jonas, files(past)); short != "unchanged Automation Past" {
		t.Errorf("the plan of one that is over is %s", short)
	}
}

func TestSecretsAreKeptUnlessTheyAreSet(t *testing.T) {
	k := setup(t)
	hook := strings.Replace(audit, "manual", "http\nsender: github\nsignature_secret: {from_env: HOOK}", 1)
	in := files(hook)
	_, err := k.Plan(t.Context(), k.Jonas, in)
	expectRefused(t, err, "a.yaml:6: signature_secret: The environment variable HOOK is not set.")
	in.Environment = map[string]string{"HOOK": theSecret}
	p, _ := k.plan(k.Jonas, in)
	if len(p.Tokens) != 0 {
		t.Error("a plan has a token")
	}
	done := k.applyFiles(k.Jonas, in)
	if len(done.Tokens) != 1 || done.Tokens[0].Automation != k.one("Audit").ID {
		t.Fatalf("the tokens are %v; want one", done.Tokens)
	}
	hash, _ := automation.HashToken(done.Tokens[0].Token)
	_, err = k.Automations.Webhooks().TokenOwner(t.Context(), hash)
	check(t, err)
	sealed := func() string {
		opened, err := k.Automations.Webhooks().SignatureSecret(k.one("Audit"))
		check(t, err)
		return opened
	}
	done = k.applyFiles(k.Jonas,
		files(strings.Replace(audit, "manual", "http\nsender: github\nmax_parallel: 5\nallow_parallel: true", 1)))
	if len(done.Tokens) != 0 || sealed() != theSecret {
		t.Errorf("a change of something else gives %d tokens, and the secret is %q", len(done.Tokens), sealed())
	}
	in.Environment["HOOK"] = "another secret of some length"
	if _, short := k.plan(k.Jonas, in); !strings.Contains(short, "signature_secret:(secret)>(secret)") {
		t.Errorf("the plan is %s", short)
	}
	k.applyFiles(k.Jonas, in)
	if sealed() != "another secret of some length" {
		t.Errorf("the secret is %q", sealed())
	}
	// The plan does not tell who may not change it whether a guess is right.
	_, err = k.Plan(t.Context(), k.Holder("Vera", account.ViewAll), in)
	expectRefused(t, err, "a.yaml:1: You may not change this automation.")
}

func TestTwoApplicationsAtOnceMakeOne(t *testing.T) {
	k := setup(t)
	p, _ := k.plan(k.Jonas, files(audit))
	var wg sync.WaitGroup
	outcomes := make([]error, 4)
	for i := range outcomes {
		wg.Go(func() { _, outcomes[i] = k.Apply(t.Context(), k.Jonas, files(audit), p.Fingerprint) })
	}
	wg.Wait()
	applied := 0
	for _, err := range outcomes {
		if err == nil {
			applied++
		} else {
			wantErr(t, err, fault.ErrStale)
		}
	}
	if a := k.one("Audit"); applied != 1 || a.ID == uuid.Nil {
		t.Errorf("%d of %d applications of one plan went through", applied, len(outcomes))
	}
}

func TestAnOptionThatHasNoEffectIsRefusedInAManifest(t *testing.T) {
	k := setup(t)
	yaml := "kind: Automation\nname: Hook\nworkspace: Scratch\ntrigger: http\nprovider: agent\nprompt: x\n"
	for _, tt := range []struct {
		more string
		good bool
	}{{"", true}, {"auto_complete: false\n", true}, {"auto_complete: true\n", false},
		{"auto_complete: false\nonly_unchanged: true\n", false}} {
		_, err := k.Plan(t.Context(), k.Jonas, files(yaml+tt.more))
		if (err == nil) != tt.good {
			t.Errorf("%q: %v", tt.more, err)
		}
	}
	k.applyFiles(k.Jonas, files(yaml))
	if exported := k.export(k.Jonas, "Scratch"); strings.Contains(exported, "auto_complete: true") {
		t.Errorf("it is exported with the option:\n%s", exported)
	}
}

func TestAManifestKeepsAnInstantThatAClockTimeDoesNotTell(t *testing.T) {
	k := setup(t)
	text := "kind: Automation\nname: Once\nworkspace: Scratch\ntrigger: one_time\nrun_at: RUN\ntime_zone: " +
		"America/New_York\nprovider: agent\nprompt: x\n"
	for _, c := range []struct{ run, want, written string }{
		{"2027-11-07T06:30:00Z", "2027-11-07T06:30:00Z", `2027-11-07T01:30:00-05:00`},
		{"'2027-11-07T06:30:20Z'", "2027-11-07T06:30:20Z", `2027-11-07T01:30:20-05:00`},
		{"2027-11-07T01:30", "2027-11-07T05:30:00Z", `2027-11-07T01:30`},
		{"2027-11-07T12:00:05", "2027-11-07T17:00:05Z", `2027-11-07T12:00:05`},
	} {
		id := k.applyFiles(k.Jonas, files(strings.Replace(text, "RUN", c.run, 1))).Changes[0].ID
		a, err := k.Automations.Definitions().Find(t.Context(), k.Jonas, id)
		check(t, err)
		if got := a.RunAt.UTC().Format(time.RFC3339); got != c.want {
			t.Errorf("%s runs at %s; want %s", c.run, got, c.want)
		}
		exported := k.export(k.Jonas, "Scratch")
		if !strings.Contains(exported, "run_at: "+c.written+"\n") &&
			!strings.Contains(exported, "run_at: '"+c.written+"'\n") {
			t.Errorf("%s is exported as\n%s\nwant %s", c.run, exported, c.written)
		}
		for _, again := range []string{exported, strings.Replace(text, "RUN", c.run, 1)} {
			if _, short := k.plan(k.Jonas, files(again)); short != "unchanged Automation Once" {
				t.Errorf("%s, applied again: %s", c.run, short)
			}
		}
	}
}

func TestWhatIsLeftOutOfAManifestIsAsInANewForm(t *testing.T) {
	k := setup(t)
	_, err := k.DB.NewRaw("UPDATE users SET time_zone = 'Asia/Tokyo' WHERE id = ?", k.Jonas.ID).Exec(t.Context())
	check(t, err)
	jonas := k.Actor(k.Jonas.ID)
	text := "kind: Automation\nname: Nightly\nworkspace: Scratch\ntrigger: recurring\ncron: 0 2 * * *\nprovider: " +
		"agent\nprompt: x\n"
	id := k.applyFiles(jonas, files(text)).Changes[0].ID
	a, err := k.Automations.Definitions().Find(t.Context(), jonas, id)
	check(t, err)
	if a.TimeZone != "Asia/Tokyo" {
		t.Errorf("its time zone is %q", a.TimeZone)
	}
	if _, short := k.plan(k.Mira, files(text)); short != "unchanged Automation Nightly" {
		t.Errorf("applied again by somebody elsewhere: %s", short)
	}
}
