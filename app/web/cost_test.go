package web_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"carillon/app/middleware"
	"carillon/app/web/webtest"
)

func TestWhatAStrangerSendsIsCutInTheLog(t *testing.T) {
	s := webtest.Open(t)
	log := &webtest.SafeBuffer{}
	s.Server.Log = slog.New(slog.NewTextHandler(log, nil))
	h := s.HandlerOf(s.Server)
	long := strings.Repeat("é", 30<<10)
	for _, path := range []string{"/api/forges/github/", "/api/forges/github/x/", "/api/automations/http-trigger/",
		"/api/v1/", "/mcp/", "/", "/tickets/"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, strings.Repeat("M", 10<<10)} {
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			r.Method, r.URL.Path = method, path+long
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	for line := range strings.SplitSeq(log.String(), "\n") {
		if len(line) > 1000 {
			t.Errorf("a line has %d bytes: %.200s", len(line), line)
		}
	}
	if !strings.Contains(log.String(), "/api/forges/github/éé") {
		t.Error("nothing was logged, so nothing is proved")
	}
}

func TestRefusalsOfOnePersonAtOneAddressFillNoAuditLog(t *testing.T) {
	s := webtest.Open(t)
	s.Server.Refusals = middleware.NewRateLimiter(rate.Every(24*time.Hour), 5)
	vera, other := s.As("vera", "member"), s.As("otto", "member")
	for range 12 {
		for _, path := range []string{"/people/" + uuid.NewString() + "/deactivation", "/roles/new",
			"/workspaces/new"} {
			vera.Post(path)
			vera.Get(path)
		}
	}
	other.Post("/people/" + uuid.NewString() + "/deactivation")
	other.Get("/workspaces/new")
	for who, most := range map[*webtest.Browser]int{vera: 5, other: 5} {
		var n int
		webtest.Check(t, s.Server.DB.NewRaw(
			"SELECT count(*) FROM audit_events WHERE actor_id = ? AND action = 'permission.denied'",
			who.Actor.ID).Scan(t.Context(), &n))
		if n == 0 || n > most {
			t.Errorf("%s has %d lines; want some, at most %d", who.Actor.Name, n, most)
		}
	}
}

// A script of brackets ended the process, by each of the doors through which scripts come.
func TestAScriptOfBracketsEndsNothing(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("mia", "manager")
	for _, script := range []string{strings.Repeat("((+", 600<<10), "$((" + strings.Repeat("(", 250<<10)} {
		b.Post("/automations/placeholders", "provider", "shell", "prompt", script).Expect(t, 200, "")
		a := b.Post("/automations", "name", "Brackets", "workspace", s.Workspace, "trigger", "manual", "session_type",
			"chat", "provider", "shell", "prompt", script)
		if a.StatusCode == http.StatusSeeOther || a.StatusCode >= 500 {
			t.Errorf("it was saved, or not answered: %d", a.StatusCode)
		}
	}
}
