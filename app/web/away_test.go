package web_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"carillon/app/middleware"
	"carillon/app/web/page"
)

func TestWhileTheDatabaseIsAwayPagesAndCallsAreAnswered503WithATimeToTryAgain(t *testing.T) {
	t.Parallel()
	s := &page.Site{Log: slog.New(slog.DiscardHandler)}
	away := fmt.Errorf("list sessions: %w", io.ErrUnexpectedEOF)
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request){
		"a page": func(w http.ResponseWriter, r *http.Request) { s.Fail(w, r, away) },
		"a call of ours": func(w http.ResponseWriter, r *http.Request) {
			status, _ := middleware.Failure(w, r, away)
			w.WriteHeader(status)
		},
	} {
		w := httptest.NewRecorder()
		answer(w, httptest.NewRequest(http.MethodGet, "/sessions", nil))
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s is answered %d with Retry-After %q; want 503 with one", name, w.Code,
				w.Header().Get("Retry-After"))
		}
		if name == "a page" && !strings.Contains(w.Body.String(), "Check first whether your change was already made") {
			// the answer to a commit may be lost
			t.Errorf("%s says %s; want that the change may have been made", name, w.Body)
		}
	}
}
