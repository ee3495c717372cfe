package runs_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/prompt"
	"carillon/app/spec"
	"carillon/app/transcript"
	"carillon/app/web/webtest"
	"carillon/db"
)

func TestAPausedProviderIsShownWithItsReasonAndItsSessionsSayThatTheyWait(t *testing.T) {
	s := webtest.Open(t)
	mira := s.As("Mira", "administrator")
	run := s.AgentRun(mira)
	until := time.Now().Add(time.Hour)
	_, err := db.InsertPause(t.Context(), s.Server.DB, &db.ProviderPause{
		Provider: "agent", Since: time.Now(), Until: until, FailedAt: time.Now(), Failures: 1,
		ErrorClass: agent.FailRateLimit, Reason: "the usage limit is reached",
	})
	webtest.Check(t, err)
	mira.Get("/settings/providers").Expect(t, http.StatusOK, "Paused: Quota or rate limit.")
	mira.Get("/settings/providers").Expect(t, http.StatusOK, "1 session waiting")
	mira.Get("/sessions/"+run.Session.ID.String()).Expect(t, http.StatusOK, "Waiting for Agent until "+until.UTC().
		Format("2 January, 15:04"))
	for _, page := range []string{"/", "/sessions"} {
		mira.Get(page).Expect(t, http.StatusOK, "waits for Agent until "+until.UTC().Format("2 January, 15:04"))
	}
	if a := mira.Post("/settings/providers/agent/resumption"); a.StatusCode != http.StatusSeeOther {
		t.Errorf("Resume now answered %d", a.StatusCode)
	}
	if a := mira.Get("/sessions/" + run.Session.ID.String()); strings.Contains(a.Text, "Waiting for Agent") {
		t.Error("after Resume now the session says still that it waits")
	}
}

func TestAQueuedSessionNamesTheWorkersThatHaveItsAgentAndAreFull(t *testing.T) {
	s := webtest.Open(t)
	mira := s.As("Mira", "administrator")
	var workers []db.Worker
	s.Server.Workers = func() []db.Worker { return workers }
	s.Claimed(s.AgentRun(mira)) // by w
	page := "/sessions/" + s.AgentRun(mira).Session.ID.String()
	has, lacks := map[string]db.WorkerProvider{"agent": {Version: "1"}},
		map[string]db.WorkerProvider{"agent": {Problem: "agent was not found in PATH"}}
	alone := []db.Worker{{ID: "w", Name: "forge-1", Slots: 1, Providers: has}}
	for _, tt := range []struct {
		name    string
		workers []db.Worker
		want    string
	}{
		{"the only worker is full", alone, "a place on forge-1:"},
		{"another lacks the agent", append(alone, db.Worker{ID: "x", Name: "forge-2", Slots: 1, Providers: lacks}),
			"a place on forge-1, which has Agent:"},
		{"another has a place", append(alone, db.Worker{ID: "x", Name: "forge-2", Slots: 1, Providers: has}), ""},
		{"no worker lives", nil, ""},
		{"none has the agent", []db.Worker{{ID: "w", Name: "forge-1", Slots: 1, Providers: lacks}}, ""},
	} {
		workers = tt.workers
		if a := mira.Get(page); strings.Contains(a.Text, "Waiting for "+cmp.Or(tt.want, "a place")) != (tt.want != "") {
			t.Errorf("%s: the page does not say %q, or says that it waits", tt.name, tt.want)
		}
		for _, list := range []string{"/", "/sessions"} {
			if a := mira.Get(list); strings.Contains(a.Text, "waits for "+strings.TrimSuffix(cmp.Or(tt.want, "a place"),
				":")) != (tt.want != "") {
				t.Errorf("%s: %s says otherwise than %q", tt.name, list, tt.want)
			}
		}
	}
}

func TestASessionThatWaitsForASilentWorkerSaysSoAndAnAdministratorGivesItUp(t *testing.T) {
	s := webtest.Open(t)
	mira, mo := s.As("Mira", account.RoleAdministrator), s.As("Mo", account.RoleManager)
	id := s.AgentRun(mira).Session.ID
	seen := time.Now().Add(-db.WorkerSilence - time.Minute)
	webtest.Check(t, db.SaveWorker(t.Context(), s.Server.DB, &db.Worker{ID: "w", Name: "forge-1", SeenAt: seen}))
	_, err := s.Server.DB.NewRaw(
		"UPDATE sessions SET worker = 'w', branch = 'carillon/x', files_changed = 1 WHERE id = ?", id).Exec(t.Context())
	webtest.Check(t, err)
	page, last := "/sessions/"+id.String(), "forge-1, last seen "+seen.UTC().Format("2 January, 15:04")
	mira.Get(page).Expect(t, http.StatusOK, "Waiting for the worker "+last)
	mira.Get("/sessions").Expect(t, http.StatusOK, "waits for worker "+last)
	if a := mo.Get(page); !strings.Contains(a.Text, last) || strings.Contains(a.Text, page+"/relocation") {
		t.Error("who is no administrator does not see whom it waits for, or is offered to give the worker up")
	}
	mira.Get(page).Expect(t, http.StatusOK, page+"/relocation")
	mo.Post(page+"/relocation").Expect(t, http.StatusForbidden, "")
	mira.Post(page+"/relocation").Expect(t, http.StatusSeeOther, "")
	if a := mira.Get(page); strings.Contains(a.Text, "Waiting for the worker") {
		t.Error("it waits still")
	}
	var n int
	webtest.Check(t, s.Server.DB.NewRaw(
		"SELECT count(*) FROM audit_events WHERE action = 'session.give_up_worker' AND subject_id = ?",
		id).Scan(t.Context(), &n))
	if n != 1 {
		t.Errorf("the audit log has it %d times; want once", n)
	}
}

func TestASessionThatHasYetToPassItsGateSaysSo(t *testing.T) {
	s := webtest.Open(t)
	mira := s.As("Mira", account.RoleAdministrator)
	a, _, err := s.Rules.Definitions().Create(t.Context(), mira.Actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Audit",
		Workspace:      s.Workspace,
		Trigger:        "manual",
		SessionType:    "chat",
		Prompt:         "Look around.",
		Provider:       "agent",
		Gate:           spec.Gate{BranchMoved: true},
		Retries:        2,
	}})
	webtest.Check(t, err)
	run, err := s.Rules.Runs().RunNow(t.Context(), mira.Actor, a.ID, nil)
	webtest.Check(t, err)
	mira.Get("/sessions").Expect(t, http.StatusOK, "waits for its gate")
	mira.Get("/sessions/"+run.Session.ID.String()).Expect(t, http.StatusOK, "Waiting for its gate.")
}

func appendEvents(s *webtest.Site, lease db.Lease, events ...db.SessionEvent) {
	s.T.Helper()
	tx, err := s.Server.DB.BeginTx(s.T.Context(), nil)
	webtest.Check(s.T, err)
	webtest.Check(s.T, db.AppendEvents(s.T.Context(), tx, lease, events))
	webtest.Check(s.T, tx.Commit())
}

func TestConversationGoesOnFromThePage(t *testing.T) {
	s := webtest.Open(t)
	mira, eve := s.As("Mira", "administrator"), s.As("Eve", "member")
	run := s.AgentRun(mira)
	lease := s.Claimed(run)
	page := "/sessions/" + run.Session.ID.String()
	for _, action := range []string{"/interruption", "/context", "/messages/" + uuid.NewString() + "/withdrawal"} {
		if a := eve.Post(page + action); a.StatusCode != http.StatusNotFound {
			t.Errorf("POST %s of a stranger answered %d; want 404", action, a.StatusCode)
		}
	}
	mira.Get(page).Expect(t, http.StatusOK, "Interrupt")
	mira.Post(page+"/messages", "message", "And then the tests.")
	mira.Get(page+"/queued").Expect(t, http.StatusOK, "And then the tests.")
	turns, err := db.QueuedReplies(t.Context(), s.Server.DB, run.Session.ID)
	webtest.Check(t, err)
	mira.Post(page + "/messages/" + turns[0].ID.String() + "/withdrawal")
	if a := mira.Get(page + "/queued"); strings.Contains(a.Text, "And then the tests.") {
		t.Error("a message that was taken back still waits")
	}
	mira.Post(page + "/context")
	mira.Get(page).Expect(t, http.StatusOK, "The next turn begins a new conversation.")
	mira.Post(page + "/interruption")
	held, err := db.SessionByID(t.Context(), s.Server.DB, run.Session.ID)
	webtest.Check(t, err)
	if held.InterruptAt.IsZero() || !held.ResetContext {
		t.Errorf("asked to interrupt at %s, to forget %v", held.InterruptAt, held.ResetContext)
	}
	webtest.Check(t, s.Rules.Runs().Finish(t.Context(), lease, automation.Outcome{
		Status: db.Canceled, Reason: "interrupted", Interrupted: true,
	}))
	mira.Get(page).Expect(t, http.StatusOK, "Waiting")
}

func TestRawEventsAreDownloadedWholeAndInOrder(t *testing.T) {
	s := webtest.Open(t)
	mira, eve := s.As("Mira", "administrator"), s.As("Eve", "member")
	run := s.AgentRun(mira)
	lease := s.Claimed(run)
	turn := uuid.New()
	const n = 3*500 + 7 // several batches
	events := make([]db.SessionEvent, n)
	for i := range events {
		events[i] = db.SessionEvent{
			SessionID: run.Session.ID, Seq: int64(i + 1), TurnID: turn, At: time.Now(), Kind: "text",
			Body: json.RawMessage(fmt.Sprintf(`{"text":"<%d>"}`, i+1)),
		}
	}
	for batch := range slices.Chunk(events, 1000) {
		appendEvents(s, lease, batch...)
	}
	path := "/sessions/" + run.Session.ID.String() + "/events.ndjson"
	if a := eve.Get(path); a.StatusCode != http.StatusNotFound {
		t.Errorf("a stranger's download answered %d; want 404", a.StatusCode)
	}
	a := mira.Get(path)
	lines := strings.Split(strings.TrimSuffix(a.Text, "\n"), "\n")
	if a.StatusCode != http.StatusOK || len(lines) != n || !strings.Contains(a.Header.Get("Content-Disposition"),
		"attachment") {
		t.Fatalf("answered %d with %d lines, %s; want %d", a.StatusCode, len(lines),
			a.Header.Get("Content-Disposition"), n)
	}
	for i, line := range lines {
		var e struct {
			Seq  int64     `json:"seq"`
			Turn uuid.UUID `json:"turn"`
		}
		webtest.Check(t, json.Unmarshal([]byte(line), &e))
		if e.Seq != int64(i+1) || e.Turn != turn {
			t.Fatalf("line %d is %s", i, line)
		}
	}
}

func TestFailuresAreToldInWordsWithTheirAttempts(t *testing.T) {
	s := webtest.Open(t)
	mira := s.As("Mira", "administrator")
	run := s.AgentRun(mira)
	lease := s.Claimed(run)
	webtest.Check(t, db.AddAttempt(t.Context(), s.Server.DB, &db.Attempt{
		ExecutionID: run.Execution.ID, Attempt: 1, FailedAt: time.Now(), RetryAt: time.Now(),
		ErrorClass: agent.FailTransient, Reason: "the server answered 500",
	}))
	webtest.Check(t, s.Rules.Runs().Finish(t.Context(), lease, automation.Outcome{
		Status: db.Failed, Class: agent.FailRateLimit, Reason: "the quota is used up", Neutral: true,
	}))
	page := mira.Get("/executions/" + run.Execution.ID.String())
	for _, want := range []string{"Quota or rate limit", "Attempt 1 failed: the server answered 500",
		"Neither for nor against the automation", "Transient"} {
		page.Expect(t, http.StatusOK, want)
	}
	mira.Get("/executions").Expect(t, http.StatusOK, "Quota or rate limit: the quota is used up")
}

func TestATranscriptShowsToolsPlansPermissionsAndUsage(t *testing.T) {
	s := webtest.Open(t)
	mira := s.As("Mira", "administrator")
	run := s.AgentRun(mira)
	lease := s.Claimed(run)
	turn := uuid.New()
	var events []db.SessionEvent
	add := func(kind string, body any) {
		raw, err := json.Marshal(body)
		webtest.Check(t, err)
		events = append(events, db.SessionEvent{
			SessionID: run.Session.ID, Seq: int64(len(events) + 1), TurnID: turn, At: time.Now(), Kind: kind, Body: raw,
		})
	}
	add(transcript.KindPlan, transcript.Event{
		Kind: transcript.KindPlan, Plan: []transcript.Step{{Text: "Read it", State: "completed"},
			{Text: "Mend it", State: "in_progress"}},
	})
	add(transcript.KindTool, transcript.Event{
		Kind: transcript.KindTool, ID: "1", Tool: &transcript.Tool{
			Name: "Bash", Title: "List", Input: json.RawMessage(`{"command":"ls -l /srv"}`),
		},
	})
	add(transcript.KindTool, transcript.Event{
		Kind: transcript.KindTool, ID: "1", Tool: &transcript.Tool{Result: "total 0"}, Done: true, OK: true,
	})
	add(transcript.KindTool, transcript.Event{
		Kind: transcript.KindTool, ID: "2", Tool: &transcript.Tool{
			Name: "Edit", Title: "a.go", Edits: []transcript.Edit{{
				Path: "a.go", Action: "update", Old: "a\nb\nc\n", New: "a\nB\nc\n",
			}},
		}, Done: true, OK: true,
	})
	add(transcript.KindPermission, transcript.Event{Kind: transcript.KindPermission, Text: "Run rm", OK: false})
	add("retry", map[string]any{"failed": 1, "allowed": 3, "at": time.Now()})
	add("turn_end", map[string]any{
		"status": "succeeded", "seconds": 2, "usage": transcript.Usage{
			Known: true, Input: 1200, CacheRead: 300, Output: 40,
		},
	})
	add("turn_end", map[string]any{
		"status": "failed", "class": agent.FailTransient, "reason": "500", "seconds": 2, "usage": transcript.Usage{},
	})
	appendEvents(s, lease, events...)
	page := mira.Get("/sessions/" + run.Session.ID.String())
	for _, want := range []string{"Mend it", "ls -l /srv", "total 0", "<strong>Refused: </strong>",
		"Attempt 1 of 3 failed.", "1,500 tokens in (300 cached), 40 out", "usage unknown", "Transient: 500"} {
		page.Expect(t, http.StatusOK, want)
	}
	if got := strings.Count(page.Text, `class="dl dl-`); got != 2 {
		t.Errorf("the edit of one line shows %d changed lines; want 2", got)
	}
}

func TestASessionSaysForWhomItActsAndWhatItMay(t *testing.T) {
	s := webtest.Open(t)
	owner, manager := s.As("Jonas", account.RoleMember), s.As("Max", account.RoleManager)
	in := automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Audit",
		Workspace:      s.Workspace,
		Trigger:        "manual",
		SessionType:    "develop",
		Prompt:         "Look.",
		Provider:       "agent",
		MayAutomate:    true,
		Retries:        2,
	}}
	a, _, err := s.Rules.Definitions().Create(t.Context(), owner.Actor, in)
	webtest.Check(t, err)
	run, err := s.Rules.Runs().RunNow(t.Context(), manager.Actor, a.ID, nil)
	webtest.Check(t, err)
	page := manager.Get("/sessions/" + run.Session.ID.String()).Text
	for _, want := range []string{"Acts for", "Max, Jonas",
		"manage own automations, create and edit tickets, use the Shell provider"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of a session lacks %q", want)
		}
	}
	if strings.Contains(page, "everyone’s automations") {
		t.Error("the page names a right that the owner of the automation has not")
	}
}

func TestARefusedReplyKeepsTheTranscriptAndWhatWasTyped(t *testing.T) {
	b := webtest.Open(t).As("Jonas", "member")
	path := b.Started()
	b.Work("The dependencies are sound.", automation.Outcome{Status: db.Succeeded}, nil)
	long := "far too long " + strings.Repeat("x", prompt.MaxBytes)
	refused := b.Post(path+"/messages", "message", long)
	refused.Expect(t, 422, "The message is over 256 KiB.")
	refused.Expect(t, 422, "The dependencies are sound.")
	refused.Expect(t, 422, "far too long")
}

func TestATicketThatCouldNotBeLinkedKeepsTheTranscriptAndWhatWasTyped(t *testing.T) {
	b := webtest.Open(t).As("Jonas", "member")
	path := b.Started()
	b.Work("The dependencies are sound.", automation.Outcome{Status: db.Succeeded}, nil)
	refused := b.Post(path+"/tickets", "ticket", "twelve")
	refused.Expect(t, 422, "Write a ticket’s number, such as #12.")
	refused.Expect(t, 422, "The dependencies are sound.")
	refused.Expect(t, 422, "twelve")
}

func TestWhatChangedIsNotCalledNothingBeforeItIsKnown(t *testing.T) {
	b := webtest.Open(t).As("Jonas", "member")
	path := b.Started()
	b.Get(path).Expect(t, 200, "Changed files are listed when the agent has finished.")
	b.Work("Done.", automation.Outcome{
		Status: db.Failed, Reason: "interrupted by a restart", Neutral: true, FilesChanged: true,
	}, nil)
	b.Get(path).Expect(t, 200, "It is not known which files were changed")
	path = b.Started()
	b.Work("Done.", automation.Outcome{Status: db.Succeeded}, &db.ChangeSummary{})
	b.Get(path).Expect(t, 200, "No file was changed.")
}

func TestATextThatIsFarTooLongComesBackToItsForm(t *testing.T) {
	b := webtest.Open(t).As("Jonas", "member")
	b.Post("/automations", "name", "Kept", "workspace", b.Workspace, "trigger", "manual", "session_type", "develop",
		"provider", "agent",
		"prompt", strings.Repeat("é", 1<<20)).Expect(t, 422, "At most 256 KiB fit.")
}

func TestTheTimeForReviewIsNotTimeAtWork(t *testing.T) {
	b := webtest.Open(t).As("Jonas", "member")
	path := b.Started()
	b.Work("Done.", automation.Outcome{Status: db.Succeeded}, nil)
	var before, after time.Time
	read := func(at *time.Time) {
		webtest.Check(t, b.Server.DB.NewRaw("SELECT ended_at FROM sessions").Scan(t.Context(), at))
	}
	read(&before)
	b.Post(path+"/completion").Expect(t, 303, "")
	if read(&after); !after.Equal(before) {
		t.Errorf("marking it done moved its end from %s to %s", before, after)
	}
}

func TestWhatCameOfARunIsSeenAndNarrowedToInBothLists(t *testing.T) {
	b := webtest.Open(t).As("Jonas", "member")
	b.Started()
	b.Work("x", automation.Outcome{Status: db.Succeeded, NothingToDo: true, Answer: "NOTHING TO DO"}, nil)
	failed := b.Started()
	b.Work("x", automation.Outcome{
		Status: db.Failed, Class: "success_check", Reason: "its success check was not met: exit 4",
	}, nil)
	skipped := b.Started()
	b.Work("x", automation.Outcome{Status: db.Skipped, Neutral: true, Reason: "its gate did not let it begin: exit 3"},
		nil)

	history := b.Get("/executions?status=nothing_to_do")
	history.Expect(t, 200, "Nothing to do")
	if strings.Contains(history.Text, "success check") || !strings.Contains(b.Get("/executions").Text,
		"Its success check was not met") {
		t.Error("the history is not narrowed to runs that found nothing to do")
	}
	list := b.Get("/sessions")
	list.Expect(t, 200, "Failed")
	list.Expect(t, 200, "Nothing to do")
	list = b.Get("/sessions?automation=" + automationOf(t, b, failed))
	if !strings.Contains(list.Text, failed) || strings.Contains(list.Text, skipped) {
		t.Error("the sessions are not narrowed to an automation")
	}
	b.Get(skipped).Expect(t, 200, "The run did not begin, so nothing was changed.")
	b.Get(skipped+"/changes").Expect(t, 200, "The run did not begin")
}

func automationOf(t *testing.T, b *webtest.Browser, session string) string {
	t.Helper()
	s, err := db.SessionByID(t.Context(), b.Server.DB, uuid.MustParse(strings.TrimPrefix(session, "/sessions/")))
	webtest.Check(t, err)
	return s.AutomationID.String()
}

// Whoever loses the right to see a session, or signs out, must not go on reading what they have open.
func TestAStreamEndsForWhoMayNotSeeItsSessionAnyMore(t *testing.T) {
	x := webtest.NewWalk(t)
	id := webtest.Subjects["session"](x)
	for name, lose := range map[string]func(who *webtest.Browser){
		"the membership": func(who *webtest.Browser) {
			webtest.Check(t, db.RemoveMember(t.Context(), x.Server.DB, uuid.MustParse(x.Workspace), who.Actor.ID))
		},
		"the permission": func(who *webtest.Browser) {
			webtest.Check(t,
				db.SetRoles(t.Context(), x.Server.DB, who.Actor.ID, nil))
		},
		"the account": func(who *webtest.Browser) {
			webtest.Check(t, db.SetDeactivated(t.Context(), x.Server.DB, who.Actor.ID, time.Now(), time.Now()))
		},
		"the sign-in": func(who *webtest.Browser) {
			webtest.Check(t, db.DeleteLogins(t.Context(), x.Server.DB, who.Actor.ID, uuid.Nil))
		},
	} {
		who := x.As("Reader "+name, account.RoleManager)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, x.HTTP.URL+"/sessions/"+id.String()+
			"/stream", nil)
		webtest.Check(t, err)
		res, err := who.Client.Do(req)
		webtest.Check(t, err)
		if res.StatusCode != http.StatusOK {
			t.Fatalf("the stream answered %d", res.StatusCode)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, res.Body)
			ended <- err
		}()
		lose(who)
		deadline, again := time.After(webtest.Patience), time.NewTicker(20*time.Millisecond)
		defer again.Stop()
		for over := false; !over; {
			x.Server.Runs.Wake("session", id) // as something new of the session does
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
