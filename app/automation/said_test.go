package automation_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/payload"
	"carillon/app/prompt"
	"carillon/app/spec"
	"carillon/app/workflow"
	"carillon/app/workspace"
	"carillon/db"
)

// update changes an automation of Jonas's to what input with a change says.
func (k *kit) update(a *db.Automation, change func(*automation.Input)) *db.Automation {
	k.T.Helper()
	in := k.Input()
	change(&in)
	in.Version = k.Reload(a).Version
	_, _, err := k.Definitions().Update(k.T.Context(), k.Jonas, a.ID, in)
	check(k.T, err)
	return k.Reload(a)
}

func TestTheEndOfARunLeavesAOneTimeOnThatHasANewTime(t *testing.T) {
	for name, tt := range map[string]struct {
		begin func(*automation.Input)
		end   automation.Outcome
	}{
		"success": {oneTime("2026-06-01T14:01"), success}, "failure": {oneTime("2026-06-01T14:01"), failure},
		"recurring before, failure": {recurring("1 12 * * *"), failure}, "loop before, success": {loop, success},
	} {
		t.Run(name, func(t *testing.T) {
			k := setup(t)
			a := k.Make(tt.begin)
			k.Tick(at("01 12:01:00"))
			k.Claim()
			if a = k.update(a, oneTime("2026-06-03T09:00")); !a.Enabled {
				t.Fatal("a new time switched it off")
			}
			session := k.History(a)[0].SessionID
			s := k.SessionAgain(session)
			check(t, k.Runs().Finish(t.Context(), lease(*s), tt.end))
			if a = k.Reload(a); !a.Enabled || !a.NextRunAt.Equal(at("03 07:00:00")) {
				t.Fatalf("enabled %v (%s), due %s; want it to run at its new time", a.Enabled, a.DisabledReason,
					a.NextRunAt)
			}
			k.Tick(at("03 07:00:00"))
			if got := k.History(a); len(got) != 2 || got[1].Status != db.Queued {
				t.Errorf("its history is %s", k.Statuses(a))
			}
			k.EndRuns(success)
			if a = k.Reload(a); a.Enabled || a.DisabledKind != db.ByFinishing {
				t.Errorf("after its own run it is enabled %v", a.Enabled)
			}
		})
	}
}

func TestAnotherTriggerStartsTheCountOfFailuresAnew(t *testing.T) {
	k := setup(t)
	a := k.Make(nil)
	for range 3 {
		k.runNow(a)
		k.EndRuns(failure)
	}
	if a = k.update(a, recurring("0 13 * * *")); a.FailureStreak != 0 {
		t.Errorf("it begins with %d failures", a.FailureStreak)
	}
	k.Tick(at("01 13:00:00"))
	k.EndRuns(failure)
	if a = k.Reload(a); !a.Enabled || a.FailureStreak != 1 {
		t.Errorf("after its first failure: enabled %v, %d failures", a.Enabled, a.FailureStreak)
	}
	k.Tick(at("02 13:00:00"))
	k.Claim()
	a = k.update(a, loop)
	s := k.SessionAgain(k.History(a)[4].SessionID)
	check(t, k.Runs().Finish(t.Context(), lease(*s), failure)) // it began under the other one
	if a = k.Reload(a); a.FailureStreak != 0 {
		t.Errorf("the loop begins with %d failures", a.FailureStreak)
	}
}

func TestAnHTTPTriggersSessionStaysOpenWhateverIsStored(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { in.Trigger = "http" })
	_, err := k.DB.NewRaw("UPDATE automations SET auto_complete = true, only_unchanged = true WHERE id = ?", a.ID).
		Exec(t.Context())
	check(t, err)
	for _, by := range []automation.Trigger{{Source: db.ByWebhook, Fingerprint: "12345678"},
		{Source: db.ByHand, UserID: k.Jonas.ID}} {
		run, err := k.Runs().Start(t.Context(), a.ID, by)
		check(t, err)
		k.EndRuns(success)
		if got := k.SessionAgain(run.Session.ID).Status; got != db.SessionWaiting {
			t.Errorf("started %s, its session is %s; want it open", by.Source, got)
		}
	}
	manual := k.Make(nil) // with Auto-Complete, then another type
	k.update(manual, func(in *automation.Input) { in.Trigger = "http" })
	run := k.runNow(manual)
	k.EndRuns(success)
	if got := k.SessionAgain(run.Session.ID).Status; got != db.SessionWaiting {
		t.Errorf("after another type was chosen its session is %s", got)
	}
}

func TestWhatAProgramNamesAndHasNoEffectIsRefused(t *testing.T) {
	k := setup(t)
	save := func(change func(*automation.Input)) error {
		in := k.Input()
		change(&in)
		_, _, err := k.Definitions().Create(t.Context(), k.Jonas, in)
		return err
	}
	http := func(in *automation.Input) {
		in.Trigger, in.Named, in.OnlyUnchanged = "http", []string{"auto_complete", "only_unchanged"}, true
	}
	err := save(http)
	wantInvalid(t, err, "auto_complete")
	wantInvalid(t, err, "only_unchanged")
	// the hidden boxes of a form
	check(t, save(func(in *automation.Input) { http(in); in.Named = nil }))
	check(t, save(func(in *automation.Input) {
		http(in)
		in.AutoComplete, in.OnlyUnchanged = false, false
	})) // what holds anyway
	err = save(func(in *automation.Input) {
		in.Prompt, in.Parameters, in.Named = "Look at {{what}}.", map[string]string{"what": "a", "who": "b"},
			[]string{"parameters.what", "parameters.who"}
	})
	wantInvalid(t, err, "param.who")
	var bad fault.Invalid
	if errors.As(err, &bad); bad["param.what"] != "" {
		t.Error("what the prompt uses is refused, too")
	}
}

func TestParallelSessionsHaveNoCapUnlessOneIsGiven(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { in.Trigger, in.AllowParallel = "http", true })
	for range 12 {
		k.runNow(a)
	}
	capped := k.Make(func(in *automation.Input) { in.Trigger, in.AllowParallel, in.MaxParallel = "http", true, 10 })
	for range 10 {
		k.runNow(capped)
	}
	_, err := k.Runs().RunNow(t.Context(), k.Jonas, capped.ID, nil)
	var busy *automation.Busy
	if !errors.As(err, &busy) || !strings.Contains(busy.Error(), "10 of 10 at work") || busy.Session == uuid.Nil {
		t.Errorf("the eleventh: %v", err)
	}
}

func TestAParameterThatIsGivenEmptyIsEmpty(t *testing.T) {
	k := setup(t)
	wf, err := k.Workflows.Create(t.Context(), k.Mira,
		workflow.Input{Name: "W", Steps: []workflow.StepInput{{Kind: "message", Text: "On $base of $must."}},
			Parameters: []workflow.ParameterInput{
				{Alias: "base", Type: "text", Default: "main"}, {
					Alias: "must", Type: "text", Required: true, Default: "x",
				}, {Alias: "depth", Type: "number", Default: "2"},
			}})
	check(t, err)
	a := k.Make(func(in *automation.Input) {
		in.Trigger, in.ExecutionType, in.Workflow, in.Parameters = "http", "workflow", wf.ID.String(),
			map[string]string{"base": "release"}
		in.AllowParallel = true
	})
	owner, err := db.AutomationByID(t.Context(), k.DB, a.ID)
	check(t, err)
	call := func(body string) (*automation.Answer, db.Execution) {
		t.Helper()
		o := &db.TokenOwner{ID: owner.ID, Name: owner.Name}
		answer, err := k.Webhooks().Receive(t.Context(), o, "12345678", payload.Call{
			Method: "POST", ContentType: "application/json", Body: []byte(body), Headers: map[string]string{},
		})
		check(t, err)
		if answer.Execution == uuid.Nil {
			return answer, db.Execution{}
		}
		e, err := db.ExecutionByID(t.Context(), k.DB, answer.Execution)
		check(t, err)
		return answer, *e
	}
	for body, want := range map[string]string{
		`{}`: "release", `{"base":""}`: "", `{"base":null}`: "", `{"base":"dev"}`: "dev",
	} {
		if _, e := call(body); e.Parameters["base"] != want {
			t.Errorf("%s gives %q; want %q", body, e.Parameters["base"], want)
		}
	}
	if _, e := call(`{"depth":""}`); e.Parameters["depth"] != "" {
		t.Errorf("an empty number is %q", e.Parameters["depth"])
	}
	if answer, _ := call(`{"must":""}`); answer.Status != 400 ||
		!strings.Contains(answer.Error, "missing parameter: must") {
		t.Errorf("one that is required and empty is answered %d %s", answer.Status, answer.Error)
	}
}

func TestALoopThatWaitsForItsBudgetGoesOnWhenTheBudgetIsEdited(t *testing.T) {
	for name, raised := range map[string]spec.Budget{"none": {}, "higher": {Day: spec.Limits{Turns: 10}}} {
		t.Run(name, func(t *testing.T) {
			k := setup(t)
			limited := func(in *automation.Input) { loop(in); in.Budget = spec.Budget{Day: spec.Limits{Turns: 1}} }
			a := k.Make(limited)
			k.Tick(at("01 12:00:00"))
			s := k.Claim()[0]
			k.use(&automation.Run{Execution: k.History(a)[0], Session: s}, db.TurnUsage{})
			check(t, k.Runs().Finish(t.Context(), lease(s), success))
			k.Tick(at("01 12:00:06"))
			if a = k.Reload(a); !a.NextRunAt.Equal(at("02 00:00:00")) {
				t.Fatalf("it is due %s, with %s; want it to wait for the next day", a.NextRunAt, k.Statuses(a))
			}
			a = k.update(a, func(in *automation.Input) { limited(in); in.Name = "Renamed" })
			if !a.NextRunAt.Equal(at("02 00:00:00")) {
				t.Errorf("a new name woke it: %s", a.NextRunAt)
			}
			k.update(a, func(in *automation.Input) { loop(in); in.Budget = raised })
			k.Tick(at("01 12:00:10"))
			k.ExpectStatuses(a, "succeeded skipped queued")
		})
	}
}

func TestNothingLeftIsNotWithoutLimit(t *testing.T) {
	k := setup(t)
	free := k.spend(k.Make(nil), db.TurnUsage{})
	got, err := k.Budgets().Allowance(t.Context(), free.Execution.ID, false)
	check(t, err)
	if got.MostUSD != nil {
		t.Errorf("without a limit $%g are left", *got.MostUSD)
	}
	used := k.spend(k.Make(limited("run", spec.Limits{Money: 0.3})),
		db.TurnUsage{Counted: true, Priced: true, CostUSD: 0.1 + 0.2})
	got, err = k.Budgets().Allowance(t.Context(), used.Execution.ID, false)
	check(t, err)
	if got.MostUSD == nil || *got.MostUSD != 0 || got.Reason == "" {
		t.Errorf("of a limit that is used up %v are left, because %q", got.MostUSD, got.Reason)
	}
	in := k.Input()
	limited("run", spec.Limits{Money: 0.0000001})(&in)
	_, _, err = k.Definitions().Create(t.Context(), k.Jonas, in)
	wantInvalid(t, err, "budget_run_money")
}

func TestTheModelOfTheWorkspaceGoesWithItsProvider(t *testing.T) {
	k := setup(t)
	_, err := k.DB.NewRaw("UPDATE workspaces SET provider = 'agent', model = 'large' WHERE id = ?", k.Scratch.ID).
		Exec(t.Context())
	check(t, err)
	for _, tt := range []struct{ provider, model, want string }{{"", "", "large"}, {"", "small", "small"},
		{"agent", "", ""}} {
		a := k.Make(func(in *automation.Input) { in.Provider, in.Model = tt.provider, tt.model })
		if a.Provider != "agent" || a.Model != tt.want {
			t.Errorf("of %q and %q it has %s and %q; want %q", tt.provider, tt.model, a.Provider, a.Model, tt.want)
		}
	}
}

func TestMarksOfDirectionAreTakenOutOfAName(t *testing.T) {
	k := setup(t)
	if a := k.Make(func(in *automation.Input) {
		in.Name = "\u200fביקורת\u200f לילית\u200e"
	}); a.Name != "ביקורת לילית" {
		t.Errorf("it is called %q", a.Name)
	}
	in := k.Input()
	in.Name = "audit\u202egnp.exe"
	_, _, err := k.Definitions().Create(t.Context(), k.Jonas, in)
	wantInvalid(t, err, "name")
}

func TestAScheduleWithAStepBeyondItsFieldIsRefusedAndAStoredOneGoesOn(t *testing.T) {
	k := setup(t)
	in := k.Input()
	recurring("*/61 * * * *")(&in)
	_, _, err := k.Definitions().Create(t.Context(), k.Jonas, in)
	if got := wantInvalid(t, err, "cron"); got != "Minute: */61 steps beyond 59, so it would mean 0 alone; write 0." {
		t.Errorf("it is told %q", got)
	}
	a := k.Make(recurring("0 * * * *"))
	_, err = k.DB.NewRaw("UPDATE automations SET cron = '*/60 * * * *' WHERE id = ?", a.ID).Exec(t.Context())
	check(t, err)
	k.update(a, func(in *automation.Input) { recurring("*/60 * * * *")(in); in.Name = "Renamed" })
	k.Tick(begun.Add(time.Hour))
	k.ExpectStatuses(a, "queued")
}

func TestIdleSessionsAreClosedWhereTheirWorkspaceSaysSo(t *testing.T) {
	k := setup(t)
	held := k.Make(func(in *automation.Input) { loop(in); in.AutoComplete = false })
	k.Tick(begun)
	k.EndRuns(success)
	session := k.History(held)[0].SessionID
	closes := func(after time.Duration, want db.SessionStatus) {
		t.Helper()
		k.Clock.Set(begun.Add(after))
		check(t, k.Sessions().CloseIdle(t.Context()))
		if got := k.SessionAgain(session).Status; got != want {
			t.Errorf("after %s it is %s; want %s", after, got, want)
		}
	}
	const day = 24 * time.Hour
	closes(1000*day, db.SessionWaiting) // off by default
	k.Clock.Set(begun)
	d, err := k.Workspaces.Find(t.Context(), k.Mira, k.Scratch.ID)
	check(t, err)
	in := workspace.Input{
		Name: d.Name, DefaultBranch: d.DefaultBranch, Provider: d.Provider, Version: d.Version, IdleDays: "0",
	}
	wantInvalid(t, k.Workspaces.Update(t.Context(), k.Mira, k.Scratch.ID, in), "idle_days")
	in.IdleDays = "3"
	check(t, k.Workspaces.Update(t.Context(), k.Mira, k.Scratch.ID, in))
	closes(3*day, db.SessionWaiting)
	closes(3*day+time.Minute, db.SessionDone)
	if a := k.Reload(held); a.NextRunAt.IsZero() {
		t.Error("the loop that waited for it does not go on")
	}
	check(t, k.Sessions().Reopen(t.Context(), k.Jonas, session))
	closes(6*day, db.SessionWaiting) // somebody looks at it again
	closes(7*day, db.SessionDone)
}

func TestABulkRunGoesOnWhereOneCannotStart(t *testing.T) {
	k := setup(t)
	large, good := k.Make(nil), k.Make(nil)
	k.Exec("UPDATE automations SET prompt = repeat('x', ?) WHERE id = ?", prompt.MaxBytes+1, large.ID)
	lacking, _ := k.flow([]workflow.ParameterInput{{Alias: "what", Type: "text", Required: true}}, nil)
	got, err := k.Definitions().Bulk(t.Context(), k.Jonas, automation.BulkRun,
		[]uuid.UUID{large.ID, lacking.ID, good.ID})
	check(t, err)
	if want := "Started 1, skipped 2: 2 that cannot run."; got.String() != want {
		t.Errorf("it says %q; want %q", got, want)
	}
}
