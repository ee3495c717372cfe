package web_test

import (
	"net/http"
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/app/web/webtest"
	"carillon/app/workflow"
)

func TestACopyOfAWorkflowLeavesOutTheDefaultsOfSecretParametersAndSaysSo(t *testing.T) {
	s := webtest.Open(t)
	owner := s.As("Owner", account.RoleManager)
	wf, err := s.Workflows.Create(t.Context(), owner.Actor, workflow.Input{
		Name: "Deploy", Steps: []workflow.StepInput{{Kind: "message", Text: "Deploy $where."}},
		Parameters: []workflow.ParameterInput{
			{Alias: "key", Type: "secret", Default: "the key of the team"}, {Alias: "other", Type: "secret"},
			{Alias: "where", Type: "text", Default: "staging"},
		},
	})
	webtest.Check(t, err)
	answer := owner.Post("/workflows/" + wf.ID.String() + "/copies")
	answer.Expect(t, 303, "")
	owner.Get(answer.Header.Get("Location")).Expect(t, 200,
		"The secret defaults of $key were left out: enter them again.")
	list, err := s.Workflows.List(t.Context(), owner.Actor)
	webtest.Check(t, err)
	for _, w := range list {
		copied := w.ID != wf.ID
		for _, p := range w.Parameters {
			if want := p.Alias == "where" || p.Alias == "key" && !copied; (p.Default != "") != want {
				t.Errorf("the default of %s is there: %t; want %t (copy: %t)", p.Alias, p.Default != "", want, copied)
			}
		}
	}
	if len(list) != 2 {
		t.Errorf("%d workflows; want the one and its copy", len(list))
	}
}

func TestAWorkflowIsMadeByFormAndAnAutomationWithItAsksForItsParameters(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleAdministrator)
	// The buttons of the form change its rows and save nothing.
	added := b.Post("/workflows", "name", "Flow", "step_kind", "message", "step_text", "echo $what", "do", "add-step")
	added.Expect(t, http.StatusOK, `aria-label="Remove: step 2"`)
	b.Post("/workflows", "name", "Flow", "step_kind", "message", "step_text", "one", "step_kind", "message",
		"step_text", "two", "do", "up.1").Expect(t, http.StatusOK, "two")
	b.Post("/workflows", "name", "Flow", "step_kind", "message", "step_text", "greet ${what}", "parameter_alias",
		"what", "parameter_type", "text", "parameter_default", "Berlin", "do", "preview").
		Expect(t, http.StatusOK, "greet Berlin")
	b.Post("/workflows", "name", "", "step_kind", "asset", "step_path", "../x").
		Expect(t, http.StatusUnprocessableEntity, "Write the path of a file within the repository")

	made := b.Post("/workflows", "name", "Flow", "step_kind", "message", "step_label", "Greet", "step_text",
		`echo "hello $what"`,
		"parameter_alias", "what", "parameter_type", "text", "parameter_required", "0", "parameter_alias", "key",
		"parameter_type", "secret")
	made.Expect(t, http.StatusSeeOther, "")
	page := made.Header.Get("Location")
	b.Get(page).Expect(t, http.StatusOK, "hello $what")
	workflow := page[strings.LastIndex(page, "/")+1:]

	b.Get("/automations/new").Expect(t, http.StatusOK, ">Flow<")
	b.Get("/automations/parameters?workflow="+workflow).Expect(t, http.StatusOK, `name="param.what"`)
	saved := b.Post("/automations", "name", "With a flow", "workspace", s.Workspace, "trigger", "manual",
		"session_type", "develop", "execution_type", "workflow",
		"workflow", workflow, "provider", "shell", "param.key", "hunter2-hunter2", "auto_complete", "true")
	saved.Expect(t, http.StatusSeeOther, "")
	automation := saved.Header.Get("Location")
	edit := b.Get(automation + "/edit")
	edit.Expect(t, http.StatusOK, "Stored. Leave empty to keep it")
	if strings.Contains(edit.Text, "hunter2") || strings.Contains(edit.Text, "sealed:") {
		t.Error("the editor shows the secret")
	}
	b.Post(automation+"/runs").Expect(t, http.StatusUnprocessableEntity, "Give a value.")
	started := b.Post(automation+"/runs", "param.what", "world")
	started.Expect(t, http.StatusSeeOther, "")
	b.Get(started.Header.Get("Location")).Expect(t, http.StatusOK, "Steps of the workflow")

	b.Get(page).Expect(t, http.StatusOK, "1 automation uses it")
	b.Post(page+"/copies").Expect(t, http.StatusSeeOther, "")
	b.Post(page+"/deletion").Expect(t, http.StatusSeeOther, "")
	b.Get(page).Expect(t, http.StatusNotFound, "")
	b.Get("/automations").Expect(t, http.StatusOK, "Its workflow was removed")
}

// What the form of a run shows in an empty field is what the run has.
func TestAStoredValueThatIsTakenOutOfTheFormOfARunGivesWayToTheWorkflowsDefault(t *testing.T) {
	s := webtest.Open(t)
	ada := s.As("ada", account.RoleAdministrator)
	wf, err := s.Workflows.Create(t.Context(), ada.Actor, workflow.Input{
		Name: "Flow", Steps: []workflow.StepInput{{Kind: "message", Text: "In $city, $level, $strict, $note."}},
		Parameters: []workflow.ParameterInput{
			{Alias: "city", Type: "text", Default: "Berlin"}, {
				Alias: "level", Type: "choice", Choices: "low, high", Default: "low",
			},
			{Alias: "strict", Type: "boolean"}, {Alias: "note", Type: "text"},
		},
	})
	webtest.Check(t, err)
	a, _, err := s.Rules.Definitions().Create(t.Context(), ada.Actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "A",
		Workspace:      s.Workspace,
		Trigger:        "manual",
		SessionType:    "develop",
		ExecutionType:  "workflow",
		Workflow:       wf.ID.String(),
		Provider:       "agent",
		Parameters:     map[string]string{"city": "Rome", "level": "high", "strict": "true", "note": "x"},
		Retries:        2,
	}})
	webtest.Check(t, err)
	address := "/automations/" + a.ID.String()
	submit(ada, formAt(ada, address+"/runs", address+"/runs"), "param.city", "", "param.level", "", "param.strict", "",
		"param.note", "").Expect(t, 303, "")
	runs := s.Runs(a.ID)
	if got := runs[0].Parameters; got["city"] != "Berlin" || got["level"] != "low" || got["strict"] != "" ||
		got["note"] != "" {
		t.Errorf("the run has %v; want Berlin, low, and the others empty", got)
	}
}
