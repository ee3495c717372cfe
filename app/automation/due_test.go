package automation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/db"
)

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", "2026-06-"+text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestARecurringRunIsDueAtItsWallClockTimeInItsZone(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) {
		in.Trigger, in.Cron, in.TimeZone = "recurring", "30 7 * * *", "Asia/Kathmandu"
	})
	if got, want := a.NextRunAt, at("02 01:45:00"); !got.Equal(want) {
		t.Fatalf("next run is %s; want %s", got.UTC(), want)
	}
	k.Tick(at("02 01:44:59"))
	k.ExpectStatuses(a, "")
	k.Tick(at("02 01:45:00"))
	k.ExpectStatuses(a, "queued")
	e := k.History(a)[0]
	if !e.ScheduledFor.Equal(at("02 01:45:00")) || e.Source != db.BySchedule || e.Mark != "" {
		t.Errorf("the row says %s by %s %s; want its due time by schedule", e.ScheduledFor, e.Source, e.Mark)
	}
	if got, want := k.Reload(a).NextRunAt, at("03 01:45:00"); !got.Equal(want) {
		t.Errorf("then the next run is %s; want %s", got, want)
	}
}

func TestUpToFiveMinutesLateAlwaysFires(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("0 2 * * *"))
	k.Tick(at("02 02:05:00"))
	k.ExpectStatuses(a, "queued")
}

func TestMissedRecurringRunsWithoutAutoExecuteAreOneRow(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("0 * * * *"))
	k.Tick(at("02 09:30:00")) // due since 13:00 the day before: 21 times
	k.ExpectStatuses(a, "missed×21")
	e := k.History(a)[0]
	if !e.ScheduledFor.Equal(at("01 13:00:00")) || !e.LastSkippedFor.Equal(at("02 09:00:00")) || e.Reason == "" {
		t.Errorf("the row covers %s to %s because %q; want every due time since", e.ScheduledFor, e.LastSkippedFor,
			e.Reason)
	}
	if got, want := k.Reload(a).NextRunAt, at("02 10:00:00"); !got.Equal(want) {
		t.Errorf("the next run is %s; want the next regular time %s", got, want)
	}
	k.ExpectInbox(k.Jonas)
}

func TestMissedRecurringRunsWithAutoExecuteAreExactlyOneCatchUpRun(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { recurring("0 * * * *")(in); in.CatchUp = true })
	k.Tick(at("02 09:30:00"))
	k.ExpectStatuses(a, "queued")
	if e := k.History(a)[0]; e.Mark != db.CatchUpMark || e.Source != db.BySchedule {
		t.Errorf("the run is marked %q of source %q; want a catch-up of the schedule", e.Mark, e.Source)
	}
	if got, want := k.Reload(a).NextRunAt, at("02 10:00:00"); !got.Equal(want) {
		t.Errorf("the next run is %s; want %s", got, want)
	}
}

func TestAfterDowntimeARunWithinTheGraceStillFires(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("0 * * * *"))
	k.Tick(at("02 09:03:00"))
	k.ExpectStatuses(a, "missed×20 queued")
}

func TestAScheduledRunWhileOneIsInFlightIsSkippedWithOneRowAndOneNoticeAStreak(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("*/10 * * * *"))
	k.Tick(at("01 12:10:00"))
	k.Tick(at("01 12:20:00"))
	k.Tick(at("01 12:30:00"))
	k.Tick(at("01 12:40:00"))
	k.ExpectStatuses(a, "queued skipped×3")
	k.ExpectInbox(k.Jonas, inbox.Skipped)
	e := k.History(a)[1]
	if !e.ScheduledFor.Equal(at("01 12:20:00")) || !e.LastSkippedFor.Equal(at("01 12:40:00")) ||
		e.BlockedBy != k.History(a)[0].ID {
		t.Errorf("the skip covers %s to %s, blocked by %s; want the first and last due time and the run in the way",
			e.ScheduledFor, e.LastSkippedFor, e.BlockedBy)
	}

	k.EndRuns(success)
	k.Tick(at("01 12:50:00")) // a run starts: the streak is over
	k.Tick(at("01 13:00:00"))
	k.ExpectStatuses(a, "succeeded skipped×3 queued skipped")
	k.ExpectInbox(k.Jonas, inbox.Skipped, inbox.Skipped)
}

func TestRunNowEndsASkipStreakToo(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("*/10 * * * *"))
	k.Tick(at("01 12:10:00"))
	k.Tick(at("01 12:20:00"))
	k.EndRuns(success)
	_, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
	check(t, err)
	k.Tick(at("01 12:30:00"))
	k.ExpectStatuses(a, "succeeded skipped queued skipped")
}

func TestRunNowNeitherMovesNorConsumesTheSchedule(t *testing.T) {
	k := setup(t)
	for _, a := range []*db.Automation{
		k.Make(recurring("0 2 * * *")),
		k.Make(func(in *automation.Input) {
			in.Trigger, in.RunAt, in.TimeZone = "one_time", "2026-06-05T09:00", "UTC"
		}),
	} {
		_, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
		check(t, err)
		k.EndRuns(success)
		if b := k.Reload(a); !b.NextRunAt.Equal(a.NextRunAt) || !b.Enabled {
			t.Errorf("%s: next run %s, enabled %t; want %s and enabled", a.Trigger, b.NextRunAt, b.Enabled, a.NextRunAt)
		}
	}
}

func oneTime(wall string) func(*automation.Input) {
	return func(in *automation.Input) { in.Trigger, in.RunAt, in.TimeZone = "one_time", wall, "Europe/Berlin" }
}

func TestAOneTimeRunsOnceAndIsSwitchedOffWithoutANotice(t *testing.T) {
	k := setup(t)
	a := k.Make(oneTime("2026-06-02T09:00"))
	k.Tick(at("02 07:00:00"))
	k.ExpectStatuses(a, "queued")
	k.EndRuns(success)
	if b := k.Reload(a); b.Enabled || b.DisabledKind != db.ByFinishing {
		t.Errorf("it is enabled=%t (%s); want off because it has run", b.Enabled, b.DisabledKind)
	}
	k.Tick(at("09 07:00:00"))
	k.ExpectStatuses(a, "succeeded")
	k.ExpectInbox(k.Jonas)
}

func TestAOneTimeUpToFiveMinutesPastIsSavedAndFiresNow(t *testing.T) {
	k := setup(t)
	a := k.Make(oneTime("2026-06-01T13:56")) // 11:56 UTC, and it is 12:00
	k.Tick(begun)
	k.ExpectStatuses(a, "queued")
}

func TestAOneTimeFurtherPastIsAFormError(t *testing.T) {
	k := setup(t)
	in := k.Input()
	oneTime("2026-06-01T13:54")(&in)
	_, _, err := k.Definitions().Create(t.Context(), k.Jonas, in)
	wantInvalid(t, err, "run_at")
}

func TestAOneTimeThatDowntimeMadeLateIsMissedDisabledAndTold(t *testing.T) {
	k := setup(t)
	a := k.Make(oneTime("2026-06-02T09:00"))
	k.Tick(at("02 07:05:01"))
	k.ExpectStatuses(a, "missed")
	if b := k.Reload(a); b.Enabled || b.DisabledKind != db.ByMissing {
		t.Errorf("it is enabled=%t (%s); want off because it was missed", b.Enabled, b.DisabledKind)
	}
	k.ExpectInbox(k.Jonas, inbox.Missed)
}

func TestAOneTimeIsDisabledOnItsVeryFirstFailure(t *testing.T) {
	k := setup(t)
	a := k.Make(oneTime("2026-06-02T09:00"))
	k.Tick(at("02 07:00:00"))
	k.EndRuns(failure)
	if b := k.Reload(a); b.Enabled || b.DisabledKind != db.ByFailures || !strings.Contains(b.DisabledReason, "exit 1") {
		t.Errorf("it is enabled=%t (%s, %q); want off with the reason of the failure", b.Enabled, b.DisabledKind,
			b.DisabledReason)
	}
	k.ExpectInbox(k.Jonas, inbox.Disabled)
}

func TestABlockedOneTimeFiresWhenTheWayIsFreeWithinItsGrace(t *testing.T) {
	k := setup(t)
	a := k.Make(oneTime("2026-06-02T09:00"))
	_, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
	check(t, err)
	k.Tick(at("02 07:00:00"))
	k.ExpectStatuses(a, "queued")
	k.EndRuns(success)
	k.Tick(at("02 07:01:00"))
	k.ExpectStatuses(a, "succeeded queued")
}

func TestALoopStartsAsSoonAsItIsEnabled(t *testing.T) {
	k := setup(t)
	a := k.Make(loop)
	k.Tick(begun)
	k.ExpectStatuses(a, "queued")
	if e := k.History(a)[0]; e.Source != db.BySchedule || e.Mark != db.LoopMark || e.Iteration != 1 {
		t.Errorf("the run is %s %s %d; want the schedule's first loop iteration", e.Source, e.Mark, e.Iteration)
	}
}

func TestALoopGoesOnFiveSecondsAfterASuccessThirtyAfterAFailureTwoMinutesAfterTheSecond(t *testing.T) {
	k := setup(t)
	a := k.Make(loop)
	k.Tick(begun)
	for i, step := range []struct {
		o    automation.Outcome
		want time.Duration
	}{{success, 5 * time.Second}, {failure, 30 * time.Second}, {failure, 2 * time.Minute}, {success, 5 * time.Second}} {
		now := k.Now()
		k.EndRuns(step.o)
		if got := k.Reload(a).NextRunAt.Sub(now); got != step.want {
			t.Fatalf("after run %d the loop rests %s; want %s", i+1, got, step.want)
		}
		k.Tick(now.Add(step.want))
	}
}

func TestAnOpenSessionHoldsItsLoopUntilAPersonClosesIt(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { loop(in); in.OnlyUnchanged = true })
	k.Tick(begun)
	o := success
	o.FilesChanged = true
	s := k.EndRuns(o)[0]
	if got := k.SessionAgain(s.ID).Status; got != db.SessionWaiting {
		t.Fatalf("the session is %s; want it open for review", got)
	}
	k.Tick(begun.Add(24 * time.Hour))
	k.ExpectStatuses(a, "succeeded")
	check(t, k.Sessions().MarkDone(t.Context(), k.Jonas, s.ID))
	k.Tick(k.Now().Add(5 * time.Second))
	k.ExpectStatuses(a, "succeeded queued")
}

func TestACanceledSessionLetsItsLoopGoOn(t *testing.T) {
	k := setup(t)
	a := k.Make(loop)
	k.Tick(begun)
	e := k.History(a)[0]
	check(t, k.Sessions().Stop(t.Context(), k.Jonas, e.SessionID))
	k.Tick(begun.Add(5 * time.Second))
	k.ExpectStatuses(a, "canceled queued")
}

func TestALoopStopsAtItsMaximumOfIterationsAndSaysSo(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { loop(in); in.MaxIterations = 2 })
	for range 3 {
		k.Tick(k.Now().Add(time.Minute))
		k.EndRuns(success)
	}
	k.ExpectStatuses(a, "succeeded succeeded")
	if b := k.Reload(a); b.Enabled || b.DisabledKind != db.ByFinishing ||
		!strings.Contains(b.DisabledReason, "2 iterations") {
		t.Errorf("it is enabled=%t, %q; want off because of its maximum", b.Enabled, b.DisabledReason)
	}
	k.ExpectInbox(k.Jonas, inbox.LoopFinished)
}

func TestALoopStopsWhenTheFinalAnswerContainsItsText(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { loop(in); in.StopText = "ALL DONE" })
	k.Tick(begun)
	k.EndRuns(automation.Outcome{Status: db.Succeeded, Answer: "More to do."})
	k.Tick(k.Now().Add(time.Minute))
	k.EndRuns(automation.Outcome{Status: db.Succeeded, Answer: "Now ALL DONE."})
	k.Tick(k.Now().Add(time.Minute))
	k.ExpectStatuses(a, "succeeded succeeded")
	k.ExpectInbox(k.Jonas, inbox.LoopFinished)
}

func TestALoopIsSkippedOnlyWhileARunNowIsInFlight(t *testing.T) {
	k := setup(t)
	a := k.Make(loop)
	k.Tick(begun)
	k.EndRuns(success)
	_, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
	check(t, err)
	k.Tick(begun.Add(10 * time.Second))
	k.Tick(begun.Add(30 * time.Second))
	k.ExpectStatuses(a, "succeeded queued skipped×2")
	k.ExpectInbox(k.Jonas, inbox.Skipped)
	k.EndRuns(success)
	k.Tick(begun.Add(60 * time.Second))
	k.ExpectStatuses(a, "succeeded succeeded skipped×2 queued")
}

func TestALoopHeldForReviewOverAnHourIsToldOfOnce(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { loop(in); in.AutoComplete = false })
	k.Tick(begun)
	k.EndRuns(success)
	k.Clock.Add(59 * time.Minute)
	check(t, k.Schedules().WatchGates(t.Context()))
	k.ExpectInbox(k.Jonas)
	k.Clock.Add(2 * time.Minute)
	check(t, k.Schedules().WatchGates(t.Context()))
	check(t, k.Schedules().WatchGates(t.Context()))
	k.ExpectStatuses(a, "succeeded skipped")
	k.ExpectInbox(k.Jonas, inbox.Skipped)
}

func TestThreeFailuresInARowDisableARecurringAutomationAndTellItsCreatorWhy(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("0 * * * *"))
	for i := range 4 {
		k.Tick(at("01 13:00:00").Add(time.Duration(i) * time.Hour))
		k.EndRuns(failure)
	}
	k.ExpectStatuses(a, "failed failed failed")
	b := k.Reload(a)
	if b.Enabled || b.FailureStreak != 3 || b.DisabledKind != db.ByFailures || !b.NextRunAt.IsZero() {
		t.Errorf("it is enabled=%t after %d failures (%s); want off after 3", b.Enabled, b.FailureStreak,
			b.DisabledKind)
	}
	k.ExpectInbox(k.Jonas, inbox.Disabled)
	list, err := k.Inbox.List(t.Context(), k.Jonas, db.NotificationFilter{Limit: 1})
	check(t, err)
	if n := list[0]; n.AutomationID != a.ID || n.ExecutionID != k.History(a)[2].ID ||
		!strings.Contains(n.Body, "exit 1") {
		t.Errorf("the notice is %+v; want the reason and links to the automation and its last execution", n)
	}
}

func TestASuccessEndsAStreakOfFailures(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("0 * * * *"))
	for i, o := range []automation.Outcome{failure, failure, success, failure, failure} {
		k.Tick(at("01 13:00:00").Add(time.Duration(i) * time.Hour))
		k.EndRuns(o)
	}
	if b := k.Reload(a); !b.Enabled || b.FailureStreak != 2 {
		t.Errorf("it is enabled=%t with %d failures; want enabled with 2", b.Enabled, b.FailureStreak)
	}
}

func TestRunNowsFailureDoesNotCountAndItsSuccessResets(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("0 * * * *"))
	for i := range 2 {
		k.Tick(at("01 13:00:00").Add(time.Duration(i) * time.Hour))
		k.EndRuns(failure)
	}
	_, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
	check(t, err)
	k.EndRuns(failure)
	if b := k.Reload(a); !b.Enabled || b.FailureStreak != 2 {
		t.Errorf("after a failed Run Now it is enabled=%t with %d failures; want enabled with 2", b.Enabled,
			b.FailureStreak)
	}
	_, err = k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
	check(t, err)
	k.EndRuns(success)
	if b := k.Reload(a); b.FailureStreak != 0 {
		t.Errorf("after a successful Run Now it has %d failures; want none", b.FailureStreak)
	}
}

func TestNeutralOutcomesCountForNothing(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("0 * * * *"))
	for i, o := range []automation.Outcome{failure, failure, {Status: db.Canceled},
		{Status: db.Failed, Neutral: true, Reason: "interrupted by a restart"}} {
		k.Tick(at("01 13:00:00").Add(time.Duration(i) * time.Hour))
		k.EndRuns(o)
	}
	if b := k.Reload(a); !b.Enabled || b.FailureStreak != 2 {
		t.Errorf("it is enabled=%t with %d failures; want enabled with 2", b.Enabled, b.FailureStreak)
	}
}

func TestARunThatCannotStartIsAFailure(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("0 * * * *"))
	k.Exec("UPDATE automations SET provider = 'gone' WHERE id = ?", a.ID)
	for i := range 4 {
		k.Tick(at("01 13:00:00").Add(time.Duration(i) * time.Hour))
	}
	k.ExpectStatuses(a, "failed failed failed")
	k.ExpectInbox(k.Jonas, inbox.Disabled)
}

func TestAManualAutomationIsNeverDisabledAndTellsOnceAStreak(t *testing.T) {
	k := setup(t)
	a := k.Make(nil)
	run := func(o automation.Outcome) {
		_, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
		check(t, err)
		k.EndRuns(o)
	}
	for range 5 {
		run(failure)
	}
	if b := k.Reload(a); !b.Enabled {
		t.Error("it was disabled")
	}
	k.ExpectInbox(k.Jonas, inbox.RunFailed)
	run(success)
	run(failure)
	k.ExpectInbox(k.Jonas, inbox.RunFailed, inbox.RunFailed)
}

func TestEnablingStartsAnew(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("0 * * * *"))
	for i := range 3 {
		k.Tick(at("01 13:00:00").Add(time.Duration(i) * time.Hour))
		k.EndRuns(failure)
	}
	k.Clock.Set(at("05 10:30:00"))
	check(t, k.Definitions().SetEnabled(t.Context(), k.Jonas, a.ID, true))
	b := k.Reload(a)
	if !b.Enabled || b.FailureStreak != 0 || b.DisabledReason != "" || !b.NextRunAt.Equal(at("05 11:00:00")) {
		t.Errorf("it is enabled=%t with %d failures, reason %q, next %s; want a clean start at 11:00", b.Enabled,
			b.FailureStreak, b.DisabledReason, b.NextRunAt)
	}
}

func TestNoticesOfAGoneCreatorGoToTheManagersOfAll(t *testing.T) {
	k := setup(t)
	max := k.Person("Max", account.RoleManager)
	a := k.Make(recurring("0 * * * *"))
	k.Exec("UPDATE users SET deactivated_at = now() WHERE id = ?", k.Jonas.ID)
	for i := range 3 {
		k.Tick(at("01 13:00:00").Add(time.Duration(i) * time.Hour))
	}
	k.ExpectStatuses(a, "failed failed failed")
	k.ExpectInbox(k.Jonas)
	k.ExpectInbox(max, inbox.RunFailed, inbox.Disabled) // at once, and when it is switched off
	k.ExpectInbox(k.Mira, inbox.RunFailed, inbox.Disabled)
}

func TestAScheduleThatCannotBeReadDisablesThatAutomationAlone(t *testing.T) {
	k := setup(t)
	bad, good := k.Make(recurring("0 * * * *")), k.Make(recurring("0 * * * *"))
	k.Exec("UPDATE automations SET cron = 'nonsense' WHERE id = ?", bad.ID)
	k.Tick(at("01 13:00:00"))
	if b := k.Reload(bad); b.Enabled || b.DisabledKind != db.ByInvalid {
		t.Errorf("the bad one is enabled=%t (%s); want off because it is invalid", b.Enabled, b.DisabledKind)
	}
	k.ExpectStatuses(good, "queued")
	k.ExpectInbox(k.Jonas, inbox.Disabled)
}

func TestAnInterruptedRunEndsFailedAndNeutral(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("0 * * * *"))
	k.Tick(at("01 13:00:00"))
	k.AtWork()
	k.Clock.Add(2 * time.Minute) // its worker says nothing
	n, err := k.Runs().Interrupt(t.Context(), func(string) bool { return false })
	check(t, err)
	e := k.History(a)[0]
	if n != 1 || e.Status != db.Failed || !e.Neutral || e.Reason != "interrupted by a restart" {
		t.Errorf("%d ended, as %s (neutral %t): %q; want one failed, neutral, interrupted by a restart", n, e.Status,
			e.Neutral, e.Reason)
	}
	if b := k.Reload(a); b.FailureStreak != 0 {
		t.Errorf("it counts %d failures; want none", b.FailureStreak)
	}
}

func TestAQueuedRunOutlivesARestart(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("0 * * * *"))
	k.Tick(at("01 13:00:00"))
	k.Clock.Add(time.Hour)
	_, err := k.Runs().Interrupt(t.Context(), func(string) bool { return false })
	check(t, err)
	k.EndRuns(success)
	k.ExpectStatuses(a, "succeeded")
}

func TestAnExecutionEndsExactlyOnce(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("0 * * * *"))
	k.Tick(at("01 13:00:00"))
	s := k.AtWork()[0]
	k.Clock.Add(2 * time.Minute)
	_, err := k.Runs().Interrupt(t.Context(), func(string) bool { return false })
	check(t, err)
	wantErr(t, k.Runs().Finish(t.Context(), lease(s), success), db.ErrLeaseLost) // the worker comes back too late
	k.ExpectStatuses(a, "failed")
}

func TestEveryDueTimeIsAnsweredOnceByHoweverManySchedulers(t *testing.T) {
	k := setup(t)
	for range 60 {
		k.Make(recurring("0 * * * *"))
	}
	k.Clock.Set(at("01 13:00:00"))
	done := make(chan error)
	for range 4 {
		go func() {
			for {
				n, err := k.Schedules().StartDue(t.Context())
				if err != nil || n == 0 {
					done <- err
					return
				}
			}
		}()
	}
	for range 4 {
		check(t, <-done)
	}
	list, err := db.Executions(t.Context(), k.DB, db.ExecutionFilter{
		Access: db.Access{All: true, Everywhere: true}, Limit: 1000,
	})
	check(t, err)
	seen := map[uuid.UUID]int{}
	for _, e := range list {
		seen[e.AutomationID]++
	}
	if len(list) != 60 || len(seen) != 60 {
		t.Errorf("%d executions of %d automations; want 60 of 60", len(list), len(seen))
	}
}

func TestTwoPeopleSavingTheSameAutomationTheSecondIsTold(t *testing.T) {
	k := setup(t)
	a := k.Make(nil)
	in := k.Input()
	in.Version, in.Name = a.Version, "First"
	_, _, err := k.Definitions().Update(t.Context(), k.Jonas, a.ID, in)
	check(t, err)
	in.Name = "Second"
	_, _, err = k.Definitions().Update(t.Context(), k.Mira, a.ID, in)
	wantErr(t, err, fault.ErrStale)
	if got := k.Reload(a).Name; got != "First" {
		t.Errorf("the name is %q; want First: nothing is overwritten", got)
	}
}

func TestDeletingInMidRunStopsTheRunAndKeepsTheSession(t *testing.T) {
	k := setup(t)
	a := k.Make(nil)
	run, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
	check(t, err)
	s := k.Claim()[0]
	check(t, k.Definitions().Delete(t.Context(), k.Jonas, a.ID))
	if got := k.SessionAgain(run.Session.ID); got.CancelRequestedAt.IsZero() {
		t.Error("the worker is not asked to stop")
	}
	check(t, k.Runs().Finish(t.Context(), lease(s), automation.Outcome{Status: db.Canceled}))
	if got := k.SessionAgain(run.Session.ID); got.AutomationID != uuid.Nil || got.Status != db.SessionCanceled ||
		got.ClosedBy != k.Jonas.ID {
		t.Errorf("the session is %s; want it there, without its automation, and canceled by Jonas", got.Status)
	}
}

func TestDisablingInMidRunLetsTheRunEnd(t *testing.T) {
	k := setup(t)
	a := k.Make(loop)
	k.Tick(begun)
	check(t, k.Definitions().SetEnabled(t.Context(), k.Jonas, a.ID, false))
	k.EndRuns(success)
	k.ExpectStatuses(a, "succeeded")
	if b := k.Reload(a); b.Enabled || !b.NextRunAt.IsZero() {
		t.Error("it goes on though it was switched off")
	}
}

func TestEditingAOneTimeWhileItIsDueMovesItsTime(t *testing.T) {
	k := setup(t)
	a := k.Make(oneTime("2026-06-02T09:00"))
	k.Clock.Set(at("02 07:00:00"))
	in := k.Input()
	oneTime("2026-06-03T09:00")(&in)
	in.Version = a.Version
	_, _, err := k.Definitions().Update(t.Context(), k.Jonas, a.ID, in)
	check(t, err)
	k.Tick(at("02 07:00:01"))
	k.ExpectStatuses(a, "")
	k.Tick(at("03 07:00:00"))
	k.ExpectStatuses(a, "queued")
}

func TestAGapInTheLedgerIsFoundAndClosedByTheRuleForMissedRuns(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("0 * * * *"))
	k.Tick(at("01 13:00:00"))
	k.EndRuns(success)
	k.Clock.Set(at("01 16:30:00"))
	if n, _, err := k.Schedules().FindGaps(t.Context(), uuid.Nil); n != 0 || err != nil {
		t.Errorf("found %d gaps, %v; want none: the next run is only late", n, err)
	}
	k.Exec("UPDATE automations SET next_run_at = ? WHERE id = ?", at("01 17:00:00"), a.ID) // 14:00 to 16:00 were lost
	n, _, err := k.Schedules().FindGaps(t.Context(), uuid.Nil)
	check(t, err)
	k.Tick(at("01 16:30:01"))
	if n != 1 {
		t.Errorf("found %d gaps; want 1", n)
	}
	k.ExpectStatuses(a, "succeeded missed×3")
	if n, _, err := k.Schedules().FindGaps(t.Context(), uuid.Nil); n != 0 || err != nil {
		t.Errorf("then it finds %d gaps, %v; want none", n, err)
	}
}
