package e2e

import (
	"bytes"
	"os"
	"testing"

	"carillon/app/crash"
	"carillon/app/e2e/internal/stage"
)

// A released program has no place at which it could be told to die. Plain is built as it is.
func TestReleasedProgramHasNoCrashPoints(t *testing.T) {
	t.Parallel()
	holds := func(build func() (string, error), text string) bool {
		t.Helper()
		path, err := build()
		if err != nil {
			t.Fatal(err)
		}
		program, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(program, []byte(text))
	}
	for _, text := range []string{crash.Variable, string(crash.SessionsClaiming), "app/crash.Here"} {
		if holds(stage.Plain, text) {
			t.Errorf("the released program has %q in it", text)
		}
		if crash.Compiled && !holds(stage.Watched, text) {
			t.Errorf("a program with crash points does not have %q in it, so that this test would not find it", text)
		}
	}
}
