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
	// detectEvery is the interval of the detection of installed agents, which update themselves and which people
	// install. versionMaxAge is how long the version of an unchanged program file is used, because reading a version
	// starts the program.
	detectEvery   = time.Minute
	versionMaxAge = 15 * time.Minute
	// listEvery is how long an agent's list of models is used, and listAgainAfter the delay after a failed list.
	listEvery      = time.Hour
	listAgainAfter = 10 * time.Minute
	// workerBeat is the interval of a worker's heartbeat; db.WorkerSilence is a few of them.
	workerBeat = 20 * time.Second
	// workerDeleteAfter is how long the row of a silent worker is kept.
	workerDeleteAfter = 24 * time.Hour
)

// agentDetector detects the agents that are installed on a worker's machine, and writes the result for all processes.
type agentDetector struct {
	agents *catalogue
	db     *db.DB
	worker db.Worker
	log    *slog.Logger
	// machine inspects this machine; may be nil.
	machine func(ctx context.Context) db.Machine

	mu         sync.Mutex
	detections map[string]detection
	holds      db.Machine                   // last result of machine
	said       map[string]db.WorkerProvider // providers that were written last
	known      db.Machine                   // machine that was written last
}

// detection is the result for one provider.
type detection struct {
	db.WorkerProvider
	stamp    string // of the program's file
	detected time.Time
	listed   time.Time
	listedBy string // path and version of the program that listed the models
}

func newAgentDetector(agents *catalogue, q *db.DB, worker string, places int, log *slog.Logger) *agentDetector {
	return &agentDetector{
		agents: agents, db: q, worker: db.Worker{ID: worker, Name: hostName("worker"), Slots: places}, log: log,
		detections: map[string]detection{},
	}
}

// remember reads the result of a former process of this worker, which is used until the next detection. Otherwise
// sessions would go to other workers whenever the worker with their agent restarts.
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

// run detects until ctx ends: at once, each minute, and after a change of the providers.
func (d *agentDetector) run(ctx context.Context) error {
	d.remember(ctx)
	d.detectMachine(ctx)
	var beats sync.WaitGroup
	defer beats.Wait()
	beats.Go(func() { // a detection may take long
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

// detectMachine inspects this machine. The next heartbeat writes the result.
func (d *agentDetector) detectMachine(ctx context.Context) {
	if d.machine == nil {
		return
	}
	m := d.machine(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.holds = m
}

// save writes the results and the heartbeat, and notifies other processes of changes.
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
			db.DeleteWorkers(ctx, d.db, w.SeenAt.Add(-workerDeleteAfter)))
	}
	if err != nil && ctx.Err() == nil {
		d.log.Warn("save what is installed here", "err", err)
	}
}

// found gives the results by provider.
func (d *agentDetector) found() map[string]db.WorkerProvider {
	found := make(map[string]db.WorkerProvider, len(d.detections))
	for id, one := range d.detections {
		found[id] = one.WorkerProvider
	}
	return found
}

// detect detects the providers one after the other, because starting an agent needs as much memory as a small run:
// first the programs and then the models, which take longer. It calls then after each of the two.
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
		if file != "" && file == last.stamp && time.Since(last.detected) < versionMaxAge {
			d.change(p.ID, func(now *detection) { now.SignedIn = signedIn })
			continue
		}
		found := agent.Detect(ctx, p)
		if own[p.ID] && found.Path != "" && !strings.HasPrefix(found.Problem, "does not start") {
			found.Problem = "" // an agent of this protocol need not support --version
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

// stamp identifies a version of a program's file; empty: there is no file.
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
	number := uint64(0) // a new file of a package may have an old time, but it has a new inode number
	if file, ok := info.Sys().(*syscall.Stat_t); ok {
		number = file.Ino
	}
	return fmt.Sprint(p.Command, path, info.ModTime(), info.Size(), number)
}

// change changes the result of a provider under the lock.
func (d *agentDetector) change(id string, how func(now *detection)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.detections[id]
	how(&now)
	d.detections[id] = now
}

// list asks an agent for its models if it is installed and was not asked recently.
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
	case !slices.Equal(models, p.Models): // the models that equal the suggestions may not come from the agent
		l.Models = models
	default:
		l.Models = nil
	}
}
