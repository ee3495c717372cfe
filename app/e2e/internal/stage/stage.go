package stage

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"carillon/db/dbtest"
)

// Patience bounds each wait for what has to happen. It is long because a test must not fail on a slow or busy machine.
const Patience = 10 * time.Minute

// scratch is a folder that lives as long as the tests.
var scratch string

// Run runs the tests of a package with a folder for their files and a database server. It returns the exit code.
func Run(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "carillon-e2e-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := dbtest.Run(m)
	if err := os.RemoveAll(scratch); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}

// Folder is a folder of the test's own.
func Folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, "")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Eventually waits until a condition holds, looking often.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("waited %s for %s", Patience, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Exists waits for a file that a script makes.
func Exists(t testing.TB, path string) {
	t.Helper()
	Eventually(t, "the file "+filepath.Base(path), func() bool {
		_, err := os.Stat(path)
		return err == nil
	})
}

// Marked counts the processes whose environment holds a mark.
func Marked(t testing.TB, mark string) int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil || len(files) == 0 {
		t.Skip("there is no /proc to look for processes in")
	}
	n := 0
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && bytes.Contains(text, []byte(mark)) {
			n++
		}
	}
	return n
}

// Touch makes a file for which a script waits.
func Touch(t testing.TB, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Buffer is a bytes.Buffer for several goroutines.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
