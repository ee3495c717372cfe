package main

import (
	"context"
	"sync"
	"time"

	"carillon/app/agent"
	"carillon/app/automation"
)

// catalogue is the ways to run an agent that this installation offers, with what is installed of each on this machine.
type catalogue struct {
	list []agent.Provider

	mu      sync.Mutex
	found   map[string]agent.Found
	looking bool
	looked  time.Time
}

// newCatalogue leaves out the Shell provider where the settings switch it off.
func newCatalogue(c *config) *catalogue {
	k := &catalogue{found: map[string]agent.Found{}}
	for _, p := range agent.Catalogue() {
		if p.Driver != agent.DriverShell || c.Shell {
			k.list = append(k.list, p)
		}
	}
	return k
}

func (k *catalogue) providers() []agent.Provider { return k.list }

// known is what the rules need to know of the providers. Models that the catalogue names are suggestions, since the agents
// take others too, so the rules are given none to hold people to.
func (k *catalogue) known() []automation.Provider {
	list := make([]automation.Provider, len(k.list))
	for i, p := range k.list {
		list[i] = automation.Provider{ID: p.ID, Name: p.Name, Script: p.Driver == agent.DriverShell, Unpriced: unpriced(p)}
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

// look says what is installed, as of the last look, and has another made when that was long ago. ok is false until the
// first one is over.
func (k *catalogue) look(id string) (found agent.Found, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.looking && time.Since(k.looked) > lookEvery {
		k.looking = true
		go k.detect()
	}
	found, ok = k.found[id]
	return found, ok
}

func (k *catalogue) detect() {
	found := make(map[string]agent.Found, len(k.list))
	for _, p := range k.list {
		found[p.ID] = agent.Detect(context.Background(), p) // bounds itself
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.found, k.looking, k.looked = found, false, time.Now()
}
