package webhook

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestWhileTheDatabaseIsAwayACallIsAnswered503WithATimeToTryAgain(t *testing.T) {
	t.Parallel()
	s := &Server{Log: slog.New(slog.DiscardHandler)}
	w := httptest.NewRecorder()
	status, _ := s.refusal(w, httptest.NewRequest(http.MethodPost, "/api/forges/github/1", nil),
		fmt.Errorf("find the workspace: %w", io.ErrUnexpectedEOF))
	if status != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("a call is answered %d with Retry-After %q; want 503 with one", status, w.Header().Get("Retry-After"))
	}
}
