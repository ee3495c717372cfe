package automation_test

import (
	"testing"

	"github.com/google/uuid"

	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/db"
)

func (k *kit) turns(session uuid.UUID) string {
	k.T.Helper()
	list, err := db.TurnsOf(k.T.Context(), k.DB, session)
	check(k.T, err)
	text := ""
	for _, t := range list {
		text += string(t.Status) + " "
	}
	return text
}

func TestMessagesQueueWhileTheAgentWorksAndSurviveAFailedTurn(t *testing.T) {
	k := setup(t)
	ctx := t.Context()
	a := k.Make(func(in *automation.Input) { in.SessionType, in.AutoComplete = "chat", false })
	k.runNow(a)
	s := k.Claim()[0]
	check(t, k.Sessions().Reply(ctx, k.Mira, s.ID, "second"))
	check(t, k.Sessions().Reply(ctx, k.Mira, s.ID, "third"))
	check(t, k.Runs().Finish(ctx, lease(s), success))
	if got := k.SessionAgain(s.ID); got.Status != db.SessionQueued {
		t.Fatalf("with messages waiting the session is %s; want queued", got.Status)
	}
	s = k.Claim()[0]
	turn, err := db.NextTurn(ctx, k.DB, lease(s), uuid.Nil, k.Now())
	check(t, err)
	if turn == nil || turn.Prompt != "second" {
		t.Fatalf("the next turn is %+v; want the second message", turn)
	}
	begun := failure
	begun.TurnBegun = true
	check(t, k.Runs().Finish(ctx, lease(s), begun))
	if got := k.turns(s.ID); got != "canceled canceled queued " { // no worker took the first here
		t.Errorf("the turns are %q; want the third message to wait still", got)
	}
	if got := k.SessionAgain(s.ID); got.Status != db.SessionQueued {
		t.Errorf("the session is %s; want queued for the third message", got.Status)
	}
}

func TestAMessageThatCouldNotBeGivenDoesNotComeAgainForEver(t *testing.T) {
	k := setup(t)
	ctx := t.Context()
	a := k.Make(func(in *automation.Input) { in.AutoComplete = false })
	k.runNow(a)
	s := k.EndRuns(success)[0]
	check(t, k.Sessions().Reply(ctx, k.Jonas, s.ID, "go on"))
	k.EndRuns(automation.Outcome{Status: db.Failed, Class: "start", Reason: "the repository does not answer"})
	if got := k.SessionAgain(s.ID); got.Status != db.SessionWaiting {
		t.Errorf("the session is %s; want waiting for a person", got.Status)
	}
}

func TestInterruptEndsTheTurnAndKeepsTheSessionOpen(t *testing.T) {
	k := setup(t)
	ctx := t.Context()
	a := k.Make(nil) // Auto-Complete
	k.runNow(a)
	s := k.Claim()[0]
	wantErr(t, k.Sessions().InterruptTurn(ctx, k.Person("Eve", "member"), s.ID), fault.ErrNotFound)
	check(t, k.Sessions().InterruptTurn(ctx, k.Jonas, s.ID))
	held, err := db.RenewLeases(ctx, k.DB, []db.Lease{lease(s)}, k.Now())
	check(t, err)
	if len(held) != 1 || held[0].InterruptAt.IsZero() {
		t.Fatalf("the worker learns %+v; want the interrupt", held)
	}
	check(t, k.Runs().Finish(ctx, lease(s), automation.Outcome{Status: db.Canceled, Reason: "interrupted",
		Interrupted: true}))
	if e := k.History(a)[0]; e.Status != db.Canceled || !e.Neutral || e.Reason != "interrupted by Jonas" {
		t.Errorf("the run is %s, neutral %v: %q", e.Status, e.Neutral, e.Reason)
	}
	got := k.SessionAgain(s.ID)
	if got.Status != db.SessionWaiting || !got.InterruptAt.IsZero() {
		t.Errorf("the session is %s, asked to interrupt at %s; want waiting, and nothing asked", got.Status,
			got.InterruptAt)
	}
	check(t, k.Sessions().Reply(ctx, k.Jonas, s.ID, "go on differently"))
	if n := len(k.Claim()); n != 1 {
		t.Errorf("%d sessions start after a reply; want 1", n)
	}
}

func TestAnInterruptOutlivesItsWorker(t *testing.T) {
	k := setup(t)
	ctx := t.Context()
	a := k.Make(nil)
	k.runNow(a)
	s := k.Claim()[0]
	check(t, db.SetConversation(ctx, k.DB, lease(s), "c1"))
	check(t, k.Sessions().InterruptTurn(ctx, k.Jonas, s.ID))
	if _, err := k.Runs().InterruptFormer(ctx, k.Worker, func(string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	k.ExpectStatuses(a, "canceled")
	if got := k.SessionAgain(s.ID); got.Status != db.SessionWaiting {
		t.Errorf("the session is %s; want waiting", got.Status)
	}
}

func TestResetContextHoldsForTheNextTurnAndForAgentsAlone(t *testing.T) {
	k := setup(t)
	ctx := t.Context()
	a := k.Make(func(in *automation.Input) { in.AutoComplete = false })
	k.runNow(a)
	s := k.Claim()[0]
	check(t, k.Sessions().ResetContext(ctx, k.Jonas, s.ID)) // at work: it goes on with what it knows
	check(t, db.SetConversation(ctx, k.DB, lease(s), "c1"))
	check(t, k.Runs().Finish(ctx, lease(s), success))
	check(t, k.Sessions().Reply(ctx, k.Jonas, s.ID, "again"))
	s = k.Claim()[0]
	if s.Conversation != "c1" || !s.ResetContext {
		t.Fatalf("the next worker gets the conversation %q, to be forgotten %v", s.Conversation, s.ResetContext)
	}
	for range 2 { // the answer to the first try may be lost
		if got, err := db.TakeContextReset(ctx, k.DB, lease(s)); err != nil || got != "" {
			t.Errorf("the conversation that goes on is %q, %v; want none", got, err)
		}
	}
	if got := k.SessionAgain(s.ID); got.Conversation != "" || got.ResetContext {
		t.Errorf("the session has the conversation %q still", got.Conversation)
	}
	script := k.Make(func(in *automation.Input) { in.Provider = "shell" })
	run, err := k.Runs().RunNow(ctx, k.Jonas, script.ID, nil)
	check(t, err)
	wantInvalid(t, k.Sessions().ResetContext(ctx, k.Jonas, run.Session.ID), "message")
}

func TestAQueuedMessageCanBeTakenBack(t *testing.T) {
	k := setup(t)
	ctx := t.Context()
	a := k.Make(func(in *automation.Input) { in.AutoComplete = false })
	k.runNow(a)
	s := k.EndRuns(success)[0]
	check(t, k.Sessions().Reply(ctx, k.Jonas, s.ID, "oops"))
	list, err := db.TurnsOf(ctx, k.DB, s.ID)
	check(t, err)
	message := list[len(list)-1]
	check(t, k.Sessions().Withdraw(ctx, k.Jonas, s.ID, list[0].ID)) // the run's own prompt: left as it is
	check(t, k.Sessions().Withdraw(ctx, k.Jonas, s.ID, message.ID))
	if got := k.SessionAgain(s.ID); got.Status == db.SessionInProgress || len(k.Claim()) != 0 {
		t.Errorf("the session is %s and still wants a worker", got.Status)
	}
}
