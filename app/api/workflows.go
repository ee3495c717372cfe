package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/spec"
	"carillon/app/workflow"
	"carillon/db"
	"carillon/views"
)

// MaxWorkflow is the most bytes of the body of a workflow: as many as its form on a page may have.
const MaxWorkflow = 16 << 20

// WorkflowItem is a workflow as a list has it.
type WorkflowItem struct {
	ID          string    `json:"id" format:"uuid"`
	Name        string    `json:"name"`
	URL         string    `json:"url" format:"uri" doc:"Its page."`
	Workspace   *Named    `json:"workspace,omitempty" doc:"Absent: for all workspaces."`
	Description string    `json:"description"`
	Version     int64     `json:"version" doc:"Send it along with a change."`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// Workflow is a workflow in full. Defaults of secret parameters are not in it.
type Workflow struct {
	WorkflowItem
	Steps      []Step           `json:"steps"`
	Parameters []spec.Parameter `json:"parameters"`
}

// Step is one step of a workflow. Which fields count depends on its kind.
type Step struct {
	InnerStep
	Marker string      `json:"marker,omitempty" doc:"Of a loop: it ends when an answer contains this."`
	Max    int         `json:"max,omitempty" minimum:"0" doc:"Of a loop: rounds at most."`
	Steps  []InnerStep `json:"steps,omitempty" doc:"Of a loop."`
}

// InnerStep is what a step has also within a loop.
type InnerStep struct {
	Kind          string `json:"kind" enum:"message,clear_context,asset,complete_session,instruction_file,system_message,loop"`
	Label         string `json:"label,omitempty"`
	Text          string `json:"text,omitempty"`
	Path          string `json:"path,omitempty" doc:"Of a file: within the repository."`
	OnlyUnchanged bool   `json:"only_unchanged,omitempty" doc:"Of complete_session: only if no file changes."`
}

// WorkflowFields are what may be said of a workflow. What is left out stays. A loop within a loop is not taken.
type WorkflowFields struct {
	Name        string           `json:"name"`
	WorkspaceID string           `json:"workspace_id" doc:"Empty: for all workspaces."`
	Description string           `json:"description"`
	Steps       []Step           `json:"steps" doc:"As a whole."`
	Parameters  []spec.Parameter `json:"parameters" doc:"As a whole."`
}

// WorkflowChange is a change of a workflow.
type WorkflowChange struct {
	WorkflowFields
	Version int64 `json:"version" required:"true" doc:"The version that was read."`
}

const workflowsTag = "Workflows"

// workflows are the operations on workflows.
type workflows struct{ *Server }

func (a workflows) routes() {
	answers(a.Server, operation{
		method: http.MethodGet, path: "/workflows", name: "listWorkflows", tag: workflowsTag,
		summary: "List the workflows that you may use by name",
	}, a.list)
	creates(a.Server, operation{
		method: http.MethodPost, path: "/workflows", name: "createWorkflow", tag: workflowsTag,
		summary: "Create a workflow", most: MaxWorkflow,
	}, a.create)
	answers(a.Server, operation{
		method: http.MethodGet, path: "/workflows/{id}", name: "getWorkflow", tag: workflowsTag,
		summary: "Get a workflow",
	}, a.get)
	answers(a.Server, operation{method: http.MethodPatch, path: "/workflows/{id}", name: "updateWorkflow",
		tag:     workflowsTag,
		summary: "Change a workflow", most: MaxWorkflow,
		about: "What is left out stays. Runs that have started keep what they started with."}, a.update)
	does(a.Server, operation{method: http.MethodDelete, path: "/workflows/{id}", name: "deleteWorkflow",
		tag:     workflowsTag,
		summary: "Delete a workflow",
		about:   "Automations with it that a schedule starts are switched off at once; runs of the others fail."},
		a.delete)
	creates(a.Server, operation{
		method: http.MethodPost, path: "/workflows/{id}/copies", name: "duplicateWorkflow", tag: workflowsTag,
		summary: "Duplicate a workflow", about: "Defaults of secret parameters are left out: give them anew.",
	}, a.duplicate)
}

func (a workflows) duplicate(
	ctx context.Context, actor account.Actor, in *OneByID,
) (Workflow, string, error) {
	wf, _, err := a.Workflows.Duplicate(ctx, actor, in.id())
	if err != nil {
		return Workflow{}, "", err
	}
	full, err := a.get(ctx, actor, &OneByID{wf.ID.String()})
	return full, "workflows/" + wf.ID.String(), err
}

func (a workflows) item(wf *db.Workflow) WorkflowItem {
	item := WorkflowItem{
		ID: wf.ID.String(), Name: wf.Name, URL: a.link(views.WorkflowURL(wf.ID.String())), Description: wf.Description,
		Version:   wf.Version,
		CreatedAt: wf.CreatedAt.UTC(), UpdatedAt: wf.UpdatedAt.UTC(),
	}
	item.Workspace = workspaceName(wf.Workspace)
	return item
}

// workspaceName is the workspace that something is for; nil is all.
func workspaceName(w *db.Workspace) *Named {
	if w == nil {
		return nil
	}
	return &Named{ID: w.ID.String(), Name: w.Name}
}

func (a workflows) list(ctx context.Context, actor account.Actor,
	in *ListQuery) (PageOf[WorkflowItem], error) {
	name, id, err := in.afterName()
	if err != nil {
		return PageOf[WorkflowItem]{}, err
	}
	list, err := a.Workflows.Page(ctx, actor, db.NamePage{AfterName: name, AfterID: id, Limit: in.Limit + 1})
	if err != nil {
		return PageOf[WorkflowItem]{}, err
	}
	return paginate(list, in.Limit, a.item, func(wf *db.Workflow) []string {
		return []string{wf.Name, wf.ID.String()}
	}), nil
}

func (a workflows) get(ctx context.Context, actor account.Actor, in *OneByID) (Workflow, error) {
	wf, _, err := a.Workflows.Find(ctx, actor, in.id())
	if err != nil {
		return Workflow{}, err
	}
	is := workflow.Spec(wf)
	full := Workflow{
		WorkflowItem: a.item(wf), Steps: []Step{},
		Parameters: append([]spec.Parameter{}, is.Parameters...),
	}
	inner := func(s spec.Step) InnerStep {
		return InnerStep{Kind: s.Kind, Label: s.Label, Text: s.Text, Path: s.Path, OnlyUnchanged: s.OnlyUnchanged}
	}
	for _, s := range is.Steps {
		step := Step{InnerStep: inner(s), Marker: s.Marker, Max: s.Max}
		for _, i := range s.Steps {
			step.Steps = append(step.Steps, inner(i))
		}
		full.Steps = append(full.Steps, step)
	}
	return full, nil
}

// into takes over fields that a patch has set. It returns the paths of the steps, in the order of their rows, by which
// the rules name them.
func (f *WorkflowFields) into(in *workflow.Input, patch spec.Patch) (paths []string, err error) {
	in.Name, in.Workspace, in.Description = f.Name, f.WorkspaceID, f.Description
	if patch.Has("steps") {
		in.Steps = nil
		row := func(s InnerStep) workflow.StepInput {
			return workflow.StepInput{
				Kind: s.Kind, Label: s.Label, Text: s.Text, Path: s.Path, OnlyUnchanged: s.OnlyUnchanged,
			}
		}
		for i, s := range f.Steps {
			outer := row(s.InnerStep)
			outer.Marker, outer.Max = s.Marker, strconv.Itoa(s.Max)
			in.Steps, paths = append(in.Steps, outer), append(paths, fmt.Sprintf("steps.%d", i))
			if len(s.Steps) > 0 && s.Kind != string(db.LoopStep) {
				return nil, fault.Invalid{fmt.Sprintf("steps.%d.steps", i): "Only a loop has steps of its own."}
			}
			for j, inner := range s.Steps {
				within := row(inner)
				within.Inside = true
				in.Steps, paths = append(in.Steps, within), append(paths, fmt.Sprintf("steps.%d.steps.%d", i, j))
			}
		}
	}
	if patch.Has("parameters") {
		for i, p := range f.Parameters {
			if slices.ContainsFunc(p.Choices, func(c string) bool { return strings.ContainsAny(c, ",\r\n") }) {
				return nil, fault.Invalid{fmt.Sprintf("parameters.%d.choices",
					i): "A choice is one line without commas."}
			}
		}
		in.Parameters = workflow.TypedParameters(f.Parameters)
	}
	return paths, nil
}

// placed names the steps in an error as JSON has them: a loop's own are within it.
func placed(err error, paths []string) error {
	var bad fault.Invalid
	if !errors.As(err, &bad) || paths == nil {
		return err
	}
	moved := fault.Invalid{}
	for field, problem := range bad {
		parts := strings.SplitN(field, ".", 3)
		if len(parts) == 3 && parts[0] == "steps" {
			if i, err := strconv.Atoi(parts[1]); err == nil && i < len(paths) {
				field = paths[i] + "." + parts[2]
			}
		}
		moved[field] = problem
	}
	return moved
}

type createWorkflowQuery struct {
	Body patchOf[WorkflowFields]
}

func (a workflows) create(
	ctx context.Context, actor account.Actor, in *createWorkflowQuery,
) (Workflow, string, error) {
	var input workflow.Input
	fields, err := in.Body.Over(WorkflowFields{})
	if err != nil {
		return Workflow{}, "", err
	}
	paths, err := fields.into(&input, in.Body.Patch)
	if err != nil {
		return Workflow{}, "", err
	}
	wf, err := a.Workflows.Create(ctx, actor, input)
	if err != nil {
		return Workflow{}, "", placed(err, paths)
	}
	full, err := a.get(ctx, actor, &OneByID{wf.ID.String()})
	return full, "workflows/" + wf.ID.String(), err
}

type updateWorkflowQuery struct {
	OneByID
	Body patchOf[WorkflowChange]
}

func (a workflows) update(ctx context.Context, actor account.Actor,
	in *updateWorkflowQuery) (Workflow, error) {
	was, err := a.Workflows.Editable(ctx, actor, in.id())
	if err != nil {
		return Workflow{}, err
	}
	input := workflow.Typed(was)
	change, err := in.Body.Over(WorkflowChange{WorkflowFields: WorkflowFields{
		Name: input.Name, WorkspaceID: input.Workspace, Description: input.Description,
	}})
	if err != nil {
		return Workflow{}, err
	}
	paths, err := change.into(&input, in.Body.Patch)
	if err != nil {
		return Workflow{}, err
	}
	input.Version = change.Version
	if _, err := a.Workflows.Update(ctx, actor, was.ID, input); err != nil {
		return Workflow{}, placed(err, paths)
	}
	return a.get(ctx, actor, &in.OneByID)
}

func (a workflows) delete(ctx context.Context, actor account.Actor, in *OneByID) error {
	return a.Workflows.Remove(ctx, actor, in.id())
}
