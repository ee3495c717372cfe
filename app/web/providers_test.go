package web

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/app/transcript"
	"carillon/db"
	"carillon/views"
)

func TestProvidersAreSeenByAllAndChangedByWhoManagesSettings(t *testing.T) {
	s := open(t)
	mira, jonas := s.as("Mira", "administrator"), s.as("Jonas", "member")
	there := db.WorkerProvider{Path: "/bin/bash", Version: "5.2"}
	workers := []db.Worker{{Name: "forge-1", Providers: map[string]db.WorkerProvider{
		"shell": there, "agent": {Problem: "agent was not found in PATH", Keys: []string{"PATH"}},
	}}}
	s.server.Workers = func() []db.Worker { return workers }
	s.server.Providers = func() []agent.Provider {
		return []agent.Provider{{ID: "shell", Name: "Shell script", Driver: agent.DriverShell},
			{ID: "agent", Name: "Agent", Install: "npm install -g agent", Keys: []string{"PATH", "ABSENT_KEY"}}}
	}
	a := jonas.get("/settings/providers")
	for _, want := range []string{"/bin/bash", "5.2", "Agent was not found in PATH", "npm install -g agent",
		"ABSENT_KEY", "You can view these settings"} {
		a.expect(t, http.StatusOK, want)
	}
	if strings.Contains(a.body, "Resume now") || strings.Contains(a.body, ">Test<") ||
		strings.Contains(a.body, "/usr/bin:") {
		t.Error("who may not change settings is offered to, or sees the value of a variable")
	}
	workers = append(workers, db.Worker{
		Name: "forge-2", Providers: map[string]db.WorkerProvider{"agent": {
			Path: "/opt/agent", Version: "3.1", Models: []string{"big"},
		}},
	}, db.Worker{Name: "forge-3"})
	a = jonas.get("/settings/providers")
	for _, want := range []string{"forge-1", ": agent was not found in PATH", "forge-2", "/opt/agent", "forge-3",
		"detecting", "Models, listed by the agent", "big"} {
		a.expect(t, http.StatusOK, want)
	}
	workers = nil
	jonas.get("/settings/providers").expect(t, http.StatusOK, "No worker is running")
	for _, path := range []string{"", "/agent", "/agent/enabled", "/agent/models", "/agent/trial", "/agent/resumption",
		"/agent/deletion"} {
		if a := jonas.post("/settings/providers"+path, "name", "x", "command",
			"x"); a.StatusCode != http.StatusForbidden {
			t.Errorf("POST /settings/providers%s of a member answered %d; want 403", path, a.StatusCode)
		}
	}
	for _, path := range []string{"/new", "/agent/edit"} {
		if a := jonas.get("/settings/providers" + path); a.StatusCode != http.StatusForbidden {
			t.Errorf("GET /settings/providers%s of a member answered %d; want 403", path, a.StatusCode)
		}
	}
	if a := mira.post("/settings/providers/nonsense/trial"); a.StatusCode != http.StatusNotFound {
		t.Errorf("the trial of no provider answered %d; want 404", a.StatusCode)
	}

	mira.post("/settings/providers", "name", "Mine", "command", `"open`).expect(t, http.StatusUnprocessableEntity,
		"left open")
	if a := mira.post("/settings/providers", "name", "Mine", "command", "mine --acp 'a b'", "keys",
		"MY_KEY"); a.StatusCode != http.StatusSeeOther ||
		a.Header.Get("Location") != "/settings/providers#provider-mine" {
		t.Errorf("adding an agent answered %d to %s", a.StatusCode, a.Header.Get("Location"))
	}
	mira.get("/settings/providers/mine/edit").expect(t, http.StatusOK, `value="mine --acp &#39;a b&#39;"`)
	mira.post("/settings/providers/agent/models", "models", strings.Repeat("x", 300)).
		expect(t, http.StatusUnprocessableEntity, "At most 200 fit")
	if a := mira.post("/settings/providers/agent/models", "models", "one\ntwo"); a.StatusCode != http.StatusSeeOther {
		t.Errorf("saving models answered %d", a.StatusCode)
	}
	if a := mira.post("/settings/providers/agent/enabled", "enabled", "false"); a.StatusCode != http.StatusSeeOther {
		t.Errorf("switching off answered %d", a.StatusCode)
	}
	mira.get("/settings/providers").expect(t, http.StatusOK, "Switched off")

	if a := mira.post("/settings/providers/agent/trial"); a.StatusCode != http.StatusSeeOther {
		t.Errorf("Test answered %d", a.StatusCode)
	}
	mira.get("/settings/providers").expect(t, http.StatusOK, "Testing with one real turn")
	trial, err := db.ClaimTrial(t.Context(), s.server.DB, "w", time.Now())
	check(t, err)
	trial.FinishedAt, trial.ErrorClass, trial.Reason = time.Now(), agent.FailAuth, "not signed in"
	check(t, db.FinishTrial(t.Context(), s.server.DB, trial))
	mira.get("/settings/providers").expect(t, http.StatusOK, "The test failed: Authentication")
}

func TestAPausedProviderIsShownWithItsReasonAndItsSessionsSayThatTheyWait(t *testing.T) {
	s := open(t)
	mira := s.as("Mira", "administrator")
	run := s.agentRun(mira)
	until := time.Now().Add(time.Hour)
	_, err := db.InsertPause(t.Context(), s.server.DB, &db.ProviderPause{
		Provider: "agent", Since: time.Now(), Until: until, FailedAt: time.Now(), Failures: 1,
		ErrorClass: agent.FailRateLimit, Reason: "the usage limit is reached",
	})
	check(t, err)
	mira.get("/settings/providers").expect(t, http.StatusOK, "Paused: Quota or rate limit.")
	mira.get("/settings/providers").expect(t, http.StatusOK, "1 session waiting")
	mira.get("/sessions/"+run.Session.ID.String()).expect(t, http.StatusOK, "Waiting for Agent until "+until.UTC().
		Format("2 January, 15:04"))
	for _, page := range []string{"/", "/sessions"} {
		mira.get(page).expect(t, http.StatusOK, "waits for Agent until "+until.UTC().Format("2 January, 15:04"))
	}
	if a := mira.post("/settings/providers/agent/resumption"); a.StatusCode != http.StatusSeeOther {
		t.Errorf("Resume now answered %d", a.StatusCode)
	}
	if a := mira.get("/sessions/" + run.Session.ID.String()); strings.Contains(a.body, "Waiting for Agent") {
		t.Error("after Resume now the session says still that it waits")
	}
}

func TestAQueuedSessionNamesTheWorkersThatHaveItsAgentAndAreFull(t *testing.T) {
	s := open(t)
	mira := s.as("Mira", "administrator")
	var workers []db.Worker
	s.server.Workers = func() []db.Worker { return workers }
	s.claimed(s.agentRun(mira)) // by w
	page := "/sessions/" + s.agentRun(mira).Session.ID.String()
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
		if a := mira.get(page); strings.Contains(a.body, "Waiting for "+cmp.Or(tt.want, "a place")) != (tt.want != "") {
			t.Errorf("%s: the page does not say %q, or says that it waits", tt.name, tt.want)
		}
		for _, list := range []string{"/", "/sessions"} {
			if a := mira.get(list); strings.Contains(a.body, "waits for "+strings.TrimSuffix(cmp.Or(tt.want, "a place"),
				":")) != (tt.want != "") {
				t.Errorf("%s: %s says otherwise than %q", tt.name, list, tt.want)
			}
		}
	}
}

func TestASessionThatWaitsForASilentWorkerSaysSoAndAnAdministratorGivesItUp(t *testing.T) {
	s := open(t)
	mira, mo := s.as("Mira", account.RoleAdministrator), s.as("Mo", account.RoleManager)
	id := s.agentRun(mira).Session.ID
	seen := time.Now().Add(-db.WorkerSilence - time.Minute)
	check(t, db.SaveWorker(t.Context(), s.server.DB, &db.Worker{ID: "w", Name: "forge-1", SeenAt: seen}))
	_, err := s.server.DB.NewRaw(
		"UPDATE sessions SET worker = 'w', branch = 'carillon/x', files_changed = 1 WHERE id = ?", id).Exec(t.Context())
	check(t, err)
	page, last := "/sessions/"+id.String(), "forge-1, last seen "+seen.UTC().Format("2 January, 15:04")
	mira.get(page).expect(t, http.StatusOK, "Waiting for the worker "+last)
	mira.get("/sessions").expect(t, http.StatusOK, "waits for worker "+last)
	if a := mo.get(page); !strings.Contains(a.body, last) || strings.Contains(a.body, page+"/relocation") {
		t.Error("who is no administrator does not see whom it waits for, or is offered to give the worker up")
	}
	mira.get(page).expect(t, http.StatusOK, page+"/relocation")
	mo.post(page+"/relocation").expect(t, http.StatusForbidden, "")
	mira.post(page+"/relocation").expect(t, http.StatusSeeOther, "")
	if a := mira.get(page); strings.Contains(a.body, "Waiting for the worker") {
		t.Error("it waits still")
	}
	var n int
	check(t, s.server.DB.NewRaw(
		"SELECT count(*) FROM audit_events WHERE action = 'session.give_up_worker' AND subject_id = ?",
		id).Scan(t.Context(), &n))
	if n != 1 {
		t.Errorf("the audit log has it %d times; want once", n)
	}
}

func TestASessionThatHasYetToPassItsGateSaysSo(t *testing.T) {
	s := open(t)
	mira := s.as("Mira", account.RoleAdministrator)
	a, _, err := s.rules.Definitions().Create(t.Context(), mira.actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Audit",
		Workspace:      s.workspace,
		Trigger:        "manual",
		SessionType:    "chat",
		Prompt:         "Look around.",
		Provider:       "agent",
		Gate:           spec.Gate{BranchMoved: true},
		Retries:        2,
	}})
	check(t, err)
	run, err := s.rules.Runs().RunNow(t.Context(), mira.actor, a.ID, nil)
	check(t, err)
	mira.get("/sessions").expect(t, http.StatusOK, "waits for its gate")
	mira.get("/sessions/"+run.Session.ID.String()).expect(t, http.StatusOK, "Waiting for its gate.")
}

// agentRun starts a run of an automation of the provider agent.
func (s *site) agentRun(b *browser) *automation.Run {
	s.t.Helper()
	a, _, err := s.rules.Definitions().Create(s.t.Context(), b.actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Audit",
		Workspace:      s.workspace,
		Trigger:        "manual",
		SessionType:    "chat",
		Prompt:         "Look around.",
		Provider:       "agent",
		Retries:        2,
	}})
	check(s.t, err)
	run, err := s.rules.Runs().RunNow(s.t.Context(), b.actor, a.ID, nil)
	check(s.t, err)
	return run
}

// claimed takes the session of a run, as a worker would.
func (s *site) claimed(run *automation.Run) db.Lease {
	s.t.Helper()
	tx, err := s.server.DB.BeginTx(s.t.Context(), nil)
	check(s.t, err)
	list, err := db.ClaimSessions(s.t.Context(), tx, "w", 1, time.Now(), time.Now().Add(time.Hour))
	check(s.t, err)
	check(s.t, tx.Commit())
	if len(list) != 1 || list[0].ID != run.Session.ID {
		s.t.Fatalf("claimed %+v", list)
	}
	return db.Lease{Session: list[0].ID, Worker: "w", Fence: list[0].Fence}
}

func (s *site) append(lease db.Lease, events ...db.SessionEvent) {
	s.t.Helper()
	tx, err := s.server.DB.BeginTx(s.t.Context(), nil)
	check(s.t, err)
	check(s.t, db.AppendEvents(s.t.Context(), tx, lease, events))
	check(s.t, tx.Commit())
}

func TestConversationGoesOnFromThePage(t *testing.T) {
	s := open(t)
	mira, eve := s.as("Mira", "administrator"), s.as("Eve", "member")
	run := s.agentRun(mira)
	lease := s.claimed(run)
	page := "/sessions/" + run.Session.ID.String()
	for _, action := range []string{"/interruption", "/context", "/messages/" + uuid.NewString() + "/withdrawal"} {
		if a := eve.post(page + action); a.StatusCode != http.StatusNotFound {
			t.Errorf("POST %s of a stranger answered %d; want 404", action, a.StatusCode)
		}
	}
	mira.get(page).expect(t, http.StatusOK, "Interrupt")
	mira.post(page+"/messages", "message", "And then the tests.")
	mira.get(page+"/queued").expect(t, http.StatusOK, "And then the tests.")
	turns, err := db.QueuedReplies(t.Context(), s.server.DB, run.Session.ID)
	check(t, err)
	mira.post(page + "/messages/" + turns[0].ID.String() + "/withdrawal")
	if a := mira.get(page + "/queued"); strings.Contains(a.body, "And then the tests.") {
		t.Error("a message that was taken back still waits")
	}
	mira.post(page + "/context")
	mira.get(page).expect(t, http.StatusOK, "The next turn begins a new conversation.")
	mira.post(page + "/interruption")
	held, err := db.SessionByID(t.Context(), s.server.DB, run.Session.ID)
	check(t, err)
	if held.InterruptAt.IsZero() || !held.ResetContext {
		t.Errorf("asked to interrupt at %s, to forget %v", held.InterruptAt, held.ResetContext)
	}
	check(t, s.rules.Runs().Finish(t.Context(), lease, automation.Outcome{
		Status: db.Canceled, Reason: "interrupted", Interrupted: true,
	}))
	mira.get(page).expect(t, http.StatusOK, "Waiting")
}

func TestRawEventsAreDownloadedWholeAndInOrder(t *testing.T) {
	s := open(t)
	mira, eve := s.as("Mira", "administrator"), s.as("Eve", "member")
	run := s.agentRun(mira)
	lease := s.claimed(run)
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
		s.append(lease, batch...)
	}
	path := "/sessions/" + run.Session.ID.String() + "/events.ndjson"
	if a := eve.get(path); a.StatusCode != http.StatusNotFound {
		t.Errorf("a stranger's download answered %d; want 404", a.StatusCode)
	}
	a := mira.get(path)
	lines := strings.Split(strings.TrimSuffix(a.body, "\n"), "\n")
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
		check(t, json.Unmarshal([]byte(line), &e))
		if e.Seq != int64(i+1) || e.Turn != turn {
			t.Fatalf("line %d is %s", i, line)
		}
	}
}

func TestFailuresAreToldInWordsWithTheirAttempts(t *testing.T) {
	s := open(t)
	mira := s.as("Mira", "administrator")
	run := s.agentRun(mira)
	lease := s.claimed(run)
	check(t, db.AddAttempt(t.Context(), s.server.DB, &db.Attempt{
		ExecutionID: run.Execution.ID, Attempt: 1, FailedAt: time.Now(), RetryAt: time.Now(),
		ErrorClass: agent.FailTransient, Reason: "the server answered 500",
	}))
	check(t, s.rules.Runs().Finish(t.Context(), lease, automation.Outcome{
		Status: db.Failed, Class: agent.FailRateLimit, Reason: "the quota is used up", Neutral: true,
	}))
	page := mira.get("/executions/" + run.Execution.ID.String())
	for _, want := range []string{"Quota or rate limit", "Attempt 1 failed: the server answered 500",
		"Neither for nor against the automation", "Transient"} {
		page.expect(t, http.StatusOK, want)
	}
	mira.get("/executions").expect(t, http.StatusOK, "Quota or rate limit: the quota is used up")
}

func TestATranscriptShowsToolsPlansPermissionsAndUsage(t *testing.T) {
	s := open(t)
	mira := s.as("Mira", "administrator")
	run := s.agentRun(mira)
	lease := s.claimed(run)
	turn := uuid.New()
	var events []db.SessionEvent
	add := func(kind string, body any) {
		raw, err := json.Marshal(body)
		check(t, err)
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
	s.append(lease, events...)
	page := mira.get("/sessions/" + run.Session.ID.String())
	for _, want := range []string{"Mend it", "ls -l /srv", "total 0", "<strong>Refused: </strong>",
		"Attempt 1 of 3 failed.", "1,500 tokens in (300 cached), 40 out", "usage unknown", "Transient: 500"} {
		page.expect(t, http.StatusOK, want)
	}
	if got := strings.Count(page.body, `class="dl dl-`); got != 2 {
		t.Errorf("the edit of one line shows %d changed lines; want 2", got)
	}
}

func TestAModelThatWasRefusedIsMarkedWhereModelsAreOffered(t *testing.T) {
	s := open(t)
	s.server.Providers = func() []agent.Provider {
		return []agent.Provider{{ID: "agent", Name: "Agent", Models: []string{"large", "small"}},
			{ID: "other", Name: "Other", Models: []string{"small"}}}
	}
	mira := s.as("Mira", "administrator")
	check(t, db.RecordModelRefusal(t.Context(), s.server.DB, &db.RefusedModel{
		Provider: "agent", Model: "small", RefusedAt: time.Date(2025, 3, 9, 12, 0, 0, 0, time.UTC),
		Reason: "there is no such model",
	}, time.Time{}))
	run := s.agentRun(mira)
	for path, marked := range map[string]bool{
		"/automations/models?provider=agent": true, "/automations/models?provider=other": false,
		views.AutomationURL(run.Execution.AutomationID.String()) + "/edit": true,
	} {
		a := mira.get(path)
		if got := strings.Contains(a.body,
			`<option value="small" label="small (refused on 9 Mar 2025)">`); got != marked ||
			strings.Count(a.body, "refused on") > 1 {
			t.Errorf("%s marks the model: %t, among %d marks; want %t and no other", path, got,
				strings.Count(a.body, "refused on"), marked)
		}
	}
}
