package git

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// cleaner removes from a repository what neither Git nor Carillon makes there, such as a link or a pipe that an agent
// put in the place of a file: it would hold up or mislead each Git from then on.
type cleaner struct {
	mirror string
	log    *slog.Logger
}

// cleaner is a cleaner of the repository at mirror.
func (g *runner) cleaner(mirror string) cleaner { return cleaner{mirror, g.log} }

// cleanShared makes sure that the parts which a view shares with the repository exist and are the repository's own.
func (c cleaner) cleanShared() error {
	// Git removes the folder of the worktrees with the last of them; the link to it must not lead nowhere.
	if err := os.MkdirAll(filepath.Join(c.mirror, "worktrees"), 0o700); err != nil {
		return err
	}
	for _, part := range []string{"objects", "refs", "worktrees"} {
		// Through a link that an agent made the server would write where the agent cannot.
		if info, err := os.Lstat(filepath.Join(c.mirror, part)); err == nil && info.Mode()&os.ModeSymlink != 0 {
			return fmt.Errorf("%s in the repository is a link, which Carillon did not make", part)
		}
	}
	for _, part := range []string{"packed-refs", "shallow"} {
		info, err := os.Lstat(filepath.Join(c.mirror, part))
		if err != nil || info.Mode().IsRegular() {
			continue
		}
		if err := removeAll(filepath.Join(c.mirror, part)); err != nil {
			return err
		}
		c.logRemoved(part)
	}
	return c.cleanObjects(false)
}

// logRemoved logs that a file which an agent had put into the repository was removed.
func (c cleaner) logRemoved(what string) {
	c.log.Warn("removed from the repository what neither Git nor Carillon makes", "what", what, "repository",
		filepath.Base(c.mirror))
}

// cleanObjects makes sure that a repository has no objects but its own: a file that names others, or a link in their
// place, would show what belongs to another repository of this machine, and a pipe would hold up each Git. With deep,
// the files in the folders of objects are checked too. An agent may replace the folders meanwhile. Only files among the
// objects are removed all the same.
func (c cleaner) cleanObjects(deep bool) error {
	objects, err := openBelow(c.mirror, "objects")
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
			c.logRemoved("objects/" + name)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	folders, err := readDir(objects, ".")
	if err != nil {
		return fmt.Errorf("look through the objects: %w", err)
	}
	for _, e := range folders {
		if err := c.cleanObject(objects, e.Name(), e); err != nil {
			return err
		}
		if !e.IsDir() || !deep {
			continue
		}
		files, err := readDir(objects, e.Name())
		if err != nil {
			continue // gone, or closed to the server, whose Git reports what is missing
		}
		for _, f := range files {
			if err := c.cleanObject(objects, filepath.Join(e.Name(), f.Name()), f); err != nil {
				return err
			}
		}
	}
	return nil
}

// cleanObject removes an entry among the objects that is neither a file nor a folder.
func (c cleaner) cleanObject(objects *os.Root, name string, d fs.DirEntry) error {
	if d.IsDir() || d.Type().IsRegular() {
		return nil
	}
	if err := ignoreNotExist(objects.Remove(name)); err != nil {
		return err
	}
	c.logRemoved(filepath.Join("objects", name))
	return nil
}

// maxRefDepth is how many folders are in one another in the name of a reference. Git makes no path that is longer than
// the system permits, and reads none.
const maxRefDepth = 200

// cleanReferences removes from the references of a repository what neither Git nor Carillon makes: a link that leads
// elsewhere, through which the server's Git would write where the agent that made it cannot, a pipe, and folders so
// deep in one another that no reference has such a name. An agent may replace the folders meanwhile. Only files among
// the references are removed all the same.
func (c cleaner) cleanReferences() error {
	refs, err := openBelow(c.mirror, "refs")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look through the references: %w", err)
	}
	defer refs.Close()
	if err := c.cleanReferencesIn(refs, "."); err != nil {
		return fmt.Errorf("look through the references: %w", err)
	}
	return nil
}

// cleanReferencesIn is references for one of the folders.
func (c cleaner) cleanReferencesIn(refs *os.Root, folder string) error {
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
		case d.IsDir() && strings.Count(path, "/") >= maxRefDepth:
			if err := removeBelow(refs, path); err != nil {
				return err
			}
			c.logRemoved("folders in one another below refs")
		case d.IsDir():
			if err := c.cleanReferencesIn(refs, path); err != nil {
				return err
			}
		case d.Type().IsRegular() || d.Type()&fs.ModeSymlink != 0 && isSymbolicRef(refs, path):
		default:
			if err := ignoreNotExist(refs.Remove(path)); replacedMeanwhile(err) {
				continue
			} else if err != nil {
				return err
			}
			c.logRemoved("refs/" + path)
		}
	}
	return nil
}

// replacedMeanwhile reports whether a removal failed because the file is a folder by now, or was one for a moment.
func replacedMeanwhile(err error) bool {
	return errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENOTEMPTY)
}

// isSymbolicRef reports whether a link among references is a symbolic reference as old versions of Git make them.
func isSymbolicRef(refs *os.Root, path string) bool {
	target, err := refs.Readlink(path)
	if err != nil || !strings.HasPrefix(target, "refs/") {
		return false
	}
	info, err := refs.Stat(path)
	return err != nil || !info.IsDir()
}

// removeForeignLog removes a link in place of the log of a worktree's HEAD, or on the way to it: the server's Git adds
// to a log that is there.
func removeForeignLog(admin string) error {
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
