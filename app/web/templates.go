package web

import (
	"net/http"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/form"
	"carillon/app/web/page"
	"carillon/app/workspace"
	"carillon/db"
	"carillon/views"
)

// beginWith puts a template into what the editor of a new automation begins with. It returns an offer to create the
// workflow that the template runs, where there are workflows and that one is missing.
func (s automationPages) beginWith(r *http.Request, actor account.Actor, t automation.Template, in *automation.Input,
	ws *db.Workspace) (views.Link, error) {
	blank := *in
	*in = t.Input
	in.Workspace, in.Provider, in.Model = blank.Workspace, blank.Provider, blank.Model
	in.TimeZone, in.TimeoutMinutes, in.Retries = blank.TimeZone, blank.TimeoutMinutes, blank.Retries
	in.CreatePR = in.CreatePR && ws != nil && workspace.PullRequestProblem(ws) == ""
	if s.IsScript(in.Provider) { // a pattern is for an agent, and no script
		in.Provider, in.Model = s.anyAgent(), ""
	}
	if t.Workflow == nil {
		return views.Link{}, nil
	}
	if !page.Nav().Workflows {
		in.ExecutionType, in.Prompt = string(db.Inline), t.Workflow.Prompt()
		return views.Link{}, nil
	}
	if made := r.FormValue("workflow"); made != "" { // just created for it, perhaps by another name
		in.Workflow = made
		return views.Link{}, nil
	}
	workspace := form.OptionalID(in.Workspace)
	if workspace == uuid.Nil {
		return views.Link{}, nil
	}
	id, err := s.Rules.Definitions().TemplateWorkflow(r.Context(), actor, workspace, t.Workflow)
	if err != nil {
		return views.Link{}, err
	}
	if id != uuid.Nil {
		in.Workflow = id.String()
		return views.Link{}, nil
	}
	missing := views.Link{Text: t.Workflow.Name}
	if actor.Can(account.ManageWorkflows) {
		missing.URL = views.WorkflowNewURL(t.Key)
	}
	return missing, nil
}

// anyAgent is the first provider that is no script and that is installed, or else the first that is no script.
func (s automationPages) anyAgent() string {
	first := ""
	for _, p := range s.Providers() {
		if p.Driver == agent.DriverShell {
			continue
		}
		if first == "" {
			first = p.ID
		}
		if s.Found == nil {
			break
		}
		if found, known := s.Found(p.ID); known && found.Problem == "" {
			return p.ID
		}
	}
	return first
}
