package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"carillon/app/crash"
)

// Add makes the worktree of a session: a folder with the files of the base branch, on a branch of its own.
// An empty base is the workspace's default branch, an empty branch is SessionBranch. A repository without a
// commit gives an empty folder that starts from an empty commit.
//
// A session that has its worktree already gets that one, as it is. One whose folder was lost gets a new folder
// with what its branch holds; one whose Add was interrupted starts again. Adds may run in parallel.
//
// Files of Git LFS stay pointers and submodules stay empty folders: fetching them runs programs and needs
// credentials, which is the session's business. Errors to tell apart: *NoBranch, ErrNoMirror, ErrDiskFull.
func (s *Store) Add(ctx context.Context, workspaceID, sessionID, base, branch string) (Worktree, error) {
	if err := checkID(workspaceID, sessionID); err != nil {
		return Worktree{}, err
	}
	w := s.Worktree(workspaceID, sessionID, branch, "")
	view, err := s.view(workspaceID)
	if err != nil {
		return Worktree{}, err
	}
	if err := s.add(ctx, view, &w, base); err != nil {
		return Worktree{}, fmt.Errorf("make the worktree: %w", orDamaged(err))
	}
	return w, nil
}

func (s *Store) add(ctx context.Context, view string, w *Worktree, base string) error {
	whole, err := s.link(ctx, view, w, base)
	if err != nil || whole {
		return err
	}
	// The files come without the lock, so that worktrees fill in parallel.
	crash.Here(crash.TreeLinked)
	if err := s.checkOut(ctx, view, *w); err != nil {
		return err
	}
	crash.Here(crash.TreeFilled)
	// Written last: who has this name has a whole worktree. It also keeps the base from being collected.
	_, err = s.git(ctx, call{gitDir: view, args: []string{"update-ref", baseRef(w.Session), w.Base}})
	return err
}

func baseRef(sessionID string) string   { return "refs/carillon/base/" + sessionID }
func branchRef(sessionID string) string { return "refs/carillon/branch/" + sessionID }

// link makes branch and folder, without files, and fills in w. Whole is true when the worktree is there already. One
// that is there keeps its base; another gets the base of w, or where that is empty the commit of the base branch.
func (s *Store) link(ctx context.Context, view string, w *Worktree, base string) (whole bool, err error) {
	unlock, err := s.lock(ctx, "tree-"+w.Workspace)
	if err != nil {
		return false, err
	}
	defer unlock()

	if w.Branch != SessionBranch(w.Session) {
		if _, err := s.git(ctx, call{args: []string{"check-ref-format", "--branch", w.Branch}}); err != nil {
			return false, fmt.Errorf("“%s” cannot be the name of a branch", w.Branch)
		}
	}
	if was, err := s.branchOf(ctx, view, w.Session); err != nil {
		return false, err
	} else if was != "" {
		w.Branch = was
	}
	found, err := s.resolve(ctx, view, baseRef(w.Session), "refs/heads/"+w.Branch, "worktrees/"+w.Session+"/HEAD")
	if err != nil {
		return false, err
	}
	started, tip, head := found[0], found[1], found[2]
	if started != "" {
		w.Base = started
	}
	if w.Base == "" {
		if w.Base, err = s.head(ctx, w.Workspace, view, base); err != nil {
			return false, err
		}
		if tip != "" { // its branch is there: it began where that left the base branch
			if w.Base, err = s.fork(ctx, view, tip, w.Base); err != nil {
				return false, err
			}
		}
	}
	admin := s.admin(w.Workspace, w.Session)
	switch folder := isFolder(w.Dir); {
	case started != "" && folder && isFolder(admin) && (head != "" || exists(filepath.Join(admin, "index"))):
		s.breakLock(filepath.Join(admin, "index.lock")) // agents are killed, and their git with them
		if err := s.Uncover(ctx, *w); err != nil {      // and so are servers
			return false, err
		}
		if tip == "" { // the agent removed its branch, or it was set aside
			if _, err := s.git(ctx, call{gitDir: view, args: []string{"update-ref", "refs/heads/" + w.Branch, w.Base,
				zero(w.Base)}}); err != nil {
				return false, err
			}
		}
		return true, s.repairLink(*w)
	case started != "" && folder:
		return true, s.relink(ctx, view, *w, tip)
	}

	// Nothing yet, the rest of an interrupted Add, or a lost folder.
	if err := errors.Join(removeAll(w.Dir), removeAll(admin), removeIfThere(s.coverNote(w.Session))); err != nil {
		return false, err
	}
	if tip == "" { // by itself: a lock that git worktree meets after it has made the branch would leave half of both
		if _, err := s.git(ctx, call{gitDir: view, args: []string{"update-ref", "refs/heads/" + w.Branch, w.Base,
			zero(w.Base)}}); err != nil {
			return false, err
		}
	}
	crash.Here(crash.TreeBranched)
	// The folder of all worktrees is the server's: the user of agents makes none in it.
	if err := errors.Join(os.MkdirAll(w.Dir, 0o700), s.User.Own(w.Dir)); err != nil {
		return false, diskFull(err)
	}
	if _, err := s.git(ctx, call{
		gitDir: view, folders: []string{w.Dir}, args: []string{"worktree", "add", "--quiet", "--no-checkout", "--",
			w.Dir, w.Branch},
	}); err != nil {
		return false, err
	}
	// Git has named the view in the folder, which belongs to the server alone: a sandbox hides it.
	if err := errors.Join(s.takeSpare(*w), s.repairLink(*w)); err != nil {
		return false, err
	}
	_, err = s.git(ctx, call{gitDir: view, args: []string{"symbolic-ref", branchRef(w.Session),
		"refs/heads/" + w.Branch}})
	return false, err
}

// fork is the commit where a branch left another one; where they have none in common, the tip of the other.
func (s *Store) fork(ctx context.Context, view, tip, other string) (string, error) {
	out, err := s.git(ctx, call{gitDir: view, args: []string{"merge-base", tip, other}})
	var f *failure
	if errors.As(err, &f) && f.exit == 1 {
		return other, nil
	}
	return strings.TrimSpace(string(out)), err
}

// HeadBranch is the name of the branch that a worktree is on: the session's own, or another one that its agent switched
// to. It is empty where the worktree is on a commit alone, and where it cannot be read.
func (s *Store) HeadBranch(w Worktree) string {
	text, err := s.readTheirs(filepath.Join(s.admin(w.Workspace, w.Session), "HEAD"))
	if err != nil {
		return ""
	}
	name, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "ref: refs/heads/")
	if !ok {
		return ""
	}
	return name
}

// branchOf is the branch that the session was given when its worktree was made, empty when it has none yet.
func (s *Store) branchOf(ctx context.Context, view, sessionID string) (string, error) {
	out, err := s.git(ctx, call{gitDir: view, args: []string{"symbolic-ref", "--quiet", branchRef(sessionID)}})
	var f *failure
	if errors.As(err, &f) && f.exit == 1 {
		return "", nil
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "refs/heads/"), err
}

// checkOut writes the files of the worktree's commit and its index.
func (s *Store) checkOut(ctx context.Context, view string, w Worktree) error {
	_, err := s.git(ctx, call{
		gitDir: view, workTree: w.Dir,
		args: []string{"read-tree", "--reset", "-u", "worktrees/" + w.Session + "/HEAD"},
		env:  []string{"GIT_INDEX_FILE=" + filepath.Join(s.admin(w.Workspace, w.Session), "index")},
	})
	return err
}

// repairLink points the folder at its place in the mirror again, as after a move of the data folder.
func (s *Store) repairLink(w Worktree) error {
	admin, config := s.admin(w.Workspace, w.Session), s.sessionConfig(w)
	if err := s.handOver(w); err != nil {
		return err
	}
	return s.User.Do(func() error {
		return errors.Join(
			writeOnce(filepath.Join(w.Dir, ".git"), "gitdir: "+admin+"\n"),
			writeOnce(filepath.Join(admin, "gitdir"), filepath.Join(w.Dir, ".git")+"\n"),
			s.separate(w, config),
		)
	})
}

// relink gives a folder back its place in a mirror that lost it. The files in it stay as they are.
func (s *Store) relink(ctx context.Context, view string, w Worktree, tip string) error {
	admin := s.admin(w.Workspace, w.Session)
	if err := errors.Join(removeAll(admin), removeIfThere(s.coverNote(w.Session))); err != nil {
		return err
	}
	if err := s.User.Do(func() error { return os.MkdirAll(admin, 0o700) }); err != nil {
		return diskFull(err)
	}
	if tip == "" {
		if _, err := s.git(ctx, call{gitDir: view, args: []string{"update-ref", "refs/heads/" + w.Branch,
			w.Base}}); err != nil {
			return err
		}
	}
	err := errors.Join(
		s.User.Do(func() error { return writeOnce(filepath.Join(admin, "HEAD"), "ref: refs/heads/"+w.Branch+"\n") }),
		s.repairLink(w),
	)
	if err != nil {
		return diskFull(err)
	}
	_, err = s.git(ctx, call{
		gitDir: view, workTree: w.Dir,
		args: []string{"read-tree", "--reset", "worktrees/" + w.Session + "/HEAD"},
		env:  []string{"GIT_INDEX_FILE=" + filepath.Join(admin, "index")},
	})
	return err
}

// Remove removes a session's worktree with everything that was not committed, and its branch unless it is to
// be kept. With the branch kept, a later Add brings the worktree back as of its last commit. It is no error
// when there is nothing to remove.
func (s *Store) Remove(ctx context.Context, workspaceID, sessionID string, keepBranch bool) error {
	return s.RemoveIf(ctx, workspaceID, sessionID, keepBranch, func(context.Context) (bool, error) { return true, nil })
}

// RemoveIf is Remove if goes says so when its turn has come: nobody makes or removes a worktree of the workspace from
// then on until this one is gone.
func (s *Store) RemoveIf(ctx context.Context, workspaceID, sessionID string, keepBranch bool,
	goes func(context.Context) (bool, error)) error {
	if err := checkID(workspaceID, sessionID); err != nil {
		return err
	}
	unlock, err := s.lock(ctx, "tree-"+workspaceID)
	if err != nil {
		return err
	}
	defer unlock()
	if ok, err := goes(ctx); err != nil || !ok {
		return err
	}
	if err := s.remove(ctx, workspaceID, sessionID, keepBranch); err != nil {
		return fmt.Errorf("remove worktree of session %s: %w", sessionID, err)
	}
	return nil
}

func (s *Store) remove(ctx context.Context, workspaceID, sessionID string, keepBranch bool) error {
	err := errors.Join(removeAll(s.dir(sessionID)), removeAll(s.admin(workspaceID, sessionID)),
		removeIfThere(s.coverNote(sessionID)))
	if err != nil {
		return err
	}
	crash.Here(crash.FolderRemoved)
	view, err := s.view(workspaceID)
	if errors.Is(err, ErrNoMirror) || keepBranch {
		return nil // what the session configured and has on its stash stays for a worktree that comes back
	} else if err != nil {
		return err
	}
	if err := removeAll(s.common(workspaceID, sessionID)); err != nil {
		return err
	}
	branch, err := s.branchOf(ctx, view, sessionID)
	if err != nil {
		return err
	}
	if branch == "" {
		branch = SessionBranch(sessionID)
	}
	var edit strings.Builder
	for _, ref := range []string{"refs/heads/" + branch, branchRef(sessionID), baseRef(sessionID),
		snapshotRef(sessionID), pushedRef(sessionID)} {
		fmt.Fprintf(&edit, "option no-deref\ndelete %s\n", ref)
	}
	_, err = s.git(ctx, call{
		gitDir: view, args: []string{"update-ref", "--stdin"}, stdin: strings.NewReader(edit.String()),
	})
	return err
}

// sessions are the sessions with a worktree in the workspace's repository.
func (s *Store) sessions(workspaceID string) ([]string, error) {
	return folders(filepath.Join(s.mirror(workspaceID), "worktrees"))
}

// Worktrees are the sessions that have a folder, of all workspaces.
func (s *Store) Worktrees() ([]string, error) {
	return folders(filepath.Join(s.root(), "worktrees"))
}

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

// Drop removes everything of a workspace: its worktrees, branches and repository.
func (s *Store) Drop(ctx context.Context, workspaceID string) error {
	if err := checkID(workspaceID); err != nil {
		return err
	}
	for _, name := range []string{"sync-", "tree-", "spare-"} {
		unlock, err := s.lock(ctx, name+workspaceID)
		if err != nil {
			return err
		}
		defer unlock()
	}
	s.sweep(workspaceID)
	sessions, err := s.sessions(workspaceID)
	failed := []error{err}
	for _, id := range sessions {
		failed = append(failed, removeAll(s.dir(id)))
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("drop workspace %s: %w", workspaceID, err)
	}
	// The repository last: it alone knows which worktrees belong to the workspace.
	for _, path := range []string{s.Home(workspaceID), s.spare(workspaceID), s.own("views", workspaceID),
		s.own("exchanges", workspaceID),
		s.mirror(workspaceID) + ".damaged", s.mirror(workspaceID), s.originFile(workspaceID)} {
		failed = append(failed, removeAll(path))
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("drop workspace %s: %w", workspaceID, err)
	}
	return nil
}

// Env is what an agent's own Git needs in its environment: it never asks, it does not look for a repository
// above the worktrees, and it has a name for its commits: where the machine gives none, and in a sandbox (boxed), which
// does not show what gives one.
func (s *Store) Env(ctx context.Context, boxed bool) []string {
	env := []string{
		"GIT_TERMINAL_PROMPT=0",
		"GIT_EDITOR=true",
		"GIT_PAGER=cat",
		"GIT_CEILING_DIRECTORIES=" + filepath.Join(s.root(), "worktrees"),
	}
	program, err := s.program()
	if err != nil {
		return env
	}
	asking, cancel := context.WithTimeout(ctx, 2*time.Second) // that user may have a pipe there
	defer cancel()
	for _, who := range []struct{ key, value, names string }{{"user.name", "Carillon", "NAME"},
		{"user.email", "carillon@localhost", "EMAIL"}} {
		// The person's configuration, as the agent will find it; not the server's own.
		cmd := exec.CommandContext(asking, program, "config", "--get", who.key)
		if s.User != nil {
			// Processes of that user may read the environment of this one.
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.User.Home}
		}
		cmd.Dir, cmd.Stderr = string(filepath.Separator), io.Discard
		var out bytes.Buffer
		cmd.Stdout = &out
		if err = s.User.Start(cmd); err == nil {
			err = cmd.Wait()
		}
		value := strings.TrimSpace(out.String())
		if err != nil || value == "" {
			value, err = who.value, errors.New("the machine gives none")
		}
		if boxed || err != nil {
			env = append(env, "GIT_AUTHOR_"+who.names+"="+value, "GIT_COMMITTER_"+who.names+"="+value)
		}
	}
	return env
}
