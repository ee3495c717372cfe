package automation

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/secret"
	"carillon/db"
)

// Workflows lists the workflows that a person may use: those for all workspaces, and those of their own workspaces.
func (s *Service) Workflows(ctx context.Context, actor account.Actor) ([]db.Workflow, error) {
	return db.Workflows(ctx, s.DB, actor.Access(), db.NamePage{})
}

// WorkflowPage is a page of Workflows.
func (s *Service) WorkflowPage(ctx context.Context, actor account.Actor, page db.NamePage) ([]db.Workflow, error) {
	return db.Workflows(ctx, s.DB, actor.Access(), page)
}

// Workflow finds a workflow that a person may use, and the automations with it that the person sees. Otherwise it
// returns fault.ErrNotFound.
func (s *Service) Workflow(ctx context.Context, actor account.Actor,
	id uuid.UUID) (*db.Workflow, []db.Automation, error) {
	wf, err := s.workflow(ctx, s.DB, actor, id)
	if err != nil {
		return nil, nil, err
	}
	users, err := db.WorkflowUsers(ctx, s.DB, actor.Access(), id, 100)
	return wf, users, err
}

func (s *Service) workflow(ctx context.Context, q bun.IDB, actor account.Actor, id uuid.UUID) (*db.Workflow, error) {
	wf, err := account.Found(db.WorkflowByID(ctx, q, id))
	if err != nil {
		return nil, err
	}
	if wf.WorkspaceID == uuid.Nil {
		return wf, nil
	}
	if err := account.RequireMember(ctx, q, actor, wf.WorkspaceID); err != nil {
		return nil, err
	}
	return wf, nil
}

// CreateWorkflow makes a workflow. It returns fault.Invalid with a sentence per field; those of the third step are
// under "steps.2.text" and the like.
func (s *Service) CreateWorkflow(ctx context.Context, actor account.Actor, in WorkflowInput) (*db.Workflow, error) {
	var wf *db.Workflow
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		wf, err = s.createWorkflow(ctx, tx, actor, in)
		return err
	})
	return wf, fault.Wrap(err, "create workflow")
}

// createWorkflow is CreateWorkflow within a transaction.
func (s *Service) createWorkflow(ctx context.Context, tx bun.Tx, actor account.Actor,
	in WorkflowInput) (*db.Workflow, error) {
	if !actor.Can(account.ManageWorkflows) {
		return nil, fault.ErrForbidden
	}
	now := s.Now()
	wf := &db.Workflow{
		ID: db.NewID(), CreatedBy: actor.ID, ChangedBy: actor.ID, CreatedAt: now, UpdatedAt: now, Version: 1,
	}
	if err := s.applyWorkflowInput(ctx, tx, actor, wf, in); err != nil {
		return nil, err
	}
	if err := db.InsertWorkflow(ctx, tx, wf); err != nil {
		return nil, err
	}
	return wf, s.auditWorkflow(ctx, tx, actor, "workflow.create", nil, wf)
}

// UpdateWorkflow changes a workflow. Runs that have started keep the steps with which they started. It returns
// fault.ErrStale when someone else saved it since the actor opened it, and the errors of CreateWorkflow.
func (s *Service) UpdateWorkflow(ctx context.Context, actor account.Actor, id uuid.UUID,
	in WorkflowInput) (*db.Workflow, error) {
	if _, err := s.EditableWorkflow(ctx, actor, id); err != nil {
		return nil, err
	}
	var wf *db.Workflow
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		wf, err = s.updateWorkflow(ctx, tx, actor, id, in)
		return err
	})
	return wf, fault.Wrap(err, "update workflow %s", id)
}

// updateWorkflow is UpdateWorkflow within a transaction.
func (s *Service) updateWorkflow(ctx context.Context, tx bun.Tx, actor account.Actor, id uuid.UUID,
	in WorkflowInput) (*db.Workflow, error) {
	automating, err := db.LockAutomating(ctx, tx, "workflow_id", id)
	if err != nil {
		return nil, err
	}
	wf, err := account.Found(db.LockWorkflow(ctx, tx, id))
	if err != nil {
		return nil, err
	}
	if actor, err = account.StillMay(ctx, tx, actor, account.ManageWorkflows, wf.WorkspaceID); err != nil {
		return nil, err
	}
	if wf.Version != in.Version {
		return nil, fault.ErrStale
	}
	before := *wf
	if err := s.applyWorkflowInput(ctx, tx, actor, wf, in); err != nil {
		return nil, err
	}
	if err := s.mayChangeWorkflow(ctx, tx, actor, wf, wf.WorkspaceID,
		!reflect.DeepEqual(before.Steps, wf.Steps)); err != nil {
		return nil, err
	}
	wf.ChangedBy = actor.ID
	wf.Version, wf.UpdatedAt = wf.Version+1, s.Now()
	if err := db.SaveWorkflow(ctx, tx, wf); err != nil {
		return nil, err
	}
	if err := s.stopAutomating(ctx, tx, actor, automating, "the workflow “"+wf.Name+"”"); err != nil {
		return nil, err
	}
	return wf, s.auditWorkflow(ctx, tx, actor, "workflow.update", &before, wf)
}

// mayChangeWorkflow refuses what mayChangeShared does, and lets nobody change steps that are scripts who may not write
// any.
func (s *Service) mayChangeWorkflow(ctx context.Context, tx bun.Tx, actor account.Actor, wf *db.Workflow, now uuid.UUID,
	steps bool) error {
	uses, err := db.WorkflowUses(ctx, tx, wf.ID, actor.ID)
	if err != nil {
		return err
	}
	if err := account.MayChangeShared(ctx, actor, uses, now, "workflow"); err != nil {
		return err
	}
	for _, u := range uses {
		if steps && s.canUseProvider(actor, u.Provider) != nil {
			account.RecordRefusal(ctx, actor, "may not run commands on a worker")
			return fault.Invalid{"steps": "Automations run the steps of this workflow as shell scripts, and you may " +
				"not run commands on a worker. Ask for the permission to use the Shell provider."}
		}
	}
	return nil
}

// EditableWorkflow finds a workflow for its edit page, with the errors of every change.
func (s *Service) EditableWorkflow(ctx context.Context, actor account.Actor, id uuid.UUID) (*db.Workflow, error) {
	wf, err := s.workflow(ctx, s.DB, actor, id)
	if err != nil {
		return nil, err
	}
	if !actor.Can(account.ManageWorkflows) {
		return nil, fault.ErrForbidden
	}
	return wf, nil
}

// DuplicateWorkflow makes a workflow like another, with “copy” after its name. The defaults of secret parameters are
// left out, and their names returned: the steps of the copy are the copier's, who could have them tell what only those
// knew who entered it.
func (s *Service) DuplicateWorkflow(ctx context.Context, actor account.Actor,
	id uuid.UUID) (copied *db.Workflow, leftOut []string, err error) {
	from, err := s.EditableWorkflow(ctx, actor, id)
	if err != nil {
		return nil, nil, err
	}
	now, name := s.Now(), []rune(from.Name)
	wf := *from
	wf.ID, wf.CreatedBy, wf.CreatedAt, wf.UpdatedAt, wf.Version = db.NewID(), actor.ID, now, now, 1
	wf.Name = string(name[:min(len(name), 195)]) + " copy"
	wf.Parameters = slices.Clone(from.Parameters)
	for i := range wf.Parameters {
		if p := &wf.Parameters[i]; p.Type == db.SecretParameter && p.Default != "" {
			p.Default = ""
			leftOut = append(leftOut, p.Alias)
		}
	}
	err = db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		if err := db.InsertWorkflow(ctx, tx, &wf); err != nil {
			return err
		}
		return s.auditWorkflow(ctx, tx, actor, "workflow.create", nil, &wf)
	})
	return &wf, leftOut, fault.Wrap(err, "duplicate workflow %s", id)
}

// RemoveWorkflow deletes a workflow. Specification: Recurring and Loop automations "are auto-disabled ... when the
// linked Bot or Workflow is removed", One-Time ones too, at once and with a notice; Manual and HTTP Trigger stay, and
// their runs fail saying so.
func (s *Service) RemoveWorkflow(ctx context.Context, actor account.Actor, id uuid.UUID) error {
	if _, err := s.EditableWorkflow(ctx, actor, id); err != nil {
		return err
	}
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		return s.removeWorkflow(ctx, tx, actor, id)
	})
	return fault.Wrap(err, "remove workflow %s", id)
}

// removeWorkflow is RemoveWorkflow within a transaction, of one that the actor may change.
func (s *Service) removeWorkflow(ctx context.Context, tx bun.Tx, actor account.Actor, id uuid.UUID) error {
	users, err := db.LockWorkflowUsers(ctx, tx, id)
	if err != nil {
		return err
	}
	wf, err := account.Found(db.LockWorkflow(ctx, tx, id))
	if err != nil {
		return err
	}
	if actor, err = account.StillMay(ctx, tx, actor, account.ManageWorkflows, wf.WorkspaceID); err != nil {
		return err
	}
	if err := s.mayChangeWorkflow(ctx, tx, actor, wf, uuid.Nil, false); err != nil {
		return err
	}
	if err := s.disableUsers(ctx, tx, users, fmt.Sprintf("its workflow “%s” was removed by %s", wf.Name,
		actor.Name)); err != nil {
		return err
	}
	if err := db.DeleteWorkflow(ctx, tx, id); err != nil {
		return err
	}
	return s.auditWorkflow(ctx, tx, actor, "workflow.delete", wf, nil)
}

// auditWorkflow records a change of a workflow. Before is nil for a new one, after for one that is gone.
func (s *Service) auditWorkflow(ctx context.Context, q bun.IDB, actor account.Actor, action string, before,
	after *db.Workflow) error {
	e := db.AuditEvent{ID: db.NewID(), At: s.Now(), ActorID: actor.ID, Action: action, SubjectKind: "workflow"}
	for _, wf := range []*db.Workflow{before, after} {
		if wf != nil {
			e.SubjectID, e.SubjectName, e.WorkspaceID = wf.ID, wf.Name, wf.WorkspaceID
		}
	}
	if before != nil {
		e.Before = describedWorkflow(before)
	}
	if after != nil {
		e.After = describedWorkflow(after)
	}
	return db.AddAudit(ctx, q, e)
}

// describedWorkflow is what the audit log keeps of a workflow. Of the defaults of secrets it has whether they changed.
func describedWorkflow(wf *db.Workflow) map[string]any {
	parameters := make([]db.Parameter, len(wf.Parameters))
	for i, p := range wf.Parameters {
		if p.Type == db.SecretParameter && p.Default != "" {
			p.Default = secret.StoredAs([]byte(p.Default))
		}
		parameters[i] = p
	}
	return map[string]any{
		"name": wf.Name, "workspace_id": wf.WorkspaceID.String(), "description": wf.Description, "steps": wf.Steps,
		"parameters": parameters,
	}
}

// applyWorkflow takes over the workflow of an automation, and the values stored for its parameters. An empty secret
// keeps the one stored.
func (s *Service) applyWorkflow(ctx context.Context, q bun.IDB, actor account.Actor, a *db.Automation, in Input,
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
	wf, err := s.workflow(ctx, q, actor, id)
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
				if _, ok := s.unseal(p.Alias, old); ok {
					stored[p.Alias] = old
				}
			}
			continue
		case s.storedForm(p.Alias, value):
			bad["param."+p.Alias] = fault.Sentence(notStoredForm)
		case problemOf(p, value) != "":
			bad["param."+p.Alias] = fault.Sentence(problemOf(p, value))
		case p.Type == db.SecretParameter:
			value = s.seal(p.Alias, value)
		}
		stored[p.Alias] = value
	}
	a.Parameters = stored
	aliases := make([]string, len(wf.Parameters))
	for i, p := range wf.Parameters {
		aliases[i] = p.Alias
	}
	in.unused(aliases, "The workflow has no parameter of this name. Leave it out.", bad)
	if p, ok := s.provider(a.Provider); ok && p.Script {
		size := 0
		for _, script := range scripts(wf.Steps) {
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

// scripts are the messages among steps, with those in loops.
func scripts(steps []db.Step) []Placed {
	var list []Placed
	for i, step := range steps {
		if step.Kind == db.MessageStep {
			list = append(list, Placed{Step: step, Path: []int{i}})
		}
		for j, inner := range step.Steps {
			if inner.Kind == db.MessageStep {
				list = append(list, Placed{Step: inner, Path: []int{i, j}})
			}
		}
	}
	return list
}
