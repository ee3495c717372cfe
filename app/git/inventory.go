package git

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Holding says which parts of a session are in the data folder.
type Holding struct {
	Workspace string // empty: a folder that no repository knows of
	Session   string
	Folder    bool // it has a folder with files
	Place     bool // the repository has a place for its worktree
	Branch    bool // it has its branch, another name for commits of it, or what it configured: what Remove may keep
}

// Inventory lists which sessions have something in the data folder, in no order, and changes nothing. References to the
// last state of a session that went on elsewhere are left out. For a repository that cannot be read the list has what
// its folders show, and the error names it.
func (s *Store) Inventory(ctx context.Context) ([]Holding, error) {
	g := s.runner()
	mirrors, err := g.mirrors()
	if err != nil {
		return nil, fmt.Errorf("look at the repositories: %w", err)
	}
	found := holdings{}
	var failed []error
	byBranch := map[string][]string{}
	for _, id := range mirrors {
		branches, err := found.addRepository(ctx, g.repository(id, g.mirrorDir(id)))
		if err != nil {
			err = fmt.Errorf("look at the repository of workspace %s: %w", id, err)
			if ctx.Err() != nil {
				return nil, err
			}
			failed = append(failed, err)
		}
		byBranch[id] = branches
	}
	for _, id := range mirrors { // an agent may give a branch the name of another workspace's session
		for _, name := range byBranch[id] {
			if h := found[name]; h == nil || h.Workspace == id {
				found.of(id, name).Branch = true
			}
		}
	}
	names, err := s.Worktrees()
	if err != nil {
		return nil, fmt.Errorf("look at the worktrees: %w", err)
	}
	for _, name := range names {
		found.of("", name).Folder = true
	}
	list := make([]Holding, 0, len(found))
	for _, h := range found {
		list = append(list, *h)
	}
	return list, errors.Join(failed...)
}

// holdings has the holding of each session.
type holdings map[string]*Holding

// of is the holding of a session, which is added where it is missing. The first workspace that is named stays.
func (found holdings) of(workspaceID, sessionID string) *Holding {
	h := found[sessionID]
	if h == nil {
		h = &Holding{Session: sessionID}
		found[sessionID] = h
	}
	h.Workspace = cmp.Or(h.Workspace, workspaceID)
	return h
}

// addRepository adds the sessions of a repository, as far as it can be read, and returns the sessions that only a
// branch is named after.
func (found holdings) addRepository(ctx context.Context, repo *repository) (branches []string, err error) {
	places, err := folders(filepath.Join(repo.mirror, "worktrees"))
	configured, sessionsErr := folders(filepath.Join(repo.mirror, "sessions"))
	named, branches, refsErr := repo.sessionNames(ctx)
	for _, name := range places {
		found.of(repo.id, name).Place = true
	}
	for _, name := range slices.Concat(configured, named) {
		found.of(repo.id, name).Branch = true
	}
	return branches, errors.Join(err, sessionsErr, refsErr)
}

// sessionNames are the sessions that a reference of Carillon's is named after, and the sessions that a branch is named
// after.
func (repo *repository) sessionNames(ctx context.Context) (named, branches []string, err error) {
	if !exists(repo.view) { // nobody has used it yet
		return nil, nil, nil
	}
	out, err := repo.git(ctx, "for-each-ref", "--format=%(refname)",
		"refs/heads/"+filepath.Dir(SessionBranch("x")), filepath.Dir(baseRef("x")), filepath.Dir(branchRef("x")),
		filepath.Dir(snapshotRef("x")), filepath.Dir(pushedRef("x")))
	if err != nil {
		return nil, nil, err
	}
	for line := range strings.Lines(string(out)) {
		switch name := filepath.Base(strings.TrimSpace(line)); {
		case checkID(name) != nil:
		case strings.HasPrefix(line, "refs/heads/"):
			branches = append(branches, name)
		default:
			named = append(named, name)
		}
	}
	return named, branches, nil
}

// Unused reports whether a session has nothing worth keeping here: no snapshot, and its branch is where it started, or
// its worktree was not completed.
func (s *Store) Unused(ctx context.Context, workspaceID, sessionID string) (bool, error) {
	if err := checkID(workspaceID, sessionID); err != nil {
		return false, err
	}
	repo, err := s.open(workspaceID)
	if errors.Is(err, ErrNoMirror) {
		return true, nil
	} else if err != nil {
		return false, err
	}
	branch, err := repo.sessionBranch(ctx, sessionID)
	if err != nil {
		return false, err
	}
	found, err := repo.resolve(ctx, baseRef(sessionID), "refs/heads/"+cmp.Or(branch, SessionBranch(sessionID)),
		snapshotRef(sessionID))
	if err != nil {
		return false, err
	}
	return found[2] == "" && (found[0] == "" || found[1] == "" || found[1] == found[0]), nil
}

// SweepUnfinished removes repositories that a process which died had not completed. It waits for processes that are
// making one.
func (s *Store) SweepUnfinished(ctx context.Context) error {
	names, err := filepath.Glob(filepath.Join(s.layout().root, "repos", ".new-*.git-*"))
	if err != nil {
		return err
	}
	for _, path := range names {
		id, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(path), ".new-"), ".git-")
		unlock, err := s.runner().lock(ctx, "sync-"+id)
		if err != nil {
			return fmt.Errorf("sweep repositories: %w", err)
		}
		s.layout().sweep(id)
		unlock()
	}
	return nil
}

// Leftover is a file or folder that a process which died has left.
type Leftover struct {
	Path string
	What string // what it is, as a clause for a person
	At   time.Time
}

// Leftovers lists locks of Git in the repositories that are older than a time, and repositories that were being made
// before it.
func (s *Store) Leftovers(before time.Time) ([]Leftover, error) {
	var list []Leftover
	add := func(path, what string) {
		if info, err := os.Lstat(path); err == nil && info.ModTime().Before(before) {
			list = append(list, Leftover{Path: path, What: what, At: info.ModTime()})
		}
	}
	repos := filepath.Join(s.layout().root, "repos")
	visit := func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, os.ErrNotExist): // it went meanwhile
			return nil
		case err != nil && path == repos:
			return err
		case err != nil: // in one folder: the search goes on in the others
			s.runner().log.Warn("look for locks", "folder", path, "err", err)
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case d.IsDir() && d.Name() == "objects":
			return filepath.SkipDir
		case d.IsDir() && filepath.Dir(path) == repos && strings.HasPrefix(d.Name(), ".new-"):
			add(path, "is a repository that was not made to its end")
			return filepath.SkipDir
		case !d.IsDir() && isLock(path):
			add(path, "is a lock of a Git that is gone")
		}
		return nil
	}
	err := errors.Join(filepath.WalkDir(repos, visit), filepath.WalkDir(s.layout().private("exchanges"), visit))
	if err != nil {
		return nil, fmt.Errorf("look for locks: %w", err)
	}
	return list, nil
}
