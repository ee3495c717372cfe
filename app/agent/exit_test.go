package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestASuccessThatIsFollowedByAnExitStatusIsASuccessWithAWarning(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "fake")
	script := "#!/bin/sh\necho '{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,\"result\":\"all done\",\"session_id\":\"one\"}'\nexit 1\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	var warned string
	p := Provider{ID: "fake", Name: "Fake agent", Driver: DriverClaude, Command: []string{program}}
	result, err := Run(t.Context(), p, Turn{Dir: dir, RunDir: t.TempDir(), Prompt: "Do it."}, func(e Event) {
		if e.Kind == EventWarning {
			warned += e.Text
		}
	})
	if err != nil || result.Text != "all done" || result.ExitCode != 1 || !strings.Contains(warned, "exit 1") {
		t.Errorf("it answered %q with exit %d and %v, and warned of %q; want success and a warning of exit 1", result.Text, result.ExitCode, err, warned)
	}
}
