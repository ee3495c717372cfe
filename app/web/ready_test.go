package web_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"carillon/app/web/webtest"
)

func TestNotReadyWhenTheSchedulerHasNotCompletedAPassForAMinute(t *testing.T) {
	s := webtest.Open(t)
	b := s.Nobody()
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
		s.Server.SincePass = tt.since
		if a := b.Get("/readyz"); a.StatusCode != tt.status || !strings.Contains(a.Text, tt.want) {
			t.Errorf("answered %d %s; want %d with %s", a.StatusCode, a.Text, tt.status, tt.want)
		}
	}
}
