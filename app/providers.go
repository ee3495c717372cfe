package main

import (
	"context"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/runas"
	"carillon/db"
)

// catalogue is the ways to run an agent that this installation offers, with what each worker found of them on its
// machine.
type catalogue struct {
	base []agent.Provider // without what an administrator has changed
	user *runas.User      // as whom their programs run; nil: the server's own
	now  func() time.Time

	mu      sync.Mutex
	list    []agent.Provider
	off     map[string]bool
	own     map[string]bool // of an administrator's own making
	workers []db.Worker     // that lived lately
	applied db.ProviderSettings

	changed chan struct{} // something was saved: look again at what may be new
}

// newCatalogue leaves out the Shell provider where the settings switch it off.
func newCatalogue(c *config) *catalogue {
	k := &catalogue{now: time.Now, changed: make(chan struct{}, 1), user: c.agents}
	for _, p := range agent.Catalogue() {
		if p.Driver != agent.DriverShell || c.Shell {
			k.base = append(k.base, p)
		}
	}
	k.apply(db.ProviderSettings{})
	return k
}

// reload takes over what an administrator has saved, and what the workers have found.
func (k *catalogue) reload(ctx context.Context, q *db.DB) error {
	settings, err := db.Providers(ctx, q)
	if err != nil {
		return err
	}
	k.apply(settings)
	return k.reloadWorkers(ctx, q)
}

func (k *catalogue) reloadWorkers(ctx context.Context, q *db.DB) error {
	workers, err := db.Workers(ctx, q, k.now().Add(-db.WorkerSilence))
	if err != nil {
		return err
	}
	k.take(workers)
	return nil
}

func (k *catalogue) take(workers []db.Worker) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.workers = workers
}

// keepUp reloads when something was saved, here or elsewhere, until ctx is over.
func (k *catalogue) keepUp(q *db.DB, log *slog.Logger) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		again := func() {
			if err := k.reload(ctx, q); err != nil && ctx.Err() == nil {
				log.Error("read the settings of the providers", "err", err)
			}
		}
		workers := func() {
			if err := k.reloadWorkers(ctx, q); err != nil && ctx.Err() == nil {
				log.Error("read what the workers found", "err", err)
			}
		}
		go func() { // a worker that dies says nothing
			tick := time.NewTicker(workerBeat)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					workers()
				}
			}
		}()
		return q.Listen(ctx, log, again, func(topic string, _ uuid.UUID) {
			switch topic {
			case "providers":
				again()
			case "workers":
				workers()
			}
		})
	}
}

func (k *catalogue) apply(s db.ProviderSettings) {
	list := slices.Clone(k.base)
	for i := range list {
		if models := s.Models[list[i].ID]; len(models) > 0 {
			list[i].Models = models
		}
	}
	own := map[string]bool{}
	for _, o := range s.Own {
		own[o.ID] = true
		list = append(list, agent.Provider{
			ID: o.ID, Name: o.Name, Driver: agent.DriverACP, Command: o.Command, Keys: o.Keys, State: o.State,
			Obeys: o.Obeys, AutoMode: o.AutoMode, ReadMode: o.ReadMode,
			Models: s.Models[o.ID], Install: "Install its program on every worker.",
			SignIn: "Sign it in as the server's user, or set its variables for the server.",
		})
	}
	for i := range list {
		list[i].User = k.user
	}
	off := map[string]bool{}
	for _, id := range s.Disabled {
		off[id] = true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !reflect.DeepEqual(s, k.applied) {
		select {
		case k.changed <- struct{}{}:
		default:
		}
	}
	k.list = list
	k.off = off
	k.own = own
	k.applied = s
}

func (k *catalogue) providers() []agent.Provider {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.list
}

// known is what the rules need to know of the providers. Models are those that an agent lists itself, on whichever
// worker. They are offered; agents take others too.
func (k *catalogue) known() []automation.Provider {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := make([]automation.Provider, len(k.list))
	for i, p := range k.list {
		list[i] = automation.Provider{
			ID: p.ID, Name: p.Name, Script: p.Driver == agent.DriverShell, Off: k.off[p.ID], Models: k.modelsOf(p.ID),
			Unpriced: p.Unpriced, Keys: p.Keys,
		}
	}
	return list
}

func (k *catalogue) modelsOf(id string) []string {
	var all []string
	for _, w := range k.workers {
		for _, model := range w.Providers[id].Models {
			if !slices.Contains(all, model) {
				all = append(all, model)
			}
		}
	}
	return all
}

// look says what the workers found of a provider: the best of it. ok is false while none has looked.
func (k *catalogue) look(id string) (found agent.Found, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.off[id] {
		return agent.Found{Problem: "switched off"}, true
	}
	for _, w := range k.workers {
		if p, looked := w.Providers[id]; looked && (!ok || p.Problem == "") {
			found, ok = agent.Found{Path: p.Path, Version: p.Version, Problem: p.Problem}, true
		}
	}
	return found, ok
}

// live lists the workers that live.
func (k *catalogue) live() []db.Worker {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.workers
}
