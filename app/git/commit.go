package git

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ErrConflicts says that a merge left conflicts in the worktree, which a person or agent has to resolve.
var ErrConflicts = errors.New("the worktree has unsettled conflicts")

// ErrLargeFiles says that changed files belong to Git LFS, whose program the server does not run.
var ErrLargeFiles = errors.New("changed files belong to Git LFS and have to be committed in the session")

// Commit puts everything uncommitted into one commit on what the worktree has checked out, and returns the
// worktree's commit: the new one, or the one it had when there is nothing to commit. Nested repositories stay
// out of it. Empty names mean Carillon.
// Errors to tell apart: ErrConflicts, ErrLargeFiles, ErrNoWorktree.
func (s *Store) Commit(ctx context.Context, w Worktree, message, authorName, authorEmail string) (string, error) {
	in, err := s.inspect(ctx, w)
	if err != nil {
		return "", fmt.Errorf("commit: %w", err)
	}
	defer in.close()
	if !in.uncommitted {
		return in.head, nil
	}
	name, email := cmp.Or(authorName, "Carillon"), cmp.Or(authorEmail, "carillon@localhost")
	sha, err := in.commit(ctx, message, name, email)
	if err != nil {
		return "", fmt.Errorf("commit: %w", err)
	}
	return sha, nil
}

// commit is Commit where something is uncommitted.
func (in *inspection) commit(ctx context.Context, message, name, email string) (string, error) {
	if err := in.checkCommittable(); err != nil {
		return "", err
	}
	paths := append(in.untracked, in.changed...)
	if err := in.refuseLFS(ctx, paths); err != nil {
		return "", err
	}
	tree, err := in.writeTree(ctx, paths)
	if err != nil {
		return "", err
	}
	merged := in.mergeHeads()
	if in.head != "" && len(merged) == 0 {
		out, err := in.repo.git(ctx, "rev-parse", "--verify", in.head+"^{tree}")
		if err != nil || strings.TrimSpace(string(out)) == tree {
			return in.head, err // what is uncommitted cannot be committed, such as a nested repository
		}
	}
	args := []string{"commit-tree", "-F", "-"}
	for _, parent := range append([]string{in.head}, merged...) {
		if isSHA(parent) {
			args = append(args, "-p", parent)
		}
	}
	out, err := in.repo.run(ctx, call{
		gitDir: in.repo.view, args: append(args, tree),
		stdin: strings.NewReader(cleanText(message)),
		env:   []string{"GIT_AUTHOR_NAME=" + oneLine(name), "GIT_AUTHOR_EMAIL=" + oneLine(email)},
	})
	if err != nil {
		return "", err
	}
	sha := strings.TrimSpace(string(out))
	return sha, in.moveHead(ctx, sha)
}

// checkCommittable is an error where the worktree has changes that a commit cannot or should not hold.
func (in *inspection) checkCommittable() error {
	switch {
	case in.more > 0:
		return fmt.Errorf("over %d new files are not ignored: that is hardly meant", maxFiles)
	case len(in.conflicts) > 0:
		return ErrConflicts
	case len(in.large) > 0:
		return fmt.Errorf("%s has more than 1 GiB: that is hardly meant", in.large[0].Path)
	case len(in.unreadable) > 0:
		return fmt.Errorf("%s may be read by nobody: that is hardly meant", in.unreadable[0].Path)
	}
	return nil
}

// writeTree makes a tree of the worktree's commit with the files at paths as they are now, and returns its id.
func (in *inspection) writeTree(ctx context.Context, paths []string) (string, error) {
	if len(paths) > 0 {
		names := strings.NewReader(strings.Join(paths, "\x00") + "\x00")
		if _, err := in.git(ctx, names, "update-index", "-z", "--add", "--remove", "--stdin"); err != nil {
			return "", err
		}
	}
	out, err := in.git(ctx, nil, "write-tree")
	return strings.TrimSpace(string(out)), err
}

// moveHead lets the worktree's HEAD, and the branch that it stands for, name a new commit, ends a merge under way, and
// gives the worktree the index of that commit.
func (in *inspection) moveHead(ctx context.Context, sha string) error {
	admin := in.repo.adminDir(in.w.Workspace, in.w.Session)
	err := in.repo.user.Do(func() error { return errors.Join(checkOnBranch(admin), removeForeignLog(admin)) })
	if err != nil {
		return err
	}
	_, err = in.repo.git(ctx, "update-ref", "-m", "commit by Carillon", "worktrees/"+in.w.Session+"/HEAD", sha,
		cmp.Or(in.head, zeroID(sha)))
	if err != nil {
		return err
	}
	return in.repo.user.Do(func() error {
		for _, left := range []string{"MERGE_HEAD", "MERGE_MSG", "MERGE_MODE", "CHERRY_PICK_HEAD", "REVERT_HEAD"} {
			_ = os.Remove(filepath.Join(admin, left))
		}
		return replaceIndex(in.index, filepath.Join(admin, "index"))
	})
}

// checkOnBranch refuses a HEAD that names a reference which is not a branch: a commit would move the reference. An
// agent may write its HEAD, and may not write Carillon's own references.
func checkOnBranch(admin string) error {
	text, err := readSmall(filepath.Join(admin, "HEAD"))
	if err != nil {
		return err
	}
	name, symbolic := strings.CutPrefix(strings.TrimSpace(string(text)), "ref:")
	if name = strings.TrimSpace(name); symbolic && !strings.HasPrefix(name, "refs/heads/") {
		return fmt.Errorf("the worktree stands at %s, which is not a branch", cleanText(name))
	}
	return nil
}

// refuseLFS keeps the contents of a file that belongs to Git LFS from being committed in place of its pointer.
func (in *inspection) refuseLFS(ctx context.Context, paths []string) error {
	if len(paths) == 0 {
		return nil
	}
	names := strings.NewReader(strings.Join(paths, "\x00") + "\x00")
	out, err := in.git(ctx, names, "check-attr", "-z", "--stdin", "filter")
	if err != nil {
		return err
	}
	field := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	for i := 0; i+2 < len(field); i += 3 {
		if field[i+2] == "lfs" && exists(filepath.Join(in.w.Dir, field[i])) {
			return fmt.Errorf("%w: %s", ErrLargeFiles, field[i])
		}
	}
	return nil
}

// mergeHeads are the commits that a merge under way brings in.
func (in *inspection) mergeHeads() []string {
	text, err := in.repo.readAsUser(filepath.Join(in.repo.adminDir(in.w.Workspace, in.w.Session), "MERGE_HEAD"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(text))
}

func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == '<' || r == '>' {
			return ' '
		}
		return r
	}, cleanText(text))
}
