// Package workflow holds the rules of workflows: who may see and change them, what is a mistake in one, the order in
// which a run takes their steps, and the values of their parameters. It knows rows and keys. It knows neither how runs
// start and end, nor agents as processes.
package workflow

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/secret"
	"carillon/db"
)

// Service carries out what people ask for. Its fields are set once, in main.
type Service struct {
	DB   bun.IDB          // a *db.DB, or the transaction of In
	Now  func() time.Time // the instant of every rule
	Keys *secret.Keys     // seals the defaults of secret parameters

	// RunsScripts reports whether a provider runs the steps of a workflow as shell scripts.
	RunsScripts func(provider string) bool
	// Changed is called in the transaction that changes a workflow, with the automations that use it and whose sessions
	// may manage automations. What names the workflow in a sentence.
	Changed func(ctx context.Context, tx bun.Tx, actor account.Actor, uses []db.Automation, what string) error
	// Lost is called in the transaction that removes a workflow, with the automations that use it.
	Lost func(ctx context.Context, tx bun.Tx, uses []db.Automation, reason string) error
}

// In is the service bound to a transaction: its operations read and write there, and the transaction of each is a
// savepoint.
func (s *Service) In(tx bun.Tx) *Service {
	bound := *s
	bound.DB = tx
	return &bound
}

// List lists the workflows that a person may use: those for all workspaces, and those of their own workspaces.
func (s *Service) List(ctx context.Context, actor account.Actor) ([]db.Workflow, error) {
	return db.Workflows(ctx, s.DB, actor.Access(), db.NamePage{})
}

// Page is a page of List.
func (s *Service) Page(ctx context.Context, actor account.Actor, page db.NamePage) ([]db.Workflow, error) {
	return db.Workflows(ctx, s.DB, actor.Access(), page)
}

// Find finds a workflow that a person may use, and the automations with it that the person sees. Otherwise it returns
// fault.ErrNotFound.
func (s *Service) Find(ctx context.Context, actor account.Actor, id uuid.UUID) (*db.Workflow, []db.Automation, error) {
	wf, err := Usable(ctx, s.DB, actor, id)
	if err != nil {
		return nil, nil, err
	}
	users, err := db.WorkflowUsers(ctx, s.DB, actor.Access(), id, 100)
	return wf, users, err
}

// Usable finds a workflow that a person may use. Otherwise it returns fault.ErrNotFound.
func Usable(ctx context.Context, q bun.IDB, actor account.Actor, id uuid.UUID) (*db.Workflow, error) {
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

// Create makes a workflow. It returns fault.Invalid with a sentence per field; those of the third step are under
// "steps.2.text" and the like.
func (s *Service) Create(ctx context.Context, actor account.Actor, in Input) (*db.Workflow, error) {
	var wf *db.Workflow
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		wf, err = s.create(ctx, tx, actor, in)
		return err
	})
	return wf, fault.Wrap(err, "create workflow")
}

func (s *Service) create(ctx context.Context, tx bun.Tx, actor account.Actor, in Input) (*db.Workflow, error) {
	if !actor.Can(account.ManageWorkflows) {
		return nil, fault.ErrForbidden
	}
	now := s.Now()
	wf := &db.Workflow{
		ID: db.NewID(), CreatedBy: actor.ID, ChangedBy: actor.ID, CreatedAt: now, UpdatedAt: now, Version: 1,
	}
	if err := s.apply(ctx, tx, actor, wf, in); err != nil {
		return nil, err
	}
	if err := db.InsertWorkflow(ctx, tx, wf); err != nil {
		return nil, err
	}
	return wf, s.audit(ctx, tx, actor, "workflow.create", nil, wf)
}

// Update changes a workflow. Runs that have started keep the steps with which they started. It returns fault.ErrStale
// when someone else saved it since the actor opened it, and the errors of Create.
func (s *Service) Update(ctx context.Context, actor account.Actor, id uuid.UUID, in Input) (*db.Workflow, error) {
	if _, err := s.Editable(ctx, actor, id); err != nil {
		return nil, err
	}
	var wf *db.Workflow
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		wf, err = s.update(ctx, tx, actor, id, in)
		return err
	})
	return wf, fault.Wrap(err, "update workflow %s", id)
}

func (s *Service) update(ctx context.Context, tx bun.Tx, actor account.Actor, id uuid.UUID,
	in Input) (*db.Workflow, error) {
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
	if err := s.apply(ctx, tx, actor, wf, in); err != nil {
		return nil, err
	}
	if err := s.mayChange(ctx, tx, actor, wf, wf.WorkspaceID, !reflect.DeepEqual(before.Steps, wf.Steps)); err != nil {
		return nil, err
	}
	wf.ChangedBy = actor.ID
	wf.Version, wf.UpdatedAt = wf.Version+1, s.Now()
	if err := db.SaveWorkflow(ctx, tx, wf); err != nil {
		return nil, err
	}
	if err := s.Changed(ctx, tx, actor, automating, "the workflow “"+wf.Name+"”"); err != nil {
		return nil, err
	}
	return wf, s.audit(ctx, tx, actor, "workflow.update", &before, wf)
}

// Preview is a workflow as Update would make it of a row. It saves nothing, and does not ask whether the actor may
// change the workflow. It returns the fault.Invalid of Create.
func (s *Service) Preview(ctx context.Context, actor account.Actor, row *db.Workflow, in Input) (*db.Workflow, error) {
	wf := *row
	err := s.apply(ctx, s.DB, actor, &wf, in)
	return &wf, err
}

// mayChange refuses what account.MayChangeShared does, and lets nobody change steps that are scripts who may not write
// any.
func (s *Service) mayChange(ctx context.Context, tx bun.Tx, actor account.Actor, wf *db.Workflow, now uuid.UUID,
	steps bool) error {
	uses, err := db.WorkflowUses(ctx, tx, wf.ID, actor.ID)
	if err != nil {
		return err
	}
	if err := account.MayChangeShared(ctx, actor, uses, now, "workflow"); err != nil {
		return err
	}
	for _, u := range uses {
		if steps && s.RunsScripts(u.Provider) && !actor.Can(account.UseShell) {
			account.RecordRefusal(ctx, actor, "may not run commands on a worker")
			return fault.Invalid{"steps": "Automations run the steps of this workflow as shell scripts, and you may " +
				"not run commands on a worker. Ask for the permission to use the Shell provider."}
		}
	}
	return nil
}

// Editable finds a workflow for its edit page, with the errors of every change.
func (s *Service) Editable(ctx context.Context, actor account.Actor, id uuid.UUID) (*db.Workflow, error) {
	wf, err := Usable(ctx, s.DB, actor, id)
	if err != nil {
		return nil, err
	}
	if !actor.Can(account.ManageWorkflows) {
		return nil, fault.ErrForbidden
	}
	return wf, nil
}

// Duplicate makes a workflow like another, with “copy” after its name. The defaults of secret parameters are left out,
// and their names returned: the steps of the copy are the copier's, who could have them tell what only those knew who
// entered it.
func (s *Service) Duplicate(ctx context.Context, actor account.Actor,
	id uuid.UUID) (copied *db.Workflow, leftOut []string, err error) {
	from, err := s.Editable(ctx, actor, id)
	if err != nil {
		return nil, nil, err
	}
	now, name := s.Now(), []rune(from.Name)
	wf := *from
	wf.ID, wf.CreatedBy = db.NewID(), actor.ID
	wf.CreatedAt, wf.UpdatedAt, wf.Version = now, now, 1
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
		return s.audit(ctx, tx, actor, "workflow.create", nil, &wf)
	})
	return &wf, leftOut, fault.Wrap(err, "duplicate workflow %s", id)
}

// Remove deletes a workflow. Specification: Recurring and Loop automations "are auto-disabled ... when the linked Bot
// or Workflow is removed", One-Time ones too, at once and with a notice; Manual and HTTP Trigger stay, and their runs
// fail saying so.
func (s *Service) Remove(ctx context.Context, actor account.Actor, id uuid.UUID) error {
	if _, err := s.Editable(ctx, actor, id); err != nil {
		return err
	}
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error { return s.remove(ctx, tx, actor, id) })
	return fault.Wrap(err, "remove workflow %s", id)
}

func (s *Service) remove(ctx context.Context, tx bun.Tx, actor account.Actor, id uuid.UUID) error {
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
	if err := s.mayChange(ctx, tx, actor, wf, uuid.Nil, false); err != nil {
		return err
	}
	reason := fmt.Sprintf("its workflow “%s” was removed by %s", wf.Name, actor.Name)
	if err := s.Lost(ctx, tx, users, reason); err != nil {
		return err
	}
	if err := db.DeleteWorkflow(ctx, tx, id); err != nil {
		return err
	}
	return s.audit(ctx, tx, actor, "workflow.delete", wf, nil)
}

// audit records a change of a workflow. Before is nil for a new one, after for one that is gone.
func (s *Service) audit(ctx context.Context, q bun.IDB, actor account.Actor, action string, before,
	after *db.Workflow) error {
	line := db.AuditEvent{ActorID: actor.ID, Action: action, SubjectKind: "workflow"}
	for _, wf := range []*db.Workflow{before, after} {
		if wf != nil {
			line.SubjectID, line.SubjectName, line.WorkspaceID = wf.ID, wf.Name, wf.WorkspaceID
		}
	}
	if before != nil {
		line.Before = described(before)
	}
	if after != nil {
		line.After = described(after)
	}
	return account.Record(ctx, q, s.Now(), line)
}

// described is what the audit log keeps of a workflow. Of the defaults of secrets it has whether they changed.
func described(wf *db.Workflow) map[string]any {
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
