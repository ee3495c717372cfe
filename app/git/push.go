package git

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ErrConflicts says that a merge left conflicts in the worktree, which a person or agent has to settle.
var ErrConflicts = errors.New("the worktree has unsettled conflicts")

// ErrLargeFiles says that changed files belong to Git LFS, whose program the server does not run.
var ErrLargeFiles = errors.New("changed files belong to Git LFS and have to be committed in the session")

// Commit puts everything uncommitted into one commit on what the worktree has checked out, and returns the
// worktree's commit: the new one, or the one it had when there is nothing to commit. Nested repositories stay
// out of it. Empty names mean Carillon.
// Errors to tell apart: ErrConflicts, ErrLargeFiles, ErrNoWorktree.
func (s *Store) Commit(ctx context.Context, w Worktree, message, authorName, authorEmail string) (string, error) {
	sha, err := s.commit(ctx, w, message, cmp.Or(authorName, "Carillon"), cmp.Or(authorEmail, "carillon@localhost"))
	if err != nil {
		return "", fmt.Errorf("commit: %w", err)
	}
	return sha, nil
}

func (s *Store) commit(ctx context.Context, w Worktree, message, name, email string) (string, error) {
	look, err := s.look(ctx, w)
	if err != nil {
		return "", err
	}
	defer look.close()
	if !look.uncommitted {
		return look.head, nil
	}
	if look.more > 0 {
		return "", fmt.Errorf("over %d new files are not ignored: that is hardly meant", mostFiles)
	}
	if len(look.conflicts) > 0 {
		return "", ErrConflicts
	}
	if len(look.large) > 0 {
		return "", fmt.Errorf("%s has more than 1 GiB: that is hardly meant", look.large[0].Path)
	}
	if len(look.closed) > 0 {
		return "", fmt.Errorf("%s may be read by nobody: that is hardly meant", look.closed[0].Path)
	}
	paths := strings.Join(append(look.untracked, look.changed...), "\x00")
	if err := look.refuseLarge(ctx, paths); err != nil {
		return "", err
	}
	if paths != "" {
		if _, err := look.git(ctx, strings.NewReader(paths+"\x00"), "update-index", "-z", "--add", "--remove",
			"--stdin"); err != nil {
			return "", err
		}
	}
	out, err := look.git(ctx, nil, "write-tree")
	if err != nil {
		return "", err
	}
	tree := strings.TrimSpace(string(out))
	admin := s.admin(w.Workspace, w.Session)
	merged := s.mergeHeads(admin)
	if look.head != "" && len(merged) == 0 {
		out, err := s.git(ctx, call{gitDir: look.view, args: []string{"rev-parse", "--verify", look.head + "^{tree}"}})
		if err != nil || strings.TrimSpace(string(out)) == tree {
			return look.head, err // what is uncommitted cannot be committed, such as a nested repository
		}
	}
	args := []string{"commit-tree", "-F", "-"}
	for _, parent := range append([]string{look.head}, merged...) {
		if isSHA(parent) {
			args = append(args, "-p", parent)
		}
	}
	out, err = s.git(ctx, call{
		gitDir: look.view, args: append(args, tree),
		stdin: strings.NewReader(cleanText(message)),
		env:   []string{"GIT_AUTHOR_NAME=" + oneLine(name), "GIT_AUTHOR_EMAIL=" + oneLine(email)},
	})
	if err != nil {
		return "", err
	}
	sha := strings.TrimSpace(string(out))
	if err := s.User.Do(func() error { return errors.Join(onBranch(admin), s.ownLog(admin)) }); err != nil {
		return "", err
	}
	_, err = s.git(ctx, call{
		gitDir: look.view,
		args: []string{"update-ref", "-m", "commit by Carillon", "worktrees/" + w.Session + "/HEAD", sha,
			cmp.Or(look.head, zero(sha))},
	})
	if err != nil {
		return "", err
	}
	return sha, s.User.Do(func() error {
		for _, left := range []string{"MERGE_HEAD", "MERGE_MSG", "MERGE_MODE", "CHERRY_PICK_HEAD", "REVERT_HEAD"} {
			_ = os.Remove(filepath.Join(admin, left))
		}
		return replaceIndex(look.index, filepath.Join(admin, "index"))
	})
}

// onBranch refuses a HEAD that stands for what is no branch: a commit would move that. An agent may write its HEAD, and
// may not write what Carillon notes in the repository.
func onBranch(admin string) error {
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

// refuseLarge keeps the contents of a file that belongs to Git LFS from being committed in place of its pointer.
func (l *look) refuseLarge(ctx context.Context, paths string) error {
	if paths == "" {
		return nil
	}
	out, err := l.git(ctx, strings.NewReader(paths+"\x00"), "check-attr", "-z", "--stdin", "filter")
	if err != nil {
		return err
	}
	field := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	for i := 0; i+2 < len(field); i += 3 {
		if field[i+2] == "lfs" && exists(filepath.Join(l.dir, field[i])) {
			return fmt.Errorf("%w: %s", ErrLargeFiles, field[i])
		}
	}
	return nil
}

// mergeHeads are the commits that a merge under way brings in.
func (s *Store) mergeHeads(admin string) []string {
	text, err := s.readTheirs(filepath.Join(admin, "MERGE_HEAD"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(text))
}

// replaceIndex puts an index in place as git does: whoever holds the lock keeps it.
func replaceIndex(from, to string) error {
	in, err := openPlain(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	lock, err := os.OpenFile(to+".lock", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, os.ErrExist) {
		// The agent's git is at work. The commit stands; the agent's next look sees the files as staged.
		return nil
	} else if err != nil {
		return diskFull(err)
	}
	_, err = io.Copy(lock, in)
	if err = errors.Join(err, lock.Close(), os.Chtimes(to+".lock", info.ModTime(), info.ModTime())); err != nil {
		return errors.Join(diskFull(err), os.Remove(to+".lock"))
	}
	return os.Rename(to+".lock", to)
}

func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == '<' || r == '>' {
			return ' '
		}
		return r
	}, cleanText(text))
}

// Push brings what the worktree has checked out to a branch of the remote; an empty branch is the session's.
// It never overwrites: a branch that has other commits is ErrRejected, as is a rule of the remote's against
// the push. Other errors to tell apart: those of Probe.
func (s *Store) Push(ctx context.Context, w Worktree, r Remote, branch string) error {
	at, err := s.locate(r)
	if err != nil {
		return err
	}
	if err := checkID(w.Workspace, w.Session); err != nil {
		return err
	}
	view, err := s.view(w.Workspace)
	if err != nil {
		return err
	}
	if err := s.ownObjects(s.mirror(w.Workspace), true); err != nil {
		return err
	}
	branch = cmp.Or(branch, w.Branch)
	if _, err := s.git(ctx, call{args: []string{"check-ref-format", "--branch", branch}}); err != nil {
		return fmt.Errorf("“%s” cannot be the name of a branch", branch)
	}
	found, err := s.resolve(ctx, view, "worktrees/"+w.Session+"/HEAD", "refs/heads/"+w.Branch)
	if err != nil {
		return err
	}
	head := cmp.Or(found[0], found[1]) // without a worktree, what its branch kept
	if head == "" {
		return fmt.Errorf("push the session: %w", ErrNoWorktree)
	}
	if err := s.push(ctx, w.Workspace, r, at, head, "refs/heads/"+branch); err != nil {
		return fmt.Errorf("push to %s: %w", branch, err)
	}
	return nil
}

// push brings a commit of a workspace's repository to a reference of the remote at a place, or to the longer form of
// its URL where it redirects there. A + before the reference overwrites it.
func (s *Store) push(ctx context.Context, id string, r Remote, at, commit, ref string) error {
	exchange, err := s.exchange(ctx, id, s.mirror(id))
	if err != nil {
		return err
	}
	if err := s.readAll(ctx, id, exchange, commit); err != nil {
		return err
	}
	ref, force := strings.CutPrefix(ref, "+")
	spec := commit + ":" + ref
	if force {
		spec = "+" + spec
	}
	way, err := s.way(ctx, r)
	if err != nil {
		return err
	}
	once := func(at string) error {
		_, err := s.git(ctx, call{
			gitDir: exchange, asServer: true,
			args: []string{"push", "--quiet", "--no-verify", "--no-follow-tags", "--recurse-submodules=no", "--", at,
				spec},
			// A path's own hooks run at a push, so git's check of who owns it must not be relaxed.
			env:     append(slices.Clone(way), "GIT_CONFIG_GLOBAL=/dev/null", "HOME="+s.own("empty")),
			secrets: r.secrets(),
		})
		return remoteError(err)
	}
	err = once(at)
	if errors.Is(err, ErrMoved) && !strings.HasSuffix(at, ".git") {
		err = once(at + ".git")
	}
	return err
}

// readAll reads what a push of a commit sends with the rights of the user of agents: the Git that reaches the remote
// has the server's, and would follow a link to an object that the user may not read. An object that was read once is
// told by its name. What the remote's branches hold was fetched from there.
func (s *Store) readAll(ctx context.Context, id, exchange, commit string) error {
	if s.User == nil {
		return nil
	}
	view, err := s.view(id)
	if err != nil {
		return err
	}
	there, err := s.branches(ctx, call{gitDir: exchange, asServer: true})
	if err != nil {
		return err
	}
	here, err := s.branches(ctx, call{gitDir: view})
	if err != nil {
		return err
	}
	revisions := commit + "\n"
	for name, sha := range there {
		if isSHA(sha) && here[name] == sha {
			revisions += "^" + sha + "\n"
		}
	}
	_, err = s.git(ctx, call{
		gitDir: view, args: []string{"pack-objects", "--quiet", "--revs", "--stdout", "--window=0"},
		stdin: strings.NewReader(revisions), discard: true,
	})
	return err
}
