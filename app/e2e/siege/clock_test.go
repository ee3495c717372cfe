package siege

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carillon/app/e2e/internal/stage"
)

// clock is the machine's clock as PostgreSQL reads it, which can be set. All processes of Carillon go by PostgreSQL's
// clock.
type clock struct {
	library string
	file    string // holds by how many seconds it is ahead
}

//go:embed testdata/clock.c
var clockSource []byte

// apart builds the program with a machine's clock that is ahead by as many seconds as CLOCK_AHEAD_SECONDS says: the
// time that Go reads for all of it is another one. That compiles everything anew, so only the long suite does it.
func apart() (string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	const read = "sec, nsec, mono := runtimeNow()\n"
	if !bytes.Contains(text, []byte(read)) {
		return "", fmt.Errorf("%s does not read the clock by %q", source, read)
	}
	dir, err := os.MkdirTemp("", "siege-clock-")
	if err != nil {
		return "", err
	}
	changed, added, overlay := filepath.Join(dir, "time.go"), filepath.Join(dir, "ahead.go"),
		filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {
		source: changed, filepath.Join(filepath.Dir(source), "ahead.go"): added,
	}})
	if err != nil {
		return "", err
	}
	for path, content := range map[string][]byte{changed: bytes.Replace(text, []byte(read),
		[]byte(read+"\tsec += ahead\n"), 1), added: aheadSource, overlay: list} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return "", err
		}
	}
	path := filepath.Join(dir, "carillon-apart")
	cmd := exec.Command("go", "build", "-overlay", overlay, "-o", path, "carillon/app")
	cmd.Dir = stage.Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program with a clock of its own: %w\n%s", err, out)
	}
	return path, nil
}

var aheadSource = []byte(`package time

import "syscall"

// ahead is by how many seconds the clock is ahead.
var ahead = func() (seconds int64) {
	text, _ := syscall.Getenv("CLOCK_AHEAD_SECONDS")
	sign := int64(1)
	for _, c := range text {
		if c == '-' {
			sign = -1
		} else {
			seconds = 10*seconds + int64(c-'0')
		}
	}
	return sign * seconds
}()
`)

// newClock makes a clock that is right; nil where there is no C compiler to make it with.
func newClock(t testing.TB) *clock {
	t.Helper()
	compiler, err := exec.LookPath("cc")
	if err != nil {
		t.Logf("the clock cannot be set: there is no C compiler")
		return nil
	}
	dir := stage.Folder(t)
	c := &clock{library: filepath.Join(dir, "clock.so"), file: filepath.Join(dir, "ahead")}
	source := filepath.Join(dir, "clock.c")
	must(t, os.WriteFile(source, clockSource, 0o600))
	if out, err := exec.Command(compiler, "-shared", "-fPIC", "-O1", "-o", c.library, source).
		CombinedOutput(); err != nil {
		t.Logf("the clock cannot be set: %v: %s", err, out)
		return nil
	}
	c.set(t, 0)
	return c
}

// variables let a process have the clock.
func (c *clock) variables() []string {
	return []string{"LD_PRELOAD=" + c.library, "CLOCK_AHEAD=" + c.file}
}

// set sets the clock by so much ahead of the machine's.
func (c *clock) set(t testing.TB, ahead time.Duration) {
	t.Helper()
	f, err := os.OpenFile(c.file, os.O_CREATE|os.O_WRONLY, 0o644) // in its place: processes have it in their memory
	must(t, err)
	_, err = f.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(int64(ahead/time.Second))), 0)
	must(t, err)
	must(t, f.Close())
}
