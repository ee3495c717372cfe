package git

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

const (
	// maxOpenFolders is how many nested folders are open at once: a deeper folder is moved up first. A program may nest
	// any number of them, and each open one takes one of the server's descriptors.
	maxOpenFolders = 64
	// readBatch is how many names of a folder are read at once.
	readBatch = 1000
)

// RemoveAll removes a file or a folder with all that is in it, as os.RemoveAll does. It also removes folders without
// the right to read or write, and folders that are nested deeper than a path can name or descriptors are free. It
// follows no link.
func RemoveAll(path string) error {
	parent, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return ignoreNotExist(err)
	}
	defer parent.Close()
	return removeBelow(parent, filepath.Base(path))
}

func removeAll(path string) error { return RemoveAll(path) }

// removeBelow is RemoveAll for a path below a root, which it does not leave. It follows no link that replaces a folder
// meanwhile.
func removeBelow(root *os.Root, name string) error {
	err := root.Remove(name)
	if ignoreNotExist(err) == nil {
		return nil
	}
	info, statErr := root.Lstat(name)
	if statErr != nil || !info.IsDir() {
		return err
	}
	if info.Mode().Perm()&0o700 != 0o700 {
		_ = root.Chmod(name, 0o700) // where that is not allowed, the rest says so
	}
	folder, err := root.OpenRoot(name + "/") // a pipe is no folder, and is not waited for
	if err != nil {
		return ignoreNotExist(err)
	}
	if opened, err := folder.Stat("."); err != nil || !os.SameFile(info, opened) {
		return errors.Join(fmt.Errorf("%s is another folder by now", filepath.Join(root.Name(), name)), err,
			folder.Close())
	}
	r := &remover{top: folder}
	if err := errors.Join(r.empty(folder, "", 0), folder.Close()); err != nil {
		return err
	}
	return ignoreNotExist(root.Remove(name))
}

// remover removes what is in a folder.
type remover struct {
	top   *os.Root
	moved int
}

// empty removes the contents of a folder. rel is the folder's path below the top, and depth how deep it is.
func (r *remover) empty(dir *os.Root, rel string, depth int) error {
	for {
		names, err := readNames(dir)
		if err != nil || len(names) == 0 {
			return err
		}
		var failed error
		progress := false
		for _, d := range names {
			err := r.remove(dir, d, filepath.Join(rel, d.Name()), depth)
			progress = progress || err == nil
			if failed == nil {
				failed = err
			}
		}
		if !progress { // a folder whose contents cannot be removed is not read again and again
			return failed
		}
	}
}

func readNames(dir *os.Root) ([]fs.DirEntry, error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.ReadDir(readBatch)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	return names, err
}

func (r *remover) remove(dir *os.Root, d fs.DirEntry, rel string, depth int) error {
	name := d.Name()
	if !d.IsDir() {
		return ignoreNotExist(dir.Remove(name))
	}
	if ignoreNotExist(dir.Remove(name)) == nil {
		return nil
	}
	_ = dir.Chmod(name, 0o700) // where that is not allowed, the rest says so
	if depth >= maxOpenFolders {
		for { // to a free name
			r.moved++
			to := ".carillon-moved-" + strconv.Itoa(r.moved)
			if _, err := r.top.Lstat(to); errors.Is(err, fs.ErrNotExist) {
				return ignoreNotExist(r.top.Rename(rel, to))
			}
		}
	}
	inner, err := dir.OpenRoot(name + "/")
	if err != nil {
		return ignoreNotExist(err)
	}
	if err := errors.Join(r.empty(inner, rel, depth+1), inner.Close()); err != nil {
		return err
	}
	return ignoreNotExist(dir.Remove(name))
}

// ignoreNotExist returns the error, or nil where it says that a file does not exist.
func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
