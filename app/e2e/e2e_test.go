// Package e2e tests the whole program from outside: the binary as people start it, a real browser, real processes of
// agents and a real database. It needs Node and the packages of package.json, which make test installs.
package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"carillon/app/agent/agenttest"
	"carillon/db/dbtest"
)

// patience bounds each wait for what has to happen. It is long because a test must not fail on a slow or busy machine.
const patience = 10 * time.Minute

// scratch is a folder that lives as long as the tests.
var scratch string

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == agentRole {
		syscall.Exit(agenttest.Serve(os.Args[2:], beAsked)) // without the race detector's second of waiting
	}
	var err error
	if scratch, err = os.MkdirTemp("", "carillon-e2e-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := dbtest.Run(m)
	if err := os.RemoveAll(scratch); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// watched builds the program once for all tests: with the race detector when they have it, so that it watches a real
// server, and what was compiled for other tests is not compiled again.
var watched = sync.OnceValues(func() (string, error) { return build("watched", os.Environ(), buildFlags...) })

// plain builds the program once without the race detector, under which a page takes many times the CPU. It is compiled as go
// vet compiles it, so that what one compiled serves the other.
var plain = sync.OnceValues(func() (string, error) { return build("plain", append(os.Environ(), "GOFLAGS=")) })

func build(name string, env []string, flags ...string) (string, error) {
	if err := openSource(); err != nil {
		return "", err
	}
	path := filepath.Join(scratch, "carillon-"+name) // not the name by which people stop their own
	cmd := exec.Command("go", slices.Concat([]string{"build"}, flags, []string{"-o", path, "carillon/app"})...)
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
}

// openSource opens what the program is built from, and what these tests run beside it. Go keeps the outcome of tests until
// something that they opened changes. It does not see what a go command reads that builds the program for them, and
// would call them passed on and on.
func openSource() error {
	for _, f := range []string{"../../go.mod", "../../package-lock.json"} {
		if _, err := os.Stat(f); err != nil {
			return err
		}
	}
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if .Main}}{{$.Dir}}{{end}}{{end}}", "carillon/app").Output()
	if err != nil {
		return fmt.Errorf("list what the program is built from: %w", err)
	}
	for dir := range strings.SplitSeq(strings.TrimSpace(string(out)), "\n") {
		if err := filepath.WalkDir(dir, func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
			return err
		}
	}
	return nil
}

// server is the program at work.
type server struct {
	program func() (string, error) // builds it
	base    string                 // http://127.0.0.1:PORT
	data    string
	env     []string
	cmd     *exec.Cmd
	log     *buffer // what all its lives wrote to stderr

	links chan string   // the one-time link that makes the first administrator
	ended chan struct{} // closed when it has ended
}

// Who administers a server of asAdministrator.
const (
	adminName     = "ada"
	adminEmail    = "ada@example.com"
	adminPassword = "correct horse battery"
)

// asAdministrator are the settings that make an administrator at the first start.
var asAdministrator = []string{"CARILLON_ADMIN_EMAIL=" + adminEmail, "CARILLON_ADMIN_PASSWORD=" + adminPassword}

// serve starts the program with a folder of the test's own, and stops it at the end. Settings are NAME=value; without
// DATABASE_URL the database is the embedded one. The race detector watches it when it watches the tests.
func serve(t testing.TB, settings ...string) *server {
	t.Helper()
	return serveProgram(t, watched, settings)
}

// servePlain is serve without the race detector, for scripts that look at hundreds of pages and for hundreds of megabytes.
// The tests of packages web and jobs serve the same pages and take such output under it.
func servePlain(t testing.TB, settings ...string) *server {
	t.Helper()
	return serveProgram(t, plain, settings)
}

func serveProgram(t testing.TB, program func() (string, error), settings []string) *server {
	t.Helper()
	s := &server{program: program, data: folder(t), log: &buffer{}}
	s.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + folder(t), "TMPDIR=" + os.TempDir(), "CARILLON_PG_BIN=" + os.Getenv("CARILLON_PG_BIN"),
		"CARILLON_DATA=" + s.data, "CARILLON_ADDR=127.0.0.1:0", "CARILLON_LOG=json",
	}, settings...)
	s.start(t)
	t.Cleanup(func() {
		select {
		case <-s.ended:
			t.Errorf("the server had ended before it was asked to: %v\n%s", s.cmd.ProcessState, s.log)
		default:
			s.check(t)
			s.stop(t)
		}
		s.checkLog(t)
	})
	return s
}

// onDatabase is the setting for a database of the test's own.
func onDatabase(t testing.TB) string { return "DATABASE_URL=" + dbtest.URL(t) }

// folder is a folder of the test's own.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, "")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// start starts the program and waits until it says that it is ready.
func (s *server) start(t testing.TB) {
	t.Helper()
	path, err := s.program()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.Command(path, "serve")
	s.cmd.Env, s.cmd.Stderr = s.env, s.log
	s.cmd.Dir = ".." // from where the binaries of PostgreSQL in node_modules are found
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	addresses := make(chan string, 1)
	links, ended := make(chan string, 1), make(chan struct{})
	s.links, s.ended = links, ended
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			line := strings.TrimSpace(lines.Text())
			if address, ok := strings.CutPrefix(line, "Carillon is ready at "); ok {
				addresses <- address
			} else if strings.Contains(line, "/setup?token=") {
				links <- line
			}
		}
		_ = s.cmd.Wait() // its state tells how it ended
		close(ended)
	}()
	select {
	case s.base = <-addresses:
	case <-s.ended:
		t.Fatalf("the server ended at its start:\n%s", s.log)
	case <-time.After(patience):
		t.Fatalf("the server is not ready after %s:\n%s", patience, s.log)
	}
}

// check expects that the server's database holds what is promised about runs.
func (s *server) check(t testing.TB) {
	t.Helper()
	path, err := s.program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "check", "-for", patience.String())
	cmd.Env, cmd.Dir = s.env, ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("carillon check: %v\n%s", err, out)
	}
}

// setup is the one-time link that the server printed.
func (s *server) setup(t testing.TB) string {
	t.Helper()
	select {
	case link := <-s.links:
		return link
	case <-time.After(patience):
		t.Fatalf("the server printed no link to set it up:\n%s", s.log)
		return ""
	}
}

// stop ends the program as a service manager does, and expects it to end well.
func (s *server) stop(t testing.TB) {
	t.Helper()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
		if code := s.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("the server ended with status %d; want 0:\n%s", code, s.log)
		}
	case <-time.After(patience):
		_ = s.cmd.Process.Kill()
		t.Errorf("the server had not ended %s after SIGTERM:\n%s", patience, s.log)
	}
}

// kill ends the program without a chance to clean up.
func (s *server) kill(t testing.TB) {
	t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.ended
}

// checkLog fails the test when the server noted an error: each is a fault of ours, whatever people sent.
func (s *server) checkLog(t testing.TB) {
	t.Helper()
	for line := range strings.Lines(s.log.String()) {
		if level := levelOf(line); level != "INFO" && level != "WARN" {
			t.Errorf("the server noted: %s", strings.TrimSpace(line))
		}
	}
}

// complaints are the lines of the log that say more than that something happened.
func (s *server) complaints() string {
	var list []string
	for line := range strings.Lines(s.log.String()) {
		if levelOf(line) != "INFO" {
			list = append(list, line)
		}
	}
	return strings.Join(list, "")
}

// levelOf is the level of a line of the log; empty for what is none, such as a panic.
func levelOf(line string) string {
	var entry struct{ Level string }
	if err := json.Unmarshal([]byte(line), &entry); err != nil {
		return ""
	}
	return entry.Level
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// eventually waits until a condition holds, looking often.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("waited %s for %s", patience, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
