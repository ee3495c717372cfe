package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/agent"
	"carillon/app/agent/agenttest"
	"carillon/app/apptest"
	"carillon/app/automation"
	"carillon/app/bot"
	"carillon/app/git"
	"carillon/app/spec"
	"carillon/app/transcript"
	"carillon/app/workflow"
	"carillon/app/workspace"
	"carillon/db"
	"carillon/db/dbtest"
)

func TestMain(m *testing.M) {
	agent.MaybeShim()
	if len(os.Args) > 1 && os.Args[1] == agentRole {
		os.Exit(agenttest.Serve(os.Args[2:], nil))
	}
	if url := os.Getenv(schedulerURL); url != "" {
		os.Exit(scheduleUntilNothingIsDue(url))
	}
	if url := os.Getenv(workerURL); url != "" {
		os.Exit(workUntilKilled(url))
	}
	dbtest.Main(m)
}

// kit is a runner at work on a database of its own.
type kit struct {
	t         *testing.T
	db        *db.DB
	rules     *automation.Service
	workflows *workflow.Service
	bots      *bot.Service
	runner    *Runner
	actor     account.Actor
	workspace uuid.UUID
	stop      func()
}

func setup(t *testing.T) *kit {
	t.Parallel()
	k := prepare(t)
	k.start()
	return k
}

// prepare makes a kit whose runner has not been started.
func prepare(t *testing.T) *kit {
	d := dbtest.New(t)
	log := slog.New(slog.NewTextHandler(testLog{t}, nil))
	providers := func() []agent.Provider { return agent.Catalogue()[:1] }
	k := &kit{t: t}
	k.rules = apptest.NewRules(d, time.Now, apptest.Shell)
	k.rules.Log = log
	k.moveTo(d)
	data := t.TempDir()
	k.runner = &Runner{
		DB: d, Rules: k.rules, Store: &git.Store{Root: data}, Providers: providers, Worker: "test", Max: 2,
		Data: data, Now: time.Now, Log: log,
	}
	return k
}

// moveTo lets the kit use a database, with a person and the workspace Scratch in it.
func (k *kit) moveTo(d *db.DB) {
	t := k.t
	k.db, k.rules.DB = d, d
	k.rules.Providers.DB, k.rules.Workspaces.DB = d, d
	services := apptest.Wire(k.rules)
	k.workflows, k.bots = services.Workflows, services.Bots
	apptest.Prepare(t, d, k.rules)
	k.actor = apptest.NewPerson(t, d, k.rules, "Mira", account.RoleAdministrator)
	list, err := k.rules.Workspaces.List(t.Context(), k.actor)
	check(t, err)
	k.workspace = list[0].ID
}

// start lets the runner work until the test is over, or stop is called.
func (k *kit) start() {
	k.runner.Init()
	ctx, cancel := context.WithCancel(context.WithoutCancel(k.t.Context()))
	done := make(chan error, 1)
	go func() { done <- k.runner.Run(ctx) }()
	go func() {
		_ = k.db.Listen(ctx, k.runner.Log, k.runner.Wake, func(topic string, _ uuid.UUID) {
			switch topic {
			case "queue":
				k.runner.Wake()
			case "cancel", "interrupt":
				k.runner.CheckStopRequests()
			}
		})
	}()
	stopped := false
	k.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			k.t.Errorf("the runner ended with %v", err)
		}
	}
	k.t.Cleanup(k.stop)
}

// testLog writes a log into the test's own.
type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	if l.t.Context().Err() == nil {
		l.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

// run makes an automation of a script and starts it.
func (k *kit) run(script string, change func(*automation.Input)) *automation.Run {
	k.t.Helper()
	in := automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Script",
		Workspace:      k.workspace.String(),
		Trigger:        "manual",
		SessionType:    "develop",
		Prompt:         script,
		Provider:       "shell",
		AutoComplete:   true,
		OnlyUnchanged:  true,
		Retries:        2,
	}}
	if change != nil {
		change(&in)
	}
	a, _, err := k.rules.Definitions().Create(k.t.Context(), k.actor, in)
	check(k.t, err)
	run, err := k.rules.Runs().RunNow(k.t.Context(), k.actor, a.ID, nil)
	check(k.t, err)
	return run
}

// ended waits for a run to end.
func (k *kit) ended(run *automation.Run) *db.Execution {
	k.t.Helper()
	var e *db.Execution
	k.eventually("the run to end", func() (err error) {
		if e, err = db.ExecutionByID(k.t.Context(), k.db, run.Execution.ID); err == nil && e.Status.InFlight() {
			err = fmt.Errorf("it is %s", e.Status)
		}
		return err
	})
	return e
}

// patience bounds each wait for what has to happen. It is long because a test must not fail on a slow or busy machine.
const patience = 10 * time.Minute

// maxPause is the longest pause between two looks of eventually. Each look costs a query or more.
const maxPause = 200 * time.Millisecond

// eventually waits for a condition.
func (k *kit) eventually(what string, met func() error) {
	k.t.Helper()
	deadline := time.Now().Add(patience)
	for pause := 10 * time.Millisecond; ; pause = min(pause*5/4, maxPause) {
		err := met()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			k.t.Fatalf("waited for %s: %v", what, err)
		}
		time.Sleep(pause)
	}
}

// transcript is the text of a session's events.
func (k *kit) transcript(session uuid.UUID) string {
	k.t.Helper()
	list, err := db.LatestEvents(k.t.Context(), k.db, session, 100_000)
	check(k.t, err)
	var b strings.Builder
	for _, ev := range list {
		var e transcript.Event
		check(k.t, json.Unmarshal(ev.Body, &e))
		b.WriteString(e.Text)
	}
	return b.String()
}

func (k *kit) session(id uuid.UUID) *db.Session {
	k.t.Helper()
	s, err := db.SessionByID(k.t.Context(), k.db, id)
	check(k.t, err)
	return s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAScriptRunsInAWorktreeAndItsChangeStaysOpenForReview(t *testing.T) {
	k := setup(t)
	run := k.run("echo hello; echo new > file.txt; git add file.txt; git commit -qm 'Add a file'", nil)
	e := k.ended(run)
	s := k.session(run.Session.ID)
	if e.Status != db.Succeeded || *e.ExitCode != 0 || strings.TrimSpace(e.Answer) != "hello" {
		t.Errorf("it %s with %v and answered %q because %q; want success", e.Status, e.ExitCode, e.Answer, e.Reason)
	}
	if s.Status != db.SessionWaiting || s.FilesChanged != 1 || s.LinesAdded != 1 || !strings.Contains(s.Diff, "+new") ||
		s.Branch != "carillon/"+s.ID.String() {
		t.Errorf("the session is %s with %d files (+%d) on %s, diff %q; want it open with the change", s.Status,
			s.FilesChanged, s.LinesAdded, s.Branch, s.Diff)
	}
}

func TestARunWithoutChangesCompletesItsSession(t *testing.T) {
	k := setup(t)
	run := k.run("true", nil)
	k.ended(run)
	if s := k.session(run.Session.ID); s.Status != db.SessionDone {
		t.Errorf("the session is %s; want Done", s.Status)
	}
}

func TestAFailedScriptSaysItsExitAndLastWords(t *testing.T) {
	k := setup(t)
	e := k.ended(k.run("echo 'no such registry' >&2; exit 3", nil))
	if e.Status != db.Failed || *e.ExitCode != 3 || !strings.Contains(e.Reason, "no such registry") ||
		e.ErrorClass != agent.FailAgent {
		t.Errorf("it %s with %d (%s): %q; want failed with 3 and its last words", e.Status, *e.ExitCode, e.ErrorClass,
			e.Reason)
	}
}

func TestATimeoutEndsARunAsTimedOut(t *testing.T) {
	k := setup(t)
	e := k.ended(k.run("sleep 1000", func(in *automation.Input) { in.TimeoutMinutes = 0.02 }))
	if e.Status != db.TimedOut || !strings.Contains(e.Reason, "longer than") {
		t.Errorf("it %s: %q; want timed_out", e.Status, e.Reason)
	}
}

func TestStoppingEndsARunAsCanceledAndLeavesNoProcess(t *testing.T) {
	k := setup(t)
	mark := "carillon-test-" + uuid.NewString()
	run := k.run("trap '' TERM; setsid nohup sleep 1000 "+"2>/dev/null & exec -a "+mark+" sleep 1000", nil)
	k.eventually("the script to run", func() error { return process(mark, true) })
	check(t, k.rules.Sessions().Stop(t.Context(), k.actor, run.Session.ID))
	e := k.ended(run)
	if e.Status != db.Canceled || !e.Neutral {
		t.Errorf("it %s (neutral %t); want canceled and neutral", e.Status, e.Neutral)
	}
	check(t, process(mark, false))
	if s := k.session(run.Session.ID); s.Status != db.SessionCanceled || s.ClosedBy != k.actor.ID {
		t.Errorf("the session is %s by %s; want canceled by who stopped it", s.Status, s.ClosedBy)
	}
}

// process looks for a process by a word in its command line.
func process(mark string, want bool) error {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	found := false
	for _, f := range files {
		text, _ := os.ReadFile(f)
		found = found || bytes.HasPrefix(text, []byte(mark))
	}
	if found != want {
		return fmt.Errorf("the process is there: %t; want %t", found, want)
	}
	return nil
}

func TestAtMostSoManySessionsRunAtOnce(t *testing.T) {
	k := setup(t)
	gate := filepath.Join(t.TempDir(), "gate")
	var runs []*automation.Run
	for range 4 {
		runs = append(runs, k.run("while [ ! -e "+gate+" ]; do sleep 0.02; done", nil))
	}
	k.eventually("two to run", func() error {
		n, err := k.db.NewSelect().Model((*db.Session)(nil)).Where("s.status = 'in_progress'").Count(t.Context())
		if err == nil && n != 2 {
			err = fmt.Errorf("%d are in progress", n)
		}
		return err
	})
	queued, err := k.db.NewSelect().Model((*db.Session)(nil)).Where("s.status = 'queued'").Count(t.Context())
	check(t, err)
	if queued != 2 {
		t.Errorf("%d wait; want the other 2", queued)
	}
	check(t, os.WriteFile(gate, nil, 0o600))
	for _, run := range runs {
		if e := k.ended(run); e.Status != db.Succeeded {
			t.Errorf("one %s: %s", e.Status, e.Reason)
		}
	}
}

func TestSecretsOfAWorkspaceReachTheScriptAndNeitherTranscriptNorDiff(t *testing.T) {
	k := setup(t)
	ws, err := k.rules.Workspaces.Create(t.Context(), k.actor, workspace.Input{
		Name: "Secretive", GitURL: repository(t), Variables: []workspace.Variable{{
			Name: "API_KEY", Value: "s3cret-value", Secret: true,
		}, {Name: "PLAIN", Value: "shown"}},
	})
	check(t, err)
	k.workspace = ws.ID
	run := k.run(`echo "$PLAIN ${#API_KEY} $API_KEY"; echo "$API_KEY" > leak.txt`, nil)
	e := k.ended(run)
	s := k.session(run.Session.ID)
	all := k.transcript(s.ID) + s.Diff + e.Answer
	if strings.Contains(all, "s3cret-value") {
		t.Errorf("the secret shows in %q", all)
	}
	if !strings.Contains(all, "shown 12 ••••••") {
		t.Errorf("transcript is %q; want the plain variable and the secret masked", all)
	}
}

// repository makes a Git repository with one commit and returns its path.
func repository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	store := &git.Store{Root: dir}
	check(t, store.Scratch(t.Context(), "origin"))
	return filepath.Join(dir, "repos", "origin.git")
}

func TestAWorktreeThatCannotBeMadeIsAFailureThatSaysWhy(t *testing.T) {
	k := setup(t)
	e := k.ended(k.run("true", func(in *automation.Input) { in.BaseBranch = "mian" }))
	if e.Status != db.Failed || e.ErrorClass != "start" || !strings.Contains(e.Reason, "mian") ||
		!strings.Contains(e.Reason, "main") {
		t.Errorf("it %s (%s): %q; want failed, naming the branch and the one that was meant", e.Status, e.ErrorClass,
			e.Reason)
	}
}

func TestOutputTenTimesWhatIsKeptIsDrainedAndBounded(t *testing.T) {
	k := setup(t)
	run := k.run(
		"set +o pipefail; echo first; yes 'a line of no interest that is repeated very often' | head -c 20000000; "+
			"echo; echo last", nil)
	if e := k.ended(run); e.Status != db.Succeeded {
		t.Fatalf("it %s: %s", e.Status, e.Reason)
	}
	text := k.transcript(run.Session.ID)
	if !strings.Contains(text[:100], "first") || !strings.Contains(text[len(text)-200:], "last") {
		t.Error("the transcript lost its beginning or its end")
	}
	if n := len(text); n > 2*defaultBounds.all {
		t.Errorf("%d bytes are kept; want about %d", n, defaultBounds.all)
	}
}

func TestTheWholeOfALongAnswerIsJudged(t *testing.T) {
	k := setup(t)
	fill := `yes 'a line of no interest' | head -n 5000; `
	for name, script := range map[string]string{
		"at its beginning": "echo WELL DONE; " + fill, "in its middle": fill + fill + "echo It is WELL DONE.; " +
			fill + fill, "at its end": fill + "echo WELL DONE",
	} {
		run := k.run("set +o pipefail; "+script, func(in *automation.Input) {
			in.Name, in.Success.Contains = "Says it "+name, "WELL DONE"
		})
		if e := k.ended(run); e.Status != db.Succeeded || !strings.Contains(e.Answer, "WELL DONE") ||
			len(e.Answer) > 70<<10 {
			t.Errorf("with the text %s it %s: %s; %d bytes of its answer are kept", name, e.Status, e.Reason,
				len(e.Answer))
		}
	}
	loop, _, err := k.rules.Definitions().Create(t.Context(), k.actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Loop",
		Workspace:      k.workspace.String(),
		Trigger:        "loop",
		StopText:       "WELL DONE",
		SessionType:    "develop",
		Prompt:         "set +o pipefail; " + fill + "echo WELL DONE",
		Provider:       "shell",
		AutoComplete:   true,
		Retries:        2,
	}})
	check(t, err)
	var reason string
	k.eventually("the loop to stop", func() error {
		_, err := k.rules.Schedules().StartDue(t.Context())
		check(t, err)
		a, err := db.AutomationByID(t.Context(), k.db, loop.ID)
		if reason = a.DisabledReason; err == nil && a.Enabled {
			return errors.New("it goes on")
		}
		return err
	})
	if !strings.Contains(reason, "the final answer contains") {
		t.Errorf("the loop stopped because %s", reason)
	}
}

func TestARepliedMessageRunsInTheSameWorktree(t *testing.T) {
	k := setup(t)
	run := k.run("echo one > file.txt", func(in *automation.Input) { in.SessionType, in.AutoComplete = "chat", false })
	k.ended(run)
	check(t, k.rules.Sessions().Reply(t.Context(), k.actor, run.Session.ID, "cat file.txt; echo two >> file.txt"))
	k.eventually("the answer", func() error {
		s := k.session(run.Session.ID)
		if s.Status != db.SessionWaiting || s.LinesAdded != 2 {
			return fmt.Errorf("the session is %s with %d lines added", s.Status, s.LinesAdded)
		}
		return nil
	})
	turns, err := db.TurnsOf(t.Context(), k.db, run.Session.ID)
	check(t, err)
	if len(turns) != 2 || turns[1].Status != db.Succeeded || strings.TrimSpace(turns[1].Answer) != "one" ||
		turns[1].Author.Name != "Mira" {
		t.Errorf("the turns are %+v; want the reply answered", turns)
	}
}

func TestARunGoesOnWhileTheDatabaseIsAway(t *testing.T) {
	k := setup(t)
	dir := t.TempDir()
	run := k.run("touch "+dir+"/begun; while [ ! -e "+dir+"/go ]; do sleep 0.02; done; echo survived", nil)
	k.eventually("the script to run", func() error { _, err := os.Stat(dir + "/begun"); return err })
	// Every connection of this process is cut, again and again, as by a server that restarts.
	var cut int
	for range 20 {
		err := k.db.NewRaw(
			"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND "+
				"pid <> pg_backend_pid()").Scan(t.Context(), &cut)
		if err != nil && !errors.Is(err, context.Canceled) {
			continue
		}
	}
	check(t, os.WriteFile(dir+"/go", nil, 0o600))
	if e := k.ended(run); e.Status != db.Succeeded {
		t.Errorf("it %s: %s", e.Status, e.Reason)
	}
	if text := k.transcript(run.Session.ID); !strings.Contains(text, "survived") {
		t.Errorf("the transcript is %q; want what was said afterwards", text)
	}
}

func TestAStoppedServersRunEndsAsInterruptedAtTheNextStart(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	k.start()
	dir := t.TempDir()
	run := k.run("touch "+dir+"/begun; sleep 1000", nil)
	k.eventually("the script to run", func() error { _, err := os.Stat(dir + "/begun"); return err })
	k.stop()
	if e, err := db.ExecutionByID(t.Context(), k.db, run.Execution.ID); err != nil || e.Status != db.Running {
		t.Fatalf("between the lives it is %v, %v; want running", e.Status, err)
	}
	k.start()
	e := k.ended(run)
	if e.Status != db.Failed || !e.Neutral || e.Reason != "interrupted by a restart" {
		t.Errorf("it %s (neutral %t): %q; want failed, neutral, interrupted by a restart", e.Status, e.Neutral,
			e.Reason)
	}
}
