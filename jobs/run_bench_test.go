package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/git"
	"carillon/app/spec"
	"carillon/app/workspace"
	"carillon/db"
)

// working is a durable server with a runner at work on it, and a workspace whose repository holds files.
type working struct {
	*durable
	actor     account.Actor
	workspace uuid.UUID
	data      string
}

func newWorking(b *testing.B, files, places int) *working {
	b.Helper()
	x := &working{durable: newDurable(b)}
	u, err := db.UserByID(b.Context(), x.db, x.user.ID)
	must(b, err)
	x.actor = account.ActorOf(u)
	remote := filepath.Join(b.TempDir(), "remote.git")
	work := b.TempDir()
	for i := range files {
		path := filepath.Join(work, fmt.Sprintf("d%d", i%100), fmt.Sprintf("f%d.txt", i))
		must(b, os.MkdirAll(filepath.Dir(path), 0o755)) //nolint:gosec // Git needs nothing else
		must(b, os.WriteFile(path, fmt.Appendf(nil, "file %d\n", i), 0o600))
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "main", work}, {"-C", work, "add", "-A"},
		{"-C", work, "-c", "gc.auto=0", "-c", "user.name=Bench", "-c", "user.email=bench@example.com", "commit", "-q",
			"--allow-empty", "-m", "Add files"},
		{"-C", work, "repack", "-qad"}, {"clone", "-q", "--bare", work, remote},
	} {
		out, err := exec.Command("git", args...).CombinedOutput()
		if err != nil {
			b.Fatalf("git %s: %v: %s", args[0], err, out)
		}
	}
	ws, err := x.rules.Workspaces.Create(b.Context(), x.actor, workspace.Input{Name: "Large", GitURL: remote})
	must(b, err)
	x.workspace = ws.ID

	data := b.TempDir()
	x.data = data
	runner := &Runner{
		DB: x.db, Rules: x.rules, Store: &git.Store{Root: data}, Providers: func() []agent.Provider {
			return agent.Catalogue()[:1]
		},
		Worker: "bench", Max: places, Data: data, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}
	runner.Init()
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	done := make(chan error, 1)
	go func() { done <- runner.Run(ctx) }()
	go func() {
		_ = x.db.Listen(ctx, runner.Log, runner.Wake, func(topic string, _ uuid.UUID) {
			if topic == "queue" {
				runner.Wake()
			}
		})
	}()
	b.Cleanup(func() { cancel(); must(b, <-done) })
	return x
}

// script makes an automation of a script that may run any number of times at once.
func (x *working) script(text string) uuid.UUID {
	x.b.Helper()
	a, _, err := x.rules.Definitions().Create(x.b.Context(), x.actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Script",
		Workspace:      x.workspace.String(),
		Trigger:        "http",
		SessionType:    "develop",
		Prompt:         text,
		Provider:       "shell",
		AutoComplete:   true,
		AllowParallel:  true,
		MaxParallel:    1000,
		Retries:        2,
	}})
	must(x.b, err)
	return a.ID
}

// ended waits until a run is over and returns it.
func (x *working) ended(id uuid.UUID) *db.Execution {
	x.b.Helper()
	for {
		e, err := db.ExecutionByID(x.b.Context(), x.db, id)
		must(x.b, err)
		if !e.Status.InFlight() {
			if e.Status != db.Succeeded {
				x.b.Fatalf("a run ended %s: %s", e.Status, e.Reason)
			}
			return e
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// BenchmarkRunNow measures from Run Now to the agent's process, in a repository of 10,000 files that was fetched before
// and is fetched again each time, as runs that follow each other find it.
func BenchmarkRunNow(b *testing.B) {
	x := newWorking(b, 10_000, 4)
	a := x.script("date +%s%N")
	once := func() float64 {
		begun := time.Now()
		run, err := x.rules.Runs().RunNow(b.Context(), x.actor, a, nil)
		must(b, err)
		e := x.ended(run.Execution.ID)
		at, err := strconv.ParseInt(strings.TrimSpace(e.Answer), 10, 64)
		must(b, err)
		for { // the files for the next run are written while nobody waits
			if found, err := filepath.Glob(filepath.Join(x.data, "git", "spares", "*", "index")); err == nil &&
				len(found) > 0 {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		return float64(time.Unix(0, at).Sub(begun).Microseconds()) / 1000
	}
	once() // clones
	var took []float64
	for b.Loop() {
		for range 10 {
			took = append(took, once())
		}
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2], "p50-ms")
	b.ReportMetric(took[len(took)*99/100], "p99-ms")
}

// BenchmarkSessions runs 50 sessions at once, each of half a second with a hundred lines of output.
func BenchmarkSessions(b *testing.B) {
	const sessions = 50
	x := newWorking(b, 100, sessions)
	a := x.script("for i in $(seq 100); do echo line $i; done; sleep 0.5; date +%s%N")
	for b.Loop() {
		begun := time.Now()
		var list []*automation.Run
		for range sessions {
			run, err := x.rules.Runs().RunNow(b.Context(), x.actor, a, nil)
			must(b, err)
			list = append(list, run)
		}
		for _, run := range list {
			x.ended(run.Execution.ID)
		}
		b.ReportMetric(time.Since(begun).Seconds(), "s-for-50")
	}
}

// BenchmarkEvents measures how many events a second of one agent are stored for readers, and what memory that takes.
func BenchmarkEvents(b *testing.B) {
	const events = 50_000
	x := newWorking(b, 1, 1)
	a := x.script(
		fmt.Sprintf(
			"for ((i = 0; i < %d; i++)); do echo $i; if ((i %% 2)); then echo error $i >&2; fi; done; echo done",
			events))
	for b.Loop() {
		runtime.GC()
		before := resident(b)
		begun := time.Now()
		run, err := x.rules.Runs().RunNow(b.Context(), x.actor, a, nil)
		must(b, err)
		x.ended(run.Execution.ID)
		took := time.Since(begun)
		var n int64
		must(b, x.db.NewRaw("SELECT last_seq FROM sessions WHERE id = ?", run.Session.ID).Scan(b.Context(), &n))
		b.ReportMetric(float64(n)/took.Seconds(), "events/s")
		b.ReportMetric(events*1.5/took.Seconds(), "lines/s")
		b.ReportMetric(float64(resident(b)-before)/(1<<20), "grown-MiB")
	}
}
