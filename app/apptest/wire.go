// Package apptest has what the tests of the rules share: the services wired as the program wires them, a clock that
// tests move, and a kit of people, a workspace and automations on a database of its own.
package apptest

import (
	"context"
	"log/slog"
	"time"

	"carillon/app/automation"
	"carillon/app/bot"
	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/app/provider"
	"carillon/app/secret"
	"carillon/app/ticket"
	"carillon/app/workflow"
	"carillon/app/workspace"
	"carillon/db"
)

// Secret is what the keys of tests are made from, as CARILLON_SECRET has it.
const Secret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

// Keys are the keys of tests.
func Keys() *secret.Keys {
	keys, err := secret.Parse(Secret)
	if err != nil {
		panic(err)
	}
	return keys
}

// The providers that NewRules knows unless it is given others.
var (
	Shell = provider.Provider{ID: "shell", Name: "Shell", Script: true}
	Agent = provider.Provider{ID: "agent", Name: "Agent", Models: []string{"small", "large"}}
)

// NewRules makes a service of automations with those of providers and workspaces. It knows the providers given, or
// Shell and Agent, and takes each repository for one whose branch is main.
func NewRules(d *db.DB, now func() time.Time, known ...provider.Provider) *automation.Service {
	if len(known) == 0 {
		known = []provider.Provider{Shell, Agent}
	}
	providers := &provider.Service{DB: d, Now: now, List: func() []provider.Provider { return known }}
	keys := Keys()
	return &automation.Service{
		DB: d, Now: now, Keys: keys, Log: slog.New(slog.DiscardHandler), Providers: providers,
		Workspaces: &workspace.Service{
			DB: d, Now: now, Keys: keys, Providers: providers,
			Probe: func(context.Context, workspace.Remote) (string, fault.Invalid) { return "main", nil },
		},
	}
}

// Services are the services of the rules.
type Services struct {
	Rules     *automation.Service
	Workflows *workflow.Service
	Bots      *bot.Service
	Tickets   *ticket.Service
	Inbox     *inbox.Service
}

// Wire makes the services that stand beside that of automations, as the program does. They use its database and its
// clock, which a test may replace later.
func Wire(rules *automation.Service) *Services {
	now := func() time.Time { return rules.Now() }
	return &Services{
		Rules: rules,
		Workflows: &workflow.Service{
			DB: rules.DB, Now: now, Keys: rules.Keys, RunsScripts: rules.Providers.RunsScripts,
			Changed: rules.Definitions().StopAutomating, Lost: rules.Definitions().DisableUsers,
		},
		Bots: &bot.Service{
			DB: rules.DB, Now: now, Provider: rules.Providers.Find,
			Changed: rules.Definitions().StopAutomating, Lost: rules.Definitions().DisableUsers,
		},
		Tickets: &ticket.Service{DB: rules.DB, Now: now},
		Inbox:   &inbox.Service{DB: rules.DB, Now: now},
	}
}
