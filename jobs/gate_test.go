package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/git"
	"carillon/app/provider"
	"carillon/app/spec"
	"carillon/app/workspace"
	"carillon/db"
	"carillon/db/dbtest"
)

// occupied takes all places of the kit's runner, until it is let go on.
func (k *kit) occupied() (let func()) {
	k.t.Helper()
	var release []func()
	for range k.runner.Max {
		script, begun, let := k.heldBack("true")
		k.run(script, func(in *automation.Input) { in.Name = "Long" })
		begun()
		release = append(release, let)
	}
	return func() {
		k.t.Helper()
		for _, let := range release {
			let()
		}
	}
}

// waitsForPlace waits until the gate of a run has opened and the run waits for an agent's place.
func (k *kit) waitsForPlace(run *automation.Run, gate string) {
	k.t.Helper()
	k.eventually("the gate to open", func() error {
		if _, err := os.Stat(gate); err != nil {
			return err
		}
		if s := k.session(run.Session.ID); s.Status != db.SessionQueued {
			return fmt.Errorf("the session is %s", s.Status)
		}
		return nil
	})
}

func TestAGateIsJudgedWhileAllPlacesAreTaken(t *testing.T) {
	k := setup(t)
	let := k.occupied()
	closed := k.run("echo ran", func(in *automation.Input) { in.Name, in.Gate.Command = "Closed", "exit 3" })
	if e := k.ended(closed); e.Status != db.Skipped || e.ErrorClass != db.ErrorGate {
		t.Errorf("with its gate closed the run is %s of class %q: %s", e.Status, e.ErrorClass, e.Reason)
	}
	looked := filepath.Join(t.TempDir(), "looked")
	open := k.run("echo ran", func(in *automation.Input) { in.Name, in.Gate.Command = "Open", "touch "+looked })
	k.waitsForPlace(open, looked)
	if turns := k.turns(open); len(turns) != 1 || !turns[0].StartedAt.IsZero() {
		t.Errorf("before there is a place its messages are %+v", turns)
	}
	let()
	if e := k.ended(open); e.Status != db.Succeeded || e.Answer != "ran\n" {
		t.Errorf("when there is a place it is %s with %q: %s", e.Status, e.Answer, e.Reason)
	}
}

func TestALoopWhoseGateIsClosedHasOneRowWhileAllPlacesAreTaken(t *testing.T) {
	k := setup(t)
	let := k.occupied()
	defer let()
	a, _, err := k.rules.Definitions().Create(t.Context(), k.actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Loop",
		Workspace:      k.workspace.String(),
		Trigger:        "loop",
		SessionType:    "develop",
		Prompt:         "echo ran",
		Provider:       "shell",
		Gate:           spec.Gate{Command: "exit 3"},
		Retries:        2,
	}})
	check(t, err)
	skipped := func(times int) {
		t.Helper()
		_, err := k.db.NewRaw("UPDATE automations SET next_run_at = now() WHERE id = ?", a.ID).Exec(t.Context())
		check(t, err)
		_, err = k.rules.Schedules().StartDue(t.Context())
		check(t, err)
		k.eventually("its gate to be judged", func() error {
			var rows []db.Execution
			err := k.db.NewSelect().Model(&rows).Where("e.automation_id = ?", a.ID).Scan(t.Context())
			if err == nil && (len(rows) != 1 || rows[0].Status != db.Skipped || rows[0].SkipCount != times) {
				err = fmt.Errorf("the rows are %+v", rows)
			}
			return err
		})
	}
	skipped(1)
	skipped(2)
	n, err := k.db.NewSelect().Model((*db.Session)(nil)).Where("s.automation_id = ?", a.ID).Count(t.Context())
	if err != nil || n != 0 {
		t.Errorf("there are %d sessions of it, %v; want none", n, err)
	}
}

func TestAWorkerJudgesABoundedNumberOfGatesAtOnce(t *testing.T) {
	k := setup(t)
	dir := t.TempDir()
	gate := fmt.Sprintf("touch %s/begun.$$; while [ ! -e %s/go ]; do sleep 0.05; done", dir, dir)
	var runs []*automation.Run
	for range gatesAtOnce + 3 {
		runs = append(runs, k.run("true", func(in *automation.Input) { in.Name, in.Gate.Command = "Gated", gate }))
	}
	begun := func() int {
		list, err := filepath.Glob(dir + "/begun.*")
		check(t, err)
		return len(list)
	}
	k.eventually("the gates to be judged", func() error {
		if n := begun(); n < gatesAtOnce {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	// What needs no gate passes by those that wait for theirs.
	if e := k.ended(k.run("true", func(in *automation.Input) { in.Name = "Without" })); e.Status != db.Succeeded {
		t.Errorf("beside the gates a run is %s: %s", e.Status, e.Reason)
	}
	if n := begun(); n != gatesAtOnce {
		t.Errorf("%d gates are judged at once; want %d", n, gatesAtOnce)
	}
	check(t, os.WriteFile(dir+"/go", nil, 0o600))
	for _, run := range runs {
		if e := k.ended(run); e.Status != db.Succeeded {
			t.Errorf("one is %s: %s", e.Status, e.Reason)
		}
	}
}

func TestARunGoesToAnyFreeWorkerAfterItsGate(t *testing.T) {
	k := setup(t)
	k.seen(time.Now())
	let := k.occupied()
	defer let()
	looked := filepath.Join(t.TempDir(), "looked")
	run := k.run("ls", func(in *automation.Input) {
		in.Name, in.Gate.Command = "Gated", "echo litter > litter.txt; touch "+looked
	})
	k.waitsForPlace(run, looked)
	if _, there := k.folder(run.Session.ID); there {
		t.Error("the worktree of the gate is still there")
	}
	other := k.beside("other")
	other.seen(time.Now())
	other.start()
	e := other.ended(run)
	s := other.session(run.Session.ID)
	if e.Status != db.Succeeded || s.Worker != "other" || s.FilesChanged != 0 || s.NotSaved != "" {
		t.Errorf("it is %s on %q with %d files changed and %q not saved: %s", e.Status, s.Worker, s.FilesChanged,
			s.NotSaved, e.Reason)
	}
	if strings.Contains(e.Answer, "litter") {
		t.Errorf("it began with what the gate left: %s", e.Answer)
	}
}

// workerURL is the variable by which this test binary is told to be a worker on a database, and workerData where its
// data is.
const (
	workerURL  = "CARILLON_TEST_WORKER"
	workerData = "CARILLON_TEST_WORKER_DATA"
)

// workUntilKilled is a worker process.
func workUntilKilled(url string) int {
	d, err := db.Open(context.Background(), url)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	data, log := os.Getenv(workerData), slog.New(slog.DiscardHandler)
	providers := &provider.Service{DB: d, Now: time.Now, List: func() []provider.Provider {
		return []provider.Provider{{ID: "shell", Name: "Shell", Script: true}}
	}}
	rules := &automation.Service{
		DB: d, Now: time.Now, Log: log, Providers: providers,
		Workspaces: &workspace.Service{
			DB: d, Now: time.Now, Keys: nil, Providers: providers,
		},
	}
	r := &Runner{
		DB: d, Rules: rules, Store: &git.Store{Root: data}, Providers: func() []agent.Provider {
			return agent.Catalogue()[:1]
		},
		Worker: "killed", Max: 1, Data: data, Now: time.Now, Log: log,
	}
	r.Init()
	if err := r.Run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return 1
}

func TestAGateWhoseWorkerIsKilledIsJudgedAgainByAnother(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	url := dbtest.URL(t)
	d, err := db.Open(t.Context(), url)
	check(t, err)
	t.Cleanup(func() { _ = d.Close() })
	k.moveTo(d)
	k.runner.DB = d
	gate, begun, _ := k.heldBack("true")
	run := k.run("ls", func(in *automation.Input) { in.Gate.Command = "echo litter > litter.txt; " + gate })

	killed := exec.Command(os.Args[0])
	killed.Env = append(os.Environ(), workerURL+"="+url, workerData+"="+t.TempDir())
	killed.Stderr = os.Stderr
	check(t, killed.Start())
	begun()
	check(t, killed.Process.Kill())
	_ = killed.Wait()
	s := k.session(run.Session.ID)
	if s.Worker != "killed" || !s.AtGate || s.Status != db.SessionInProgress {
		t.Fatalf("at the gate the session is %s on %q", s.Status, s.Worker)
	}
	// it was seen a moment ago
	check(t, db.SaveWorker(t.Context(), d, &db.Worker{ID: "killed", Name: "killed", SeenAt: time.Now(), Slots: 1}))
	_, err = d.NewRaw("UPDATE sessions SET lease_until = now() - interval '1 second' WHERE id = ?", s.ID).
		Exec(t.Context())
	check(t, err)
	n, err := k.rules.Runs().Interrupt(t.Context(), Resumable(k.runner.Providers))
	if err != nil || n != 1 {
		t.Fatalf("%d sessions were without a worker, %v; want one", n, err)
	}
	if e := k.execution(run); !e.Status.InFlight() {
		t.Fatalf("without a worker at its gate the run is %s: %s", e.Status, e.Reason)
	}
	check(t, os.WriteFile(gateDir(gate)+"/go", nil, 0o600))
	k.start()
	e := k.ended(run)
	s = k.session(run.Session.ID)
	if e.Status != db.Succeeded || strings.Contains(e.Answer, "litter") || s.Worker != "test" || s.NotSaved != "" ||
		s.FilesChanged != 0 {
		t.Errorf("it is %s on %q with %q, %d files changed, %q not saved: %s", e.Status, s.Worker, e.Answer,
			s.FilesChanged, s.NotSaved, e.Reason)
	}
	if got := k.kinds(); len(got) != 0 {
		t.Errorf("people were told %v; want nothing", got)
	}
}

// gateDir is the folder of a script by heldBack.
func gateDir(script string) string {
	return strings.TrimSuffix(strings.Fields(script)[1], "/begun;") // touch DIR/begun; ...
}

func TestAGateThatARestartInterruptedIsJudgedAgainInANewWorktree(t *testing.T) {
	k := setup(t)
	gate, begun, _ := k.heldBack("true")
	run := k.run("ls", func(in *automation.Input) {
		in.Gate.Command = "test ! -e litter.txt || exit 3; touch litter.txt; " + gate
	})
	begun()
	k.stop()
	if e := k.execution(run); !e.Status.InFlight() {
		t.Fatalf("when its server went down at its gate the run is %s: %s", e.Status, e.Reason)
	}
	check(t, os.WriteFile(gateDir(gate)+"/go", nil, 0o600))
	k.start()
	if e := k.ended(run); e.Status != db.Succeeded || strings.Contains(e.Answer, "litter") {
		t.Errorf("it is %s with %q: %s", e.Status, e.Answer, e.Reason)
	}
}

func TestARunIsCanceledAtItsGateAndBehindIt(t *testing.T) {
	k := setup(t)
	let := k.occupied()
	defer let()
	gate, begun, _ := k.heldBack("true")
	at := k.run("echo ran", func(in *automation.Input) { in.Name, in.Gate.Command = "At", gate })
	begun()
	looked := filepath.Join(t.TempDir(), "looked")
	behind := k.run("echo ran", func(in *automation.Input) { in.Name, in.Gate.Command = "Behind", "touch "+looked })
	k.waitsForPlace(behind, looked)
	for _, run := range []*automation.Run{at, behind} {
		check(t, k.rules.Runs().Cancel(t.Context(), k.actor, run.Execution.ID))
		e := k.ended(run)
		if s := k.session(run.Session.ID); e.Status != db.Canceled || s.Status != db.SessionCanceled || s.AtGate {
			t.Errorf("%s: it is %s and its session %s: %s", run.Automation, e.Status, s.Status, e.Reason)
		}
		k.eventually("the worktree to go", func() error {
			if _, there := k.folder(run.Session.ID); there {
				return errors.New("it is there")
			}
			return nil
		})
	}
}
