package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"

	"carillon/app/agent/agenttest"
	"carillon/app/e2e/internal/stage"
)

// agentRole is the first argument with which this test binary is a coding agent.
const agentRole = "--acp"

// ownAgent is the command line of this test binary as a coding agent, which keeps its conversations in a folder of the
// test's.
func ownAgent(t *testing.T) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return program + " " + agentRole + " state=" + stage.Folder(t)
}

// beAsked is what the agent does with a message that has no directives in it.
func beAsked(m *agenttest.Message) {
	if strings.Contains(m.Text, "wait for me") {
		m.Wait()
		return
	}
	if playPattern(m) {
		return
	}
	m.Plan("Look around")
	if m.Before == "" {
		m.Say("I know you: no.")
	} else {
		m.Say("I know you: yes.")
	}
}

func TestAnAgentIsAddedTriedAndTalkedTo(t *testing.T) {
	t.Parallel()
	s := stage.ServePlain(t, slices.Concat(stage.AsAdministrator, []string{stage.OnDatabase(t)})...)
	script(t, s, "providers", "AGENT="+ownAgent(t))
}
