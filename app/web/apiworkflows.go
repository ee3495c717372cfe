package web

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
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/spec"
	"carillon/db"
	"carillon/views"
)

// maxAPIWorkflow is the most bytes of a workflow: as many as its form may have.
const maxAPIWorkflow = maxForm

// APIWorkflowItem is a workflow as a list has it.
type APIWorkflowItem struct {
	ID          string    `json:"id" format:"uuid"`
	Name        string    `json:"name"`
	URL         string    `json:"url" format:"uri" doc:"Its page."`
	Workspace   *APINamed `json:"workspace,omitempty" doc:"Absent: for all workspaces."`
	Description string    `json:"description"`
	Version     int64     `json:"version" doc:"Send it along with a change."`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// APIWorkflow is a workflow in full. Defaults of secret parameters are not in it.
type APIWorkflow struct {
	APIWorkflowItem
	Steps      []APIStep        `json:"steps"`
	Parameters []spec.Parameter `json:"parameters"`
}

// APIStep is one step of a workflow. Which fields count depends on its kind.
type APIStep struct {
	APIInnerStep
	Marker string         `json:"marker,omitempty" doc:"Of a loop: it ends when an answer contains this."`
	Max    int            `json:"max,omitempty" minimum:"0" doc:"Of a loop: rounds at most."`
	Steps  []APIInnerStep `json:"steps,omitempty" doc:"Of a loop."`
}

// APIInnerStep is what a step has also within a loop.
type APIInnerStep struct {
	Kind          string `json:"kind" enum:"message,clear_context,asset,complete_session,instruction_file,system_message,loop"`
	Label         string `json:"label,omitempty"`
	Text          string `json:"text,omitempty"`
	Path          string `json:"path,omitempty" doc:"Of a file: within the repository."`
	OnlyUnchanged bool   `json:"only_unchanged,omitempty" doc:"Of complete_session: only if no file changes."`
}

// APIWorkflowFields are what may be said of a workflow. What is left out stays. A loop within a loop is not taken.
type APIWorkflowFields struct {
	Name        string           `json:"name"`
	WorkspaceID string           `json:"workspace_id" doc:"Empty: for all workspaces."`
	Description string           `json:"description"`
	Steps       []APIStep        `json:"steps" doc:"As a whole."`
	Parameters  []spec.Parameter `json:"parameters" doc:"As a whole."`
}

// APIWorkflowChange is a change of a workflow.
type APIWorkflowChange struct {
	APIWorkflowFields
	Version int64 `json:"version" required:"true" doc:"The version that was read."`
}

const workflowsTag = "Workflows"

func (a *api) workflowRoutes() {
	answers(a, apiOp{
		method: http.MethodGet, path: "/workflows", name: "listWorkflows", tag: workflowsTag,
		summary: "List the workflows that you may use by name",
	}, a.listWorkflows)
	creates(a, apiOp{
		method: http.MethodPost, path: "/workflows", name: "createWorkflow", tag: workflowsTag,
		summary: "Create a workflow", most: maxAPIWorkflow,
	}, a.createWorkflowByAPI)
	answers(a, apiOp{
		method: http.MethodGet, path: "/workflows/{id}", name: "getWorkflow", tag: workflowsTag,
		summary: "Get a workflow",
	}, a.getWorkflow)
	answers(a, apiOp{method: http.MethodPatch, path: "/workflows/{id}", name: "updateWorkflow", tag: workflowsTag,
		summary: "Change a workflow", most: maxAPIWorkflow,
		about: "What is left out stays. Runs that have started keep what they started with."}, a.updateWorkflowByAPI)
	does(a, apiOp{method: http.MethodDelete, path: "/workflows/{id}", name: "deleteWorkflow", tag: workflowsTag,
		summary: "Delete a workflow",
		about:   "Automations with it that a schedule starts are switched off at once; runs of the others fail."},
		a.deleteWorkflow)
	creates(a, apiOp{
		method: http.MethodPost, path: "/workflows/{id}/copies", name: "duplicateWorkflow", tag: workflowsTag,
		summary: "Duplicate a workflow", about: "Defaults of secret parameters are left out: give them anew.",
	}, a.duplicateWorkflowByAPI)
}

func (a *api) duplicateWorkflowByAPI(
	ctx context.Context, actor account.Actor, in *APIOneByID,
) (APIWorkflow, string, error) {
	wf, _, err := a.Rules.DuplicateWorkflow(ctx, actor, in.id())
	if err != nil {
		return APIWorkflow{}, "", err
	}
	full, err := a.getWorkflow(ctx, actor, &APIOneByID{wf.ID.String()})
	return full, "workflows/" + wf.ID.String(), err
}

func (a *api) workflowItem(wf *db.Workflow) APIWorkflowItem {
	item := APIWorkflowItem{
		ID: wf.ID.String(), Name: wf.Name, URL: a.link(views.WorkflowURL(wf.ID.String())), Description: wf.Description,
		Version:   wf.Version,
		CreatedAt: wf.CreatedAt.UTC(), UpdatedAt: wf.UpdatedAt.UTC(),
	}
	item.Workspace = a.workspaceName(wf.Workspace)
	return item
}

// workspaceName is the workspace that something is for; nil is all.
func (a *api) workspaceName(w *db.Workspace) *APINamed {
	if w == nil {
		return nil
	}
	return &APINamed{ID: w.ID.String(), Name: w.Name}
}

func (a *api) listWorkflows(ctx context.Context, actor account.Actor,
	in *APIListQuery) (pageOf[APIWorkflowItem], error) {
	name, id, err := in.afterName()
	if err != nil {
		return pageOf[APIWorkflowItem]{}, err
	}
	list, err := a.Rules.WorkflowPage(ctx, actor, db.NamePage{AfterName: name, AfterID: id, Limit: in.Limit + 1})
	if err != nil {
		return pageOf[APIWorkflowItem]{}, err
	}
	return paginate(list, in.Limit, a.workflowItem, func(wf *db.Workflow) []string {
		return []string{wf.Name, wf.ID.String()}
	}), nil
}

func (a *api) getWorkflow(ctx context.Context, actor account.Actor, in *APIOneByID) (APIWorkflow, error) {
	wf, _, err := a.Rules.Workflow(ctx, actor, in.id())
	if err != nil {
		return APIWorkflow{}, err
	}
	is := automation.WorkflowSpec(wf)
	full := APIWorkflow{
		APIWorkflowItem: a.workflowItem(wf), Steps: []APIStep{},
		Parameters: append([]spec.Parameter{}, is.Parameters...),
	}
	inner := func(s spec.Step) APIInnerStep {
		return APIInnerStep{Kind: s.Kind, Label: s.Label, Text: s.Text, Path: s.Path, OnlyUnchanged: s.OnlyUnchanged}
	}
	for _, s := range is.Steps {
		step := APIStep{APIInnerStep: inner(s), Marker: s.Marker, Max: s.Max}
		for _, i := range s.Steps {
			step.Steps = append(step.Steps, inner(i))
		}
		full.Steps = append(full.Steps, step)
	}
	return full, nil
}

// into takes over fields that a patch has set. It returns the paths of the steps, in the order of their rows, by which
// the rules name them.
func (f *APIWorkflowFields) into(in *automation.WorkflowInput, patch spec.Patch) (paths []string, err error) {
	in.Name, in.Workspace, in.Description = f.Name, f.WorkspaceID, f.Description
	if patch.Has("steps") {
		in.Steps = nil
		row := func(s APIInnerStep) automation.StepInput {
			return automation.StepInput{
				Kind: s.Kind, Label: s.Label, Text: s.Text, Path: s.Path, OnlyUnchanged: s.OnlyUnchanged,
			}
		}
		for i, s := range f.Steps {
			outer := row(s.APIInnerStep)
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
		in.Parameters = automation.TypedParameters(f.Parameters)
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
	Body patchOf[APIWorkflowFields]
}

func (a *api) createWorkflowByAPI(
	ctx context.Context, actor account.Actor, in *createWorkflowQuery,
) (APIWorkflow, string, error) {
	var input automation.WorkflowInput
	fields, err := in.Body.Over(APIWorkflowFields{})
	if err != nil {
		return APIWorkflow{}, "", err
	}
	paths, err := fields.into(&input, in.Body.Patch)
	if err != nil {
		return APIWorkflow{}, "", err
	}
	wf, err := a.Rules.CreateWorkflow(ctx, actor, input)
	if err != nil {
		return APIWorkflow{}, "", placed(err, paths)
	}
	full, err := a.getWorkflow(ctx, actor, &APIOneByID{wf.ID.String()})
	return full, "workflows/" + wf.ID.String(), err
}

type updateWorkflowQuery struct {
	APIOneByID
	Body patchOf[APIWorkflowChange]
}

func (a *api) updateWorkflowByAPI(ctx context.Context, actor account.Actor,
	in *updateWorkflowQuery) (APIWorkflow, error) {
	was, err := a.Rules.EditableWorkflow(ctx, actor, in.id())
	if err != nil {
		return APIWorkflow{}, err
	}
	input := automation.TypedWorkflow(was)
	change, err := in.Body.Over(APIWorkflowChange{APIWorkflowFields: APIWorkflowFields{
		Name: input.Name, WorkspaceID: input.Workspace, Description: input.Description,
	}})
	if err != nil {
		return APIWorkflow{}, err
	}
	paths, err := change.into(&input, in.Body.Patch)
	if err != nil {
		return APIWorkflow{}, err
	}
	input.Version = change.Version
	if _, err := a.Rules.UpdateWorkflow(ctx, actor, was.ID, input); err != nil {
		return APIWorkflow{}, placed(err, paths)
	}
	return a.getWorkflow(ctx, actor, &in.APIOneByID)
}

func (a *api) deleteWorkflow(ctx context.Context, actor account.Actor, in *APIOneByID) error {
	return a.Rules.RemoveWorkflow(ctx, actor, in.id())
}
