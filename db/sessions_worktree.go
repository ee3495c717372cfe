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

// SetNotSaved notes what was lost when a session moved.
func SetNotSaved(ctx context.Context, q bun.IDB, lease Lease, text string) error {
	return updateLeased(ctx, q, lease,
		func(u *bun.UpdateQuery) *bun.UpdateQuery { return u.Set("not_saved = ?", text) })
}

// HasWork reports whether there is something of the session in its worker's data folder that others do not have: a
// worktree, or a branch with work.
func (s *Session) HasWork() bool {
	return s.Branch != "" && (s.WorktreeRemovedAt.IsZero() || s.Changed())
}

// hasWork is HasWork in SQL, of the table alias s.
const hasWork = "s.branch <> '' AND (s.worktree_removed_at IS NULL OR " + changed + ")"

// changed is Changed in SQL, of the table alias s.
const changed = "(s.files_changed > 0 OR s.commits > 0 OR s.stashes > 0)"

// SessionsToSweep lists closed sessions whose worktree can go: those that are known to be without changes and without
// ignored files, and those closed before a time. They are those that a worker has in its data folder, other than those
// that are set aside.
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

// SetWorktreeRemoved notes that the worktree of a closed session goes, and reports whether the session is still closed:
// one that was opened again keeps its worktree.
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
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("worktree_removed_at = NULL").Where("s.id = ?", session).
		Exec(ctx)
	if err != nil {
		return fmt.Errorf("note that worktree of session %s stays: %w", session, err)
	}
	return nil
}

// Unneeded is a session of which a worker needs nothing any more that it may have in its data folder.
type Unneeded struct {
	ID          uuid.UUID `bun:"id"`
	WorkspaceID uuid.UUID `bun:"workspace_id"` // zero: nobody knows the session
	BaseCommit  string    `bun:"base_commit"`
	Elsewhere   bool      `bun:"elsewhere"` // it goes on at another worker
	Keeps       bool      `bun:"keeps"`     // its branch stays: it has changed something, or that is not known
}

// UnneededOf lists which of some sessions are over for a worker: those that nobody knows, those whose worktree is noted
// as removed since before a time, and those that another worker has. It leaves out those whose move to another worker
// is noted: MovesFrom has them.
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
	return list, wrapped(err, "list sessions that are over for a worker")
}
