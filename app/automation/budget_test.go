package automation_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/app/provider"
	"carillon/app/spec"
	"carillon/db"
)

// spend runs an automation once by hand, with a message that used something.
func (k *kit) spend(a *db.Automation, u db.TurnUsage) *automation.Run {
	k.T.Helper()
	run := k.runNow(a)
	s := k.Claim()[0]
	k.use(run, u)
	_, err := k.Budgets().Allowance(k.T.Context(), run.Execution.ID, false)
	check(k.T, err)
	check(k.T, k.Runs().Finish(k.T.Context(), lease(s), success))
	return run
}

func cents(usd float64) db.TurnUsage { return db.TurnUsage{Counted: true, Priced: true, CostUSD: usd} }

func TestWhatAnAgentDoesNotTellIsUnknownNotZero(t *testing.T) {
	k := setup(t)
	a := k.Make(nil)
	run := k.spend(a, db.TurnUsage{})
	e, err := db.ExecutionByID(t.Context(), k.DB, run.Execution.ID)
	check(t, err)
	if e.Turns != 1 || e.Counted != 0 || e.Priced != 0 {
		t.Errorf("of %d messages %d are counted and %d priced; want 1, none and none", e.Turns, e.Counted, e.Priced)
	}
}

func TestAMessageCutOffByARestartCountsWithItsUsageUnknown(t *testing.T) {
	k := setup(t)
	run := k.runNow(k.Make(nil))
	claimed := k.Claim()[0]
	_, err := db.NextTurn(t.Context(), k.DB, lease(claimed), run.Execution.ID, k.Now())
	check(t, err)
	k.Clock.Add(time.Hour)
	n, err := k.Runs().Interrupt(t.Context(), func(string) bool { return false })
	check(t, err)
	e, err := db.ExecutionByID(t.Context(), k.DB, run.Execution.ID)
	check(t, err)
	if n != 1 || e.Turns != 1 || e.Counted != 0 {
		t.Errorf("%d were interrupted; %d messages, %d counted; want 1, 1 and 0", n, e.Turns, e.Counted)
	}
}

func TestUsageIsSummedByRunAutomationPersonAndWorkspace(t *testing.T) {
	k := setup(t)
	ctx := t.Context()
	a := k.Make(nil)
	k.spend(a, db.TurnUsage{Counted: true, Priced: true, TokensIn: 100, TokensCached: 40, TokensOut: 20, CostUSD: 0.25})
	run := k.runNow(a)
	s := k.Claim()[0]
	k.use(run, db.TurnUsage{Counted: true, TokensIn: 1, TokensOut: 2})
	// noted again, as after a restart, it counts once
	k.use(run, db.TurnUsage{Counted: true, TokensIn: 10, TokensOut: 20})
	check(t, k.Runs().Finish(ctx, lease(s), success))
	_, err := k.DB.NewRaw("UPDATE turns SET finished_at = started_at + interval '90 seconds'").Exec(ctx)
	check(t, err)
	list, err := k.Budgets().Usage(ctx, k.Jonas, begun.AddDate(0, 0, -1), begun.AddDate(0, 0, 1), 10)
	check(t, err)
	names := map[string]string{"automation": "Audit", "person": "Jonas", "workspace": "Scratch", "total": ""}
	if len(list) != 4 {
		t.Fatalf("usage has %d rows; want 4: %+v", len(list), list)
	}
	for _, u := range list {
		if u.Name != names[u.By] || u.Turns != 2 || u.Counted != 2 || u.Priced != 1 || u.TokensIn != 110 ||
			u.TokensCached != 40 || u.TokensOut != 40 || u.CostUSD != 0.25 || u.Seconds != 180 {
			t.Errorf("%s: %+v", u.By, u)
		}
	}
	if list, err = k.Budgets().Usage(ctx, k.Person("Eve", "member"), begun.AddDate(0, 0, -1), begun.AddDate(0, 0, 1),
		10); err != nil || len(list) > 1 || list[0].Turns != 0 {
		t.Errorf("somebody else sees %+v, %v; want nothing", list, err)
	}
	if list, err = k.Budgets().Usage(ctx, k.Jonas, begun.AddDate(0, 0, -9), begun.AddDate(0, 0, -1), 10); err != nil ||
		len(list) > 1 || list[0].Turns != 0 {
		t.Errorf("the week before has %+v, %v; want nothing", list, err)
	}
}

func TestABudgetIsToldOfOnceAtEightyPercentAndOnceAtAll(t *testing.T) {
	k := setup(t)
	a := k.Make(limited("day", spec.Limits{Money: 1.00}))
	k.spend(a, cents(0.5))
	k.ExpectInbox(k.Jonas)
	k.spend(a, cents(0.3))
	k.spend(a, cents(0.1))
	k.ExpectInbox(k.Jonas, inbox.Budget)
	k.spend(a, cents(0.1))
	k.ExpectInbox(k.Jonas, inbox.Budget, inbox.Budget)
	list, err := k.Inbox.List(t.Context(), k.Jonas, db.NotificationFilter{Limit: 1})
	check(t, err)
	if got := automation.NoticeLimit(&list[0]); got != "day.money" ||
		!strings.Contains(list[0].Body, "$1.00 of $1.00 a day") {
		t.Errorf("the notice is about %q and says %q", got, list[0].Body)
	}
}

func TestAUsedUpBudgetRefusesToStartAndIsNoFailure(t *testing.T) {
	k := setup(t)
	ctx := t.Context()
	a := k.Make(limited("month", spec.Limits{Tokens: 1000}))
	k.spend(a, db.TurnUsage{Counted: true, TokensIn: 900, TokensOut: 200})
	_, err := k.Runs().RunNow(ctx, k.Jonas, a.ID, nil)
	var unable *automation.Unable
	if !errors.As(err, &unable) || unable.Reason != "its budget of 1,000 tokens a month is used up" {
		t.Fatalf("starting gave %v", err)
	}
	k.ExpectStatuses(a, "succeeded skipped")
	if e := k.History(a)[1]; !e.Neutral || e.ErrorClass != db.ErrorBudget {
		t.Errorf("the refusal is %+v; want it neutral", e)
	}
	if got := k.Reload(a).FailureStreak; got != 0 {
		t.Errorf("%d failures; want none", got)
	}
	k.Clock.Set(time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)) // the next month
	k.runNow(a)
}

func TestDueTimesWithoutBudgetAreOneSkippedRowUntilTheNextDay(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) {
		recurring("0 * * * *")(in)
		in.TimeZone = "Europe/Berlin"
		limited("day", spec.Limits{Turns: 1})(in)
	})
	k.spend(a, db.TurnUsage{})
	for i := range 9 {
		k.Tick(begun.Add(time.Duration(i+1) * time.Hour)) // 13:00 to 21:00 UTC
	}
	k.ExpectStatuses(a, "succeeded skipped×9")
	k.Tick(begun.Add(10 * time.Hour)) // midnight in Berlin
	k.ExpectStatuses(a, "succeeded skipped×9 queued")
	if a = k.Reload(a); a.FailureStreak != 0 || !a.Enabled {
		t.Errorf("enabled %t with %d failures", a.Enabled, a.FailureStreak)
	}
}

func TestALoopWithoutBudgetWaitsUntilItIsFullAgainOrRaised(t *testing.T) {
	k := setup(t)
	ctx := t.Context()
	a := k.Make(func(in *automation.Input) { loop(in); limited("day", spec.Limits{Money: 1})(in) })
	k.Tick(begun)
	e := k.History(a)[0]
	s := k.Claim()[0]
	_, err := db.NextTurn(ctx, k.DB, lease(s), e.ID, k.Now())
	check(t, err)
	turns, err := db.TurnsOf(ctx, k.DB, s.ID)
	check(t, err)
	check(t, db.AddUsage(ctx, k.DB, lease(s), turns[0].ID, cents(1.2)))
	check(t, k.Runs().Finish(ctx, lease(s), success))
	k.Tick(begun.Add(time.Minute))
	k.ExpectStatuses(a, "succeeded skipped")
	if next := k.Reload(a).NextRunAt; !next.Equal(time.Date(2026, 6, 2, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("the loop goes on at %s; want midnight", next)
	}
	wantErr(t, func() error {
		_, err := k.Budgets().Raise(ctx, k.Person("Eve", "member"), a.ID, "day.money")
		return err
	}(), fault.ErrNotFound)
	wantErr(t, func() error {
		_, err := k.Budgets().Raise(ctx, k.Jonas, a.ID, "month.money")
		return err
	}(), fault.ErrNotFound)
	raised, err := k.Budgets().Raise(ctx, k.Jonas, a.ID, "day.money")
	check(t, err)
	if raised != "$1.50 a day" {
		t.Errorf("it was raised to %s; want $1.50 a day", raised)
	}
	k.Tick(begun.Add(2 * time.Minute))
	k.ExpectStatuses(a, "succeeded skipped queued")
}

func TestAOneTimeWithoutBudgetIsOverAndItsCreatorIsTold(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) {
		in.Trigger, in.RunAt, in.TimeZone = "one_time", "2026-06-01T13:00", "UTC"
		limited("day", spec.Limits{Turns: 1})(in)
	})
	k.spend(a, db.TurnUsage{})
	k.Tick(begun.Add(time.Hour))
	k.ExpectStatuses(a, "succeeded skipped")
	k.ExpectInbox(k.Jonas, inbox.Budget, inbox.Missed)
	if a = k.Reload(a); a.Enabled || a.FailureStreak != 0 {
		t.Errorf("enabled %t with %d failures; want it off without any", a.Enabled, a.FailureStreak)
	}
}

func TestMoneyOfAProviderThatTellsNoneIsRefusedWithWhatToLimitInstead(t *testing.T) {
	k := setup(t)
	k.Providers.List = func() []provider.Provider {
		return []provider.Provider{{ID: "shell", Name: "Shell", Script: true},
			{ID: "agent", Name: "Codex", Unpriced: true}}
	}
	in := k.Input()
	limited("month", spec.Limits{Money: 5, Tokens: 1000, Minutes: 2.5})(&in)
	_, _, err := k.Definitions().Create(t.Context(), k.Jonas, in)
	if got := wantInvalid(t, err,
		"budget_month_money"); got != "Codex does not tell what it costs, so money cannot be limited. Limit tokens "+
		"or minutes instead." {
		t.Errorf("it is refused with %q", got)
	}
	limited("month", spec.Limits{Tokens: 1000, Minutes: 2.5})(&in)
	a, _, err := k.Definitions().Create(t.Context(), k.Jonas, in)
	check(t, err)
	if want := (db.Budget{Month: db.Limits{Tokens: 1000, Minutes: 2.5}}); k.Reload(a).Budget != want {
		t.Errorf("the budget is %+v; want %+v", k.Reload(a).Budget, want)
	}
	for field, l := range map[string]spec.Limits{
		"budget_run_turns": {Turns: -1}, "budget_run_minutes": {Minutes: math.NaN()},
		"budget_run_tokens": {Tokens: 1e13},
		"budget_run_money":  {Money: math.Inf(1)},
	} {
		limited("run", l)(&in)
		_, _, err := k.Definitions().Create(t.Context(), k.Jonas, in)
		wantInvalid(t, err, field)
	}
}

func TestARunThatSentAsManyMessagesAsItMayIsToldOfOnlyWhenItWouldSendAnother(t *testing.T) {
	k := setup(t)
	run := k.spend(k.Make(limited("run", spec.Limits{Turns: 1})), db.TurnUsage{})
	k.ExpectInbox(k.Jonas)
	got, err := k.Budgets().Allowance(t.Context(), run.Execution.ID, true)
	check(t, err)
	if got.Reason != "its budget of 1 message a run is used up" {
		t.Errorf("another message is kept back because %q", got.Reason)
	}
	k.ExpectInbox(k.Jonas, inbox.Budget)
}

func TestTheLastMessageThatABudgetAllowsIsLetFinish(t *testing.T) {
	k := setup(t)
	run := k.runNow(k.Make(func(in *automation.Input) {
		in.Budget = spec.Budget{Run: spec.Limits{Turns: 1}, Day: spec.Limits{Turns: 1}}
	}))
	k.Claim()
	k.use(run, db.TurnUsage{Counted: true, TokensIn: 1}) // noted while it is at work
	got, err := k.Budgets().Allowance(t.Context(), run.Execution.ID, false)
	check(t, err)
	if got.Reason != "" {
		t.Errorf("the message at work is stopped because %q", got.Reason)
	}
}

func TestMinutesOfARunAreWatchedUpToTheirLimits(t *testing.T) {
	k := setup(t)
	a := k.Make(limited("run", spec.Limits{Minutes: 10}))
	run := k.runNow(a)
	k.Claim()
	look := func(after, want time.Duration, over bool) {
		t.Helper()
		k.Clock.Set(begun.Add(after))
		got, err := k.Budgets().Allowance(t.Context(), run.Execution.ID, false)
		check(t, err)
		if got.Look != want || (got.Reason != "") != over {
			t.Errorf("after %s: %+v; want to look again in %s", after, got, want)
		}
	}
	look(0, time.Minute, false)
	look(7*time.Minute+30*time.Second, 30*time.Second, false)
	k.ExpectInbox(k.Jonas)
	look(8*time.Minute, time.Minute, false)
	k.ExpectInbox(k.Jonas, inbox.Budget)
	look(10*time.Minute, 0, true)
	k.ExpectInbox(k.Jonas, inbox.Budget, inbox.Budget)
}
