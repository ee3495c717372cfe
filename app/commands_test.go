package main

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/app/agent"
	"carillon/db/dbtest"
)

func TestMain(m *testing.M) {
	agent.MaybeShim() // runs are started through this binary
	dbtest.Main(m)
}

// longest bounds each wait for what has to happen. It is long because a test must not fail on a slow or busy machine.
const longest = 10 * time.Minute

// outcome is what a command did.
type outcome struct {
	status         int
	stdout, stderr string
}

// call runs a command to its end.
func call(t *testing.T, e environment, stdin string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	var stdout, stderr bytes.Buffer
	status := run(ctx, args, e.get, strings.NewReader(stdin), &stdout, &stderr)
	return outcome{status, stdout.String(), stderr.String()}
}

// local is an environment with a folder of the test's own and an address that is free. Further ones are added to it.
func local(t *testing.T, more ...environment) environment {
	t.Helper()
	// Directly below the temporary folder, where root can run PostgreSQL as another user.
	dir, err := os.MkdirTemp("", "carillon-serve-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	e := environment{
		"CARILLON_DATA": dir, "CARILLON_ADDR": "127.0.0.1:0", "CARILLON_LOG": "json",
		"CARILLON_PG_BIN": os.Getenv("CARILLON_PG_BIN"),
	}
	for _, m := range more {
		maps.Copy(e, m)
	}
	return e
}

// oneLine expects a failure that is told in one line, apart from the log.
func oneLine(t *testing.T, o outcome, parts ...string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(o.stderr) {
		if !json.Valid([]byte(line)) {
			lines = append(lines, line)
		}
	}
	if o.status != exitError || len(lines) != 1 || !strings.HasPrefix(lines[0], "carillon: ") {
		t.Fatalf("status %d, stderr\n%s\nwant status %d and one line", o.status, o.stderr, exitError)
	}
	for _, p := range parts {
		if !strings.Contains(lines[0], p) {
			t.Errorf("got %q; want %q in it", lines[0], p)
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args           []string
		status         int
		stdout, stderr string
	}{
		{[]string{"--help"}, exitOK, "Usage: carillon [COMMAND]", ""},
		{[]string{"-h"}, exitOK, "CARILLON_MAX_SESSIONS", ""},
		{[]string{"help"}, exitOK, "user reset-password EMAIL", ""},
		{[]string{"serve", "--help"}, exitOK, "Usage: carillon serve", ""},
		{[]string{"migrate", "-h"}, exitOK, "Usage: carillon migrate", ""},
		{[]string{"user", "add", "--help"}, exitOK, "-role", ""},
		{[]string{"version"}, exitOK, "carillon ", ""},
		{[]string{"apply", "--help"}, exitOK, "Usage: carillon apply -f FILE", ""},
		{[]string{"export", "-h"}, exitOK, "-workspace NAME", ""},
		{[]string{"apply"}, exitUsage, "", "give a file with -f"},
		{[]string{"apply", "-f", "-"}, exitUsage, "", "give --yes or --dry-run"},
		{[]string{"apply", "-f", "a.yaml", "--exit-code"}, exitUsage, "", "--exit-code goes with --dry-run"},
		{[]string{"apply", "a.yaml"}, exitUsage, "", "expected carillon apply -f FILE"},
		{[]string{"apply", "-f", "a.yaml", "--server", "carillon"}, exitUsage, "",
			`--server: "carillon" is no address`},
		{[]string{"export", "all"}, exitUsage, "", "expected carillon export"},
		{[]string{"check", "--help"}, exitOK, "changes nothing", ""},
		{[]string{"check", "-for", "0s"}, exitUsage, "", "-since and -for are times above zero"},
		{[]string{"fly"}, exitUsage, "", `there is no command "fly"; see carillon --help`},
		{[]string{"user"}, exitUsage, "", `there is no command "user"`},
		{[]string{"user", "remove", "x"}, exitUsage, "", "there is no command"},
		{[]string{"user", "add"}, exitUsage, "", "expected carillon user add EMAIL NAME"},
		{[]string{"user", "add", "a@example.com", "A", "B"}, exitUsage, "", "expected carillon user add EMAIL NAME"},
		{[]string{"user", "reset-password"}, exitUsage, "", "expected carillon user reset-password EMAIL"},
		{[]string{"user", "unlink"}, exitUsage, "", "expected carillon user unlink EMAIL"},
		{[]string{"serve", "now"}, exitUsage, "", "expected carillon serve"},
		{[]string{"serve", "--fast"}, exitUsage, "", "-fast"},
		{[]string{"--fast"}, exitUsage, "", "-fast"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			t.Parallel()
			o := call(t, environment{}, "", tt.args...)
			if o.status != tt.status || !strings.Contains(o.stdout, tt.stdout) ||
				!strings.Contains(o.stderr, tt.stderr) {
				t.Errorf("got %+v; want status %d, %q on stdout, %q on stderr", o, tt.status, tt.stdout, tt.stderr)
			}
			if (tt.status == exitOK) != (o.stderr == "") || (tt.status == exitOK) != (o.stdout != "") {
				t.Errorf("got %+v; want help on stdout and mistakes on stderr", o)
			}
		})
	}
}

func TestPeopleFromTheCommandLine(t *testing.T) {
	t.Parallel()
	e := local(t, environment{"DATABASE_URL": dbtest.Empty(t)}) // it is migrated on the way
	if o := call(t, e, "", "user", "list"); o.status != exitOK || o.stdout != "" {
		t.Fatalf("the list of nobody is %+v; want nothing", o)
	}
	if o := call(t, e, "correct horse battery\n", "user", "add", "-role", "administrator", "ada@example.com",
		"Ada Lovelace"); o.status != exitOK || !strings.Contains(o.stdout, "Added Ada Lovelace <ada@example.com>.") {
		t.Fatalf("adding Ada: %+v", o)
	}
	if o := call(t, e, "another battery staple", "user", "add", "grace@example.com",
		"Grace Hopper"); o.status != exitOK {
		t.Fatalf("adding Grace without a line break after the password: %+v", o)
	}
	o := call(t, e, "", "user", "list")
	lines := strings.Split(strings.TrimSpace(o.stdout), "\n")
	if len(lines) != 2 || !strings.Contains(o.stdout, "ada@example.com") ||
		!strings.Contains(o.stdout, "Administrator") || !strings.Contains(o.stdout, "Grace Hopper") ||
		!strings.Contains(o.stdout, "Member") {
		t.Errorf("the list is %+v; want both with their roles", o)
	}
	oneLine(t, call(t, e, "correct horse battery\n", "user", "add", "ADA@example.com", "Ada again"), "address")
	oneLine(t, call(t, e, "short\n", "user", "add", "alan@example.com", "Alan"), "password", "characters")
	oneLine(t, call(t, e, "", "user", "add", "alan@example.com", "Alan"))
	oneLine(t, call(t, e, "correct horse battery\n", "user", "add", "alan", "Alan"), "address")
	oneLine(t, call(t, e, "correct horse battery\n", "user", "add", "-role", "king", "alan@example.com", "Alan"),
		"role")
	oneLine(t, call(t, e, "correct horse battery\n", "user", "reset-password", "nobody@example.com"),
		"nobody with the address nobody@example.com")
	oneLine(t, call(t, e, "short\n", "user", "reset-password", "ada@example.com"), "password", "characters")
	if o := call(t, e, "", "migrate"); o.status != exitOK || !strings.Contains(o.stdout, "up to date") {
		t.Errorf("migrating again: %+v", o)
	}

	s := start(t, e)
	before := s.signIn(t, "ada@example.com", "correct horse battery")
	if before == nil {
		t.Fatal("the password that was given does not sign in")
	}
	oneLine(t, call(t, e, "", "user", "unlink", "nobody@example.com"), "nobody with the address nobody@example.com")
	oneLine(t, call(t, e, "", "user", "unlink", "ada@example.com"), "no account of a single sign-on")
	if o := call(t, e, "quite a new password\r\n", "user", "reset-password", "Ada@Example.com"); o.status != exitOK ||
		!strings.Contains(o.stdout, "Ada Lovelace has a new password.") {
		t.Fatalf("a new password: %+v", o)
	}
	if s.signIn(t, "ada@example.com", "correct horse battery") != nil {
		t.Error("the former password still signs in")
	}
	if s.signIn(t, "ada@example.com", "quite a new password") == nil {
		t.Error("the new password does not sign in")
	}
	if status := s.get(t, before, "/automations"); status != http.StatusSeeOther {
		t.Errorf("a sign-in from before the new password is answered %d; want 303 to sign in again", status)
	}
	s.stop(t)
}

func TestServeFromNothingAndStop(t *testing.T) {
	t.Parallel()
	e := local(t)
	s := start(t, e)
	link := s.line(t, "/setup?token=")
	if !strings.HasPrefix(link, s.base) {
		t.Errorf("the link %s does not lead to %s", link, s.base)
	}
	for path, want := range map[string]int{
		"/healthz": 200, "/readyz": 200, "/": 303, strings.TrimPrefix(link, s.base): 200,
	} {
		if status := s.get(t, nil, path); status != want {
			t.Errorf("%s answered %d; want %d", path, status, want)
		}
	}
	if info, err := os.Stat(filepath.Join(e["CARILLON_DATA"], "secret")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file is %v, %v; want mode 0600", info, err)
	}
	if n := children(t, e["CARILLON_DATA"]); n == 0 {
		t.Error("found no process of the embedded database; want it seen while it runs")
	}

	// Another server on the same data, at an address of its own.
	oneLine(t, call(t, e, "", "serve"), e["CARILLON_DATA"])
	// And one at the same address.
	oneLine(t, call(t, local(t, environment{"CARILLON_ADDR": strings.TrimPrefix(s.base, "http://")}), "", "serve"),
		strings.TrimPrefix(s.base, "http://"), "in use")
	if status := s.get(t, nil, "/readyz"); status != 200 {
		t.Errorf("/readyz answered %d after others were refused; want 200", status)
	}

	s.stop(t)
	if n := children(t, e["CARILLON_DATA"]); n != 0 {
		t.Errorf("%d processes are left", n)
	}
	if !strings.Contains(s.stderr.String(), `"msg":"stopping"`) {
		t.Error("the log does not say that the server stops, and why")
	}
	// It keeps what it had: the same key, and still nobody.
	again := start(t, e)
	if second := again.line(t, "/setup?token="); strings.TrimPrefix(second, again.base) == strings.TrimPrefix(link,
		s.base) {
		t.Error("the link of a former start works on")
	}

	// A command for people uses the database of the running server.
	added := call(t, e, "correct horse battery\n", "user", "add", "jonas@example.com", "Jonas")
	if list := call(t, e, "", "user", "list"); added.status != exitOK ||
		!strings.Contains(list.stdout, "jonas@example.com") {
		t.Errorf("beside a running server: status %d, %s; the list is\n%s", added.status, added.stderr, list.stdout)
	}
	again.stop(t)
}

func TestFirstAdministratorOfTheSettings(t *testing.T) {
	t.Parallel()
	e := local(t, environment{
		"DATABASE_URL": dbtest.URL(t), "CARILLON_ADMIN_EMAIL": "ada@example.com",
		"CARILLON_ADMIN_PASSWORD": "correct horse battery",
	})
	s := start(t, e)
	if s.signIn(t, "ada@example.com", "correct horse battery") == nil {
		t.Error("the first administrator of the settings cannot sign in")
	}
	if status := s.get(t, nil, "/setup"); status != http.StatusNotFound {
		t.Errorf("/setup answered %d; want 404, for there is an administrator", status)
	}
	s.stop(t)
	if strings.Contains(s.stdout.String(), "/setup") {
		t.Errorf("it printed a link to set it up:\n%s", s.stdout)
	}
}

func TestSettingsThatFailLaterAreOneLineToo(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		e     environment
		parts []string
	}{
		{"a data folder that is a file", environment{"CARILLON_DATA": file}, []string{"CARILLON_DATA", file}},
		{"a folder without PostgreSQL", environment{"CARILLON_PG_BIN": t.TempDir()}, []string{"CARILLON_PG_BIN"}},
		{"an address of another machine", environment{"CARILLON_ADDR": "192.0.2.1:8080"},
			[]string{"CARILLON_ADDR", "192.0.2.1:8080"}},
		{"a password that is too short", environment{
			"CARILLON_ADMIN_EMAIL": "ada@example.com", "CARILLON_ADMIN_PASSWORD": "hunter2",
			"DATABASE_URL": dbtest.URL(t),
		},
			[]string{"CARILLON_ADMIN_PASSWORD", "characters"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := call(t, local(t, tt.e), "", "serve")
			oneLine(t, o, tt.parts...)
			if strings.Contains(o.stderr, "hunter2") {
				t.Errorf("%q shows a secret", o.stderr)
			}
		})
	}
}

// serving is the application at work in this process.
type serving struct {
	base   string
	stdout *watched
	stderr *watched
	cancel context.CancelFunc
	done   chan int
}

func start(t *testing.T, e environment) *serving {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	s := &serving{stdout: &watched{}, stderr: &watched{}, cancel: cancel, done: make(chan int, 1)}
	go func() {
		s.done <- run(ctx, []string{"serve"}, e.get, strings.NewReader(""), s.stdout, s.stderr)
		close(s.done)
	}()
	t.Cleanup(func() { // before the folder and the database go, whatever came of the test
		cancel()
		<-s.done
	})
	s.base = strings.TrimPrefix(s.line(t, "Carillon is ready at "), "Carillon is ready at ")
	return s
}

// line waits for a line on stdout with a text in it.
func (s *serving) line(t *testing.T, part string) string {
	t.Helper()
	select {
	case line := <-s.stdout.wait(part):
		return line
	case status := <-s.done:
		t.Fatalf("serve ended with status %d:\n%s", status, s.stderr)
	case <-time.After(longest):
		t.Fatalf("%q was not printed:\n%s", part, s.stderr)
	}
	return ""
}

// stop ends it as a signal does, and expects it to end well.
func (s *serving) stop(t *testing.T) {
	t.Helper()
	s.cancel()
	select {
	case status := <-s.done:
		if status != exitOK {
			t.Errorf("serve ended with status %d; want 0:\n%s", status, s.stderr)
		}
	case <-time.After(longest):
		t.Fatalf("serve goes on after it was asked to stop:\n%s", s.stderr)
	}
	for line := range strings.Lines(s.stderr.String()) {
		if strings.Contains(line, `"level":"ERROR"`) {
			t.Errorf("it noted: %s", line)
		}
	}
}

var stranger = &http.Client{
	Timeout:       longest,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (s *serving) get(t *testing.T, cookies []*http.Cookie, path string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cookies {
		r.AddCookie(c)
	}
	res, err := stranger.Do(r)
	if err != nil {
		t.Fatalf("%v:\n%s", err, s.stderr)
	}
	defer res.Body.Close() //nolint:errcheck // only read
	return res.StatusCode
}

// signIn returns the cookies of a new sign-in, or none when it is refused.
func (s *serving) signIn(t *testing.T, email, password string) []*http.Cookie {
	t.Helper()
	res, err := stranger.PostForm(s.base+"/login", url.Values{"email": {email}, "password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // only read
	if res.StatusCode != http.StatusSeeOther {
		return nil
	}
	return res.Cookies()
}

// watched is a buffer that can be waited on.
type watched struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// wait sends the first whole line with a text in it.
func (w *watched) wait(part string) <-chan string {
	found := make(chan string, 1)
	go func() {
		for end := time.Now().Add(longest); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			for line := range strings.Lines(w.String()) {
				if strings.Contains(line, part) && strings.HasSuffix(line, "\n") {
					found <- strings.TrimSpace(line)
					return
				}
			}
		}
	}()
	return found
}

func (w *watched) until(t *testing.T, part string) {
	t.Helper()
	select {
	case <-w.wait(part):
	case <-time.After(longest):
		t.Fatalf("%q was not written:\n%s", part, w)
	}
}

// children counts the processes below this one that were started with a folder among their arguments.
func children(t *testing.T, dir string) int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(files) == 0 {
		t.Skip("there is no /proc to look for processes in")
	}
	n := 0
	for _, f := range files {
		text, err := os.ReadFile(f)
		if pid := filepath.Base(filepath.Dir(f)); err == nil && bytes.Contains(text, []byte(dir)) &&
			pid != strconv.Itoa(os.Getpid()) {
			n++
		}
	}
	return n
}

func TestAServerThatIsAskedToStopWhileItBeginsEndsWell(t *testing.T) {
	t.Parallel()
	e := local(t, environment{"DATABASE_URL": dbtest.URL(t)})
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var stdout, stderr bytes.Buffer
	if status := run(ctx, []string{"serve"}, e.get, strings.NewReader(""), &stdout, &stderr); status != 0 {
		t.Errorf("it ended with status %d; want 0:\n%s", status, stderr.String())
	}
}
