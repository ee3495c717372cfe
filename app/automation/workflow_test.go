package automation

import (
	"errors"
	"strings"
	"testing"

	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/app/workflow"
	"carillon/db"
)

// flow makes an automation of Jonas's with a workflow.
func (k *kit) flow(parameters []workflow.ParameterInput, change func(*Input)) (*db.Automation, *db.Workflow) {
	k.t.Helper()
	wf, err := k.workflows.Create(k.t.Context(), k.mira,
		workflow.Input{
			Name: "Flow", Steps: []workflow.StepInput{{Kind: "message", Text: "Look at $what."}},
			Parameters: parameters,
		})
	check(k.t, err)
	return k.create(func(in *Input) {
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
		func(in *Input) { in.Parameters = map[string]string{"kind": "b"} })
	start := func(given map[string]string) (*Run, error) {
		return k.Runs().Start(t.Context(), a.ID, Trigger{Source: db.ByHand, UserID: k.jonas.ID, Parameters: given})
	}
	var missing *workflow.MissingParameter
	if _, err := start(nil); !errors.As(err, &missing) || missing.Error() != "missing parameter: what" {
		t.Errorf("without a value it answered %v; want the parameter missing", err)
	}
	if _, err := start(map[string]string{"what": "x", "n": "many"}); !errors.As(err, &missing) ||
		missing.Error() != "parameter n: this is not a number" {
		t.Errorf("with a wrong value it answered %v; want it named", err)
	}
	if n := len(k.history(a)); n != 0 {
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
	manual := k.create(func(in *Input) { in.ExecutionType, in.Workflow, in.Prompt = "workflow", wf.ID.String(), "" })
	wantErr(t, k.workflows.Remove(t.Context(), k.jonas, wf.ID), fault.ErrForbidden)
	check(t, k.workflows.Remove(t.Context(), k.mira, wf.ID))
	if a := k.reload(loops); a.Enabled || a.DisabledKind != db.ByRemoval ||
		!strings.Contains(a.DisabledReason, "“Flow” was removed by Mira") {
		t.Errorf("the loop is enabled %v, %s: %s; want disabled for the removal", a.Enabled, a.DisabledKind,
			a.DisabledReason)
	}
	if a := k.reload(manual); !a.Enabled {
		t.Error("the manual one was disabled")
	}
	k.expectInbox(k.jonas, inbox.Disabled)
	_, err := k.Runs().RunNow(t.Context(), k.jonas, manual.ID, nil)
	var unable *Unable
	if !errors.As(err, &unable) || unable.Reason != "the workflow of this automation was removed" {
		t.Errorf("a run of the manual one answered %v; want it to fail saying why", err)
	}
}
