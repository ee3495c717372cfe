package jobs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"carillon/app/automation"
	"carillon/app/bot"
	"carillon/app/spec"
	"carillon/db"
)

func TestABotsInstructionsAndLimitsReachItsAgent(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	f := k.withAgent()
	// The arguments tell what the agent was given.
	check(t, os.WriteFile(filepath.Join(f.dir, "fake"),
		[]byte(strings.Replace(fakeScript, "resume=new\n", "resume=new\nprintf '%s\\n' \"$@\" >> \"$dir/arguments\"\n",
			1)), 0o700))
	k.start()
	bot, err := k.bots.Create(t.Context(), k.actor, bot.Input{Bot: spec.Bot{
		Name: "Ada", Instructions: "You answer in haiku.", Provider: "fake", Enabled: true, ReadOnly: true,
		AllowedTools: []string{"Read", "Grep"},
	}})
	check(t, err)
	run := k.run("On tests.", func(in *automation.Input) {
		in.SessionType = "bot"
		in.Bot = bot.ID.String()
		in.Provider = ""
		in.AutoComplete = false
	})
	if e := k.ended(run); e.Status != db.Succeeded {
		t.Fatalf("it ended %s: %s", e.Status, e.Reason)
	}
	given := func() string {
		text, err := os.ReadFile(filepath.Join(f.dir, "arguments"))
		check(t, err)
		return string(text)
	}
	for _, want := range []string{"You answer in haiku.", "--allowedTools=", "Read,Grep", "--disallowedTools=Write"} {
		if !strings.Contains(given(), want) {
			t.Errorf("the agent was called with\n%s\nwant %q in it", given(), want)
		}
	}
	// A reply goes to the bot as it is now; one that is off or gone answers nobody.
	s := k.waits(run.Session.ID, db.SessionWaiting)
	check(t, k.rules.Sessions().Reply(t.Context(), k.actor, s.ID, "Another."))
	k.eventually("the second call", func() error {
		if len(f.calls()) < 2 {
			return os.ErrNotExist
		}
		return nil
	})
	k.waits(s.ID, db.SessionWaiting)
	check(t, k.bots.Remove(t.Context(), k.actor, bot.ID))
	check(t, k.rules.Sessions().Reply(t.Context(), k.actor, s.ID, "And another."))
	k.eventually("the reply to be refused", func() error {
		if !strings.Contains(k.events(s.ID), "the bot of this session was removed") {
			return os.ErrNotExist
		}
		return nil
	})
	if got := k.session(s.ID); got.BotID != uuid.Nil {
		t.Error("the session still names the bot")
	}
}
