package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"

	"carillon/app/agent"
	"carillon/db"
)

const (
	// detectEvery is the time between two detections of the installed agents: they update themselves, and people
	// install them. askAgainAfter is how long the version of a program holds whose file is the same: asking for it
	// starts the program.
	detectEvery   = time.Minute
	askAgainAfter = 15 * time.Minute
	// listEvery is how long an agent's own list of models holds, and listAgainAfter how soon one that failed is asked
	// for again.
	listEvery      = time.Hour
	listAgainAfter = 10 * time.Minute
	// workerBeat is how often a worker says that it lives; db.WorkerSilence is a few of them.
	workerBeat = 20 * time.Second
	// workerForgotten is when a worker that is gone is forgotten.
	workerForgotten = 24 * time.Hour
)

// agentDetector detects on a worker which agents are installed, and saves it for all processes.
type agentDetector struct {
	agents *catalogue
	db     *db.DB
	worker db.Worker
	log    *slog.Logger
	// machine finds out what holds on this machine; nil: nobody asks.
	machine func(ctx context.Context) db.Machine

	mu         sync.Mutex
	detections map[string]detection
	holds      db.Machine                   // what was found of the machine last
	said       map[string]db.WorkerProvider // what the others know of the providers
	known      db.Machine                   // and of the machine
}

// detection is what was detected of a provider.
type detection struct {
	db.WorkerProvider
	stamp    string // of the program's file
	detected time.Time
	listed   time.Time
	listedBy string // path and version of what listed the models
}

func newAgentDetector(agents *catalogue, q *db.DB, worker string, places int, log *slog.Logger) *agentDetector {
	return &agentDetector{
		agents: agents, db: q, worker: db.Worker{ID: worker, Name: hostName("worker"), Slots: places}, log: log,
		detections: map[string]detection{},
	}
}

// remember takes what a former life of this worker found for found, until it is looked for again: else the sessions of
// an agent would go to workers without it whenever the one that has it restarts.
func (d *agentDetector) remember(ctx context.Context) {
	found, err := db.WorkerFound(ctx, d.db, d.worker.ID)
	if err != nil {
		if ctx.Err() == nil {
			d.log.Warn("read what was installed here", "err", err)
		}
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, p := range found {
		d.detections[id] = detection{WorkerProvider: p}
	}
}

// run looks until ctx is over: at once, each minute, and when what there is to look for was changed.
func (d *agentDetector) run(ctx context.Context) error {
	d.remember(ctx)
	d.detectMachine(ctx)
	var beats sync.WaitGroup
	defer beats.Wait()
	beats.Go(func() { // a look may take long
		beat := time.NewTicker(workerBeat)
		defer beat.Stop()
		for ctx.Err() == nil {
			d.save(ctx)
			select {
			case <-ctx.Done():
			case <-beat.C:
			}
		}
	})
	again := time.NewTicker(detectEvery)
	defer again.Stop()
	for {
		d.detect(ctx, func() { d.save(ctx) })
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		case <-d.agents.changed:
		}
		d.detectMachine(ctx)
	}
}

// detectMachine finds out what holds on this machine. The next beat tells it.
func (d *agentDetector) detectMachine(ctx context.Context) {
	if d.machine == nil {
		return
	}
	m := d.machine(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.holds = m
}

// save writes what was found, and that this worker lives. It announces what is new.
func (d *agentDetector) save(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := d.found()
	w := d.worker
	w.SeenAt, w.Providers, w.Machine = d.agents.now(), found, d.holds
	err := db.SaveWorker(ctx, d.db, &w)
	if err == nil && (d.said == nil || !reflect.DeepEqual(found, d.said) || !reflect.DeepEqual(d.holds, d.known)) {
		d.said, d.known = found, d.holds
		err = errors.Join(db.Notify(ctx, d.db, "workers", uuid.Nil),
			db.DeleteWorkers(ctx, d.db, w.SeenAt.Add(-workerForgotten)))
	}
	if err != nil && ctx.Err() == nil {
		d.log.Warn("tell what is installed here", "err", err)
	}
}

// found is what is installed, by provider.
func (d *agentDetector) found() map[string]db.WorkerProvider {
	found := make(map[string]db.WorkerProvider, len(d.detections))
	for id, one := range d.detections {
		found[id] = one.WorkerProvider
	}
	return found
}

// detect looks at the providers one after the other, since starting an agent takes as much memory as a small run: first
// what is installed, then the models, which take longer. It calls then after each of the two.
func (d *agentDetector) detect(ctx context.Context, then func()) {
	d.agents.mu.Lock()
	list, off, own := slices.Clone(d.agents.list), maps.Clone(d.agents.off), maps.Clone(d.agents.own)
	d.agents.mu.Unlock()
	d.mu.Lock()
	maps.DeleteFunc(d.detections, func(id string, _ detection) bool {
		return !slices.ContainsFunc(list, func(p agent.Provider) bool { return p.ID == id })
	})
	d.mu.Unlock()
	for _, p := range list {
		if ctx.Err() != nil {
			return
		}
		d.mu.Lock()
		last := d.detections[p.ID]
		d.mu.Unlock()
		file := stamp(p)
		signedIn := agent.SignedIn(p, os.Environ())
		if file != "" && file == last.stamp && time.Since(last.detected) < askAgainAfter {
			d.change(p.ID, func(now *detection) { now.SignedIn = signedIn })
			continue
		}
		found := agent.Detect(ctx, p)
		if own[p.ID] && found.Path != "" && !strings.HasPrefix(found.Problem, "does not start") {
			found.Problem = "" // it need not know --version to speak the protocol
		}
		d.change(p.ID, func(now *detection) {
			now.Path, now.Version, now.Problem = found.Path, found.Version, found.Problem
			now.Keys, now.SignedIn = agent.KeysSet(p, os.Environ()), signedIn
			now.stamp, now.detected = file, time.Now()
		})
	}
	then()
	for _, p := range list {
		if ctx.Err() != nil {
			return
		}
		d.mu.Lock()
		last := d.detections[p.ID]
		d.mu.Unlock()
		last.list(ctx, p, off[p.ID])
		d.change(p.ID, func(now *detection) { *now = last })
	}
	then()
}

// stamp tells a program's file from the one before it; empty where there is none.
func stamp(p agent.Provider) string {
	if len(p.Command) == 0 {
		return ""
	}
	path, err := exec.LookPath(p.Command[0])
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return ""
	}
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	number := uint64(0) // files of packages have old times, but a new one has a new number
	if file, ok := info.Sys().(*syscall.Stat_t); ok {
		number = file.Ino
	}
	return fmt.Sprint(p.Command, path, info.ModTime(), info.Size(), number)
}

// change changes what was detected of a provider.
func (d *agentDetector) change(id string, how func(now *detection)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.detections[id]
	how(&now)
	d.detections[id] = now
}

// list asks an agent for its models, where it is there and was not asked lately.
func (l *detection) list(ctx context.Context, p agent.Provider, off bool) {
	by := l.Path + " " + l.Version
	if p.Driver != agent.DriverACP || l.Problem != "" || off {
		l.Models, l.ListProblem, l.listed = nil, "", time.Time{}
		return
	}
	wait := listEvery
	if l.ListProblem != "" {
		wait = listAgainAfter
	}
	if by == l.listedBy && time.Since(l.listed) < wait {
		return
	}
	dir, err := os.MkdirTemp("", "carillon-models-")
	if err != nil {
		l.ListProblem = err.Error()
		return
	}
	defer os.RemoveAll(dir) //nolint:errcheck // of no further use
	models, err := agent.Models(ctx, p, dir, nil)
	if ctx.Err() != nil {
		return
	}
	l.listed, l.listedBy, l.ListProblem = time.Now(), by, ""
	var failure *agent.Failure
	switch {
	case errors.As(err, &failure):
		l.ListProblem = agent.Clean(failure.Reason)
	case err != nil:
		l.ListProblem = agent.Clean(err.Error())
	case !slices.Equal(models, p.Models): // else it may have been asked in vain: those are only suggestions
		l.Models = models
	default:
		l.Models = nil
	}
}
