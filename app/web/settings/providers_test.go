package settings_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"carillon/app/agent"
	"carillon/app/web/webtest"
	"carillon/db"
)

func TestProvidersAreSeenByAllAndChangedByWhoManagesSettings(t *testing.T) {
	s := webtest.Open(t)
	mira, jonas := s.As("Mira", "administrator"), s.As("Jonas", "member")
	there := db.WorkerProvider{Path: "/bin/bash", Version: "5.2"}
	workers := []db.Worker{{Name: "forge-1", Providers: map[string]db.WorkerProvider{
		"shell": there, "agent": {Problem: "agent was not found in PATH", Keys: []string{"PATH"}},
	}}}
	s.Server.Workers = func() []db.Worker { return workers }
	s.Server.Providers = func() []agent.Provider {
		return []agent.Provider{{ID: "shell", Name: "Shell script", Driver: agent.DriverShell},
			{ID: "agent", Name: "Agent", Install: "npm install -g agent", Keys: []string{"PATH", "ABSENT_KEY"}}}
	}
	a := jonas.Get("/settings/providers")
	for _, want := range []string{"/bin/bash", "5.2", "Agent was not found in PATH", "npm install -g agent",
		"ABSENT_KEY", "You can view these settings"} {
		a.Expect(t, http.StatusOK, want)
	}
	if strings.Contains(a.Text, "Resume now") || strings.Contains(a.Text, ">Test<") ||
		strings.Contains(a.Text, "/usr/bin:") {
		t.Error("who may not change settings is offered to, or sees the value of a variable")
	}
	workers = append(workers, db.Worker{
		Name: "forge-2", Providers: map[string]db.WorkerProvider{"agent": {
			Path: "/opt/agent", Version: "3.1", Models: []string{"big"},
		}},
	}, db.Worker{Name: "forge-3"})
	a = jonas.Get("/settings/providers")
	for _, want := range []string{"forge-1", ": agent was not found in PATH", "forge-2", "/opt/agent", "forge-3",
		"detecting", "Models, listed by the agent", "big"} {
		a.Expect(t, http.StatusOK, want)
	}
	workers = nil
	jonas.Get("/settings/providers").Expect(t, http.StatusOK, "No worker is running")
	for _, path := range []string{"", "/agent", "/agent/enabled", "/agent/models", "/agent/trial", "/agent/resumption",
		"/agent/deletion"} {
		if a := jonas.Post("/settings/providers"+path, "name", "x", "command",
			"x"); a.StatusCode != http.StatusForbidden {
			t.Errorf("POST /settings/providers%s of a member answered %d; want 403", path, a.StatusCode)
		}
	}
	for _, path := range []string{"/new", "/agent/edit"} {
		if a := jonas.Get("/settings/providers" + path); a.StatusCode != http.StatusForbidden {
			t.Errorf("GET /settings/providers%s of a member answered %d; want 403", path, a.StatusCode)
		}
	}
	if a := mira.Post("/settings/providers/nonsense/trial"); a.StatusCode != http.StatusNotFound {
		t.Errorf("the trial of no provider answered %d; want 404", a.StatusCode)
	}

	mira.Post("/settings/providers", "name", "Mine", "command", `"open`).Expect(t, http.StatusUnprocessableEntity,
		"left open")
	if a := mira.Post("/settings/providers", "name", "Mine", "command", "mine --acp 'a b'", "keys",
		"MY_KEY"); a.StatusCode != http.StatusSeeOther ||
		a.Header.Get("Location") != "/settings/providers#provider-mine" {
		t.Errorf("adding an agent answered %d to %s", a.StatusCode, a.Header.Get("Location"))
	}
	mira.Get("/settings/providers/mine/edit").Expect(t, http.StatusOK, `value="mine --acp &#39;a b&#39;"`)
	mira.Post("/settings/providers/agent/models", "models", strings.Repeat("x", 300)).
		Expect(t, http.StatusUnprocessableEntity, "At most 200 fit")
	if a := mira.Post("/settings/providers/agent/models", "models", "one\ntwo"); a.StatusCode != http.StatusSeeOther {
		t.Errorf("saving models answered %d", a.StatusCode)
	}
	if a := mira.Post("/settings/providers/agent/enabled", "enabled", "false"); a.StatusCode != http.StatusSeeOther {
		t.Errorf("switching off answered %d", a.StatusCode)
	}
	mira.Get("/settings/providers").Expect(t, http.StatusOK, "Switched off")

	if a := mira.Post("/settings/providers/agent/trial"); a.StatusCode != http.StatusSeeOther {
		t.Errorf("Test answered %d", a.StatusCode)
	}
	mira.Get("/settings/providers").Expect(t, http.StatusOK, "Testing with one real turn")
	trial, err := db.ClaimTrial(t.Context(), s.Server.DB, "w", time.Now())
	webtest.Check(t, err)
	trial.FinishedAt, trial.ErrorClass, trial.Reason = time.Now(), agent.FailAuth, "not signed in"
	webtest.Check(t, db.FinishTrial(t.Context(), s.Server.DB, trial))
	mira.Get("/settings/providers").Expect(t, http.StatusOK, "The test failed: Authentication")
}
