// Package e2e tests the whole program from outside: the binary as people start it, a real browser, real processes of
// agents and a real database. It needs Node and the packages of package.json, which make test installs.
package e2e

import (
	"os"
	"syscall"
	"testing"

	"carillon/app/agent/agenttest"
	"carillon/app/e2e/internal/stage"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == agentRole {
		syscall.Exit(agenttest.Serve(os.Args[2:], beAsked)) // without the race detector's second of waiting
	}
	os.Exit(stage.Run(m))
}
