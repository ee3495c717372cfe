package automation

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/spec"
	"carillon/db"
)

func TestANewTimeArmsAOneTimeThatIsOver(t *testing.T) {
	k := setup(t)
	a := k.create(oneTime("2026-06-02T09:00"))
	k.tick(at("02 07:00:00"))
	k.finish(failure)
	if a = k.reload(a); a.Enabled {
		t.Fatal("it is enabled though its single run failed")
	}
	save := func(when string) {
		t.Helper()
		in := k.input()
		oneTime(when)(&in)
		in.Name, in.Version = "Audit again", a.Version
		_, _, err := k.Definitions().Update(t.Context(), k.jonas, a.ID, in)
		check(t, err)
		a = k.reload(a)
	}
	save("2026-06-02T09:00")
	if a.Enabled || a.Name != "Audit again" {
		t.Errorf("renamed, it is enabled %v and called %s; want its new name and nothing else", a.Enabled, a.Name)
	}
	save("2026-06-03T09:00")
	if !a.Enabled || a.FailureStreak != 0 || a.DisabledReason != "" {
		t.Errorf("enabled %v, %d failures, “%s”; want it armed anew", a.Enabled, a.FailureStreak, a.DisabledReason)
	}
	k.tick(at("03 07:00:00"))
	k.expectStatuses(a, "failed queued")
}

func TestANewTimeLeavesAOneTimeOffThatAPersonSwitchedOff(t *testing.T) {
	k := setup(t)
	a := k.create(oneTime("2026-06-02T09:00"))
	check(t, k.Definitions().SetEnabled(t.Context(), k.jonas, a.ID, false))
	in := k.input()
	oneTime("2026-06-03T09:00")(&in)
	in.Version = k.reload(a).Version
	_, _, err := k.Definitions().Update(t.Context(), k.jonas, a.ID, in)
	check(t, err)
	if k.reload(a).Enabled {
		t.Error("a new time switched it on")
	}
}

func TestAShortTimeoutIsNotTakenForNone(t *testing.T) {
	k := setup(t)
	usual := spec.New[spec.Automation]().TimeoutMinutes
	for minutes, seconds := range map[float64]int{0.001: 1, 0: 0, 1.5: 90, usual: 6 * 3600} {
		a := k.create(func(in *Input) { in.TimeoutMinutes = minutes })
		if a.TimeoutSeconds != seconds {
			t.Errorf("%g minutes are %d seconds; want %d", minutes, a.TimeoutSeconds, seconds)
		}
	}
}

// A rule that asks the database beside its transaction waits for a second connection, and many at once for each other.
func TestSavingAsksForNoSecondConnection(t *testing.T) {
	k := setup(t)
	a := k.create(loop)
	k.DB.SetMaxOpenConns(1)
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	in := k.input()
	_, _, err := k.Definitions().Create(ctx, k.jonas, in)
	check(t, err)
	in.Version = a.Version
	_, _, err = k.Definitions().Update(ctx, k.jonas, a.ID, in)
	check(t, err)
	run, err := k.Runs().RunNow(ctx, k.jonas, a.ID, nil)
	check(t, err)
	check(t, k.Sessions().Stop(ctx, k.jonas, run.Session.ID))
	check(t, k.Sessions().Reply(ctx, k.jonas, run.Session.ID, "Go on."))
	check(t, k.Definitions().SetEnabled(ctx, k.jonas, a.ID, false))
	check(t, k.Definitions().Delete(ctx, k.jonas, a.ID))
}

func TestDeletingAnAutomationWhileItsRunsEndNeitherFails(t *testing.T) {
	k := setup(t)
	for range 10 {
		a := k.create(nil)
		run, err := k.Runs().RunNow(t.Context(), k.jonas, a.ID, nil)
		check(t, err)
		s := k.claim()[0]
		var all sync.WaitGroup
		each := func(what string, do func() error) {
			all.Go(func() {
				if err := do(); err != nil && !errors.Is(err, db.ErrLeaseLost) && !errors.Is(err, fault.ErrNotFound) {
					t.Errorf("%s: %v", what, err)
				}
			})
		}
		each("delete", func() error { return k.Definitions().Delete(t.Context(), k.jonas, a.ID) })
		each("finish", func() error { return k.Runs().Finish(t.Context(), lease(s), Outcome{Status: db.Succeeded}) })
		each("stop", func() error { return k.Sessions().Stop(t.Context(), k.jonas, run.Session.ID) })
		each("run", func() error {
			_, err := k.Runs().RunNow(t.Context(), k.jonas, a.ID, nil)
			var busy *Busy
			if errors.As(err, &busy) {
				return nil
			}
			return err
		})
		all.Wait()
		if _, err := db.AutomationByID(t.Context(), k.DB, a.ID); !db.IsNotFound(err) {
			t.Errorf("the automation is still there: %v", err)
		}
		for _, s := range k.claim() { // what the last of the four began
			check(t, k.Runs().Finish(t.Context(), lease(s), Outcome{Status: db.Canceled}))
		}
	}
}

func TestOneAutomationThatCannotStartDoesNotHoldUpTheOthers(t *testing.T) {
	k := setup(t)
	bad := k.create(recurring("0 13 * * *"))
	good := k.create(recurring("0 13 * * *"))
	// What no column takes stands for any fault of ours.
	_, err := k.DB.ExecContext(t.Context(), `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN IF NEW.automation_id = '`+bad.ID.String()+`' AND NEW.status = 'queued' THEN RAISE EXCEPTION 'refused'; END IF; RETURN NEW; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON executions FOR EACH ROW EXECUTE FUNCTION refuse()`)
	check(t, err)
	k.tick(at("01 13:00:00"))
	k.expectStatuses(good, "queued")
	k.expectStatuses(bad, "")
	if next := k.reload(bad).NextRunAt; !next.Equal(at("01 13:00:00")) {
		t.Errorf("it is due at %s; want its due time, until that is answered", next)
	}
	k.tick(at("01 15:00:00"))
	k.expectStatuses(bad, "missed")
	if e := k.history(bad)[0]; !strings.Contains(e.Reason, "Carillon could not start it: ") ||
		!strings.Contains(e.Reason, "refused") {
		t.Errorf("it was missed because %q; want the fault", e.Reason)
	}
}

func TestOneLostSessionThatCannotEndDoesNotHoldUpTheOthers(t *testing.T) {
	k := setup(t)
	bad, good := k.create(nil), k.create(nil)
	for _, a := range []*db.Automation{bad, good} {
		_, err := k.Runs().RunNow(t.Context(), k.jonas, a.ID, nil)
		check(t, err)
	}
	k.atWork()
	_, err := k.DB.ExecContext(t.Context(), `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN IF NEW.automation_id = '`+bad.ID.String()+`' THEN RAISE EXCEPTION 'refused'; END IF; RETURN NEW; END $$;
		CREATE TRIGGER refuse BEFORE UPDATE ON executions FOR EACH ROW EXECUTE FUNCTION refuse()`)
	check(t, err)
	k.clock.Add(2 * time.Minute)
	n, err := k.Runs().Interrupt(t.Context(), func(string) bool { return false })
	check(t, err)
	if n != 1 {
		t.Errorf("%d sessions ended; want 1", n)
	}
	k.expectStatuses(good, "failed")
	k.expectStatuses(bad, "running")
}

func TestDeletingNeedsThePermissionToManage(t *testing.T) {
	k := setup(t)
	a := k.create(nil)
	other := k.person("Lena", account.RoleMember)
	if err := k.Definitions().Delete(t.Context(), other, a.ID); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("got %v; want it hidden", err)
	}
}
