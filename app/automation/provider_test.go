package automation_test

import (
	"errors"
	"testing"

	"carillon/app/bot"
	"carillon/app/fault"
	"carillon/app/provider"
	"carillon/app/spec"
	"carillon/app/workspace"
)

func TestAProviderThatIsSwitchedOffCannotBeChosenAndItsRunsFailSayingSo(t *testing.T) {
	k := setup(t)
	a := k.Make(nil)
	k.Providers.List = func() []provider.Provider {
		return []provider.Provider{{ID: "agent", Name: "Agent", Off: true}}
	}
	in := k.Input()
	_, _, err := k.Definitions().Create(t.Context(), k.Jonas, in)
	wantInvalid(t, err, "provider")
	if _, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil); err == nil ||
		err.Error() != "the provider Agent is switched off" {
		t.Errorf("the run answered %v", err)
	}
	k.ExpectStatuses(a, "failed")
}

func TestAModelThatTheProviderDoesNotListCanBeTyped(t *testing.T) {
	k := setup(t)
	in := k.Input()
	in.Model = "huge"
	a, _, err := k.Definitions().Create(t.Context(), k.Jonas, in)
	check(t, err)
	if a.Model != "huge" {
		t.Errorf("the automation has the model %q", a.Model)
	}
	err = k.Workspaces.Update(t.Context(), k.Mira, k.Scratch.ID,
		workspace.Input{Name: "Scratch", Provider: "agent", Model: "huge", Version: k.Scratch.Version})
	var bad fault.Invalid
	if errors.As(err, &bad) && bad["model"] != "" {
		t.Errorf("the workspace's model was refused: %s", bad["model"])
	}
	_, err = k.Bots.Create(t.Context(), k.Mira, bot.Input{Bot: spec.Bot{
		Name: "Reviewer", Instructions: "x", Provider: "agent", Model: "huge",
	}})
	if errors.As(err, &bad) && bad["model"] != "" {
		t.Errorf("the bot's model was refused: %s", bad["model"])
	}
}
