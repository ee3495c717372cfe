package automation_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/aside"
	"carillon/app/automation"
	"carillon/app/inbox"
	"carillon/app/spec"
	"carillon/db"
)

// TestAOneTimeSwitchedOnAgainWithinItsGraceRunsOnceMore is about each way in which a One-Time is over, within its
// grace.
func TestAOneTimeSwitchedOnAgainWithinItsGraceRunsOnceMore(t *testing.T) {
	for name, over := range map[string]struct {
		before, after func(k *kit, a *db.Automation)
		want, then    string
	}{
		"it has run": {want: "succeeded queued", then: "succeeded succeeded"},
		"it could not start": {
			before: func(k *kit, a *db.Automation) {
				k.Exec("UPDATE automations SET provider = 'gone' WHERE id = ?", a.ID)
			},
			after: func(k *kit, a *db.Automation) {
				k.Exec("UPDATE automations SET provider = 'agent' WHERE id = ?", a.ID)
			},
			want: "failed queued", then: "failed succeeded",
		},
		"it still cannot start": {
			before: func(k *kit, a *db.Automation) {
				k.Exec("UPDATE automations SET provider = 'gone' WHERE id = ?", a.ID)
			},
			want: "failed failed", then: "failed failed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := setup(t)
			a, other := k.Make(oneTime("2026-06-02T09:00")), k.Make(recurring("* * * * *"))
			if over.before != nil {
				over.before(k, a)
			}
			k.Tick(at("02 07:00:00"))
			k.EndRuns(success)
			if k.Reload(a).Enabled {
				t.Fatal("it is enabled after its run; want off")
			}
			if over.after != nil {
				over.after(k, a)
			}
			k.Clock.Set(at("02 07:02:30"))
			check(t, k.Definitions().SetEnabled(t.Context(), k.Jonas, a.ID, true))
			k.Tick(at("02 07:02:30"))
			k.ExpectStatuses(a, over.want)
			k.EndRuns(success)
			k.Tick(at("02 07:03:00"))
			k.EndRuns(success)
			k.ExpectStatuses(a, over.then)
			if b := k.Reload(a); b.Enabled {
				t.Errorf("after its second run it is enabled, and due %s; want off", b.NextRunAt)
			}
			before := len(k.History(other))
			k.Tick(at("02 07:06:00"))
			if got := len(k.History(other)); got <= before {
				t.Errorf("another automation has %d rows; want more: it is due each minute", got)
			}
		})
	}
}

func TestAOneTimeSwitchedOffAndOnDuringItsRunStopsNobodyAndHasARowOfItsOwn(t *testing.T) {
	k := setup(t)
	a, other := k.Make(oneTime("2026-06-02T09:00")), k.Make(recurring("0 * * * *"))
	k.Tick(at("02 07:00:00"))
	check(t, k.Definitions().SetEnabled(t.Context(), k.Jonas, a.ID, false))
	k.Clock.Set(at("02 07:01:00"))
	check(t, k.Definitions().SetEnabled(t.Context(), k.Jonas, a.ID, true))
	for i := range 40 { // its run takes ten minutes, and the scheduler looks each 15 s
		k.Tick(at("02 07:01:00").Add(time.Duration(i) * 15 * time.Second))
	}
	k.ExpectStatuses(a, "queued missed")
	if e := k.History(a)[1]; !e.ScheduledFor.Equal(at("02 07:01:00")) ||
		e.Reason != "another run of it was in flight at its time" {
		t.Errorf("the second row is for %s because %q; want one for the time at which it was switched on",
			e.ScheduledFor, e.Reason)
	}
	k.EndRuns(success)
	before := len(k.History(other))
	k.Tick(at("02 08:00:00"))
	if got := len(k.History(other)); got != before+1 {
		t.Errorf("another automation has %d rows; want %d", got, before+1)
	}
}

func TestAOneTimeWithAUsedUpBudgetThatIsSwitchedOnAgainStopsNobody(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) {
		oneTime("2026-06-02T09:00")(in)
		in.Budget = spec.Budget{Day: spec.Limits{Turns: 1}}
	})
	other := k.Make(recurring("* * * * *"))
	_, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
	check(t, err)
	k.Clock.Set(at("02 06:30:00"))
	k.Exec("UPDATE executions SET status = 'succeeded', created_at = ?0, started_at = ?0, finished_at = ?0, turns = 1",
		k.Now())
	k.Tick(at("02 07:00:00"))
	k.ExpectStatuses(a, "succeeded skipped")
	k.Clock.Set(at("02 07:02:00"))
	check(t, k.Definitions().SetEnabled(t.Context(), k.Jonas, a.ID, true))
	k.Tick(at("02 07:02:00"))
	k.ExpectStatuses(a, "succeeded skipped skipped")
	before := len(k.History(other))
	k.EndRuns(success)
	k.Tick(at("02 07:03:00"))
	if got := len(k.History(other)); got <= before {
		t.Errorf("another automation has %d rows; want more", got)
	}
}

func TestADueTimeThatIsAnsweredAlreadyIsNoFailureAgain(t *testing.T) {
	k := setup(t)
	a, other := k.Make(recurring("0 * * * *")), k.Make(recurring("0 * * * *"))
	k.Exec("UPDATE automations SET provider = 'gone' WHERE id = ?", a.ID)
	k.Tick(at("01 13:00:00"))
	k.Tick(at("01 14:00:00"))
	k.Exec("UPDATE automations SET next_run_at = ? WHERE id = ?", at("01 14:00:00"), a.ID) // the clock was set back
	k.EndRuns(success)
	k.Tick(at("01 14:00:00"))
	k.ExpectStatuses(a, "failed failed")
	if b := k.Reload(a); !b.Enabled || b.FailureStreak != 2 || !b.NextRunAt.Equal(at("01 15:00:00")) {
		t.Errorf("it is enabled=%t with %d failures, next %s; want enabled with 2, next 15:00", b.Enabled,
			b.FailureStreak, b.NextRunAt)
	}
	k.Tick(at("01 15:00:00"))
	if got := len(k.History(other)); got < 2 {
		t.Errorf("another automation has %d rows; want one for each of its due times", got)
	}
}

// refuse lets the database refuse whatever a condition does not hold for in a table.
func (k *kit) refuse(table, name, condition string) {
	k.T.Helper()
	k.Exec(fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s CHECK (%s) NOT VALID", table, name, condition))
}

func TestAnAutomationThatCannotBeDealtWithIsSetAsideAndTheOthersStart(t *testing.T) {
	k := setup(t)
	bad := k.Make(func(in *automation.Input) { recurring("0 * * * *")(in); in.Name = "Poison" })
	good := k.Make(recurring("0 * * * *"))
	k.refuse("executions", "poison", fmt.Sprintf("automation_id <> '%s'", bad.ID))
	k.Tick(at("01 13:00:00"))
	k.ExpectStatuses(good, "queued")
	k.ExpectStatuses(bad, "")
	k.ExpectInbox(k.Jonas, inbox.Server)
	k.ExpectInbox(k.Mira, inbox.Server)
	aside := func() []db.SetAside {
		list, err := db.AllSetAside(t.Context(), k.DB, 10)
		check(t, err)
		return list
	}
	list := aside()
	if len(list) != 1 || list[0].Key != bad.ID.String() || list[0].Times != 1 || !list[0].Until.After(k.Now()) ||
		list[0].Error == "" {
		t.Fatalf("set aside is %+v; want the bad one, once, until later, with its error", list)
	}
	first := list[0].Until.Sub(k.Now())
	k.EndRuns(success)
	k.Tick(list[0].Until)
	list = aside()
	if len(list) != 1 || list[0].Times != 2 || list[0].Until.Sub(k.Now()) <= first {
		t.Fatalf("then it is %+v; want it set aside twice, with a longer rest than %s", list, first)
	}
	k.ExpectInbox(k.Jonas, inbox.Server) // once
	k.ExpectInbox(k.Mira, inbox.Server)
	k.Exec("ALTER TABLE executions DROP CONSTRAINT poison")
	k.Tick(list[0].Until)
	k.ExpectStatuses(bad, "queued")
	if e := k.History(bad)[0]; !e.ScheduledFor.Equal(at("01 13:00:00")) {
		t.Errorf("it ran for %s; want its due time 13:00", e.ScheduledFor)
	}
	if list := aside(); len(list) != 0 {
		t.Errorf("then set aside is %+v; want nothing", list)
	}
	if b := k.Reload(bad); b.FailureStreak != 0 {
		t.Errorf("it counts %d failures; want none: the trouble was ours", b.FailureStreak)
	}
}

func TestAnAutomationThatIsSetAsideIsTriedAgainAtOnceWhenAPersonChangesIt(t *testing.T) {
	for name, change := range map[string]func(*kit, *db.Automation){
		"an edit": func(k *kit, a *db.Automation) {
			k.update(a, func(in *automation.Input) { loop(in); in.Name = "Good" })
		},
		"switched off and on": func(k *kit, a *db.Automation) {
			check(k.T, k.Definitions().SetEnabled(k.T.Context(), k.Jonas, a.ID, false))
			check(k.T, k.Definitions().SetEnabled(k.T.Context(), k.Jonas, a.ID, true))
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := setup(t)
			a := k.Make(func(in *automation.Input) { loop(in); in.Name = "Poison" })
			k.refuse("executions", "poison", "snapshot->>'name' <> 'Poison'")
			for range 8 { // until it rests for over half an hour
				k.Tick(k.Now())
				k.Exec("UPDATE set_aside SET until = ?", k.Now())
			}
			k.Tick(k.Now())
			k.ExpectStatuses(a, "")
			k.Exec("ALTER TABLE executions DROP CONSTRAINT poison")
			change(k, a)
			k.Tick(k.Now().Add(time.Second))
			k.ExpectStatuses(a, "queued")
		})
	}
}

func TestAnAutomationThatAnotherTransactionHoldsIsSetAsideAndTheOthersStart(t *testing.T) {
	k := setup(t)
	k.SetLockPatience(500 * time.Millisecond)
	held, good := k.Make(recurring("0 * * * *")), k.Make(recurring("0 * * * *"))
	tx, err := k.DB.BeginTx(t.Context(), nil) // of a process that has stopped in the middle
	check(t, err)
	_, err = k.Runs().StartIn(t.Context(), tx, held.ID, automation.Trigger{Source: db.ByHand, UserID: k.Jonas.ID})
	check(t, err)
	k.Tick(at("01 13:00:00"))
	k.ExpectStatuses(good, "queued")
	k.ExpectStatuses(held, "")
	check(t, tx.Rollback())
	k.Clock.Add(time.Minute)
	k.Tick(k.Now())
	k.ExpectStatuses(held, "queued")
	if e := k.History(held)[0]; !e.ScheduledFor.Equal(at("01 13:00:00")) {
		t.Errorf("it ran for %s; want its due time 13:00", e.ScheduledFor)
	}
}

func TestASessionThatCannotBeInterruptedKeepsNoOtherFromIt(t *testing.T) {
	k := setup(t)
	bad, good := k.Make(recurring("0 * * * *")), k.Make(recurring("0 * * * *"))
	k.Tick(at("01 13:00:00"))
	k.AtWork()
	k.Clock.Add(time.Minute + time.Second)
	k.refuse("executions", "poison", fmt.Sprintf("automation_id <> '%s' OR status <> 'failed'", bad.ID))
	n, err := k.Runs().Interrupt(t.Context(), func(string) bool { return false })
	check(t, err)
	if n != 1 {
		t.Errorf("%d were interrupted; want 1", n)
	}
	k.ExpectStatuses(good, "failed")
	k.ExpectStatuses(bad, "running")
	k.ExpectInbox(k.Mira, inbox.Server)
	k.Exec("ALTER TABLE executions DROP CONSTRAINT poison")
	if n, err = k.Runs().Interrupt(t.Context(), func(string) bool { return false }); n != 0 || err != nil {
		t.Errorf("at once %d are interrupted, %v; want none: it rests", n, err)
	}
	k.Clock.Add(time.Minute)
	if n, err = k.Runs().Interrupt(t.Context(), func(string) bool { return false }); n != 1 || err != nil {
		t.Errorf("after its rest %d are interrupted, %v; want 1", n, err)
	}
}

func TestALoopWhoseGateCannotBeToldOfKeepsNoOtherFromIt(t *testing.T) {
	k := setup(t)
	open := func(in *automation.Input) { loop(in); in.AutoComplete = false }
	bad, good := k.Make(open), k.Make(open)
	k.Tick(begun)
	k.EndRuns(success)
	k.Clock.Add(2 * time.Hour)
	k.refuse("executions", "poison", fmt.Sprintf("automation_id <> '%s' OR status <> 'skipped'", bad.ID))
	check(t, k.Schedules().WatchGates(t.Context()))
	k.ExpectStatuses(good, "succeeded skipped")
	k.ExpectStatuses(bad, "succeeded")
	k.ExpectInbox(k.Jonas, inbox.Skipped)
	k.ExpectInbox(k.Mira, inbox.Server)
}

func TestAScheduleThatCannotBeRepairedKeepsNoOtherFromIt(t *testing.T) {
	k := setup(t)
	bad, good := k.Make(recurring("0 * * * *")), k.Make(recurring("0 * * * *"))
	k.Exec("UPDATE automations SET next_run_at = NULL")
	k.refuse("automations", "poison", fmt.Sprintf("id <> '%s' OR next_run_at IS NULL", bad.ID))
	n, err := k.Schedules().Repair(t.Context())
	check(t, err)
	if n != 1 || k.Reload(good).NextRunAt.IsZero() {
		t.Errorf("%d were repaired; want the good one", n)
	}
}

func TestWhatIsSetAsideIsToldOnceForALoopAndNeverStopsForAPanic(t *testing.T) {
	k := setup(t)
	row := func(key string) aside.Row { return aside.Row{Key: key, About: "the copy " + key} }
	round := k.Round(db.TaskEmails)
	expectResting := func(want ...string) {
		t.Helper()
		for _, r := range []*aside.Round{round, k.Round(db.TaskEmails)} {
			for _, key := range []string{"one", "two", "three"} {
				if rests, err := r.Rests(t.Context(), key); rests != slices.Contains(want, key) || err != nil {
					t.Errorf("%s rests: %t, %v; want %v to rest", key, rests, err, want)
				}
			}
		}
	}
	for _, key := range []string{"one", "two", "one"} {
		check(t, round.Deal(t.Context(), row(key), func(context.Context) error { panic("no") }))
	}
	k.ExpectInbox(k.Mira, inbox.Server)
	expectResting("one", "two")
	check(t, round.Deal(t.Context(), row("one"), func(context.Context) error { return nil }))
	expectResting("two")
	// of another round
	check(t, k.Round(db.TaskEmails).Deal(t.Context(), row("two"), func(context.Context) error { return nil }))
	round = k.Round(db.TaskEmails)
	expectResting()
	ctx, cancel := context.WithCancel(t.Context())
	err := round.Deal(ctx, row("three"), func(ctx context.Context) error { cancel(); return ctx.Err() })
	wantErr(t, err, context.Canceled)
	expectResting()
}

func TestARowThatWasNotSetAsideCostsNoStatementBesideWhatIsDoneWithIt(t *testing.T) {
	k := setup(t)
	k.Exec("CREATE TABLE ended (at timestamptz DEFAULT now())")
	k.Exec("CREATE FUNCTION note_ended() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO ended DEFAULT " +
		"VALUES; RETURN NULL; END'")
	k.Exec("CREATE TRIGGER ended AFTER DELETE ON set_aside FOR EACH STATEMENT EXECUTE FUNCTION note_ended()")
	expect := func(want int) {
		t.Helper()
		var n int
		check(t, k.DB.NewRaw("SELECT count(*) FROM ended").Scan(t.Context(), &n))
		if n != want {
			t.Errorf("%d statements ended what is set aside; want %d", n, want)
		}
	}
	for range 3 {
		k.Make(recurring("0 * * * *"))
	}
	k.Tick(at("01 13:00:00"))
	k.AtWork()
	k.Clock.Add(time.Minute + time.Second)
	n, err := k.Runs().Interrupt(t.Context(), func(string) bool { return false })
	if n != 3 || err != nil {
		t.Fatalf("%d were interrupted, %v; want 3", n, err)
	}
	expect(0)
	bad := k.Make(recurring("0 * * * *"))
	k.Tick(at("01 14:00:00"))
	k.AtWork()
	k.Clock.Add(time.Minute + time.Second)
	k.refuse("executions", "poison", fmt.Sprintf("automation_id <> '%s' OR status <> 'failed'", bad.ID))
	if n, err = k.Runs().Interrupt(t.Context(), func(string) bool { return false }); n != 3 || err != nil {
		t.Fatalf("%d were interrupted beside the bad one, %v; want 3", n, err)
	}
	k.Exec("ALTER TABLE executions DROP CONSTRAINT poison")
	expect(0)
	k.Clock.Add(time.Minute)
	if n, err = k.Runs().Interrupt(t.Context(), func(string) bool { return false }); n != 1 || err != nil {
		t.Fatalf("%d were interrupted after the rest of the bad one, %v; want 1", n, err)
	}
	expect(1)
}

func TestWhatIsSetAsideIsToldAlsoWhereTheDatabaseWasAwayMeanwhile(t *testing.T) {
	k := setup(t)
	row := aside.Row{Key: "one", About: "the copy one"}
	refuse := func(context.Context) error { return errors.New("no") }
	k.Exec(`CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION USING ERRCODE = ''53100''; END'`)
	k.Exec("CREATE TRIGGER no_room BEFORE INSERT ON notifications EXECUTE FUNCTION no_room()")
	if err := k.Round(db.TaskEmails).Deal(t.Context(), row, refuse); !db.IsUnavailable(err) {
		t.Fatalf("got %v; want that the database is away", err)
	}
	k.Exec("DROP TRIGGER no_room ON notifications")
	check(t, k.Round(db.TaskEmails).Deal(t.Context(), row, refuse))
	k.ExpectInbox(k.Mira, inbox.Server)
}

func TestWhatIsSetAsideAfterAnOlderOneIsGoneIsToldAnew(t *testing.T) {
	k := setup(t)
	refuse := func(context.Context) error { return errors.New("no") }
	deal := func(key string) {
		t.Helper()
		check(t, k.Round(db.TaskEmails).Deal(t.Context(), aside.Row{Key: key, About: "the copy " + key}, refuse))
	}
	deal("one")
	k.Clock.Add(time.Minute)
	deal("two")
	k.ExpectInbox(k.Mira, inbox.Server)
	k.Clock.Add(24 * time.Hour) // nobody tries these again
	deal("three")
	k.ExpectInbox(k.Mira, inbox.Server, inbox.Server)
}

func TestWhatCannotBeToldOfIsSetAsideAllTheSame(t *testing.T) {
	k := setup(t)
	k.refuse("notifications", "poison", "kind <> 'server'")
	row := aside.Row{Key: "one", About: "the copy one"}
	check(t, k.Round(db.TaskEmails).Deal(t.Context(), row, func(context.Context) error { return errors.New("no") }))
	if rests, err := k.Round(db.TaskEmails).Rests(t.Context(), "one"); !rests || err != nil {
		t.Errorf("it rests: %t, %v", rests, err)
	}
}

// TestTheWatchdogFindsNoGapInADueTimeThatIsBeingAnswered lets the look for gaps meet the answer of a due time: the
// answer is committed between what the look reads and what it locks.
func TestTheWatchdogFindsNoGapInADueTimeThatIsBeingAnswered(t *testing.T) {
	k := setup(t)
	const n = 60
	for range n {
		k.Make(recurring("* * * * *"))
	}
	k.Exec("UPDATE automations SET catch_up = false")
	found := 0
	for i := range 15 {
		k.Clock.Set(at("01 12:01:00").Add(time.Duration(i) * time.Minute))
		answered := make(chan error, 1)
		go func() {
			for {
				started, err := k.Schedules().StartDue(t.Context())
				if err != nil || started == 0 {
					answered <- err
					return
				}
			}
		}()
		for done := false; !done; {
			select {
			case err := <-answered:
				check(t, err)
				done = true
			default:
			}
			gaps, _, err := k.Schedules().FindGaps(t.Context(), uuid.Nil)
			check(t, err)
			found += gaps
		}
		k.Exec("UPDATE executions SET status = 'succeeded', finished_at = ? WHERE status = 'queued'", k.Now())
	}
	if found != 0 {
		t.Errorf("found %d gaps; want none", found)
	}
}

func TestTheWatchdogLocksBeforeItJudges(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("0 * * * *"))
	k.Tick(at("01 13:00:00"))
	k.EndRuns(success)
	list, err := db.SchedulesToCheck(t.Context(), k.DB, k.Now(), uuid.Nil, 10)
	check(t, err)
	// a gap, as an older look would see it
	k.Exec("UPDATE automations SET next_run_at = ? WHERE id = ?", at("01 17:00:00"), a.ID)
	// and its answer, committed together
	k.Exec("UPDATE executions SET last_skipped_for = ?", at("01 16:00:00"))
	check(t, k.DB.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		closed, err := k.Schedules().CloseGap(ctx, tx, list[0].ID)
		if closed {
			t.Error("it takes an answered due time for a gap")
		}
		return err
	}))
}
