package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"carillon/app/agent/agenttest"
	"carillon/app/transcript"
)

// roles are the programs that this test binary can be when a test starts it as a child; which one is
// told by argv[1].
var roles = map[string]func(args []string) int{
	"concealed": concealedRole,
	"acp":       func(args []string) int { return agenttest.Serve(args, nil) },
	"server":    serverRole,
	"replay":    replayRole,
}

func TestMain(m *testing.M) {
	MaybeShim()
	if len(os.Args) > 1 {
		if role, ok := roles[os.Args[1]]; ok {
			syscall.Exit(role(os.Args[2:])) // without the race detector's second of waiting
		}
	}
	os.Exit(m.Run())
}

// seen collects the events of a turn.
type seen struct {
	mu   sync.Mutex
	list []transcript.Event
}

func (s *seen) emit(e transcript.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, e)
}

func (s *seen) all() []transcript.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]transcript.Event(nil), s.list...)
}

// text joins the text of all events of a kind.
func (s *seen) text(kind string) string {
	var b strings.Builder
	for _, e := range s.all() {
		if e.Kind == kind {
			b.WriteString(e.Text)
		}
	}
	return b.String()
}

func (s *seen) stream(name string) string {
	var b strings.Builder
	for _, e := range s.all() {
		if e.Kind == transcript.KindOutput && e.Stream == name {
			b.WriteString(e.Text)
		}
	}
	return b.String()
}

func bash() Provider { return Catalogue()[0] }

func newTurn(t *testing.T, prompt string) Turn {
	t.Helper()
	return Turn{Prompt: prompt, Dir: t.TempDir(), RunDir: t.TempDir(), Timeout: patience, grace: 300 * time.Millisecond}
}

func runTurn(t *testing.T, p Provider, turn Turn) (Result, *Failure, *seen) {
	t.Helper()
	return runTurnIn(t.Context(), t, p, turn)
}

func runTurnIn(ctx context.Context, t *testing.T, p Provider, turn Turn) (Result, *Failure, *seen) {
	t.Helper()
	s := &seen{}
	res, err := Run(ctx, p, turn, s.emit)
	var f *Failure
	if err != nil && !errors.As(err, &f) {
		t.Fatalf("Run returned a %T, want a *Failure: %v", err, err)
	}
	return res, f, s
}

func expectFailure(t *testing.T, f *Failure, kind, reason string) {
	t.Helper()
	if f == nil {
		t.Fatalf("succeeded; want failure %s with %q", kind, reason)
	}
	if f.Kind != kind || !strings.Contains(f.Reason, reason) {
		t.Errorf("failed with %s %q; want %s with %q", f.Kind, f.Reason, kind, reason)
	}
}

// patience bounds each wait for what has to happen. It is long because a test must not fail on a slow or busy machine.
const patience = 10 * time.Minute

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// marked lists living processes with a mark in their command line or environment.
func marked(mark string) []string {
	var found []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if dir == "/proc/"+itoa(os.Getpid()) {
			continue
		}
		line, _ := os.ReadFile(dir + "/cmdline")
		env, _ := os.ReadFile(dir + "/environ")
		if strings.Contains(string(line)+string(env), mark) {
			found = append(found, filepath.Base(dir)+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

func expectNoSurvivor(t *testing.T, mark string) {
	t.Helper()
	if left := marked(mark); len(left) > 0 {
		t.Errorf("still alive: %q", left)
	}
}

// mark gives a turn's processes a mark by which they are found.
func mark(t *testing.T, turn *Turn) string {
	t.Helper()
	m := "mark-" + filepath.Base(filepath.Dir(turn.RunDir)) + "-" + filepath.Base(turn.RunDir) + "-" + itoa(os.Getpid())
	turn.Env = append(turn.Env, "TEST_MARK="+m)
	return m
}
