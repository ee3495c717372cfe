package jobs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"carillon/app/aside"
	"carillon/app/automation"
	"carillon/db"
)

// refuse lets the database refuse whatever a condition does not hold for in a table.
func refuse(t *testing.T, d bun.IDB, table, condition string) {
	t.Helper()
	_, err := d.NewRaw(fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT poison CHECK (%s) NOT VALID", table, condition)).
		Exec(t.Context())
	check(t, err)
}

// setAside lists what a task has set aside.
func setAside(t *testing.T, d bun.IDB, task db.Task) []string {
	t.Helper()
	list, err := db.AllSetAside(t.Context(), d, 100)
	check(t, err)
	var keys []string
	for _, a := range list {
		if a.Task == task {
			keys = append(keys, a.Key)
		}
	}
	return keys
}

func TestAWorktreeThatCannotBeSweptKeepsNoOtherFromIt(t *testing.T) {
	k := setup(t)
	bad, good := k.run("true", nil), k.run("true", nil)
	for _, run := range []*automation.Run{bad, good} {
		k.ended(run)
		k.eventually("the session to be closed", func() error {
			if s := k.session(run.Session.ID); s.Status != db.SessionDone {
				return errors.New("it is " + string(s.Status))
			}
			return nil
		})
	}
	refuse(t, k.db, "sessions", fmt.Sprintf("id <> '%s' OR worktree_removed_at IS NULL", bad.Session.ID))
	check(t, k.runner.sweepWorktrees(t.Context(), time.Now()))
	if _, there := k.folder(good.Session.ID); there {
		t.Error("the other worktree is still there")
	}
	if got := setAside(t, k.db, db.TaskWorktrees); len(got) != 1 || got[0] != bad.Session.ID.String() {
		t.Errorf("set aside is %v; want the session %s", got, bad.Session.ID)
	}
}

func TestAWorktreeThatMovedAndRestsHidesNoOther(t *testing.T) {
	k := setup(t)
	run := k.run("true", nil)
	k.ended(run)
	_, err := k.db.NewRaw("INSERT INTO session_moves (session_id, worker, fence, at) VALUES (?, 'gone', 1, now())",
		run.Session.ID).Exec(t.Context())
	check(t, err)
	moved := func() int {
		list, err := db.MovesFrom(t.Context(), k.db, "gone", time.Now(), 1)
		check(t, err)
		return len(list)
	}
	if n := moved(); n != 1 {
		t.Fatalf("%d sessions moved; want one", n)
	}
	gone := &Runner{DB: k.db, Rules: k.rules, Worker: "gone"}
	round := k.rules.Round(db.TaskWorktrees)
	check(t, gone.deal(t.Context(), round, aside.Row{Key: "moved " + run.Session.ID.String(), About: "a worktree"},
		func(context.Context) error {
			return errors.New("the disk is full")
		}))
	if n := moved(); n != 0 {
		t.Error("what rests is listed, and takes the place of another")
	}
}

func TestAStepOfTheSweepThatFailsKeepsNoOtherFromItsWork(t *testing.T) {
	k := setup(t)
	bad, good := k.run("true", nil), k.run("true", nil)
	k.ended(bad)
	k.ended(good)
	for i, run := range []*automation.Run{bad, good} {
		_, err := k.db.NewRaw(`INSERT INTO executions (id, automation_id, source, status, parallel, created_at, started_at, finished_at)
			SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, ?, 'manual', 'succeeded', true, now() - interval '100 days', now() - interval '100 days', now()
			FROM generate_series(?::int, ?::int) i`, run.Execution.AutomationID, 1000*(i+1),
			1000*(i+1)+249).Exec(t.Context())
		check(t, err)
	}
	// History that something else refers to, and a table that is broken.
	_, err := k.db.NewRaw(`CREATE TABLE held (id uuid REFERENCES executions);
		INSERT INTO held SELECT id FROM executions WHERE automation_id = ?; ALTER TABLE api_tokens RENAME TO elsewhere`,
		bad.Execution.AutomationID).Exec(t.Context())
	check(t, err)
	_, err = k.db.NewRaw(
		"INSERT INTO notifications (id, user_id, kind, title, body, link, dedup_key, created_at, read_at) VALUES (?, "+
			"?, 'failed', 'Old', '', '', 'old', now() - interval '1 year', now() - interval '1 year')",
		db.NewID(), k.actor.ID).Exec(t.Context())
	check(t, err)
	s := &Scheduler{DB: k.db, Rules: k.rules, Now: time.Now, Log: k.runner.Log}
	check(t, s.sweep(t.Context()))
	count := func(query string, args ...any) (n int) {
		t.Helper()
		check(t, k.db.NewRaw("SELECT count(*) FROM "+query, args...).Scan(t.Context(), &n))
		return n
	}
	if n := count("executions WHERE automation_id = ?", good.Execution.AutomationID); n != keepExecutions {
		t.Errorf("the other automation has %d executions; want %d", n, keepExecutions)
	}
	if count("notifications WHERE dedup_key = 'old'") != 0 {
		t.Error("the old notice is still there")
	}
	if got := setAside(t, k.db, db.TaskSweep); len(got) != 2 {
		t.Errorf("set aside is %v; want the history of one automation, and the step of the sign-ins", got)
	}
}

func TestAPullRequestThatCannotBeTakenOverKeepsNoOtherFromIt(t *testing.T) {
	k, g := forgeKit(t)
	var ids []string
	for n := range 2 {
		run := k.run(fmt.Sprintf("echo %d > file.txt", n), gate)
		k.ended(run)
		branch := "carillon/" + run.Session.ID.String()
		g.pull(70+n, branch, "open", false)
		check(t, k.rules.PullRequests().Link(t.Context(), k.actor, run.Session.ID,
			fmt.Sprintf("%s/acme/app/pulls/%d", g.url, 70+n)))
		ids = append(ids, k.pullRequests(run.Session.ID)[0].ID.String())
		g.pull(70+n, branch, "closed", true)
	}
	refuse(t, k.db, "pull_requests", fmt.Sprintf("id <> '%s' OR state = 'open'", ids[0]))
	check(t, k.follower().followPullRequests(t.Context()))
	var merged []string
	check(t, k.db.NewRaw("SELECT id FROM pull_requests WHERE state = 'merged'").Scan(t.Context(), &merged))
	if len(merged) != 1 || merged[0] != ids[1] {
		t.Errorf("merged are %v; want the other one, %s", merged, ids[1])
	}
	if got := setAside(t, k.db, db.TaskPullRequests); len(got) != 1 || got[0] != ids[0] {
		t.Errorf("set aside is %v; want %s", got, ids[0])
	}
}

func TestACopyThatCannotBeRecordedKeepsNoOtherFromBeingSentAndIsNotSentInAStorm(t *testing.T) {
	p := setupPost(t)
	hook := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	p.wants(false, hook.URL)
	bad := p.tell(nil)
	refuse(t, p.DB, "notice_deliveries", fmt.Sprintf("notification_id <> '%s' OR status <> 'sent'", bad.ID))
	good := p.tell(nil)
	for range 3 {
		check(t, p.Webhooks(t.Context()))
	}
	for _, c := range p.copies() {
		if c.NotificationID == good.ID && c.Status != db.CopySent {
			t.Errorf("the other copy is %s; want sent", c.Status)
		}
	}
	if got := setAside(t, p.DB, db.TaskWebhooks); len(got) != 1 {
		t.Errorf("set aside are %v; want one copy", got)
	}
}
