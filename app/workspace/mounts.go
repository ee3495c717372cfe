package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Mount is a folder or file of the data folder that a sandbox of a session shows.
type Mount struct {
	Path     string
	Writable bool
}

// Mounts are what an agent in the worktree needs of the repository that its commits go into, for a sandbox that hides the data
// folder: what lies in another one comes after it. Its Git writes objects, references and what belongs to the session. The
// mirror's configuration, hooks and excluded files, where it has other objects from, what Carillon notes in it and what belongs to
// other sessions can only be read: each would be obeyed by somebody else's Git, or by the server's.
func (s *Store) Mounts(w Worktree) ([]Mount, error) {
	mirror := s.mirror(w.Workspace)
	if err := s.ownReferences(mirror); err != nil {
		return nil, err
	}
	var list []Mount
	for _, m := range []struct {
		part             string
		writable, folder bool // a folder is made where it is not there: what is not there cannot be kept from being made
	}{
		{"", true, true}, // Git locks packed-refs beside it
		{"config", false, false}, {"config.worktree", false, false}, {"HEAD", false, false}, {markSHA256, false, false},
		{"hooks", false, true}, {"info", false, true},
		{"objects", true, true}, {"objects/info", false, true},
		{"refs", true, true}, {"refs/carillon", false, true},
		// Writable as refs is: a folder that is mounted cannot be replaced by a link, through which the server would
		// write.
		{"refs/heads", true, true}, {"refs/tags", true, true}, {"refs/remotes", true, true}, {"refs/remotes/origin",
			true, true},
		{"worktrees", false, true}, {filepath.Join("worktrees", w.Session), true, false},
		{"sessions", false, true}, {filepath.Join("sessions", w.Session), true, false},
	} {
		path := filepath.Join(mirror, m.part)
		if m.folder && !isFolder(path) {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) { // a link or a file of an agent's making
				return nil, err
			}
			if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
				return nil, diskFull(err)
			}
		}
		info, err := os.Lstat(path)
		if errors.Is(err, os.ErrNotExist) && !m.folder {
			continue
		}
		if err != nil {
			return nil, err
		}
		if info.Mode()&os.ModeSymlink != 0 {
			return nil, fmt.Errorf("%s in the repository is a link, which Carillon did not make", m.part)
		}
		list = append(list, Mount{Path: path, Writable: m.writable})
	}
	return list, nil
}

// Home is the folder in which the workspace's caches, and what its agents remember, are kept for sandboxes.
func (s *Store) Home(workspaceID string) string {
	return filepath.Join(s.root(), "homes", workspaceID)
}

// ownObjects sees to it that a repository has no objects but its own: a file that names others, or a link in their place,
// would show what belongs to another repository of this machine. Links below are looked for where deep.
func (s *Store) ownObjects(mirror string, deep bool) error {
	objects := filepath.Join(mirror, "objects")
	for _, name := range []string{"alternates", "http-alternates"} {
		switch err := os.Remove(filepath.Join(objects, "info", name)); {
		case err == nil:
			s.log().Warn("removed from the repository what an agent had written: objects of other repositories", "file", name, "repository",
				filepath.Base(mirror))
		case !errors.Is(err, os.ErrNotExist):
			return err
		}
	}
	folders, err := os.ReadDir(objects)
	if errors.Is(err, os.ErrNotExist) {
		return nil // of a damaged one
	}
	if err != nil {
		return err
	}
	for _, e := range folders {
		path := filepath.Join(objects, e.Name())
		switch {
		case e.Type()&os.ModeSymlink != 0:
			return foreignObjects(path)
		case !e.IsDir() || !deep:
			continue
		}
		files, err := os.ReadDir(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, f := range files {
			if f.Type()&os.ModeSymlink != 0 {
				return foreignObjects(filepath.Join(path, f.Name()))
			}
		}
	}
	return nil
}

// ownReferences removes from the references of a repository each link that leads elsewhere: through one of a folder the
// server's Git would write where the agent that made it cannot.
//
// The folders may be exchanged meanwhile. What is removed lies among the references all the same.
func (s *Store) ownReferences(mirror string) error {
	refs, err := os.OpenRoot(filepath.Join(mirror, "refs")) // a link in place of all is refused by who looks
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look through the references: %w", err)
	}
	defer refs.Close()
	err = fs.WalkDir(refs.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.Type()&fs.ModeSymlink == 0 {
			return err
		}
		return s.removeLink(refs, path, mirror)
	})
	if err != nil {
		return fmt.Errorf("look through the references: %w", err)
	}
	return nil
}

// removeLink removes a link among references, but for a symbolic reference as old versions of Git make them.
func (s *Store) removeLink(refs *os.Root, path, mirror string) error {
	target, err := refs.Readlink(path)
	if err != nil {
		return nil //nolint:nilerr // it is no link any more
	}
	if info, err := refs.Stat(path); strings.HasPrefix(target, "refs/") && (err != nil || !info.IsDir()) {
		return nil
	}
	if err := refs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.log().Warn("removed from the references of the repository a link, which Carillon did not make",
		"repository", filepath.Base(mirror))
	return nil
}

// ownLog removes a link in place of the log of a worktree's HEAD, or on the way to it: the server's Git adds to a log
// that is there.
func (s *Store) ownLog(admin string) error {
	for _, path := range []string{filepath.Join(admin, "logs"), filepath.Join(admin, "logs", "HEAD")} {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if !info.IsDir() && !info.Mode().IsRegular() {
			return os.Remove(path)
		}
	}
	return nil
}

func foreignObjects(path string) error {
	return fmt.Errorf("%s in the repository is a link, which Carillon did not make. Remove it",
		filepath.Join("objects", filepath.Base(filepath.Dir(path)), filepath.Base(path)))
}
