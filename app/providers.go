package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/db"
)

// catalogue is the ways to run an agent that this installation offers, with what is installed of each on this machine.
type catalogue struct {
	base []agent.Provider // without what an administrator has changed

	mu     sync.Mutex
	list   []agent.Provider
	off    map[string]bool
	own    map[string]bool // of an administrator's own making
	looks  map[string]looked
	lookup bool // a look is under way
	at     time.Time
}

// looked is what a look at a provider found.
type looked struct {
	found    agent.Found
	models   []string // listed by the agent itself; empty: it does not, or could not
	problem  string   // why it could not
	listed   time.Time
	listedBy string // command and version that listed them
}

// newCatalogue leaves out the Shell provider where the settings switch it off.
func newCatalogue(c *config) *catalogue {
	k := &catalogue{looks: map[string]looked{}}
	for _, p := range agent.Catalogue() {
		if p.Driver != agent.DriverShell || c.Shell {
			k.base = append(k.base, p)
		}
	}
	k.apply(db.ProviderSettings{})
	return k
}

// reload takes over what an administrator has saved.
func (k *catalogue) reload(ctx context.Context, q *db.DB) error {
	settings, err := db.Providers(ctx, q)
	if err != nil {
		return err
	}
	k.apply(settings)
	return nil
}

// keepUp reloads when something was saved, here or elsewhere, until ctx is over.
func (k *catalogue) keepUp(q *db.DB, log *slog.Logger) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		again := func() {
			if err := k.reload(ctx, q); err != nil && ctx.Err() == nil {
				log.Error("read the settings of the providers", "err", err)
			}
		}
		return q.Listen(ctx, log, again, func(topic string, _ uuid.UUID) {
			if topic == "providers" {
				again()
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
			ID: o.ID, Name: o.Name, Driver: agent.DriverACP, Command: o.Command, Keys: o.Keys, State: o.State, AutoMode: o.AutoMode, ReadMode: o.ReadMode,
			Models: s.Models[o.ID], Install: "Install its program on every worker.", SignIn: "Sign it in as the server's user, or set its variables for the server.",
		})
	}
	off := map[string]bool{}
	for _, id := range s.Disabled {
		off[id] = true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list, k.off, k.own, k.at = list, off, own, time.Time{} // look again at what may be new
}

func (k *catalogue) providers() []agent.Provider {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.list
}

// known is what the rules need to know of the providers. Models that the catalogue names are suggestions, since the agents
// take others too; those that an agent lists itself are all there are.
func (k *catalogue) known() []automation.Provider {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := make([]automation.Provider, len(k.list))
	for i, p := range k.list {
		list[i] = automation.Provider{ID: p.ID, Name: p.Name, Script: p.Driver == agent.DriverShell, Off: k.off[p.ID], Models: k.looks[p.ID].models, Unpriced: unpriced(p)}
	}
	return list
}

// unpriced reports whether a provider is known never to tell what it costs. Of others nobody can say beforehand.
func unpriced(p agent.Provider) bool {
	switch p.ID {
	case "codex", "gemini", "qwen", "copilot":
		return true
	}
	return p.Driver == agent.DriverShell || p.Driver == agent.DriverCodex
}

// lookEvery is how long a look for installed agents holds. They update themselves, and people install them.
const lookEvery = time.Minute

// listEvery is how long an agent's own list of models holds, and how soon one that failed is asked for again.
const (
	listEvery      = time.Hour
	listAgainAfter = 10 * time.Minute
)

// look says what is installed, as of the last look, and has another made when that was long ago. ok is false until the
// first one is over.
func (k *catalogue) look(id string) (found agent.Found, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lookSoon()
	if k.off[id] {
		return agent.Found{Problem: "switched off"}, true
	}
	l, ok := k.looks[id]
	return l.found, ok
}

// detected is look of a provider that may be switched off, with the models that the agent lists itself, or why it did not.
func (k *catalogue) detected(id string) (found agent.Found, models []string, problem string, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lookSoon()
	l, ok := k.looks[id]
	return l.found, l.models, l.problem, ok
}

func (k *catalogue) lookSoon() {
	if !k.lookup && time.Since(k.at) > lookEvery {
		k.lookup, k.at = true, time.Now()
		go k.detect(slices.Clone(k.list))
	}
}

// detect looks at the providers one after the other, since starting an agent takes as much memory as a small run: first
// what is installed, then the models, which take longer.
func (k *catalogue) detect(list []agent.Provider) {
	ctx := context.Background() // each look bounds itself
	for _, p := range list {
		found := agent.Detect(ctx, p)
		k.mu.Lock()
		if k.own[p.ID] && found.Path != "" && !strings.HasPrefix(found.Problem, "does not start") {
			found.Problem = "" // it need not know --version to speak the protocol
		}
		l := k.looks[p.ID]
		l.found = found
		k.looks[p.ID] = l
		k.mu.Unlock()
	}
	for _, p := range list {
		k.mu.Lock()
		l, off := k.looks[p.ID], k.off[p.ID]
		k.mu.Unlock()
		l.list(ctx, p, off)
		k.mu.Lock()
		k.looks[p.ID] = l
		k.mu.Unlock()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lookup = false
}

// list asks an agent for its models, where it is there and was not asked lately.
func (l *looked) list(ctx context.Context, p agent.Provider, off bool) {
	by := l.found.Path + " " + l.found.Version
	if p.Driver != agent.DriverACP || l.found.Problem != "" || off {
		l.models, l.problem, l.listed = nil, "", time.Time{}
		return
	}
	wait := listEvery
	if l.problem != "" {
		wait = listAgainAfter
	}
	if by == l.listedBy && time.Since(l.listed) < wait {
		return
	}
	dir, err := os.MkdirTemp("", "carillon-models-")
	if err != nil {
		l.problem = err.Error()
		return
	}
	defer os.RemoveAll(dir) //nolint:errcheck // of no further use
	models, err := agent.Models(ctx, p, dir, nil)
	l.listed, l.listedBy, l.problem = time.Now(), by, ""
	var failure *agent.Failure
	switch {
	case errors.As(err, &failure):
		l.problem = failure.Reason
	case err != nil:
		l.problem = err.Error()
	case !slices.Equal(models, p.Models): // else it may have been asked in vain: those are only suggestions
		l.models = models
	default:
		l.models = nil
	}
}
