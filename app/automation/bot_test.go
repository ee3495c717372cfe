package automation_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/bot"
	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/app/spec"
	"carillon/app/workspace"
	"carillon/db"
)

func (k *kit) botInput() bot.Input {
	return bot.Input{Bot: spec.Bot{
		Name: "Ada", Instructions: "You answer in haiku.", Provider: "agent", Model: "small", Enabled: true,
	}}
}

// newBot makes a bot of Mira's.
func (k *kit) newBot(change func(*bot.Input)) *db.Bot {
	k.T.Helper()
	in := k.botInput()
	if change != nil {
		change(&in)
	}
	b, err := k.Bots.Create(k.T.Context(), k.Mira, in)
	check(k.T, err)
	return b
}

// ofBot is an automation of the session type Bot.
func ofBot(b *db.Bot, more func(*automation.Input)) func(*automation.Input) {
	return func(in *automation.Input) {
		in.SessionType, in.Bot, in.Provider, in.Model = "bot", b.ID.String(), "", ""
		if more != nil {
			more(in)
		}
	}
}

func TestABotIsManagedByWhoMayManageBotsAndUsedByMembers(t *testing.T) {
	k := setup(t)
	_, err := k.Bots.Create(t.Context(), k.Jonas, k.botInput())
	wantErr(t, err, fault.ErrForbidden)
	b := k.newBot(nil)
	_, err = k.Bots.Update(t.Context(), k.Jonas, b.ID, k.botInput())
	wantErr(t, err, fault.ErrForbidden)
	wantErr(t, k.Bots.Remove(t.Context(), k.Jonas, b.ID), fault.ErrForbidden)
	if list, err := k.Bots.List(t.Context(), k.Jonas); err != nil || len(list) != 1 {
		t.Errorf("Jonas sees %v, %v; want the bot that is for all workspaces", list, err)
	}
	mine := k.newBot(func(in *bot.Input) { in.Name, in.Workspace = "Inside", k.Scratch.ID.String() })
	outsider := k.Person("Olga", account.RoleMember)
	check(t, db.RemoveMember(t.Context(), k.DB, k.Scratch.ID, outsider.ID))
	if _, _, err := k.Bots.Find(t.Context(), outsider, mine.ID); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("an outsider gets %v; want it hidden", err)
	}
	if list, err := k.Bots.List(t.Context(), outsider); err != nil || len(list) != 1 || list[0].ID != b.ID {
		t.Errorf("an outsider sees %v, %v; want the global one alone", list, err)
	}
}

func TestABotsFormSaysWhatIsWrong(t *testing.T) {
	k := setup(t)
	for field, change := range map[string]func(*bot.Input){
		"name":          func(in *bot.Input) { in.Name = " " },
		"instructions":  func(in *bot.Input) { in.Instructions = "\n" },
		"provider":      func(in *bot.Input) { in.Provider = "nothing" },
		"workspace":     func(in *bot.Input) { in.Workspace = uuid.NewString() },
		"allowed_tools": func(in *bot.Input) { in.AllowedTools = []string{strings.Repeat("x", 201)} },
	} {
		in := k.botInput()
		change(&in)
		_, err := k.Bots.Create(t.Context(), k.Mira, in)
		wantInvalid(t, err, field)
	}
	for _, tt := range []func(*bot.Input){
		func(in *bot.Input) { in.Provider, in.Model = "shell", "" },
		func(in *bot.Input) { in.Provider, in.Model, in.LocksAgent = "", "", true },
	} {
		in := k.botInput()
		tt(&in)
		_, err := k.Bots.Create(t.Context(), k.Mira, in)
		wantInvalid(t, err, "provider")
	}
}

func TestTwoPeopleSavingTheSameBotTheSecondIsTold(t *testing.T) {
	k := setup(t)
	b := k.newBot(nil)
	in := k.botInput()
	in.Version = b.Version
	_, err := k.Bots.Update(t.Context(), k.Mira, b.ID, in)
	check(t, err)
	_, err = k.Bots.Update(t.Context(), k.Mira, b.ID, in)
	wantErr(t, err, fault.ErrStale)
}

func TestABotThatLocksItsAgentDecidesWhateverTheAutomationSays(t *testing.T) {
	k := setup(t)
	locked := k.newBot(func(in *bot.Input) { in.LocksAgent = true })
	a := k.Make(ofBot(locked, func(in *automation.Input) { in.Provider, in.Model = "agent", "large" }))
	run, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
	check(t, err)
	if run.Session.Provider != "agent" || run.Session.Model != "small" || run.Session.BotID != locked.ID ||
		run.Session.Type != db.BotType {
		t.Errorf("the session is %+v; want the bot's agent", run.Session)
	}
	free := k.newBot(nil)
	b := k.Make(ofBot(free, func(in *automation.Input) { in.Provider, in.Model = "agent", "large" }))
	run, err = k.Runs().RunNow(t.Context(), k.Jonas, b.ID, nil)
	check(t, err)
	if run.Session.Model != "large" {
		t.Errorf("the model is %s; want the automation's", run.Session.Model)
	}
	c := k.Make(ofBot(free, nil))
	run, err = k.Runs().RunNow(t.Context(), k.Jonas, c.ID, nil)
	check(t, err)
	if run.Session.Provider != "agent" || run.Session.Model != "small" {
		t.Errorf("the agent is %s, %s; want the bot's, since none is chosen", run.Session.Provider, run.Session.Model)
	}
}

func TestARunKeepsTheBotAsItWas(t *testing.T) {
	k := setup(t)
	b := k.newBot(func(in *bot.Input) { in.ReadOnly, in.AllowedTools = true, []string{"Read\nGrep, Glob"} })
	a := k.Make(ofBot(b, nil))
	run, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
	check(t, err)
	in := k.botInput()
	in.Instructions, in.Version = "Shout.", b.Version
	_, err = k.Bots.Update(t.Context(), k.Mira, b.ID, in)
	check(t, err)
	e, err := db.ExecutionByID(t.Context(), k.DB, run.Execution.ID)
	check(t, err)
	if sn := e.Snapshot; sn.Instructions != "You answer in haiku." || !sn.ReadOnly ||
		strings.Join(sn.AllowedTools, " ") != "Read Grep Glob" || sn.BotName != "Ada" {
		t.Errorf("the run keeps %+v", sn)
	}
}

func TestAnAutomationTakesABotOfItsOwnWorkspaceAndNoScripts(t *testing.T) {
	k := setup(t)
	other, err := k.Workspaces.Create(t.Context(), k.Mira,
		workspace.Input{Name: "Other", GitURL: "https://example.com/other.git"})
	check(t, err)
	elsewhere := k.newBot(func(in *bot.Input) { in.Name, in.Workspace = "Elsewhere", other.ID.String() })
	for want, change := range map[string]func(*automation.Input){
		"bot":      ofBot(elsewhere, nil),
		"provider": ofBot(k.newBot(nil), func(in *automation.Input) { in.Provider = "shell" }),
	} {
		in := k.Input()
		change(&in)
		_, _, err := k.Definitions().Create(t.Context(), k.Mira, in)
		wantInvalid(t, err, want)
	}
	in := k.Input()
	in.SessionType = "bot"
	_, _, err = k.Definitions().Create(t.Context(), k.Mira, in)
	wantInvalid(t, err, "bot")
}

func TestRemovingABotDisablesWhatAScheduleStartsAndTellsItsCreator(t *testing.T) {
	k := setup(t)
	b := k.newBot(nil)
	scheduled := []*db.Automation{k.Make(ofBot(b, recurring("0 3 * * *"))), k.Make(ofBot(b, loop)),
		k.Make(ofBot(b, oneTime("2026-06-02T09:00")))}
	manual := k.Make(ofBot(b, nil))
	hook := k.Make(ofBot(b, func(in *automation.Input) { in.Trigger = "http" }))
	check(t, k.Bots.Remove(t.Context(), k.Mira, b.ID))
	for _, a := range scheduled {
		got := k.Reload(a)
		if got.Enabled || got.DisabledKind != db.ByRemoval ||
			!strings.Contains(got.DisabledReason, "“Ada” was removed by Mira") || !got.NextRunAt.IsZero() ||
			got.BotID != uuid.Nil {
			t.Errorf("%s is %v %s “%s”; want it disabled for the removal", got.Trigger, got.Enabled, got.DisabledKind,
				got.DisabledReason)
		}
		if err := k.Definitions().SetEnabled(t.Context(), k.Jonas, a.ID, true); err == nil {
			t.Error("it can be switched on without a bot")
		}
	}
	k.ExpectInbox(k.Jonas, inbox.Disabled, inbox.Disabled, inbox.Disabled)
	for _, a := range []*db.Automation{manual, hook} {
		if !k.Reload(a).Enabled {
			t.Errorf("%s was disabled; want it left", a.Trigger)
		}
		_, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
		var unable *automation.Unable
		if !errors.As(err, &unable) || !strings.Contains(unable.Reason, "bot of this automation was removed") {
			t.Errorf("running it gives %v", err)
		}
	}
}

func TestARunWithABotThatIsOffFailsAndSaysSo(t *testing.T) {
	k := setup(t)
	b := k.newBot(nil)
	a := k.Make(ofBot(b, nil))
	in := k.botInput()
	in.Enabled, in.Version = false, b.Version
	_, err := k.Bots.Update(t.Context(), k.Mira, b.ID, in)
	check(t, err)
	_, err = k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
	var unable *automation.Unable
	if !errors.As(err, &unable) || unable.Reason != "the bot Ada is switched off" {
		t.Errorf("got %v", err)
	}
	k.ExpectStatuses(a, "failed")
}
