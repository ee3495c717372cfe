// Package faults tests what becomes of the work when processes die in the middle of it. The processes are real ones:
// one for pages, two schedulers and two workers on one PostgreSQL database.
package faults

import (
	"os"
	"syscall"
	"testing"

	"carillon/app/agent/agenttest"
	"carillon/app/crash"
	"carillon/app/e2e/internal/stage"
)

// agentRole is the first argument with which this test binary is a coding agent.
const agentRole = "--acp"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == agentRole {
		syscall.Exit(agenttest.Serve(os.Args[2:], nil)) // without the race detector's second of waiting
	}
	os.Exit(stage.Run(m))
}

func needsPoints(t *testing.T) {
	t.Helper()
	if !crash.Compiled {
		t.Skip("this build has no crash points: make test compiles them, and so does go test -tags " + crash.Tag)
	}
}
