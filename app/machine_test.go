package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/app/agent"
	"carillon/app/isolation"
	"carillon/db"
	"carillon/db/dbtest"
)

// until waits for something.
func until(t *testing.T, what func() error) {
	t.Helper()
	for deadline := time.Now().Add(longest); ; time.Sleep(10 * time.Millisecond) {
		err := what()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestAWorkerTellsWhatHoldsOnItsMachineAtOnceAndWhenItChanges(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	k := newCatalogue(&config{})
	k.base = nil
	k.apply(db.ProviderSettings{})
	var memory atomic.Int64
	l := newAgentDetector(k, d, "w1", 4, slog.New(slog.DiscardHandler))
	l.machine = func(context.Context) db.Machine {
		return db.Machine{Roles: []string{roleWorker}, Memory: memory.Load()}
	}
	ctx, stop := context.WithCancel(t.Context())
	var loop sync.WaitGroup
	defer loop.Wait()
	defer stop()
	loop.Go(func() { _ = l.run(ctx) })
	tells := func(want int64) func() error {
		return func() error {
			list, err := db.Workers(t.Context(), d, time.Now().Add(-time.Hour))
			if err == nil && (len(list) != 1 || len(list[0].Machine.Roles) != 1 || list[0].Machine.Memory != want) {
				err = errors.New("it has not told")
			}
			return err
		}
	}
	until(t, tells(0))
	memory.Store(7)
	k.apply(db.ProviderSettings{Disabled: []string{"x"}}) // which has it look again
	until(t, tells(7))
}

func TestAProcessWithoutAgentsTellsWhatHoldsOnItsMachine(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	old := db.Server{ID: "old", Name: "old", SeenAt: time.Now().Add(-2 * workerDeleteAfter)}
	if err := db.SaveServer(t.Context(), d, &old); err != nil {
		t.Fatal(err)
	}
	c := &config{Roles: []string{roleScheduler}}
	p := &presence{db: d, now: time.Now, log: slog.New(slog.DiscardHandler),
		look: func(ctx context.Context) db.Machine {
			return inspectMachine(ctx, c, d)
		}}
	ctx, stop := context.WithCancel(t.Context())
	var loop sync.WaitGroup
	defer loop.Wait()
	defer stop()
	loop.Go(func() { _ = p.run(ctx) })
	until(t, func() error {
		list, err := db.Servers(t.Context(), d, time.Time{})
		if err == nil && (len(list) != 1 || list[0].ID == "old" || list[0].Machine.Roles[0] != roleScheduler ||
			!list[0].Machine.OwnDatabase) {
			err = errors.New("it has not told, or one is not forgotten that is long gone")
		}
		return err
	})
}

func TestTheLogOfAStartHasTheWordsOfThePage(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	m := inspectMachine(t.Context(), &config{Roles: []string{roleWeb, roleWorker}, Limits: agent.Limits{Processes: 10}},
		d)
	if available := agent.SandboxAvailable(t.Context(), nil) == nil; available != (m.NoSandbox == "") || available &&
		(m.Bubblewrap == "" || m.Namespace == "") {
		t.Errorf("a sandbox can be had: %v; the machine is %+v", available, m)
	}
	var log bytes.Buffer
	logMachine(slog.New(slog.NewTextHandler(&log, nil)), m)
	for _, s := range isolation.Statements(m) {
		if !strings.Contains(log.String(), s.Text) || !strings.Contains(log.String(), s.Do) {
			t.Errorf("the log lacks %q %q:\n%s", s.Text, s.Do, &log)
		}
	}
}
