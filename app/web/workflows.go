package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/spec"
	"carillon/app/web/page"
	"carillon/app/web/present"
	"carillon/app/workflow"
	"carillon/db"
	"carillon/views"
)

// workflowPages are the pages of workflows.
type workflowPages struct{ *Server }

func (s workflowPages) list(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	list, err := s.Workflows.List(r.Context(), actor)
	if err != nil {
		return err
	}
	p := views.WorkflowsPage{CanManage: actor.Can(account.ManageWorkflows)}
	for i := range list {
		p.Rows = append(p.Rows, workflowItem(&list[i]))
	}
	return s.With(w, r, actor, "workflows", "Workflows", func(page views.Page) error {
		return s.Show(w, r, views.Workflows(page, p))
	})
}

func workflowItem(wf *db.Workflow) views.WorkflowItem {
	i := views.WorkflowItem{
		ID: wf.ID.String(), Name: wf.Name, About: wf.Description, Where: "All workspaces",
		Steps: max(len(wf.Steps), wf.StepCount), Uses: wf.Uses,
	}
	if wf.Workspace != nil {
		i.Where = wf.Workspace.Name
	}
	return i
}

func (s workflowPages) one(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	workflowID, err := page.ID(r)
	if err != nil {
		return err
	}
	wf, users, err := s.Workflows.Find(r.Context(), actor, workflowID)
	if err != nil {
		return err
	}
	p := views.WorkflowPage{
		WorkflowItem: workflowItem(wf), Lines: present.Steps(wf.Steps, nil),
		CanManage: actor.Can(account.ManageWorkflows),
	}
	for _, q := range wf.Parameters {
		value := string(q.Type)
		if len(q.Choices) > 0 {
			value += ": " + strings.Join(q.Choices, ", ")
		}
		if q.Required {
			value += ", required"
		}
		if q.Type == db.SecretParameter && q.Default != "" {
			value += ", with a default"
		} else if q.Default != "" {
			value += ", by default " + q.Default
		}
		p.Parameters = append(p.Parameters, views.Fact{Label: "$" + q.Alias, Value: value})
	}
	for _, a := range users {
		p.UsedBy = append(p.UsedBy, views.Link{Text: a.Name, URL: views.AutomationURL(a.ID.String())})
	}
	p.Hidden = wf.Uses - len(users)
	p.Warning = "No automation uses it."
	if wf.Uses == 1 {
		p.Warning = "1 automation uses it and stays without a workflow. If a schedule starts it, it is disabled at " +
			"once and its creator is told; else its runs fail until another workflow is chosen."
	} else if wf.Uses > 1 {
		p.Warning = form.Count(wf.Uses, "automation") +
			" use it and stay without a workflow. Those that a schedule starts are disabled at once, and their " +
			"creators are told; runs of the others fail until another workflow is chosen."
	}
	return s.With(w, r, actor, "workflows", wf.Name, func(page views.Page) error {
		return s.Show(w, r, views.Workflow(page, p))
	})
}

// tickedRows tells of a form which of its rows have a box ticked, by the name of the boxes and the number of the row.
func tickedRows(f url.Values) func(name string, row int) bool {
	rows := map[string]map[string]bool{}
	return func(name string, row int) bool {
		ticked, known := rows[name]
		if !known {
			ticked = map[string]bool{}
			for _, i := range f[name] {
				ticked[i] = true
			}
			rows[name] = ticked
		}
		return ticked[strconv.Itoa(row)]
	}
}

// workflowInput reads the form of a workflow as typed.
func workflowInput(r *http.Request) workflow.Input {
	f := r.PostForm
	version, _ := strconv.ParseInt(f.Get("version"), 10, 64)
	in := workflow.Input{
		Name: f.Get("name"), Workspace: f.Get("workspace"), Description: f.Get("description"), Version: version,
	}
	at := func(name string, i int) string {
		if list := f[name]; i < len(list) {
			return list[i]
		}
		return ""
	}
	ticked := tickedRows(f)
	for i, kind := range f["step_kind"] {
		in.Steps = append(in.Steps, workflow.StepInput{
			Kind: kind, Label: at("step_label", i), Text: at("step_text", i), Path: at("step_path", i),
			Marker: at("step_marker", i), Max: at("step_max", i),
			OnlyUnchanged: ticked("step_unchanged", i), Inside: ticked("step_inside", i),
		})
	}
	for i, alias := range f["parameter_alias"] {
		in.Parameters = append(in.Parameters, workflow.ParameterInput{
			Alias: alias, Label: at("parameter_label", i), Type: at("parameter_type", i),
			Default: at("parameter_default", i), Choices: at("parameter_choices", i),
			Required: ticked("parameter_required", i),
		})
	}
	return in
}

func (s workflowPages) new(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	if !actor.Can(account.ManageWorkflows) {
		return fault.ErrForbidden
	}
	in := workflow.Input{
		Workspace: s.ChosenWorkspace(r), Steps: []workflow.StepInput{{Kind: string(db.MessageStep)}},
	}
	if t, ok := automation.TemplateByKey(r.FormValue("template")); ok && t.Workflow != nil {
		in.Name, in.Description, in.Steps = t.Workflow.Name, t.Workflow.Description, nil
		for _, m := range t.Workflow.Messages {
			in.Steps = append(in.Steps, workflow.StepInput{
				Kind: string(db.MessageStep), Label: m.Label, Text: m.Text,
			})
		}
	}
	return s.form(w, r, actor, http.StatusOK, nil, in, nil)
}

func (s workflowPages) edit(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	workflowID, err := page.ID(r)
	if err != nil {
		return err
	}
	wf, err := s.Workflows.Editable(r.Context(), actor, workflowID)
	if err != nil {
		return err
	}
	return s.form(w, r, actor, http.StatusOK, wf, workflow.Typed(wf), nil)
}

func (s workflowPages) create(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	if !actor.Can(account.ManageWorkflows) {
		return fault.ErrForbidden
	}
	in := workflowInput(r)
	if changed, ok := rearrange(in, r.PostFormValue("do")); ok {
		return s.rearrangedForm(w, r, actor, nil, changed)
	}
	wf, err := s.Workflows.Create(r.Context(), actor, in)
	var invalid fault.Invalid
	if errors.As(err, &invalid) {
		return s.form(w, r, actor, http.StatusUnprocessableEntity, nil, in, invalid)
	}
	if err != nil {
		return err
	}
	if _, ok := automation.TemplateByKey(r.PostFormValue("template")); ok {
		// whoever made it for a template goes on with that
		return s.Redirect(w, r, views.AutomationNewWithURL(r.PostFormValue("template"), wf.ID.String()),
			"Workflow saved.")
	}
	return s.Redirect(w, r, views.WorkflowURL(wf.ID.String()), "Saved.")
}

func (s workflowPages) update(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	workflowID, err := page.ID(r)
	if err != nil {
		return err
	}
	stored, err := s.Workflows.Editable(r.Context(), actor, workflowID)
	if err != nil {
		return err
	}
	in := workflowInput(r)
	if changed, ok := rearrange(in, r.PostFormValue("do")); ok {
		return s.rearrangedForm(w, r, actor, stored, changed)
	}
	_, err = s.Workflows.Update(r.Context(), actor, workflowID, in)
	invalid, status, err := s.Again(r, actor, s.edit, err)
	if err != nil {
		return err
	}
	if status != 0 {
		return s.form(w, r, actor, status, stored, workflowInput(r), invalid)
	}
	return s.Redirect(w, r, views.WorkflowURL(workflowID.String()), "Saved.")
}

func (s workflowPages) form(w http.ResponseWriter, r *http.Request, actor account.Actor, status int, wf *db.Workflow,
	in workflow.Input, bad fault.Invalid) error {
	return s.formAt(w, r, actor, status, wf, rearrangement{in: in}, bad)
}

// rearrangedForm gives the form back as a button has changed it.
func (s workflowPages) rearrangedForm(w http.ResponseWriter, r *http.Request, actor account.Actor, wf *db.Workflow,
	to rearrangement) error {
	return s.formAt(w, r, actor, http.StatusOK, wf, to, nil)
}

func (s workflowPages) formAt(w http.ResponseWriter, r *http.Request, actor account.Actor, status int,
	wf *db.Workflow, to rearrangement, bad fault.Invalid) error {
	in := to.in
	f := views.NewWorkflowForm()
	title := "New workflow"
	if wf != nil {
		f.ID, f.Was, title = wf.ID.String(), wf.Name, "Edit "+wf.Name
	}
	f.Template, f.Announcement, f.Focus = r.FormValue("template"), to.said, to.focus
	f.Version = strconv.FormatInt(in.Version, 10)
	f.Name.Value, f.Name.Error = in.Name, bad["name"]
	f.Workspace.Value, f.Workspace.Error = in.Workspace, bad["workspace"]
	f.Description.Value, f.Description.Error = in.Description, bad["description"]
	f.Problems = views.Field{ID: "steps", Label: "Steps", Error: cmp.Or(bad["steps"], bad["parameters"])}
	f.Automatic = "$" + strings.Join(workflow.AutomaticAliases(), ", $")
	list, err := s.Workspaces.List(r.Context(), actor)
	if err != nil {
		return err
	}
	for _, ws := range list {
		f.Workspace.Options = append(f.Workspace.Options, views.Choice{Value: ws.ID.String(), Label: ws.Name})
	}
	for i := range in.Steps {
		f.Steps = append(f.Steps, stepRow(in.Steps, i, bad))
	}
	for i, p := range in.Parameters {
		f.Parameters = append(f.Parameters, parameterRow(i, p, bad))
	}
	if r.PostFormValue("do") == "preview" {
		f.Preview = s.preview(in)
	}
	return s.With(w, r, actor, "workflows", title, func(page views.Page) error {
		s.Render(w, r, status, views.EditWorkflow(page, f))
		return nil
	})
}

func stepRow(steps []workflow.StepInput, i int, bad fault.Invalid) views.StepRow {
	step, number := steps[i], stepNumber(steps, i)
	field := func(name, label, value string) views.Field {
		key := fmt.Sprintf("steps.%d.%s", i, name)
		return views.Field{
			Name: "step_" + name, ID: key, Label: label, Of: "step " + number, Value: value, Error: bad[key],
			Autocomplete: "off",
		}
	}
	row := views.StepRow{
		Number: number, CanUp: i > 0, CanDown: canMoveDown(steps, i),
		Kind: field("kind", "Kind", step.Kind), Label: field("label", "Label", step.Label),
		Text: field("text", "Text", step.Text), Path: field("path", "File", step.Path),
		Marker: field("marker", "Until an answer contains", step.Marker), Max: field("max", "Rounds at most", step.Max),
		Unchanged: step.OnlyUnchanged, Inside: step.Inside, InsideError: bad[fmt.Sprintf("steps.%d.inside", i)],
	}
	row.Text.Rows, row.Text.Mono, row.Path.Mono = min(16, 2+strings.Count(step.Text, "\n")+len(step.Text)/90), true,
		true
	row.Label.Placeholder, row.Max.Type = present.StepKind(db.StepKind(step.Kind)), "number"
	for _, k := range workflow.StepKinds {
		row.Kind.Options = append(row.Kind.Options, views.Choice{Value: string(k.Kind), Label: k.Name})
	}
	return row
}

func parameterRow(i int, p workflow.ParameterInput, bad fault.Invalid) views.ParameterRow {
	field := func(name, label, value string) views.Field {
		return views.Field{
			Name: "parameter_" + name, ID: fmt.Sprintf("parameters.%d.%s", i, name), Label: label,
			Of: fmt.Sprintf("parameter %d", i+1), Value: value,
			Error: bad[fmt.Sprintf("parameters.%d.%s", i, name)], Autocomplete: "off",
		}
	}
	row := views.ParameterRow{
		Alias: field("alias", "Alias", p.Alias), Label: field("label", "Label", p.Label),
		Type:    field("type", "Type", p.Type),
		Default: field("default", "Default", p.Default), Choices: field("choices", "Choices", p.Choices),
		Required: p.Required,
	}
	row.Alias.Mono, row.Choices.Placeholder = true, "minor, major"
	row.Type.Options = []views.Choice{{Value: "text", Label: "Text"}, {Value: "number", Label: "Number"},
		{Value: "boolean", Label: "Boolean"}, {Value: "choice", Label: "Choice"}, {Value: "secret", Label: "Secret"}}
	if p.Type == "" || p.Type == string(db.TextParameter) {
		row.Default.Rows = 1
	}
	if p.Type == string(db.SecretParameter) {
		row.Default.Type, row.Default.Value, row.Default.Hint = "password", "",
			"Stored encrypted. Empty keeps the one stored."
	}
	return row
}

// preview shows the steps of a form, their texts filled in.
func (s workflowPages) preview(in workflow.Input) []views.StepLine {
	values := workflow.Automatic(workflow.Surroundings{
		At: s.Now().UTC(), Session: "0197…", Execution: "0197…", Automation: cmp.Or(in.Name, "My automation"),
		Workspace: "Scratch", Branch: "carillon/0197…", Ticket: "42", Title: "A ticket",
	})
	for _, p := range in.Parameters {
		values[strings.TrimPrefix(p.Alias, "$")] = p.Default
		if p.Type == string(db.SecretParameter) {
			values[p.Alias] = "••••••"
		}
	}
	delete(values, "")
	return present.Steps(workflow.DraftSteps(in.Steps), values)
}

func (s workflowPages) duplicate(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	workflowID, err := page.ID(r)
	if err != nil {
		return err
	}
	wf, leftOut, err := s.Workflows.Duplicate(r.Context(), actor, workflowID)
	if err != nil {
		return err
	}
	message := "Duplicated."
	if len(leftOut) > 0 {
		message += " The secret defaults of $" + strings.Join(leftOut, ", $") + " were left out: enter them again."
	}
	return s.Redirect(w, r, views.WorkflowEditURL(wf.ID.String()), message)
}

func (s workflowPages) remove(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	workflowID, err := page.ID(r)
	if err != nil {
		return err
	}
	if err := s.Workflows.Remove(r.Context(), actor, workflowID); err != nil {
		return err
	}
	return s.Redirect(w, r, "/workflows", "Removed.")
}

// workflowField fills in the choice of a workflow in the editor of an automation, and the fields of its parameters.
func (s automationPages) workflowField(r *http.Request, actor account.Actor, f *views.AutomationForm, a *db.Automation,
	in automation.Input, bad fault.Invalid) error {
	f.Workflow.Value, f.Workflow.Error = in.Workflow, bad["workflow"]
	f.Workflow.Options = []views.Choice{{Label: "Choose a workflow"}}
	list, err := s.Workflows.List(r.Context(), actor)
	if err != nil {
		return err
	}
	for i := range list {
		wf := &list[i]
		c := views.Choice{Value: wf.ID.String(), Label: wf.Name}
		if wf.Workspace != nil {
			c.Label += " (" + wf.Workspace.Name + ")"
		}
		if c.Value == in.Workflow {
			chosen, _, err := s.Workflows.Find(r.Context(), actor, wf.ID)
			if err != nil {
				return err
			}
			f.Parameters = valueFields(chosen.Parameters, in.Parameters, a != nil && a.WorkflowID == wf.ID, bad,
				"param.")
		}
		f.Workflow.Options = append(f.Workflow.Options, c)
	}
	if len(list) == 0 {
		f.Workflow.Hint = "There is no workflow yet. Create one under Workflows."
	}
	return nil
}

// valueFields are the fields of a workflow's parameters. Kept says that stored secrets stay where nothing is typed.
func valueFields(parameters []db.Parameter, values map[string]string, kept bool, bad fault.Invalid,
	prefix string) []views.Field {
	var list []views.Field
	for _, p := range parameters {
		f := views.Field{
			Name: "param." + p.Alias, Label: cmp.Or(p.Label, p.Alias), Value: values[p.Alias],
			Error:        bad[prefix+p.Alias],
			Autocomplete: "off",
		}
		if p.Required && p.Default == "" {
			f.Hint = "Required."
		}
		switch p.Type {
		case db.NumberParameter:
			f.Type, f.Placeholder = "number", p.Default
			f.Attrs = map[string]any{"step": "any"}
		case db.BooleanParameter:
			f.Options = []views.Choice{{Label: defaultChoice(p)}, {Value: "true", Label: "Yes"},
				{Value: "false", Label: "No"}}
		case db.ChoiceParameter:
			f.Options = []views.Choice{{Label: defaultChoice(p)}}
			for _, c := range p.Choices {
				f.Options = append(f.Options, views.Choice{Value: c, Label: c})
			}
		case db.SecretParameter:
			f.Type, f.Value, f.Placeholder = "password", "", ""
			if kept && values[p.Alias] != "" {
				f.Placeholder = "Stored. Leave empty to keep it"
			} else if p.Default != "" {
				f.Placeholder = "The workflow’s default"
			}
		default:
			f.Placeholder, f.Rows = p.Default, 1
		}
		list = append(list, f)
	}
	return list
}

func defaultChoice(p db.Parameter) string {
	if p.Default == "" {
		return "None"
	}
	return "Default: " + p.Default
}

// workflowParameters answers the editor when a workflow is chosen.
func (s automationPages) workflowParameters(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	var f views.AutomationForm
	if err := s.workflowField(r, actor, &f, nil,
		automation.Input{Automation: spec.Automation{Workflow: r.FormValue("workflow")}}, nil); err != nil {
		return err
	}
	return s.Show(w, r, views.ParameterFields(f.Parameters))
}
