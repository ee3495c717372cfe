package web

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"carillon/app/middleware"
)

// unread is a body that nobody is to read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func (unread) Close() error { return nil }

func TestABodyForNoWorkspaceIsNotRead(t *testing.T) {
	s := open(t)
	for _, id := range []string{"nonsense", strings.Repeat("x", 60<<10), uuid.NewString()} {
		r := httptest.NewRequest(http.MethodPost, "/api/forges/github/"+id, nil)
		r.Body, r.ContentLength = unread{t}, 4<<20
		w := httptest.NewRecorder()
		s.handlerOf(s.server).ServeHTTP(w, r)
		if w.Code != http.StatusNotFound {
			t.Errorf("answered %d", w.Code)
		}
	}
}

func TestWhatAStrangerSendsIsCutInTheLog(t *testing.T) {
	s := open(t)
	log := &safeBuffer{}
	s.server.Log = slog.New(slog.NewTextHandler(log, nil))
	h := s.handlerOf(s.server)
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
	s := open(t)
	s.server.Refusals = middleware.NewRateLimiter(rate.Every(24*time.Hour), 5)
	vera, other := s.as("vera", "member"), s.as("otto", "member")
	for range 12 {
		for _, path := range []string{"/people/" + uuid.NewString() + "/deactivation", "/roles/new",
			"/workspaces/new"} {
			vera.post(path)
			vera.get(path)
		}
	}
	other.post("/people/" + uuid.NewString() + "/deactivation")
	other.get("/workspaces/new")
	for who, most := range map[*browser]int{vera: 5, other: 5} {
		var n int
		check(t, s.server.DB.NewRaw(
			"SELECT count(*) FROM audit_events WHERE actor_id = ? AND action = 'permission.denied'",
			who.actor.ID).Scan(t.Context(), &n))
		if n == 0 || n > most {
			t.Errorf("%s has %d lines; want some, at most %d", who.actor.Name, n, most)
		}
	}
}

// A script of brackets ended the process, by each of the doors through which scripts come.
func TestAScriptOfBracketsEndsNothing(t *testing.T) {
	s := open(t)
	b := s.as("mia", "manager")
	for _, script := range []string{strings.Repeat("((+", 600<<10), "$((" + strings.Repeat("(", 250<<10)} {
		b.post("/automations/placeholders", "provider", "shell", "prompt", script).expect(t, 200, "")
		a := b.post("/automations", "name", "Brackets", "workspace", s.workspace, "trigger", "manual", "session_type",
			"chat", "provider", "shell", "prompt", script)
		if a.StatusCode == http.StatusSeeOther || a.StatusCode >= 500 {
			t.Errorf("it was saved, or not answered: %d", a.StatusCode)
		}
	}
}
