package jobs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/git"
	"carillon/app/inbox"
	"carillon/app/spec"
	"carillon/app/toggle"
	"carillon/db"
)

// ask runs an automation of the test's agent.
func (k *kit) ask(prompt string, change func(*automation.Input)) *automation.Run {
	k.t.Helper()
	return k.run(prompt, func(in *automation.Input) {
		in.Provider = "agent"
		if change != nil {
			change(in)
		}
	})
}

func (k *kit) turns(run *automation.Run) []db.Turn {
	k.t.Helper()
	list, err := db.TurnsOf(k.t.Context(), k.db, run.Session.ID)
	check(k.t, err)
	return list
}

// kinds are the kinds of a person's notices, oldest first.
func (k *kit) kinds() []string {
	k.t.Helper()
	list, err := db.Notifications(k.t.Context(), k.db, db.NotificationFilter{User: k.actor.ID, Limit: 100})
	check(k.t, err)
	var kinds []string
	for _, n := range slices.Backward(list) {
		kinds = append(kinds, n.Kind)
	}
	return kinds
}

func TestPassesFollowTheRunAsMessagesOfTheirOwnAndABlockingReviewIsTold(t *testing.T) {
	k, messages := setupAgent(t)
	check(t, (&toggle.Service{DB: k.db, Now: time.Now}).Save(t.Context(), k.actor, map[string]string{
		"code_review": "[[say It leaks.]][[say REVIEW: BLOCKING]]", "verification": "[[say It holds.]]",
		"edge_cases": "Mind the gap.",
	}, ""))
	run := k.ask("[[say Written.]][[write a.txt|x]]", func(in *automation.Input) {
		in.Toggles = []string{"edge_cases", "code_review", "verification"}
	})
	e := k.ended(run)
	if e.Status != db.Succeeded || e.Answer != "Written." {
		t.Errorf("the run %s with %q because %q; want its own answer", e.Status, e.Answer, e.Reason)
	}
	turns := k.turns(run)
	var got []string
	for _, turn := range turns {
		got = append(got, fmt.Sprintf("%s %s %s", turn.Kind, turn.Status, turn.Answer))
	}
	want := []string{"prompt succeeded Written.", "review succeeded It leaks.\nREVIEW: BLOCKING",
		"verification succeeded It holds."}
	if !slices.Equal(got, want) {
		t.Errorf("the messages are %q; want %q", got, want)
	}
	list := messages()
	if len(list) != 3 || !strings.Contains(list[0], "Mind the gap.") || !strings.Contains(list[1], "REVIEW: OK") ||
		strings.Contains(list[2], "Mind the gap.") {
		t.Errorf("the agent was told %q", list)
	}
	if !strings.Contains(list[0], "NOTHING TO DO") || strings.Contains(turns[0].Prompt, "NOTHING TO DO") {
		t.Error("how to say that there is nothing to do is not told beside the prompt")
	}
	if got := k.kinds(); !slices.Equal(got, []string{inbox.Review}) {
		t.Errorf("the notices are %v; want that of the review", got)
	}
}

func TestAReviewChangesNothingWhereItsProviderCanBeHeldToThatAndSeesTheDiff(t *testing.T) {
	k, _ := setupAgent(t)
	check(t, (&toggle.Service{DB: k.db, Now: time.Now}).Save(t.Context(), k.actor,
		map[string]string{"code_review": "[[tell]]", "verification": "[[tell]]"}, ""))
	run := k.ask("[[tell]][[write a.txt|made by the run]]", func(in *automation.Input) {
		in.Toggles = []string{"code_review", "verification"}
	})
	k.ended(run)
	turns := k.turns(run)
	for i, want := range []string{"mode ask", "mode look", "mode ask"} {
		if !strings.HasPrefix(turns[i].Answer, want) {
			t.Errorf("the %s ran with %.40q; want %s", turns[i].Kind, turns[i].Answer, want)
		}
	}
	if !strings.Contains(turns[1].Answer, "+made by the run") || strings.Contains(turns[1].Prompt, "+made by the run") {
		t.Errorf("the reviewer was told %q", turns[1].Answer)
	}
	claude := agent.Catalogue()[1]
	w := &work{bot: limits{AllowedTools: []string{"WebFetch"}}}
	if l := w.turnLimits(claude, &db.Turn{Kind: db.ReviewTurn}); !l.ReadOnly ||
		!slices.Contains(l.AllowedTools, "Bash(git diff:*)") || !slices.Contains(l.AllowedTools, "WebFetch") {
		t.Errorf("Claude Code reviews with %+v", l)
	}
	if l := w.turnLimits(claude, &db.Turn{Kind: db.PromptTurn}); l.ReadOnly {
		t.Error("Claude Code works as if it were reviewing")
	}
}

func TestAFailedPassDoesNotFailTheRunAndTheNextOneFollows(t *testing.T) {
	k, _ := setupAgent(t)
	check(t, (&toggle.Service{DB: k.db, Now: time.Now}).Save(t.Context(), k.actor, map[string]string{
		"code_review": "[[fail -32603 it broke]]", "verification": "[[say It holds.]]",
	}, ""))
	run := k.ask("[[say Fine.]]", func(in *automation.Input) { in.Toggles = []string{"code_review", "verification"} })
	if e := k.ended(run); e.Status != db.Succeeded || e.Answer != "Fine." {
		t.Errorf("the run %s with %q because %q; want success", e.Status, e.Answer, e.Reason)
	}
	turns := k.turns(run)
	if len(turns) != 3 || turns[1].Status != db.Failed || turns[2].Status != db.Succeeded {
		t.Errorf("the messages are %+v", turns)
	}
	if s := k.session(run.Session.ID); s.Status != db.SessionDone {
		t.Errorf("the session is %s; want Done", s.Status)
	}
}

func TestAFailedRunHasNoPasses(t *testing.T) {
	k, messages := setupAgent(t)
	run := k.ask("[[fail -32603 no]]", func(in *automation.Input) { in.Toggles = []string{"code_review"} })
	if e := k.ended(run); e.Status != db.Failed {
		t.Errorf("the run %s; want a failure", e.Status)
	}
	if n := len(messages()); n != 1 {
		t.Errorf("the agent got %d messages; want 1", n)
	}
}

func TestUsageIsRecordedPerMessageAndSummedPerRun(t *testing.T) {
	k, _ := setupAgent(t)
	check(t, (&toggle.Service{DB: k.db, Now: time.Now}).Save(t.Context(), k.actor, map[string]string{
		"code_review": "[[cost 0.75]][[say Good.]]", "verification": "[[say It holds.]][[nousage]]",
	}, ""))
	run := k.ask("[[cost 0.25]][[say Done.]]", func(in *automation.Input) {
		in.Toggles = []string{"code_review", "verification"}
	})
	e := k.ended(run)
	// The agent tells costs over the whole conversation, and nothing of its third message.
	want := db.Usage{Turns: 3, Counted: 2, Priced: 2, TokensIn: 200, TokensCached: 80, TokensOut: 40, CostUSD: 0.75}
	if e.Usage != want {
		t.Errorf("the run used %+v; want %+v", e.Usage, want)
	}
	turns := k.turns(run)
	if turns[0].CostUSD != 0.25 || turns[1].CostUSD != 0.5 || turns[1].TokensIn != 100 || turns[2].Counted ||
		turns[2].Priced {
		t.Errorf("the messages used %+v, %+v and %+v", turns[0].TurnUsage, turns[1].TurnUsage, turns[2].TurnUsage)
	}
	script := k.ended(k.run("true", nil))
	if script.Turns != 1 || script.Counted != 0 || script.Priced != 0 {
		t.Errorf("a script used %+v; want it unknown", script.Usage)
	}
}

func TestAGateRefusesBeforeTheAgentStartsAndItsWorktreeIsRemoved(t *testing.T) {
	k, messages := setupAgent(t)
	run := k.ask("[[say Hello]]", func(in *automation.Input) { in.Gate.Command = "echo looked; exit 3" })
	e := k.ended(run)
	if e.Status != db.Skipped || !e.Neutral || !strings.Contains(e.Reason, "its gate did not let it begin") ||
		!strings.Contains(e.Reason, "3") {
		t.Errorf("the run %s because %q, neutral %t; want it skipped by its gate", e.Status, e.Reason, e.Neutral)
	}
	if n := len(messages()); n != 0 || e.Turns != 0 {
		t.Errorf("the agent got %d messages; want none", n)
	}
	if s := k.session(run.Session.ID); s.Status != db.SessionCanceled {
		t.Errorf("the session is %s; want it canceled", s.Status)
	}
	k.eventually("the worktree to be removed", func() error {
		left, err := k.runner.Store.Worktrees()
		check(t, err)
		if s := k.session(run.Session.ID); s.WorktreeRemovedAt.IsZero() || slices.Contains(left, s.ID.String()) {
			return errors.New("it is still there")
		}
		return nil
	})
	k.eventually("the gate's output", func() error {
		if text := k.transcript(run.Session.ID); !strings.Contains(text, "looked") ||
			!strings.Contains(text, "Skipped: ") {
			return fmt.Errorf("the transcript is %q", text)
		}
		return nil
	})
}

func TestAGateLetsTheRunBeginInAFreshWorktree(t *testing.T) {
	k, _ := setupAgent(t)
	run := k.ask("[[say Hello]]", func(in *automation.Input) {
		in.Gate.Command = "echo litter > litter.txt; git add -A; git commit -qm litter"
	})
	e := k.ended(run)
	if e.Status != db.Succeeded {
		t.Fatalf("the run %s because %q; want success", e.Status, e.Reason)
	}
	if s := k.session(run.Session.ID); s.Status != db.SessionDone || s.FilesChanged != 0 {
		t.Errorf("the session is %s with %d files changed; want Done without the gate's litter", s.Status,
			s.FilesChanged)
	}
}

func TestAGateOnTheBranchSkipsUntilItMoves(t *testing.T) {
	k, messages := setupAgent(t)
	in := automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Watch",
		Workspace:      k.workspace.String(),
		Trigger:        "manual",
		SessionType:    "develop",
		Prompt:         "[[say ok]]",
		Provider:       "agent",
		AutoComplete:   true,
		Gate:           spec.Gate{BranchMoved: true},
		Retries:        2,
	}}
	a, _, err := k.rules.Definitions().Create(t.Context(), k.actor, in)
	check(t, err)
	again := func() *db.Execution {
		t.Helper()
		run, err := k.rules.Runs().RunNow(t.Context(), k.actor, a.ID, nil)
		check(t, err)
		return k.ended(run)
	}
	if e := again(); e.Status != db.Succeeded {
		t.Fatalf("the first run %s because %q; want success", e.Status, e.Reason)
	}
	if e := again(); e.Status != db.Skipped || !strings.Contains(e.Reason, "has not moved") {
		t.Errorf("the second run %s because %q; want it skipped", e.Status, e.Reason)
	}
	// Somebody's work reaches the default branch.
	other := k.run(
		"echo x > x.txt; git add -A; git -c user.name=x -c user.email=x@example.com commit -qm x; git push -q origin "+
			"HEAD:main 2>/dev/null || git update-ref refs/heads/main HEAD", nil)
	if e := k.ended(other); e.Status != db.Succeeded {
		t.Fatalf("moving the branch %s: %s", e.Status, e.Reason)
	}
	if e := again(); e.Status != db.Succeeded {
		t.Errorf("the third run %s because %q; want success", e.Status, e.Reason)
	}
	if n := len(messages()); n != 2 {
		t.Errorf("the agent got %d messages; want 2", n)
	}
}

func TestASuccessCheckThatIsNotMetFailsTheRunWithThatReason(t *testing.T) {
	k, _ := setupAgent(t)
	for _, tt := range []struct {
		name, prompt string
		change       func(*automation.Input)
		status       db.ExecutionStatus
		reason       string
	}{
		{"text missing", "[[say half]]", func(in *automation.Input) {
			in.Success.Contains = "ALL DONE"
		}, db.Failed, "does not contain “ALL DONE”"},
		{"text there", "[[say ALL DONE]]", func(in *automation.Input) {
			in.Success.Contains = "ALL DONE"
		}, db.Succeeded, ""},
		{"no files", "[[say x]]", func(in *automation.Input) {
			in.Success.FilesChanged = true
		}, db.Failed, "no files changed"},
		{"files", "[[write a.txt|x]]", func(in *automation.Input) { in.Success.FilesChanged = true }, db.Succeeded, ""},
		{"command fails", "[[write a.txt|x]]", func(in *automation.Input) {
			in.Success.Command = "grep -q y a.txt"
		}, db.Failed, "its success check was not met"},
		{"command succeeds", "[[write a.txt|y]]", func(in *automation.Input) {
			in.Success.Command = "grep -q y a.txt"
		}, db.Succeeded, ""},
		{"no pull request", "[[say x]]", func(in *automation.Input) {
			in.Success.PullRequest = true
		}, db.Failed, "no pull request was opened"},
		{"nothing to do", "[[say NOTHING TO DO]]", func(in *automation.Input) {
			in.Success.FilesChanged = true
		}, db.Succeeded, ""},
	} {
		e := k.ended(k.ask(tt.prompt, tt.change))
		if e.Status != tt.status || !strings.Contains(e.Reason, tt.reason) || e.Neutral {
			t.Errorf("%s: it %s because %q; want %s because %q", tt.name, e.Status, e.Reason, tt.status, tt.reason)
		}
		if nothing := e.Result == db.NothingToDo; nothing != (tt.name == "nothing to do") {
			t.Errorf("%s: nothing to do is %t", tt.name, nothing)
		}
		if tt.status == db.Failed && e.ErrorClass != "success_check" {
			t.Errorf("%s: the class is %q", tt.name, e.ErrorClass)
		}
	}
}

func TestASuccessCheckAsksTheForgeForAPullRequestThatNobodyTold(t *testing.T) {
	k, g := forgeKit(t)
	for _, tt := range []struct {
		opened bool
		want   db.ExecutionStatus
	}{{true, db.Succeeded}, {false, db.Failed}} {
		opened := filepath.Join(t.TempDir(), "opened")
		run := k.run("until [ -e '"+opened+"' ]; do sleep 0.02; done", func(in *automation.Input) {
			in.Success.PullRequest = true
		})
		if tt.opened {
			g.pull(9, "carillon/"+run.Session.ID.String(), "open", false)
		}
		check(t, os.WriteFile(opened, nil, 0o600))
		if e := k.ended(run); e.Status != tt.want {
			t.Errorf("with a pull request %t the run %s because %q; want %s", tt.opened, e.Status, e.Reason, tt.want)
		}
		if tt.opened {
			if list := k.pullRequests(run.Session.ID); len(list) != 1 || list[0].FoundBy != db.FoundByBranch {
				t.Errorf("the session has %+v; want the one of its branch", list)
			}
		}
	}
}

func TestASuccessCheckWhoseForgeCannotBeAskedIsNoFailureOfTheAutomation(t *testing.T) {
	k, g := forgeKit(t)
	for _, tt := range []struct {
		status  int
		neutral bool
	}{{503, true}, {429, true}, {422, false}} {
		g.mu.Lock()
		g.refuse, g.message = tt.status, "not now"
		g.mu.Unlock()
		run := k.run("true", func(in *automation.Input) {
			in.Name, in.Success.PullRequest = fmt.Sprint(tt.status), true
			in.Trigger, in.Cron, in.TimeZone = "recurring", "0 0 1 1 *", "UTC"
		})
		e := k.ended(run)
		if e.Status != db.Failed || e.Neutral != tt.neutral {
			t.Errorf("of a forge that answers %d the run %s because %q, neutral %t; want it failed, neutral %t",
				tt.status, e.Status, e.Reason, e.Neutral, tt.neutral)
		}
	}
	g.mu.Lock()
	g.refuse, g.message = 503, "not now"
	g.mu.Unlock()
	run := k.run("true", func(in *automation.Input) {
		in.Name, in.Success.PullRequest, in.Success.FilesChanged = "Another check", true, true
	})
	if e := k.ended(run); e.Status != db.Failed || e.Neutral {
		t.Errorf("a run that changed no file %s because %q, neutral %t; want a failure that counts", e.Status, e.Reason,
			e.Neutral)
	}
}

func TestNothingToDoHasNoPasses(t *testing.T) {
	k, messages := setupAgent(t)
	e := k.ended(k.ask("[[say NOTHING TO DO]]", func(in *automation.Input) { in.Toggles = []string{"code_review"} }))
	if e.Status != db.Succeeded || e.Result != db.NothingToDo || len(messages()) != 1 {
		t.Errorf("the run %s with the result %q after %d messages", e.Status, e.Result, len(messages()))
	}
}

func TestAUsedUpBudgetOfARunStopsBetweenMessages(t *testing.T) {
	k, messages := setupAgent(t)
	run := k.ask("[[cost 2]][[say Done.]]", func(in *automation.Input) {
		in.Toggles = []string{"code_review"}
		in.Budget.Run.Money = 1
	})
	if e := k.ended(run); e.Status != db.Succeeded || e.CostUSD != 2 {
		t.Errorf("the run %s because %q; want what it did to count", e.Status, e.Reason)
	}
	if n := len(messages()); n != 1 {
		t.Errorf("the agent got %d messages; want 1", n)
	}
	k.eventually("a note in the transcript", func() error {
		if text := k.transcript(run.Session.ID); !strings.Contains(text,
			"Code Review was left out: its budget of $1.00 a run is used up") {
			return fmt.Errorf("the transcript is %q", text)
		}
		return nil
	})
	if got := k.kinds(); !slices.Equal(got, []string{inbox.Budget}) {
		t.Errorf("the notices are %v; want that of the budget", got)
	}
}

func TestABudgetThatIsUsedUpStopsAMessageAtWork(t *testing.T) {
	k, _ := setupAgent(t)
	run := k.ask("[[cost 2]][[hang]]", func(in *automation.Input) {
		in.Budget = spec.Budget{Run: spec.Limits{Money: 1, Turns: 1}}
	})
	e := k.ended(run)
	if e.Status != db.Failed || !e.Neutral || e.ErrorClass != db.ErrorBudget || e.CostUSD != 2 ||
		!strings.Contains(e.Reason, "its budget of $1.00 a run is used up") {
		t.Errorf("the run %s because %q (%s, neutral %t, $%g); want it stopped by its budget", e.Status, e.Reason,
			e.ErrorClass, e.Neutral, e.CostUSD)
	}
	if turns := k.turns(run); len(turns) != 1 || turns[0].CostUSD != 2 || turns[0].Priced || turns[0].Counted {
		t.Errorf("the message is %+v; want it to have cost $2 at least", turns)
	}
}

func TestMinutesThatAreUsedUpStopAnAgentAtWorkWithoutAFailure(t *testing.T) {
	k, _ := setupAgent(t)
	run := k.run("sleep 6000", func(in *automation.Input) { in.Budget = spec.Budget{Run: spec.Limits{Minutes: 0.01}} })
	e := k.ended(run)
	if e.Status != db.Failed || !e.Neutral || e.ErrorClass != db.ErrorBudget ||
		!strings.Contains(e.Reason, "its budget of") {
		t.Errorf("the run %s because %q (%s, neutral %t); want it stopped by its budget", e.Status, e.Reason,
			e.ErrorClass, e.Neutral)
	}
	a, err := db.AutomationByID(t.Context(), k.db, e.AutomationID)
	check(t, err)
	if a.FailureStreak != 0 {
		t.Errorf("%d failures; want none", a.FailureStreak)
	}
}

func TestAPassGoesOnAfterARestartWithTheRunsOwnAnswer(t *testing.T) {
	k, messages := setupAgent(t)
	toggles := &toggle.Service{DB: k.db, Now: time.Now}
	check(t, toggles.Save(t.Context(), k.actor, map[string]string{"code_review": "[[hang]]"}, ""))
	run := k.ask("[[say Written.]]", func(in *automation.Input) { in.Toggles = []string{"code_review"} })
	k.eventually("the review to be at work", func() error {
		if turns := k.turns(run); len(turns) < 2 || turns[1].Status != db.Running {
			return fmt.Errorf("the messages are %+v", turns)
		}
		return nil
	})
	k.stop()
	_, err := k.db.NewRaw("UPDATE turns SET prompt = '[[say fine]][[say REVIEW: OK]]' WHERE kind = 'review'").
		Exec(t.Context())
	check(t, err)
	old := k.runner
	k.runner = &Runner{
		DB: old.DB, Rules: old.Rules, Store: &git.Store{Root: old.Store.Root}, Providers: old.Providers,
		Worker: old.Worker, Max: old.Max,
		Data: old.Data, Now: old.Now, Log: old.Log,
	}
	k.start()
	e := k.ended(run)
	if e.Status != db.Succeeded || e.Answer != "Written." {
		t.Errorf("the run %s with %q because %q; want its own answer", e.Status, e.Answer, e.Reason)
	}
	if turns := k.turns(run); len(turns) != 2 || turns[1].Answer != "fine\nREVIEW: OK" ||
		strings.Count(strings.Join(messages(), "\n"), "[[say Written.]]") != 1 {
		t.Errorf("the messages are %+v; the agent got %q", turns, messages())
	}
	if entries, err := os.ReadDir(filepath.Join(old.Data, "runs")); err != nil || len(entries) != 0 {
		t.Errorf("of the runs' folders %d are left (%v)", len(entries), err)
	}
}
