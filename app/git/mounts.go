package git

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Mount is a folder or file of the data folder that a sandbox of a session shows.
type Mount struct {
	Path     string
	Writable bool
}

// Mounts are what an agent in the worktree needs of the repository that its commits go into, for a sandbox that hides
// the data folder: what lies in another one comes after it. Its Git writes objects, references and what belongs to the
// session. The mirror's configuration, hooks and excluded files, where it has other objects from, what Carillon notes
// in it and what belongs to other sessions can only be read: each would be obeyed by somebody else's Git, or by the
// server's.
func (s *Store) Mounts(w Worktree) ([]Mount, error) {
	mirror := s.mirror(w.Workspace)
	if err := s.ownReferences(mirror); err != nil {
		return nil, err
	}
	var list []Mount
	for _, m := range []struct {
		part string
		// a folder is made where it is not there: what is not there cannot be kept from being made
		writable, folder bool
	}{
		{"", true, true}, // Git locks packed-refs beside it
		{"config", false, false}, {"config.worktree", false, false}, {"HEAD", false, false}, {markSHA256, false, false},
		{"hooks", false, true}, {"info", false, true},
		{"objects", true, true}, {"objects/info", false, true},
		{"refs", true, true}, {"refs/carillon", false, true},
		// Writable as refs is: a folder that is mounted cannot be replaced by a link, through which the server would
		// write.
		{"refs/heads", true, true}, {"refs/tags", true, true}, {"refs/remotes", true, true},
		{"refs/remotes/origin", true, true}, {"refs/heads/carillon", true, true},
		{"worktrees", false, true}, {filepath.Join("worktrees", w.Session), true, false},
		{"sessions", false, true}, {filepath.Join("sessions", w.Session), true, false},
	} {
		path := filepath.Join(mirror, m.part)
		if m.folder && !isFolder(path) {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				// a link or a file of an agent's making
				return nil, err
			}
			err := os.Mkdir(path, 0o700)
			if err == nil && m.writable {
				err = s.User.Own(path)
			}
			if err != nil && !errors.Is(err, os.ErrExist) {
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

// ownObjects sees to it that a repository has no objects but its own: a file that names others, or a link in their
// place, would show what belongs to another repository of this machine, and a pipe would hold up each Git. What is
// below the folders of objects is looked at where deep.
//
// The folders may be exchanged meanwhile. What is removed lies among the objects all the same.
func (s *Store) ownObjects(mirror string, deep bool) error {
	objects, err := openBelow(mirror, "objects")
	if errors.Is(err, fs.ErrNotExist) {
		return nil // of a damaged one
	}
	if err != nil {
		return fmt.Errorf("look through the objects: %w", err)
	}
	defer objects.Close()
	for _, name := range []string{"info/alternates", "info/http-alternates"} {
		switch err := objects.Remove(name); {
		case err == nil:
			s.foreign(mirror, "objects/"+name)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	folders, err := readDir(objects, ".")
	if err != nil {
		return fmt.Errorf("look through the objects: %w", err)
	}
	for _, e := range folders {
		if err := s.ownObject(objects, e.Name(), e, mirror); err != nil {
			return err
		}
		if !e.IsDir() || !deep {
			continue
		}
		files, err := readDir(objects, e.Name())
		if err != nil {
			continue // gone, or closed to the server, whose Git says what it lacks
		}
		for _, f := range files {
			if err := s.ownObject(objects, filepath.Join(e.Name(), f.Name()), f, mirror); err != nil {
				return err
			}
		}
	}
	return nil
}

// ownObject removes what is neither a file nor a folder.
func (s *Store) ownObject(objects *os.Root, name string, d fs.DirEntry, mirror string) error {
	if d.IsDir() || d.Type().IsRegular() {
		return nil
	}
	if err := there(objects.Remove(name)); err != nil {
		return err
	}
	s.foreign(mirror, filepath.Join("objects", name))
	return nil
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

func readDir(root *os.Root, name string) ([]fs.DirEntry, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY, 0) // what became a pipe is not waited for
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

// deepestRef is how many folders are in one another in the name of a reference. Git makes no path that is longer than
// the system permits, and reads none.
const deepestRef = 200

// ownReferences removes from the references of a repository what neither Git nor Carillon makes: a link that leads
// elsewhere, through which the server's Git would write where the agent that made it cannot, a pipe, and folders so
// deep in one another that no reference has such a name.
//
// The folders may be exchanged meanwhile. What is removed lies among the references all the same.
func (s *Store) ownReferences(mirror string) error {
	refs, err := openBelow(mirror, "refs")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look through the references: %w", err)
	}
	defer refs.Close()
	if err := s.ownReferencesIn(refs, ".", mirror); err != nil {
		return fmt.Errorf("look through the references: %w", err)
	}
	return nil
}

// ownReferencesIn is ownReferences for one of the folders.
func (s *Store) ownReferencesIn(refs *os.Root, folder, mirror string) error {
	list, err := readDir(refs, folder)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) { // by now
		return nil
	}
	if err != nil {
		return err
	}
	for _, d := range list {
		path := filepath.Join(folder, d.Name())
		switch {
		case d.IsDir() && strings.Count(path, "/") >= deepestRef:
			if err := removeBelow(refs, path); err != nil {
				return err
			}
			s.foreign(mirror, "folders in one another below refs")
		case d.IsDir():
			if err := s.ownReferencesIn(refs, path, mirror); err != nil {
				return err
			}
		case d.Type().IsRegular() || d.Type()&fs.ModeSymlink != 0 && symbolic(refs, path):
		default:
			if err := there(refs.Remove(path)); exchanged(err) {
				continue
			} else if err != nil {
				return err
			}
			s.foreign(mirror, "refs/"+path)
		}
	}
	return nil
}

// exchanged reports whether something could not be removed since it is a folder by now, or was one for a moment.
func exchanged(err error) bool {
	return errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENOTEMPTY)
}

// symbolic reports whether a link among references is a symbolic reference as old versions of Git make them.
func symbolic(refs *os.Root, path string) bool {
	target, err := refs.Readlink(path)
	if err != nil || !strings.HasPrefix(target, "refs/") {
		return false
	}
	info, err := refs.Stat(path)
	return err != nil || !info.IsDir()
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
