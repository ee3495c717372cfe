package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carillon/app/transcript"
)

func TestASuccessThatIsFollowedByAnExitStatusIsASuccessWithAWarning(t *testing.T) {
	t.Parallel()
	for driver, says := range map[string]string{
		DriverClaude: `{"type":"result","subtype":"success","is_error":false,"result":"all done","session_id":"one"}`,
		DriverCodex: `{"type":"thread.started","thread_id":"one"}
{"type":"item.completed","item":{"id":"1","type":"agent_message","text":"all done"}}
{"type":"turn.completed","usage":{"input_tokens":7,"output_tokens":1}}`,
	} {
		result, warned, err := runFake(t, driver, "cat >/dev/null; cat <<'END'\n"+says+"\nEND\nexit 1\n")
		if err != nil || result.Text != "all done" || result.ExitCode != 1 || !strings.Contains(warned, "exit 1") {
			t.Errorf("%v: it answered %q with exit %d and %v, and warned of %q; want success and a warning of exit 1",
				driver, result.Text, result.ExitCode, err, warned)
		}
	}
}

// TestASuccessOverACPIsASuccessWhateverTheProgramsExitIs is about a program that is told to end after its answer: its
// exit says nothing.
func TestASuccessOverACPIsASuccessWhateverTheProgramsExitIs(t *testing.T) {
	t.Parallel()
	result, _, err := runFake(t, DriverACP, `
answer() { id="${line#*\"id\":}"; id="${id%%[,\}]*}"; printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
while read -r line; do
	case "$line" in
	*'"initialize"'*) answer '{"protocolVersion":1,"agentCapabilities":{}}';;
	*'"session/new"'*) answer '{"sessionId":"one"}';;
	*'"session/prompt"'*)
		echo '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"one","update":{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"all done"}}}}'
		answer '{"stopReason":"end_turn"}'
		exit 1;;
	esac
done
`)
	if err != nil || result.Text != "all done" || result.ExitCode != 0 {
		t.Errorf("it answered %q with exit %d and %v; want success", result.Text, result.ExitCode, err)
	}
}

// runFake runs a script of bash that plays an agent.
func runFake(t *testing.T, driver, script string) (result Result, warned string, err error) {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "fake")
	if err := os.WriteFile(program, []byte("#!/bin/bash\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	p := Provider{ID: "fake", Name: "Fake agent", Driver: driver, Command: []string{program}}
	result, err = Run(t.Context(), p, Turn{Dir: dir, RunDir: t.TempDir(), Prompt: "Do it."}, func(e transcript.Event) {
		if e.Kind == transcript.KindWarning {
			warned += e.Text
		}
	})
	return result, warned, err
}
