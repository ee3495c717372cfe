package git

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Mount is a folder or file of the data folder that a sandbox of a session shows.
type Mount struct {
	Path     string
	Writable bool
}

// Mounts lists the parts of the repository that an agent in the worktree needs, for a sandbox that hides the data
// folder; a folder comes before what lies in it. The agent's Git writes objects, references and the session's own
// files. It can only read the mirror's configuration, hooks and excluded files, the list of other repositories'
// objects, Carillon's own references and the files of other sessions: another session's Git, or the server's, would
// obey each of them.
func (s *Store) Mounts(w Worktree) ([]Mount, error) {
	mirror := s.layout().mirrorDir(w.Workspace)
	if err := s.runner().cleaner(mirror).cleanReferences(); err != nil {
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
			if err := s.makeMountFolder(path, m.writable); err != nil {
				return nil, err
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

// makeMountFolder makes a folder of a repository in the place of whatever is there.
func (s *Store) makeMountFolder(path string, writable bool) error {
	if err := removeIfExists(path); err != nil { // a link or a file that an agent made
		return err
	}
	err := os.Mkdir(path, 0o700)
	if err == nil && writable {
		err = s.User.Own(path)
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return diskFull(err)
	}
	return nil
}

// Home is the folder with the workspace's caches, and with the memory of its agents, for sandboxes.
func (s *Store) Home(workspaceID string) string {
	return filepath.Join(s.layout().root, "homes", workspaceID)
}
