package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"carillon/app/e2e/internal/stage"
	"carillon/db/dbtest"
)

var tokenAddress = regexp.MustCompile(`/api/automations/http-trigger/[A-Za-z0-9_-]{43}`)

func TestEveryCallThatWasAcceptedHasItsRunOnceAfterTheServerWasKilled(t *testing.T) {
	t.Parallel()
	address := dbtest.URL(t)
	s := stage.Serve(t, slices.Concat(stage.AsAdministrator,
		[]string{"DATABASE_URL=" + address, "CARILLON_TRIGGER_RATE=0", "CARILLON_MAX_SESSIONS=4"})...)
	v := stage.Visit(t, s)
	ran := filepath.Join(stage.Folder(t), "ran")
	form := v.Form(t, "Called", fmt.Sprintf("basename \"$PWD\" >> '%s'", ran)) // a worktree has the name of its session
	form.Set("trigger", "http")
	form.Set("allow_parallel", "true")
	form.Set("max_parallel", "1000")
	shown := v.Get(t, v.Post(t, "/automations", form).To).First(stage.With("id", "webhook_url")).Attr("value")
	hook := tokenAddress.FindString(shown)
	if hook == "" {
		t.Fatal("the page after saving does not show the webhook's address")
	}

	// Callers go on until the server is gone.
	type run struct {
		Success                bool
		ExecutionID, SessionID string
	}
	var mu sync.Mutex
	var accepted []run
	enough := make(chan struct{})
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for {
				res, err := http.Post(s.Base+hook, "application/json", strings.NewReader(`{"a":1}`))
				if err != nil {
					return
				}
				var r run
				err = json.NewDecoder(res.Body).Decode(&r)
				_ = res.Body.Close()
				if err != nil || res.StatusCode != http.StatusOK || !r.Success {
					return
				}
				mu.Lock()
				accepted = append(accepted, r)
				if len(accepted) == 24 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	s.Kill(t)
	callers.Wait()
	s.Start(t)

	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // nothing is pending
	count := func(query string, args ...any) (n int) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, r := range accepted {
		if count("SELECT count(*) FROM executions WHERE id = $1 AND session_id = $2", r.ExecutionID, r.SessionID) != 1 {
			t.Errorf("the call was accepted as %s, and there is no such execution", r.ExecutionID)
		}
	}
	stage.Eventually(t, "every run to end", func() bool {
		return count("SELECT count(*) FROM executions WHERE status IN ('queued', 'running')") == 0
	})
	if n := count(
		"SELECT count(*) FROM executions WHERE status = 'failed' AND reason <> 'interrupted by a restart'"); n != 0 {
		t.Errorf("%d runs failed for another reason than the restart", n)
	}
	text, err := os.ReadFile(ran)
	if err != nil {
		t.Fatal(err)
	}
	times := map[string]int{}
	for line := range strings.Lines(string(text)) {
		times[strings.TrimSpace(line)]++
	}
	for session, n := range times {
		if n != 1 {
			t.Errorf("session %s ran %d times", session, n)
		}
	}
	if n := count("SELECT count(*) FROM executions WHERE status = 'succeeded'"); n > len(times) {
		t.Errorf("%d runs succeeded, and %d ran", n, len(times))
	}
}
