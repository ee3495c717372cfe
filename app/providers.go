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
	"carillon/app/provider"
	"carillon/app/runas"
	"carillon/db"
)

// catalogue has the providers of this installation, with the results of each worker's detection.
type catalogue struct {
	base []agent.Provider // without an administrator's changes
	user *runas.User      // user of their programs; nil: the server's user
	now  func() time.Time

	mu      sync.Mutex
	list    []agent.Provider
	off     map[string]bool
	own     map[string]bool // providers that an administrator added
	workers []db.Worker     // workers that are alive
	applied db.ProviderSettings

	changed chan struct{} // the settings were changed: detect again
}

// newCatalogue makes a catalogue, without the Shell provider if the settings switch it off.
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

// reload reads an administrator's changes and the results of the workers.
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
	k.setWorkers(workers)
	return nil
}

func (k *catalogue) setWorkers(workers []db.Worker) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.workers = workers
}

// watchChanges reloads after changes by any process, until ctx ends.
func (k *catalogue) watchChanges(q *db.DB, log *slog.Logger) func(ctx context.Context) error {
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
		go func() { // a dead worker sends no notification
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

// known gives the providers for the rules. The models are those that an agent lists on any worker. They are
// suggestions; agents accept other models too.
func (k *catalogue) known() []provider.Provider {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := make([]provider.Provider, len(k.list))
	for i, p := range k.list {
		list[i] = provider.Provider{
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

// bestFound gives the best result of the workers for a provider. ok is false if no worker has a result yet.
func (k *catalogue) bestFound(id string) (found agent.Found, ok bool) {
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

// liveWorkers lists the workers that are alive.
func (k *catalogue) liveWorkers() []db.Worker {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.workers
}
