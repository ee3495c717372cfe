package jobs

import (
	"os"
	"testing"

	"carillon/app/agent"
	"carillon/app/agent/agenttest"
	"carillon/app/provider"
)

// agentRole is the first argument with which this test binary is a coding agent.
const agentRole = "coding-agent"

// setupAgent is setup with the test's own agent beside the Shell provider. It returns a function that lists the
// messages that the agent got.
func setupAgent(t *testing.T) (*kit, func() []string) {
	t.Parallel()
	k := prepare(t)
	program, err := os.Executable()
	check(t, err)
	state := t.TempDir()
	own := agent.Provider{
		ID: "agent", Name: "Agent", Driver: agent.DriverACP, Command: []string{program, agentRole, "lines",
			"state=" + state}, ReadMode: "look", InstructionFile: "GUIDE.md",
	}
	k.runner.Providers = func() []agent.Provider { return append(agent.Catalogue()[:1:1], own) }
	k.rules.Providers.List = func() []provider.Provider {
		return []provider.Provider{{ID: "shell", Name: "Shell", Script: true}, {ID: "agent", Name: "Agent"}}
	}
	k.start()
	return k, func() []string {
		t.Helper()
		list, err := agenttest.Messages(state)
		check(t, err)
		return list
	}
}
