// Package faults tests what becomes of the work when processes die in the middle of it. The processes are real ones: one for
// pages, two schedulers and two workers on one PostgreSQL database.
package faults

import (
	"os"
	"testing"

	"carillon/app/crash"
	"carillon/app/e2e/internal/stage"
)

func TestMain(m *testing.M) { os.Exit(stage.Run(m)) }

func needsPoints(t *testing.T) {
	t.Helper()
	if !crash.Compiled {
		t.Skip("this build has no crash points: make test compiles them, and so does go test -tags " + crash.Tag)
	}
}
