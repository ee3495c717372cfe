package automation_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/app/account"
	"carillon/app/apptest"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/spec"
	"carillon/db"
)

func TestANewTimeArmsAOneTimeThatIsOver(t *testing.T) {
	k := setup(t)
	a := k.Make(oneTime("2026-06-02T09:00"))
	k.Tick(at("02 07:00:00"))
	k.EndRuns(failure)
	if a = k.Reload(a); a.Enabled {
		t.Fatal("it is enabled though its single run failed")
	}
	save := func(when string) {
		t.Helper()
		in := k.Input()
		oneTime(when)(&in)
		in.Name, in.Version = "Audit again", a.Version
		_, _, err := k.Definitions().Update(t.Context(), k.Jonas, a.ID, in)
		check(t, err)
		a = k.Reload(a)
	}
	save("2026-06-02T09:00")
	if a.Enabled || a.Name != "Audit again" {
		t.Errorf("renamed, it is enabled %v and called %s; want its new name and nothing else", a.Enabled, a.Name)
	}
	save("2026-06-03T09:00")
	if !a.Enabled || a.FailureStreak != 0 || a.DisabledReason != "" {
		t.Errorf("enabled %v, %d failures, “%s”; want it armed anew", a.Enabled, a.FailureStreak, a.DisabledReason)
	}
	k.Tick(at("03 07:00:00"))
	k.ExpectStatuses(a, "failed queued")
}

func TestANewTimeLeavesAOneTimeOffThatAPersonSwitchedOff(t *testing.T) {
	k := setup(t)
	a := k.Make(oneTime("2026-06-02T09:00"))
	check(t, k.Definitions().SetEnabled(t.Context(), k.Jonas, a.ID, false))
	in := k.Input()
	oneTime("2026-06-03T09:00")(&in)
	in.Version = k.Reload(a).Version
	_, _, err := k.Definitions().Update(t.Context(), k.Jonas, a.ID, in)
	check(t, err)
	if k.Reload(a).Enabled {
		t.Error("a new time switched it on")
	}
}

func TestAShortTimeoutIsNotTakenForNone(t *testing.T) {
	k := setup(t)
	usual := spec.New[spec.Automation]().TimeoutMinutes
	for minutes, seconds := range map[float64]int{0.001: 1, 0: 0, 1.5: 90, usual: 6 * 3600} {
		a := k.Make(func(in *automation.Input) { in.TimeoutMinutes = minutes })
		if a.TimeoutSeconds != seconds {
			t.Errorf("%g minutes are %d seconds; want %d", minutes, a.TimeoutSeconds, seconds)
		}
	}
}

// A rule that asks the database beside its transaction waits for a second connection, and many at once for each other.
func TestSavingAsksForNoSecondConnection(t *testing.T) {
	k := setup(t)
	a := k.Make(loop)
	k.DB.SetMaxOpenConns(1)
	ctx, cancel := context.WithTimeout(t.Context(), apptest.Longest)
	defer cancel()
	in := k.Input()
	_, _, err := k.Definitions().Create(ctx, k.Jonas, in)
	check(t, err)
	in.Version = a.Version
	_, _, err = k.Definitions().Update(ctx, k.Jonas, a.ID, in)
	check(t, err)
	run, err := k.Runs().RunNow(ctx, k.Jonas, a.ID, nil)
	check(t, err)
	check(t, k.Sessions().Stop(ctx, k.Jonas, run.Session.ID))
	check(t, k.Sessions().Reply(ctx, k.Jonas, run.Session.ID, "Go on."))
	check(t, k.Definitions().SetEnabled(ctx, k.Jonas, a.ID, false))
	check(t, k.Definitions().Delete(ctx, k.Jonas, a.ID))
}

func TestDeletingAnAutomationWhileItsRunsEndNeitherFails(t *testing.T) {
	k := setup(t)
	for range 10 {
		a := k.Make(nil)
		run, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
		check(t, err)
		s := k.Claim()[0]
		var all sync.WaitGroup
		each := func(what string, do func() error) {
			all.Go(func() {
				if err := do(); err != nil && !errors.Is(err, db.ErrLeaseLost) && !errors.Is(err, fault.ErrNotFound) {
					t.Errorf("%s: %v", what, err)
				}
			})
		}
		each("delete", func() error { return k.Definitions().Delete(t.Context(), k.Jonas, a.ID) })
		each("finish", func() error {
			return k.Runs().Finish(t.Context(), lease(s), automation.Outcome{Status: db.Succeeded})
		})
		each("stop", func() error { return k.Sessions().Stop(t.Context(), k.Jonas, run.Session.ID) })
		each("run", func() error {
			_, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
			var busy *automation.Busy
			if errors.As(err, &busy) {
				return nil
			}
			return err
		})
		all.Wait()
		if _, err := db.AutomationByID(t.Context(), k.DB, a.ID); !db.IsNotFound(err) {
			t.Errorf("the automation is still there: %v", err)
		}
		for _, s := range k.Claim() { // what the last of the four began
			check(t, k.Runs().Finish(t.Context(), lease(s), automation.Outcome{Status: db.Canceled}))
		}
	}
}

func TestOneAutomationThatCannotStartDoesNotHoldUpTheOthers(t *testing.T) {
	k := setup(t)
	bad := k.Make(recurring("0 13 * * *"))
	good := k.Make(recurring("0 13 * * *"))
	// What no column takes stands for any fault of ours.
	_, err := k.DB.ExecContext(t.Context(), `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN IF NEW.automation_id = '`+bad.ID.String()+`' AND NEW.status = 'queued' THEN RAISE EXCEPTION 'refused'; END IF; RETURN NEW; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON executions FOR EACH ROW EXECUTE FUNCTION refuse()`)
	check(t, err)
	k.Tick(at("01 13:00:00"))
	k.ExpectStatuses(good, "queued")
	k.ExpectStatuses(bad, "")
	if next := k.Reload(bad).NextRunAt; !next.Equal(at("01 13:00:00")) {
		t.Errorf("it is due at %s; want its due time, until that is answered", next)
	}
	k.Tick(at("01 15:00:00"))
	k.ExpectStatuses(bad, "missed")
	if e := k.History(bad)[0]; !strings.Contains(e.Reason, "Carillon could not start it: ") ||
		!strings.Contains(e.Reason, "refused") {
		t.Errorf("it was missed because %q; want the fault", e.Reason)
	}
}

func TestOneLostSessionThatCannotEndDoesNotHoldUpTheOthers(t *testing.T) {
	k := setup(t)
	bad, good := k.Make(nil), k.Make(nil)
	for _, a := range []*db.Automation{bad, good} {
		_, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
		check(t, err)
	}
	k.AtWork()
	_, err := k.DB.ExecContext(t.Context(), `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN IF NEW.automation_id = '`+bad.ID.String()+`' THEN RAISE EXCEPTION 'refused'; END IF; RETURN NEW; END $$;
		CREATE TRIGGER refuse BEFORE UPDATE ON executions FOR EACH ROW EXECUTE FUNCTION refuse()`)
	check(t, err)
	k.Clock.Add(2 * time.Minute)
	n, err := k.Runs().Interrupt(t.Context(), func(string) bool { return false })
	check(t, err)
	if n != 1 {
		t.Errorf("%d sessions ended; want 1", n)
	}
	k.ExpectStatuses(good, "failed")
	k.ExpectStatuses(bad, "running")
}

func TestDeletingNeedsThePermissionToManage(t *testing.T) {
	k := setup(t)
	a := k.Make(nil)
	other := k.Person("Lena", account.RoleMember)
	if err := k.Definitions().Delete(t.Context(), other, a.ID); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("got %v; want it hidden", err)
	}
}
