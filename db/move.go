package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// WorkerGone is how long a worker may be silent before others take over the sessions whose files it has.
const WorkerGone = 24 * time.Hour

// SessionMove says that a session was taken away from a worker that was silent.
type SessionMove struct {
	bun.BaseModel `bun:"table:session_moves,alias:sm"`

	SessionID uuid.UUID `bun:"session_id,pk,type:uuid"`
	Worker    string    `bun:"worker,pk"`
	Name      string    `bun:"name"`
	SeenAt    time.Time `bun:"seen_at,nullzero"`
	Fence     int64     `bun:"fence"`
	At        time.Time `bun:"at"`
}

// HasWork reports whether there is something of the session in its worker's data folder that others do not have: a worktree, or
// a branch with work.
func (s *Session) HasWork() bool {
	return s.Branch != "" && (s.WorktreeRemovedAt.IsZero() || s.Changed())
}

// Changed reports whether the session has changed anything, as of its last turn.
func (s *Session) Changed() bool { return s.FilesChanged > 0 || s.Commits > 0 || s.Stashes > 0 }

// changed is Changed in SQL, of the table alias s.
const changed = "(s.files_changed > 0 OR s.commits > 0 OR s.stashes > 0)"

// isAt is the condition that a worker has something of the session, of the table alias s. worker is a placeholder.
func isAt(worker string) string { return "(s.worker = " + worker + " AND " + hasWork + ")" }

// hasWork is HasWork in SQL, of the table alias s.
const hasWork = "s.branch <> '' AND (s.worktree_removed_at IS NULL OR " + changed + ")"

// mayTake is the condition under which a worker may take a session, of the table alias s: what there is of it is here, or
// nowhere, or on a worker that is gone. worker and gone are placeholders.
func mayTake(worker, gone string) string {
	return `(s.worker IN ('', ` + worker + `) OR NOT (` + hasWork + `)
		OR NOT EXISTS (SELECT 1 FROM workers home WHERE home.id = s.worker AND home.seen_at > ` + gone + `))`
}

// MoveSession takes a queued session away from the worker that has its files, so that another may go on with it.
func MoveSession(ctx context.Context, tx bun.Tx, session uuid.UUID, now time.Time) error {
	_, err := tx.NewRaw(insertMove+" WHERE s.id = ? AND s.worker <> '' "+onMoved, now, session).Exec(ctx)
	if err == nil {
		_, err = tx.NewUpdate().Model((*Session)(nil)).Set("worker = ''").Where("s.id = ?", session).Exec(ctx)
	}
	if err != nil {
		return fmt.Errorf("move session %s: %w", session, err)
	}
	return nil
}

const (
	insertMove = `INSERT INTO session_moves (session_id, worker, name, seen_at, fence, at)
		SELECT s.id, s.worker, coalesce(w.name, ''), w.seen_at, s.fence, ? FROM sessions s LEFT JOIN workers w ON w.id = s.worker`
	onMoved = "ON CONFLICT (session_id, worker) DO UPDATE SET name = excluded.name, seen_at = excluded.seen_at, fence = excluded.fence, at = excluded.at"
)

// LatestMove is the last move of a session, nil where it never moved.
func LatestMove(ctx context.Context, q bun.IDB, session uuid.UUID) (*SessionMove, error) {
	var m SessionMove
	err := q.NewSelect().Model(&m).Where("sm.session_id = ?", session).Order("sm.at DESC").Limit(1).Scan(ctx)
	if IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find move of session %s: %w", session, err)
	}
	return &m, nil
}

// MovesFrom lists the sessions that were taken away from a worker and are elsewhere now.
func MovesFrom(ctx context.Context, q bun.IDB, worker string, now time.Time, limit int) ([]Session, error) {
	var list []Session
	err := q.NewSelect().Model(&list).Column("s.id", "s.workspace_id", "s.title", "s.base_commit").Join("JOIN session_moves sm ON sm.session_id = s.id").
		Where("sm.worker = ?", worker).Where("s.worker NOT IN ('', ?)", worker).
		Where(awake(TaskWorktrees, "sm.worker || ' moved ' || sm.session_id"), now).Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list sessions that moved from %s: %w", worker, err)
	}
	return list, nil
}

// ForgetMove forgets that a session was taken away from a worker: what was left there is gone, or is its own again.
func ForgetMove(ctx context.Context, q bun.IDB, session uuid.UUID, worker string) error {
	_, err := q.NewDelete().Model((*SessionMove)(nil)).Where("session_id = ? AND worker = ?", session, worker).Exec(ctx)
	return wrapped(err, "forget a move of session "+session.String())
}

// MoveFrom is the move of a session away from a worker, nil where there was none.
func MoveFrom(ctx context.Context, q bun.IDB, session uuid.UUID, worker string) (*SessionMove, error) {
	var m SessionMove
	err := q.NewSelect().Model(&m).Where("sm.session_id = ? AND sm.worker = ?", session, worker).Scan(ctx)
	if IsNotFound(err) {
		return nil, nil
	}
	return &m, wrapped(err, "find a move of session "+session.String())
}

// SetNotSaved notes what was lost when a session moved.
func SetNotSaved(ctx context.Context, q bun.IDB, lease Lease, text string) error {
	return updateLeased(ctx, q, lease, func(u *bun.UpdateQuery) *bun.UpdateQuery { return u.Set("not_saved = ?", text) })
}

// WorkerByID finds a worker, however long it is silent; nil: there is none of that name.
func WorkerByID(ctx context.Context, q bun.IDB, id string) (*Worker, error) {
	list, err := WorkersByID(ctx, q, []string{id})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	w := list[id]
	return &w, nil
}

// WorkersByID finds workers by their ids, however long they are silent, without what they have found.
func WorkersByID(ctx context.Context, q bun.IDB, ids []string) (map[string]Worker, error) {
	var rows []struct {
		ID     string    `bun:"id"`
		Name   string    `bun:"name"`
		SeenAt time.Time `bun:"seen_at"`
		Places int       `bun:"places"`
	}
	if len(ids) == 0 {
		return nil, nil
	}
	err := q.NewRaw("SELECT id, name, seen_at, places FROM workers WHERE id IN (?)", bun.List(ids)).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("find workers: %w", err)
	}
	found := make(map[string]Worker, len(rows))
	for _, r := range rows {
		found[r.ID] = Worker{ID: r.ID, Name: r.Name, SeenAt: r.SeenAt, Places: r.Places}
	}
	return found, nil
}
