package workspace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ErrOutside says that a path does not lead to a file within the worktree, or leads into Git's own.
var ErrOutside = errors.New("the path leads out of the worktree")

// Inside is where a relative path leads below root, with links followed, relative to root. What does not exist
// yet is fine. The error is ErrOutside for an absolute path, for one that leaves root by .. or by a link, and
// for one into .git.
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

// WriteFile writes a file of the worktree, with the folders that it needs, whole or not at all. A file that is
// there keeps its mode. The error is ErrOutside for a path that Inside refuses and for one that is no file.
func WriteFile(w Worktree, rel string, data []byte) error {
	if err := writeFile(w.Dir, rel, data); err != nil {
		return fmt.Errorf("write %s in the worktree of session %s: %w", rel, w.Session, diskFull(err))
	}
	return nil
}

func writeFile(dir, rel string, data []byte) error {
	rel, err := Inside(dir, rel)
	if err != nil {
		return err
	}
	// The root holds also when an agent swaps a folder for a link between the look and the write.
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
