package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// SessionMove records that a session was taken away from a silent worker.
type SessionMove struct {
	bun.BaseModel `bun:"table:session_moves,alias:sm"`

	SessionID uuid.UUID `bun:"session_id,pk,type:uuid"`
	Worker    string    `bun:"worker,pk"`
	Name      string    `bun:"name"`
	SeenAt    time.Time `bun:"seen_at,nullzero"`
	Fence     int64     `bun:"fence"`
	At        time.Time `bun:"at"`
}

// WorkerGone is how long a worker may be silent before others take over the sessions whose files it has.
const WorkerGone = 24 * time.Hour

// MoveSession takes a queued session away from the worker that has its files, so that another worker may continue it.
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
		SELECT s.id, s.worker, coalesce(w.name, ''), w.seen_at, s.fence, ? FROM sessions s
			LEFT JOIN workers w ON w.id = s.worker`
	onMoved = `ON CONFLICT (session_id, worker) DO UPDATE SET name = excluded.name, seen_at = excluded.seen_at,
		fence = excluded.fence, at = excluded.at`
)

// LatestMove finds the last move of a session; nil: it has not moved.
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

// MoveFrom finds the move of a session away from a worker; nil: there is none.
func MoveFrom(ctx context.Context, q bun.IDB, session uuid.UUID, worker string) (*SessionMove, error) {
	var m SessionMove
	err := q.NewSelect().Model(&m).Where("sm.session_id = ? AND sm.worker = ?", session, worker).Scan(ctx)
	if IsNotFound(err) {
		return nil, nil
	}
	return &m, wrap(err, "find a move of session "+session.String())
}

// MovesFrom lists the sessions that were taken away from a worker and are on another one now.
func MovesFrom(ctx context.Context, q bun.IDB, worker string, now time.Time, limit int) ([]Session, error) {
	var list []Session
	err := q.NewSelect().Model(&list).Column("s.id", "s.workspace_id", "s.title", "s.base_commit").
		Join("JOIN session_moves sm ON sm.session_id = s.id").
		Where("sm.worker = ?", worker).Where("s.worker NOT IN ('', ?)", worker).
		Where(notSetAside(TaskWorktrees, "sm.worker || ' moved ' || sm.session_id"), now).Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list sessions that moved from %s: %w", worker, err)
	}
	return list, nil
}

// DeleteMove deletes the record of a session's move from a worker, after its files there were removed or the worker has
// the session again.
func DeleteMove(ctx context.Context, q bun.IDB, session uuid.UUID, worker string) error {
	_, err := q.NewDelete().Model((*SessionMove)(nil)).Where("session_id = ? AND worker = ?", session, worker).Exec(ctx)
	return wrap(err, "delete a move of session "+session.String())
}
