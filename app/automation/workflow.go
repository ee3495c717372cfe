package automation

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/prompt"
	"carillon/app/provider"
	"carillon/app/toggle"
	"carillon/app/workflow"
	"carillon/db"
)

// applyWorkflow takes over the workflow of an automation, and the values stored for its parameters. An empty secret
// keeps the one stored.
func (s Definitions) applyWorkflow(ctx context.Context, q bun.IDB, actor account.Actor, a *db.Automation, in Input,
	bad fault.Invalid) error {
	before := a.WorkflowID
	a.WorkflowID = uuid.Nil
	if db.ExecutionType(in.ExecutionType) != db.WorkflowDriven || db.SessionType(in.SessionType) != db.Develop {
		return nil
	}
	id, err := uuid.Parse(in.Workflow)
	if err != nil {
		bad["workflow"] = "Choose a workflow."
		return nil
	}
	wf, err := workflow.Usable(ctx, q, actor, id)
	switch {
	case errors.Is(err, fault.ErrNotFound), err == nil && wf.WorkspaceID != uuid.Nil && wf.WorkspaceID != a.WorkspaceID:
		bad["workflow"] = "This workflow does not exist, or is not for this workspace. Choose another."
		return nil
	case err != nil:
		return err
	}
	a.WorkflowID = id
	stored := map[string]string{}
	for _, p := range wf.Parameters {
		value := in.Parameters[p.Alias]
		switch {
		case value == "":
			if old := a.Parameters[p.Alias]; p.Type == db.SecretParameter && before == id {
				if workflow.CanUnseal(s.Keys, p.Alias, old) {
					stored[p.Alias] = old
				}
			}
			continue
		case workflow.CanUnseal(s.Keys, p.Alias, value):
			bad["param."+p.Alias] = fault.Sentence(workflow.StoredFormGiven)
		case workflow.Problem(p, value) != "":
			bad["param."+p.Alias] = fault.Sentence(workflow.Problem(p, value))
		case p.Type == db.SecretParameter:
			value = workflow.Seal(s.Keys, p.Alias, value)
		}
		stored[p.Alias] = value
	}
	a.Parameters = stored
	aliases := make([]string, len(wf.Parameters))
	for i, p := range wf.Parameters {
		aliases[i] = p.Alias
	}
	in.unused(aliases, "The workflow has no parameter of this name. Leave it out.", bad)
	if p, ok := s.Providers.Find(a.Provider); ok && p.Script {
		size := 0
		for _, script := range workflow.Messages(wf.Steps) {
			if size += len(script.Step.Text); size > maxScriptBytes {
				bad["workflow"] = fmt.Sprintf(
					"The steps of this workflow are over %d MiB long together, which is too much for scripts.",
					maxScriptBytes>>20)
				break
			}
			if reason := s.scriptProblem(p.ID, script.Step.Text); reason != "" {
				bad["workflow"] = fmt.Sprintf("Step %s of this workflow is no script for %s: %s", script.Number(),
					p.Name, reason)
				break
			}
		}
	}
	return nil
}

// maxScriptBytes is how long the steps of a workflow may be together, in bytes, where they run as scripts: each is
// parsed.
const maxScriptBytes = 1 << 20

// firstStep begins the run of a workflow: its snapshot gets what goes with the first message, and the turn is the first
// step.
func firstStep(e *db.Execution, turn *db.Turn, a *db.Startable, p provider.Provider, body string) error {
	for _, message := range workflow.Messages(e.Snapshot.Steps) {
		if len(ExpandFenced(message.Step.Text, e.Parameters, e.Snapshot)) > prompt.MaxBytes {
			return ErrTooLarge
		}
	}
	if !p.Script {
		after := ""
		if body != "" { // never expanded: who sends it could ask for a secret by its alias
			after = prompt.WithPayload("", body, e.Snapshot.Untrusted)
		}
		after = toggle.Instruct(after, a.Toggles, a.Instructions)
		e.Snapshot.Steps = workflow.AfterFirstMessage(e.Snapshot.Steps, after)
	}
	first := workflow.Walk(e.Snapshot.Steps, nil)
	if len(first) == 0 {
		return &Unable{Automation: a.Name, Reason: fmt.Sprintf("the workflow %s has no steps", a.WorkflowName)}
	}
	turn.Kind, turn.Label, turn.Prompt = db.StepTurn, first[0].Label(), first[0].Step.Text
	return nil
}
