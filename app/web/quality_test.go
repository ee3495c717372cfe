package web_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/app/web/webtest"
	"carillon/db"
)

// quality are the editor's fields of session modes, gate, success check and budget, with values.
var quality = []string{
	"toggles", "code_architecture", "toggles", "code_review", "gate_command", "test -f go.mod\necho ok",
	"gate_branch_moved", "true", "gate_no_open_pr", "true",
	"success_command", "make test", "success_contains", "ALL <DONE>", "success_files_changed", "true",
	"success_pull_request", "true",
	"budget_run_money", "1.5", "budget_day_tokens", "200000", "budget_month_turns", "40", "budget_month_minutes",
	"90.5",
}

func formOfAutomation(b *webtest.Browser, more ...string) []string {
	return append([]string{"name", "Audit", "workspace", b.Workspace, "trigger", "manual", "session_type", "develop",
		"prompt", "Look.", "provider", "agent", "auto_complete", "true"}, more...)
}

func TestWhatARunHasToPassGoesThroughTheEditorAndBack(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleAdministrator)
	a := b.Post("/automations", formOfAutomation(b, quality...)...)
	if a.StatusCode != http.StatusSeeOther {
		t.Fatalf("saving answered %d %.600s", a.StatusCode, a.Text)
	}
	address := a.Header.Get("Location")
	list, err := db.Automations(t.Context(), s.Server.DB,
		db.AutomationFilter{Access: db.Access{All: true, Everywhere: true}, Limit: 2})
	webtest.Check(t, err)
	got := list[0].Automation
	if want := (db.Gate{Command: "test -f go.mod\necho ok", BranchMoved: true, NoOpenPR: true}); got.Gate != want {
		t.Errorf("the gate is %+v; want %+v", got.Gate, want)
	}
	if want := (db.SuccessCheck{
		Command: "make test", Contains: "ALL <DONE>", FilesChanged: true, PullRequest: true,
	}); got.Success != want {
		t.Errorf("the success check is %+v; want %+v", got.Success, want)
	}
	if want := (db.Budget{
		Run: db.Limits{Money: 1.5}, Day: db.Limits{Tokens: 200000}, Month: db.Limits{Turns: 40, Minutes: 90.5},
	}); got.Budget != want {
		t.Errorf("the budget is %+v; want %+v", got.Budget, want)
	}
	if want := []string{"code_architecture", "code_review"}; !slices.Equal(got.Toggles, want) {
		t.Errorf("the toggles are %v; want %v", got.Toggles, want)
	}
	page := b.Get(address + "/edit")
	for _, want := range []string{
		`name="toggles" value="code_review" checked`, "test -f go.mod\necho ok", `value="ALL &lt;DONE&gt;"`,
		`value="1.5"`, `value="200000"`, `value="90.5"`,
		`id="gate" open`, `id="success" open`, `id="budget" open`, "Code Architecture", "UX Enhancement", "Edge Cases",
		"Code Review", "Verification", "Update Tests", "Update Docs",
	} {
		page.Expect(t, http.StatusOK, want)
	}
	settings := b.Get(address + "/settings")
	for _, want := range []string{"Code Architecture, Code Review",
		"the branch moved since the last success; no pull request of it is open",
		"0 tokens of 200,000 tokens a day, 0 %", "Raise by 50 %"} {
		settings.Expect(t, http.StatusOK, want)
	}

	// Saved again as it stands in the form, it is the same.
	again := append(formOfAutomation(b, quality...), "version", "1")
	if a := b.Post(address, again...); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("saving again answered %d %.600s", a.StatusCode, a.Text)
	}
	same, err := db.AutomationByID(t.Context(), s.Server.DB, got.ID)
	webtest.Check(t, err)
	if same.Gate != got.Gate || same.Success != got.Success || same.Budget != got.Budget ||
		!slices.Equal(same.Toggles, got.Toggles) {
		t.Errorf("saved again it is %+v", same)
	}
}

func TestMistakesInWhatARunHasToPassKeepWhatWasTyped(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleAdministrator)
	a := b.Post("/automations",
		formOfAutomation(b, "provider", "agent", "create_pr", "", "success_pull_request", "true",
			"budget_day_money", "a <lot>", "gate_command", "if then")...)
	for _, want := range []string{`id="budget_day_money-error"`, `value="a &lt;lot&gt;"`, "if then",
		`id="budget" open`} {
		a.Expect(t, http.StatusUnprocessableEntity, want)
	}
	script := formOfAutomation(b, "toggles", "edge_cases")
	script[slices.Index(script, "agent")] = "shell"
	a = b.Post("/automations", script...)
	a.Expect(t, http.StatusUnprocessableEntity, "a script takes no instructions")
	a.Expect(t, http.StatusUnprocessableEntity, `value="edge_cases" checked`)
}

func TestAFreshEditorHasTheSevenModesInOrderAndItsPartsFolded(t *testing.T) {
	b := webtest.Open(t).As("Mira", account.RoleAdministrator)
	page := b.Get("/automations/new")
	at := 0
	for _, name := range []string{"Code Architecture", "UX Enhancement", "Edge Cases", "Code Review", "Verification",
		"Update Tests", "Update Docs"} {
		next := strings.Index(page.Text[at:], name)
		if next < 0 {
			t.Fatalf("%s is missing, or out of order", name)
		}
		at += next
	}
	for _, id := range []string{"gate", "success", "budget"} {
		if strings.Contains(page.Text, `id="`+id+`" open`) {
			t.Errorf("%s is open", id)
		}
	}
}

func TestABudgetIsRaisedWithOneClickFromItsNotice(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleAdministrator)
	a, _, err := s.Rules.Definitions().Create(t.Context(), b.Actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Audit",
		Workspace:      s.Workspace,
		Trigger:        "manual",
		SessionType:    "develop",
		Prompt:         "x",
		Provider:       "agent",
		AutoComplete:   true,
		Budget:         spec.Budget{Day: spec.Limits{Tokens: 100}},
		Retries:        2,
	}})
	webtest.Check(t, err)
	run, err := s.Rules.Runs().RunNow(t.Context(), b.Actor, a.ID, nil)
	webtest.Check(t, err)
	lease := b.Claim(run)
	turn, err := db.NextTurn(t.Context(), s.Server.DB, lease, run.Execution.ID, time.Now())
	webtest.Check(t, err)
	_, err = s.Server.DB.NewRaw("UPDATE executions SET status = 'running', started_at = now() WHERE id = ?",
		run.Execution.ID).Exec(t.Context())
	webtest.Check(t, err)
	webtest.Check(t, db.AddUsage(t.Context(), s.Server.DB, lease, turn.ID, db.TurnUsage{Counted: true, TokensOut: 90}))
	_, err = s.Rules.Budgets().Allowance(t.Context(), run.Execution.ID, false)
	webtest.Check(t, err)
	list, err := s.Server.Inbox.List(t.Context(), b.Actor, db.NotificationFilter{Limit: 5})
	webtest.Check(t, err)
	if len(list) != 1 {
		t.Fatalf("there are %d notices; want 1", len(list))
	}
	address := "/automations/" + a.ID.String() + "/budget/day.tokens"
	notice := b.Get("/inbox/" + list[0].ID.String())
	notice.Expect(t, http.StatusOK, "90 tokens of 100 tokens a day are used.")
	notice.Expect(t, http.StatusOK, `action="`+address+`"`)
	if r := b.Post(address); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("raising answered %d", r.StatusCode)
	}
	b.Get("/automations/"+a.ID.String()+"/settings").Expect(t, http.StatusOK, "90 tokens of 150 tokens a day, 60 %")
	member := s.As("Jonas", account.RoleMember)
	if r := member.Post(address); r.StatusCode != http.StatusNotFound {
		t.Errorf("somebody else raising it is answered %d; want 404", r.StatusCode)
	}
}
