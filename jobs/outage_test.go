package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"carillon/app/automation"
	"carillon/db"
	"carillon/db/dbtest"
)

// nameOfLine is what the database calls connections that lead through a line.
const nameOfLine = "line"

// line is a connection between a runner and its database that can be cut.
type line struct {
	t        *testing.T
	server   string // the socket of the database
	listener net.Listener

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

// lineTo makes a line to a database, and an address that leads through it.
func lineTo(t *testing.T, to string) (*line, string) {
	t.Helper()
	config, err := pgx.ParseConfig(to)
	check(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	l := &line{
		t: t, server: filepath.Join(config.Host, fmt.Sprintf(".s.PGSQL.%d", config.Port)), listener: listener,
		conns: map[net.Conn]bool{},
	}
	go l.serve()
	t.Cleanup(func() { _ = listener.Close(); l.set(true) })
	through := url.URL{
		Scheme: "postgres", User: url.User(config.User), Host: listener.Addr().String(), Path: "/" + config.Database,
		RawQuery: "sslmode=disable&application_name=" + nameOfLine,
	}
	return l, through.String()
}

func (l *line) serve() {
	for {
		theirs, err := l.listener.Accept()
		if err != nil {
			return
		}
		ours, err := net.Dial("unix", l.server)
		if err != nil || !l.keep(theirs, ours) {
			_ = theirs.Close()
			continue
		}
		for _, way := range [][2]net.Conn{{theirs, ours}, {ours, theirs}} {
			go func() {
				_, _ = io.Copy(way[0], way[1])
				_ = way[0].Close()
			}()
		}
	}
}

// keep notes two ends to close with the line, and reports whether it is there.
func (l *line) keep(ends ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, end := range ends {
		if l.cut {
			_ = end.Close()
		}
		l.conns[end] = true
	}
	return !l.cut
}

// set cuts the line, or mends it.
func (l *line) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	if cut {
		for end := range l.conns {
			_ = end.Close()
		}
		clear(l.conns)
	}
}

// apart is a kit whose runner reaches its database by a line that can be cut; the kit's own way stays.
func apart(t *testing.T) (*kit, *line) {
	t.Helper()
	k := prepare(t)
	to := dbtest.URL(t)
	d, err := db.Open(t.Context(), to)
	check(t, err)
	t.Cleanup(func() { _ = d.Close() })
	k.moveTo(d)
	l, through := lineTo(t, to)
	far, err := db.Open(t.Context(), through)
	check(t, err)
	t.Cleanup(func() { _ = far.Close() })
	providers, workspaces := *k.rules.Providers, *k.rules.Workspaces
	providers.DB, workspaces.DB = far, far
	k.runner.DB, k.runner.Rules = far, &automation.Service{
		DB: far, Now: time.Now, Keys: k.rules.Keys, Log: k.rules.Log, Providers: &providers,
		Workspaces: &workspaces,
	}
	return k, l
}

// heldBack is a script that says that it has begun, and does something once it is let.
func (k *kit) heldBack(then string) (script string, begun func(), let func()) {
	dir := k.t.TempDir()
	script = "touch " + dir + "/begun; while [ ! -e " + dir + "/go ]; do sleep 0.05; done; " + then + "; touch " + dir +
		"/done"
	begun = func() {
		k.t.Helper()
		k.eventually("the script to run", func() error { _, err := os.Stat(dir + "/begun"); return err })
	}
	let = func() {
		k.t.Helper()
		check(k.t, os.WriteFile(dir+"/go", nil, 0o600))
		k.eventually("the script to end", func() error { _, err := os.Stat(dir + "/done"); return err })
	}
	return script, begun, let
}

func TestARunThatEndsWhileTheDatabaseIsAwayEndsAsWhatItWas(t *testing.T) {
	t.Parallel()
	k, line := apart(t)
	k.start()
	script, begun, let := k.heldBack("echo new > file.txt; echo the answer")
	ending := func(in *automation.Input) { in.Trigger, in.Cron, in.TimeZone = "recurring", "0 0 1 1 *", "UTC" }
	run := k.run(script, ending)
	begun()
	line.set(true)
	let()
	time.Sleep(2 * time.Second) // the end of the turn meets no database; how long is of no importance
	line.set(false)
	e := k.ended(run)
	if e.Status != db.Succeeded || strings.TrimSpace(e.Answer) != "the answer" || e.ExitCode == nil || e.Turns != 1 {
		t.Errorf("it %s with exit %v after %d messages, answered %q: %q; want success with the answer", e.Status,
			e.ExitCode, e.Turns, e.Answer, e.Reason)
	}
	s := k.session(run.Session.ID)
	if s.Status != db.SessionWaiting || s.FilesChanged != 1 || !strings.Contains(s.Diff, "+new") {
		t.Errorf("the session is %s with %d files, diff %q; want it open with its change", s.Status, s.FilesChanged,
			s.Diff)
	}
	turns, err := db.TurnsOf(t.Context(), k.db, s.ID)
	check(t, err)
	if len(turns) != 1 || turns[0].Status != db.Succeeded || strings.TrimSpace(turns[0].Answer) != "the answer" {
		t.Errorf("its messages are %+v; want one, answered", turns)
	}
	a, err := db.AutomationByID(t.Context(), k.db, e.AutomationID)
	check(t, err)
	if a.FailureStreak != 0 || !a.Enabled {
		t.Errorf("the automation has %d failures, enabled %t; want none, and on", a.FailureStreak, a.Enabled)
	}
}

func TestAStopThatIsAskedWhileTheDatabaseIsAwayIsCarriedOutWhenItIsBack(t *testing.T) {
	t.Parallel()
	k, line := apart(t)
	k.start()
	dir := t.TempDir()
	run := k.run("touch "+dir+"/begun; sleep 1000", nil)
	k.eventually("the script to run", func() error { _, err := os.Stat(dir + "/begun"); return err })
	line.set(true)
	check(t, k.rules.Sessions().Stop(t.Context(), k.actor, run.Session.ID))
	line.set(false)
	if e := k.ended(run); e.Status != db.Canceled {
		t.Errorf("it %s: %q; want canceled", e.Status, e.Reason)
	}
}

func TestATimeoutEndsARunWhoseNextMessageCannotBeRead(t *testing.T) {
	t.Parallel()
	k, line := apart(t)
	k.runner.timeoutNow = make(chan struct{})
	k.start()
	script, begun, let := k.heldBack("true")
	run := k.run(script, nil)
	begun()
	line.set(true)
	let()
	close(k.runner.timeoutNow)
	time.Sleep(2 * time.Second) // the end of the run meets no database; how long is of no importance
	line.set(false)
	if e := k.ended(run); e.Status != db.TimedOut && e.Status != db.Succeeded {
		t.Errorf("it %s: %q; want an end of its own", e.Status, e.Reason)
	}
}

func TestAWorkerThatCannotRenewItsLeasesStopsItsAgentsBeforeOthersTakeTheirSessions(t *testing.T) {
	t.Parallel()
	k, line := apart(t)
	k.runner.silence = time.Nanosecond // the first renewal that fails
	k.start()
	dir := t.TempDir()
	run := k.run("echo kept > file.txt; echo $$ > "+dir+"/pid; mv "+dir+"/pid "+dir+"/begun; sleep 1000", nil)
	var pid int
	k.eventually("the script to run", func() error {
		text, err := os.ReadFile(dir + "/begun")
		if err == nil {
			_, err = fmt.Sscan(string(text), &pid)
		}
		return err
	})
	line.set(true)
	k.eventually("the script to be stopped", func() error {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("process %d: %v", pid, err)
		}
		return nil
	})
	if s := k.session(run.Session.ID); s.Status != db.SessionInProgress {
		t.Errorf("the session is %s while its worker cannot tell; want in progress", s.Status)
	}
	line.set(false)
	e := k.ended(run)
	if e.Status != db.Failed || !e.Neutral || e.Reason != errCutOff.Error() {
		t.Errorf("it %s, neutral %t: %q; want a neutral failure with the reason", e.Status, e.Neutral, e.Reason)
	}
	s := k.session(run.Session.ID)
	if s.Status != db.SessionWaiting || s.FilesChanged != 1 {
		t.Errorf("the session is %s with %d changed files; want it open with one", s.Status, s.FilesChanged)
	}
}

func TestARunWithoutAnAgentAtWorkOutlastsADatabaseThatIsAwayForLong(t *testing.T) {
	t.Parallel()
	k, line := apart(t)
	k.start()
	script, begun, let := k.heldBack("echo the answer")
	run := k.run(script, nil)
	begun()
	line.set(true)
	let()
	k.eventually("the agent to end", func() error {
		k.runner.mu.Lock()
		defer k.runner.mu.Unlock()
		for _, r := range k.runner.runs {
			if r.agents > 0 {
				return errors.New("it is at work")
			}
		}
		return nil
	})
	k.runner.cutOff(time.Hour)
	line.set(false)
	if e := k.ended(run); e.Status != db.Succeeded || strings.TrimSpace(e.Answer) != "the answer" {
		t.Errorf("it %s, answered %q: %q; want success with the answer", e.Status, e.Answer, e.Reason)
	}
}

func TestWhatATurnOfALostSessionWritesIsRefused(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	k.run("true", nil)
	stale := k.claimed("test")
	_, err := db.NextTurn(t.Context(), k.db, stale, k.executionOf(stale.Session), time.Now())
	check(t, err)
	_, err = k.db.NewRaw("UPDATE sessions SET fence = fence + 1, worker = 'another' WHERE id = ?", stale.Session).
		Exec(t.Context())
	check(t, err)
	turns, err := db.TurnsOf(t.Context(), k.db, stale.Session)
	check(t, err)
	turn := turns[0].ID
	for what, err := range map[string]error{
		"the next turn": func() error {
			_, err := db.NextTurn(t.Context(), k.db, stale, k.executionOf(stale.Session), time.Now())
			return err
		}(),
		"the end of a turn": db.FinishTurn(t.Context(), k.db, stale, turn, db.Succeeded, "", "answer 1", time.Now()),
		"a step's mark":     db.MarkTurnOwn(t.Context(), k.db, stale, turn),
		"usage":             db.AddUsage(t.Context(), k.db, stale, turn, db.TurnUsage{Counted: true, TokensOut: 7}),
		"the conversation":  db.SetConversation(t.Context(), k.db, stale, "other"),
		"the changes":       db.SetChanges(t.Context(), k.db, stale, db.ChangeSummary{Files: 3}, time.Now()),
		"the worktree":      db.SetWorktree(t.Context(), k.db, stale, db.Worktree{Branch: "other"}),
		"a review": k.rules.Runs().NotifyOfReview(t.Context(), stale, k.executionOf(stale.Session),
			"Bad.\nREVIEW: BLOCKING"),
		"a token":       k.rules.Agents().IssueToken(t.Context(), stale, turn, automation.NewSessionToken()),
		"the run's end": k.rules.Runs().Finish(t.Context(), stale, automation.Outcome{Status: db.Succeeded}),
	} {
		if !isLost(err) {
			t.Errorf("%s of a worker that lost the session: %v; want %v", what, err, db.ErrLeaseLost)
		}
	}
	turns, err = db.TurnsOf(t.Context(), k.db, stale.Session)
	check(t, err)
	if got := turns[0]; got.Status != db.Running || got.Answer != "" || got.Counted || got.Own {
		t.Errorf("the turn is %+v; want it as it was", got)
	}
}

// executionOf is the execution of a session.
func (k *kit) executionOf(session uuid.UUID) uuid.UUID {
	k.t.Helper()
	e, err := db.ExecutionBySession(k.t.Context(), k.db, session)
	check(k.t, err)
	return e.ID
}

// claimed takes the one queued session for a worker that the test plays.
func (k *kit) claimed(worker string) db.Lease {
	k.t.Helper()
	var list []db.Session
	check(k.t, k.db.RunInTx(k.t.Context(), nil, func(ctx context.Context, tx bun.Tx) (err error) {
		list, err = db.ClaimSessions(ctx, tx, worker, 1, time.Now(), time.Now().Add(leaseFor))
		return err
	}))
	if len(list) != 1 {
		k.t.Fatalf("%d sessions were queued; want one", len(list))
	}
	return db.Lease{Session: list[0].ID, Worker: worker, Fence: list[0].Fence}
}

func isLost(err error) bool { return errors.Is(err, db.ErrLeaseLost) }
