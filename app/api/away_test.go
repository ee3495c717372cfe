package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestWhileTheDatabaseIsAwayAProblemHasATimeToTryAgain(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	writeProblem(w, &Problem{Status: http.StatusServiceUnavailable})
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("it is answered %d with Retry-After %q; want 503 with one", w.Code, w.Header().Get("Retry-After"))
	}
}
