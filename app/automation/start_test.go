package automation_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/prompt"
	"carillon/db"
)

func TestARunIsQueuedWithItsSessionAndPromptInOneTransaction(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { in.Prompt = "Audit {{service}} for {{ level }}." })
	run, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, map[string]string{"service": "payments"})
	check(t, err)
	if run.Execution.Status != db.Queued || run.Session.Status != db.SessionQueued {
		t.Errorf("the execution is %s and its session %s; want both queued", run.Execution.Status, run.Session.Status)
	}
	turns, err := db.TurnsOf(t.Context(), k.DB, run.Session.ID)
	check(t, err)
	if got, want := turns[0].Prompt, "Audit payments for {{ level }}."; len(turns) != 1 || got != want {
		t.Errorf("the agent gets %q; want %q: what nobody supplied stays as written", got, want)
	}
	if got := strings.Join(run.Unresolved, " "); got != "level" {
		t.Errorf("unresolved is %q; want level", got)
	}
}

func TestAValueIsNeverExpandedAgain(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { in.Prompt = "{{a}} {{b}}" })
	run, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, map[string]string{"a": "{{b}}", "b": "two"})
	check(t, err)
	turns, err := db.TurnsOf(t.Context(), k.DB, run.Session.ID)
	check(t, err)
	if got, want := turns[0].Prompt, "{{b}} two"; got != want {
		t.Errorf("the prompt is %q; want %q", got, want)
	}
}

func TestAScriptGetsValuesAsVariablesAndStaysAsWritten(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { in.Provider, in.Prompt = "shell", `echo "{{pull.title}}"` })
	run, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, map[string]string{"pull": `{"title":"$(rm -rf .)"}`})
	check(t, err)
	turns, err := db.TurnsOf(t.Context(), k.DB, run.Session.ID)
	check(t, err)
	if got := turns[0].Prompt; got != `echo "{{pull.title}}"` {
		t.Errorf("the script is %q; want it as written", got)
	}
	if got := run.Execution.Parameters["pull.title"]; got != "$(rm -rf .)" {
		t.Errorf("the value is %q; want it as given", got)
	}
}

func TestOneRunIsInFlightAtATime(t *testing.T) {
	k := setup(t)
	a := k.Make(nil)
	first, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
	check(t, err)
	_, err = k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
	var busy *automation.Busy
	if !errors.As(err, &busy) || busy.Session != first.Session.ID || busy.Execution != first.Execution.ID ||
		busy.Automation != a.Name {
		t.Errorf("got %v; want *Busy with the run in the way", err)
	}
	k.EndRuns(success)
	if _, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil); err != nil {
		t.Errorf("after the run has ended: %v", err)
	}
}

func TestTheGuardHoldsAgainstManyAtOnce(t *testing.T) {
	k := setup(t)
	a := k.Make(nil)
	var started, refused int
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			_, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
			var busy *automation.Busy
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				started++
			case errors.As(err, &busy):
				refused++
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if started != 1 || refused != 39 {
		t.Errorf("%d started and %d were refused; want 1 and 39", started, refused)
	}
}

func TestASessionLeftOpenIsNotInFlight(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { in.AutoComplete = false })
	_, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
	check(t, err)
	k.EndRuns(success)
	if _, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil); err != nil {
		t.Errorf("with the last session open: %v", err)
	}
}

func TestWhoOwnsASession(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("* * * * *"))
	run, err := k.Runs().RunNow(t.Context(), k.Mira, a.ID, nil)
	check(t, err)
	if run.Session.OwnerID != k.Mira.ID || run.Execution.UserID != k.Mira.ID || run.Execution.Source != db.ByHand {
		t.Error("a Run Now belongs to the person who clicked, and its row says so")
	}
	k.EndRuns(success)
	k.Tick(a.NextRunAt)
	e := k.History(a)[1]
	if s := k.SessionAgain(e.SessionID); s.OwnerID != k.Jonas.ID || e.Source != db.BySchedule {
		t.Error("a scheduled run belongs to the automation's creator")
	}
}

func TestASnapshotKeepsWhatARunRanWith(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { in.Model = "small" })
	_, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
	check(t, err)
	in := k.Input()
	in.Model, in.Prompt, in.Version = "large", "Something else.", a.Version
	_, _, err = k.Definitions().Update(t.Context(), k.Jonas, a.ID, in)
	check(t, err)
	if sn := k.History(a)[0].Snapshot; sn.Model != "small" || sn.Prompt != "Look around." {
		t.Errorf("the snapshot is %+v; want what it was", sn)
	}
}

func TestWhatCannotRunIsARecordedFailureThatSaysWhy(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(k *kit, a *db.Automation)
		want   string
	}{
		"workspace removed": {func(k *kit, _ *db.Automation) {
			check(k.T, k.Workspaces.Remove(k.T.Context(), k.Mira, k.Scratch.ID))
		}, "the workspace Scratch was removed"},
		"creator deactivated": {func(k *kit, _ *db.Automation) {
			k.Exec("UPDATE users SET deactivated_at = now() WHERE id = ?", k.Jonas.ID)
		}, "has no active account"},
		"creator not a member": {func(k *kit, _ *db.Automation) {
			check(k.T, k.Workspaces.RemoveMember(k.T.Context(), k.Mira, k.Scratch.ID, k.Jonas.ID))
		}, "not a member of the workspace"},
		"creator without the permission": {func(k *kit, _ *db.Automation) {
			k.Exec("DELETE FROM user_roles WHERE user_id = ?", k.Jonas.ID)
		}, "may no longer have automations"},
		"provider gone": {func(k *kit, a *db.Automation) {
			k.Exec("UPDATE automations SET provider = 'gone' WHERE id = ?", a.ID)
		}, "the provider gone is not available"},
		"bot removed": {func(k *kit, a *db.Automation) {
			k.Exec("UPDATE automations SET session_type = 'bot', only_unchanged = false WHERE id = ?", a.ID)
		}, "the bot of this automation was removed"},
		"workflow removed": {func(k *kit, a *db.Automation) {
			k.Exec("UPDATE automations SET execution_type = 'workflow' WHERE id = ?", a.ID)
		}, "the workflow of this automation was removed"},
	} {
		t.Run(name, func(t *testing.T) {
			k := setup(t)
			a := k.Make(nil)
			tt.change(k, a)
			_, err := k.Runs().Start(t.Context(), a.ID, automation.Trigger{Source: db.ByHand, UserID: k.Mira.ID})
			var unable *automation.Unable
			if !errors.As(err, &unable) || !strings.Contains(unable.Reason, tt.want) {
				t.Fatalf("got %v; want *Unable because %s", err, tt.want)
			}
			list := k.History(a)
			if len(list) != 1 || list[0].ID != unable.Execution || list[0].Status != db.Failed ||
				!strings.Contains(list[0].Reason, tt.want) {
				t.Errorf("history is %+v; want one failed row with the reason", list)
			}
		})
	}
}

func TestAPromptThatGrowsTooLargeIsRefused(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { in.Prompt = "{{x}}" })
	_, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID,
		map[string]string{"x": strings.Repeat("y", prompt.MaxBytes+1)})
	wantErr(t, err, automation.ErrTooLarge)
	k.ExpectStatuses(a, "")
}

func TestRunNowNeedsThePermissionToManage(t *testing.T) {
	k := setup(t)
	a := k.Make(nil)
	other := k.Person("Olga", account.RoleMember)
	_, err := k.Runs().RunNow(t.Context(), other, a.ID, nil)
	wantErr(t, err, fault.ErrNotFound) // a member sees only their own
	viewer := k.Person("Vera", account.RoleMember)
	k.Exec("WITH r AS (INSERT INTO roles (id, name, permissions, created_at) VALUES (gen_random_uuid(), 'Viewer', "+
		"'{automations.view_all}', now()) RETURNING id) UPDATE user_roles SET role_id = r.id FROM r WHERE user_id = ?",
		viewer.ID)
	_, err = k.Runs().RunNow(t.Context(), k.Actor(viewer.ID), a.ID, nil)
	wantErr(t, err, fault.ErrForbidden) // who sees it and may not change it is told so
	manager := k.Person("Max", account.RoleManager)
	if _, err := k.Runs().RunNow(t.Context(), manager, a.ID, nil); err != nil {
		t.Errorf("a holder of automations.manage_all: %v", err)
	}
}

func TestRunNowOfADisabledAutomationLeavesItDisabled(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("0 2 * * *"))
	check(t, k.Definitions().SetEnabled(t.Context(), k.Jonas, a.ID, false))
	_, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
	check(t, err)
	k.EndRuns(success)
	if b := k.Reload(a); b.Enabled || !b.NextRunAt.IsZero() {
		t.Errorf("it is enabled=%t with next run %s; want it as it was", b.Enabled, b.NextRunAt)
	}
}

func TestACallIsNeverToldOfARunThatEndedMeanwhile(t *testing.T) {
	k := setup(t)
	a := k.Make(nil)
	// As the guard saw it; now it has ended.
	seen := &db.Startable{Automation: *a, InFlight: 1}
	if err := automation.FindBusy(t.Context(), k.DB, seen); !errors.Is(err, automation.ErrAgain) {
		t.Errorf("the guard says %v; want to look again", err)
	}
	var callers, ender sync.WaitGroup
	done := make(chan struct{})
	ender.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				_, err := k.DB.NewRaw(
					"UPDATE executions SET status = 'succeeded', finished_at = now() WHERE status = 'queued'").
					Exec(t.Context())
				check(t, err)
			}
		}
	})
	for range 4 {
		callers.Go(func() {
			for range 25 {
				_, err := k.Runs().Start(t.Context(), a.ID, automation.Trigger{Source: db.ByWebhook})
				var busy *automation.Busy
				if errors.As(err, &busy) && (busy.Execution == uuid.Nil || busy.Session == uuid.Nil) {
					t.Errorf("a caller is told of a run without ids: %+v", busy)
				} else if err != nil && busy == nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	close(done)
	ender.Wait()
}
