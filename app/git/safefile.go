package git

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// writeAtomic writes the file in one step, unless it has that text already. A link or pipe in its place is replaced; a
// folder is an error.
func writeAtomic(path, text string) error {
	if was, err := readSmall(path); err == nil && string(was) == text {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// maxSmall is how much readSmall reads, in bytes.
const maxSmall = 64 << 10

// readSmall reads a file that an agent can replace: never through a link, never waiting, at most 64 KiB.
func readSmall(path string) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSmall))
}

// readBelow reads a file below a root as readSmall does.
func readBelow(root *os.Root, name string, most int64) ([]byte, error) {
	if info, err := root.Lstat(name); err != nil || !info.Mode().IsRegular() {
		return nil, cmp.Or(err, fmt.Errorf("%s is not a file", name))
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, cmp.Or(err, fmt.Errorf("%s is not a file", name))
	}
	return io.ReadAll(io.LimitReader(f, most))
}

// openRegular opens a file for reading that is neither link nor pipe.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, cmp.Or(err, fmt.Errorf("%s is not a file", path))
	}
	return f, nil
}

// readAsUser is readSmall with the rights of the user of agents, who may replace the folders on the way too.
func (g *runner) readAsUser(path string) (text []byte, err error) {
	err = g.user.Do(func() (err error) {
		text, err = readSmall(path)
		return err
	})
	return text, err
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// isFolder reports whether there is a folder at the path, not a link to one.
func isFolder(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

func removeIfExists(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// linkAtomic makes a link in one step, unless it is there already: a Git that uses the link never finds it missing.
func linkAtomic(path, target string) error {
	if was, err := os.Readlink(path); err == nil && was == target {
		return nil
	}
	temp := path + "." + rand.Text()
	if err := os.Symlink(target, temp); err != nil {
		return err
	}
	err := os.Rename(temp, path)
	if err != nil { // a folder is there
		err = errors.Join(removeAll(path), os.Rename(temp, path))
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return nil
}

func readDir(root *os.Root, name string) ([]fs.DirEntry, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY, 0) // a pipe in its place is not waited for
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

// openBelow opens a folder of a repository. A link in its place that leads out of the repository is refused.
func openBelow(mirror, part string) (*os.Root, error) {
	root, err := os.OpenRoot(mirror + "/") // a pipe is no folder, and is not waited for
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.OpenRoot(part + "/")
}
