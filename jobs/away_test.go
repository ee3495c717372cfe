package jobs

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/uptrace/bun"

	"carillon/app/automation"
	"carillon/db"
)

// accesses is how often a statement on one table is cut off in a run, each after one that is let through.
const accesses = 4

// held is a table of the database that nobody but the holder can use.
type held struct {
	k     *kit
	table string
	tx    bun.Tx
	pid   int
}

// hold takes a table. It waits for those that use it now; who comes later waits for the holder.
func (k *kit) hold(table string) *held {
	k.t.Helper()
	h := &held{k: k, table: table}
	h.begin()
	h.lock()
	return h
}

func (h *held) begin() {
	h.k.t.Helper()
	var err error
	h.tx, err = h.k.db.BeginTx(context.WithoutCancel(h.k.t.Context()), nil)
	check(h.k.t, err)
	h.k.t.Cleanup(func() { _ = h.tx.Rollback() })
	check(h.k.t, h.tx.NewRaw("SELECT pg_backend_pid()").Scan(h.k.t.Context(), &h.pid))
}

func (h *held) lock() {
	h.k.t.Helper()
	_, err := h.tx.NewRaw("LOCK TABLE ? IN ACCESS EXCLUSIVE MODE", bun.Ident(h.table)).Exec(h.k.t.Context())
	check(h.k.t, err)
}

// waits reports whether somebody waits for the table: through the line, or with the number of a backend.
func (h *held) waits(pid int) bool {
	h.k.t.Helper()
	var n int
	check(h.k.t, h.k.db.NewRaw(`SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
		WHERE NOT granted AND relation = ?::regclass AND (application_name = ? OR pid = ?)`, h.table, nameOfLine, pid).
		Scan(h.k.t.Context(), &n))
	return n > 0
}

// next lets through who waits for the table, with the line cut or not, and takes it again behind them.
func (h *held) next(l *line, cut bool) *held {
	h.k.t.Helper()
	after, locked := &held{k: h.k, table: h.table}, make(chan struct{})
	after.begin()
	go func() {
		defer close(locked)
		after.lock()
	}()
	var queued int
	h.k.eventually("the next holder to stand in the queue", func() error {
		check(h.k.t, h.k.db.NewRaw("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = ?", after.pid).
			Scan(h.k.t.Context(), &queued))
		if queued == 0 {
			return fmt.Errorf("it does not")
		}
		return nil
	})
	if cut {
		l.set(true)
	}
	check(h.k.t, h.tx.Rollback())
	<-locked
	l.set(false)
	return after
}

// plague cuts the line at every other statement on a table, until an execution is over or that happened often enough.
func (k *kit) plague(l *line, table, over string, of any) (cut int) {
	k.t.Helper()
	h := k.hold(table)
	defer func() { check(k.t, h.tx.Rollback()) }()
	k.start()
	for n := 0; cut < accesses; n++ {
		ended := false
		k.eventually("a statement on "+table+", or the end", func() error {
			check(k.t, h.tx.NewRaw(over, of).Scan(k.t.Context(), &ended))
			if !ended && !h.waits(0) {
				return fmt.Errorf("neither")
			}
			return nil
		})
		if ended {
			return cut
		}
		if n%2 == 0 {
			cut++
		}
		h = h.next(l, n%2 == 0)
	}
	return cut
}

const (
	runIsOver   = "SELECT status NOT IN ('queued', 'running') FROM executions WHERE id = ?"
	replyIsOver = "SELECT bool_and(status NOT IN ('queued', 'running')) FROM turns WHERE session_id = ?"
)

func TestARunOutlastsADatabaseThatGoesAwayWhateverItIsAskedFor(t *testing.T) {
	t.Parallel()
	k, line := apart(t)
	for _, table := range k.tables() {
		run := k.run("echo work > work.txt", func(in *automation.Input) { in.Name = "Before " + table })
		cut := k.plague(line, table, runIsOver, run.Execution.ID)
		if e := k.ended(run); e.Status != db.Succeeded {
			t.Errorf("%s: cut off %d times the run %s (%s); want success", table, cut, e.Status, e.Reason)
		}
		k.stop()
	}
}

func TestASessionThatMovesOutlastsADatabaseThatGoesAwayWhateverItIsAskedFor(t *testing.T) {
	t.Parallel()
	k, line := apart(t)
	for _, table := range []string{"session_moves", "sessions", "turns", "workspaces"} {
		k.start()
		run := k.run("echo work > work.txt", func(in *automation.Input) { in.Name = "Before " + table })
		k.ended(run)
		k.stop()
		check(t, os.RemoveAll(k.runner.Store.Root))
		check(t, k.rules.Sessions().Reply(t.Context(), k.actor, run.Session.ID, "echo more > more.txt"))
		cut := k.plague(line, table, replyIsOver, run.Session.ID)
		s := k.answered(run.Session.ID)
		turns, err := db.TurnsOf(t.Context(), k.db, s.ID)
		check(t, err)
		if last := turns[len(turns)-1]; cut == 0 || last.Status != db.Succeeded || s.NotSaved == "" {
			t.Errorf("%s: cut off %d times the reply %s (%s), not saved: %q; want success in a new worktree", table,
				cut, last.Status, last.Reason, s.NotSaved)
		}
		k.stop()
	}
}

// tables lists the tables of the database.
func (k *kit) tables() (list []string) {
	k.t.Helper()
	check(k.t, k.db.NewRaw(
		`SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1`).
		Scan(k.t.Context(), &list))
	return list
}
