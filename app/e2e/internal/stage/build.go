package stage

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"carillon/app/crash"
)

// Root is the folder of the source.
var Root = sync.OnceValue(func() string {
	dir, err := os.Getwd()
	for err == nil && dir != "/" {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	return ""
})

// Watched builds the program as the tests are: with the race detector when they have it, so that it watches a real
// server, and with crash points when they have those. What was compiled for other tests is not compiled again.
var Watched = sync.OnceValues(func() (string, error) {
	name, flags := "watched", []string{}
	if raced {
		name, flags = name+"-race", append(flags, "-race")
	}
	if crash.Compiled {
		name, flags = name+"-"+crash.Tag, append(flags, "-tags", crash.Tag)
	}
	return build(name, os.Environ(), flags...)
})

// Plain builds the program as it is released: without the race detector, under which a page takes many times the CPU,
// and without crash points. It is compiled as go vet compiles it, so that what one compiled serves the other.
var Plain = sync.OnceValues(func() (string, error) { return build("plain", append(os.Environ(), "GOFLAGS=")) })

// build builds the program where test binaries of several packages find it, of which one links it.
func build(name string, env []string, flags ...string) (string, error) {
	if err := openSource(); err != nil {
		return "", err
	}
	dir := filepath.Join(Root(), "tmp")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "carillon-"+name) // not the name by which people stop their own
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close() //nolint:errcheck // it has no text
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	cmd := exec.Command("go", slices.Concat([]string{"build"}, flags, []string{"-o", path, "carillon/app"})...)
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return own(path)
}

// own is a name of this test's own for a program, which stays what it is when the program is built anew.
func own(path string) (string, error) {
	name := filepath.Join(scratch, filepath.Base(path))
	if os.Link(path, name) == nil {
		return name, nil
	}
	text, err := os.ReadFile(path) // the folders are on two disks
	if err != nil {
		return "", err
	}
	return name, os.WriteFile(name, text, 0o755)
}

// openSource opens what the program is built from, and what these tests run beside it. Go keeps the outcome of tests
// until something that they opened changes. It does not see what a go command reads that builds the program for them,
// and would call them passed on and on.
func openSource() error {
	for _, f := range []string{"go.mod", "package-lock.json"} {
		if _, err := os.Stat(filepath.Join(Root(), f)); err != nil {
			return err
		}
	}
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if .Main}}{{$.Dir}}{{end}}{{end}}",
		"carillon/app").Output()
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
