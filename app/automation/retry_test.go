package automation_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/automation"
	"carillon/db"
)

var momentary = automation.Outcome{Status: db.Failed, Class: "transient", Reason: "the model's server answered 500"}

// next claims the one queued session, with its turn.
func (k *kit) next(a *db.Automation) (db.Session, *db.Turn) {
	k.T.Helper()
	list := k.Claim()
	if len(list) != 1 {
		k.T.Fatalf("claimed %d sessions; want 1", len(list))
	}
	h := k.History(a)
	turn, err := db.NextTurn(k.T.Context(), k.DB, lease(list[0]), h[len(h)-1].ID, k.Now())
	check(k.T, err)
	if turn == nil {
		k.T.Fatal("the session has no turn")
	}
	return list[0], turn
}

func (k *kit) again(s db.Session, turn uuid.UUID, o automation.Outcome) bool {
	k.T.Helper()
	again, err := k.Runs().Retry(k.T.Context(), lease(s), turn, o)
	check(k.T, err)
	return again
}

func TestATransientFailureIsTriedAgainTwiceWithBackoff(t *testing.T) {
	k := setup(t)
	a := k.Make(nil)
	if a.Retries != 2 {
		t.Fatalf("an automation has %d retries; want 2", a.Retries)
	}
	k.runNow(a)
	var first uuid.UUID
	for i, pause := range []time.Duration{15 * time.Second, time.Minute} {
		s, turn := k.next(a)
		if i == 0 {
			first = turn.ID
		} else if turn.ID != first {
			t.Error("another turn is tried than the one that failed")
		}
		if !k.again(s, turn.ID, momentary) {
			t.Fatalf("attempt %d is the last; want another", i+1)
		}
		k.ExpectStatuses(a, "running")
		k.Clock.Add(pause - time.Millisecond)
		if n := len(k.Claim()); n != 0 {
			t.Fatalf("attempt %d starts before its pause of %s is over", i+2, pause)
		}
		k.Clock.Add(time.Millisecond)
	}
	s, turn := k.next(a)
	if k.again(s, turn.ID, momentary) {
		t.Error("a fourth attempt was planned; want three in all")
	}
	check(t, k.Runs().Finish(t.Context(), lease(s), momentary))
	k.ExpectStatuses(a, "failed")
	list, err := db.AttemptsOf(t.Context(), k.DB, k.History(a)[0].ID)
	check(t, err)
	if len(list) != 2 || list[0].Attempt != 1 || list[1].Attempt != 2 || list[1].Reason != momentary.Reason ||
		list[1].TurnID != first {
		t.Errorf("the attempts are %+v", list)
	}
}

func TestOnlyTransientFailuresAreTriedAgainAndOnlyAsOftenAsTheAutomationSays(t *testing.T) {
	k := setup(t)
	for _, tt := range []struct {
		name    string
		retries int
		o       automation.Outcome
		want    bool
	}{
		{"a moment's trouble", 1, momentary, true},
		{"none allowed", 0, momentary, false},
		{"a task's failure", 2, failure, false},
		{"not signed in", 2, automation.Outcome{Status: db.Failed, Class: "auth"}, false},
		{"a timeout", 2, automation.Outcome{Status: db.TimedOut, Class: "timeout"}, false},
		{"a success", 2, success, false},
		{"back in half an hour", 1, automation.Outcome{
			Status: db.Failed, Class: "transient", RetryAt: begun.Add(30 * time.Minute),
		}, true},
		{"back tomorrow", 1, automation.Outcome{Status: db.Failed, Class: "transient",
			RetryAt: begun.Add(24 * time.Hour)}, false},
	} {
		a := k.Make(func(in *automation.Input) { in.Retries = tt.retries })
		k.runNow(a)
		s, turn := k.next(a)
		if got := k.again(s, turn.ID, tt.o); got != tt.want {
			t.Errorf("%s: tried again is %v; want %v", tt.name, got, tt.want)
		}
		if !tt.want {
			check(t, k.Runs().Finish(t.Context(), lease(s), failure))
		}
	}
	in := k.Input()
	in.Retries = 11
	_, _, err := k.Definitions().Create(t.Context(), k.Jonas, in)
	wantInvalid(t, err, "retries")
}

func TestARetryHonoursCancelAndTimeoutAndTheLease(t *testing.T) {
	k := setup(t)
	ctx := t.Context()
	a := k.Make(nil)
	k.runNow(a)
	s, turn := k.next(a)
	if !k.again(s, turn.ID, momentary) {
		t.Fatal("not tried again")
	}
	if _, err := k.Runs().Retry(ctx, lease(s), turn.ID, momentary); !errors.Is(err, db.ErrLeaseLost) {
		t.Errorf("a second word of the same attempt answered %v; want ErrLeaseLost", err)
	}
	check(t, k.Sessions().Stop(ctx, k.Mira, s.ID)) // while it waits for its next attempt
	k.ExpectStatuses(a, "canceled")
	k.Clock.Add(time.Hour)
	if n := len(k.Claim()); n != 0 {
		t.Errorf("%d sessions start after the cancel; want none", n)
	}

	k.runNow(a)
	s, turn = k.next(a)
	check(t, k.Sessions().Stop(ctx, k.Mira, s.ID)) // while it is at work
	if k.again(s, turn.ID, momentary) {
		t.Error("a canceled run was tried again")
	}
	check(t, k.Runs().Finish(ctx, lease(s), automation.Outcome{Status: db.Canceled, Reason: "canceled"}))

	// twelve seconds: less than the pause, which does not count
	short := k.Make(func(in *automation.Input) { in.TimeoutMinutes = 0.2 })
	k.runNow(short)
	s, turn = k.next(short)
	k.Clock.Add(10 * time.Second)
	if !k.again(s, turn.ID, momentary) {
		t.Error("a run is not tried again that has worked less than its timeout")
	}
	k.Clock.Add(time.Hour)
	s, turn = k.next(short)
	k.Clock.Add(3 * time.Second)
	if k.again(s, turn.ID, momentary) {
		t.Error("a run is tried again after its timeout")
	}
}
