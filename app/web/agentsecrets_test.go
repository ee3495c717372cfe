package web

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/workflow"
	"carillon/db"
)

func TestWhatAnAgentHasStoredThroughItsToolsHoldsNoneOfItsSecrets(t *testing.T) {
	s := open(t)
	owner := s.as("Owner", account.RoleManager)
	const inWorkspace, inRun = "workspace-s3cret-value", "run/s3cret+value"
	ws := uuid.MustParse(s.workspace)
	check(t, db.SaveVariables(t.Context(), s.server.DB, ws, []db.Variable{{
		WorkspaceID: ws, Name: "DEPLOY_KEY", Secret: true,
		Sealed: s.rules.Keys.Seal(inWorkspace, "variable "+ws.String()+" DEPLOY_KEY"),
	}}))
	wf, err := s.workflows.Create(t.Context(), owner.actor, workflow.Input{
		Name: "Deploy", Steps: []workflow.StepInput{{Kind: "message", Text: "Deploy."}},
		Parameters: []workflow.ParameterInput{{Alias: "key", Type: "secret", Default: inRun}},
	})
	check(t, err)
	x := owner.agent(func(in *automation.Input) {
		in.Prompt, in.Workflow, in.ExecutionType, in.MayAutomate = "", wf.ID.String(), "workflow", true
	})
	c := s.tool(x.token)
	said := strings.Join([]string{
		"plain " + inWorkspace, "run " + inRun, "base64 " + base64.StdEncoding.EncodeToString([]byte("user:"+inRun)),
		"token " + x.token,
	}, "\n")
	s.must(c, "create_ticket", map[string]any{
		"title": "See " + inWorkspace, "body": said, "labels": []string{inWorkspace},
	})
	s.must(c, "report_result", map[string]any{"outcome": "done", "summary": said})
	s.must(c, "send_inbox_message", map[string]any{"title": "See " + inWorkspace, "body": said})
	s.must(c, "create_automation", map[string]any{
		"name": "Later", "trigger": "recurring", "cron": "0 2 * * *", "prompt": said, "provider": "agent",
	})
	for _, table := range []string{"tickets", "session_reports", "notifications", "audit_events", "automations"} {
		var rows []string
		check(t, s.server.DB.NewRaw("SELECT t::text FROM "+table+" t").Scan(t.Context(), &rows))
		text := strings.Join(rows, "\n")
		for _, secret := range []string{inWorkspace, inRun,
			base64.StdEncoding.EncodeToString([]byte("user:" + inRun))[8:24], x.token} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds %q", table, secret)
			}
		}
		if table == "session_reports" && !strings.Contains(text, automation.Hidden) {
			t.Errorf("nothing stands for the secrets in %s: %s", table, text)
		}
	}
}

func TestACopyOfAWorkflowLeavesOutTheDefaultsOfSecretParametersAndSaysSo(t *testing.T) {
	s := open(t)
	owner := s.as("Owner", account.RoleManager)
	wf, err := s.workflows.Create(t.Context(), owner.actor, workflow.Input{
		Name: "Deploy", Steps: []workflow.StepInput{{Kind: "message", Text: "Deploy $where."}},
		Parameters: []workflow.ParameterInput{
			{Alias: "key", Type: "secret", Default: "the key of the team"}, {Alias: "other", Type: "secret"},
			{Alias: "where", Type: "text", Default: "staging"},
		},
	})
	check(t, err)
	answer := owner.post("/workflows/" + wf.ID.String() + "/copies")
	answer.expect(t, 303, "")
	owner.get(answer.Header.Get("Location")).expect(t, 200,
		"The secret defaults of $key were left out: enter them again.")
	list, err := s.workflows.List(t.Context(), owner.actor)
	check(t, err)
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
