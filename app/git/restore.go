package git

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"carillon/app/crash"
)

// Restore makes the worktree of a session that was on another worker, from the snapshot that the remote has of it. base
// is the commit that the session began from. found is false where the remote has no snapshot, or none that can be read.
// The mirror must be up to date. Errors to tell apart: those of Sync and Add.
func (s *Store) Restore(ctx context.Context, workspaceID, sessionID, base string,
	r Remote) (w Worktree, found bool, err error) {
	if err := checkID(workspaceID, sessionID); err != nil {
		return Worktree{}, false, err
	}
	repo, err := s.open(workspaceID)
	if err != nil {
		return Worktree{}, false, err
	}
	w = s.Worktree(workspaceID, sessionID, "", base)
	found, err = repo.restore(ctx, &w, r)
	if err != nil {
		return Worktree{}, false, fmt.Errorf("restore the session: %w", err)
	}
	return w, found, nil
}

// restore is Restore for an open repository. It sets the base of w where the repository does not have that commit.
func (repo *repository) restore(ctx context.Context, w *Worktree, r Remote) (bool, error) {
	ref := snapshotRef(w.Session)
	if there, err := repo.fetchSnapshot(ctx, r, ref); err != nil || !there {
		return false, err
	}
	found, err := repo.resolve(ctx, ref, w.Base)
	if err != nil || found[0] == "" {
		return false, err
	}
	crash.Here(crash.StateFetched)
	kept, err := repo.readSnapshot(ctx, found[0])
	if err != nil {
		return false, err
	}
	if found[1] == "" { // the base is not there: the remote's branch was rewritten
		if w.Base, err = repo.forkPoint(ctx, kept.commit, kept.head); err != nil {
			return false, err
		}
	}
	// Nothing of an interrupted restore is kept: linkWorktree starts again where there is no reference for the base.
	if err := removeAll(repo.commonDir(w.Workspace, w.Session)); err != nil {
		return false, err
	}
	tip := cmp.Or(kept.branches["refs/heads/"+w.Branch], kept.head)
	delete(kept.branches, "refs/heads/"+w.Branch)
	if _, err := repo.git(ctx, "update-ref", "refs/heads/"+w.Branch, tip); err != nil {
		return false, err
	}
	if _, err := repo.linkWorktree(ctx, w, ""); err != nil {
		return false, err
	}
	if tip != kept.head { // its worktree stood elsewhere than its branch
		at := filepath.Join(repo.adminDir(w.Workspace, w.Session), "HEAD")
		if err := repo.user.Do(func() error { return writeAtomic(at, kept.head+"\n") }); err != nil {
			return false, diskFull(err)
		}
	}
	if err := repo.restoreBranches(ctx, *w, kept.branches); err != nil {
		return false, err
	}
	if err := repo.restoreFiles(ctx, *w, kept); err != nil {
		return false, err
	}
	if err := repo.restoreStash(*w, kept.stashes); err != nil {
		return false, err
	}
	// Written last, as Add does: a session with this reference is complete.
	_, err = repo.git(ctx, "update-ref", baseRef(w.Session), w.Base)
	return err == nil, err
}

// savedState is the state of a session in a snapshot.
type savedState struct {
	commit   string            // of the snapshot itself, with the files
	head     string            // the commit that the worktree stood at
	stashes  []string          // commits on the stash, newest first
	branches map[string]string // full names of branches, and their commits
}

// readSnapshot reads the message of a snapshot, which names its parents.
func (repo *repository) readSnapshot(ctx context.Context, commit string) (savedState, error) {
	kept := savedState{commit: commit, head: commit, branches: map[string]string{}}
	out, err := repo.run(ctx, call{gitDir: repo.view, args: []string{"cat-file", "commit", commit}, limit: 1 << 20})
	if err != nil {
		return kept, err
	}
	_, message, _ := strings.Cut(string(out), "\n\n")
	for line := range strings.Lines(message) {
		field := strings.Fields(line)
		switch n := len(field); {
		case n < 2 || !isSHA(field[n-1]):
		case field[0] == "head":
			kept.head = field[n-1]
		case field[0] == "stash":
			kept.stashes = append(kept.stashes, field[n-1])
		case field[0] == "branch" && n == 3:
			kept.branches["refs/heads/"+field[1]] = field[2]
		}
	}
	return kept, nil
}

// restoreBranches makes the branches that the session's agent had made. One that is here already stays as it is.
func (repo *repository) restoreBranches(ctx context.Context, w Worktree, branches map[string]string) error {
	for name, sha := range branches {
		if _, err := repo.git(ctx, "check-ref-format", name); err != nil {
			continue
		}
		if _, err := repo.git(ctx, "update-ref", name, sha, zeroID(sha)); err != nil {
			continue
		}
		if err := repo.writeReflog(w, name, []string{sha}); err != nil {
			return err
		}
	}
	return nil
}

// restoreFiles writes the files of the snapshot, and then the index of its head: uncommitted changes are uncommitted
// again.
func (repo *repository) restoreFiles(ctx context.Context, w Worktree, kept savedState) error {
	index := []string{"GIT_INDEX_FILE=" + repo.indexFile(w)}
	for _, args := range [][]string{{"read-tree", "--reset", "-u", kept.commit}, {"read-tree", "--reset", kept.head}} {
		if _, err := repo.run(ctx, call{gitDir: repo.view, workTree: w.Dir, args: args, env: index}); err != nil {
			return err
		}
	}
	return nil
}

// fetchSnapshot brings a session's snapshot from the remote. It reports whether the remote has one.
func (repo *repository) fetchSnapshot(ctx context.Context, r Remote, ref string) (bool, error) {
	if r.URL == "" {
		return false, nil
	}
	at, err := repo.remoteURL(r)
	if err != nil {
		return false, err
	}
	env, err := repo.remoteEnv(ctx, r)
	if err != nil {
		return false, err
	}
	exchange, err := repo.prepareExchange(ctx)
	if err != nil {
		return false, err
	}
	run := func(at string, args ...string) ([]byte, error) {
		out, err := repo.run(ctx, call{gitDir: exchange, asServer: true, args: args, env: env, secrets: r.secrets()})
		return out, remoteError(err)
	}
	out, err := run(at, "ls-remote", "--quiet", "--", at, ref)
	if errors.Is(err, ErrMoved) && !strings.HasSuffix(at, ".git") {
		at += ".git"
		out, err = run(at, "ls-remote", "--quiet", "--", at, ref)
	}
	if err != nil || len(out) == 0 {
		return false, err
	}
	sha, _, _ := strings.Cut(string(out), "\t")
	// The exchange gets no reference to it: each fetch would ask the remote for it.
	_, err = run(at, "-c", "fetch.unpackLimit=1", "fetch", "--quiet", "--no-tags", "--force", "--no-recurse-submodules",
		"--no-write-fetch-head", "--no-auto-gc", "--", at, ref)
	if err == nil {
		err = repo.moveObjects(ctx, maxUnpacked)
	}
	if err == nil {
		_, err = repo.git(ctx, "update-ref", ref, sha)
	}
	return err == nil, err
}

// restoreStash gives the session's worktree back what was on its stash, newest first.
func (repo *repository) restoreStash(w Worktree, stashed []string) error {
	if len(stashed) == 0 {
		return nil
	}
	ref := filepath.Join(repo.commonDir(w.Workspace, w.Session), "refs", "stash")
	return errors.Join(repo.writeReflog(w, "refs/stash", stashed),
		diskFull(repo.user.Do(func() error { return writeAtomic(ref, stashed[0]+"\n") })))
}

// writeReflog writes the session's own log of a reference. The newest of the commits comes first.
func (repo *repository) writeReflog(w Worktree, ref string, commits []string) error {
	var log strings.Builder
	was := zeroID(commits[0])
	for _, sha := range slices.Backward(commits) {
		fmt.Fprintf(&log, "%s %s Carillon <carillon@localhost> 946684800 +0000\tOn %s: from another worker\n", was, sha,
			w.Branch)
		was = sha
	}
	path := filepath.Join(repo.commonDir(w.Workspace, w.Session), "logs", filepath.FromSlash(ref))
	return diskFull(repo.user.Do(func() error {
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), writeAtomic(path, log.String()))
	}))
}
