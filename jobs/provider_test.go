package jobs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/provider"
	"carillon/app/spec"
	"carillon/app/transcript"
	"carillon/db"
)

// fakeAgent is a program that speaks claude's stream. Its folder has what it was given, and how it is to answer.
type fakeAgent struct {
	t   *testing.T
	dir string
}

// fakeScript notes its arguments and prompt, and answers by the newest of the files that tell it how.
const fakeScript = `#!/bin/bash
dir="$(dirname "$0")"
prompt="$(cat)"
resume=new
for a in "$@"; do
	case "$a" in
	--version) echo "9.9.9"; exit 0;;
	--resume=*) resume="${a#--resume=}";;
	--max-budget-usd=*) most="${a#--max-budget-usd=}";;
	esac
done
echo "$resume $prompt" >> "$dir/calls"
n=$(wc -l < "$dir/calls")
id="$resume"; if [ "$id" = new ]; then id="conversation-$n"; fi
echo '{"type":"system","subtype":"init","session_id":"'$id'","model":"m"}'
how=ok
if [ -e "$dir/how" ]; then how="$(head -n 1 "$dir/how")"; sed -i 1d "$dir/how"; fi
case "$how" in
500|401|429) echo '{"type":"result","subtype":"success","is_error":true,"api_error_status":'$how',"result":"API Error: '$how' from the server","session_id":"'$id'","usage":{"input_tokens":7,"output_tokens":1}}'; exit 1;;
hang) echo '{"type":"assistant","message":{"content":[{"type":"text","text":"thinking"}]},"session_id":"'$id'"}'; touch "$dir/hanging"; sleep 300;;
unknown) echo '{"type":"result","subtype":"error_during_execution","is_error":true,"session_id":"of-no-use-'$n'","errors":["No conversation found with session ID: '$resume'"]}'; exit 1;;
write) echo changed > made.txt;;
held) touch "$dir/hanging"; while [ ! -e "$dir/go" ]; do sleep 0.05; done; echo changed > made.txt; touch "$dir/done";;
costly) echo '{"type":"result","subtype":"error_max_budget_usd","is_error":true,"session_id":"'$id'","total_cost_usd":'$most',"usage":{"input_tokens":0}}'; exit 1;;
esac
echo '{"type":"result","subtype":"success","is_error":false,"result":"answer '$n'","session_id":"'$id'","total_cost_usd":0.25,"usage":{"input_tokens":10,"output_tokens":3,"cache_read_input_tokens":1000,"cache_creation_input_tokens":0}}'
`

// withAgent gives a kit that has not been started a provider of its own.
func (k *kit) withAgent() *fakeAgent {
	k.t.Helper()
	f := &fakeAgent{t: k.t, dir: k.t.TempDir()}
	check(k.t, os.WriteFile(filepath.Join(f.dir, "fake"), []byte(fakeScript), 0o700))
	fake := agent.Provider{
		ID: "fake", Name: "Fake agent", Driver: agent.DriverClaude, Command: []string{filepath.Join(f.dir, "fake")},
		SignIn: "Sign it in.", Keys: []string{"FAKE_*"},
	}
	k.runner.Providers = func() []agent.Provider { return []agent.Provider{agent.Catalogue()[0], fake} }
	k.rules.Providers.List = func() []provider.Provider {
		return []provider.Provider{{ID: "shell", Name: "Shell", Script: true}, {ID: "fake", Name: "Fake agent"}}
	}
	return f
}

// answers tells how the next calls are answered, in order; those after them succeed.
func (f *fakeAgent) answers(how ...string) {
	f.t.Helper()
	check(f.t, os.WriteFile(filepath.Join(f.dir, "how"), []byte(strings.Join(how, "\n")+"\n"), 0o600))
}

// calls are what it was asked: the conversation that it went on with, and the prompt.
func (f *fakeAgent) calls() []string {
	f.t.Helper()
	text, err := os.ReadFile(filepath.Join(f.dir, "calls"))
	if os.IsNotExist(err) {
		return nil
	}
	check(f.t, err)
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

func fakeChat(in *automation.Input) {
	in.Provider, in.SessionType, in.AutoComplete = "fake", "chat", false
}

// waits until a session has a status.
func (k *kit) waits(session uuid.UUID, status db.SessionStatus) *db.Session {
	k.t.Helper()
	var s *db.Session
	k.eventually("the session to be "+string(status), func() error {
		if s = k.session(session); s.Status != status {
			return fmt.Errorf("it is %s", s.Status)
		}
		return nil
	})
	return s
}

// events are the kinds and bodies of a session's events, one a line.
func (k *kit) events(session uuid.UUID) string {
	k.t.Helper()
	list, err := db.LatestEvents(k.t.Context(), k.db, session, 10_000)
	check(k.t, err)
	var b strings.Builder
	for _, e := range list {
		fmt.Fprintf(&b, "%s %s\n", e.Kind, e.Body)
	}
	return b.String()
}

// soon lets queued sessions that rest start now.
func (k *kit) soon() {
	k.t.Helper()
	_, err := k.db.ExecContext(context.WithoutCancel(k.t.Context()),
		"UPDATE sessions SET queued_at = now() WHERE status = 'queued'")
	check(k.t, err)
	k.runner.Wake()
}

func TestAMomentsTroubleIsTriedAgainAndEachAttemptIsSeen(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	f := k.withAgent()
	f.answers("500", "500")
	k.start()
	run := k.run("do it", func(in *automation.Input) {
		in.Provider, in.Budget = "fake", spec.Budget{Run: spec.Limits{Turns: 1}} // attempts are one message
	})
	for i := range 2 {
		k.eventually("the attempt to fail", func() error {
			if got := len(f.calls()); got != i+1 || k.session(run.Session.ID).Status != db.SessionQueued {
				return fmt.Errorf("%d calls", got)
			}
			return nil
		})
		if i == 0 { // the pause between attempts outlives the server
			k.stop()
			k.start()
		}
		k.soon()
	}
	e := k.ended(run)
	if e.Status != db.Succeeded || e.Answer != "answer 3" {
		t.Errorf("the run is %s with %q: %s; want a success of the third attempt", e.Status, e.Answer, e.Reason)
	}
	if e.TokensIn != 7+7+10 || e.Turns != 1 {
		t.Errorf("the run counts %d tokens of %d turns; want those of all attempts, 24, of one", e.TokensIn, e.Turns)
	}
	list, err := db.AttemptsOf(t.Context(), k.db, e.ID)
	check(t, err)
	if len(list) != 2 || list[0].ErrorClass != agent.FailTransient {
		t.Errorf("the attempts are %+v; want two, transient", list)
	}
	for _, call := range f.calls() {
		if call != "new do it" {
			t.Errorf("an attempt was called with %q; want each to begin as the first did", call)
		}
	}
	if text := k.events(run.Session.ID); strings.Count(text, `retry {"failed"`) != 2 &&
		strings.Count(text, "\nretry ") != 2 {
		t.Errorf("the transcript does not show two retries:\n%s", text)
	}
}

func TestAnAgentThatStopsAtItsBudgetHasNotFailed(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	f := k.withAgent()
	f.answers("costly")
	k.start()
	e := k.ended(k.run("do it", func(in *automation.Input) {
		in.Provider, in.Budget = "fake", spec.Budget{Run: spec.Limits{Money: 0.4}, Day: spec.Limits{Money: 5}}
	}))
	if e.Status != db.Failed || !e.Neutral || e.ErrorClass != db.ErrorBudget || e.CostUSD != 0.4 || e.Counted != 0 ||
		!strings.Contains(e.Reason, "$0.40 a run is used up") {
		t.Errorf("the run %s because %q (%s, neutral %t, $%g); want it stopped by its budget", e.Status, e.Reason,
			e.ErrorClass, e.Neutral, e.CostUSD)
	}
}

func TestACancelEndsARunThatWaitsForItsNextAttempt(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	f := k.withAgent()
	f.answers("500")
	k.start()
	run := k.run("do it", func(in *automation.Input) { in.Provider = "fake" })
	k.eventually("the attempt to fail", func() error {
		if k.session(run.Session.ID).Status != db.SessionQueued || len(f.calls()) != 1 {
			return fmt.Errorf("it has not")
		}
		return nil
	})
	check(t, k.rules.Sessions().Stop(t.Context(), k.actor, run.Session.ID))
	if e := k.ended(run); e.Status != db.Canceled {
		t.Errorf("the run is %s; want canceled", e.Status)
	}
}

func TestARefusalPausesTheProviderAndAnotherRunWaits(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	f := k.withAgent()
	f.answers("401")
	k.start()
	e := k.ended(k.run("one", func(in *automation.Input) { in.Provider = "fake" }))
	if e.Status != db.Failed || e.ErrorClass != agent.FailAuth || !e.Neutral {
		t.Errorf("the run is %s of class %s, neutral %v", e.Status, e.ErrorClass, e.Neutral)
	}
	waiting := k.run("two", func(in *automation.Input) { in.Name, in.Provider = "Second", "fake" })
	other := k.ended(k.run("echo three", nil))
	if other.Status != db.Succeeded {
		t.Errorf("a run of another provider is %s", other.Status)
	}
	if got := k.session(waiting.Session.ID); got.Status != db.SessionQueued || len(f.calls()) != 1 {
		t.Errorf("the second run is %s after %d calls; want it to wait", got.Status, len(f.calls()))
	}
	check(t, k.rules.Providers.Resume(t.Context(), k.actor, "fake"))
	if e := k.ended(waiting); e.Status != db.Succeeded {
		t.Errorf("after Resume now the run is %s: %s", e.Status, e.Reason)
	}
}

func TestAWorkspacesOwnKeyIsNotTheProvidersTrouble(t *testing.T) {
	t.Parallel()
	p := agent.Provider{Keys: []string{"FAKE_*", "TOKEN"}}
	for variable, want := range map[string]bool{
		"FAKE_KEY=x": true, "TOKEN=x": true, "TOKENS=x": false, "OTHER=FAKE_KEY": false,
	} {
		if got := holdsSignIn(p, []string{"A=b", variable}); got != want {
			t.Errorf("with %s it signs in itself: %v; want %v", variable, got, want)
		}
	}
}

func TestAChatGoesOnAfterARestartAndForgetsWhenAsked(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	f := k.withAgent()
	k.start()
	run := k.run("first", fakeChat)
	id := run.Session.ID
	k.waits(id, db.SessionWaiting)
	k.stop()
	check(t, k.rules.Sessions().Reply(t.Context(), k.actor, id, "second"))
	k.start()
	k.waits(id, db.SessionWaiting)
	check(t, k.rules.Sessions().ResetContext(t.Context(), k.actor, id))
	k.stop()
	k.start()
	check(t, k.rules.Sessions().Reply(t.Context(), k.actor, id, "third"))
	k.eventually("the third call", func() error {
		if n := len(f.calls()); n != 3 {
			return fmt.Errorf("%d calls", n)
		}
		return nil
	})
	k.waits(id, db.SessionWaiting)
	check(t, k.rules.Sessions().Reply(t.Context(), k.actor, id, "fourth"))
	k.eventually("the fourth call", func() error {
		if n := len(f.calls()); n != 4 {
			return fmt.Errorf("%d calls", n)
		}
		return nil
	})
	want := []string{"new first", "conversation-1 second", "new third", "conversation-3 fourth"}
	if got := f.calls(); strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("the agent was called with %q; want %q", got, want)
	}
	k.waits(id, db.SessionWaiting)
	if u, err := db.ConversationUsage(t.Context(), k.db, id, "conversation-3"); err != nil || u.Turns != 2 {
		t.Errorf("the new conversation has used %+v, %v; want its two turns", u, err)
	}
}

func TestAnInterruptEndsTheTurnAndTheNextMessageFollows(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	f := k.withAgent()
	f.answers("hang")
	k.start()
	run := k.run("first", fakeChat)
	id := run.Session.ID
	k.eventually("the agent to hang", func() error { _, err := os.Stat(filepath.Join(f.dir, "hanging")); return err })
	check(t, k.rules.Sessions().Reply(t.Context(), k.actor, id, "do this instead"))
	check(t, k.rules.Sessions().InterruptTurn(t.Context(), k.actor, id))
	if e := k.ended(run); e.Status != db.Canceled || !strings.HasPrefix(e.Reason, "interrupted by ") {
		t.Errorf("the run is %s: %s", e.Status, e.Reason)
	}
	k.eventually("the next message", func() error {
		if n := len(f.calls()); n != 2 {
			return fmt.Errorf("%d calls", n)
		}
		return nil
	})
	if got := k.waits(id, db.SessionWaiting); !got.InterruptAt.IsZero() {
		t.Error("the interrupt was not taken back")
	}
}

func TestATrialOfAProviderRunsOneTurnAndSaysHowItEnded(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	f := k.withAgent()
	f.answers("401")
	k.start()
	trial := func(id string) db.ProviderTrial {
		check(t, k.rules.Providers.Try(t.Context(), k.actor, id))
		var got db.ProviderTrial
		k.eventually("the trial to end", func() error {
			st, err := k.rules.Providers.States(t.Context())
			if got = st.Trials[id]; err == nil && got.FinishedAt.IsZero() {
				err = fmt.Errorf("it is under way")
			}
			return err
		})
		return got
	}
	if got := trial("fake"); got.ErrorClass != agent.FailAuth || !strings.Contains(got.Reason, "Sign it in.") {
		t.Errorf("a refused trial is %+v", got)
	}
	if got := trial("fake"); got.ErrorClass != "" || got.Answer != "answer 2" || len(got.Usage) == 0 {
		t.Errorf("a trial that works is %+v", got)
	}
	if got := trial("shell"); got.ErrorClass != "" || strings.TrimSpace(got.Answer) != "ready" {
		t.Errorf("the trial of the Shell provider is %+v", got)
	}
	if left, err := filepath.Glob(filepath.Join(k.runner.Data, "runs", "trial-*")); err != nil || len(left) > 0 {
		t.Errorf("the trials left %v, %v", left, err)
	}
}

func TestASwitchedOffProviderStartsNothing(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	k.withAgent()
	run := k.run("do it", func(in *automation.Input) { in.Provider = "fake" })
	known := k.rules.Providers.List()
	known[1].Off = true
	k.rules.Providers.List = func() []provider.Provider { return known }
	k.start()
	if e := k.ended(run); e.Status != db.Failed || e.Reason != "the provider Fake agent is switched off" {
		t.Errorf("the run is %s: %s", e.Status, e.Reason)
	}
}

func TestAWorkspaceWithASandboxConfinesItsAgents(t *testing.T) {
	t.Parallel()
	if err := agent.SandboxAvailable(t.Context(), nil); err != nil {
		t.Skip(err)
	}
	k := prepare(t)
	// What Carillon keeps, beside the worktrees, is hidden.
	check(t, os.WriteFile(filepath.Join(k.runner.Data, "secret"), []byte("hush"), 0o600))
	_, err := k.db.ExecContext(t.Context(), "UPDATE workspaces SET sandbox = true, sandbox_offline = true")
	check(t, err)
	k.start()
	outside := filepath.Join(t.TempDir(), "outside")
	e := k.ended(k.run(fmt.Sprintf(`echo fine > made.txt
git add made.txt && git -c user.name=x -c user.email=x@example.com commit -qm made
if [ -e %[1]q ]; then echo "sees the secret"; fi
if (echo no > %[2]q) 2>/dev/null; then echo "writes outside"; fi
if [ "$(tail -n +3 /proc/net/dev | wc -l)" -gt 1 ]; then echo "sees a network"; fi
echo done`, filepath.Join(k.runner.Data, "secret"), outside), nil))
	if e.Status != db.Succeeded || strings.Contains(e.Answer, "sees") || !strings.Contains(e.Answer, "done") {
		t.Errorf("the run is %s with %q: %s", e.Status, e.Answer, e.Reason)
	}
	if _, err := os.Stat(outside); err == nil {
		t.Error("the agent wrote outside of its worktree")
	}
	if s := k.session(e.SessionID); s.FilesChanged != 1 {
		t.Errorf("the session changed %d files; want its commit to count", s.FilesChanged)
	}
}

func TestAWorkspaceIsShownPathsOfTheMachineAndAMissingOneIsAWarning(t *testing.T) {
	t.Parallel()
	if err := agent.SandboxAvailable(t.Context(), nil); err != nil {
		t.Skip(err)
	}
	k := prepare(t)
	given := t.TempDir()
	check(t, os.WriteFile(filepath.Join(given, "word"), []byte("shown"), 0o600))
	paths := strings.Join([]string{given, "/nowhere/at/all", k.runner.Data}, "\n")
	_, err := k.db.ExecContext(t.Context(), "UPDATE workspaces SET sandbox = true, sandbox_shows = ?", paths)
	check(t, err)
	k.start()
	e := k.ended(k.run(fmt.Sprintf(`cat %[1]s/word; (echo no > %[1]s/x) 2>/dev/null || echo " and kept"`, given), nil))
	if e.Status != db.Succeeded || strings.TrimSpace(e.Answer) != "shown and kept" {
		t.Errorf("the run is %s with %q: %s", e.Status, e.Answer, e.Reason)
	}
	events := k.events(e.SessionID)
	for _, want := range []string{"/nowhere/at/all is not shown in the sandbox: it is not there on this worker",
		"sandboxes hide it"} {
		if !strings.Contains(events, want) {
			t.Errorf("the transcript lacks %q:\n%s", want, events)
		}
	}
}

func TestASandboxedRunReachesNoOtherSession(t *testing.T) {
	t.Parallel()
	if err := agent.SandboxAvailable(t.Context(), nil); err != nil {
		t.Skip(err)
	}
	k := prepare(t)
	_, err := k.db.ExecContext(t.Context(), "UPDATE workspaces SET sandbox = true")
	check(t, err)
	k.start()
	first := k.ended(k.run("echo one", nil))
	mirrors, err := filepath.Glob(filepath.Join(k.runner.Data, "repos", "*.git"))
	if err != nil || len(mirrors) != 1 {
		t.Fatalf("the repositories are %q, %v", mirrors, err)
	}
	e := k.ended(k.run(fmt.Sprintf(`cd %[1]q
for file in config HEAD hooks/post-checkout info/exclude info/attributes objects/info/alternates refs/carillon/x/y \
	worktrees/%[2]s/HEAD worktrees/%[2]s/x sessions/%[2]s/config sessions/%[2]s/x; do
	mkdir -p "$(dirname "$file")" 2>/dev/null || true
	if (: >> "$file") 2>/dev/null; then echo "opened $file"; fi
done
for dir in objects refs worktrees sessions hooks info; do
	if mv $dir moved 2>/dev/null; then echo "moved $dir"; mv moved $dir; fi
done
mkdir sessions/new 2>/dev/null && echo "made a session"
cd "$OLDPWD"
git switch -qc other && echo x > x && git add x && git commit -qm x && git switch -q - && git branch -qD other && git stash list && git tag t && git tag -d t >/dev/null
git config core.fsmonitor true && git config --global user.name me
echo x > y && git add y && git stash -q && git stash pop -q && git commit -qm y && git log -1 --format=%%s`, mirrors[0],
		first.SessionID), nil))
	if e.Status != db.Succeeded || strings.TrimSpace(e.Answer) != "y" {
		t.Errorf("the run is %s with %q: %s", e.Status, e.Answer, e.Reason)
	}
}

func TestAReadOnlyMessageInASandboxChangesNothing(t *testing.T) {
	t.Parallel()
	if err := agent.SandboxAvailable(t.Context(), nil); err != nil {
		t.Skip(err)
	}
	k := prepare(t)
	_, err := k.db.ExecContext(t.Context(), "UPDATE workspaces SET sandbox = true")
	check(t, err)
	k.start()
	e := k.ended(k.run("echo one", nil))
	s := k.session(e.SessionID)
	tree := k.runner.Store.Worktree(s.WorkspaceID.String(), s.ID.String(), s.Branch, s.BaseCommit)
	ws, err := db.WorkspaceByID(t.Context(), k.db, s.WorkspaceID)
	check(t, err)
	w := &work{Runner: k.runner}
	box, err := w.prepareSandbox(t.Context(), ws, tree)
	check(t, err)
	said := ""
	_, err = agent.Run(t.Context(), agent.Catalogue()[0], agent.Turn{
		Dir: tree.Dir, RunDir: t.TempDir(), ReadOnly: true, Sandbox: box,
		Prompt: `for file in x .git/x "$(git rev-parse --git-dir)/x" "$(git rev-parse --git-common-dir)/x" "$(git rev-parse --git-path objects)/x" "$(git rev-parse --git-path refs/heads)/x"; do
	if (: > "$file") 2>/dev/null; then echo "opened $file"; fi
done
git status --short; git log -1 --format=tformat:ok; echo fine > ~/x`,
	}, func(e transcript.Event) { said += e.Text })
	if err != nil || said != "ok\n" {
		t.Errorf("it said %q, %v", said, err)
	}
}

func TestAnAgentThatCommitsAllLeavesWhatIsHiddenFromItAsItWas(t *testing.T) {
	t.Parallel()
	if err := agent.SandboxAvailable(t.Context(), nil); err != nil {
		t.Skip(err)
	}
	k := prepare(t)
	_, err := k.db.ExecContext(t.Context(), "UPDATE workspaces SET sandbox = true")
	check(t, err)
	k.start()
	e := k.ended(
		k.run(`mkdir -p .agent/hooks && echo '{"run": "x"}' > agent.json && echo x > .agent/hooks/start && git add -A && git commit -qm mine
echo mine > own.json`, nil))
	s := k.session(e.SessionID)
	tree := k.runner.Store.Worktree(s.WorkspaceID.String(), s.ID.String(), s.Branch, s.BaseCommit)
	ws, err := db.WorkspaceByID(t.Context(), k.db, s.WorkspaceID)
	check(t, err)
	w := &work{Runner: k.runner, session: s}
	obeys := agent.Catalogue()[0]
	obeys.Obeys = []string{"agent.json", ".agent", "own.json", "absent"}
	give := func(p agent.Provider, script string) string {
		t.Helper()
		box, err := w.prepareSandbox(t.Context(), ws, tree)
		check(t, err)
		said := ""
		_, err = agent.Run(t.Context(), p, agent.Turn{
			Dir: tree.Dir, RunDir: t.TempDir(), Sandbox: box, Prompt: script,
			Env: k.runner.Store.Env(t.Context(), true),
		}, func(e transcript.Event) {
			if e.Kind == transcript.KindOutput {
				said += e.Text
			}
		})
		if err != nil {
			t.Errorf("%v, after %q", err, said)
		}
		return said
	}
	if said := give(obeys,
		`cat agent.json own.json .agent/hooks/start 2>/dev/null || true; git status --short; echo x > x; git add -A && git commit -qam all; git status --short`); said != "" {
		t.Errorf("what is hidden is seen, or changed for Git: %q", said)
	}
	want := "{\"run\": \"x\"}\nx\nx\nmine\n?? own.json\n"
	if said := give(agent.Catalogue()[0],
		`for f in agent.json .agent/hooks/start x; do git show HEAD:$f; done; cat own.json; git status --short`); said != want {
		t.Errorf("the repository has %q; want %q", said, want)
	}
	c, err := k.runner.Store.Changes(t.Context(), tree)
	if check(t, err); len(c.Files) != 4 {
		t.Errorf("the session's changes are %+v", c.Files)
	}
}

func TestARetryLeavesOfTheTimeoutWhatIsLeft(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	f := k.withAgent()
	f.answers("500", "hang")
	k.start()
	run := k.run("do it", func(in *automation.Input) { in.Provider, in.TimeoutMinutes = "fake", 60 })
	k.eventually("the attempt to fail", func() error {
		if k.session(run.Session.ID).Status != db.SessionQueued || len(f.calls()) != 1 {
			return fmt.Errorf("it has not")
		}
		return nil
	})
	_, err := k.db.ExecContext(t.Context(), "UPDATE executions SET worked_seconds = 3598")
	check(t, err)
	k.soon()
	// A new hour is not waited for.
	if e := k.ended(run); e.Status != db.TimedOut {
		t.Errorf("the run is %s: %s; want timed out", e.Status, e.Reason)
	}
}
