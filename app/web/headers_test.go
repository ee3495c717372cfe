package web_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/middleware"
	"carillon/app/web/page"
	"carillon/app/web/webtest"
	"carillon/db"
	"carillon/static"
)

func TestWritesFromOtherSitesAreRefused(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleMember)
	public := *s.Server
	public.PublicURL = &url.URL{Scheme: "https", Host: "carillon.example.com"}
	public.Init()
	behindProxy := s.HandlerOf(&public)
	plain := s.HTTP.Config.Handler
	for _, tt := range []struct {
		name   string
		header [2]string
		proxy  bool
		status int
	}{
		{"a form of another origin", [2]string{"Origin", "http://evil.example"}, false, 403},
		{"a form of no origin that can be named", [2]string{"Origin", "null"}, false, 403},
		{"fetched from another site", [2]string{"Sec-Fetch-Site", "cross-site"}, false, 403},
		{"fetched from a sibling", [2]string{"Sec-Fetch-Site", "same-site"}, false, 403},
		{"fetched from here", [2]string{"Sec-Fetch-Site", "same-origin"}, false, 303},
		{"of this origin", [2]string{"Origin", s.HTTP.URL}, false, 303},
		{"neither header, as curl", [2]string{"X-Nothing", ""}, false, 303},
		{"of the public address, behind a proxy", [2]string{"Origin", "https://carillon.example.com"}, true, 303},
		{"of another, behind a proxy", [2]string{"Origin", "https://evil.example"}, true, 403},
	} {
		s.HTTP.Config.Handler = plain
		if tt.proxy {
			s.HTTP.Config.Handler = behindProxy
		}
		for _, htmx := range []string{"", "true"} {
			req, err := http.NewRequest(http.MethodPost, s.HTTP.URL+"/preferences/theme",
				strings.NewReader("theme=dark"))
			webtest.Check(t, err)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set(tt.header[0], tt.header[1])
			req.Header.Set("HX-Request", htmx)
			got := b.Do(req)
			if got.StatusCode != tt.status || tt.status == 403 && (!strings.Contains(got.Text, "from another site") ||
				(htmx == "true") == strings.Contains(got.Text, "<html")) {
				t.Errorf("%s (htmx %q): answered %d %.200s; want %d, to htmx a fragment", tt.name, htmx, got.StatusCode,
					got.Text, tt.status)
			}
		}
	}
}

func TestARefusalIsWrittenIntoTheAuditLog(t *testing.T) {
	s := webtest.Open(t)
	member := s.As("Mira", account.RoleMember)
	before := time.Now()
	member.Post("/workspaces", "name", "X").Expect(t, 403, "")
	list, err := db.AuditEvents(t.Context(), s.Server.DB, db.AuditFilter{
		Actor: member.Actor.ID, Action: "permission", Since: before.Add(-time.Minute), Limit: 10,
	})
	if err != nil || len(list) != 1 || list[0].SubjectName != "POST /workspaces" || list[0].Address != "127.0.0.1" {
		t.Errorf("got %+v, %v; want the refusal", list, err)
	}
}

func TestEveryAnswerHasTheHeaders(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleMember)
	mux := s.Compose(s.Server)
	mux.HandleFunc("GET /broken", s.Server.Page(func(http.ResponseWriter, *http.Request, account.Actor) error {
		return errors.New("secret detail")
	}))
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("secret detail") })
	s.HTTP.Config.Handler = s.Server.Handler(mux)
	for _, tt := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/", 200}, {"HEAD", "/", 200}, {"GET", "/login", 303}, {"GET", "/nothing/here", 404},
		{"DELETE", "/automations", 405}, {"GET", "/logout", 405},
		{"GET", "/automations/not-an-id", 404}, {"GET", "/automations/" + uuid.NewString(), 404},
		{"GET", "/?x=%00", 400}, {"GET", "/?x=%ff", 400}, {"GET", "/?x=%zz", 400},
		{"GET", "/broken", 500}, {"GET", "/panic", 500}, {"GET", "/healthz", 200}, {"GET", "/readyz", 200},
		{"GET", static.URL("app.css"), 200}, {"GET", "/static/nothing", 404},
		{"GET", "/a/../automations", 307}, {"GET", "/api/automations/http-trigger", 401}, {"GET", "/%00", 404},
		{"GET", "/%ff", 404},
	} {
		req, err := http.NewRequest(tt.method, s.HTTP.URL+tt.path, nil)
		webtest.Check(t, err)
		got := b.Do(req)
		h := got.Header
		if got.StatusCode != tt.status {
			t.Errorf("%s %s answered %d; want %d", tt.method, tt.path, got.StatusCode, tt.status)
		}
		if h.Get("Content-Security-Policy") != middleware.Policy || h.Get("X-Content-Type-Options") != "nosniff" ||
			h.Get("Referrer-Policy") != "same-origin" || h.Get("Cross-Origin-Opener-Policy") != "same-origin" {
			t.Errorf("%s %s lacks a header: %v", tt.method, tt.path, h)
		}
		if !strings.HasPrefix(tt.path, "/static/") && h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s may be stored: %q", tt.method, tt.path, h.Get("Cache-Control"))
		}
		if strings.Contains(got.Text, "secret detail") {
			t.Errorf("%s %s shows what went wrong inside", tt.method, tt.path)
		}
		if tt.status == 405 && h.Get("Allow") == "" {
			t.Errorf("%s %s does not say what is allowed", tt.method, tt.path)
		}
	}
	if strings.Contains(middleware.Policy, "unsafe") {
		t.Errorf("the middleware.Policy is %q; want nothing unsafe", middleware.Policy)
	}
}

func TestFormsThatCannotBeStoredAreRefused(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleMember)
	b.Post("/workspaces", "name", "a\x00b").Expect(t, 400, "not text")
	b.Post("/workspaces", "name", "a\xffb").Expect(t, 400, "not text")
	b.Post("/workspaces", "na\x00me", "b").Expect(t, 400, "not text")
	b.Post("/workspaces", "name", strings.Repeat("x", page.MaxForm+1)).Expect(t, 413, "A form holds at most 16 MiB.")
	s.Nobody().Post("/login", "email", "a\x00@example.com", "password", "x").Expect(t, 400, "not text")
}

func TestAPanicIsAnsweredOrBreaksOff(t *testing.T) {
	t.Parallel()
	var log webtest.SafeBuffer
	s := webtest.Bare(t, &log)
	routes := &middleware.Routes{}
	routes.HandleFunc("GET /half", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(bytes.Repeat([]byte("x"), 100_000))
		panic("half-way")
	})
	srv := httptest.NewServer(s.Handler(routes))
	defer srv.Close()
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	res, err := http.Get(srv.URL + "/half")
	webtest.Check(t, err)
	defer res.Body.Close() //nolint:errcheck // read below
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("half an answer passed for a whole one")
	}
	if !strings.Contains(log.String(), "half-way") {
		t.Errorf("logged %s; want the panic", log.String())
	}
}
