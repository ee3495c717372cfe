package git

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestAllThatAProgramLeftIsRemoved(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "left")
	outside := t.TempDir()
	write(t, outside, "kept", "kept")
	at := dir
	must(t, os.MkdirAll(at, 0o700))
	root, err := os.OpenRoot(dir)
	must(t, err)
	for range 2000 { // more than a path can name
		must(t, root.Mkdir("deep", 0o700))
		must(t, root.Symlink(outside, "link"))
		next, err := root.OpenRoot("deep")
		must(t, err)
		must(t, root.Close())
		root = next
	}
	must(t, root.Close())
	for name, mode := range map[string]os.FileMode{"closed": 0, "read": 0o500, "entered": 0o100} {
		write(t, dir, name+"/inner/file", "")
		must(t, os.Chmod(filepath.Join(dir, name, "inner"), mode))
		must(t, os.Chmod(filepath.Join(dir, name), mode))
	}
	pipe(t, filepath.Join(dir, "pipe"))
	must(t, syscall.Chmod(dir, 0))
	must(t, RemoveAll(dir))
	must(t, RemoveAll(dir))
	if exists(dir) || !exists(filepath.Join(outside, "kept")) {
		t.Error("it is there, or what a link leads to is not")
	}
	must(t, os.Symlink(outside, dir))
	must(t, RemoveAll(dir))
	if exists(dir) || !exists(filepath.Join(outside, "kept")) {
		t.Error("the link is there, or what it leads to is not")
	}
}

func TestRemovingTakesFewDescriptors(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "left")
	must(t, os.MkdirAll(dir, 0o700))
	root, err := os.OpenRoot(dir)
	must(t, err)
	for range 1500 {
		must(t, root.Mkdir("deep", 0o700))
		next, err := root.OpenRoot("deep")
		must(t, err)
		must(t, root.Close())
		root = next
	}
	must(t, root.Close())
	var was syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was))
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 400, Max: was.Max}))
	err = RemoveAll(dir)
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was))
	must(t, err)
}
