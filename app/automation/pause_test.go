package automation_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"carillon/app/automation"
	"carillon/app/inbox"
	"carillon/app/provider"
	"carillon/app/workspace"
	"carillon/db"
)

// refused is the outcome of a run that the provider did not let through, begun now.
func (k *kit) refused(class string, retryAt time.Time) automation.Outcome {
	return automation.Outcome{
		Status: db.Failed, Class: class, Reason: "401 invalid x-api-key", ProviderTrouble: true, RetryAt: retryAt,
		Began: k.Now(),
	}
}

func (k *kit) started() int {
	k.T.Helper()
	return len(k.Claim())
}

func (k *kit) pause() *db.ProviderPause {
	k.T.Helper()
	states, err := k.Providers.States(k.T.Context())
	check(k.T, err)
	if p, ok := states.Pauses["agent"]; ok {
		return &p
	}
	return nil
}

func (k *kit) runs(n int) []*db.Automation {
	list := make([]*db.Automation, n)
	for i := range list {
		list[i] = k.Make(func(in *automation.Input) {
			in.Trigger, in.Cron, in.TimeZone = "recurring", "0 3 * * *", "UTC"
		})
	}
	return list
}

func TestProviderTroublePausesItsStartsWithOneNoticeAndNoStrikes(t *testing.T) {
	k := setup(t)
	list := k.runs(4)
	k.Tick(begun.Add(15*time.Hour + time.Second)) // 03:00: all four are due
	outcome := k.refused("auth", time.Time{})
	k.Clock.Add(time.Minute)
	for _, s := range k.Claim() { // they fail together
		check(t, k.Runs().Finish(t.Context(), lease(s), outcome))
	}
	for _, a := range list {
		k.ExpectStatuses(a, "failed")
		if e := k.History(a)[0]; !e.Neutral || e.ErrorClass != "auth" {
			t.Errorf("the run is neutral %v of class %q; want neutral, auth", e.Neutral, e.ErrorClass)
		}
		if got := k.Reload(a); got.FailureStreak != 0 || !got.Enabled {
			t.Errorf("the automation has %d strikes, enabled %v; want none, enabled", got.FailureStreak, got.Enabled)
		}
	}
	if p := k.pause(); p == nil || p.Failures != 1 || !p.Until.Equal(k.Now().Add(5*time.Minute)) {
		t.Errorf("the pause is %+v; want one failure, and five minutes", p)
	}
	k.ExpectInbox(k.Mira, inbox.ProviderPaused)
	k.ExpectInbox(k.Jonas)

	k.runNow(list[0])
	if n := k.started(); n != 0 {
		t.Errorf("%d sessions started during the pause; want 0", n)
	}
}

func TestAfterAPauseOneSessionTriesAndItsSuccessLetsTheOthersFollow(t *testing.T) {
	k := setup(t)
	list := k.runs(3)
	k.runNow(list[0])
	k.EndRuns(k.refused("rate_limit", time.Time{}))
	for _, a := range list {
		k.runNow(a)
	}
	k.Clock.Add(4 * time.Minute)
	if n := k.started(); n != 0 {
		t.Fatalf("%d sessions started after four of five minutes; want 0", n)
	}
	k.Clock.Add(time.Minute)
	probe := k.Claim()
	if len(probe) != 1 {
		t.Fatalf("%d sessions try after the pause; want 1", len(probe))
	}
	k.Clock.Add(time.Second)
	if n := k.started(); n != 0 {
		t.Errorf("%d more started while one tries; want 0", n)
	}
	check(t, k.Runs().Finish(t.Context(), lease(probe[0]), automation.Outcome{Status: db.Succeeded, Began: k.Now()}))
	if p := k.pause(); p != nil {
		t.Errorf("there still is %+v", p)
	}
	if n := k.started(); n != 2 {
		t.Errorf("%d sessions followed; want 2", n)
	}
	k.ExpectInbox(k.Mira, inbox.ProviderPaused)
}

func TestAPauseGrowsWithEachFailureAndHoldsUntilTheTimeThatTheProviderNames(t *testing.T) {
	k := setup(t)
	a := k.runs(1)[0]
	for i, want := range []time.Duration{5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, time.Hour} {
		k.runNow(a)
		k.Clock.Add(time.Second)
		if n := len(k.EndRuns(k.refused("rate_limit", time.Time{}))); n != 1 {
			t.Fatalf("attempt %d: %d sessions ran; want 1", i+1, n)
		}
		p := k.pause()
		if got := p.Until.Sub(k.Now()); got != want {
			t.Errorf("after failure %d the pause is %s; want %s", i+1, got, want)
		}
		k.Clock.Set(p.Until)
	}
	named := k.Now().Add(7 * time.Hour)
	k.runNow(a)
	k.Clock.Add(time.Second)
	k.EndRuns(k.refused("rate_limit", named))
	if p := k.pause(); !p.Until.Equal(named) {
		t.Errorf("the pause is until %s; want %s", p.Until, named)
	}
	k.ExpectInbox(k.Mira, inbox.ProviderPaused) // one notice, however long it lasts
	if got := k.Reload(a); got.FailureStreak != 0 || !got.Enabled {
		t.Errorf("the automation has %d strikes", got.FailureStreak)
	}
}

func TestATaskThatFailsShowsThatTheProviderWorksAndAnOlderSuccessDoesNot(t *testing.T) {
	k := setup(t)
	list := k.runs(2)
	k.runNow(list[0])
	older := k.Claim()[0]
	olderBegan := k.Now()
	k.Clock.Add(time.Minute)
	k.runNow(list[1])
	k.EndRuns(k.refused("auth", time.Time{}))
	k.Clock.Add(time.Second)
	check(t, k.Runs().Finish(t.Context(), lease(older), automation.Outcome{Status: db.Succeeded, Began: olderBegan}))
	if k.pause() == nil {
		t.Fatal("a run that began before the trouble ended the pause")
	}
	k.runNow(list[1])
	k.Clock.Add(5 * time.Minute)
	began := k.Now()
	k.EndRuns(automation.Outcome{Status: db.Failed, Class: "agent", Reason: "it could not do it", Began: began})
	if p := k.pause(); p != nil {
		t.Errorf("a task's own failure left the pause %+v", p)
	}
}

func TestResumeNowEndsAPauseAndTheNextTroubleTellsAgain(t *testing.T) {
	k := setup(t)
	a := k.runs(1)[0]
	k.runNow(a)
	k.EndRuns(k.refused("auth", time.Time{}))
	k.runNow(a)
	k.Clock.Add(time.Second)
	check(t, k.Providers.Resume(t.Context(), k.Mira, "agent"))
	if n := len(k.EndRuns(k.refused("auth", time.Time{}))); n != 1 {
		t.Errorf("%d sessions started after Resume now; want 1", n)
	}
	k.ExpectInbox(k.Mira, inbox.ProviderPaused, inbox.ProviderPaused)
}

func TestAOneTimeLostToAProviderIsToldOf(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) {
		in.Trigger, in.RunAt, in.TimeZone = "one_time", "2026-06-01T13:00", "UTC"
	})
	k.Tick(begun.Add(time.Hour))
	k.EndRuns(k.refused("rate_limit", time.Time{}))
	if got := k.Reload(a); got.Enabled || !strings.Contains(got.DisabledReason, "its single run ended") {
		t.Errorf("the automation is enabled %v: %q", got.Enabled, got.DisabledReason)
	}
	k.ExpectInbox(k.Jonas, inbox.Disabled)
}

func TestScriptsAreNeverPaused(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { in.Provider, in.Prompt = "shell", "echo 401 unauthorized; exit 1" })
	k.runNow(a)
	k.EndRuns(automation.Outcome{Status: db.Failed, Class: "auth", Reason: "x", ProviderTrouble: true, Began: k.Now()})
	if states, err := k.Providers.States(t.Context()); err != nil || len(states.Pauses) > 0 {
		t.Errorf("the Shell provider is paused: %+v, %v", states.Pauses, err)
	}
}

// The agent of these tests signs in by AGENT_KEY or anything with AGENT_X.
func TestARefusedModelIsMarkedAndPausesNobody(t *testing.T) {
	k := setup(t)
	end := func(model string, o automation.Outcome) {
		t.Helper()
		a := k.Make(func(in *automation.Input) { in.Model = model })
		_, err := k.Runs().RunNow(t.Context(), k.Mira, a.ID, nil)
		check(t, err)
		k.Clock.Add(time.Second)
		list := k.Claim()
		if len(list) != 1 {
			t.Fatalf("%d sessions started; want one", len(list))
		}
		o.Began = k.Now()
		k.Clock.Add(time.Second)
		check(t, k.Runs().Finish(t.Context(), lease(list[0]), o))
	}
	marks := func() []db.RefusedModel {
		t.Helper()
		states, err := k.Providers.States(t.Context())
		check(t, err)
		return states.Refused["agent"]
	}
	refused := automation.Outcome{Status: db.Failed, Class: "model", Reason: "not signed in"}
	end("huge", refused)
	if list := marks(); len(list) != 1 || list[0].Model != "huge" || list[0].Reason != "not signed in" {
		t.Errorf("marked are %+v", list)
	}
	if k.pause() != nil {
		t.Error("the refusal of a model paused the provider")
	}
	end("small", success) // another model goes on, and says nothing of the refused one
	own := refused
	own.OwnAccount = true
	end("large", own) // a workspace's own account
	if list := marks(); len(list) != 1 || list[0].Model != "huge" {
		t.Errorf("marked are %+v; want huge alone", list)
	}
	end("huge", success)
	if list := marks(); len(list) != 0 {
		t.Errorf("marked after its success are %+v", list)
	}
}

func TestAPauseConcernsOneAccount(t *testing.T) {
	k := setup(t)
	providers := k.Providers.List
	k.Providers.List = func() []provider.Provider {
		list := slices.Clone(providers())
		for i := range list {
			list[i].Keys = []string{"AGENT_KEY", "AGENT_X*"}
		}
		return list
	}
	w, err := k.Workspaces.Create(t.Context(), k.Mira,
		workspace.Input{Name: "Theirs", GitURL: "https://git.example.com/a/b.git", Token: "x",
			Variables: []workspace.Variable{{Name: "AGENT_X_TOKEN", Value: "y"}}})
	check(t, err)
	in := k.Input()
	in.Workspace = w.ID.String()
	own, _, err := k.Definitions().Create(t.Context(), k.Mira, in)
	check(t, err)
	shared := k.Make(nil)
	run := func(a *db.Automation) []db.Session {
		t.Helper()
		_, err := k.Runs().RunNow(t.Context(), k.Mira, a.ID, nil)
		check(t, err)
		k.Clock.Add(time.Second)
		return k.Claim()
	}
	ends := func(list []db.Session, o automation.Outcome) {
		t.Helper()
		if len(list) != 1 {
			t.Fatalf("%d sessions started; want one", len(list))
		}
		o.Began, o.OwnAccount = k.Now(), list[0].WorkspaceID == w.ID
		check(t, k.Runs().Finish(t.Context(), lease(list[0]), o))
	}
	ends(run(shared), k.refused("auth", time.Time{}))
	ends(run(own), success)
	if k.pause() == nil {
		t.Error("the success of a workspace's own account ended the pause of the server's")
	}
	ends(run(own), k.refused("rate_limit", time.Time{}))
	states, err := k.Providers.States(t.Context())
	check(t, err)
	if list := states.Own["agent"]; len(list) != 1 || list[0].WorkspaceID != w.ID || list[0].Workspace != "Theirs" {
		t.Errorf("the pauses of own accounts are %+v; want one, with its workspace's name", list)
	}
	if n := len(run(own)) + len(run(shared)); n != 0 {
		t.Errorf("%d sessions started in their pauses; want none", n)
	}
	k.Clock.Add(time.Hour) // each account has one that tries
	if list := k.Claim(); len(list) != 2 || list[0].WorkspaceID == list[1].WorkspaceID {
		t.Errorf("%d sessions try after the pauses; want one of each account", len(list))
	}
}

func TestAWorkerWithOnePlacePicksNobodyToTryAProviderWhomItCannotTake(t *testing.T) {
	k := setup(t)
	for _, provider := range []string{"agent", "other"} {
		run := k.runNow(k.Make(nil))
		k.Exec("UPDATE sessions SET provider = ? WHERE id = ?", provider, run.Session.ID)
		_, err := db.InsertPause(t.Context(), k.DB, &db.ProviderPause{
			Provider: provider, Since: begun, FailedAt: begun, Until: begun, Failures: 1,
		})
		check(t, err)
	}
	for range 2 {
		var list []db.Session
		check(t, k.DB.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) (err error) {
			list, err = db.ClaimSessions(ctx, tx, k.Worker, 1, k.Now(), k.Now().Add(time.Minute))
			return err
		}))
		if len(list) != 1 {
			t.Errorf("%d sessions try their provider; want one", len(list))
		}
	}
}
