package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Lost says which sessions at work are without a worker.
type Lost struct {
	At     time.Time
	Worker string // those that it held in a former life; empty: those whose worker has not renewed its lease until At
}

func (l Lost) among(sel *bun.SelectQuery) *bun.SelectQuery {
	sel = sel.Where("s.status = 'in_progress'")
	if l.Worker != "" {
		return sel.Where("s.worker IN (?, '')", l.Worker)
	}
	return sel.Where("s.lease_until < ?", l.At)
}

// LostSessions lists up to limit sessions that are without a worker, other than those that are set aside.
func LostSessions(ctx context.Context, q bun.IDB, which Lost, limit int) ([]Session, error) {
	var list []Session
	err := which.among(q.NewSelect().Model(&list)).Column("id", "title", "workspace_id").
		Where(awake(TaskReap, "s.id"), which.At).OrderExpr("s.lease_until").Limit(int64(limit)).Scan(ctx)
	return list, wrapped(err, "list lost sessions")
}

// LockLostSession locks one of them, for ending or resuming it. The error is IsNotFound where its worker has renewed its lease
// since, or another process deals with it.
func LockLostSession(ctx context.Context, tx bun.Tx, session uuid.UUID, which Lost) (*Session, error) {
	var s Session
	err := which.among(tx.NewSelect().Model(&s)).ExcludeColumn("diff").Where("s.id = ?", session).For("NO KEY UPDATE SKIP LOCKED").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find lost session: %w", err)
	}
	return &s, nil
}

// hourMore is how much longer a session may wait that a worker had: when that is gone for a day, others get time to take it.
const hourMore = time.Hour

// WaitingSessions lists up to limit sessions that have waited since before a time for a worker, other than those that are set
// aside.
func WaitingSessions(ctx context.Context, q bun.IDB, before, now time.Time, limit int) ([]Session, error) {
	var list []Session
	err := q.NewSelect().Model(&list).Column("id", "title", "fence").Where("s.status = 'queued'").Where("s.queued_at < ?", before).
		Where("(s.worker = '' OR s.queued_at < ?)", before.Add(-hourMore)).
		Where(awake(TaskReap, "s.id"), now).OrderExpr("s.queued_at, s.id").Limit(int64(limit)).Scan(ctx)
	return list, wrapped(err, "list sessions that wait")
}

// Resume puts a session whose worker was lost back into the queue, and counts that.
func Resume(ctx context.Context, q bun.IDB, session uuid.UUID, now time.Time) error {
	if err := Requeue(ctx, q, session, now); err != nil {
		return err
	}
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("resumes = resumes + 1").Where("s.id = ?", session).Exec(ctx)
	return wrapped(err, "count a resume of session "+session.String())
}

// NoteWorked adds the time since a session's worker took it to what its run in flight has worked, if it has one.
func NoteWorked(ctx context.Context, q bun.IDB, session uuid.UUID, until time.Time) error {
	_, err := q.NewRaw(`UPDATE executions e SET worked_seconds = worked_seconds + greatest(0, extract(epoch FROM ? - s.at_work_since))
		FROM sessions s WHERE s.id = ? AND e.session_id = s.id AND e.status IN ('queued', 'running') AND s.at_work_since IS NOT NULL`, until, session).Exec(ctx)
	return wrapped(err, "note how long session "+session.String()+" has worked")
}
