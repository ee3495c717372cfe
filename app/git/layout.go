package git

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// layout is where everything is in the data folder. Its paths are absolute, because Git runs in other folders than the
// server.
type layout struct{ root string }

// layout is the layout of the store's data folder.
func (s *Store) layout() layout {
	if abs, err := filepath.Abs(s.Root); err == nil {
		return layout{abs}
	}
	return layout{s.Root}
}

// mirrorDir is the repository of a workspace.
func (l layout) mirrorDir(workspaceID string) string {
	return filepath.Join(l.root, "repos", workspaceID+".git")
}

// worktreeDir is the folder with the files of a session.
func (l layout) worktreeDir(sessionID string) string {
	return filepath.Join(l.root, "worktrees", sessionID)
}

// adminDir is where Git keeps a worktree's HEAD and index.
func (l layout) adminDir(workspaceID, sessionID string) string {
	return filepath.Join(l.mirrorDir(workspaceID), "worktrees", sessionID)
}

// commonDir is the session's own common Git folder (separate.go).
func (l layout) commonDir(workspaceID, sessionID string) string {
	return filepath.Join(l.mirrorDir(workspaceID), "sessions", sessionID)
}

// indexFile is the index of a worktree.
func (l layout) indexFile(w Worktree) string {
	return filepath.Join(l.adminDir(w.Workspace, w.Session), "index")
}

// private joins a path below the folder that the server alone reads and writes.
func (l layout) private(parts ...string) string {
	return filepath.Join(append([]string{l.root, "git"}, parts...)...)
}

// exchangeDir is the exchange of a workspace (exchange.go).
func (l layout) exchangeDir(workspaceID string) string { return l.private("exchanges", workspaceID) }

// viewDir is the view of a workspace (view.go).
func (l layout) viewDir(workspaceID string) string { return l.private("views", workspaceID) }

// spareDir is the folder with the spare worktree of a workspace (spare.go).
func (l layout) spareDir(workspaceID string) string { return l.private("spares", workspaceID) }

// coverFile notes which files of a session are covered (cover.go).
func (l layout) coverFile(sessionID string) string { return l.private("covered", sessionID) }

// originFile names the remote that the workspace's repository is a copy of. It is missing for a repository that has no
// remote: a branch that an agent there named like a remote's is none of a remote's.
func (l layout) originFile(id string) string { return l.private("origins", id) }

// ownerFile notes to which user the shared parts of a repository were handed over.
func (l layout) ownerFile(mirror string) string { return l.private("handed", filepath.Base(mirror)) }

// mirrors are the workspaces that have a repository here.
func (l layout) mirrors() ([]string, error) {
	names, err := folders(filepath.Join(l.root, "repos"))
	var ids []string
	for _, name := range names {
		if id, ok := strings.CutSuffix(name, ".git"); ok {
			ids = append(ids, id)
		}
	}
	return ids, err
}

// sessions are the sessions with a worktree in the workspace's repository.
func (l layout) sessions(workspaceID string) ([]string, error) {
	return folders(filepath.Join(l.mirrorDir(workspaceID), "worktrees"))
}

// folders lists the folders in a folder that have the name of an id, in order. A folder that is not there has none.
func folders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && checkID(e.Name()) == nil {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}
