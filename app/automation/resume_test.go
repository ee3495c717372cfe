package automation_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"carillon/app/automation"
	"carillon/app/inbox"
	"carillon/db"
)

var goesOn = func(string) bool { return true }

func TestARunWhoseWorkerIsLostGoesOnThreeTimesAndThenEndsNeutrallyAndTold(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("0 * * * *"))
	k.Tick(at("01 13:00:00"))
	for range 3 {
		s := k.AtWork()[0]
		check(t, db.SetConversation(t.Context(), k.DB, lease(s), "conversation"))
		k.Clock.Add(2 * time.Minute)
		_, err := k.Runs().Interrupt(t.Context(), goesOn)
		check(t, err)
		k.ExpectStatuses(a, "running")
		if got := k.SessionAgain(s.ID); got.Status != db.SessionQueued {
			t.Fatalf("the session is %s; want it queued to go on", got.Status)
		}
	}
	k.AtWork()
	k.Clock.Add(2 * time.Minute)
	_, err := k.Runs().Interrupt(t.Context(), goesOn)
	check(t, err)
	e := k.History(a)[0]
	if e.Status != db.Failed || !e.Neutral || !strings.Contains(e.Reason, "lost 4 times") {
		t.Errorf("it %s (neutral %t): %q; want failed, neutral, lost 4 times", e.Status, e.Neutral, e.Reason)
	}
	if b := k.Reload(a); b.FailureStreak != 0 || !b.Enabled {
		t.Errorf("the automation has %d failures, enabled %t; want none, and on", b.FailureStreak, b.Enabled)
	}
	k.ExpectInbox(k.Jonas, inbox.RunFailed)
}

func TestARunWhoseAgentWasNotAskedYetGoesOnWhateverItsProvider(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("0 * * * *"))
	k.Tick(at("01 13:00:00"))
	k.Claim() // and its worker dies while it makes the worktree, or before it knows that it has the session
	k.Clock.Add(2 * time.Minute)
	_, err := k.Runs().Interrupt(t.Context(), func(string) bool { return false })
	check(t, err)
	k.ExpectStatuses(a, "running")
	k.EndRuns(success)
	k.ExpectStatuses(a, "succeeded")
}

func TestAWorkerThatStartsEndsItsOwnFormerRunsAlone(t *testing.T) {
	k := setup(t)
	mine, other := k.Make(recurring("0 * * * *")), k.Make(recurring("0 * * * *"))
	k.Tick(at("01 13:00:00"))
	for _, s := range k.AtWork() {
		if s.AutomationID == other.ID {
			k.Exec("UPDATE sessions SET worker = 'another' WHERE id = ?", s.ID)
		}
	}
	k.Clock.Add(time.Minute + time.Second) // the lease of both is over for a second; the other worker lives
	n, err := k.Runs().InterruptFormer(t.Context(), k.Worker, func(string) bool { return false })
	check(t, err)
	if n != 1 {
		t.Errorf("%d were ended; want its own", n)
	}
	k.ExpectStatuses(mine, "failed")
	k.ExpectStatuses(other, "running")
}

func TestASessionWaitsADayForAWorkerAndNoLonger(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { in.TimeoutMinutes = 1 })
	run := k.runNow(a)
	k.Clock.Add(24*time.Hour - time.Second)
	_, err := k.Runs().Interrupt(t.Context(), goesOn)
	check(t, err)
	k.ExpectStatuses(a, "queued") // its timeout of a minute does not count what it waits
	k.Clock.Add(2 * time.Second)
	_, err = k.Runs().Interrupt(t.Context(), goesOn)
	check(t, err)
	e := k.History(a)[0]
	if e.Status != db.Failed || !e.Neutral || e.ErrorClass != db.ErrorWaiting {
		t.Errorf("it %s (neutral %t, %s): %q; want failed, neutral, for it waited", e.Status, e.Neutral, e.ErrorClass,
			e.Reason)
	}
	if s := k.SessionAgain(run.Session.ID); s.Status == db.SessionQueued {
		t.Error("the session waits on")
	}
	k.ExpectInbox(k.Jonas, inbox.RunFailed)
}

func TestARunIsCanceledByWhoAskedFirst(t *testing.T) {
	k := setup(t)
	a := k.Make(nil)
	run := k.runNow(a)
	s := k.AtWork()[0]
	check(t, k.Sessions().Stop(t.Context(), k.Jonas, run.Session.ID))
	check(t, k.Sessions().Stop(t.Context(), k.Mira, run.Session.ID))
	check(t, k.Runs().Finish(t.Context(), lease(s), automation.Outcome{Status: db.Canceled, Reason: "canceled"}))
	if e := k.History(a)[0]; e.Reason != "canceled by Jonas" {
		t.Errorf("it was %q; want canceled by Jonas, who asked first", e.Reason)
	}
}

func TestARunThatWaitedADayForItsProviderSaysSo(t *testing.T) {
	k := setup(t)
	a := k.Make(nil)
	k.runNow(a)
	k.Clock.Add(time.Second)
	k.EndRuns(k.refused("auth", k.Now().Add(72*time.Hour)))
	k.runNow(a)
	k.Clock.Add(24*time.Hour + time.Second)
	_, err := k.Runs().Interrupt(t.Context(), goesOn)
	check(t, err)
	if e := k.History(a)[1]; e.Status != db.Failed || !strings.Contains(e.Reason, "401 invalid x-api-key") {
		t.Errorf("it %s: %q; want failed, with what its provider refused", e.Status, e.Reason)
	}
}

func TestATimeoutCountsTheTimeAtWorkOverAttemptsAndResumes(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { in.TimeoutMinutes, in.Retries = 60, 3 })
	run := k.runNow(a)
	k.Clock.Add(3 * time.Hour) // for a place
	s := k.AtWork()[0]
	k.Clock.Add(10 * time.Minute)
	transient := automation.Outcome{
		Status: db.Failed, Class: "transient", Reason: "the model's server answered 500",
		Began: k.Now().Add(-10 * time.Minute),
	}
	again, err := k.Runs().Retry(t.Context(), lease(s), k.prompts(run)[0].ID, transient)
	check(t, err)
	if !again {
		t.Fatal("it is not tried again; want it to, after 10 of 60 minutes at work")
	}
	k.Clock.Add(2 * time.Hour)
	s = k.AtWork()[0]
	check(t, db.SetConversation(t.Context(), k.DB, lease(s), "conversation"))
	k.Clock.Add(20 * time.Minute)
	_, err = db.RenewLeases(t.Context(), k.DB, []db.Lease{lease(s)}, k.Now().Add(db.LeaseFor))
	check(t, err)
	k.Clock.Add(5 * time.Minute) // its worker is dead
	_, err = k.Runs().Interrupt(t.Context(), goesOn)
	check(t, err)
	e := k.History(a)[0]
	if got := time.Duration(e.WorkedSeconds * float64(time.Second)).Round(time.Second); got != 30*time.Minute {
		t.Errorf("it has worked %s; want 30m: without what it waited, and without what its dead worker did not do", got)
	}
}

func TestAnOutageBeforeTheAgentBeganIsTriedAgainAndCountsForNothing(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) {
		recurring("0 * * * *")(in)
		in.Retries = 0
	})
	outage := automation.Outcome{
		Status: db.Failed, Class: db.ErrorOutage, Reason: "the repository cannot be reached", Neutral: true, Tell: true,
	}
	for hour := range 4 {
		k.Tick(at("01 13:00:00").Add(time.Duration(hour) * time.Hour))
		tried := 0
		for again := true; again; tried++ {
			s := k.Claim()[0]
			var err error
			again, err = k.Runs().Retry(t.Context(), lease(s), [16]byte{}, outage)
			check(t, err)
			if !again {
				check(t, k.Runs().Finish(t.Context(), lease(s), outage))
			}
			k.Clock.Add(11 * time.Minute)
		}
		if tried != automation.OutageRetries+1 {
			t.Errorf("it was tried %d times; want %d", tried, automation.OutageRetries+1)
		}
	}
	if b := k.Reload(a); b.FailureStreak != 0 || !b.Enabled {
		t.Errorf("the automation has %d failures, enabled %t; want none, and on", b.FailureStreak, b.Enabled)
	}
	k.ExpectInbox(k.Jonas, inbox.RunFailed) // once in a row
}

func TestAWordThatComesLateEndsNoOtherMessage(t *testing.T) {
	k := setup(t)
	run := k.runNow(k.Make(nil))
	k.EndRuns(success)
	check(t, k.Sessions().Reply(t.Context(), k.Jonas, run.Session.ID, "one"))
	s := k.Claim()[0]
	first, err := db.NextTurn(t.Context(), k.DB, lease(s), [16]byte{}, k.Now())
	check(t, err)
	check(t, k.Sessions().Stop(t.Context(), k.Jonas, s.ID))
	check(t, k.Sessions().InterruptTurn(t.Context(), k.Jonas, s.ID))
	check(t, k.Sessions().Reply(t.Context(), k.Jonas, s.ID, "two"))
	held, err := db.RenewLeases(t.Context(), k.DB, []db.Lease{lease(s)}, k.Now().Add(time.Minute))
	check(t, err)
	if len(held) != 1 || held[0].CancelTurn != first.ID || held[0].InterruptTurn != first.ID {
		t.Fatalf("the worker is told %+v; want the message that was meant, %s", held, first.ID)
	}
	check(t, k.Runs().Finish(t.Context(), lease(s), automation.Outcome{Status: db.Canceled, Reason: "canceled",
		TurnBegun: true}))
	if got := k.SessionAgain(s.ID); got.Status != db.SessionQueued || !got.CancelRequestedAt.IsZero() ||
		got.CancelTurn != [16]byte{} {
		t.Errorf("the session is %s; want it queued for what was written after the Stop", got.Status)
	}
	s = k.Claim()[0]
	if next, err := db.NextTurn(t.Context(), k.DB, lease(s), [16]byte{}, k.Now()); err != nil || next == nil ||
		next.Prompt != "two" {
		t.Errorf("the next message is %+v, %v; want the second", next, err)
	}
}

func TestAPassAndAReplyThatComeAtOnceHaveAPlaceEach(t *testing.T) {
	k := setup(t)
	run := k.runNow(k.Make(nil))
	s := k.AtWork()[0]
	done := make(chan error)
	const each = 8
	for i := range 2 * each {
		go func() {
			if i%2 == 0 {
				done <- k.Sessions().Reply(t.Context(), k.Jonas, run.Session.ID, "a message")
				return
			}
			done <- k.addTurn(lease(s), &db.Turn{
				ID: db.NewID(), SessionID: s.ID, ExecutionID: run.Execution.ID, Kind: db.ReviewTurn, Prompt: "Review.",
				Status: db.Queued, CreatedAt: k.Now(),
			})
		}()
	}
	for range 2 * each {
		check(t, <-done)
	}
	if n := len(k.prompts(run)); n != 1+2*each {
		t.Errorf("the session has %d messages; want %d", n, 1+2*each)
	}
}

// addTurn adds a message to a session as its worker does.
func (k *kit) addTurn(l db.Lease, turn *db.Turn) error {
	return k.DB.RunInTx(k.T.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		if err := db.CheckLease(ctx, tx, l); err != nil {
			return err
		}
		return db.AddTurn(ctx, tx, turn)
	})
}

func TestAReplyThatMeetsAnOutageIsTriedAgainAFewTimes(t *testing.T) {
	k := setup(t)
	run := k.runNow(k.Make(nil))
	k.EndRuns(success)
	outage := automation.Outcome{
		Status: db.Failed, Class: db.ErrorOutage, Reason: "the repository cannot be reached", Neutral: true, Tell: true,
	}
	for range 2 { // each message has its own attempts
		check(t, k.Sessions().Reply(t.Context(), k.Jonas, run.Session.ID, "one"))
		tried := 0
		for again := true; again; tried++ {
			s := k.Claim()[0]
			plan, err := k.Runs().PlanRetry(t.Context(), s.ID, outage)
			check(t, err)
			again, err = k.Runs().Retry(t.Context(), lease(s), [16]byte{}, outage)
			check(t, err)
			if again != (plan != nil) {
				t.Fatalf("it is tried again: %t, planned: %v", again, plan)
			}
			if !again {
				check(t, k.Runs().Finish(t.Context(), lease(s), outage))
			} else if check(t, k.Schedules().CorrectFutureTimes(t.Context())); !k.SessionAgain(s.ID).QueuedAt.
				Equal(plan.At) {
				t.Errorf("attempt %d rests until %s where the clock is right; want %s", tried+2,
					k.SessionAgain(s.ID).QueuedAt, plan.At)
			}
			k.Clock.Add(11 * time.Minute)
		}
		if tried != automation.OutageRetries+1 {
			t.Errorf("it was tried %d times; want %d", tried, automation.OutageRetries+1)
		}
		turns, err := db.TurnsOf(t.Context(), k.DB, run.Session.ID)
		check(t, err)
		if last := turns[len(turns)-1]; last.Status != db.Canceled || last.Reason != outage.Reason {
			t.Errorf("the message is %s: %q; want it ended with the reason", last.Status, last.Reason)
		}
	}
}
