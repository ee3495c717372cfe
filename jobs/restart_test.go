package jobs

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/db"
	"carillon/db/embedded"
)

// TestARunOutlivesAPostgreSQLThatIsStoppedInItsLastSecond stops a real server, as by its fast and by its immediate
// shutdown, while an agent ends.
func TestARunOutlivesAPostgreSQLThatIsStoppedInItsLastSecond(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		end     func(*embedded.Server) error
		returns bool // by itself
	}{
		{"fast", (*embedded.Server).Stop, false},
		{"immediate", func(s *embedded.Server) error { return syscall.Kill(s.PID(), syscall.SIGQUIT) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// a socket's path has a bound: with a longer one it is in another folder after each start
			short, err := os.MkdirTemp("", "pg")
			check(t, err)
			t.Cleanup(func() { _ = os.RemoveAll(short) })
			config := embedded.Config{Dir: filepath.Join(short, "postgres"), Bin: os.Getenv("CARILLON_PG_BIN")}
			server, err := embedded.Start(t.Context(), config)
			check(t, err)
			t.Cleanup(func() { _ = server.Stop() })
			d, err := db.Open(t.Context(), server.URL(embedded.Name))
			check(t, err)
			t.Cleanup(func() { _ = d.Close() })
			check(t, db.Migrate(t.Context(), d))
			k := prepare(t)
			k.moveTo(d)
			k.runner.DB = d
			fake := k.withAgent()
			fake.answers("held")
			k.start()
			due := time.Now().UTC().Add(time.Minute).Truncate(time.Minute)
			a, _, err := k.rules.Definitions().Create(t.Context(), k.actor,
				automation.Input{Automation: spec.Automation{
					TimeoutMinutes: 360,
					Name:           "Once",
					Workspace:      k.workspace.String(),
					Trigger:        "one_time",
					RunAt:          due.Format("2006-01-02T15:04"),
					TimeZone:       "UTC",
					SessionType:    "develop",
					Prompt:         "do it",
					Provider:       "fake",
					AutoComplete:   true,
					OnlyUnchanged:  true,
					Retries:        2,
				}})
			check(t, err)
			_, err = d.NewRaw("UPDATE automations SET next_run_at = now() WHERE id = ?", a.ID).Exec(t.Context())
			check(t, err)
			_, err = k.rules.Schedules().StartDue(t.Context())
			check(t, err)
			k.eventually("the agent to be at work", func() error {
				_, err := os.Stat(filepath.Join(fake.dir, "hanging"))
				return err
			})

			ends := make(chan error, 1)
			go func() { ends <- tt.end(server) }()
			check(t, os.WriteFile(filepath.Join(fake.dir, "go"), nil, 0o600))
			check(t, <-ends)
			k.eventually("the agent to end", func() error {
				_, err := os.Stat(filepath.Join(fake.dir, "done"))
				return err
			})
			if !tt.returns {
				again, err := embedded.Start(t.Context(), config)
				check(t, err)
				t.Cleanup(func() { _ = again.Stop() })
			}

			var e db.Execution
			k.eventually("the run to end", func() error {
				err := d.NewSelect().Model(&e).Where("automation_id = ?", a.ID).Scan(t.Context())
				if err == nil && e.Status.InFlight() {
					err = fmt.Errorf("it is %s", e.Status)
				}
				return err
			})
			if e.Status != db.Succeeded || e.Answer != "answer 1" || e.CostUSD != 0.25 || e.Turns != 1 {
				t.Errorf("it %s with %q for $%g in %d messages: %q; want success with answer and cost", e.Status,
					e.Answer, e.CostUSD, e.Turns, e.Reason)
			}
			s := k.session(e.SessionID)
			if s.FilesChanged != 1 || s.Status != db.SessionWaiting {
				t.Errorf("the session is %s with %d files; want it open with its change", s.Status, s.FilesChanged)
			}
			now, err := db.AutomationByID(t.Context(), d, a.ID)
			check(t, err)
			if now.Enabled || now.DisabledKind != db.ByFinishing || now.FailureStreak != 0 {
				t.Errorf("the automation is enabled %t, by %q, with %d failures; want it over, without one",
					now.Enabled, now.DisabledKind, now.FailureStreak)
			}
			if n, err := d.NewSelect().Model((*db.Execution)(nil)).Where("automation_id = ?", a.ID).
				Count(t.Context()); err != nil || n != 1 {
				t.Errorf("%d rows (%v); want one", n, err)
			}
			k.stop() // before its server
		})
	}
}
