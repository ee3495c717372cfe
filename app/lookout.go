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
	// lookEvery is how long a look for installed agents holds, since they update themselves, and people install them; and
	// askAgainAfter how long the version of a program holds whose file is the same: asking for it starts the program.
	lookEvery     = time.Minute
	askAgainAfter = 15 * time.Minute
	// listEvery is how long an agent's own list of models holds, and listAgainAfter how soon one that failed is asked for again.
	listEvery      = time.Hour
	listAgainAfter = 10 * time.Minute
	// workerBeat is how often a worker says that it lives; db.WorkerSilence is a few of them.
	workerBeat = 20 * time.Second
	// workerForgotten is when a worker that is gone is forgotten.
	workerForgotten = 24 * time.Hour
)

// lookout looks on a worker for what is installed of the providers, and lets all know.
type lookout struct {
	agents *catalogue
	db     *db.DB
	worker db.Worker
	log    *slog.Logger
	// machine finds out what holds on this machine; nil: nobody asks.
	machine func(ctx context.Context) db.Machine

	mu    sync.Mutex
	looks map[string]looked
	holds db.Machine                   // what was found of the machine last
	said  map[string]db.WorkerProvider // what the others know of the providers
	known db.Machine                   // and of the machine
}

// looked is what a look at a provider found.
type looked struct {
	db.WorkerProvider
	stamp    string // of the program's file
	looked   time.Time
	listed   time.Time
	listedBy string // path and version of what listed the models
}

func newLookout(agents *catalogue, q *db.DB, worker string, places int, log *slog.Logger) *lookout {
	return &lookout{
		agents: agents, db: q, worker: db.Worker{ID: worker, Name: hostName("worker"), Places: places}, log: log, looks: map[string]looked{},
	}
}

// remember takes what a former life of this worker found for found, until it is looked for again: else the sessions of an
// agent would go to workers without it whenever the one that has it restarts.
func (l *lookout) remember(ctx context.Context) {
	found, err := db.WorkerFound(ctx, l.db, l.worker.ID)
	if err != nil {
		if ctx.Err() == nil {
			l.log.Warn("read what was installed here", "err", err)
		}
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, p := range found {
		l.looks[id] = looked{WorkerProvider: p}
	}
}

// run looks until ctx is over: at once, each minute, and when what there is to look for was changed.
func (l *lookout) run(ctx context.Context) error {
	l.remember(ctx)
	l.lookAround(ctx)
	var beats sync.WaitGroup
	defer beats.Wait()
	beats.Go(func() { // a look may take long
		beat := time.NewTicker(workerBeat)
		defer beat.Stop()
		for ctx.Err() == nil {
			l.tell(ctx)
			select {
			case <-ctx.Done():
			case <-beat.C:
			}
		}
	})
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for {
		l.look(ctx, func() { l.tell(ctx) })
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		case <-l.agents.changed:
		}
		l.lookAround(ctx)
	}
}

// lookAround finds out what holds on this machine. The next beat tells it.
func (l *lookout) lookAround(ctx context.Context) {
	if l.machine == nil {
		return
	}
	m := l.machine(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holds = m
}

// tell writes what was found, and that this worker lives. It announces what is new.
func (l *lookout) tell(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := l.found()
	w := l.worker
	w.SeenAt, w.Providers, w.Machine = l.agents.now(), found, l.holds
	err := db.SaveWorker(ctx, l.db, &w)
	if err == nil && (l.said == nil || !reflect.DeepEqual(found, l.said) || !reflect.DeepEqual(l.holds, l.known)) {
		l.said, l.known = found, l.holds
		err = errors.Join(db.Announce(ctx, l.db, "workers", uuid.Nil), db.ForgetWorkers(ctx, l.db, w.SeenAt.Add(-workerForgotten)))
	}
	if err != nil && ctx.Err() == nil {
		l.log.Warn("tell what is installed here", "err", err)
	}
}

func (l *lookout) found() map[string]db.WorkerProvider {
	found := make(map[string]db.WorkerProvider, len(l.looks))
	for id, look := range l.looks {
		found[id] = look.WorkerProvider
	}
	return found
}

// look looks at the providers one after the other, since starting an agent takes as much memory as a small run: first what is
// installed, then the models, which take longer. It calls then after each of the two.
func (l *lookout) look(ctx context.Context, then func()) {
	l.agents.mu.Lock()
	list, off, own := slices.Clone(l.agents.list), maps.Clone(l.agents.off), maps.Clone(l.agents.own)
	l.agents.mu.Unlock()
	l.mu.Lock()
	maps.DeleteFunc(l.looks, func(id string, _ looked) bool {
		return !slices.ContainsFunc(list, func(p agent.Provider) bool { return p.ID == id })
	})
	l.mu.Unlock()
	for _, p := range list {
		if ctx.Err() != nil {
			return
		}
		l.mu.Lock()
		last := l.looks[p.ID]
		l.mu.Unlock()
		file := stamp(p)
		signedIn := agent.SignedIn(p, os.Environ())
		if file != "" && file == last.stamp && time.Since(last.looked) < askAgainAfter {
			l.change(p.ID, func(look *looked) { look.SignedIn = signedIn })
			continue
		}
		found := agent.Detect(ctx, p)
		if own[p.ID] && found.Path != "" && !strings.HasPrefix(found.Problem, "does not start") {
			found.Problem = "" // it need not know --version to speak the protocol
		}
		l.change(p.ID, func(look *looked) {
			look.Path, look.Version, look.Problem, look.Keys = found.Path, found.Version, found.Problem, agent.KeysSet(p, os.Environ())
			look.SignedIn = signedIn
			look.stamp, look.looked = file, time.Now()
		})
	}
	then()
	for _, p := range list {
		if ctx.Err() != nil {
			return
		}
		l.mu.Lock()
		look := l.looks[p.ID]
		l.mu.Unlock()
		look.list(ctx, p, off[p.ID])
		l.change(p.ID, func(l *looked) { *l = look })
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

func (l *lookout) change(id string, how func(look *looked)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	look := l.looks[id]
	how(&look)
	l.looks[id] = look
}

// list asks an agent for its models, where it is there and was not asked lately.
func (l *looked) list(ctx context.Context, p agent.Provider, off bool) {
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
