// Package stage puts the whole program on for tests: the binary as people start it, as one process or as several on one
// database, people who look at its pages, and a forge.
package stage

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"carillon/db/dbtest"
)

// Server is the program at work.
type Server struct {
	Base string // http://127.0.0.1:PORT, of one that serves pages
	Data string
	Home string // of the user whom it runs as, to the program
	Env  []string
	Log  *Buffer // what all its lives wrote to stderr

	Ended chan struct{} // closed when it has ended

	program func() (string, error) // builds it
	user    *syscall.Credential    // whom it runs as; nil: who runs the tests
	cmd     *exec.Cmd
	links   chan string // the one-time link that makes the first administrator
}

// Who administers a server of AsAdministrator.
const (
	AdminName     = "ada"
	AdminEmail    = "ada@example.com"
	AdminPassword = "correct horse battery"
)

// AsAdministrator are the settings that make an administrator at the first start.
var AsAdministrator = []string{"CARILLON_ADMIN_EMAIL=" + AdminEmail, "CARILLON_ADMIN_PASSWORD=" + AdminPassword}

// Serve starts the program with a folder of the test's own, and stops it at the end. Settings are NAME=value; without
// DATABASE_URL the database is the embedded one. The race detector watches it when it watches the tests.
func Serve(t testing.TB, settings ...string) *Server {
	t.Helper()
	return serveProgram(t, Watched, settings)
}

// ServePlain is Serve without the race detector, for scripts that look at hundreds of pages and for hundreds of
// megabytes. The tests of packages web and jobs serve the same pages and take such output under it.
func ServePlain(t testing.TB, settings ...string) *Server {
	t.Helper()
	return serveProgram(t, Plain, settings)
}

// ServeAs is Serve as another user, which root alone can do: its folders belong to that user. The source, which the
// programs of the embedded database are in, must be readable to everybody: see Enters.
func ServeAs(t testing.TB, user *syscall.Credential, settings ...string) *Server {
	t.Helper()
	s := prepare(t, Watched, settings)
	if s.user = user; user != nil {
		temporary := Folder(t)
		s.Env = append(s.Env, "TMPDIR="+temporary)
		if err := os.Chmod(scratch, 0o711); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{s.Data, s.Home, temporary} {
			if err := os.Chown(dir, int(user.Uid), int(user.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return serve(t, s)
}

// ForAgents is the setting by which agents and scripts run as another user. It skips a test that may not have that.
func ForAgents(t testing.TB) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, which alone may start programs as another user")
	}
	if _, err := user.Lookup("nobody"); err != nil {
		t.Skip("needs the user nobody: ", err)
	}
	if err := os.Chmod(scratch, 0o711); err != nil {
		t.Fatal(err)
	}
	return "CARILLON_AGENT_USER=nobody"
}

// Enters tells why another user cannot use a folder; nil: it can.
func Enters(user *syscall.Credential, dir string) error {
	cmd := exec.Command("ls", dir)
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: user}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func serveProgram(t testing.TB, program func() (string, error), settings []string) *Server {
	t.Helper()
	return serve(t, prepare(t, program, settings))
}

func serve(t testing.TB, s *Server) *Server {
	t.Helper()
	s.Start(t)
	t.Cleanup(func() {
		select {
		case <-s.Ended:
			t.Errorf("the server had ended before it was asked to: %v\n%s", s.State(), s.Log)
		default:
			s.Check(t)
			s.Stop(t)
		}
		s.CheckLog(t)
	})
	return s
}

// prepare is a server with a folder of the test's own, which is not started.
func prepare(t testing.TB, program func() (string, error), settings []string) *Server {
	t.Helper()
	s := &Server{program: program, Data: Folder(t), Home: Folder(t), Log: &Buffer{}}
	s.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.Home, "TMPDIR=" + os.TempDir(), "CARILLON_PG_BIN=" +
			os.Getenv("CARILLON_PG_BIN"),
		"CARILLON_DATA=" + s.Data, "CARILLON_ADDR=127.0.0.1:0", "CARILLON_LOG=json",
		"CARILLON_SANDBOX=off", // scripts of tests look at files of theirs
	}, settings...)
	return s
}

// OnDatabase is the setting for a database of the test's own.
func OnDatabase(t testing.TB) string { return "DATABASE_URL=" + dbtest.URL(t) }

// Start starts the program, and waits until it says that it is ready. One that serves no pages may die at once of what
// it finds to do.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	addresses := s.launch(t)
	select {
	case s.Base = <-addresses:
	case <-s.Ended:
		if !s.servesPages() && s.Died() {
			return
		}
		t.Fatalf("the server ended at its start:\n%s", s.Log)
	case <-time.After(Patience):
		t.Fatalf("the server is not ready after %s:\n%s", Patience, s.Log)
	}
}

// Launch starts the program and waits for nothing.
func (s *Server) Launch(t testing.TB) {
	t.Helper()
	s.launch(t)
}

// servesPages reports whether the server has the role for that.
func (s *Server) servesPages() bool {
	roles := "web"
	for _, setting := range s.Env {
		if value, ok := strings.CutPrefix(setting, "CARILLON_ROLES="); ok {
			roles = value
		}
	}
	return slices.Contains(strings.Split(roles, ","), "web")
}

// launch starts the program. The channel tells its address when it is ready.
func (s *Server) launch(t testing.TB) <-chan string {
	t.Helper()
	path, err := s.program()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.Command(path, "serve")
	s.cmd.Env, s.cmd.Stderr = s.Env, s.Log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.user}
	s.cmd.Dir = Root() // from where the binaries of PostgreSQL in node_modules are found
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	addresses := make(chan string, 1)
	links, ended := make(chan string, 1), make(chan struct{})
	s.links, s.Ended = links, ended
	cmd := s.cmd
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			line := strings.TrimSpace(lines.Text())
			if address, ok := strings.CutPrefix(line, "Carillon is ready at "); ok {
				addresses <- address
			} else if strings.HasPrefix(line, "Carillon is ready as ") {
				addresses <- ""
			} else if strings.Contains(line, "/setup?token=") {
				links <- line
			}
		}
		_ = cmd.Wait() // its state tells how it ended
		close(ended)
	}()
	return addresses
}

// State is how the server ended; nil while it runs, and before it was started.
func (s *Server) State() *os.ProcessState {
	select {
	case <-s.Ended:
		return s.cmd.ProcessState
	default:
		return nil
	}
}

// Died reports whether the server was ended by SIGKILL.
func (s *Server) Died() bool {
	state := s.State()
	if state == nil {
		return false
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signal() == syscall.SIGKILL
}

// Signal sends the server's process a signal.
func (s *Server) Signal(signal os.Signal) error { return s.cmd.Process.Signal(signal) }

// Pid is the server's process.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Check expects that the server's database holds what is promised about runs.
func (s *Server) Check(t testing.TB) {
	t.Helper()
	if out, err := s.Command(t, "check", "-for", Patience.String()).CombinedOutput(); err != nil {
		t.Errorf("carillon check: %v\n%s", err, out)
	}
}

// Command is a command of the program with the server's settings.
func (s *Server) Command(t testing.TB, arguments ...string) *exec.Cmd {
	t.Helper()
	path, err := s.program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, arguments...)
	cmd.Env, cmd.Dir = s.Env, Root()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.user}
	return cmd
}

// Setup is the one-time link that the server printed.
func (s *Server) Setup(t testing.TB) string {
	t.Helper()
	select {
	case link := <-s.links:
		return link
	case <-time.After(Patience):
		t.Fatalf("the server printed no link to set it up:\n%s", s.Log)
		return ""
	}
}

// Stop ends the program as a service manager does, and expects it to end well.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	_ = s.Signal(syscall.SIGTERM)
	select {
	case <-s.Ended:
		if code := s.State().ExitCode(); code != 0 {
			t.Errorf("the server ended with status %d; want 0:\n%s", code, s.Log)
		}
	case <-time.After(Patience):
		_ = s.cmd.Process.Kill()
		t.Errorf("the server had not ended %s after SIGTERM:\n%s", Patience, s.Log)
	}
}

// Kill ends the program without a chance to clean up.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.Ended
}

// CheckLog fails the test when the server noted an error: each is a fault of ours, whatever people sent.
func (s *Server) CheckLog(t testing.TB) {
	t.Helper()
	for line := range strings.Lines(s.Log.String()) {
		if level := levelOf(line); level != "INFO" && level != "WARN" {
			t.Errorf("the server noted: %s", strings.TrimSpace(line))
		}
	}
}

// Complaints are the lines of the log that say more than that something happened.
func (s *Server) Complaints() string {
	var list []string
	for line := range strings.Lines(s.Log.String()) {
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
