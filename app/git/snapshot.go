package git

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"carillon/app/crash"
)

// A snapshot is a commit of all that a session has: its tree is the files of the worktree, its parents are what the
// worktree stands at, the session's branch, the commits on the stash and the branches that the agent made. It is made
// beside the worktree, whose HEAD and index do not move, and stands under a name of its own, so that it can go to
// another worker by the remote.

func snapshotRef(sessionID string) string { return "refs/carillon/sessions/" + sessionID }

// pushedRef is the last snapshot that was brought to the remote.
func pushedRef(sessionID string) string { return "refs/carillon/pushed/" + sessionID }

// Snapshot is what was kept of a session after a turn.
type Snapshot struct {
	Commit string
	// New is whether it differs from the one before.
	New bool
	// Pushed is whether PushSnapshot has brought it to the remote.
	Pushed bool
	// Left are the changes that it does not hold, as parts of a sentence: "2 ignored files".
	Left []string
}

// Snapshot keeps the state of the worktree in a commit of its own. Errors to tell apart: ErrNoWorktree, ErrNoMirror,
// ErrLocked.
func (s *Store) Snapshot(ctx context.Context, w Worktree) (Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, mostReading)
	defer cancel()
	kept, err := s.snapshot(ctx, w)
	if err != nil {
		return Snapshot{}, fmt.Errorf("keep the state of the session: %w", err)
	}
	return kept, nil
}

// MovedOn reports whether the session's state is another than the last snapshot of it. Errors to tell apart: those of
// Snapshot.
func (s *Store) MovedOn(ctx context.Context, w Worktree) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, mostReading)
	defer cancel()
	now, err := s.state(ctx, w)
	if err != nil {
		return false, fmt.Errorf("look at the state of the session: %w", err)
	}
	return now.New, nil
}

func (s *Store) snapshot(ctx context.Context, w Worktree) (Snapshot, error) {
	kept, err := s.state(ctx, w)
	if err != nil || !kept.New {
		return kept, err
	}
	view, err := s.view(w.Workspace)
	if err != nil {
		return kept, err
	}
	crash.Here(crash.StateCommitted)
	_, err = s.git(ctx, call{gitDir: view, args: []string{"update-ref", snapshotRef(w.Session), kept.Commit}})
	crash.Here(crash.StateKept)
	return kept, err
}

// state is the commit of all that the session has now, without its name.
func (s *Store) state(ctx context.Context, w Worktree) (Snapshot, error) {
	look, err := s.look(ctx, w)
	if err != nil {
		return Snapshot{}, err
	}
	defer look.close()
	kept := Snapshot{Left: look.left()}
	paths := slices.Concat(look.untracked, look.changed)
	for path := range look.conflicts {
		if look.has(path) && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	if paths := strings.Join(paths, "\x00"); paths != "" {
		if _, err := look.git(ctx, strings.NewReader(paths+"\x00"), "update-index", "-z", "--add", "--remove",
			"--stdin"); err != nil {
			return kept, err
		}
	}
	out, err := look.git(ctx, nil, "write-tree")
	if err != nil {
		return kept, err
	}
	tree := strings.TrimSpace(string(out))
	var message strings.Builder
	message.WriteString("State of a session after its last turn\n\n")
	args := []string{"commit-tree", "-F", "-"}
	parent := func(what, sha string) {
		if isSHA(sha) {
			args = append(args, "-p", sha)
			fmt.Fprintf(&message, "%s %s\n", what, sha)
		}
	}
	parent("head", look.head)
	if look.tip != look.head { // the worktree is on another branch, or on none
		parent("branch "+w.Branch, look.tip)
	}
	for _, sha := range look.stashed {
		parent("stash", sha)
	}
	for _, name := range slices.Sorted(maps.Keys(look.made)) {
		parent("branch "+oneLine(name), look.made[name])
	}
	out, err = s.git(ctx, call{gitDir: look.view, args: append(args, tree),
		stdin: strings.NewReader(cleanText(message.String())),
		// the same state gives the same commit
		env: []string{"GIT_AUTHOR_DATE=@946684800 +0000", "GIT_COMMITTER_DATE=@946684800 +0000"}})
	if err != nil {
		return kept, err
	}
	kept.Commit = strings.TrimSpace(string(out))
	before, err := s.resolve(ctx, look.view, snapshotRef(w.Session), pushedRef(w.Session))
	if err != nil {
		return kept, err
	}
	kept.New, kept.Pushed = before[0] != kept.Commit, before[1] == kept.Commit
	return kept, nil
}

// left is what a snapshot does not hold.
func (l *look) left() []string {
	var list []string
	add := func(n int, one, many string) {
		switch {
		case n == 1:
			list = append(list, "1 "+one)
		case n > 1:
			list = append(list, fmt.Sprintf("%d %s", n, many))
		}
	}
	add(l.ignored, "ignored file", "ignored files")
	add(len(l.closed), "changed file that may be read by nobody", "changed files that may be read by nobody")
	add(len(l.large), "changed file of more than 1 GiB", "changed files of more than 1 GiB")
	add(len(l.submodules), "submodule with edits", "submodules with edits")
	add(len(l.nested), "nested repository", "nested repositories")
	add(l.more, "new file beyond those that are listed", "new files beyond those that are listed")
	return list
}

// PushSnapshot brings the last snapshot of a session to the remote, under the name that it has here. Errors to tell
// apart: those of Push.
func (s *Store) PushSnapshot(ctx context.Context, w Worktree, r Remote) error {
	at, err := s.locate(r)
	if err != nil {
		return err
	}
	view, err := s.view(w.Workspace)
	if err != nil {
		return err
	}
	ref := snapshotRef(w.Session)
	found, err := s.resolve(ctx, view, ref)
	if err == nil && found[0] == "" {
		err = ErrNoWorktree
	}
	if err == nil {
		err = s.ownObjects(s.mirror(w.Workspace), true)
	}
	if err == nil {
		err = s.push(ctx, w.Workspace, r, at, found[0], "+"+ref)
		crash.Here(crash.StatePushed)
	}
	if err == nil {
		_, err = s.git(ctx, call{gitDir: view, args: []string{"update-ref", pushedRef(w.Session), found[0]}})
	}
	if err != nil {
		return fmt.Errorf("push the state of the session: %w", err)
	}
	return nil
}

// leftRef is the last state of a session that went on elsewhere.
func leftRef(sessionID string) string { return "refs/carillon/left/" + sessionID }

// Leave removes the worktree and the branch of a session that goes on elsewhere. A snapshot of what they hold stays in
// the repository; where none can be made for trouble that passes, the worktree stays as well. base is the commit that
// the session began from, where that is not known here. It is no error when there is nothing to remove. Errors to tell
// apart: those of Snapshot.
func (s *Store) Leave(ctx context.Context, workspaceID, sessionID, base string) error {
	return s.LeaveIf(ctx, workspaceID, sessionID, base, func(context.Context) (bool, error) { return true, nil })
}

// LeaveIf is Leave if goes says so when its turn has come, as RemoveIf asks it.
func (s *Store) LeaveIf(ctx context.Context, workspaceID, sessionID, base string,
	goes func(context.Context) (bool, error)) error {
	view, err := s.view(workspaceID)
	switch {
	case errors.Is(err, ErrNoMirror):
		return s.RemoveIf(ctx, workspaceID, sessionID, false, goes)
	case err != nil:
		return err
	}
	if err := s.keepLeft(ctx, view, s.Worktree(workspaceID, sessionID, "", base)); err != nil {
		return fmt.Errorf("leave session %s: %w", sessionID, err)
	}
	crash.Here(crash.LeftKept)
	return s.RemoveIf(ctx, workspaceID, sessionID, false, goes)
}

// keepLeft keeps what is here of a session that went on elsewhere: a snapshot of now, else the last one, else what its
// worktree or its branch stands at.
func (s *Store) keepLeft(ctx context.Context, view string, w Worktree) error {
	branch, err := s.branchOf(ctx, view, w.Session)
	if err != nil {
		return err
	}
	w.Branch = cmp.Or(branch, w.Branch)
	found, err := s.resolve(ctx, view, baseRef(w.Session), snapshotRef(w.Session), "worktrees/"+w.Session+"/HEAD",
		"refs/heads/"+w.Branch)
	if err != nil {
		return err
	}
	w.Base = cmp.Or(found[0], w.Base) // elsewhere it may have begun anew, from another one
	left := cmp.Or(found[1:]...)
	switch kept, err := s.Snapshot(ctx, w); {
	case err == nil:
		left = kept.Commit
	case errors.Is(err, ErrNoWorktree): // there are no files
	case Trouble(err):
		return err
	default:
		s.log().Warn("keep the state of a session that went on elsewhere", "session", w.Session, "err", err)
	}
	if left == "" {
		return nil
	}
	_, err = s.git(ctx, call{gitDir: view, args: []string{"update-ref", leftRef(w.Session), left}})
	return err
}

// Has reports whether there is anything of the session here: its worktree, or what its branch kept.
func (s *Store) Has(ctx context.Context, workspaceID, sessionID string) (bool, error) {
	if err := checkID(workspaceID, sessionID); err != nil {
		return false, err
	}
	view, err := s.view(workspaceID)
	if errors.Is(err, ErrNoMirror) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	found, err := s.resolve(ctx, view, baseRef(sessionID))
	return err == nil && found[0] != "", orDamaged(err)
}

// Restore makes the worktree of a session that was on another worker, from the snapshot that the remote has of it. base
// is the commit that the session began from. It is not found where the remote has none, or none that can be read. The
// mirror must be up to date. Errors to tell apart: those of Sync and Add.
func (s *Store) Restore(ctx context.Context, workspaceID, sessionID, base string,
	r Remote) (w Worktree, found bool, err error) {
	if err := checkID(workspaceID, sessionID); err != nil {
		return Worktree{}, false, err
	}
	view, err := s.view(workspaceID)
	if err != nil {
		return Worktree{}, false, err
	}
	w = s.Worktree(workspaceID, sessionID, "", base)
	found, err = s.restore(ctx, view, &w, r)
	if err != nil {
		return Worktree{}, false, fmt.Errorf("restore the session: %w", err)
	}
	return w, found, nil
}

func (s *Store) restore(ctx context.Context, view string, w *Worktree, r Remote) (bool, error) {
	ref := snapshotRef(w.Session)
	if there, err := s.getSnapshot(ctx, w.Workspace, view, r, ref); err != nil || !there {
		return false, err
	}
	found, err := s.resolve(ctx, view, ref, w.Base)
	if err != nil || found[0] == "" {
		return false, err
	}
	kept := found[0]
	crash.Here(crash.StateFetched)
	out, err := s.git(ctx, call{gitDir: view, args: []string{"cat-file", "commit", kept}, limit: 1 << 20})
	if err != nil {
		return false, err
	}
	_, message, _ := strings.Cut(string(out), "\n\n")
	head, stashed, branches := kept, []string{}, map[string]string{}
	for line := range strings.Lines(message) {
		field := strings.Fields(line)
		switch n := len(field); {
		case n < 2 || !isSHA(field[n-1]):
		case field[0] == "head":
			head = field[n-1]
		case field[0] == "stash":
			stashed = append(stashed, field[n-1])
		case field[0] == "branch" && n == 3:
			branches["refs/heads/"+field[1]] = field[2]
		}
	}
	if found[1] == "" { // the base is not there: the remote's branch was rewritten
		if w.Base, err = s.fork(ctx, view, kept, head); err != nil {
			return false, err
		}
	}
	// Of a restore that was interrupted nothing is taken over: link begins anew where there is no name for the base.
	if err := removeAll(s.common(w.Workspace, w.Session)); err != nil {
		return false, err
	}
	tip := cmp.Or(branches["refs/heads/"+w.Branch], head)
	delete(branches, "refs/heads/"+w.Branch)
	if _, err := s.git(ctx, call{gitDir: view, args: []string{"update-ref", "refs/heads/" + w.Branch,
		tip}}); err != nil {
		return false, err
	}
	if _, err := s.link(ctx, view, w, ""); err != nil {
		return false, err
	}
	if tip != head { // its worktree stood elsewhere than its branch
		at := filepath.Join(s.admin(w.Workspace, w.Session), "HEAD")
		if err := s.User.Do(func() error { return writeOnce(at, head+"\n") }); err != nil {
			return false, diskFull(err)
		}
	}
	for name, sha := range branches { // one that is here already stays as it is
		if _, err := s.git(ctx, call{gitDir: view, args: []string{"check-ref-format", name}}); err != nil {
			continue
		}
		if _, err := s.git(ctx, call{gitDir: view, args: []string{"update-ref", name, sha, zero(sha)}}); err != nil {
			continue
		}
		if err := s.restoreLog(*w, name, []string{sha}); err != nil {
			return false, err
		}
	}
	index := []string{"GIT_INDEX_FILE=" + filepath.Join(s.admin(w.Workspace, w.Session), "index")}
	// The files as they were, and then the index of the commit: what was not committed is not committed again.
	for _, args := range [][]string{{"read-tree", "--reset", "-u", kept}, {"read-tree", "--reset", head}} {
		if _, err := s.git(ctx, call{gitDir: view, workTree: w.Dir, args: args, env: index}); err != nil {
			return false, err
		}
	}
	if err := s.restoreStash(*w, stashed); err != nil {
		return false, err
	}
	// Written last, as Add does: who has this name has all of the session.
	_, err = s.git(ctx, call{gitDir: view, args: []string{"update-ref", baseRef(w.Session), w.Base}})
	return err == nil, err
}

// getSnapshot brings a session's snapshot from the remote; it is not there where the remote has none.
func (s *Store) getSnapshot(ctx context.Context, id, view string, r Remote, ref string) (bool, error) {
	if r.URL == "" {
		return false, nil
	}
	at, err := s.locate(r)
	if err != nil {
		return false, err
	}
	way, err := s.way(ctx, r)
	if err != nil {
		return false, err
	}
	exchange, err := s.exchange(ctx, id, s.mirror(id))
	if err != nil {
		return false, err
	}
	ask := func(at string, args ...string) ([]byte, error) {
		out, err := s.git(ctx, call{gitDir: exchange, asServer: true, args: args, env: way, secrets: r.secrets()})
		return out, remoteError(err)
	}
	out, err := ask(at, "ls-remote", "--quiet", "--", at, ref)
	if errors.Is(err, ErrMoved) && !strings.HasSuffix(at, ".git") {
		at += ".git"
		out, err = ask(at, "ls-remote", "--quiet", "--", at, ref)
	}
	if err != nil || len(out) == 0 {
		return false, err
	}
	sha, _, _ := strings.Cut(string(out), "\t")
	// The exchange gets no name of it: it would be asked for at each fetch.
	_, err = ask(at, "-c", "fetch.unpackLimit=1", "fetch", "--quiet", "--no-tags", "--force", "--no-recurse-submodules",
		"--no-write-fetch-head", "--no-auto-gc", "--", at, ref)
	if err == nil {
		err = s.takeObjects(ctx, exchange, view, s.mirror(id), fewObjects)
	}
	if err == nil {
		_, err = s.git(ctx, call{gitDir: view, args: []string{"update-ref", ref, sha}})
	}
	return err == nil, err
}

// restoreStash gives the session's worktree back what was on its stash, newest first.
func (s *Store) restoreStash(w Worktree, stashed []string) error {
	if len(stashed) == 0 {
		return nil
	}
	ref := filepath.Join(s.common(w.Workspace, w.Session), "refs", "stash")
	return errors.Join(s.restoreLog(w, "refs/stash", stashed),
		diskFull(s.User.Do(func() error { return writeOnce(ref, stashed[0]+"\n") })))
}

// restoreLog writes the session's own log of a reference, of commits that are given newest first.
func (s *Store) restoreLog(w Worktree, ref string, commits []string) error {
	var log strings.Builder
	was := zero(commits[0])
	for _, sha := range slices.Backward(commits) {
		fmt.Fprintf(&log, "%s %s Carillon <carillon@localhost> 946684800 +0000\tOn %s: from another worker\n", was, sha,
			w.Branch)
		was = sha
	}
	path := filepath.Join(s.common(w.Workspace, w.Session), "logs", filepath.FromSlash(ref))
	return diskFull(s.User.Do(func() error {
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), writeOnce(path, log.String()))
	}))
}
