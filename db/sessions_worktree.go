package db

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Worktree is the branch and the base commit of a session's worktree.
type Worktree struct{ Branch, BaseCommit string }

// SetWorktree records the worktree of a session.
func SetWorktree(ctx context.Context, q bun.IDB, lease Lease, w Worktree) error {
	return updateLeased(ctx, q, lease, func(u *bun.UpdateQuery) *bun.UpdateQuery {
		return u.Set("branch = ?", w.Branch).Set("base_commit = ?", w.BaseCommit).Set("worktree_removed_at = NULL")
	})
}

// ChangeSummary sums up what a session has changed so far.
type ChangeSummary struct {
	Files, Added, Removed     int
	Commits, Stashes, Ignored int
	Branches                  []string // made by the agent
	Diff                      string
	Cut                       bool
}

// SetChanges records what a session has changed.
func SetChanges(ctx context.Context, q bun.IDB, lease Lease, c ChangeSummary, now time.Time) error {
	return updateLeased(ctx, q, lease, func(u *bun.UpdateQuery) *bun.UpdateQuery {
		return u.Set("files_changed = ?", c.Files).Set("lines_added = ?", c.Added).Set("lines_removed = ?", c.Removed).
			Set("diff = ?", c.Diff).Set("diff_cut = ?", c.Cut).Set("changes_at = ?", now).
			Set("commits = ?", c.Commits).Set("stashes = ?", c.Stashes).Set("ignored_files = ?", c.Ignored).
			Set("made_branches = ?", strings.Join(c.Branches, "\n"))
	})
}

// SetNotSaved records what was lost when a session moved.
func SetNotSaved(ctx context.Context, q bun.IDB, lease Lease, text string) error {
	return updateLeased(ctx, q, lease,
		func(u *bun.UpdateQuery) *bun.UpdateQuery { return u.Set("not_saved = ?", text) })
}

// HasWork reports whether the data folder of the session's worker has files of the session that other workers do not
// have: a worktree, or a branch with changes.
func (s *Session) HasWork() bool {
	return s.Branch != "" && (s.WorktreeRemovedAt.IsZero() || s.Changed())
}

// hasWork is the SQL condition of HasWork for the table alias s.
const hasWork = "s.branch <> '' AND (s.worktree_removed_at IS NULL OR " + changed + ")"

// changed is the SQL condition of Changed for the table alias s.
const changed = "(s.files_changed > 0 OR s.commits > 0 OR s.stashes > 0)"

// SessionsToSweep lists a worker's closed sessions whose worktree can be removed: those without changes and without
// ignored files, and those that were closed before a time. It leaves out those that are set aside.
func SessionsToSweep(
	ctx context.Context, q bun.IDB, worker string, now, before time.Time, limit int,
) ([]Session, error) {
	var list []Session
	err := q.NewSelect().Model(&list).Column("id", "title", "workspace_id", "files_changed", "commits", "stashes",
		"changes_at").
		Where("s.closed_at IS NOT NULL AND s.worktree_removed_at IS NULL").Where("s.worker = ?", worker).
		Where("((NOT "+changed+" AND s.ignored_files = 0 AND s.changes_at IS NOT NULL) OR s.closed_at < ?)", before).
		Where(notSetAside(TaskWorktrees, "s.id"), now).Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list worktrees to sweep: %w", err)
	}
	return list, nil
}

// SetWorktreeRemoved records that the worktree of a closed session is being removed. It reports whether the session is
// still closed: the worktree of a session that was opened again must stay.
func SetWorktreeRemoved(ctx context.Context, q bun.IDB, session uuid.UUID, now time.Time) (bool, error) {
	res, err := q.NewUpdate().Model((*Session)(nil)).Set("worktree_removed_at = ?", now).
		Where("s.id = ? AND s.closed_at IS NOT NULL", session).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("record the removal of the worktree of session %s: %w", session, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// UndoWorktreeRemoved undoes SetWorktreeRemoved after the removal failed.
func UndoWorktreeRemoved(ctx context.Context, q bun.IDB, session uuid.UUID) error {
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("worktree_removed_at = NULL").Where("s.id = ?", session).
		Exec(ctx)
	if err != nil {
		return fmt.Errorf("record that the worktree of session %s stays: %w", session, err)
	}
	return nil
}

// Unneeded is a session whose files a worker does not need any more.
type Unneeded struct {
	ID          uuid.UUID `bun:"id"`
	WorkspaceID uuid.UUID `bun:"workspace_id"` // zero: there is no such session
	BaseCommit  string    `bun:"base_commit"`
	Elsewhere   bool      `bun:"elsewhere"` // it continues on another worker
	Keeps       bool      `bun:"keeps"`     // its branch stays: it has changes, or they are unknown
}

// UnneededOf lists which of some sessions a worker does not need any more: sessions that do not exist, those whose
// worktree was recorded as removed before a time, and those that another worker has. It leaves out sessions whose move
// to another worker is recorded: MovesFrom lists them.
func UnneededOf(
	ctx context.Context, q bun.IDB, worker string, sessions []uuid.UUID, before time.Time,
) ([]Unneeded, error) {
	if len(sessions) == 0 {
		return nil, nil
	}
	var list []Unneeded
	err := q.NewRaw(`SELECT x.id, coalesce(s.workspace_id, '00000000-0000-0000-0000-000000000000') AS workspace_id,
		coalesce(s.base_commit, '') AS base_commit,
			coalesce(s.worker NOT IN ('', ?0), false) AS elsewhere, coalesce(s.changes_at IS NULL
				OR `+changed+`, false) AS keeps
		FROM unnest(?1::uuid[]) AS x(id) LEFT JOIN sessions s ON s.id = x.id
		WHERE s.id IS NULL OR s.closed_at IS NOT NULL AND s.worktree_removed_at < ?2
			OR s.worker NOT IN ('', ?0) AND NOT EXISTS (SELECT 1 FROM session_moves sm
				WHERE sm.session_id = s.id AND sm.worker = ?0)
		ORDER BY x.id`, worker, UUIDs(sessions), before).Scan(ctx, &list)
	return list, wrap(err, "list sessions that are over for a worker")
}
