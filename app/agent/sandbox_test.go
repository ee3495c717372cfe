package agent

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func needSandbox(t *testing.T) {
	t.Helper()
	if err := SandboxAvailable(t.Context()); err != nil {
		t.Skip(err)
	}
}

func TestSandboxShowsTheWorktreeAndHidesTheServersData(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	data, writable := t.TempDir(), t.TempDir()
	key := filepath.Join(data, "key")
	_ = os.WriteFile(key, []byte("s3cret"), 0o600)
	file := filepath.Join(t.TempDir(), "config")
	_ = os.WriteFile(file, []byte("s3cret"), 0o600)
	turn := newTurn(t, `echo in > here; echo in > "{{writable}}/there"; echo tmp > "$TMPDIR/x"
cat "{{key}}" "{{file}}" 2>/dev/null || echo hidden
touch /etc/carillon-test 2>/dev/null || echo read-only
grep -c : /proc/net/dev; ls -d /proc/[0-9]* | wc -l`)
	turn.Params = map[string]string{"writable": writable, "key": key, "file": file}
	turn.Sandbox = &Sandbox{Writable: []string{writable}, Hidden: []string{data, file, "/no/such/folder"}}
	_, f, s := runTurn(t, bash(), turn)
	if f != nil {
		t.Fatal(f, s.stream("stderr"))
	}
	var nets, processes int
	if n, _ := fmt.Sscanf(s.stream("stdout"), "hidden\nread-only\n%d\n%d\n", &nets, &processes); n != 2 || nets != 1 || processes > 6 {
		t.Errorf("printed %q", s.stream("stdout"))
	}
	for _, path := range []string{filepath.Join(turn.Dir, "here"), filepath.Join(writable, "there")} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

func TestSandboxOfAReadOnlyTurnKeepsTheWorktree(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	turn := newTurn(t, "touch x 2>/dev/null || echo kept; pwd")
	turn.ReadOnly, turn.Sandbox = true, &Sandbox{}
	if _, f, s := runTurn(t, bash(), turn); f != nil || s.stream("stdout") != "kept\n"+turn.Dir+"\n" {
		t.Errorf("printed %q, %v", s.stream("stdout"), f)
	}
}

func TestSandboxWithNetworkReachesAServer(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, network := range []bool{true, false} {
		turn := newTurn(t, fmt.Sprintf("(: </dev/tcp/127.0.0.1/%d) 2>/dev/null && echo yes || echo no", l.Addr().(*net.TCPAddr).Port))
		turn.Sandbox = &Sandbox{Network: network}
		_, f, s := runTurn(t, bash(), turn)
		if want := map[bool]string{true: "yes\n", false: "no\n"}[network]; f != nil || s.stream("stdout") != want {
			t.Errorf("network %v: printed %q, %v", network, s.stream("stdout"), f)
		}
	}
}

func TestSandboxIsEndedGentlyThenByForce(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	turn := newTurn(t, "trap 'echo bye; exit 0' TERM; (trap '' TERM; setsid sleep 300) & echo ready; while true; do sleep 0.01; done")
	turn.Sandbox = &Sandbox{}
	m := mark(t, &turn)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &seen{}
	_, err := Run(ctx, bash(), turn, func(e Event) {
		s.emit(e)
		if strings.Contains(e.Text, "ready") {
			cancel()
		}
	})
	if err == nil || s.stream("stdout") != "ready\nbye\n" {
		t.Errorf("printed %q, %v", s.stream("stdout"), err)
	}
	expectNoSurvivor(t, m)
}

func TestSandboxThatIsMissingIsAStartFailure(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	bashPath := "/bin/bash"
	if _, err := os.Stat(bashPath); err != nil {
		t.Skip(err)
	}
	p := bash()
	p.Command = []string{bashPath}
	turn := newTurn(t, "true")
	turn.Sandbox = &Sandbox{}
	_, f, _ := runTurn(t, p, turn)
	expectFailure(t, f, FailStart, "bubblewrap (bwrap) is not installed")
	if err := SandboxAvailable(t.Context()); err == nil {
		t.Error("a sandbox without its program is available")
	}
}

// concealedRole is a server that hides its memory and runs a script which looks for it.
func concealedRole(args []string) int {
	if err := Conceal(); err != nil {
		fmt.Println(err)
		return 1
	}
	turn := Turn{Dir: args[0], RunDir: args[0], grace: time.Second,
		Prompt: "echo ran; read -r _ _ _ server _ < /proc/$PPID/stat; cat /proc/$server/environ /proc/$server/maps || true"}
	_, err := Run(context.Background(), bash(), turn, func(e Event) { fmt.Print(e.Text) })
	fmt.Println(err)
	return 0
}

func TestConcealedServerIsUnreadableForItsChildren(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can do it")
	}
	dir, err := os.MkdirTemp("", "carillon-concealed-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	server := os.Args[0]
	cmd := exec.Command(server, "concealed", dir)
	if os.Geteuid() == 0 { // root reads everything
		server = filepath.Join(dir, "server")
		copyFile(t, os.Args[0], server)
		cmd = exec.Command(server, "concealed", dir)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Skip(err)
		}
	}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "CARILLON_SECRET=leak"}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "ran\n") || !strings.Contains(string(out), "Permission denied") ||
		strings.Contains(string(out), "leak") || !strings.HasSuffix(string(out), "<nil>\n") {
		t.Errorf("printed %q, %v", out, err)
	}
}

// copyFile copies a program by another process: while this one has a file open for writing, a test beside it may fork, and
// its child holds the file until it execs, during which nobody can run it ("text file busy").
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
}
