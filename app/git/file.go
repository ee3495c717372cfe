package git

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrOutside says that a path does not lead to a file within the worktree, or leads into Git's own.
var ErrOutside = errors.New("the path leads out of the worktree")

// Inside resolves a relative path below root, with links followed, and returns it relative to root. The file need not
// exist yet. The error is ErrOutside for an absolute path, for one that leaves root by .. or by a link, and for one
// into .git.
func Inside(root, rel string) (string, error) {
	refuse := func() (string, error) { return "", fmt.Errorf("%w: %s", ErrOutside, rel) }
	if !filepath.IsLocal(rel) || strings.ContainsRune(rel, 0) || intoGit(rel) {
		return refuse()
	}
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return "", err
	}
	real, missing := filepath.Join(root, rel), ""
	for {
		resolved, err := filepath.EvalSymlinks(real)
		if err == nil {
			real = filepath.Join(resolved, missing)
			break
		}
		if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		if exists(real) {
			return refuse() // a link to nowhere
		}
		missing = filepath.Join(filepath.Base(real), missing)
		real = filepath.Dir(real)
	}
	inside, err := filepath.Rel(root, real)
	if err != nil || !filepath.IsLocal(inside) || intoGit(inside) {
		return refuse()
	}
	return inside, nil
}

// intoGit is whether a part of the path is .git, in any spelling that some file system takes for it.
func intoGit(rel string) bool {
	for part := range strings.SplitSeq(filepath.ToSlash(rel), "/") {
		if part = strings.TrimRight(part, " ."); strings.EqualFold(part, ".git") || strings.EqualFold(part, "git~1") {
			return true
		}
	}
	return false
}

// MaxRead is the most bytes that ReadFile reads.
const MaxRead = 1 << 20

// ErrLarge says that a file has more than MaxRead bytes.
var ErrLarge = errors.New("it has more than 1 MiB")

// ReadFile reads a file of the worktree, which an agent may have replaced: a link is followed within the worktree
// alone, a pipe or a device is never waited for, and a file that is too long is not read. Errors to tell apart:
// ErrOutside for a path that Inside refuses and for what is no file, ErrLarge, os.ErrNotExist.
func ReadFile(w Worktree, rel string) ([]byte, error) {
	var text []byte
	err := w.user.Do(func() (err error) {
		text, err = readFile(w.Dir, rel)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read %s in the worktree of session %s: %w", rel, w.Session, err)
	}
	return text, nil
}

func readFile(dir, rel string) ([]byte, error) {
	rel, err := Inside(dir, rel)
	if err != nil {
		return nil, err
	}
	// The root holds also when an agent replaces a folder by a link between the check and the reading.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: %s is not a file", ErrOutside, rel)
	case info.Size() > MaxRead:
		return nil, ErrLarge
	}
	text, err := io.ReadAll(io.LimitReader(f, MaxRead+1))
	if err == nil && len(text) > MaxRead { // it grows
		return nil, ErrLarge
	}
	return text, err
}

// WriteFile writes a file of the worktree, with the folders that it needs, whole or not at all. A file that is
// there keeps its mode. The error is ErrOutside for a path that Inside refuses and for one that is no file.
func WriteFile(w Worktree, rel string, data []byte) error {
	if err := w.user.Do(func() error { return writeFile(w.Dir, rel, data) }); err != nil {
		return fmt.Errorf("write %s in the worktree of session %s: %w", rel, w.Session, diskFull(err))
	}
	return nil
}

func writeFile(dir, rel string, data []byte) error {
	rel, err := Inside(dir, rel)
	if err != nil {
		return err
	}
	// The root holds also when an agent replaces a folder by a link between the check and the writing.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	mode := os.FileMode(0o644)
	if info, err := root.Lstat(rel); err == nil {
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%w: %s is not a file", ErrOutside, rel)
		}
		mode = info.Mode().Perm()
	}
	if err := root.MkdirAll(filepath.Dir(rel), 0o755); err != nil {
		return err
	}
	// The name is ignored by nobody, but it lives only for the moment of writing.
	temp := filepath.Join(filepath.Dir(rel), ".carillon-"+filepath.Base(rel)+".new")
	if err := root.RemoveAll(temp); err != nil {
		return err
	}
	f, err := root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err == nil {
		err = root.Rename(temp, rel)
	}
	if err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	return nil
}
