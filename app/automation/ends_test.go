package automation_test

import (
	"testing"
	"time"

	"carillon/app/automation"
	"carillon/app/inbox"
	"carillon/app/spec"
	"carillon/db"
)

func TestEveryEndOfAOneTimeThatIsNoSuccessIsToldExceptToWhoCanceledIt(t *testing.T) {
	for name, tt := range map[string]struct {
		end   func(k *kit, a *db.Automation, e db.Execution)
		jonas []string
	}{
		"interrupted by a restart": {func(k *kit, _ *db.Automation, _ db.Execution) {
			k.AtWork()
			k.Clock.Add(2 * time.Minute)
			_, err := k.Runs().Interrupt(t.Context(), func(string) bool { return false })
			check(t, err)
		}, []string{inbox.Disabled}},
		"stopped by its budget": {func(k *kit, _ *db.Automation, _ db.Execution) {
			k.EndRuns(automation.Outcome{
				Status: db.Failed, Reason: "its budget of $1 a run is used up", Class: db.ErrorBudget, Neutral: true,
			})
		}, []string{inbox.Disabled}},
		"refused by its gate": {func(k *kit, _ *db.Automation, _ db.Execution) {
			k.EndRuns(automation.Outcome{Status: db.Skipped,
				Reason: "the branch has not moved since the last successful run"})
		}, []string{inbox.Disabled}},
		"canceled by somebody else": {func(k *kit, _ *db.Automation, e db.Execution) {
			list := k.Claim()
			check(t, k.Sessions().Stop(t.Context(), k.Mira, e.SessionID))
			check(t, k.Runs().Finish(t.Context(), lease(list[0]),
				automation.Outcome{Status: db.Canceled, Reason: "canceled"}))
		}, []string{inbox.Disabled}},
		"canceled by somebody else before it began": {func(k *kit, _ *db.Automation, e db.Execution) {
			check(t, k.Sessions().Stop(t.Context(), k.Mira, e.SessionID))
		}, []string{inbox.Disabled}},
		"canceled by its creator": {func(k *kit, _ *db.Automation, e db.Execution) {
			list := k.Claim()
			check(t, k.Sessions().Stop(t.Context(), k.Jonas, e.SessionID))
			check(t, k.Runs().Finish(t.Context(), lease(list[0]),
				automation.Outcome{Status: db.Canceled, Reason: "canceled"}))
		}, nil},
		"switched off meanwhile, and failed": {func(k *kit, a *db.Automation, _ db.Execution) {
			check(t, k.Definitions().SetEnabled(t.Context(), k.Mira, a.ID, false))
			k.EndRuns(failure)
		}, []string{inbox.Disabled}},
		"failed":    {func(k *kit, _ *db.Automation, _ db.Execution) { k.EndRuns(failure) }, []string{inbox.Disabled}},
		"succeeded": {func(k *kit, _ *db.Automation, _ db.Execution) { k.EndRuns(success) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			k := setup(t)
			a := k.Make(oneTime("2026-06-02T09:00"))
			k.Tick(at("02 07:00:00"))
			tt.end(k, a, k.History(a)[0])
			if k.Reload(a).Enabled {
				t.Error("it is still enabled")
			}
			k.ExpectInbox(k.Jonas, tt.jonas...)
		})
	}
}

func TestRunNowRefusedByABudgetHasARowOfItsOwnAndLeavesTheSchedulesStreakAlone(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) {
		recurring("*/10 * * * *")(in)
		in.Budget = spec.Budget{Day: spec.Limits{Turns: 1}}
	})
	k.Tick(at("01 12:10:00"))
	k.EndRuns(success)
	k.Exec("UPDATE executions SET turns = 1")
	k.Tick(at("01 12:20:00"))
	for range 2 {
		if _, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil); err == nil {
			t.Fatal("it runs with a used-up budget")
		}
	}
	for i := range 3 {
		k.Tick(at("01 12:30:00").Add(time.Duration(i) * 10 * time.Minute))
	}
	k.ExpectStatuses(a, "succeeded skipped×4 skipped skipped")
	for _, e := range k.History(a)[2:] {
		if e.Source != db.ByHand || e.SkipCount != 1 || !e.ScheduledFor.IsZero() {
			t.Errorf("the refusal is a row of source %s that counts %d for %s; want one of its own", e.Source,
				e.SkipCount, e.ScheduledFor)
		}
	}
	k.expectNoGaps()
}

func TestWhatPassedWhileTheServerWasDownIsMissedOrCaughtUpForWhateverIsInFlight(t *testing.T) {
	for name, tt := range map[string]struct {
		catchUp             bool
		back, then          string // what the history is when the server is back, and when the resumed run has ended
		workerComesFirst    bool
		within              time.Duration
		reason              string
		expectMark          db.Mark
		scheduled, lastSlot string
	}{
		"without the option": {
			back: "running missed×4", then: "succeeded missed×4", scheduled: "01 14:00:00", lastSlot: "01 17:00:00",
		},
		"with the option": {
			catchUp: true, back: "running", then: "succeeded queued", expectMark: db.CatchUpMark,
			scheduled: "01 14:00:00", lastSlot: "01 17:00:00",
		},
		"with the option, and the worker is back": {
			catchUp: true, workerComesFirst: true, back: "succeeded queued", then: "succeeded queued",
			expectMark: db.CatchUpMark, scheduled: "01 14:00:00", lastSlot: "01 17:00:00",
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := setup(t)
			a := k.Make(func(in *automation.Input) { recurring("0 * * * *")(in); in.CatchUp = tt.catchUp })
			k.Tick(at("01 13:00:00"))
			list := k.Claim()
			k.Tick(at("01 13:05:00"))
			k.Clock.Set(at("01 17:30:00"))
			k.Restart() // the server was stopped, and starts
			if tt.workerComesFirst {
				check(t, k.Runs().Finish(t.Context(), lease(list[0]), success))
			}
			k.Tick(at("01 17:30:00"))
			k.ExpectStatuses(a, tt.back)
			if !tt.workerComesFirst {
				k.Clock.Add(time.Minute)
				check(t, k.Runs().Finish(t.Context(), lease(list[0]), success))
			}
			k.Tick(at("01 17:32:00"))
			k.ExpectStatuses(a, tt.then)
			e := k.History(a)[1]
			if e.Mark != tt.expectMark || !e.ScheduledFor.Equal(at(tt.scheduled)) ||
				!e.LastSkippedFor.Equal(at(tt.lastSlot)) {
				t.Errorf("the row is marked %q for %s to %s; want %q for %s to %s", e.Mark, e.ScheduledFor,
					e.LastSkippedFor, tt.expectMark, tt.scheduled, tt.lastSlot)
			}
			if e.Status == db.Missed && e.Reason != "Carillon was not running" {
				t.Errorf("it was missed because %q", e.Reason)
			}
			k.ExpectInbox(k.Jonas) // nothing was skipped
			if got := k.Reload(a).NextRunAt; !got.Equal(at("01 18:00:00")) {
				t.Errorf("the next run is %s; want 18:00", got)
			}
			k.expectNoGaps()
		})
	}
}

func TestAOneTimePastItsGraceAfterDowntimeIsMissedForTheDowntimeWhateverIsInFlight(t *testing.T) {
	k := setup(t)
	a := k.Make(oneTime("2026-06-02T09:00"))
	k.Tick(at("02 06:30:00"))
	_, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
	check(t, err)
	k.Restart()
	k.Tick(at("02 09:00:00"))
	k.ExpectStatuses(a, "queued missed")
	if e := k.History(a)[1]; e.Reason != "Carillon was not running" {
		t.Errorf("it was missed because %q; want the downtime", e.Reason)
	}
}

func TestWhatPassedWhileTheMachineSleptSaysSoAndIsNoOverlap(t *testing.T) {
	k := setup(t)
	a, b := k.Make(recurring("* * * * *")), k.Make(recurring("0 * * * *"))
	k.Tick(at("01 12:01:00"))
	k.Tick(at("01 12:01:10"))
	k.Tick(at("01 12:04:50")) // the process stood still for three minutes, and so did the run
	k.ExpectStatuses(a, "queued missed×3")
	if e := k.History(a)[1]; e.Reason != "the machine slept or its clock was set" {
		t.Errorf("it was missed because %q", e.Reason)
	}
	k.ExpectInbox(k.Jonas)
	k.Tick(at("01 12:05:00"))
	k.ExpectStatuses(a, "queued missed×3 skipped")
	k.ExpectInbox(k.Jonas, inbox.Skipped)
	k.Tick(at("01 12:59:30"))
	k.Tick(at("01 16:30:00"))
	if e := k.History(b)[0]; e.Status != db.Missed || e.Reason != "the machine slept or its clock was set" {
		t.Errorf("the other one is %s because %q", e.Status, e.Reason)
	}
}

func TestTheOwnerWhoIsGoneIsToldOfAtTheFirstRunThatFailsForIt(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("0 * * * *"))
	shown := func() db.OwnerGone {
		list, err := k.Definitions().List(t.Context(), k.Mira, db.AutomationFilter{Limit: 10})
		check(t, err)
		attention, err := k.Definitions().List(t.Context(), k.Mira, db.AutomationFilter{State: "attention", Limit: 10})
		check(t, err)
		if gone := list[0].OwnerGone; (gone != "") != (len(attention) == 1) {
			t.Errorf("the list says %q, and %d need attention", gone, len(attention))
		}
		return list[0].OwnerGone
	}
	if got := shown(); got != "" {
		t.Errorf("the list says %q of an owner who is there", got)
	}
	k.Exec("DELETE FROM workspace_members WHERE user_id = ?", k.Jonas.ID)
	if got := shown(); got != db.OwnerOutside {
		t.Errorf("the list says %q; want that its owner is not a member", got)
	}
	k.Exec("UPDATE users SET deactivated_at = now() WHERE id = ?", k.Jonas.ID)
	if got := shown(); got != db.OwnerInactive {
		t.Errorf("the list says %q; want that its owner has no active account", got)
	}
	k.Tick(at("01 13:00:00"))
	k.ExpectStatuses(a, "failed")
	k.ExpectInbox(k.Mira, inbox.RunFailed)
}

func TestAScheduleThatIsAheadOfAClockThatWasSetBackIsComputedAnew(t *testing.T) {
	k := setup(t)
	k.Clock.Set(at("03 20:30:00")) // the machine's clock is two days ahead
	old, created := k.Make(recurring("0 * * * *")), k.Make(recurring("30 * * * *"))
	turning := k.Make(loop)
	k.Tick(at("03 21:00:00"))
	k.EndRuns(success)
	asked, err := k.Runs().RunNow(t.Context(), k.Jonas, k.Make(nil).ID, nil)
	check(t, err)
	k.Clock.Set(at("01 12:10:00"))
	check(t, k.Schedules().CorrectFutureTimes(t.Context()))
	if list := k.EndRuns(success); len(list) != 1 || list[0].ID != asked.Session.ID {
		t.Errorf("%d sessions start; want the one that was queued before", len(list))
	}
	k.expectNoGaps() // which computes anew as well
	if got := k.Reload(created).NextRunAt; !got.Equal(at("01 12:30:00")) {
		t.Errorf("the one without a run is due %s; want 12:30", got)
	}
	if got := k.Reload(old).NextRunAt; !got.Equal(at("01 13:00:00")) {
		t.Errorf("the other one is due %s; want 13:00", got)
	}
	before := len(k.History(turning))
	k.Tick(at("01 12:10:05"))
	if got := len(k.History(turning)); got <= before {
		t.Errorf("the loop has %d iterations; want another one", got)
	}
	k.Tick(at("01 13:00:00"))
	k.expectNoGaps()
	for _, a := range []*db.Automation{old, created} {
		seen := map[time.Time]bool{}
		for _, e := range k.History(a) {
			if seen[e.ScheduledFor.UTC()] {
				t.Errorf("%s has two rows", e.ScheduledFor.UTC())
			}
			seen[e.ScheduledFor.UTC()] = true
		}
	}
}

func TestDeletingAnAutomationCancelsTheSessionOfItsRunAtWork(t *testing.T) {
	k := setup(t)
	a := k.Make(nil)
	run, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
	check(t, err)
	atWork := k.AtWork()
	check(t, k.Definitions().Delete(t.Context(), k.Jonas, a.ID))
	turns, err := db.TurnsOf(t.Context(), k.DB, run.Session.ID)
	check(t, err)
	// The worker ends the message before it ends the work.
	check(t, db.FinishTurn(t.Context(), k.DB, lease(atWork[0]), turns[0].ID, db.Canceled, "canceled", "", k.Now()))
	check(t, k.Runs().Finish(t.Context(), lease(atWork[0]),
		automation.Outcome{Status: db.Canceled, Reason: "canceled", TurnBegun: true}))
	if got := k.SessionAgain(run.Session.ID).Status; got != db.SessionCanceled {
		t.Errorf("the session is %s; want canceled", got)
	}
}
