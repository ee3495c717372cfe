package jobs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/automation"
	"carillon/db"
)

// stops stops the kit's runner, and fails where that does not return.
func (k *kit) stops() {
	k.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.stop()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		k.t.Fatal("the runner does not return")
	}
}

// lasting is a script that says that it has begun, and runs with a process that has left its group until it is ended.
// gone fails while one of its processes is alive.
func (k *kit) lasting() (script string, begun, gone func()) {
	mark := "carillon-test-" + uuid.NewString()
	script = "trap '' TERM; (exec -a " + mark + " setsid sleep 1000) & exec -a " + mark + " sleep 1000"
	begun = func() {
		k.t.Helper()
		k.eventually("the script to run", func() error { return process(mark, true) })
	}
	gone = func() {
		k.t.Helper()
		check(k.t, process(mark, false))
	}
	return script, begun, gone
}

func TestARunnerThatStopsWhileTheDatabaseIsAwayReturnsAndTheNextGoesOn(t *testing.T) {
	t.Parallel()
	k, line := apart(t)
	fake := k.withAgent()
	k.runner.Rules.Providers = k.rules.Providers
	fake.answers("hang", "ok")
	k.start()
	script, begun, gone := k.lasting()
	ending := k.run(script, nil)
	resumed := k.run("Look around.", func(in *automation.Input) { fakeChat(in); in.Name = "Chat" })
	begun()
	k.eventually("the agent to be at work", func() error {
		_, err := os.Stat(filepath.Join(fake.dir, "hanging"))
		return err
	})
	k.eventually("the conversation to be stored", func() error {
		if k.session(resumed.Session.ID).Conversation == "" {
			return fmt.Errorf("it is not")
		}
		return nil
	})
	line.set(true)
	k.stops()
	gone()
	for _, run := range []*automation.Run{ending, resumed} {
		if e := k.execution(run); !e.Status.InFlight() {
			t.Errorf("it %s without a database: %q; want it left as it was", e.Status, e.Reason)
		}
	}
	line.set(false)
	k.start()
	if e := k.ended(ending); e.Status != db.Failed || !e.Neutral || !strings.Contains(e.Reason, "restart") {
		t.Errorf("the script %s (neutral %t): %q; want it interrupted by a restart, neutral", e.Status, e.Neutral,
			e.Reason)
	}
	if e := k.ended(resumed); e.Status != db.Succeeded || e.Answer != "answer 2" {
		t.Errorf("the agent's run %s with %q: %q; want it to go on", e.Status, e.Answer, e.Reason)
	}
}

// execution reads a run.
func (k *kit) execution(run *automation.Run) *db.Execution {
	k.t.Helper()
	e, err := db.ExecutionByID(k.t.Context(), k.db, run.Execution.ID)
	check(k.t, err)
	return e
}

// heldTable keeps everybody from the events of sessions until let is called.
func (k *kit) heldTable() (let func()) {
	k.t.Helper()
	tx, err := k.db.BeginTx(context.WithoutCancel(k.t.Context()), nil)
	check(k.t, err)
	let = func() { _ = tx.Rollback() }
	k.t.Cleanup(let)
	_, err = tx.NewRaw("LOCK TABLE session_events IN ACCESS EXCLUSIVE MODE").Exec(k.t.Context())
	check(k.t, err)
	return let
}

func TestARunEndsThoughTheTableOfEventsIsHeld(t *testing.T) {
	t.Parallel()
	t.Run("by cancel", func(t *testing.T) {
		t.Parallel()
		k := prepare(t)
		k.start()
		script, begun, gone := k.lasting()
		run := k.run(script, nil)
		begun()
		k.heldTable()
		check(t, k.rules.Sessions().Stop(t.Context(), k.actor, run.Session.ID))
		if e := k.ended(run); e.Status != db.Canceled {
			t.Errorf("it %s: %q; want canceled", e.Status, e.Reason)
		}
		gone()
	})
	t.Run("by its timeout", func(t *testing.T) {
		t.Parallel()
		k := prepare(t)
		k.runner.timeoutNow = make(chan struct{})
		k.start()
		script, begun, gone := k.lasting()
		run := k.run(script, nil)
		begun()
		k.heldTable()
		close(k.runner.timeoutNow)
		if e := k.ended(run); e.Status != db.TimedOut {
			t.Errorf("it %s: %q; want timed out", e.Status, e.Reason)
		}
		gone()
	})
	t.Run("by its timeout before it began", func(t *testing.T) {
		t.Parallel()
		k := prepare(t)
		run := k.run("true", func(in *automation.Input) { in.TimeoutMinutes = 0.02 })
		k.heldTable()
		k.start()
		if e := k.ended(run); e.Status != db.TimedOut {
			t.Errorf("it %s: %q; want timed out", e.Status, e.Reason)
		}
	})
	t.Run("by a shutdown", func(t *testing.T) {
		t.Parallel()
		k := prepare(t)
		k.start()
		script, begun, gone := k.lasting()
		run := k.run(script, nil)
		begun()
		let := k.heldTable()
		k.stops()
		gone()
		let()
		k.start()
		if e := k.ended(run); e.Status != db.Failed || !e.Neutral {
			t.Errorf("it %s (neutral %t): %q; want it interrupted, neutral", e.Status, e.Neutral, e.Reason)
		}
	})
}

func TestWhileTheTableOfEventsIsHeldTheRowOfASessionIsNot(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	k.run("true", nil)
	lease := k.claimed("test")
	k.heldTable()
	tr := newTranscriptWriter(k.db, lease, 0)
	tr.mask = func(b []byte) []byte { return b }
	tr.now = time.Now
	tr.log = k.runner.Log
	tr.onLeaseLost = func() {}
	tr.add("log", map[string]string{"text": "one"})
	ctx, cancel := context.WithCancel(t.Context())
	written := make(chan struct{})
	go func() { defer close(written); tr.flush(ctx) }()
	defer func() { cancel(); <-written }()
	k.eventually("the transcript to wait for the table", func() error {
		n := 0
		err := k.db.NewRaw(
			"SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'session_events'::regclass AND database "+
				"= (SELECT oid FROM pg_database WHERE datname = current_database())").Scan(t.Context(), &n)
		if err == nil && n == 0 {
			err = fmt.Errorf("it does not")
		}
		return err
	})
	_, err := k.db.NewRaw("SELECT id FROM sessions WHERE id = ? FOR UPDATE NOWAIT", lease.Session).Exec(t.Context())
	check(t, err)
}

func TestTheEndOfARunRemovesNoOtherOfItsSession(t *testing.T) {
	t.Parallel()
	r := &Runner{}
	r.Init()
	session := db.NewID()
	former := &running{lease: db.Lease{Session: session, Worker: "test", Fence: 1}}
	next := &running{lease: db.Lease{Session: session, Worker: "test", Fence: 2}}
	r.runs[session] = next
	r.forgetRun(former)
	if r.runs[session] != next {
		t.Error("the end of a run removed the next run of its session; want it kept")
	}
	r.forgetRun(next)
	if len(r.runs) != 0 {
		t.Errorf("%d runs are left; want none", len(r.runs))
	}
}

func TestATableThatIsHeldKeepsARunnerFromNoOtherWork(t *testing.T) {
	k := setup(t)
	k.ended(k.run("true", nil)) // the runner is at work
	tx, err := k.db.BeginTx(context.WithoutCancel(t.Context()), nil)
	check(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	_, err = tx.NewRaw("LOCK TABLE provider_trials IN ACCESS EXCLUSIVE MODE").Exec(t.Context())
	check(t, err)
	for _, name := range []string{"Begun before the look that waits", "Begun after it"} {
		if e := k.ended(k.run("true", func(in *automation.Input) { in.Name = name })); e.Status != db.Succeeded {
			t.Errorf("%s: it %s: %q; want success", name, e.Status, e.Reason)
		}
	}
}
