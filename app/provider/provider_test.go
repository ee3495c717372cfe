package provider

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/app/fault"
	"carillon/db"
)

func TestOnlyWhoManagesSettingsChangesProviders(t *testing.T) {
	k := setup(t)
	ctx := t.Context()
	for name, change := range map[string]func() error{
		"enable": func() error { return k.SetEnabled(ctx, k.jonas, "agent", false) },
		"models": func() error { return k.SaveModels(ctx, k.jonas, "agent", "x", "") },
		"add": func() error {
			_, err := k.Add(ctx, k.jonas, Input{Name: "Mine", Command: "mine"})
			return err
		},
		"update": func() error {
			return k.Update(ctx, k.jonas, "agent", Input{Name: "Mine", Command: "mine"})
		},
		"remove": func() error { return k.Remove(ctx, k.jonas, "agent") },
		"try":    func() error { return k.Try(ctx, k.jonas, "agent") },
		"resume": func() error { return k.Resume(ctx, k.jonas, "agent") },
	} {
		t.Run(name, func(t *testing.T) { wantErr(t, change(), fault.ErrForbidden) })
	}
	wantErr(t, k.SetEnabled(ctx, k.mira, "nonsense", false), fault.ErrNotFound)
	wantErr(t, k.Try(ctx, k.mira, "nonsense"), fault.ErrNotFound)
	// of the catalogue: it can be switched off only
	wantErr(t, k.Remove(ctx, k.mira, "agent"), fault.ErrNotFound)
}

func TestAnAgentOfOnesOwnIsCheckedSavedAndRemoved(t *testing.T) {
	k := setup(t)
	ctx := t.Context()
	told := 0
	k.Changed = func(context.Context) error { told++; return nil }
	for _, tt := range []struct {
		in    Input
		field string
	}{
		{Input{Command: "x"}, "name"},
		{Input{Name: "agent", Command: "x"}, "name"},
		{Input{Name: "Mine"}, "command"},
		{Input{Name: "Mine", Command: `mine "open`}, "command"},
		{Input{Name: "Mine", Command: `""`}, "command"},
		{Input{Name: "Mine", Command: "mine", Keys: "FINE, not-fine"}, "keys"},
		{Input{Name: "Mine", Command: "mine", Keys: "*"}, "keys"},
		{Input{Name: "Mine", Command: "mine", Keys: "CARILLON_SECRET"}, "keys"},
		{Input{Name: "Mine", Command: "mine", State: "/etc"}, "state"},
		{Input{Name: "Mine", Command: "mine", State: "a/../../b"}, "state"},
		{Input{Name: "Mine", Command: "mine", Obeys: "../x"}, "obeys"},
		{Input{Name: "Mine", Command: "mine", Obeys: ".mine\n."}, "obeys"},
		{Input{Name: "Mine", Command: "mine", Obeys: "a/../.git/hooks"}, "obeys"},
		{Input{Name: "Mine", Command: "mine", Obeys: "*.json"}, "obeys"},
		{Input{Name: "Mine", Command: "mine", Obeys: strings.Join(manyPaths(51), "\n")}, "obeys"},
	} {
		_, err := k.Add(ctx, k.mira, tt.in)
		wantInvalid(t, err, tt.field)
	}
	id, err := k.Add(ctx, k.mira, Input{Name: "My Agent!",
		Command: `/opt/my agent/bin --acp 'a b' ""`, Keys: "MY_KEY, OTHER_*", State: "~/.config/mine\n\n.cache/mine\n",
		Obeys: ".mine/\n /mine.json\n.mine\n"})
	check(t, err)
	st, err := k.States(ctx)
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
	k.List = func() []Provider {
		return []Provider{{ID: "agent", Name: "Agent"}, {ID: id, Name: own.Name}}
	}
	second, err := k.Add(ctx, k.mira, Input{Name: "My agent", Command: "mine"})
	check(t, err)
	if second != "my-agent-2" {
		t.Errorf("a second agent of nearly the same name is %q; want an id of its own", second)
	}
	check(t, k.Update(ctx, k.mira, id, Input{Name: "Mine", Command: "mine2"}))
	check(t, k.Remove(ctx, k.mira, id))
	st, err = k.States(ctx)
	check(t, err)
	if len(st.Settings.Own) != 1 || st.Settings.Own[0].ID != second {
		t.Errorf("after removing one, there are %+v", st.Settings.Own)
	}
}

func TestATrialIsAskedForOnceAndTakenOnce(t *testing.T) {
	k := setup(t)
	ctx := t.Context()
	check(t, k.Try(ctx, k.mira, "agent"))
	check(t, k.Try(ctx, k.mira, "agent"))
	trial, err := db.ClaimTrial(ctx, k.DB, "one", k.Now())
	check(t, err)
	if trial == nil || trial.Provider != "agent" || trial.RequestedBy != k.mira.ID {
		t.Fatalf("took %+v", trial)
	}
	if again, err := db.ClaimTrial(ctx, k.DB, "two", k.Now()); err != nil || again != nil {
		t.Errorf("another worker took %+v, %v; want nothing", again, err)
	}
	check(t, k.Try(ctx, k.mira, "agent")) // under way: nothing happens
	k.now = k.now.Add(time.Minute)
	trial.FinishedAt, trial.Answer = k.Now(), "ready"
	check(t, db.FinishTrial(ctx, k.DB, trial))
	st, err := k.States(ctx)
	check(t, err)
	if got := st.Trials["agent"]; got.Answer != "ready" || got.FinishedAt.IsZero() {
		t.Errorf("the trial is %+v; want its answer", got)
	}
	check(t, k.Try(ctx, k.mira, "agent"))
	if trial, err = db.ClaimTrial(ctx, k.DB, "two", k.Now()); err != nil || trial == nil {
		t.Fatalf("a new trial: %v, %v", trial, err)
	}
	check(t, db.AbandonTrials(ctx, k.DB, "two", "interrupted by a restart", k.Now()))
	st, err = k.States(ctx)
	check(t, err)
	if got := st.Trials["agent"]; got.ErrorClass != "interrupted" {
		t.Errorf("a trial whose worker went is %+v", got)
	}
}

func TestAnAgentOfOnesOwnHasABoundedNumberOfVariablesAndPaths(t *testing.T) {
	k := setup(t)
	var keys, lines strings.Builder
	for i := range mostOfOwn + 1 {
		fmt.Fprintf(&keys, "KEY_%d ", i)
		fmt.Fprintf(&lines, ".config/%d\n", i)
	}
	_, err := k.Add(t.Context(), k.mira, Input{
		Name: "Many", Command: "agent", Keys: keys.String(), State: lines.String(),
	})
	wantInvalid(t, err, "keys")
	wantInvalid(t, err, "state")
}
