package web

import (
	"net/http"
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/app/workflow"
)

func TestAWorkflowIsMadeByFormAndAnAutomationWithItAsksForItsParameters(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleAdministrator)
	// The buttons of the form change its rows and save nothing.
	added := b.post("/workflows", "name", "Flow", "step_kind", "message", "step_text", "echo $what", "do", "add-step")
	added.expect(t, http.StatusOK, `aria-label="Remove: step 2"`)
	b.post("/workflows", "name", "Flow", "step_kind", "message", "step_text", "one", "step_kind", "message",
		"step_text", "two", "do", "up.1").expect(t, http.StatusOK, "two")
	b.post("/workflows", "name", "Flow", "step_kind", "message", "step_text", "greet ${what}", "parameter_alias",
		"what", "parameter_type", "text", "parameter_default", "Berlin", "do", "preview").
		expect(t, http.StatusOK, "greet Berlin")
	b.post("/workflows", "name", "", "step_kind", "asset", "step_path", "../x").
		expect(t, http.StatusUnprocessableEntity, "Write the path of a file within the repository")

	made := b.post("/workflows", "name", "Flow", "step_kind", "message", "step_label", "Greet", "step_text",
		`echo "hello $what"`,
		"parameter_alias", "what", "parameter_type", "text", "parameter_required", "0", "parameter_alias", "key",
		"parameter_type", "secret")
	made.expect(t, http.StatusSeeOther, "")
	page := made.Header.Get("Location")
	b.get(page).expect(t, http.StatusOK, "hello $what")
	workflow := page[strings.LastIndex(page, "/")+1:]

	b.get("/automations/new").expect(t, http.StatusOK, ">Flow<")
	b.get("/automations/parameters?workflow="+workflow).expect(t, http.StatusOK, `name="param.what"`)
	saved := b.post("/automations", "name", "With a flow", "workspace", s.workspace, "trigger", "manual",
		"session_type", "develop", "execution_type", "workflow",
		"workflow", workflow, "provider", "shell", "param.key", "hunter2-hunter2", "auto_complete", "true")
	saved.expect(t, http.StatusSeeOther, "")
	automation := saved.Header.Get("Location")
	edit := b.get(automation + "/edit")
	edit.expect(t, http.StatusOK, "Stored. Leave empty to keep it")
	if strings.Contains(edit.body, "hunter2") || strings.Contains(edit.body, "sealed:") {
		t.Error("the editor shows the secret")
	}
	b.post(automation+"/runs").expect(t, http.StatusUnprocessableEntity, "Give a value.")
	started := b.post(automation+"/runs", "param.what", "world")
	started.expect(t, http.StatusSeeOther, "")
	b.get(started.Header.Get("Location")).expect(t, http.StatusOK, "Steps of the workflow")

	b.get(page).expect(t, http.StatusOK, "1 automation uses it")
	b.post(page+"/copies").expect(t, http.StatusSeeOther, "")
	b.post(page+"/deletion").expect(t, http.StatusSeeOther, "")
	b.get(page).expect(t, http.StatusNotFound, "")
	b.get("/automations").expect(t, http.StatusOK, "Its workflow was removed")
}

// What the form of a run shows in an empty field is what the run has.
func TestAStoredValueThatIsTakenOutOfTheFormOfARunGivesWayToTheWorkflowsDefault(t *testing.T) {
	s := open(t)
	ada := s.as("ada", account.RoleAdministrator)
	wf, err := s.workflows.Create(t.Context(), ada.actor, workflow.Input{
		Name: "Flow", Steps: []workflow.StepInput{{Kind: "message", Text: "In $city, $level, $strict, $note."}},
		Parameters: []workflow.ParameterInput{
			{Alias: "city", Type: "text", Default: "Berlin"}, {
				Alias: "level", Type: "choice", Choices: "low, high", Default: "low",
			},
			{Alias: "strict", Type: "boolean"}, {Alias: "note", Type: "text"},
		},
	})
	check(t, err)
	a, _, err := s.rules.Definitions().Create(t.Context(), ada.actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "A",
		Workspace:      s.workspace,
		Trigger:        "manual",
		SessionType:    "develop",
		ExecutionType:  "workflow",
		Workflow:       wf.ID.String(),
		Provider:       "agent",
		Parameters:     map[string]string{"city": "Rome", "level": "high", "strict": "true", "note": "x"},
		Retries:        2,
	}})
	check(t, err)
	address := "/automations/" + a.ID.String()
	ada.submit(ada.formAt(address+"/runs", address+"/runs"), "param.city", "", "param.level", "", "param.strict", "",
		"param.note", "").expect(t, 303, "")
	runs := s.runs(a.ID)
	if got := runs[0].Parameters; got["city"] != "Berlin" || got["level"] != "low" || got["strict"] != "" ||
		got["note"] != "" {
		t.Errorf("the run has %v; want Berlin, low, and the others empty", got)
	}
}
