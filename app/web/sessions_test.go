package web

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/prompt"
	"carillon/app/spec"
	"carillon/db"
)

// work claims the queued session and ends its work, as a worker does. What it said is one event.
func (s *site) work(said string, end automation.Outcome, changes *db.ChangeSummary) {
	s.t.Helper()
	ctx := s.t.Context()
	var list []db.Session
	check(s.t, s.server.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
		list, err = db.ClaimSessions(ctx, tx, "test", 10, time.Now(), time.Now().Add(time.Minute))
		return err
	}))
	for i := range list {
		lease := db.Lease{Session: list[i].ID, Worker: "test", Fence: list[i].Fence}
		turns, err := db.TurnsOf(ctx, s.server.DB, list[i].ID)
		check(s.t, err)
		check(s.t, s.server.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			return db.AppendEvents(ctx, tx, lease, []db.SessionEvent{{
				SessionID: list[i].ID, Seq: list[i].LastSeq + 1, TurnID: turns[0].ID, At: time.Now(), Kind: "text",
				Body: []byte(`{"kind":"text","text":"` + said + `"}`),
			}})
		}))
		if changes != nil {
			check(s.t, db.SetChanges(ctx, s.server.DB, lease, *changes, time.Now()))
		}
		check(s.t, s.rules.Runs().Finish(ctx, lease, end))
	}
}

// started runs an automation of a person and returns the path of its session.
func (b *browser) started() string {
	b.t.Helper()
	a, _, err := b.rules.Definitions().Create(b.t.Context(), b.actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Audit",
		Workspace:      b.workspace,
		Trigger:        "manual",
		SessionType:    "chat",
		Prompt:         "Look around.",
		Provider:       "agent",
		Retries:        2,
	}})
	check(b.t, err)
	run, err := b.rules.Runs().RunNow(b.t.Context(), b.actor, a.ID, nil)
	check(b.t, err)
	return "/sessions/" + run.Session.ID.String()
}

func TestARefusedReplyKeepsTheTranscriptAndWhatWasTyped(t *testing.T) {
	b := open(t).as("Jonas", "member")
	path := b.started()
	b.work("The dependencies are sound.", automation.Outcome{Status: db.Succeeded}, nil)
	long := "far too long " + strings.Repeat("x", prompt.MaxBytes)
	refused := b.post(path+"/messages", "message", long)
	refused.expect(t, 422, "The message is over 256 KiB.")
	refused.expect(t, 422, "The dependencies are sound.")
	refused.expect(t, 422, "far too long")
}

func TestATicketThatCouldNotBeLinkedKeepsTheTranscriptAndWhatWasTyped(t *testing.T) {
	b := open(t).as("Jonas", "member")
	path := b.started()
	b.work("The dependencies are sound.", automation.Outcome{Status: db.Succeeded}, nil)
	refused := b.post(path+"/tickets", "ticket", "twelve")
	refused.expect(t, 422, "Write a ticket’s number, such as #12.")
	refused.expect(t, 422, "The dependencies are sound.")
	refused.expect(t, 422, "twelve")
}

func TestWhatChangedIsNotCalledNothingBeforeItIsKnown(t *testing.T) {
	b := open(t).as("Jonas", "member")
	path := b.started()
	b.get(path).expect(t, 200, "Changed files are listed when the agent has finished.")
	b.work("Done.", automation.Outcome{
		Status: db.Failed, Reason: "interrupted by a restart", Neutral: true, FilesChanged: true,
	}, nil)
	b.get(path).expect(t, 200, "It is not known which files were changed")
	path = b.started()
	b.work("Done.", automation.Outcome{Status: db.Succeeded}, &db.ChangeSummary{})
	b.get(path).expect(t, 200, "No file was changed.")
}

func TestATextThatIsFarTooLongComesBackToItsForm(t *testing.T) {
	b := open(t).as("Jonas", "member")
	b.post("/automations", "name", "Kept", "workspace", b.workspace, "trigger", "manual", "session_type", "develop",
		"provider", "agent",
		"prompt", strings.Repeat("é", 1<<20)).expect(t, 422, "At most 256 KiB fit.")
}

func TestTheTimeForReviewIsNotTimeAtWork(t *testing.T) {
	b := open(t).as("Jonas", "member")
	path := b.started()
	b.work("Done.", automation.Outcome{Status: db.Succeeded}, nil)
	var before, after time.Time
	read := func(at *time.Time) {
		check(t, b.server.DB.NewRaw("SELECT ended_at FROM sessions").Scan(t.Context(), at))
	}
	read(&before)
	b.post(path+"/completion").expect(t, 303, "")
	if read(&after); !after.Equal(before) {
		t.Errorf("marking it done moved its end from %s to %s", before, after)
	}
}

func TestWhatCameOfARunIsSeenAndNarrowedToInBothLists(t *testing.T) {
	b := open(t).as("Jonas", "member")
	b.started()
	b.work("x", automation.Outcome{Status: db.Succeeded, NothingToDo: true, Answer: "NOTHING TO DO"}, nil)
	failed := b.started()
	b.work("x", automation.Outcome{
		Status: db.Failed, Class: "success_check", Reason: "its success check was not met: exit 4",
	}, nil)
	skipped := b.started()
	b.work("x", automation.Outcome{Status: db.Skipped, Neutral: true, Reason: "its gate did not let it begin: exit 3"},
		nil)

	history := b.get("/executions?status=nothing_to_do")
	history.expect(t, 200, "Nothing to do")
	if strings.Contains(history.body, "success check") || !strings.Contains(b.get("/executions").body,
		"Its success check was not met") {
		t.Error("the history is not narrowed to runs that found nothing to do")
	}
	list := b.get("/sessions")
	list.expect(t, 200, "Failed")
	list.expect(t, 200, "Nothing to do")
	list = b.get("/sessions?automation=" + automationOf(t, b, failed))
	if !strings.Contains(list.body, failed) || strings.Contains(list.body, skipped) {
		t.Error("the sessions are not narrowed to an automation")
	}
	b.get(skipped).expect(t, 200, "The run did not begin, so nothing was changed.")
	b.get(skipped+"/changes").expect(t, 200, "The run did not begin")
}

func automationOf(t *testing.T, b *browser, session string) string {
	t.Helper()
	s, err := db.SessionByID(t.Context(), b.server.DB, uuid.MustParse(strings.TrimPrefix(session, "/sessions/")))
	check(t, err)
	return s.AutomationID.String()
}

// Whoever loses the right to see a session, or signs out, must not go on reading what they have open.
func TestAStreamEndsForWhoMayNotSeeItsSessionAnyMore(t *testing.T) {
	x := newWalk(t)
	id := subjects["session"](x)
	for name, lose := range map[string]func(who *browser){
		"the membership": func(who *browser) {
			check(t, db.RemoveMember(t.Context(), x.server.DB, uuid.MustParse(x.workspace), who.actor.ID))
		},
		"the permission": func(who *browser) { check(t, db.SetRoles(t.Context(), x.server.DB, who.actor.ID, nil)) },
		"the account": func(who *browser) {
			check(t, db.SetDeactivated(t.Context(), x.server.DB, who.actor.ID, time.Now(), time.Now()))
		},
		"the sign-in": func(who *browser) {
			check(t, db.DeleteLogins(t.Context(), x.server.DB, who.actor.ID, uuid.Nil))
		},
	} {
		who := x.as("Reader "+name, account.RoleManager)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, x.http.URL+"/sessions/"+id.String()+
			"/stream", nil)
		check(t, err)
		res, err := who.client.Do(req)
		check(t, err)
		if res.StatusCode != http.StatusOK {
			t.Fatalf("the stream answered %d", res.StatusCode)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, res.Body)
			ended <- err
		}()
		lose(who)
		deadline, again := time.After(patience), time.NewTicker(20*time.Millisecond)
		defer again.Stop()
		for over := false; !over; {
			x.server.Runs.Wake("session", id) // as something new of the session does
			select {
			case <-ended:
				over = true
			case <-deadline:
				t.Errorf("without %s the stream goes on", name)
				over = true
			case <-again.C:
			}
		}
		_ = res.Body.Close()
	}
}
