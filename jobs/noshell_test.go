package jobs

import (
	"strings"
	"testing"

	"carillon/app/agent"
	"carillon/db"
)

func TestAWorkerWithoutTheShellProviderRunsNoScriptThatWasQueuedElsewhere(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	k.runner.Providers = func() []agent.Provider { return agent.Catalogue()[1:] }
	run := k.run("echo it ran", nil) // by a server that has the provider
	k.start()
	e := k.ended(run)
	if e.Status != db.Failed || !strings.Contains(e.Reason, "the provider shell is not available on this worker") ||
		strings.Contains(k.transcript(run.Session.ID), "it ran") {
		t.Errorf("the run is %s: %s; want it failed, and nothing run", e.Status, e.Reason)
	}
}
