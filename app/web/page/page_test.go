package page

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"carillon/app/fault"
	"carillon/app/secret"
	"carillon/views"
)

// bare is a site without a database, for what needs none.
func bare(t *testing.T) *Site {
	t.Helper()
	keys, err := secret.Parse("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	if err != nil {
		t.Fatal(err)
	}
	s := &Site{
		Keys: keys, PublicURL: &url.URL{Scheme: "http", Host: "localhost"}, Now: time.Now,
		Log: slog.New(slog.DiscardHandler),
	}
	s.Init()
	return s
}

func TestMessagesNeverFillTheCookie(t *testing.T) {
	t.Parallel()
	s := bare(t)
	jar := ""
	for i := range 60 {
		r, w := httptest.NewRequest(http.MethodPost, "/", nil), httptest.NewRecorder()
		r.Header.Set("Cookie", jar)
		text := "message " + strconv.Itoa(i)
		if i == 30 {
			text = strings.Repeat("<", 5000)
		}
		if err := s.Redirect(w, r, "/", text); err != nil || w.Code != http.StatusSeeOther {
			t.Fatalf("message %d: %d, %v; want a redirect", i, w.Code, err)
		}
		jar = strings.Split(w.Header().Get("Set-Cookie"), ";")[0]
	}
	r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
	r.Header.Set("Cookie", jar)
	got := s.flashed(w, r)
	if len(got) != 2 || got[1].Text != "message 59" || got[0].Text != "message 58" {
		t.Errorf("got %v; want the newest two", got)
	}
	r, w = httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
	if err := s.Flash(w, r, views.Toast{Text: "seen"}); err != nil {
		t.Fatal(err)
	}
	r = httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", strings.Split(w.Header().Get("Set-Cookie"), ";")[0])
	w = httptest.NewRecorder()
	if first := s.flashed(w, r); len(first) != 1 {
		t.Fatalf("got %v; want the message", first)
	}
	r = httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", strings.Split(w.Header().Get("Set-Cookie"), ";")[0])
	if second := s.flashed(httptest.NewRecorder(), r); len(second) != 0 {
		t.Errorf("got %v again; want a message to be shown once", second)
	}
}

func TestErrorsBecomeAnswersInOnePlace(t *testing.T) {
	t.Parallel()
	s := bare(t)
	for _, tt := range []struct {
		err    error
		status int
		text   string
	}{
		{fault.ErrNotFound, 404, "There is nothing here"},
		{fault.ErrForbidden, 403, "You may not do this"},
		{fault.ErrStale, 409, "Someone else saved this"},
		{fault.Invalid{"b": "Second.", "a": "First.", "c": "Third."}, 400, "First. Second. Third."},
		{&http.MaxBytesError{Limit: 3 << 20}, 413, "at most 3 MiB"},
		{errors.New("relation users does not exist"), 500, "It was noted as"},
	} {
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		r.Header.Set("HX-Request", "true")
		s.Fail(w, r, tt.err)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.text) ||
			strings.Contains(w.Body.String(), "<html") || strings.Contains(w.Body.String(), "relation") {
			t.Errorf("%v: answered %d %s; want %d with %q, as a fragment", tt.err, w.Code, w.Body, tt.status, tt.text)
		}
	}
}
