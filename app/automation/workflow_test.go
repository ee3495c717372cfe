package automation

import (
	"errors"
	"strings"
	"testing"

	"carillon/app/fault"
	"carillon/db"
)

func TestExpandTakesTheLongestAliasInOnePass(t *testing.T) {
	values := map[string]string{"date": "D", "datetime": "DT", "a": "$b", "b": "B", "session-id": "S", "empty": ""}
	for text, want := range map[string]string{
		"$date $datetime ${date}time": "D DT Dtime", "$a ${b}": "$b B",
		"$session-id/$none ${none} $": "S/$none ${none} $", "[$empty]": "[]", "$$b": "$B",
	} {
		if got := Expand(text, values); got != want {
			t.Errorf("%q became %q; want %q", text, got, want)
		}
	}
}

func TestMistakesInAWorkflowAreNamedByTheirStep(t *testing.T) {
	k := setup(t)
	_, err := k.CreateWorkflow(t.Context(), k.mira, WorkflowInput{
		Name: "Flow",
		Steps: []StepInput{
			{Kind: "message"}, {Kind: "asset", Path: "../../etc/passwd"}, {Kind: "asset", Path: ".git/config"},
			{Kind: "asset", Path: "/etc/passwd"}, {Kind: "asset"},
			{Kind: "message", Text: "x", Inside: true}, {Kind: "loop", Max: "0"}, {Kind: "dance"},
			{Kind: "message", Text: "a\x00b"},
		},
		Parameters: []ParameterInput{{Alias: "date", Type: "text"}, {Alias: "1x", Type: "text"},
			{Alias: "n", Type: "number", Default: "many"}, {Alias: "c", Type: "choice"},
			{Alias: "n", Type: "boolean", Default: "yes"}, {Alias: "t"}},
	})
	var bad fault.Invalid
	if !errors.As(err, &bad) {
		t.Fatalf("got error %v; want mistakes", err)
	}
	for _, field := range []string{"steps.0.text", "steps.1.path", "steps.2.path", "steps.3.path", "steps.4.path",
		"steps.5.inside", "steps.6.max", "steps.6.kind", "steps.7.kind", "steps.8.text",
		"parameters.0.alias", "parameters.1.alias", "parameters.2.default", "parameters.3.choices",
		"parameters.4.alias", "parameters.4.default", "parameters.5.type"} {
		if bad[field] == "" {
			t.Errorf("nothing is said about %s", field)
		}
	}
	if len(bad) != 17 {
		t.Errorf("got %d mistakes: %v; want 17", len(bad), bad)
	}
}

// flow makes an automation of Jonas's with a workflow.
func (k *kit) flow(parameters []ParameterInput, change func(*Input)) (*db.Automation, *db.Workflow) {
	k.t.Helper()
	wf, err := k.CreateWorkflow(k.t.Context(), k.mira,
		WorkflowInput{
			Name: "Flow", Steps: []StepInput{{Kind: "message", Text: "Look at $what."}}, Parameters: parameters,
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
	a, _ := k.flow([]ParameterInput{{Alias: "what", Type: "text", Required: true},
		{Alias: "n", Type: "number", Default: "3"}, {Alias: "kind", Type: "choice", Choices: "a, b", Default: "a"}},
		func(in *Input) { in.Parameters = map[string]string{"kind": "b"} })
	start := func(given map[string]string) (*Run, error) {
		return k.Start(t.Context(), a.ID, Trigger{Source: db.ByHand, UserID: k.jonas.ID, Parameters: given})
	}
	var missing *MissingParameter
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
	wantErr(t, k.RemoveWorkflow(t.Context(), k.jonas, wf.ID), fault.ErrForbidden)
	check(t, k.RemoveWorkflow(t.Context(), k.mira, wf.ID))
	if a := k.reload(loops); a.Enabled || a.DisabledKind != db.ByRemoval ||
		!strings.Contains(a.DisabledReason, "“Flow” was removed by Mira") {
		t.Errorf("the loop is enabled %v, %s: %s; want disabled for the removal", a.Enabled, a.DisabledKind,
			a.DisabledReason)
	}
	if a := k.reload(manual); !a.Enabled {
		t.Error("the manual one was disabled")
	}
	k.expectInbox(k.jonas, NoticeDisabled)
	_, err := k.RunNow(t.Context(), k.jonas, manual.ID, nil)
	var unable *Unable
	if !errors.As(err, &unable) || unable.Reason != "the workflow of this automation was removed" {
		t.Errorf("a run of the manual one answered %v; want it to fail saying why", err)
	}
}
