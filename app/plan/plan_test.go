package plan

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/apptest"
	"carillon/app/automation"
	"carillon/app/bot"
	"carillon/app/fault"
	"carillon/app/manifest"
	"carillon/app/payload"
	"carillon/app/spec"
	"carillon/app/spec/spectest"
	"carillon/app/workflow"
	"carillon/db"
)

// files is one file of a manifest.
func files(text string) Input {
	return Input{Files: []manifest.File{{Name: "a.yaml", Content: text}}}
}

// plan plans a manifest and returns it with its changes in short: "create Bot Rita; unchanged Automation Audit".
func (k *kit) plan(who account.Actor, in Input) (*Plan, string) {
	k.T.Helper()
	p, err := k.Plan(k.T.Context(), who, in)
	if err != nil {
		k.T.Fatalf("plan: %v\n%s", err, in.Files[0].Content)
	}
	return p, inShort(p)
}

func inShort(p *Plan) string {
	var list []string
	for _, c := range p.Changes {
		text := fmt.Sprintf("%s %s %s", c.Action, c.Kind, c.Name)
		if c.Action == ActionUpdate {
			for _, f := range c.Fields {
				text += fmt.Sprintf(" %s:%v>%v", f.Field, f.Before, f.After)
			}
		}
		list = append(list, text)
	}
	return strings.Join(list, "; ")
}

func (k *kit) applyFiles(who account.Actor, in Input) *Plan {
	k.T.Helper()
	p, _ := k.plan(who, in)
	done, err := k.Apply(k.T.Context(), who, in, p.Fingerprint)
	check(k.T, err)
	return done
}

func (k *kit) export(who account.Actor, workspace string) string {
	k.T.Helper()
	text, err := k.Export(k.T.Context(), who, workspace)
	check(k.T, err)
	return string(text)
}

// expectRefused expects mistakes, each by a part of what it says, and no others.
func expectRefused(t *testing.T, err error, want ...string) {
	t.Helper()
	var refused *Refused
	if !errors.As(err, &refused) {
		t.Fatalf("got %v; want the mistakes %q", err, want)
	}
	for i, m := range refused.Mistakes {
		if i >= len(want) || !strings.Contains(m.String(), want[i]) {
			t.Errorf("mistake %d is %q; want %q", i, m, want[min(i, len(want)-1)])
		}
	}
	if len(refused.Mistakes) < len(want) {
		t.Errorf("got the mistakes %q; want %q", refused.Mistakes, want)
	}
}

const theSecret = "a secret of some length"

// allSettings are automations of every trigger and session type with every option set that goes with them, in a
// workspace on a forge.
func (k *kit) allSettings(workflowID, botID uuid.UUID) []automation.Input {
	var list []automation.Input
	for _, trigger := range []db.Trigger{db.Manual, db.OneTime, db.Recurring, db.Loop, db.HTTP} {
		for _, session := range []string{"develop", "develop-workflow", "develop-check", "chat", "bot"} {
			in := k.Input()
			in.Name, in.Trigger = string(trigger)+" "+session, string(trigger)
			in.SessionType, _, _ = strings.Cut(session, "-")
			in.Prompt, in.Parameters = "Look at {{what}}.\n\nThen report.\n",
				map[string]string{"what": "the: tests # all"}
			in.BaseBranch, in.Model, in.ExecutionType = "release", "large", "inline"
			in.AutoComplete = false
			in.MayAutomate = true
			in.TimeoutMinutes = 90
			in.Retries = 3
			in.Gate = spec.Gate{Command: "test -f go.mod\nexit 0", BranchMoved: true, NoOpenPR: true}
			in.Success = spec.Success{Command: "go test ./...", Contains: "done"}
			in.Budget = spec.Budget{
				Run: spec.Limits{Money: 1.25, Turns: 3}, Day: spec.Limits{Tokens: 1000000},
				Month: spec.Limits{Money: 20, Minutes: 90.5},
			}
			switch trigger {
			case db.OneTime:
				in.RunAt, in.TimeZone = "2026-12-24T18:00", "Europe/Berlin"
			case db.Recurring:
				in.Cron, in.TimeZone, in.CatchUp = "0 2 * * mon-fri", "America/New_York", true
			case db.Loop:
				in.MaxIterations, in.StopText = 7, "ALL DONE"
			case db.HTTP:
				in.AllowParallel, in.MaxParallel, in.AppendPayload = true, 3, true
				in.Sender, in.SignatureHeader, in.SignatureSecret = "hmac", "X-Signature", theSecret
				in.Filter = spec.Filter{Any: true, Conditions: []spec.Condition{{
					Field: "action", Operator: payload.OpEquals, Value: "1",
				}, {Field: "draft", Operator: payload.OpAbsent}}}
			}
			switch session {
			case "develop":
				in.AutoComplete = true
				in.OnlyUnchanged = true
				in.CreatePR = true
				in.Toggles = []string{"edge_cases", "code_review"}
			case "develop-workflow":
				in.ExecutionType, in.Workflow, in.Prompt = "workflow", workflowID.String(), ""
				in.Parameters = map[string]string{"depth": "3", "token": theSecret}
			case "develop-check":
				in.Success.FilesChanged, in.Success.PullRequest = true, true
			case "bot":
				in.Bot = botID.String()
			}
			list = append(list, in)
		}
	}
	var specs []*spec.Automation
	for i := range list {
		specs = append(specs, &list[i].Automation)
	}
	spectest.FillRest(specs)
	return list
}

var everyWorkflow = workflow.Input{
	Name: "Release", Description: "Rolls a release.",
	Parameters: []workflow.ParameterInput{
		{Alias: "depth", Label: "Depth", Type: "number", Default: "2", Required: true},
		{Alias: "level", Type: "choice", Choices: "low, high", Default: "low"},
		{Alias: "token", Type: "secret", Default: theSecret},
	},
	Steps: []workflow.StepInput{
		{Kind: "system_message", Text: "Be brief."}, {Kind: "asset", Path: "docs/plan.md", Text: "# Plan\n"},
		{Kind: "instruction_file", Text: "Follow it."},
		{Kind: "loop", Label: "Mend", Marker: "FINE", Max: "4"}, {
			Kind: "message", Text: "Mend $depth.\n\n  - all\n", Inside: true,
		}, {Kind: "clear_context", Inside: true},
		{Kind: "complete_session", OnlyUnchanged: true},
	},
}

var everyBot = bot.Input{Bot: spec.Bot{
	Name: "Rita", Instructions: "You review.\nYou are kind.", Provider: "agent", Model: "small",
	AllowedTools: []string{"Read", "Bash(git log:*)"}, ReadOnly: true,
}}

// setEverywhere fails for every field of a kind of input that none of its samples sets: who adds a field decides what a
// manifest makes of it, and adds it to the samples above.
func setEverywhere(t *testing.T, known []string, samples ...any) {
	t.Helper()
	kind := reflect.TypeOf(samples[0])
	for i := range kind.NumField() {
		f := kind.Field(i)
		if slices.Contains(known, f.Name) || f.Anonymous {
			continue
		}
		if !slices.ContainsFunc(samples, func(s any) bool {
			return !reflect.ValueOf(s).FieldByIndex(f.Index).IsZero()
		}) {
			t.Errorf("no sample sets %s.%s: a manifest may lose it", kind, f.Name)
		}
	}
}

// A mistake that the editor finds in a field is told at that field's line.
func TestMistakesOfEveryFieldHaveTheirPlace(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		input reflect.Type
		of    any
	}{{reflect.TypeFor[workflow.Input](), &spec.Workflow{}}} {
		for i := range kind.input.NumField() {
			form := kind.input.Field(i).Tag.Get("form")
			switch form {
			case "", "version":
				continue
			case "parameters":
				form = "param.x"
				if kind.input == reflect.TypeFor[workflow.Input]() {
					form = "parameters"
				}
			}
			if spec.FieldOf(kind.of, form) == "" {
				t.Errorf("a mistake in %s of %s has no place in a manifest", form, kind.input)
			}
		}
	}
}

func anys[T any](list []T) []any {
	all := make([]any, len(list))
	for i, one := range list {
		all[i] = one
	}
	return all
}

// What is exported and applied again changes nothing; applied to another workspace it makes the same again, of every
// trigger and session type with every option. Of secrets nothing is written.
func TestAnExportLosesNothingButSecrets(t *testing.T) {
	k := setup(t)
	ctx := t.Context()
	k.Exec("UPDATE workspaces SET git_url = 'https://github.com/acme/app.git', token_sealed = 'x'")
	w := everyWorkflow
	w.Workspace = k.Scratch.ID.String()
	flow, err := k.Workflows.Create(ctx, k.Mira, w)
	check(t, err)
	b := everyBot
	b.Workspace = k.Scratch.ID.String()
	rita, err := k.Bots.Create(ctx, k.Mira, b)
	check(t, err)
	b = everyBot
	b.Name, b.LocksAgent, b.Enabled = "Otto", true, true
	_, err = k.Bots.Create(ctx, k.Mira, b) // for all workspaces
	check(t, err)
	inputs := k.allSettings(flow.ID, rita.ID)
	var specs []any
	for _, in := range inputs {
		specs = append(specs, in.Automation)
		_, _, err := k.Automations.Definitions().Create(ctx, k.Mira, in)
		check(t, err)
	}
	setEverywhere(t, []string{"ID", "Enabled"}, specs...)
	setEverywhere(t, []string{"Version"}, w)
	setEverywhere(t, nil, anys(w.Steps)...)
	setEverywhere(t, nil, anys(w.Parameters)...)
	setEverywhere(t, []string{"ID"}, b.Bot, spec.Bot{Workspace: k.Scratch.ID.String()})

	text := k.export(k.Mira, "")
	if strings.Contains(text, theSecret) || strings.Contains(text, "sealed:") {
		t.Errorf("a secret is in\n%s", text)
	}
	p, short := k.plan(k.Mira, files(text))
	if len(p.Changes) != len(inputs)+3 || strings.Contains(strings.ReplaceAll(short, "unchanged ", ""),
		" Automation  ") {
		t.Fatalf("the plan of an export has %d changes: %s", len(p.Changes), short)
	}
	for _, c := range p.Changes {
		if c.Action != ActionUnchanged {
			t.Errorf("%s %s is to be changed by its own export: %s", c.Kind, c.Name, short)
		}
	}

	// In another workspace, with the secrets given.
	other := db.Workspace{
		ID: db.NewID(), Name: "Other", GitURL: "https://github.com/acme/app.git", TokenSealed: []byte("x"),
		DefaultBranch: "main", Provider: "agent", CreatedAt: apptest.Begun, UpdatedAt: apptest.Begun, Version: 1,
	}
	check(t, db.InsertWorkspace(ctx, k.DB, &other))
	moved := strings.NewReplacer("workspace: "+k.Scratch.Name+"\n", "workspace: Other\n", "sender: hmac #",
		"signature_secret: {from_env: SECRET}\nsender: hmac #",
		"parameters:\n  depth: 3\n", "parameters:\n  depth: 3\n  token: {from_env: SECRET}\n", "    type: secret #",
		"    default: {from_env: SECRET}\n    type: secret #").Replace(k.export(k.Mira, k.Scratch.Name))
	in := files(moved)
	in.Environment = map[string]string{"SECRET": theSecret}
	done := k.applyFiles(k.Mira, in)
	if got := len(done.Tokens); got != 5 {
		t.Errorf("%d tokens are shown for 5 HTTP Triggers", got)
	}
	var v inventory
	check(t, v.read(ctx, k.DB, k.Mira, nil))
	made := 0
	for _, a := range v.automations {
		if a.WorkspaceID != k.Scratch.ID {
			continue
		}
		for _, same := range v.automations {
			if same.WorkspaceID == other.ID && same.Name == a.Name {
				made++
				k.expectSameSettings(a, same)
			}
		}
	}
	if made != len(inputs) {
		t.Errorf("%d automations were made again; want %d", made, len(inputs))
	}
	for _, wf := range v.workflows {
		if wf.WorkspaceID == other.ID {
			again := *wf
			again.WorkspaceID, again.Parameters[2].Default = flow.WorkspaceID, flow.Parameters[2].Default
			if got, want := workflow.Typed(&again), workflow.Typed(flow); !reflect.DeepEqual(got, want) {
				t.Errorf("the workflow is\n%+v\nwant\n%+v", got, want)
			}
		}
	}
	if _, short := k.plan(k.Mira, in); strings.Contains(short, "update") || strings.Contains(short, "create") {
		t.Errorf("with the same secrets, applying again changes %s", short)
	}
}

// expectSameSettings compares every column of two automations but those that are of each alone.
func (k *kit) expectSameSettings(a, b *db.Automation) {
	k.T.Helper()
	own := []string{"BaseModel", "ID", "WorkspaceID", "WorkflowID", "BotID", "SignatureSealed", "Parameters",
		"ScheduledSince", "CreatedAt", "UpdatedAt", "Workspace", "Creator"}
	if a.Trigger == db.HTTP { // does not apply, so it is not written
		own = append(own, "AutoComplete", "OnlyUnchanged")
	}
	va, vb := reflect.ValueOf(*a), reflect.ValueOf(*b)
	for i := range va.NumField() {
		name := va.Type().Field(i).Name
		if x, y := va.Field(i).Interface(), vb.Field(i).Interface(); !slices.Contains(own, name) &&
			!reflect.DeepEqual(x, y) {
			k.T.Errorf("%s of %s is %v; want %v", name, a.Name, y, x)
		}
	}
	plain := func(a *db.Automation) map[string]string {
		m := map[string]string{"signature": ""}
		for name, value := range a.Parameters {
			if opened, ok := workflow.Unseal(k.Keys, name, value); ok {
				value = "opened " + opened
			}
			m[name] = value
		}
		if a.SignatureSealed != nil {
			opened, err := k.Automations.Webhooks().SignatureSecret(a)
			check(k.T, err)
			m["signature"] = opened
		}
		m["workflow"], m["bot"] = fmt.Sprint(a.WorkflowID != uuid.Nil), fmt.Sprint(a.BotID != uuid.Nil)
		return m
	}
	if x, y := plain(a), plain(b); !reflect.DeepEqual(x, y) {
		k.T.Errorf("values of %s are %v; want %v", a.Name, y, x)
	}
}

const audit = "kind: Automation\nname: Audit\nworkspace: Scratch\ntrigger: manual\nprovider: agent\nprompt: Look " +
	"around.\n"

func TestAPlanChangesNothingAndIsWhatIsApplied(t *testing.T) {
	k := setup(t)
	in := files(
		"kind: Automation\nname: Audit\nworkspace: Scratch\ntrigger: manual\nexecution_type: workflow\nworkflow: " +
			"Release\n---\nkind: Workflow\nname: Release\nworkspace: Scratch\nsteps: [{text: Look.}]\n---\nkind: " +
			"Bot\nname: Rita\ninstructions: Be kind.\n")
	k.Exec("UPDATE workspaces SET provider = 'agent'")
	p, short := k.plan(k.Mira, in)
	if want := "create Automation Audit; create Workflow Release; create Bot Rita"; short != want {
		t.Fatalf("planned %s; want %s", short, want)
	}
	if text := k.export(k.Mira, ""); text != "" {
		t.Fatalf("a plan made\n%s", text)
	}
	if n := k.lines("action LIKE '%.create' AND subject_kind <> 'workspace'"); n != 0 {
		t.Errorf("a plan left %d lines in the audit log", n)
	}
	_, err := k.Apply(t.Context(), k.Mira, in, "another")
	wantErr(t, err, fault.ErrStale)
	done, err := k.Apply(t.Context(), k.Mira, in, p.Fingerprint)
	check(t, err)
	if inShort(done) != short || done.Changes[0].ID == uuid.Nil {
		t.Errorf("applied %+v", done)
	}
	if n := k.lines("action IN ('automation.create', 'workflow.create', 'bot.create')"); n != 3 {
		t.Errorf("the audit log has %d lines of 3 changes", n)
	}
	_, err = k.Apply(t.Context(), k.Mira, in, p.Fingerprint)
	wantErr(t, err, fault.ErrStale) // now there is nothing to do

	// What changes between the plan and the application makes it stale.
	in = files(strings.Replace(audit, "around", "about", 1))
	_, err = k.Plan(t.Context(), k.Mira, files(strings.Replace(audit, "manual", "sometimes", 1)))
	expectRefused(t, err, "a.yaml:4: trigger: Choose what starts the automation.")
	p, short = k.plan(k.Mira, in)
	if want := "update Automation Audit execution_type:workflow>inline " +
		"workflow:Release><nil> prompt:<nil>>Look about."; short != want {
		t.Errorf("planned %s; want %s", short, want)
	}
	k.Exec("UPDATE automations SET version = version + 1")
	_, err = k.Apply(t.Context(), k.Mira, in, p.Fingerprint)
	wantErr(t, err, fault.ErrStale)
	p, _ = k.plan(k.Mira, in)
	_, err = k.Apply(t.Context(), k.Mira, in, p.Fingerprint)
	check(t, err)
}

func TestEveryMistakeIsToldAndNothingIsApplied(t *testing.T) {
	k := setup(t)
	k.Make(nil)
	k.Make(nil)
	text := `kind: Automation
name: Two
workspace: Nowhere
---
kind: Automation
name: Three
workspace: Scratch
trigger: recurring
cron: 61 * * * *
time_zone: Mars
provider: agent
prompt: x
budget: {day: {money: 0}}
toggles: [code_review, speed]
---
kind: Automation
name: Audit
workspace: scratch
trigger: manual
---
kind: Automation
name: Four
workspace: Scratch
trigger: manual
provider: agent
cron: 0 2 * * *
prompt: Do {{what}}.
parameters: {what: x, why: y}
---
kind: Automation
name: Four
workspace: Scratch
trigger: manual
---
kind: Automation
name: Five
workspace: Scratch
trigger: http
enabled: false
provider: agent
prompt: x
sender: github
signature_secret: {from_env: MISSING}
execution_type: workflow
workflow: Unknown
---
kind: Workflow
name: Broken
steps:
- kind: loop
  max: 3
  steps:
  - text: ""
parameters:
- {alias: a b, type: choice, choices: ["x,y"]}
---
kind: Automation
name: Six
workspace: Scratch
trigger: manual
provider: agent
execution_type: workflow
workflow: Broken
---
kind: Automation
id: 019a0000-0000-7000-8000-000000000000
name: Seven
workspace: Scratch
trigger: manual
provider: agent
prompt: x
`
	_, err := k.Plan(t.Context(), k.Mira, files(text))
	expectRefused(t, err,
		"a.yaml:3: workspace: This workspace does not exist, or you are not a member of it.",
		"a.yaml:9: cron: ", "a.yaml:10: time_zone: ", "a.yaml:13: budget.day.money: Write a number above 0",
		`a.yaml:14: toggles[1]: There is no session toggle "speed"`,
		"a.yaml:16: prompt: ", "a.yaml:17: name: There are 2 of this name. Say with id which one is meant: ",
		"a.yaml:26: cron: This has no effect together with the rest.",
		"a.yaml:28: parameters.why: There is nothing here that takes a value for why.",
		"a.yaml:30: prompt: ", "a.yaml:31: name: This is there twice: also in a.yaml, line 21.",
		"a.yaml:39: enabled: An HTTP Trigger is always enabled.",
		"a.yaml:43: signature_secret: The environment variable MISSING is not set.",
		"a.yaml:45: workflow: There is no workflow of this name, in this workspace or for all.",
		"a.yaml:53: steps[0].steps[0].text: Write what the agent is to do.",
		"a.yaml:55: parameters[0].choices[0]: A comma", "a.yaml:55: parameters[0].alias: An alias has",
		"a.yaml:66: id: There is no automation of this id",
	)
	if n := k.lines("subject_kind = 'automation'"); n != 2 {
		t.Errorf("the audit log has %d lines; want those of the 2 automations before", n)
	}
}

// lines counts the lines of the audit log for which a condition holds.
func (k *kit) lines(where string) int {
	k.T.Helper()
	n, err := k.DB.NewSelect().Table("audit_events").Where(where).Count(k.T.Context())
	check(k.T, err)
	return int(n)
}
