package automation

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/app/bot"
	"carillon/app/fault"
	"carillon/app/spec"
	"carillon/db"
)

func TestOnlyWhoManagesSettingsChangesProviders(t *testing.T) {
	k := setup(t)
	ctx := t.Context()
	for name, change := range map[string]func() error{
		"enable": func() error { return k.SetProviderEnabled(ctx, k.jonas, "agent", false) },
		"models": func() error { return k.SaveModels(ctx, k.jonas, "agent", "x", "") },
		"add": func() error {
			_, err := k.AddProvider(ctx, k.jonas, OwnProviderInput{Name: "Mine", Command: "mine"})
			return err
		},
		"update": func() error {
			return k.UpdateProvider(ctx, k.jonas, "agent", OwnProviderInput{Name: "Mine", Command: "mine"})
		},
		"remove": func() error { return k.RemoveProvider(ctx, k.jonas, "agent") },
		"try":    func() error { return k.TryProvider(ctx, k.jonas, "agent") },
		"resume": func() error { return k.ResumeProvider(ctx, k.jonas, "agent") },
	} {
		t.Run(name, func(t *testing.T) { wantErr(t, change(), fault.ErrForbidden) })
	}
	wantErr(t, k.SetProviderEnabled(ctx, k.mira, "nonsense", false), fault.ErrNotFound)
	wantErr(t, k.TryProvider(ctx, k.mira, "nonsense"), fault.ErrNotFound)
	// of the catalogue: it can be switched off only
	wantErr(t, k.RemoveProvider(ctx, k.mira, "agent"), fault.ErrNotFound)
}

func TestAnAgentOfOnesOwnIsCheckedSavedAndRemoved(t *testing.T) {
	k := setup(t)
	ctx := t.Context()
	told := 0
	k.ProvidersChanged = func(context.Context) error { told++; return nil }
	for _, tt := range []struct {
		in    OwnProviderInput
		field string
	}{
		{OwnProviderInput{Command: "x"}, "name"},
		{OwnProviderInput{Name: "agent", Command: "x"}, "name"},
		{OwnProviderInput{Name: "Mine"}, "command"},
		{OwnProviderInput{Name: "Mine", Command: `mine "open`}, "command"},
		{OwnProviderInput{Name: "Mine", Command: `""`}, "command"},
		{OwnProviderInput{Name: "Mine", Command: "mine", Keys: "FINE, not-fine"}, "keys"},
		{OwnProviderInput{Name: "Mine", Command: "mine", Keys: "*"}, "keys"},
		{OwnProviderInput{Name: "Mine", Command: "mine", Keys: "CARILLON_SECRET"}, "keys"},
		{OwnProviderInput{Name: "Mine", Command: "mine", State: "/etc"}, "state"},
		{OwnProviderInput{Name: "Mine", Command: "mine", State: "a/../../b"}, "state"},
		{OwnProviderInput{Name: "Mine", Command: "mine", Obeys: "../x"}, "obeys"},
		{OwnProviderInput{Name: "Mine", Command: "mine", Obeys: ".mine\n."}, "obeys"},
		{OwnProviderInput{Name: "Mine", Command: "mine", Obeys: "a/../.git/hooks"}, "obeys"},
		{OwnProviderInput{Name: "Mine", Command: "mine", Obeys: "*.json"}, "obeys"},
		{OwnProviderInput{Name: "Mine", Command: "mine", Obeys: strings.Join(manyPaths(51), "\n")}, "obeys"},
	} {
		_, err := k.AddProvider(ctx, k.mira, tt.in)
		wantInvalid(t, err, tt.field)
	}
	id, err := k.AddProvider(ctx, k.mira, OwnProviderInput{Name: "My Agent!",
		Command: `/opt/my agent/bin --acp 'a b' ""`, Keys: "MY_KEY, OTHER_*", State: "~/.config/mine\n\n.cache/mine\n",
		Obeys: ".mine/\n /mine.json\n.mine\n"})
	check(t, err)
	st, err := k.ProviderStates(ctx)
	check(t, err)
	own := st.Settings.Own[0]
	if id != "my-agent" || own.ID != id || !slices.Equal(own.Command, []string{"/opt/my", "agent/bin", "--acp", "a b",
		""}) ||
		!slices.Equal(own.Keys, []string{"MY_KEY", "OTHER_*"}) ||
		!slices.Equal(own.State, []string{".config/mine", ".cache/mine"}) ||
		!slices.Equal(own.Obeys, []string{".mine", "mine.json"}) {
		t.Errorf("saved %q as %+v", id, own)
	}
	if told != 1 {
		t.Errorf("those who keep the providers were told %d times; want 1", told)
	}
	k.Providers = func() []Provider { return []Provider{{ID: "agent", Name: "Agent"}, {ID: id, Name: own.Name}} }
	second, err := k.AddProvider(ctx, k.mira, OwnProviderInput{Name: "My agent", Command: "mine"})
	check(t, err)
	if second != "my-agent-2" {
		t.Errorf("a second agent of nearly the same name is %q; want an id of its own", second)
	}
	check(t, k.UpdateProvider(ctx, k.mira, id, OwnProviderInput{Name: "Mine", Command: "mine2"}))
	check(t, k.RemoveProvider(ctx, k.mira, id))
	st, err = k.ProviderStates(ctx)
	check(t, err)
	if len(st.Settings.Own) != 1 || st.Settings.Own[0].ID != second {
		t.Errorf("after removing one, there are %+v", st.Settings.Own)
	}
}

func TestAProviderThatIsSwitchedOffCannotBeChosenAndItsRunsFailSayingSo(t *testing.T) {
	k := setup(t)
	a := k.create(nil)
	k.Providers = func() []Provider { return []Provider{{ID: "agent", Name: "Agent", Off: true}} }
	in := k.input()
	_, _, err := k.Create(t.Context(), k.jonas, in)
	wantInvalid(t, err, "provider")
	if _, err := k.RunNow(t.Context(), k.jonas, a.ID, nil); err == nil ||
		err.Error() != "the provider Agent is switched off" {
		t.Errorf("the run answered %v", err)
	}
	k.expectStatuses(a, "failed")
}

func TestAModelThatTheProviderDoesNotListCanBeTyped(t *testing.T) {
	k := setup(t)
	in := k.input()
	in.Model = "huge"
	a, _, err := k.Create(t.Context(), k.jonas, in)
	check(t, err)
	if a.Model != "huge" {
		t.Errorf("the automation has the model %q", a.Model)
	}
	err = k.UpdateWorkspace(t.Context(), k.mira, k.workspace.ID,
		WorkspaceInput{Name: "Scratch", Provider: "agent", Model: "huge", Version: k.workspace.Version})
	var bad fault.Invalid
	if errors.As(err, &bad) && bad["model"] != "" {
		t.Errorf("the workspace's model was refused: %s", bad["model"])
	}
	_, err = k.bots.Create(t.Context(), k.mira, bot.Input{Bot: spec.Bot{
		Name: "Reviewer", Instructions: "x", Provider: "agent", Model: "huge",
	}})
	if errors.As(err, &bad) && bad["model"] != "" {
		t.Errorf("the bot's model was refused: %s", bad["model"])
	}
}

func TestATrialIsAskedForOnceAndTakenOnce(t *testing.T) {
	k := setup(t)
	ctx := t.Context()
	check(t, k.TryProvider(ctx, k.mira, "agent"))
	check(t, k.TryProvider(ctx, k.mira, "agent"))
	trial, err := db.ClaimTrial(ctx, k.DB, "one", k.Now())
	check(t, err)
	if trial == nil || trial.Provider != "agent" || trial.RequestedBy != k.mira.ID {
		t.Fatalf("took %+v", trial)
	}
	if again, err := db.ClaimTrial(ctx, k.DB, "two", k.Now()); err != nil || again != nil {
		t.Errorf("another worker took %+v, %v; want nothing", again, err)
	}
	check(t, k.TryProvider(ctx, k.mira, "agent")) // under way: nothing happens
	k.clock.Add(time.Minute)
	trial.FinishedAt, trial.Answer = k.Now(), "ready"
	check(t, db.FinishTrial(ctx, k.DB, trial))
	st, err := k.ProviderStates(ctx)
	check(t, err)
	if got := st.Trials["agent"]; got.Answer != "ready" || got.FinishedAt.IsZero() {
		t.Errorf("the trial is %+v; want its answer", got)
	}
	check(t, k.TryProvider(ctx, k.mira, "agent"))
	if trial, err = db.ClaimTrial(ctx, k.DB, "two", k.Now()); err != nil || trial == nil {
		t.Fatalf("a new trial: %v, %v", trial, err)
	}
	check(t, db.AbandonTrials(ctx, k.DB, "two", "interrupted by a restart", k.Now()))
	st, err = k.ProviderStates(ctx)
	check(t, err)
	if got := st.Trials["agent"]; got.ErrorClass != "interrupted" {
		t.Errorf("a trial whose worker went is %+v", got)
	}
}
