package agent

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"carillon/app/transcript"
)

// serverRole is a program that runs one script and is killed meanwhile.
func serverRole(args []string) int {
	turn := Turn{
		Prompt: args[0], Dir: args[1], RunDir: args[1], grace: 200 * time.Millisecond,
		Env: []string{"TEST_MARK=" + args[2]},
	}
	_, err := Run(context.Background(), bash(), turn, func(e transcript.Event) { fmt.Print(e.Text) })
	fmt.Println(err)
	return 0
}

func TestKillingTheServerEndsItsChildren(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs a subreaper")
	}
	m, dir := fmt.Sprintf("mark-%d-%d", os.Getpid(), time.Now().UnixNano()), t.TempDir()
	cmd := exec.Command(os.Args[0], "server",
		"trap '' TERM; setsid nohup sleep 300 >/dev/null 2>&1 & echo ready; while true; do sleep 300 || true; done",
		dir, m)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the server's child printed %q", line)
	}
	if len(marked(m)) < 3 {
		t.Fatalf("alive: %q; want the server, its script and a daemon", marked(m))
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if ended, err := Ended(dir); err != nil || ended && len(marked(m)) > 0 {
		t.Errorf("while children of the killed server live they have ended: %v, %v", ended, err)
	}
	until(t, "all children of the killed server have ended", func() bool { return len(marked(m)) == 0 })
	until(t, "the folder of the run to be free", func() bool {
		ended, err := Ended(dir)
		return ended && err == nil
	})
}

func TestTerminalSignalsDoNotReachAChild(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, "ps -o sid= -p $$ 2>/dev/null || cut -d' ' -f6 /proc/$$/stat")
	_, f, s := runTurn(t, bash(), turn)
	if f != nil {
		t.Fatal(f)
	}
	own, _, _ := syscall.Syscall(syscall.SYS_GETSID, 0, 0, 0)
	if got := strings.TrimSpace(s.stream("stdout")); got == fmt.Sprint(own) || got == "" {
		t.Errorf("the child is in session %q, the server in %d; want two", got, own)
	}
}

func TestNoDescriptorOfTheServerReachesAChild(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, "ls /proc/self/fd | sort -n | tr '\\n' ' '")
	_, f, s := runTurn(t, bash(), turn)
	if f != nil {
		t.Fatal(f)
	}
	if out := s.stream("stdout"); out != "0 1 2 3 " { // 3 is the folder that ls reads
		t.Errorf("open in a child: %q", out)
	}
}

func TestCanceledBeforeTheStartRunsNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	turn := newTurn(t, "touch ran")
	_, f, _ := runTurnIn(ctx, t, bash(), turn)
	expectFailure(t, f, FailCanceled, "canceled")
	if _, err := os.Stat(filepath.Join(turn.Dir, "ran")); err == nil {
		t.Error("the script ran")
	}
}

func TestDetectTellsVersionOrProblem(t *testing.T) {
	t.Parallel()
	if found := Detect(t.Context(), bash()); found.Problem != "" || !strings.HasPrefix(found.Version, "5.") {
		t.Errorf("bash: %+v", found)
	}
	script := func(body string) Provider {
		path := filepath.Join(t.TempDir(), "agent")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o700); err != nil {
			t.Fatal(err)
		}
		return Provider{Command: []string{path}}
	}
	for _, tt := range []struct {
		name, body, version, problem string
	}{
		{"a version among words", "echo 'codex-cli 0.169.0 (x)'", "0.169.0", ""},
		{"a failure", "echo no; exit 3", "", "exit 3"},
		{"one that waits for input", "read x; echo 1.2.3", "1.2.3", ""},
		{"one that leaves a daemon", "setsid sleep 300 & echo 4.5", "4.5", ""},
	} {
		if found := Detect(t.Context(), script(tt.body)); found.Version != tt.version ||
			!strings.Contains(found.Problem, tt.problem) {
			t.Errorf("%s: %+v", tt.name, found)
		}
	}
	if found := Detect(t.Context(), Provider{Command: []string{"no-such-agent"}}); !strings.Contains(found.Problem,
		"not found") {
		t.Errorf("a missing program: %+v", found)
	}
}

func TestWhatAScriptLeavesInTheBackgroundIsEndedAndNoted(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs a list of descendants")
	}
	script := "for i in $(seq 15); do cp \"$(command -v sleep)\" ./daemon$i; ./daemon$i 300 >/dev/null 2>&1 & " +
		"done\nsetsid ./daemon1 300 >/dev/null 2>&1 &\necho done"
	_, f, s := runTurn(t, bash(), newTurn(t, script))
	if f != nil {
		t.Fatal(f)
	}
	var notes []string
	for _, e := range s.list {
		if e.Kind == transcript.KindWarning {
			notes = append(notes, e.Text)
		}
	}
	if len(notes) != 1 || !strings.Contains(notes[0], ": 16 processes (") ||
		strings.Count(notes[0], "daemon") != mostNames {
		t.Errorf("it warned of %q; want one note of 16 processes with %d names", notes, mostNames)
	}
	_, f, s = runTurn(t, bash(), newTurn(t, "sleep 0 & wait; echo done"))
	if f != nil {
		t.Fatal(f)
	}
	for _, e := range s.list {
		if e.Kind == transcript.KindWarning {
			t.Errorf("it warned of %q where nothing was left; want no note", e.Text)
		}
	}
}

func TestARunThatTakesTooMuchIsEndedAlone(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can do it")
	}
	boxes := []*Sandbox{nil}
	if SandboxAvailable(t.Context(), nil) == nil {
		boxes = append(boxes, &Sandbox{})
	}
	for _, box := range boxes {
		for script, c := range map[string]struct {
			limits Limits
			reason string
		}{
			"for i in $(seq 60); do sleep 3000 & done; wait": {Limits{Processes: 40},
				"it had more than 40 processes at once"},
			"x=$(head -c 40000000 /dev/zero | tr '\\0' x); sleep 3000; echo ${#x}": {Limits{Memory: 30 << 20},
				"it used more than 30 MiB of memory"},
		} {
			turn := newTurn(t, script)
			turn.Limits, turn.Sandbox = c.limits, box
			m := mark(t, &turn)
			_, f, _ := runTurn(t, bash(), turn)
			expectFailure(t, f, FailAgent, c.reason)
			expectNoSurvivor(t, m)
		}
	}
	for _, box := range boxes {
		for script, limits := range map[string]Limits{
			"head -c 60000000 /dev/urandom > \"$TMPDIR/x\"; sleep 3000":                          {Disk: 20 << 20},
			"for i in 1 2 3; do head -c 12000000 /dev/urandom > x$i; done; sleep 3000":           {Disk: 20 << 20},
			"mkdir closed; head -c 60000000 /dev/urandom > closed/x; chmod 0 closed; sleep 3000": {Disk: 20 << 20},
		} {
			turn := newTurn(t, script)
			turn.Limits, turn.Sandbox = limits, box
			m := mark(t, &turn)
			_, f, _ := runTurn(t, bash(), turn)
			expectFailure(t, f, FailAgent, "it wrote more than 20 MiB of files")
			expectNoSurvivor(t, m)
			_ = os.Chmod(filepath.Join(turn.Dir, "closed"), 0o700)
		}
	}
	turn := newTurn(t,
		"truncate -s 1T hole; head -c 30000000 /dev/urandom > x; rm x; cat /proc/self/oom_score_adj; ulimit -c; echo "+
			"fine")
	turn.Limits = Limits{Processes: 40, Memory: 1 << 30, Disk: 100 << 20, FreeDisk: 1}
	if _, f, s := runTurn(t, bash(), turn); f != nil || s.stream("stdout") != "500\n0\nfine\n" {
		t.Errorf("a run within its limits printed %q, %v", s.stream("stdout"), f)
	}
}
