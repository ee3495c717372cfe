package automation_test

import (
	"errors"
	"strings"
	"testing"

	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/app/workflow"
	"carillon/db"

	"github.com/google/uuid"
)

// flow makes an automation of Jonas's with a workflow.
func (k *kit) flow(parameters []workflow.ParameterInput, change func(*automation.Input)) (*db.Automation,
	*db.Workflow) {
	k.T.Helper()
	wf, err := k.Workflows.Create(k.T.Context(), k.Mira,
		workflow.Input{
			Name: "Flow", Steps: []workflow.StepInput{{Kind: "message", Text: "Look at $what."}},
			Parameters: parameters,
		})
	check(k.T, err)
	return k.Make(func(in *automation.Input) {
		in.ExecutionType, in.Workflow, in.Prompt = "workflow", wf.ID.String(), ""
		if change != nil {
			change(in)
		}
	}), wf
}

func TestParametersGivenGoOverThoseStoredAndOverDefaults(t *testing.T) {
	k := setup(t)
	a, _ := k.flow([]workflow.ParameterInput{{Alias: "what", Type: "text", Required: true},
		{Alias: "n", Type: "number", Default: "3"}, {Alias: "kind", Type: "choice", Choices: "a, b", Default: "a"}},
		func(in *automation.Input) { in.Parameters = map[string]string{"kind": "b"} })
	start := func(given map[string]string) (*automation.Run, error) {
		return k.Runs().Start(t.Context(), a.ID, automation.Trigger{Source: db.ByHand, UserID: k.Jonas.ID,
			Parameters: given})
	}
	var missing *workflow.MissingParameter
	if _, err := start(nil); !errors.As(err, &missing) || missing.Error() != "missing parameter: what" {
		t.Errorf("without a value it answered %v; want the parameter missing", err)
	}
	if _, err := start(map[string]string{"what": "x", "n": "many"}); !errors.As(err, &missing) ||
		missing.Error() != "parameter n: this is not a number" {
		t.Errorf("with a wrong value it answered %v; want it named", err)
	}
	if n := len(k.History(a)); n != 0 {
		t.Errorf("%d executions were recorded; want none", n)
	}
	run, err := start(map[string]string{"what": "x", "more": "y"})
	check(t, err)
	p := run.Execution.Parameters
	if p["what"] != "x" || p["n"] != "3" || p["kind"] != "b" || run.Unresolved != nil ||
		len(run.Execution.Snapshot.Steps) != 1 {
		t.Errorf("it runs with %v, unresolved %v, steps %v", p, run.Unresolved, run.Execution.Snapshot.Steps)
	}
}

func TestRemovingAWorkflowDisablesWhatIsScheduledAndTellsAtOnce(t *testing.T) {
	k := setup(t)
	loops, wf := k.flow(nil, loop)
	manual := k.Make(func(in *automation.Input) {
		in.ExecutionType, in.Workflow, in.Prompt = "workflow", wf.ID.String(), ""
	})
	wantErr(t, k.Workflows.Remove(t.Context(), k.Jonas, wf.ID), fault.ErrForbidden)
	check(t, k.Workflows.Remove(t.Context(), k.Mira, wf.ID))
	if a := k.Reload(loops); a.Enabled || a.DisabledKind != db.ByRemoval ||
		!strings.Contains(a.DisabledReason, "“Flow” was removed by Mira") {
		t.Errorf("the loop is enabled %v, %s: %s; want disabled for the removal", a.Enabled, a.DisabledKind,
			a.DisabledReason)
	}
	if a := k.Reload(manual); !a.Enabled {
		t.Error("the manual one was disabled")
	}
	k.ExpectInbox(k.Jonas, inbox.Disabled)
	_, err := k.Runs().RunNow(t.Context(), k.Jonas, manual.ID, nil)
	var unable *automation.Unable
	if !errors.As(err, &unable) || unable.Reason != "the workflow of this automation was removed" {
		t.Errorf("a run of the manual one answered %v; want it to fail saying why", err)
	}
}

func TestATemplatesWorkflowIsFoundByItsNameInItsWorkspace(t *testing.T) {
	k := setup(t)
	template, ok := automation.TemplateByKey("qa-loop")
	if !ok {
		t.Fatal("there is no such template")
	}
	find := func() uuid.UUID {
		id, err := k.Definitions().TemplateWorkflow(t.Context(), k.Jonas, k.Scratch.ID, template.Workflow)
		check(t, err)
		return id
	}
	insert := func(workspace any) uuid.UUID {
		id := db.NewID()
		_, err := k.DB.NewRaw(
			"INSERT INTO workflows (id, workspace_id, name, created_at, updated_at) VALUES (?, ?, ?, now(), now())", id,
			workspace, template.Workflow.Name).Exec(t.Context())
		check(t, err)
		return id
	}
	insert(k.Elsewhere(k.Mira))
	if id := find(); id != uuid.Nil {
		t.Errorf("found %s of another workspace", id)
	}
	everywhere := insert(nil)
	if id := find(); id != everywhere {
		t.Errorf("found %s; want the one for all workspaces", id)
	}
	own := insert(k.Scratch.ID)
	if id := find(); id != own {
		t.Errorf("found %s; want the workspace's own", id)
	}
}
