package settings_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/app/web/webtest"
	"carillon/db"
)

func TestUsageIsShownAndUnknownStaysUnknown(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleAdministrator)
	b.Get("/settings/usage").Expect(t, http.StatusOK, "Nothing was used")
	made := func(name, provider string) *db.Automation {
		t.Helper()
		a, _, err := s.Rules.Definitions().Create(t.Context(), b.Actor, automation.Input{Automation: spec.Automation{
			TimeoutMinutes: 360,
			Name:           name,
			Workspace:      s.Workspace,
			Trigger:        "manual",
			SessionType:    "develop",
			Prompt:         "x",
			Provider:       provider,
			AutoComplete:   true,
			Retries:        2,
		}})
		webtest.Check(t, err)
		return a
	}
	a := made("Audit <1>", "agent")
	runOf := func(a *db.Automation, u db.TurnUsage) *automation.Run {
		t.Helper()
		run, err := s.Rules.Runs().RunNow(t.Context(), b.Actor, a.ID, nil)
		webtest.Check(t, err)
		now := time.Now()
		lease := b.Claim(run)
		turn, err := db.NextTurn(t.Context(), s.Server.DB, lease, run.Execution.ID, now)
		webtest.Check(t, err)
		webtest.Check(t, db.AddUsage(t.Context(), s.Server.DB, lease, turn.ID, u))
		webtest.Check(t,
			db.FinishTurn(t.Context(), s.Server.DB, lease, turn.ID, db.Succeeded, "", "", now.Add(time.Second)))
		_, err = s.Server.DB.NewRaw(
			"UPDATE executions SET status = 'succeeded', started_at = ?, finished_at = ? WHERE id = ?", now,
			now.Add(time.Second), run.Execution.ID).Exec(t.Context())
		webtest.Check(t, err)
		return run
	}
	run := func(u db.TurnUsage) *automation.Run { t.Helper(); return runOf(a, u) }
	script := runOf(made("Script", "shell"), db.TurnUsage{})
	for _, path := range []string{"/sessions/" + script.Session.ID.String(), "/settings/usage"} {
		page := b.Get(path)
		page.Expect(t, http.StatusOK, "Script")
		if strings.Contains(page.Text, ">unknown<") {
			t.Errorf("%s says that it is unknown what a script used, which uses nothing", path)
		}
	}
	unknown := run(db.TurnUsage{})
	page := b.Get("/sessions/" + unknown.Session.ID.String())
	page.Expect(t, http.StatusOK, "unknown")
	if strings.Contains(page.Text, "$0") {
		t.Error("what is unknown is shown as zero")
	}
	stopped := run(db.TurnUsage{TokensIn: 7, CostUSD: 0.5})
	b.Get("/executions/"+stopped.Execution.ID.String()).Expect(t, http.StatusOK, "at least 7 tokens in, 0 out")
	b.Get("/executions/"+stopped.Execution.ID.String()).Expect(t, http.StatusOK, "at least $0.50")
	for _, table := range []string{"turns", "executions"} { // the sums below are of the others
		_, err := s.Server.DB.NewRaw("UPDATE " + table + " SET tokens_in = 0, cost_usd = 0").Exec(t.Context())
		webtest.Check(t, err)
	}
	told := run(db.TurnUsage{
		Counted: true, Priced: true, TokensIn: 12345, TokensCached: 40, TokensOut: 20, CostUSD: 0.25,
	})
	for _, path := range []string{"/sessions/" + told.Session.ID.String(),
		"/executions/" + told.Execution.ID.String()} {
		b.Get(path).Expect(t, http.StatusOK, "12,385 tokens in (40 cached), 20 out")
		b.Get(path).Expect(t, http.StatusOK, "$0.25")
	}
	b.Get("/automations/"+a.ID.String()+"/settings").Expect(t, http.StatusOK, "at least $0.25")
	page = b.Get("/settings/usage?month=" + url.QueryEscape(time.Now().UTC().Format("2006-01")))
	for _, want := range []string{"Audit &lt;1&gt;", "Mira", "Scratch", "at least 12,405", "at least $0.25"} {
		page.Expect(t, http.StatusOK, want)
	}
	b.Get("/settings/usage?month=2020-02").Expect(t, http.StatusOK, "Usage in February 2020")
	b.Get("/settings/usage?month=nonsense").Expect(t, http.StatusOK, "at least 12,405")
}
