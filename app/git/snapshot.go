package git

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"carillon/app/crash"
)

// A snapshot is a commit of all that a session has: its tree is the files of the worktree, its parents are what the
// worktree stands at, the session's branch, the commits on the stash and the branches that the agent made. Making one
// does not move the worktree's HEAD or index. The snapshot has a reference of its own, so that it can be pushed to the
// remote and fetched by another worker.

func snapshotRef(sessionID string) string { return "refs/carillon/sessions/" + sessionID }

// pushedRef is the last snapshot that was brought to the remote.
func pushedRef(sessionID string) string { return "refs/carillon/pushed/" + sessionID }

// Snapshot is the saved state of a session after a turn.
type Snapshot struct {
	Commit string
	// New is whether it differs from the snapshot before.
	New bool
	// Pushed is whether PushSnapshot has brought it to the remote.
	Pushed bool
	// Omitted are the changes that the snapshot does not hold, as parts of a sentence: "2 ignored files".
	Omitted []string
}

// Snapshot keeps the state of the worktree in a commit of its own. Errors to tell apart: ErrNoWorktree, ErrNoMirror,
// ErrLocked.
func (s *Store) Snapshot(ctx context.Context, w Worktree) (Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	kept, err := s.snapshot(ctx, w)
	if err != nil {
		return Snapshot{}, fmt.Errorf("keep the state of the session: %w", err)
	}
	return kept, nil
}

// ChangedSinceSnapshot reports whether the session's state differs from its last snapshot. Errors to tell apart: those
// of Snapshot.
func (s *Store) ChangedSinceSnapshot(ctx context.Context, w Worktree) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	in, err := s.inspect(ctx, w)
	if err != nil {
		return false, fmt.Errorf("look at the state of the session: %w", err)
	}
	defer in.close()
	now, err := in.snapshot(ctx)
	if err != nil {
		return false, fmt.Errorf("look at the state of the session: %w", err)
	}
	return now.New, nil
}

func (s *Store) snapshot(ctx context.Context, w Worktree) (Snapshot, error) {
	in, err := s.inspect(ctx, w)
	if err != nil {
		return Snapshot{}, err
	}
	defer in.close()
	kept, err := in.snapshot(ctx)
	if err != nil || !kept.New {
		return kept, err
	}
	repo, err := s.open(w.Workspace)
	if err != nil {
		return kept, err
	}
	crash.Here(crash.StateCommitted)
	_, err = repo.git(ctx, "update-ref", snapshotRef(w.Session), kept.Commit)
	crash.Here(crash.StateKept)
	return kept, err
}

// snapshot makes the commit of a snapshot, without a reference to it.
func (in *inspection) snapshot(ctx context.Context) (Snapshot, error) {
	kept := Snapshot{Omitted: in.omitted()}
	paths := slices.Concat(in.untracked, in.changed)
	for path := range in.conflicts {
		if in.hasFile(path) && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	tree, err := in.writeTree(ctx, paths)
	if err != nil {
		return kept, err
	}
	parents, message := in.snapshotParents()
	out, err := in.repo.run(ctx, call{
		gitDir: in.repo.view, args: slices.Concat([]string{"commit-tree", "-F", "-"}, parents, []string{tree}),
		stdin: strings.NewReader(cleanText(message)),
		// the same state gives the same commit
		env: []string{"GIT_AUTHOR_DATE=@946684800 +0000", "GIT_COMMITTER_DATE=@946684800 +0000"},
	})
	if err != nil {
		return kept, err
	}
	kept.Commit = strings.TrimSpace(string(out))
	before, err := in.repo.resolve(ctx, snapshotRef(in.w.Session), pushedRef(in.w.Session))
	if err != nil {
		return kept, err
	}
	kept.New, kept.Pushed = before[0] != kept.Commit, before[1] == kept.Commit
	return kept, nil
}

// snapshotParents are the parents of a snapshot as options of git commit-tree, and the message that names them.
func (in *inspection) snapshotParents() (args []string, message string) {
	var text strings.Builder
	text.WriteString("State of a session after its last turn\n\n")
	parent := func(what, sha string) {
		if isSHA(sha) {
			args = append(args, "-p", sha)
			fmt.Fprintf(&text, "%s %s\n", what, sha)
		}
	}
	parent("head", in.head)
	if in.branchTip != in.head { // the worktree is on another branch, or on none
		parent("branch "+in.w.Branch, in.branchTip)
	}
	for _, sha := range in.stashes {
		parent("stash", sha)
	}
	for _, name := range slices.Sorted(maps.Keys(in.branches)) {
		parent("branch "+oneLine(name), in.branches[name])
	}
	return args, text.String()
}

// omitted lists the changes that a snapshot does not hold.
func (in *inspection) omitted() []string {
	var list []string
	add := func(n int, one, many string) {
		switch {
		case n == 1:
			list = append(list, "1 "+one)
		case n > 1:
			list = append(list, fmt.Sprintf("%d %s", n, many))
		}
	}
	add(in.ignored, "ignored file", "ignored files")
	add(len(in.unreadable), "changed file that may be read by nobody", "changed files that may be read by nobody")
	add(len(in.large), "changed file of more than 1 GiB", "changed files of more than 1 GiB")
	add(len(in.submodules), "submodule with edits", "submodules with edits")
	add(len(in.nested), "nested repository", "nested repositories")
	add(in.more, "new file beyond those that are listed", "new files beyond those that are listed")
	return list
}

// PushSnapshot brings the last snapshot of a session to the remote, under the name that it has here. Errors to tell
// apart: those of Push.
func (s *Store) PushSnapshot(ctx context.Context, w Worktree, r Remote) error {
	at, err := s.layout().remoteURL(r)
	if err != nil {
		return err
	}
	repo, err := s.open(w.Workspace)
	if err != nil {
		return err
	}
	ref := snapshotRef(w.Session)
	found, err := repo.resolve(ctx, ref)
	if err == nil && found[0] == "" {
		err = ErrNoWorktree
	}
	if err == nil {
		err = repo.cleaner(repo.mirror).cleanObjects(true)
	}
	if err == nil {
		err = repo.push(ctx, r, at, found[0], "+"+ref)
		crash.Here(crash.StatePushed)
	}
	if err == nil {
		_, err = repo.git(ctx, "update-ref", pushedRef(w.Session), found[0])
	}
	if err != nil {
		return fmt.Errorf("push the state of the session: %w", err)
	}
	return nil
}

// leftRef is the last state of a session that went on elsewhere.
func leftRef(sessionID string) string { return "refs/carillon/left/" + sessionID }

// Leave removes the worktree and the branch of a session that goes on elsewhere. A snapshot of what they hold stays in
// the repository; where a transient error prevents the snapshot, the worktree stays as well. base is the commit that
// the session started from, where that is not known here. It is no error when there is nothing to remove. Errors to
// tell apart: those of Snapshot.
func (s *Store) Leave(ctx context.Context, workspaceID, sessionID, base string) error {
	return s.LeaveIf(ctx, workspaceID, sessionID, base, func(context.Context) (bool, error) { return true, nil })
}

// LeaveIf is Leave, provided that confirm returns true once the worktree is locked, as for RemoveIf.
func (s *Store) LeaveIf(ctx context.Context, workspaceID, sessionID, base string,
	confirm func(context.Context) (bool, error)) error {
	repo, err := s.open(workspaceID)
	switch {
	case errors.Is(err, ErrNoMirror):
		return s.RemoveIf(ctx, workspaceID, sessionID, false, confirm)
	case err != nil:
		return err
	}
	if err := s.keepLocalState(ctx, repo, s.Worktree(workspaceID, sessionID, "", base)); err != nil {
		return fmt.Errorf("leave session %s: %w", sessionID, err)
	}
	crash.Here(crash.LeftKept)
	return s.RemoveIf(ctx, workspaceID, sessionID, false, confirm)
}

// keepLocalState keeps the state of a session that went on elsewhere: a new snapshot, else the last one, else the
// commit of its worktree or its branch.
func (s *Store) keepLocalState(ctx context.Context, repo *repository, w Worktree) error {
	branch, err := repo.sessionBranch(ctx, w.Session)
	if err != nil {
		return err
	}
	w.Branch = cmp.Or(branch, w.Branch)
	found, err := repo.resolve(ctx, baseRef(w.Session), snapshotRef(w.Session), "worktrees/"+w.Session+"/HEAD",
		"refs/heads/"+w.Branch)
	if err != nil {
		return err
	}
	w.Base = cmp.Or(found[0], w.Base) // on another worker it may have started again, from another base
	left := cmp.Or(found[1:]...)
	switch kept, err := s.Snapshot(ctx, w); {
	case err == nil:
		left = kept.Commit
	case errors.Is(err, ErrNoWorktree): // there are no files
	case Transient(err):
		return err
	default:
		repo.log.Warn("keep the state of a session that went on elsewhere", "session", w.Session, "err", err)
	}
	if left == "" {
		return nil
	}
	_, err = repo.git(ctx, "update-ref", leftRef(w.Session), left)
	return err
}

// Has reports whether the session is here: its worktree, or its branch.
func (s *Store) Has(ctx context.Context, workspaceID, sessionID string) (bool, error) {
	if err := checkID(workspaceID, sessionID); err != nil {
		return false, err
	}
	repo, err := s.open(workspaceID)
	if errors.Is(err, ErrNoMirror) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	found, err := repo.resolve(ctx, baseRef(sessionID))
	return err == nil && found[0] != "", asDamaged(err)
}
