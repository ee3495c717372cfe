package db

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Worktree is where a session's work stands.
type Worktree struct{ Branch, BaseCommit string }

// SetWorktree notes the worktree that a worker made for a session.
func SetWorktree(ctx context.Context, q bun.IDB, lease Lease, w Worktree) error {
	return updateLeased(ctx, q, lease, func(u *bun.UpdateQuery) *bun.UpdateQuery {
		return u.Set("branch = ?", w.Branch).Set("base_commit = ?", w.BaseCommit).Set("worktree_removed_at = NULL")
	})
}

// ChangeSummary is what a session has changed so far.
type ChangeSummary struct {
	Files, Added, Removed     int
	Commits, Stashes, Ignored int
	Branches                  []string // that the agent made
	Diff                      string
	Cut                       bool
}

// SetChanges notes what a session has changed.
func SetChanges(ctx context.Context, q bun.IDB, lease Lease, c ChangeSummary, now time.Time) error {
	return updateLeased(ctx, q, lease, func(u *bun.UpdateQuery) *bun.UpdateQuery {
		return u.Set("files_changed = ?", c.Files).Set("lines_added = ?", c.Added).Set("lines_removed = ?", c.Removed).
			Set("diff = ?", c.Diff).Set("diff_cut = ?", c.Cut).Set("changes_at = ?", now).
			Set("commits = ?", c.Commits).Set("stashes = ?", c.Stashes).Set("ignored_files = ?", c.Ignored).
			Set("made_branches = ?", strings.Join(c.Branches, "\n"))
	})
}

// SessionsToSweep lists closed sessions whose worktree can go: those that are known to be without changes and without ignored
// files, and those closed before a time. They are those that a worker has in its data folder, other than those that are set
// aside.
func SessionsToSweep(ctx context.Context, q bun.IDB, worker string, now, before time.Time, limit int) ([]Session, error) {
	var list []Session
	err := q.NewSelect().Model(&list).Column("id", "title", "workspace_id", "files_changed", "commits", "stashes", "changes_at").
		Where("s.closed_at IS NOT NULL AND s.worktree_removed_at IS NULL").Where("s.worker = ?", worker).
		Where("((NOT "+changed+" AND s.ignored_files = 0 AND s.changes_at IS NOT NULL) OR s.closed_at < ?)", before).
		Where(awake(TaskWorktrees, "s.id"), now).Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list worktrees to sweep: %w", err)
	}
	return list, nil
}

// SetWorktreeRemoved notes that the worktree of a closed session goes, and reports whether the session is still closed: one
// that was opened again keeps its worktree.
func SetWorktreeRemoved(ctx context.Context, q bun.IDB, session uuid.UUID, now time.Time) (bool, error) {
	res, err := q.NewUpdate().Model((*Session)(nil)).Set("worktree_removed_at = ?", now).
		Where("s.id = ? AND s.closed_at IS NOT NULL", session).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("note that worktree of session %s goes: %w", session, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// KeepWorktree takes SetWorktreeRemoved back, where removing failed.
func KeepWorktree(ctx context.Context, q bun.IDB, session uuid.UUID) error {
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("worktree_removed_at = NULL").Where("s.id = ?", session).Exec(ctx)
	if err != nil {
		return fmt.Errorf("note that worktree of session %s stays: %w", session, err)
	}
	return nil
}
