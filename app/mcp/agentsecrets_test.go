package mcp_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/web/webtest"
	"carillon/app/workflow"
	"carillon/db"
)

func TestWhatAnAgentHasStoredThroughItsToolsHoldsNoneOfItsSecrets(t *testing.T) {
	s := webtest.Open(t)
	owner := s.As("Owner", account.RoleManager)
	const inWorkspace, inRun = "workspace-s3cret-value", "run/s3cret+value"
	ws := uuid.MustParse(s.Workspace)
	webtest.Check(t, db.SaveVariables(t.Context(), s.Server.DB, ws, []db.Variable{{
		WorkspaceID: ws, Name: "DEPLOY_KEY", Secret: true,
		Sealed: s.Rules.Keys.Seal(inWorkspace, "variable "+ws.String()+" DEPLOY_KEY"),
	}}))
	wf, err := s.Workflows.Create(t.Context(), owner.Actor, workflow.Input{
		Name: "Deploy", Steps: []workflow.StepInput{{Kind: "message", Text: "Deploy."}},
		Parameters: []workflow.ParameterInput{{Alias: "key", Type: "secret", Default: inRun}},
	})
	webtest.Check(t, err)
	x := owner.Agent(func(in *automation.Input) {
		in.Prompt, in.Workflow, in.ExecutionType, in.MayAutomate = "", wf.ID.String(), "workflow", true
	})
	c := s.Tool(x.Token)
	said := strings.Join([]string{
		"plain " + inWorkspace, "run " + inRun, "base64 " + base64.StdEncoding.EncodeToString([]byte("user:"+inRun)),
		"token " + x.Token,
	}, "\n")
	s.Must(c, "create_ticket", map[string]any{
		"title": "See " + inWorkspace, "body": said, "labels": []string{inWorkspace},
	})
	s.Must(c, "report_result", map[string]any{"outcome": "done", "summary": said})
	s.Must(c, "send_inbox_message", map[string]any{"title": "See " + inWorkspace, "body": said})
	s.Must(c, "create_automation", map[string]any{
		"name": "Later", "trigger": "recurring", "cron": "0 2 * * *", "prompt": said, "provider": "agent",
	})
	for _, table := range []string{"tickets", "session_reports", "notifications", "audit_events", "automations"} {
		var rows []string
		webtest.Check(t, s.Server.DB.NewRaw("SELECT t::text FROM "+table+" t").Scan(t.Context(), &rows))
		text := strings.Join(rows, "\n")
		for _, secret := range []string{inWorkspace, inRun,
			base64.StdEncoding.EncodeToString([]byte("user:" + inRun))[8:24], x.Token} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds %q", table, secret)
			}
		}
		if table == "session_reports" && !strings.Contains(text, automation.Hidden) {
			t.Errorf("nothing stands for the secrets in %s: %s", table, text)
		}
	}
}
