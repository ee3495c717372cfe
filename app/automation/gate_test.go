package automation_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/db"
)

// behindGate has something to check before a run begins.
func behindGate(in *automation.Input) { in.Gate.BranchMoved = true }

// atGate takes every session that waits for its gate, as a worker would.
func (k *kit) atGate(worker string) []db.Session {
	k.T.Helper()
	var list []db.Session
	err := k.DB.RunInTx(k.T.Context(), nil, func(ctx context.Context, tx bun.Tx) (err error) {
		list, err = db.ClaimGates(ctx, tx, worker, "shell", 1000, k.Now(), k.Now().Add(time.Minute))
		return err
	})
	check(k.T, err)
	return list
}

func TestARunAtItsGateIsInFlightAndTakenByNoAgent(t *testing.T) {
	k := setup(t)
	a := k.Make(behindGate)
	run := k.runNow(a)
	if n := len(k.Claim()); n != 0 {
		t.Fatalf("%d agents began before the gate was judged", n)
	}
	list := k.atGate("test")
	if len(list) != 1 || list[0].ID != run.Session.ID || len(k.atGate("other")) != 0 {
		t.Fatalf("the gate was claimed %d times; want once", len(list))
	}
	k.ExpectStatuses(a, "queued")
	var busy *automation.Busy
	if _, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil); !errors.As(err, &busy) ||
		busy.Session != run.Session.ID {
		t.Errorf("a second run beside one at its gate: %v; want it refused", err)
	}
	if working, err := db.SlotsTaken(t.Context(), k.DB); err != nil || working["test"] != 0 {
		t.Errorf("at its gate it takes %d places, %v; want none", working["test"], err)
	}
	check(t, k.Runs().PassGate(t.Context(), lease(list[0])))
	if _, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil); !errors.As(err, &busy) {
		t.Errorf("a second run beside one that waits for a place: %v; want it refused", err)
	}
	k.EndRuns(success)
	k.ExpectStatuses(a, "succeeded")
	k.runNow(a)
	if n := len(k.Claim()); n != 0 {
		t.Errorf("%d agents began the next run before its gate was judged", n)
	}
}

func TestNobodyWritesToASessionThatWaitsForItsGate(t *testing.T) {
	k := setup(t)
	run := k.runNow(k.Make(behindGate))
	var wrong fault.Invalid
	if err := k.Sessions().Reply(t.Context(), k.Jonas, run.Session.ID, "true"); !errors.As(err, &wrong) ||
		!strings.Contains(wrong["message"], "gate") {
		t.Errorf("got %v; want the message refused, since it would be lost with the session or answered by an agent "+
			"all the same", err)
	}
	check(t, k.Runs().PassGate(t.Context(), lease(k.atGate("test")[0])))
	check(t, k.Sessions().Reply(t.Context(), k.Jonas, run.Session.ID, "true"))
}

func TestWaitingBehindAGateCountsIntoNoTimeoutAndIsBounded(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { behindGate(in); recurring("0 12 * * *")(in); in.TimeoutMinutes = 60 })
	k.Tick(at("02 12:00:00"))
	k.Clock.Add(3 * time.Hour) // all gates are taken
	list := k.atGate("test")
	k.Clock.Add(time.Minute)
	check(t, k.Runs().PassGate(t.Context(), lease(list[0])))
	k.Clock.Add(5 * time.Hour)
	s := k.Claim()[0]
	if e := k.History(a)[0]; e.WorkedSeconds != 60 || !e.StartedAt.Equal(k.Now()) || e.Status != db.Running {
		t.Errorf("it is %s since %s and has worked %g s; want it to begin now, with the minute at the gate", e.Status,
			e.StartedAt, e.WorkedSeconds)
	}
	check(t, k.Runs().Finish(t.Context(), lease(s), success))

	k.Tick(at("03 12:00:00"))
	check(t, k.Runs().PassGate(t.Context(), lease(k.atGate("test")[0])))
	k.Clock.Add(automation.MaxWait + time.Second)
	_, err := k.Runs().Interrupt(t.Context(), goesOn)
	check(t, err)
	if e := k.History(a)[1]; e.Status != db.Failed || e.ErrorClass != db.ErrorWaiting || !e.Neutral {
		t.Errorf("after a day behind its gate it is %s of class %q", e.Status, e.ErrorClass)
	}
}

func TestAGateIsPassedOnlyByWhoHoldsItAndNotByARunThatIsToStop(t *testing.T) {
	k := setup(t)
	a := k.Make(behindGate)
	run := k.runNow(a)
	former := k.atGate("former")[0]
	k.Clock.Add(2 * time.Minute)
	_, err := k.Runs().Interrupt(t.Context(), goesOn)
	check(t, err)
	wantErr(t, k.Runs().PassGate(t.Context(), lease(former)), db.ErrLeaseLost)
	k.Exec("UPDATE sessions SET branch = 'carillon/x', base_commit = 'x'") // a worktree that it made
	check(t, db.SaveWorker(t.Context(), k.DB, &db.Worker{ID: "former", Name: "former", SeenAt: k.Now()}))
	s := k.atGate("test")[0]
	wantErr(t, k.Runs().PassGate(t.Context(), lease(former)), db.ErrLeaseLost)
	wantErr(t, k.Runs().Finish(t.Context(), lease(former), automation.Outcome{Status: db.Skipped, Reason: "no",
		Neutral: true}),
		db.ErrLeaseLost)
	k.ExpectStatuses(a, "queued")
	if m, err := db.MoveFrom(t.Context(), k.DB, s.ID, "former"); err != nil || m == nil {
		t.Errorf("the former worker does not learn that its worktree is to go: %v, %v", m, err)
	}
	check(t, k.Sessions().Stop(t.Context(), k.Jonas, run.Session.ID))
	check(t, k.Runs().PassGate(t.Context(), lease(s)))
	if e := k.History(a)[0]; e.Status != db.Canceled || e.Reason != "canceled by Jonas" ||
		!e.StartedAt.Equal(s.AtWorkSince) {
		t.Errorf("it is %s since %s: %q; want it canceled by who asked", e.Status, e.StartedAt, e.Reason)
	}
	if got := k.SessionAgain(s.ID); got.Status != db.SessionCanceled || got.AtGate {
		t.Errorf("the session is %s, at its gate %t", got.Status, got.AtGate)
	}
}

func TestARunWhoseWorkerIsLostAtItsGateEachTimeEndsNeutrallyAndTold(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { behindGate(in); recurring("0 * * * *")(in) })
	k.Tick(at("01 13:00:00"))
	for range automation.MaxResumes + 1 {
		if n := len(k.atGate("test")); n != 1 {
			t.Fatalf("%d gates are there to judge; want the one again", n)
		}
		k.Clock.Add(2 * time.Minute)
		_, err := k.Runs().Interrupt(t.Context(), goesOn)
		check(t, err)
	}
	e := k.History(a)[0]
	if e.Status != db.Failed || !e.Neutral || !strings.Contains(e.Reason, "lost 4 times") {
		t.Errorf("it %s (neutral %t): %q; want failed, neutral, lost 4 times", e.Status, e.Neutral, e.Reason)
	}
	k.ExpectInbox(k.Jonas, inbox.RunFailed)
}

func TestAPausedProviderKeepsNoGateWaitingAndNoGateTriesIt(t *testing.T) {
	k := setup(t)
	k.runNow(k.Make(nil))
	k.EndRuns(k.refused("auth", time.Time{}))
	run := k.runNow(k.Make(behindGate))
	if p, err := k.Providers.PauseOf(t.Context(), run.Session.ID); err != nil || p != nil {
		t.Errorf("at its gate it waits for %+v, %v; want for nobody", p, err)
	}
	k.Clock.Add(6 * time.Minute) // the pause is over: the next agent tries
	if n := len(k.Claim()); n != 0 {
		t.Fatalf("%d agents began before the gate was judged", n)
	}
	until := k.pause().Until
	s := k.atGate("test")
	if len(s) != 1 || !k.pause().Until.Equal(until) {
		t.Fatalf("%d gates were claimed, and the pause is until %s; want one, and %s", len(s), k.pause().Until, until)
	}
	check(t, k.Runs().PassGate(t.Context(), lease(s[0])))
	if n := len(k.Claim()); n != 1 {
		t.Errorf("%d agents try the provider behind the gate; want one", n)
	}
}

func TestAGateIsJudgedByAWorkerThatCanRunItsCommandAsLongAsOneLives(t *testing.T) {
	k := setup(t)
	k.runNow(k.Make(behindGate))
	found, missing := db.WorkerProvider{Path: "/bin/sh"}, db.WorkerProvider{Problem: "switched off"}
	for name, shell := range map[string]db.WorkerProvider{"with": found, "without": missing} {
		check(t, db.SaveWorker(t.Context(), k.DB, &db.Worker{
			ID: name, Name: name, SeenAt: k.Now(), Providers: map[string]db.WorkerProvider{"shell": shell},
		}))
	}
	if n := len(k.atGate("without")); n != 0 {
		t.Error("a worker without the shell took a gate beside one that has it")
	}
	k.Clock.Add(db.WorkerSilence + time.Second)
	if n := len(k.atGate("without")); n != 1 {
		t.Error("nobody judges a gate where no live worker has the shell")
	}
}
