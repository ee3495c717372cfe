package automation_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/app/spec"
	"carillon/app/toggle"
	"carillon/db"
)

// prompts lists the messages that a run began with.
func (k *kit) prompts(run *automation.Run) []db.Turn {
	k.T.Helper()
	list, err := db.TurnsOf(k.T.Context(), k.DB, run.Session.ID)
	check(k.T, err)
	return list
}

func (k *kit) runNow(a *db.Automation) *automation.Run {
	k.T.Helper()
	run, err := k.Runs().RunNow(k.T.Context(), k.Jonas, a.ID, nil)
	check(k.T, err)
	return run
}

// use notes what the first message of a run at work used.
func (k *kit) use(run *automation.Run, u db.TurnUsage) {
	k.T.Helper()
	s, err := db.SessionByID(k.T.Context(), k.DB, run.Session.ID)
	check(k.T, err)
	_, err = db.NextTurn(k.T.Context(), k.DB, lease(*s), run.Execution.ID, k.Now())
	check(k.T, err)
	check(k.T, db.AddUsage(k.T.Context(), k.DB, lease(*s), k.prompts(run)[0].ID, u))
}

func limited(period string, l spec.Limits) func(*automation.Input) {
	return func(in *automation.Input) {
		in.Budget = spec.Budget{}
		switch period {
		case "run":
			in.Budget.Run = l
		case "day":
			in.Budget.Day = l
		case "month":
			in.Budget.Month = l
		}
	}
}

func TestInstructionTogglesAddTheirTextsToTheFirstPromptInTheirOrder(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) {
		in.Toggles = []string{"update_docs", "code_review", "edge_cases", "code_architecture", "update_tests",
			"ux_enhancement", "verification"}
	})
	turns := k.prompts(k.runNow(a))
	want := "Look around."
	for _, key := range []string{"code_architecture", "ux_enhancement", "edge_cases", "update_tests", "update_docs"} {
		want += "\n\n" + toggleOf(key).Text
	}
	if len(turns) != 1 || turns[0].Prompt != want {
		t.Errorf("the run begins with %d messages, the first %q; want %q", len(turns), turns[0].Prompt, want)
	}
	if got := k.Reload(a).Toggles; !slices.Equal(got, []string{"code_architecture", "ux_enhancement", "edge_cases",
		"code_review", "verification", "update_tests", "update_docs"}) {
		t.Errorf("the toggles are stored as %v; want the editor's order", got)
	}
}

func TestDueRunsHaveTheirTogglesToo(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { recurring("0 13 * * *")(in); in.Toggles = []string{"update_docs"} })
	k.Tick(begun.Add(time.Hour))
	e := k.History(a)[0]
	turns, err := db.TurnsOf(t.Context(), k.DB, e.SessionID)
	check(t, err)
	if len(turns) != 1 || !strings.HasPrefix(turns[0].Prompt, "Look around.\n\nDocumentation: ") {
		t.Errorf("the run was asked %q; want the instruction of Update Docs behind the prompt", turns[0].Prompt)
	}
}

func TestTogglesAreForDevelopSessionsOfAgentsAlone(t *testing.T) {
	k := setup(t)
	chat := k.Make(func(in *automation.Input) { in.SessionType, in.Toggles = "chat", []string{"edge_cases"} })
	if len(chat.Toggles) != 0 {
		t.Errorf("a Chat automation has the toggles %v; want none", chat.Toggles)
	}
	in := k.Input()
	in.Provider, in.Toggles = "shell", []string{"edge_cases"}
	_, _, err := k.Definitions().Create(t.Context(), k.Mira, in)
	if got := wantInvalid(t, err, "toggles"); !strings.Contains(got, "takes no instructions") {
		t.Errorf("toggles of a script are refused with %q", got)
	}
}

func TestTextsOfTogglesAreEditedByThoseWhoMayChangeSettings(t *testing.T) {
	k := setup(t)
	ctx, toggles := t.Context(), &toggle.Service{DB: k.DB, Now: k.Now}
	wantErr(t, toggles.Save(ctx, k.Jonas, map[string]string{"edge_cases": "x"}, ""), fault.ErrForbidden)
	wantErr(t, toggles.Reset(ctx, k.Jonas, "edge_cases"), fault.ErrForbidden)
	_, err := toggles.List(ctx, k.Jonas)
	wantErr(t, err, fault.ErrForbidden)
	wantErr(t, toggles.Save(ctx, k.Mira, map[string]string{"nonsense": "x"}, ""), fault.ErrNotFound)
	wantInvalid(t, toggles.Save(ctx, k.Mira, map[string]string{"edge_cases": " "}, ""), "edge_cases")

	a := k.Make(func(in *automation.Input) { in.Toggles = []string{"edge_cases"} })
	check(t, toggles.Save(ctx, k.Mira, map[string]string{"edge_cases": "Mind the {{gap}}.\r\nBoth."}, ""))
	if got := k.prompts(k.runNow(a))[0].Prompt; got != "Look around.\n\nMind the {{gap}}.\nBoth." {
		t.Errorf("with a changed text the prompt is %q", got)
	}
	k.EndRuns(success)
	check(t, toggles.Reset(ctx, k.Mira, "edge_cases"))
	tg := toggleOf("edge_cases")
	if got := k.prompts(k.runNow(a))[0].Prompt; got != "Look around.\n\n"+tg.Text {
		t.Errorf("after a reset the prompt is %q", got)
	}
	audit, err := db.AuditEvents(ctx, k.DB, db.AuditFilter{Action: "setting.update", Limit: 10})
	check(t, err)
	if len(audit) != 2 {
		t.Errorf("the audit log has %d changes of settings; want 2", len(audit))
	}
}

func TestABlockingReviewIsToldOnceAndAnotherIsNot(t *testing.T) {
	k := setup(t)
	run := k.runNow(k.Make(nil))
	claimed := k.Claim()[0]
	check(t, k.Runs().NotifyOfReview(t.Context(), lease(claimed), run.Execution.ID, "Fine.\nREVIEW: OK"))
	check(t, k.Runs().NotifyOfReview(t.Context(), lease(claimed), run.Execution.ID,
		"It says REVIEW: BLOCKING somewhere, but ends otherwise."))
	k.ExpectInbox(k.Jonas)
	for range 2 {
		check(t, k.Runs().NotifyOfReview(t.Context(), lease(claimed), run.Execution.ID,
			"main.go:3 leaks the token.\n\n**REVIEW: BLOCKING**\n"))
	}
	k.ExpectInbox(k.Jonas, inbox.Review)
	list, err := k.Inbox.List(t.Context(), k.Jonas, db.NotificationFilter{Limit: 1})
	check(t, err)
	if list[0].Body != "main.go:3 leaks the token." || list[0].SessionID != run.Session.ID {
		t.Errorf("the notice says %q", list[0].Body)
	}
}

func TestNothingToDoNeedsTheMarkAndNoChanges(t *testing.T) {
	for _, tt := range []struct {
		answer  string
		changed bool
		want    bool
	}{
		{"All is up to date.\nNOTHING TO DO", false, true},
		{"All is up to date.\n\n`NOTHING TO DO.`\n", false, true},
		{"All is up to date.\nNOTHING TO DO", true, false},
		{"NOTHING TO DO is what I would say, but there is.", false, false},
		{"", false, false},
	} {
		if got := automation.NothingToDo(tt.answer, tt.changed); got != tt.want {
			t.Errorf("NothingToDo(%q, %t) = %t; want %t", tt.answer, tt.changed, got, tt.want)
		}
	}
}

func TestNothingToDoIsASuccessOfItsOwn(t *testing.T) {
	k := setup(t)
	a := k.Make(nil)
	k.runNow(a)
	k.EndRuns(automation.Outcome{Status: db.Succeeded, NothingToDo: true, Answer: "NOTHING TO DO"})
	if e := k.History(a)[0]; e.Status != db.Succeeded || e.Result != db.NothingToDo {
		t.Errorf("the run %s with the result %q; want a success with nothing to do", e.Status, e.Result)
	}
}

func TestARunThatItsGateSkipsIsNeutralAndItsSessionIsClosed(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("0 * * * *"))
	for i := range 4 {
		k.Tick(begun.Add(time.Duration(i+1) * time.Hour))
		for _, s := range k.EndRuns(automation.Outcome{Status: db.Skipped, Reason: "the branch has not moved",
			Neutral: true}) {
			if got := k.SessionAgain(s.ID); got.Status != db.SessionCanceled {
				t.Errorf("the session is %s; want Canceled", got.Status)
			}
		}
	}
	k.ExpectStatuses(a, "skipped skipped skipped skipped")
	a = k.Reload(a)
	if !a.Enabled || a.FailureStreak != 0 || a.SkipID != [16]byte{} {
		t.Errorf("enabled %t, %d failures, streak %s; want it untouched", a.Enabled, a.FailureStreak, a.SkipID)
	}
	k.ExpectInbox(k.Jonas)
}

func TestALoopAsksItsGateAgainAfterAMinuteAndCountsNoIteration(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { loop(in); in.MaxIterations = 1 })
	k.Tick(begun)
	k.EndRuns(automation.Outcome{Status: db.Skipped, Reason: "no", Neutral: true})
	a = k.Reload(a)
	if !a.Enabled || a.Iterations != 0 || !a.NextRunAt.Equal(begun.Add(automation.GatePause)) {
		t.Errorf("enabled %t with %d iterations, next %s; want it to ask again in %s", a.Enabled, a.Iterations,
			a.NextRunAt, automation.GatePause)
	}
	k.Tick(begun.Add(automation.GatePause))
	k.EndRuns(success)
	if a = k.Reload(a); a.Enabled {
		t.Error("the loop goes on after its one iteration")
	}
}

func TestALoopWhoseGateIsClosedHasOneRowAndOneNoticeAStreakAndNoSession(t *testing.T) {
	k := setup(t)
	a := k.Make(loop)
	at, closed := begun, automation.Outcome{Status: db.Skipped, Reason: "the branch has not moved", Neutral: true}
	ask := func(o automation.Outcome) {
		t.Helper()
		k.Tick(at)
		if n := len(k.EndRuns(o)); n != 1 {
			t.Fatalf("at %s the gate was asked %d times; want once", at, n)
		}
		at = at.Add(automation.GatePause)
	}
	for range 5 {
		ask(closed)
	}
	k.ExpectStatuses(a, "skipped×5")
	e := k.History(a)[0]
	if e.SessionID != uuid.Nil || e.ErrorClass != db.ErrorGate || !e.ScheduledFor.Equal(begun) ||
		!e.LastSkippedFor.Equal(begun.Add(4*automation.GatePause)) {
		t.Errorf("the row has the session %s, the class %q and is for %s to %s", e.SessionID, e.ErrorClass,
			e.ScheduledFor, e.LastSkippedFor)
	}
	var sessions, turns int
	check(t, k.DB.NewRaw("SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM turns)").
		Scan(t.Context(), &sessions, &turns))
	if sessions != 0 || turns != 0 {
		t.Errorf("there are %d sessions with %d messages; want none", sessions, turns)
	}
	k.ExpectInbox(k.Jonas, inbox.Skipped)
	ask(success) // the streak is over
	ask(closed)
	ask(closed)
	k.ExpectStatuses(a, "skipped×5 succeeded skipped×2")
	k.ExpectInbox(k.Jonas, inbox.Skipped, inbox.Skipped)
	if b := k.Reload(a); !b.Enabled || b.Iterations != 1 || b.FailureStreak != 0 {
		t.Errorf("it is enabled=%t with %d iterations and %d failures; want enabled with 1 and none", b.Enabled,
			b.Iterations, b.FailureStreak)
	}
}

func TestGateLooksAtTheBranchAndAtOpenPullRequests(t *testing.T) {
	k := setup(t)
	ctx := t.Context()
	a := k.Make(nil)
	g := db.Gate{BranchMoved: true, NoOpenPR: true}
	refuses := func(base, want string) {
		t.Helper()
		got, err := k.Runs().GateRefuses(ctx, a.ID, g, base)
		check(t, err)
		if !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("at %q the gate says %q; want %q", base, got, want)
		}
	}
	refuses("aaa", "") // there was no success yet
	run := k.runNow(a)
	k.Claim()
	_, err := k.DB.NewRaw("UPDATE sessions SET base_commit = 'aaa' WHERE id = ?", run.Session.ID).Exec(ctx)
	check(t, err)
	check(t, k.Runs().Finish(ctx, lease(*k.SessionAgain(run.Session.ID)), success))
	refuses("aaa", "has not moved")
	refuses("bbb", "")
	_, err = k.DB.NewRaw(`INSERT INTO pull_requests (id, session_id, forge, repository, number, url, key, state, found_by, created_at, updated_at)
		VALUES (?, ?, 'github', 'a/b', 7, 'https://github.com/a/b/pull/7', 'k', 'open', 'branch', now(), now())`,
		db.NewID(), run.Session.ID).Exec(ctx)
	check(t, err)
	refuses("bbb", "https://github.com/a/b/pull/7 is still open")
	_, err = k.DB.NewRaw("UPDATE pull_requests SET state = 'merged'").Exec(ctx)
	check(t, err)
	refuses("bbb", "")
}

func TestCommandsOfChecksNeedThePermissionForTheShell(t *testing.T) {
	k := setup(t)
	plain := account.ActorOf(&db.User{ID: k.Jonas.ID, Name: "Jonas", Permissions: []string{string(account.Manage)}})
	in := k.Input()
	in.Gate.Command, in.Success.Command = "true", "make test"
	_, _, err := k.Definitions().Create(t.Context(), plain, in)
	wantInvalid(t, err, "gate_command")
	wantInvalid(t, err, "success_command")

	a, _, err := k.Definitions().Create(t.Context(), k.Mira, in)
	check(t, err)
	_, err = k.DB.NewRaw("UPDATE automations SET creator_id = ? WHERE id = ?", k.Jonas.ID, a.ID).Exec(t.Context())
	check(t, err)
	in.Version, in.Name = a.Version, "Renamed"
	_, _, err = k.Definitions().Update(t.Context(), plain, a.ID, in)
	check(t, err) // what was there may stay
	in.Version, in.Gate.Command = a.Version+1, "false"
	_, _, err = k.Definitions().Update(t.Context(), plain, a.ID, in)
	wantInvalid(t, err, "gate_command")
	in.Gate.Command, in.Success.Command = "", ""
	_, _, err = k.Definitions().Update(t.Context(), plain, a.ID, in)
	check(t, err) // and be taken away
}

func TestACommandDoesNotRunForAnOwnerWhoMayRunNone(t *testing.T) {
	k := setup(t)
	a := k.Make(nil)
	_, err := k.DB.NewRaw(`UPDATE automations SET gate = '{"command": "true"}' WHERE id = ?`, a.ID).Exec(t.Context())
	check(t, err)
	_, err = k.DB.NewRaw(
		"UPDATE roles SET permissions = array_remove(permissions, 'shell.use') WHERE id IN (SELECT role_id FROM "+
			"user_roles WHERE user_id = ?)", k.Jonas.ID).Exec(t.Context())
	check(t, err)
	_, err = k.Runs().Start(t.Context(), a.ID, automation.Trigger{Source: db.ByHand, UserID: k.Jonas.ID})
	var unable *automation.Unable
	if !errors.As(err, &unable) || !strings.Contains(unable.Reason, "Jonas, who owns the automation, may not run any") {
		t.Errorf("starting gave %v", err)
	}
}

func TestASuccessCheckForAPullRequestExcludesCreatingOneAfterwards(t *testing.T) {
	k := setup(t)
	in := k.Input()
	in.Success.PullRequest, in.CreatePR = true, true
	_, _, err := k.Definitions().Create(t.Context(), k.Jonas, in)
	wantInvalid(t, err, "success_pull_request")
}

func TestASuccessCheckSaysWhatIsMissing(t *testing.T) {
	k := setup(t)
	run := k.runNow(k.Make(nil))
	for _, tt := range []struct {
		check   db.SuccessCheck
		answer  string
		changed bool
		want    string
	}{
		{db.SuccessCheck{}, "", false, ""},
		{db.SuccessCheck{Contains: "DONE"}, "not yet", true, "the final answer does not contain “DONE”"},
		{db.SuccessCheck{Contains: "DONE"}, "ALL DONE", false, ""},
		{db.SuccessCheck{FilesChanged: true}, "", false, "no files changed"},
		{db.SuccessCheck{FilesChanged: true}, "", true, ""},
		{db.SuccessCheck{PullRequest: true}, "", true, "no pull request was opened"},
	} {
		got, err := k.Runs().Unmet(t.Context(), tt.check, run.Session.ID, tt.answer, tt.changed)
		check(t, err)
		if !strings.Contains(got, tt.want) || (tt.want == "") != (got == "") {
			t.Errorf("%+v lacks %q; want %q", tt.check, got, tt.want)
		}
	}
}

// toggleOf is a session toggle by its key.
func toggleOf(key string) toggle.Toggle {
	return toggle.All[slices.IndexFunc(toggle.All, func(t toggle.Toggle) bool { return t.Key == key })]
}
