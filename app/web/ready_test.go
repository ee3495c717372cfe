package web

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestNotReadyWhenTheSchedulerHasNotCompletedAPassForAMinute(t *testing.T) {
	s := open(t)
	b := s.nobody()
	for _, tt := range []struct {
		since  func() time.Duration
		status int
		want   string
	}{
		{nil, http.StatusOK, "ready"}, // no scheduler in this process
		{func() time.Duration { return 59 * time.Second }, http.StatusOK, "ready"},
		{func() time.Duration {
			return 61 * time.Second
		}, http.StatusServiceUnavailable, "the scheduler has not completed a pass"},
	} {
		s.server.SincePass = tt.since
		if a := b.get("/readyz"); a.StatusCode != tt.status || !strings.Contains(a.body, tt.want) {
			t.Errorf("answered %d %s; want %d with %s", a.StatusCode, a.body, tt.status, tt.want)
		}
	}
}
