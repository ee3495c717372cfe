package automation_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/db"
)

func TestALoopThatWaitsForItsBudgetIsNotWokenByARefusedRunNow(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { loop(in); limited("day", spec.Limits{Turns: 1})(in) })
	k.Tick(begun)
	k.EndRuns(success)
	k.Exec("UPDATE executions SET turns = 1, started_at = created_at")
	k.Tick(begun.Add(time.Minute))
	k.Exec("UPDATE automations SET provider = 'gone'")
	if _, err := k.Runs().RunNow(t.Context(), k.Mira, a.ID, nil); err == nil {
		t.Fatal("it ran by hand without its provider")
	}
	k.Exec("UPDATE automations SET provider = 'agent'")
	want := k.Reload(a).NextRunAt
	check(t, k.Schedules().CorrectFutureTimes(t.Context()))
	if got := k.Reload(a).NextRunAt; !got.Equal(want) {
		t.Errorf("it is due at %s; want %s, when its budget is full again", got, want)
	}
}

// TestARunThatEndsWhileTheSchedulerLooksLeavesItsDueTimeToTheNextLook: a run may be in flight when what is due is
// selected, and over when it is looked for to be named.
func TestARunThatEndsWhileTheSchedulerLooksLeavesItsDueTimeToTheNextLook(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("0 * * * *"))
	k.Tick(at("01 13:00:00"))
	k.Clock.Set(at("01 14:00:00"))
	check(t, k.DB.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		list, err := db.ClaimDue(ctx, tx, k.Now(), k.Now().Add(-automation.Grace), automation.DueBatch)
		check(t, err)
		if len(list) != 1 || list[0].InFlight != 1 {
			t.Fatalf("%d are due; want one with a run in flight", len(list))
		}
		_, err = tx.NewRaw("UPDATE executions SET status = 'succeeded', finished_at = ?", k.Now()).Exec(ctx)
		check(t, err)
		return k.Schedules().StartList(ctx, tx, list)
	}))
	if next := k.Reload(a).NextRunAt; !next.Equal(at("01 14:00:00")) {
		t.Errorf("it is due at %s; want 14:00, which has no row yet", next)
	}
	k.Tick(at("01 14:00:01"))
	k.ExpectStatuses(a, "succeeded queued")
	k.expectNoGaps()
}

// TestAnEditOfAOneTimeWithoutANewTimeDoesNotRunItAgain is about one whose run is in flight.
func TestAnEditOfAOneTimeWithoutANewTimeDoesNotRunItAgain(t *testing.T) {
	for name, late := range map[string]time.Duration{"within its grace": time.Minute, "later": time.Hour} {
		t.Run(name, func(t *testing.T) {
			k := setup(t)
			a := k.Make(oneTime("2026-06-02T09:00"))
			k.Tick(at("02 07:00:00"))
			k.Clock.Set(at("02 07:00:00").Add(late))
			a = k.update(a, func(in *automation.Input) { in.Name = "Renamed"; oneTime("2026-06-02T09:00")(in) })
			a = k.update(a, func(in *automation.Input) {
				in.Trigger, in.RunAt, in.TimeZone = "one_time", "2026-06-02T07:00:00Z", "America/New_York"
			})
			if !a.NextRunAt.IsZero() || a.Name != "Audit" || a.TimeZone != "America/New_York" {
				t.Errorf("it is due at %s, called %s, in %s; want its name and zone changed and nothing else",
					a.NextRunAt, a.Name, a.TimeZone)
			}
			k.EndRuns(success)
			k.Tick(k.Now().Add(time.Minute))
			k.ExpectStatuses(a, "succeeded")
			if k.Reload(a).Enabled {
				t.Error("it is enabled after its run; want off")
			}
		})
	}
}

func TestAStreakOfSkipsForABudgetEndsWhereTheScheduleBeginsAnew(t *testing.T) {
	k := setup(t)
	byMonth := limited("month", spec.Limits{Turns: 1})
	a := k.Make(func(in *automation.Input) { recurring("0 * * * *")(in); byMonth(in) })
	k.Tick(at("01 13:00:00"))
	k.EndRuns(success)
	k.Exec("UPDATE executions SET turns = 1, started_at = created_at")
	k.Tick(at("01 14:00:00"))
	k.Tick(at("01 15:00:00"))
	k.update(a, func(in *automation.Input) { loop(in); byMonth(in) })
	k.Tick(at("01 15:30:00"))
	k.ExpectStatuses(a, "succeeded skipped×2 skipped")
	if list := k.History(a); list[len(list)-1].Snapshot.Trigger != db.Loop {
		t.Errorf("the row of the loop is one of a %s", list[len(list)-1].Snapshot.Trigger)
	}
}

func TestACatchUpWhoseGateIsClosedCountsAllDueTimesThatItStandsFor(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { recurring("0 * * * *")(in); in.CatchUp = true })
	k.Tick(at("01 18:30:00"))
	k.EndRuns(automation.Outcome{Status: db.Skipped, Reason: "its gate did not let it begin", Neutral: true})
	k.ExpectStatuses(a, "skipped×6")
}

// TestAClockThatWasAheadForAMomentMakesNoAbsenceOfTheTimeToCome: what is looked for after the clock was set right again
// passes while Carillon is there.
func TestAClockThatWasAheadForAMomentMakesNoAbsenceOfTheTimeToCome(t *testing.T) {
	k := setup(t)
	k.Tick(at("01 12:00:00"))
	k.Tick(at("01 15:00:00"))
	k.Clock.Set(at("01 12:01:00"))
	a := k.Make(recurring("*/10 * * * *"))
	for minute := range 21 {
		k.Clock.Set(at("01 12:01:00").Add(time.Duration(minute) * time.Minute))
		k.LookedAt(k.Now().Add(-time.Second))
		k.Tick(k.Now())
	}
	k.ExpectStatuses(a, "queued skipped")
	if next := k.Reload(a).NextRunAt; !next.Equal(at("01 12:30:00")) {
		t.Errorf("it is due at %s; want 12:30", next)
	}
}

func TestWhatAClockThatWasAheadCalledMissedIsRunWhenItsTimeComes(t *testing.T) {
	k := setup(t)
	k.Clock.Set(at("01 12:00:00"))
	a := k.Make(recurring("*/5 * * * *"))
	k.Tick(at("01 12:00:01"))
	k.Tick(at("01 15:00:00"))
	k.EndRuns(success)
	k.Clock.Set(at("01 12:01:00"))
	for minute := range 12 {
		k.Clock.Set(at("01 12:01:00").Add(time.Duration(minute) * time.Minute))
		k.Tick(k.Now())
		k.EndRuns(success)
		_, _, err := k.Schedules().FindGaps(t.Context(), uuid.Nil)
		check(t, err)
	}
	if list := k.History(a); !list[len(list)-1].ScheduledFor.Equal(at("01 12:10:00")) {
		t.Errorf("the newest row is for %s; want one for 12:10\n%s", list[len(list)-1].ScheduledFor, k.Statuses(a))
	}
}
