package git

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
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
	repo, err := s.open(workspaceID)
	if err != nil {
		return Worktree{}, err
	}
	if err := repo.add(ctx, &w, base); err != nil {
		return Worktree{}, fmt.Errorf("make the worktree: %w", asDamaged(err))
	}
	return w, nil
}

func (repo *repository) add(ctx context.Context, w *Worktree, base string) error {
	whole, err := repo.linkWorktree(ctx, w, base)
	if err != nil || whole {
		return err
	}
	// The files are written without the lock, so that several worktrees can be made in parallel.
	crash.Here(crash.TreeLinked)
	if err := repo.checkOut(ctx, *w); err != nil {
		return err
	}
	crash.Here(crash.TreeFilled)
	// Written last: a worktree with this reference is complete. It also keeps the base from being collected.
	_, err = repo.git(ctx, "update-ref", baseRef(w.Session), w.Base)
	return err
}

func baseRef(sessionID string) string   { return "refs/carillon/base/" + sessionID }
func branchRef(sessionID string) string { return "refs/carillon/branch/" + sessionID }

// linkWorktree makes branch and folder, without files, and sets the branch and base of w. Whole is true when the
// worktree is there already; it keeps its base. A new one gets the base of w, or where that is empty the commit of the
// base branch.
func (repo *repository) linkWorktree(ctx context.Context, w *Worktree, base string) (whole bool, err error) {
	unlock, err := repo.lock(ctx, "tree")
	if err != nil {
		return false, err
	}
	defer unlock()
	if w.Branch != SessionBranch(w.Session) {
		if _, err := repo.run(ctx, call{args: []string{"check-ref-format", "--branch", w.Branch}}); err != nil {
			return false, fmt.Errorf("“%s” cannot be the name of a branch", w.Branch)
		}
	}
	if was, err := repo.sessionBranch(ctx, w.Session); err != nil {
		return false, err
	} else if was != "" {
		w.Branch = was
	}
	found, err := repo.resolve(ctx, baseRef(w.Session), "refs/heads/"+w.Branch, "worktrees/"+w.Session+"/HEAD")
	if err != nil {
		return false, err
	}
	started, tip, head := found[0], found[1], found[2]
	if w.Base = cmp.Or(started, w.Base); w.Base == "" {
		if w.Base, err = repo.branchCommit(ctx, base); err != nil {
			return false, err
		}
		if tip != "" { // the session's branch exists: its base is where it left the base branch
			if w.Base, err = repo.forkPoint(ctx, tip, w.Base); err != nil {
				return false, err
			}
		}
	}
	admin := repo.adminDir(w.Workspace, w.Session)
	switch folder := isFolder(w.Dir); {
	case started != "" && folder && isFolder(admin) && (head != "" || exists(filepath.Join(admin, "index"))):
		return true, repo.reuse(ctx, *w, tip)
	case started != "" && folder:
		return true, repo.relink(ctx, *w, tip)
	}
	return false, repo.linkNew(ctx, *w, tip)
}

// reuse makes a worktree usable again after its last use, which may have been interrupted.
func (repo *repository) reuse(ctx context.Context, w Worktree, tip string) error {
	// agents are killed, and their git with them
	repo.removeStaleLock(filepath.Join(repo.adminDir(w.Workspace, w.Session), "index.lock"))
	if err := repo.uncover(ctx, w); err != nil { // servers are killed as well
		return err
	}
	if tip == "" { // the agent removed its branch, or it was set aside
		if err := repo.makeBranch(ctx, w); err != nil {
			return err
		}
	}
	return repo.repairLink(w)
}

// linkNew makes branch and folder where there is nothing yet, or only the rest of an interrupted Add, or only the
// branch.
func (repo *repository) linkNew(ctx context.Context, w Worktree, tip string) error {
	err := errors.Join(removeAll(w.Dir), removeAll(repo.adminDir(w.Workspace, w.Session)),
		removeIfExists(repo.coverFile(w.Session)))
	if err != nil {
		return err
	}
	if tip == "" { // not by git worktree: a lock that it meets after it has made the branch would leave half of both
		if err := repo.makeBranch(ctx, w); err != nil {
			return err
		}
	}
	crash.Here(crash.TreeBranched)
	// The folder of all worktrees belongs to the server: the user of agents cannot make a folder in it.
	if err := errors.Join(os.MkdirAll(w.Dir, 0o700), repo.user.Own(w.Dir)); err != nil {
		return diskFull(err)
	}
	if _, err := repo.run(ctx, call{
		gitDir: repo.view, folders: []string{w.Dir},
		args: []string{"worktree", "add", "--quiet", "--no-checkout", "--", w.Dir, w.Branch},
	}); err != nil {
		return err
	}
	// Git has written the path of the view into the worktree. The view belongs to the server, and a sandbox hides it.
	if err := errors.Join(repo.takeSpare(w), repo.repairLink(w)); err != nil {
		return err
	}
	_, err = repo.git(ctx, "symbolic-ref", branchRef(w.Session), "refs/heads/"+w.Branch)
	return err
}

// makeBranch makes the session's branch at its base. A branch that is there already is an error.
func (repo *repository) makeBranch(ctx context.Context, w Worktree) error {
	_, err := repo.git(ctx, "update-ref", "refs/heads/"+w.Branch, w.Base, zeroID(w.Base))
	return err
}

// forkPoint is the commit where a branch left another one; where they have no commit in common, the tip of the other.
func (repo *repository) forkPoint(ctx context.Context, tip, other string) (string, error) {
	out, err := repo.git(ctx, "merge-base", tip, other)
	var f *failure
	if errors.As(err, &f) && f.exit == 1 {
		return other, nil
	}
	return strings.TrimSpace(string(out)), err
}

// HeadBranch is the name of the branch that a worktree is on: the session's own, or another one that its agent switched
// to. It is empty where the worktree is on a commit alone, and where it cannot be read.
func (s *Store) HeadBranch(w Worktree) string {
	g := s.runner()
	text, err := g.readAsUser(filepath.Join(g.adminDir(w.Workspace, w.Session), "HEAD"))
	if err != nil {
		return ""
	}
	name, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "ref: refs/heads/")
	if !ok {
		return ""
	}
	return name
}

// sessionBranch is the branch that the session got when its worktree was made; empty when it has none yet.
func (repo *repository) sessionBranch(ctx context.Context, sessionID string) (string, error) {
	out, err := repo.git(ctx, "symbolic-ref", "--quiet", branchRef(sessionID))
	var f *failure
	if errors.As(err, &f) && f.exit == 1 {
		return "", nil
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "refs/heads/"), err
}

// checkOut writes the files of the worktree's commit and its index.
func (repo *repository) checkOut(ctx context.Context, w Worktree) error {
	_, err := repo.run(ctx, call{
		gitDir: repo.view, workTree: w.Dir,
		args: []string{"read-tree", "--reset", "-u", "worktrees/" + w.Session + "/HEAD"},
		env:  []string{"GIT_INDEX_FILE=" + repo.indexFile(w)},
	})
	return err
}

// repairLink makes the worktree and its folder of Git in the mirror point at each other, as after a move of the data
// folder.
func (repo *repository) repairLink(w Worktree) error {
	admin, config := repo.adminDir(w.Workspace, w.Session), repo.sessionConfig(w)
	if err := repo.handOver(w); err != nil {
		return err
	}
	return repo.user.Do(func() error {
		return errors.Join(
			writeAtomic(filepath.Join(w.Dir, ".git"), "gitdir: "+admin+"\n"),
			writeAtomic(filepath.Join(admin, "gitdir"), filepath.Join(w.Dir, ".git")+"\n"),
			repo.makeSessionDir(w, config),
		)
	})
}

// relink makes a worktree's folder of Git in the mirror again, where that was lost. The worktree's files stay.
func (repo *repository) relink(ctx context.Context, w Worktree, tip string) error {
	admin := repo.adminDir(w.Workspace, w.Session)
	if err := errors.Join(removeAll(admin), removeIfExists(repo.coverFile(w.Session))); err != nil {
		return err
	}
	if err := repo.user.Do(func() error { return os.MkdirAll(admin, 0o700) }); err != nil {
		return diskFull(err)
	}
	if tip == "" {
		if _, err := repo.git(ctx, "update-ref", "refs/heads/"+w.Branch, w.Base); err != nil {
			return err
		}
	}
	err := errors.Join(
		repo.user.Do(func() error {
			return writeAtomic(filepath.Join(admin, "HEAD"), "ref: refs/heads/"+w.Branch+"\n")
		}),
		repo.repairLink(w),
	)
	if err != nil {
		return diskFull(err)
	}
	_, err = repo.run(ctx, call{
		gitDir: repo.view, workTree: w.Dir,
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

// RemoveIf is Remove, provided that confirm returns true. It calls confirm under the lock of the workspace's worktrees,
// so that no other call makes or removes one meanwhile.
func (s *Store) RemoveIf(ctx context.Context, workspaceID, sessionID string, keepBranch bool,
	confirm func(context.Context) (bool, error)) error {
	if err := checkID(workspaceID, sessionID); err != nil {
		return err
	}
	unlock, err := s.runner().lock(ctx, "tree-"+workspaceID)
	if err != nil {
		return err
	}
	defer unlock()
	if ok, err := confirm(ctx); err != nil || !ok {
		return err
	}
	if err := s.remove(ctx, workspaceID, sessionID, keepBranch); err != nil {
		return fmt.Errorf("remove worktree of session %s: %w", sessionID, err)
	}
	return nil
}

func (s *Store) remove(ctx context.Context, workspaceID, sessionID string, keepBranch bool) error {
	paths := s.layout()
	err := errors.Join(removeAll(paths.worktreeDir(sessionID)), removeAll(paths.adminDir(workspaceID, sessionID)),
		removeIfExists(paths.coverFile(sessionID)))
	if err != nil {
		return err
	}
	crash.Here(crash.FolderRemoved)
	repo, err := s.open(workspaceID)
	if errors.Is(err, ErrNoMirror) || keepBranch {
		return nil // its configuration and its stash stay for a worktree that comes back
	} else if err != nil {
		return err
	}
	if err := removeAll(paths.commonDir(workspaceID, sessionID)); err != nil {
		return err
	}
	branch, err := repo.sessionBranch(ctx, sessionID)
	if err != nil {
		return err
	}
	var edit strings.Builder
	for _, ref := range []string{"refs/heads/" + cmp.Or(branch, SessionBranch(sessionID)), branchRef(sessionID),
		baseRef(sessionID), snapshotRef(sessionID), pushedRef(sessionID)} {
		fmt.Fprintf(&edit, "option no-deref\ndelete %s\n", ref)
	}
	return repo.updateRefs(ctx, edit.String())
}

// Worktrees are the sessions that have a folder, of all workspaces.
func (s *Store) Worktrees() ([]string, error) {
	return folders(filepath.Join(s.layout().root, "worktrees"))
}

// Drop removes everything of a workspace: its worktrees, branches and repository.
func (s *Store) Drop(ctx context.Context, workspaceID string) error {
	if err := checkID(workspaceID); err != nil {
		return err
	}
	g := s.runner()
	for _, name := range []string{"sync-", "tree-", "spare-"} {
		unlock, err := g.lock(ctx, name+workspaceID)
		if err != nil {
			return err
		}
		defer unlock()
	}
	g.sweep(workspaceID)
	sessions, err := g.sessions(workspaceID)
	failed := []error{err}
	for _, id := range sessions {
		failed = append(failed, removeAll(g.worktreeDir(id)))
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("drop workspace %s: %w", workspaceID, err)
	}
	// The repository is removed last: only there is it known which worktrees belong to the workspace.
	for _, path := range []string{s.Home(workspaceID), g.spareDir(workspaceID), g.viewDir(workspaceID),
		g.exchangeDir(workspaceID), g.mirrorDir(workspaceID) + ".damaged", g.mirrorDir(workspaceID),
		g.originFile(workspaceID)} {
		failed = append(failed, removeAll(path))
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("drop workspace %s: %w", workspaceID, err)
	}
	return nil
}

// Env is the environment that an agent's own Git needs: Git asks no questions, does not search for a repository above
// the worktrees, and has an author for its commits where the machine configures none, or where a sandbox (boxed) hides
// the configuration.
func (s *Store) Env(ctx context.Context, boxed bool) []string {
	env := []string{
		"GIT_TERMINAL_PROMPT=0",
		"GIT_EDITOR=true",
		"GIT_PAGER=cat",
		"GIT_CEILING_DIRECTORIES=" + filepath.Join(s.layout().root, "worktrees"),
	}
	program, err := s.runner().findProgram()
	if err != nil {
		return env
	}
	asking, cancel := context.WithTimeout(ctx, 2*time.Second) // the user's configuration may be a pipe
	defer cancel()
	for _, who := range []struct{ key, value, names string }{{"user.name", "Carillon", "NAME"},
		{"user.email", "carillon@localhost", "EMAIL"}} {
		// The configuration that the agent will find, not that of the server's Git.
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
