package jobs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/provider"
	"carillon/app/workspace"
	"carillon/db"
)

func TestAConversationIsStoredAsSoonAsTheAgentNamesItAndARunGoesOnWithIt(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	fake := k.withAgent()
	fake.answers("hang", "ok")
	k.start()
	run := k.run("Look around.", fakeChat)
	k.eventually("the agent to be at work", func() error {
		_, err := os.Stat(filepath.Join(fake.dir, "hanging"))
		return err
	})
	k.eventually("the conversation to be stored", func() error {
		if s := k.session(run.Session.ID); s.Conversation == "" {
			return fmt.Errorf("it is not")
		}
		return nil
	})
	k.stop() // in a first turn
	k.start()
	if e := k.ended(run); e.Status != db.Succeeded {
		t.Errorf("it %s: %q; want success", e.Status, e.Reason)
	}
	if calls := fake.calls(); len(calls) != 2 || !strings.HasPrefix(calls[1], "conversation-1 ") {
		t.Errorf("the agent was asked %q; want it to go on with its conversation", calls)
	}
}

func TestAConversationThatTheAgentDoesNotKnowIsBegunAnewWithANote(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	fake := k.withAgent()
	known := agent.Provider{
		ID: "claude", Name: "Fake agent", Driver: agent.DriverClaude,
		Command: []string{filepath.Join(fake.dir, "fake")},
	}
	k.runner.Providers = func() []agent.Provider { return []agent.Provider{agent.Catalogue()[0], known} }
	k.rules.Providers.List = func() []provider.Provider {
		return []provider.Provider{{ID: "claude", Name: "Fake agent"}}
	}
	fake.answers("ok", "unknown", "ok")
	k.start()
	run := k.run("One.", func(in *automation.Input) { fakeChat(in); in.Provider = "claude" })
	k.ended(run)
	check(t, k.rules.Sessions().Reply(t.Context(), k.actor, run.Session.ID, "Two."))
	k.eventually("the answer", func() error {
		turns, err := db.TurnsOf(t.Context(), k.db, run.Session.ID)
		if err == nil && (len(turns) != 2 || turns[1].FinishedAt.IsZero()) {
			err = fmt.Errorf("there are %d messages", len(turns))
		}
		return err
	})
	turns, err := db.TurnsOf(t.Context(), k.db, run.Session.ID)
	check(t, err)
	if got := turns[1]; got.Status != db.Succeeded || got.Answer != "answer 3" {
		t.Errorf("the message %s with %q: %q; want it answered", got.Status, got.Answer, got.Reason)
	}
	if calls := fake.calls(); len(calls) != 3 || !strings.HasPrefix(calls[1], "conversation-1 ") ||
		!strings.HasPrefix(calls[2], "new ") {
		t.Errorf("the agent was asked %q; want the message once in the old conversation and once anew", calls)
	}
	k.eventually("the note in the transcript", func() error { // which is written beside the turn
		if text := k.events(run.Session.ID); !strings.Contains(text, "begins anew") {
			return fmt.Errorf("the transcript is %s", text)
		}
		return nil
	})
	if s := k.session(run.Session.ID); s.Conversation != "conversation-3" {
		t.Errorf("the conversation is %q; want the new one", s.Conversation)
	}
}

func TestTheConversationThatIsBegunAnewIsStoredAsSoonAsItIsNamed(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	fake := k.withAgent()
	known := agent.Provider{
		ID: "claude", Name: "Fake agent", Driver: agent.DriverClaude,
		Command: []string{filepath.Join(fake.dir, "fake")},
	}
	k.runner.Providers = func() []agent.Provider { return []agent.Provider{agent.Catalogue()[0], known} }
	k.rules.Providers.List = func() []provider.Provider {
		return []provider.Provider{{ID: "claude", Name: "Fake agent"}}
	}
	fake.answers("ok", "unknown", "hang")
	k.start()
	run := k.run("One.", func(in *automation.Input) { fakeChat(in); in.Provider = "claude" })
	k.ended(run)
	check(t, k.rules.Sessions().Reply(t.Context(), k.actor, run.Session.ID, "Two."))
	k.eventually("the new conversation to be stored", func() error {
		if s := k.session(run.Session.ID); s.Conversation != "conversation-3" {
			return fmt.Errorf("it is %q after %d calls", s.Conversation, len(fake.calls()))
		}
		return nil
	})
}

func TestARemoteThatCannotBeReachedIsTriedAgainAndIsNoFailure(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	k.start()
	from := repository(t)
	ws, err := k.rules.Workspaces.Create(t.Context(), k.actor,
		workspace.Input{Name: "Away", GitURL: "http://127.0.0.1:1/origin.git"})
	check(t, err)
	k.workspace = ws.ID
	run := k.run("true", func(in *automation.Input) { in.Retries = 0 })
	k.eventually("the run to wait for its next attempt", func() error {
		attempts, err := db.AttemptsOf(t.Context(), k.db, run.Execution.ID)
		if err != nil || len(attempts) > 0 {
			return err
		}
		if e, err := db.ExecutionByID(t.Context(), k.db, run.Execution.ID); err != nil || !e.Status.InFlight() {
			t.Fatalf("it has ended (%v), %s: %q", err, e.Status, e.Reason)
		}
		return fmt.Errorf("there is no attempt")
	})
	s := k.session(run.Session.ID)
	if s.Status != db.SessionQueued || !s.QueuedAt.After(time.Now().Add(-time.Hour)) {
		t.Errorf("the session is %s since %s; want it queued", s.Status, s.QueuedAt)
	}
	_, err = k.db.NewRaw("UPDATE workspaces SET git_url = ? WHERE id = ?", from, ws.ID).Exec(t.Context())
	check(t, err)
	k.soon()
	if e := k.ended(run); e.Status != db.Succeeded {
		t.Errorf("it %s: %q; want success", e.Status, e.Reason)
	}
}

func TestAReplyThatARemoteKeepsFromTheAgentIsTriedAgainAndThatIsSaid(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	fake := k.withAgent()
	from := repository(t)
	ws, err := k.rules.Workspaces.Create(t.Context(), k.actor, workspace.Input{Name: "Away", GitURL: from})
	check(t, err)
	k.workspace = ws.ID
	k.start()
	run := k.run("One.", fakeChat)
	k.ended(run)
	k.waits(run.Session.ID, db.SessionWaiting)
	turns := func(url string, gone bool) {
		// another worker would begin with a fetch: so does one that has lost its worktree
		_, err := k.db.NewRaw("UPDATE workspaces SET git_url = ? WHERE id = ?", url, ws.ID).Exec(t.Context())
		check(t, err)
		if gone {
			check(t, k.runner.Store.Remove(t.Context(), ws.ID.String(), run.Session.ID.String(), false))
		}
	}
	turns("http://127.0.0.1:1/origin.git", true)
	check(t, k.rules.Sessions().Reply(t.Context(), k.actor, run.Session.ID, "Two."))
	k.eventually("the message to rest", func() error {
		if s := k.session(run.Session.ID); s.Status != db.SessionQueued || s.Outages != 1 {
			return fmt.Errorf("the session is %s after %d outages", s.Status, s.Outages)
		}
		return nil
	})
	if text := k.events(run.Session.ID); !strings.Contains(text, "\nretry ") {
		t.Errorf("the transcript is %s; want the next attempt in it", text)
	}
	turns(from, false)
	k.soon()
	s := k.waits(run.Session.ID, db.SessionWaiting)
	if calls := fake.calls(); len(calls) != 2 || !strings.Contains(calls[1], "Two.") || s.Outages != 0 {
		t.Errorf("the agent was asked %q, %d outages are noted; want the message given, and none", calls, s.Outages)
	}
}
