package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/spec"
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

func (b *browser) automationForm(more ...string) []string {
	return append([]string{"name", "Audit", "workspace", b.workspace, "trigger", "manual", "session_type", "develop",
		"prompt", "Look.", "provider", "agent", "auto_complete", "true"}, more...)
}

func TestWhatARunHasToPassGoesThroughTheEditorAndBack(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleAdministrator)
	a := b.post("/automations", b.automationForm(quality...)...)
	if a.StatusCode != http.StatusSeeOther {
		t.Fatalf("saving answered %d %.600s", a.StatusCode, a.body)
	}
	address := a.Header.Get("Location")
	list, err := db.Automations(t.Context(), s.server.DB,
		db.AutomationFilter{Access: db.Access{All: true, Everywhere: true}, Limit: 2})
	check(t, err)
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
	page := b.get(address + "/edit")
	for _, want := range []string{
		`name="toggles" value="code_review" checked`, "test -f go.mod\necho ok", `value="ALL &lt;DONE&gt;"`,
		`value="1.5"`, `value="200000"`, `value="90.5"`,
		`id="gate" open`, `id="success" open`, `id="budget" open`, "Code Architecture", "UX Enhancement", "Edge Cases",
		"Code Review", "Verification", "Update Tests", "Update Docs",
	} {
		page.expect(t, http.StatusOK, want)
	}
	settings := b.get(address + "/settings")
	for _, want := range []string{"Code Architecture, Code Review",
		"the branch moved since the last success; no pull request of it is open",
		"0 tokens of 200,000 tokens a day, 0 %", "Raise by 50 %"} {
		settings.expect(t, http.StatusOK, want)
	}

	// Saved again as it stands in the form, it is the same.
	again := append(b.automationForm(quality...), "version", "1")
	if a := b.post(address, again...); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("saving again answered %d %.600s", a.StatusCode, a.body)
	}
	same, err := db.AutomationByID(t.Context(), s.server.DB, got.ID)
	check(t, err)
	if same.Gate != got.Gate || same.Success != got.Success || same.Budget != got.Budget ||
		!slices.Equal(same.Toggles, got.Toggles) {
		t.Errorf("saved again it is %+v", same)
	}
}

func TestMistakesInWhatARunHasToPassKeepWhatWasTyped(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleAdministrator)
	a := b.post("/automations", b.automationForm("provider", "agent", "create_pr", "", "success_pull_request", "true",
		"budget_day_money", "a <lot>", "gate_command", "if then")...)
	for _, want := range []string{`id="budget_day_money-error"`, `value="a &lt;lot&gt;"`, "if then",
		`id="budget" open`} {
		a.expect(t, http.StatusUnprocessableEntity, want)
	}
	script := b.automationForm("toggles", "edge_cases")
	script[slices.Index(script, "agent")] = "shell"
	a = b.post("/automations", script...)
	a.expect(t, http.StatusUnprocessableEntity, "a script takes no instructions")
	a.expect(t, http.StatusUnprocessableEntity, `value="edge_cases" checked`)
}

func TestAFreshEditorHasTheSevenModesInOrderAndItsPartsFolded(t *testing.T) {
	b := open(t).as("Mira", account.RoleAdministrator)
	page := b.get("/automations/new")
	at := 0
	for _, name := range []string{"Code Architecture", "UX Enhancement", "Edge Cases", "Code Review", "Verification",
		"Update Tests", "Update Docs"} {
		next := strings.Index(page.body[at:], name)
		if next < 0 {
			t.Fatalf("%s is missing, or out of order", name)
		}
		at += next
	}
	for _, id := range []string{"gate", "success", "budget"} {
		if strings.Contains(page.body, `id="`+id+`" open`) {
			t.Errorf("%s is open", id)
		}
	}
}

func TestTogglesAreEditedAndResetByTheirPage(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleAdministrator)
	b.get("/settings/toggles").expect(t, http.StatusOK, "Documentation: bring")
	fields := []string{"update_docs", "Write <b>it</b> down."}
	if a := b.post("/settings/toggles", fields...); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("saving answered %d %.600s", a.StatusCode, a.body)
	}
	page := b.get("/settings/toggles")
	page.expect(t, http.StatusOK, "Write &lt;b&gt;it&lt;/b&gt; down.")
	page.expect(t, http.StatusOK, `formaction="/settings/toggles/update_docs/reset"`)
	bad := b.post("/settings/toggles", "update_docs", " ", "update_tests", "kept")
	bad.expect(t, http.StatusUnprocessableEntity, "Write what the agent is told, or reset it.")
	bad.expect(t, http.StatusUnprocessableEntity, "kept")
	if a := b.post("/settings/toggles/update_docs/reset"); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("resetting answered %d", a.StatusCode)
	}
	b.get("/settings/toggles").expect(t, http.StatusOK, "Documentation: bring")
}

func TestUsageIsShownAndUnknownStaysUnknown(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleAdministrator)
	b.get("/settings/usage").expect(t, http.StatusOK, "Nothing was used")
	made := func(name, provider string) *db.Automation {
		t.Helper()
		a, _, err := s.rules.Definitions().Create(t.Context(), b.actor, automation.Input{Automation: spec.Automation{
			TimeoutMinutes: 360,
			Name:           name,
			Workspace:      s.workspace,
			Trigger:        "manual",
			SessionType:    "develop",
			Prompt:         "x",
			Provider:       provider,
			AutoComplete:   true,
			Retries:        2,
		}})
		check(t, err)
		return a
	}
	a := made("Audit <1>", "agent")
	runOf := func(a *db.Automation, u db.TurnUsage) *automation.Run {
		t.Helper()
		run, err := s.rules.Runs().RunNow(t.Context(), b.actor, a.ID, nil)
		check(t, err)
		now := time.Now()
		lease := b.claim(run)
		turn, err := db.NextTurn(t.Context(), s.server.DB, lease, run.Execution.ID, now)
		check(t, err)
		check(t, db.AddUsage(t.Context(), s.server.DB, lease, turn.ID, u))
		check(t, db.FinishTurn(t.Context(), s.server.DB, lease, turn.ID, db.Succeeded, "", "", now.Add(time.Second)))
		_, err = s.server.DB.NewRaw(
			"UPDATE executions SET status = 'succeeded', started_at = ?, finished_at = ? WHERE id = ?", now,
			now.Add(time.Second), run.Execution.ID).Exec(t.Context())
		check(t, err)
		return run
	}
	run := func(u db.TurnUsage) *automation.Run { t.Helper(); return runOf(a, u) }
	script := runOf(made("Script", "shell"), db.TurnUsage{})
	for _, path := range []string{"/sessions/" + script.Session.ID.String(), "/settings/usage"} {
		page := b.get(path)
		page.expect(t, http.StatusOK, "Script")
		if strings.Contains(page.body, ">unknown<") {
			t.Errorf("%s says that it is unknown what a script used, which uses nothing", path)
		}
	}
	unknown := run(db.TurnUsage{})
	page := b.get("/sessions/" + unknown.Session.ID.String())
	page.expect(t, http.StatusOK, "unknown")
	if strings.Contains(page.body, "$0") {
		t.Error("what is unknown is shown as zero")
	}
	stopped := run(db.TurnUsage{TokensIn: 7, CostUSD: 0.5})
	b.get("/executions/"+stopped.Execution.ID.String()).expect(t, http.StatusOK, "at least 7 tokens in, 0 out")
	b.get("/executions/"+stopped.Execution.ID.String()).expect(t, http.StatusOK, "at least $0.50")
	for _, table := range []string{"turns", "executions"} { // the sums below are of the others
		_, err := s.server.DB.NewRaw("UPDATE " + table + " SET tokens_in = 0, cost_usd = 0").Exec(t.Context())
		check(t, err)
	}
	told := run(db.TurnUsage{
		Counted: true, Priced: true, TokensIn: 12345, TokensCached: 40, TokensOut: 20, CostUSD: 0.25,
	})
	for _, path := range []string{"/sessions/" + told.Session.ID.String(),
		"/executions/" + told.Execution.ID.String()} {
		b.get(path).expect(t, http.StatusOK, "12,385 tokens in (40 cached), 20 out")
		b.get(path).expect(t, http.StatusOK, "$0.25")
	}
	b.get("/automations/"+a.ID.String()+"/settings").expect(t, http.StatusOK, "at least $0.25")
	page = b.get("/settings/usage?month=" + url.QueryEscape(time.Now().UTC().Format("2006-01")))
	for _, want := range []string{"Audit &lt;1&gt;", "Mira", "Scratch", "at least 12,405", "at least $0.25"} {
		page.expect(t, http.StatusOK, want)
	}
	b.get("/settings/usage?month=2020-02").expect(t, http.StatusOK, "Usage in February 2020")
	b.get("/settings/usage?month=nonsense").expect(t, http.StatusOK, "at least 12,405")
}

func TestABudgetIsRaisedWithOneClickFromItsNotice(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleAdministrator)
	a, _, err := s.rules.Definitions().Create(t.Context(), b.actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Audit",
		Workspace:      s.workspace,
		Trigger:        "manual",
		SessionType:    "develop",
		Prompt:         "x",
		Provider:       "agent",
		AutoComplete:   true,
		Budget:         spec.Budget{Day: spec.Limits{Tokens: 100}},
		Retries:        2,
	}})
	check(t, err)
	run, err := s.rules.Runs().RunNow(t.Context(), b.actor, a.ID, nil)
	check(t, err)
	lease := b.claim(run)
	turn, err := db.NextTurn(t.Context(), s.server.DB, lease, run.Execution.ID, time.Now())
	check(t, err)
	_, err = s.server.DB.NewRaw("UPDATE executions SET status = 'running', started_at = now() WHERE id = ?",
		run.Execution.ID).Exec(t.Context())
	check(t, err)
	check(t, db.AddUsage(t.Context(), s.server.DB, lease, turn.ID, db.TurnUsage{Counted: true, TokensOut: 90}))
	_, err = s.rules.Budgets().Allowance(t.Context(), run.Execution.ID, false)
	check(t, err)
	list, err := s.server.Inbox.List(t.Context(), b.actor, db.NotificationFilter{Limit: 5})
	check(t, err)
	if len(list) != 1 {
		t.Fatalf("there are %d notices; want 1", len(list))
	}
	address := "/automations/" + a.ID.String() + "/budget/day.tokens"
	notice := b.get("/inbox/" + list[0].ID.String())
	notice.expect(t, http.StatusOK, "90 tokens of 100 tokens a day are used.")
	notice.expect(t, http.StatusOK, `action="`+address+`"`)
	if r := b.post(address); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("raising answered %d", r.StatusCode)
	}
	b.get("/automations/"+a.ID.String()+"/settings").expect(t, http.StatusOK, "90 tokens of 150 tokens a day, 60 %")
	member := s.as("Jonas", account.RoleMember)
	if r := member.post(address); r.StatusCode != http.StatusNotFound {
		t.Errorf("somebody else raising it is answered %d; want 404", r.StatusCode)
	}
}
