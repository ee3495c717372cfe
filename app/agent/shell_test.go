package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"carillon/app/transcript"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestScriptRunsInTheWorktree(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, "echo one; echo two >&2; pwd -P; read -r x || echo stdin is closed\necho $-")
	res, f, s := runTurn(t, bash(), turn)
	if f != nil {
		t.Fatal(f)
	}
	dir, _ := filepath.EvalSymlinks(turn.Dir)
	out := s.stream("stdout")
	if !strings.HasPrefix(out, "one\n"+dir+"\nstdin is closed\n") || s.stream("stderr") != "two\n" {
		t.Errorf("printed %q and %q", out, s.stream("stderr"))
	}
	if res.Text != out || res.Usage.Known {
		t.Errorf("result is %+v; want the output as text and no usage", res)
	}
}

func TestHostileValuesArriveUnchangedAndNothingRuns(t *testing.T) {
	t.Parallel()
	values := []string{
		"$(touch pwned)", "`touch pwned`", "a\nb\n", `"; touch pwned; "`, `'; touch pwned; '`, "{{other}}",
		"${PARAM_other}", "$other",
		"-rf .", "\\", "\\\"", "*", "a[$(touch pwned)]", "x; touch pwned", "& touch pwned", "\x1b[31m", "ümlaut \u2028",
		"", " ", "\r\n",
		"() { :;}; touch pwned", "%s%n", "!!",
	}
	for _, value := range values {
		turn := newTurn(t,
			`printf '%s' "{{value}}" > got; printf '%s' "{{ a.b }}" >> got; for w in {{value}}; do :; done; bash -c 'printf "%s" "$PARAM_value"' > again`)
		turn.Params = map[string]string{"value": value, "a.b": value, "other": "wrong"}
		_, f, _ := runTurn(t, bash(), turn)
		if f != nil {
			t.Errorf("%q: %v", value, f)
		}
		if got, _ := os.ReadFile(filepath.Join(turn.Dir, "got")); string(got) != value+value {
			t.Errorf("got %q, want %q twice", got, value)
		}
		if got, _ := os.ReadFile(filepath.Join(turn.Dir, "again")); string(got) != value {
			t.Errorf("a child got %q, want %q", got, value)
		}
		if _, err := os.Stat(filepath.Join(turn.Dir, "pwned")); err == nil {
			t.Errorf("%q was run", value)
		}
	}
}

func TestParamsFileHoldsWhatNoVariableCan(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, `cat "$PARAMS_FILE"`)
	turn.Params = map[string]string{"big": strings.Repeat("x", 150<<10), "odd name!": "1", "nul": "a\x00b", "a": "2"}
	_, f, s := runTurn(t, bash(), turn)
	if f != nil {
		t.Fatal(f)
	}
	var got map[string]string
	if err := json.Unmarshal([]byte(s.stream("stdout")), &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range turn.Params {
		if got[name] != want {
			t.Errorf("%s has %d bytes; want %d", name, len(got[name]), len(want))
		}
	}

	turn = newTurn(t, `echo "{{big}}"`)
	turn.Params = map[string]string{"big": strings.Repeat("x", 150<<10)}
	_, f, _ = runTurn(t, bash(), turn)
	expectFailure(t, f, FailStart, "the value of big is too long for a variable")
	turn = newTurn(t, `echo "{{nul}}"`)
	turn.Params = map[string]string{"nul": "a\x00b"}
	_, f, _ = runTurn(t, bash(), turn)
	expectFailure(t, f, FailStart, "NUL")
}

func TestAScriptWithSixtyThousandValuesGetsThoseThatItUses(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, `echo {{field7}}; env | grep -c ^PARAM_; grep -o '"field' "$PARAMS_FILE" | wc -l`)
	turn.Params = map[string]string{}
	for i := range 60_000 {
		turn.Params[fmt.Sprintf("field%d", i)] = fmt.Sprintf("value %d", i)
	}
	_, f, s := runTurn(t, bash(), turn)
	if out := s.stream("stdout"); f != nil || strings.Join(strings.Fields(out), " ") != "value 7 1 60000" {
		t.Errorf("printed %q, %v", out, f)
	}
}

func TestOutputWithoutALineEndAppearsWhileItGrows(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, `printf begun; while [ ! -e seen ]; do printf .; sleep 0.05; done; echo end`)
	err := error(nil)
	told := false
	_, f := Run(t.Context(), bash(), turn, func(e transcript.Event) {
		if !told && e.Kind == transcript.KindOutput && strings.HasPrefix(e.Text, "begun") {
			told = true
			err = os.WriteFile(filepath.Join(turn.Dir, "seen"), nil, 0o600)
		}
	})
	if f != nil || err != nil || !told {
		t.Errorf("it ended with %v, %v", f, err)
	}
}

func TestTheScriptsOwnNameWinsAVariable(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, `echo "{{a.b}}" "$PARAM_c_d"`)
	turn.Params = map[string]string{"a.b": "dotted", "a_b": "flat", "c.d": "dotted", "c_d": "flat"}
	_, f, s := runTurn(t, bash(), turn)
	if f != nil || s.stream("stdout") != "dotted flat\n" {
		t.Errorf("printed %q, %v", s.stream("stdout"), f)
	}
}

func TestScriptFailuresSayWhy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, script, kind, reason string
		exit                       int
	}{
		{"an exit status with the last line of stderr", "echo first >&2; echo '  broken pipe dream' >&2; exit 3",
			FailAgent, "exit 3: broken pipe dream", 3},
		{"an exit status alone", "exit 4", FailAgent, "exit 4", 4},
		{"a failing command ends the script", "false; echo no", FailAgent, "exit 1", 1},
		{"a failing part of a pipe", "false | cat", FailAgent, "exit 1", 1},
		{"a missing value", "echo \"{{pull_request.title}}\"", FailAgent,
			"the placeholder {{pull_request.title}} has no value", 1},
		{"a missing variable", "echo $PARAM_branch", FailAgent, "the placeholder {{branch}} has no value", 1},
		{"a variable of its own", "echo \"$nothing\"", FailAgent, "script: line 1: nothing: unbound variable", 1},
		{"a signal", "kill -SEGV $$", FailAgent, "ended by a signal: segmentation fault", 139},
		{"a syntax error", "echo 'x", FailStart, "line 1: syntax error", 0},
		{"a missing command", "nosuchcommand", FailAgent, "nosuchcommand: command not found", 127},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			res, f, _ := runTurn(t, bash(), newTurn(t, tt.script))
			expectFailure(t, f, tt.kind, tt.reason)
			if f.ExitCode != tt.exit && f.ExitCode != 127 || res.ExitCode != f.ExitCode {
				t.Errorf("exit codes %d and %d; want %d", f.ExitCode, res.ExitCode, tt.exit)
			}
		})
	}
}

func TestMissingProgramIsAStartFailureWithItsFix(t *testing.T) {
	t.Parallel()
	p := bash()
	p.Command = []string{"no-such-bash"}
	_, f, _ := runTurn(t, p, newTurn(t, "true"))
	expectFailure(t, f, FailStart, "Shell script is not installed: no program no-such-bash was found")
	if f.Fix != p.Install {
		t.Errorf("the fix is %q; want %q", f.Fix, p.Install)
	}
	p.Command = []string{filepath.Join(t.TempDir(), "bash")}
	_ = os.WriteFile(p.Command[0], []byte("\x7fELF broken"), 0o700)
	_, f, _ = runTurn(t, p, newTurn(t, "true"))
	expectFailure(t, f, FailStart, "exec format error")
}

func TestTimeoutEndsWhatLeftTheProcessGroup(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, "setsid nohup sleep 300 >/dev/null 2>&1 & (setsid sleep 301 &); echo ready; sleep 302")
	m := mark(t, &turn)
	ctx, late := context.WithCancelCause(t.Context())
	s := &seen{}
	_, err := Run(ctx, bash(), turn, func(e transcript.Event) {
		s.emit(e)
		if strings.Contains(e.Text, "ready") {
			late(errTimeout) // as the timer does
		}
	})
	var f *Failure
	if !errors.As(err, &f) {
		t.Fatalf("ended with %v; want a failure", err)
	}
	expectFailure(t, f, FailTimeout, "stopped after "+patience.String())
	if s.stream("stdout") != "ready\n" {
		t.Errorf("printed %q", s.stream("stdout"))
	}
	expectNoSurvivor(t, m)
}

func TestDaemonOfASuccessfulScriptIsEnded(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, "setsid nohup sleep 300 >/dev/null 2>&1 &\necho done")
	m := mark(t, &turn)
	_, f, _ := runTurn(t, bash(), turn)
	if f != nil {
		t.Fatal(f)
	}
	expectNoSurvivor(t, m)
}

func TestScriptThatForksAndIgnoresSIGTERMIsEnded(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, `trap '' TERM INT HUP
for i in 1 2 3 4 5; do ( trap '' TERM; while true; do setsid sleep 300 & wait $!; done ) & done
echo ready
while true; do sleep 300 || true; done`)
	m := mark(t, &turn)
	ctx, cancel := context.WithCancel(t.Context())
	s := &seen{}
	done := make(chan error, 1)
	go func() {
		_, err := Run(ctx, bash(), turn, s.emit)
		done <- err
	}()
	until(t, "the script is ready", func() bool { return strings.Contains(s.stream("stdout"), "ready") })
	cancel()
	err := <-done
	var f *Failure
	if !errors.As(err, &f) || f.Kind != FailCanceled || !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v; want canceled", err)
	}
	expectNoSurvivor(t, m)
}

func TestCancelHasTheCallersCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("the server stops")
	ctx, cancel := context.WithCancelCause(t.Context())
	turn := newTurn(t, "trap 'echo bye; exit 0' TERM; echo ready; while true; do sleep 0.01; done")
	turn.grace = patience
	s := &seen{}
	_, err := Run(ctx, bash(), turn, func(e transcript.Event) {
		s.emit(e)
		if strings.Contains(e.Text, "ready") {
			cancel(cause)
		}
	})
	var f *Failure
	if !errors.As(err, &f) || f.Kind != FailCanceled || !errors.Is(err, cause) ||
		!strings.Contains(f.Reason, "the server stops") {
		t.Errorf("ended with %v; want canceled by the cause", err)
	}
	if !strings.HasSuffix(s.stream("stdout"), "bye\n") {
		t.Errorf("printed %q; want the script's own good-bye", s.stream("stdout"))
	}
}

func TestSilenceEndsATurnAndOutputKeepsIt(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, "for i in 1 2 3 4 5; do echo $i; done; sleep 3000")
	turn.Timeout, turn.Idle = 0, patience
	silence := &silence{}
	turn.afterFunc = silence.afterFunc
	s := &seen{}
	_, err := Run(t.Context(), bash(), turn, func(e transcript.Event) {
		s.emit(e)
		if strings.Contains(s.stream("stdout"), "5\n") {
			silence.ends()
		}
	})
	var f *Failure
	if !errors.As(err, &f) {
		t.Fatalf("ended with %v; want a failure", err)
	}
	expectFailure(t, f, FailIdle, "without any output")
	if s.stream("stdout") != "1\n2\n3\n4\n5\n" {
		t.Errorf("printed %q", s.stream("stdout"))
	}
	if silence.resets.Load() == 0 {
		t.Error("output does not begin the wait for the next output")
	}
}

// silence is a timer that a test ends.
type silence struct {
	ends   func()
	resets atomic.Int64
}

func (s *silence) afterFunc(_ time.Duration, f func()) timer {
	s.ends = f
	return s
}

func (s *silence) Stop() bool { return true }

func (s *silence) Reset(time.Duration) bool { return s.resets.Add(1) > 0 }

func TestSecretsOfTheServerNeverReachAChild(t *testing.T) {
	for _, name := range []string{"DATABASE_URL", "CARILLON_SECRET", "CARILLON_ADMIN_PASSWORD", "PGPASSWORD",
		"RANDOM_TOKEN", "ANTHROPIC_API_KEY"} {
		t.Setenv(name, "leak-"+name)
	}
	t.Setenv("LC_TEST", "passed")
	p := bash()
	p.PassEnv = []string{"DATABASE_URL", "CARILLON_*", "*"}
	p.PassEnv = p.PassEnv[:2]
	turn := newTurn(t, "env; cat /proc/$PPID/environ | tr '\\0' '\\n'")
	turn.Env = []string{"WORKSPACE=yes", "LD_PRELOAD=/evil.so", "PARAM_x=fake", "BASH_ENV=/evil"}
	_, f, s := runTurn(t, p, turn)
	if f != nil {
		t.Fatal(f)
	}
	out := s.stream("stdout")
	if strings.Contains(out, "leak-") || strings.Contains(out, "evil") || strings.Contains(out, "fake") {
		t.Errorf("the child saw %s", out)
	}
	for _, want := range []string{"LC_TEST=passed", "WORKSPACE=yes", "TERM=dumb", "GIT_TERMINAL_PROMPT=0",
		"TMPDIR=" + turn.RunDir} {
		if !strings.Contains(out, want) {
			t.Errorf("the child did not see %s", want)
		}
	}
	if warnings := s.text(transcript.KindWarning); !strings.Contains(warnings, "LD_PRELOAD") {
		t.Errorf("warned %q; want LD_PRELOAD named", warnings)
	}
}

func TestALineOfTenMegabytesArrivesWhole(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, "head -c 10000000 /dev/zero | tr '\\0' x; echo; echo after")
	_, f, s := runTurn(t, bash(), turn)
	if f != nil {
		t.Fatal(f)
	}
	out := s.stream("stdout")
	if len(out) != 10000000+len("\nafter\n") || !strings.HasSuffix(out, "x\nafter\n") {
		t.Errorf("got %d bytes", len(out))
	}
	for _, e := range s.all() {
		if len(e.Text) > 4*pieceSize {
			t.Fatalf("an event of %d bytes", len(e.Text))
		}
	}
}

func TestAFloodOfOutputNeedsLittleMemoryAndFewEvents(t *testing.T) {
	turn := newTurn(t,
		"(yes 'a line of output, as builds write them' || true) | head -c 60000000; (yes || true) | head -n 100000 >&2")
	var events, bytes, peak atomic.Int64
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before := int64(m.HeapAlloc)
	_, err := Run(t.Context(), bash(), turn, func(e transcript.Event) {
		bytes.Add(int64(len(e.Text)))
		if events.Add(1)%500 == 0 {
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), int64(m.HeapAlloc)))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Load() != 60000000+200000 {
		t.Errorf("got %d bytes; want all", bytes.Load())
	}
	if grown := peak.Load() - before; grown > 32<<20 {
		t.Errorf("the heap grew by %d MiB; want less than 32", grown>>20)
	}
	if n := events.Load(); n > 9000 {
		t.Errorf("%d events; want pieces of about 16 KiB", n)
	}
}

func TestBinaryOutputBecomesText(t *testing.T) {
	t.Parallel()
	turn := newTurn(t,
		`printf 'a\0b\377\376\xc3'; sleep 0.1; printf '\xa9 \xe2\x82'; sleep 0.6; printf '\xac\n'; head -c 100000 /dev/urandom`)
	res, f, s := runTurn(t, bash(), turn)
	if f != nil {
		t.Fatal(f)
	}
	out := s.stream("stdout")
	if !strings.HasPrefix(out, "a\uFFFDb\uFFFD") || !strings.Contains(out, "é €\n") || out != Clean(out) ||
		res.Text != Clean(res.Text) {
		t.Errorf("got %.40q", out)
	}
}

func TestUnfinishedLineIsShownWhileTheScriptRuns(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, "printf 'Password: '; while [ ! -e go ]; do sleep 0.01; done; echo end")
	var text string
	_, err := Run(t.Context(), bash(), turn, func(e transcript.Event) {
		text += e.Text
		if text == "Password: " {
			_ = os.WriteFile(filepath.Join(turn.Dir, "go"), nil, 0o600)
		}
	})
	if err != nil || text != "Password: end\n" {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestScriptFilesAreReadableByTheirUserAlone(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, `stat -c %a "$0" "$PARAMS_FILE" "$TMPDIR"; mktemp`)
	_, f, s := runTurn(t, bash(), turn)
	if f != nil {
		t.Fatal(f)
	}
	if out := s.stream("stdout"); !strings.HasPrefix(out, "600\n600\n700\n"+turn.RunDir) {
		t.Errorf("modes and temporary file: %q", out)
	}
}
