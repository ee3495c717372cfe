package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Lease is a worker's hold on a session. A write that names it is refused once another worker holds the session.
type Lease struct {
	Session uuid.UUID
	Worker  string
	Fence   int64
}

// LeaseFor is how long a worker may be silent before others take its sessions for lost. It outlasts a restart of the
// database, during which nobody can renew and nobody can reap.
const LeaseFor = time.Minute

// ErrLeaseLost says that another worker, or a reaper, has taken the session.
var ErrLeaseLost = fmt.Errorf("another worker holds the session")

// Held is what a worker learns when it renews its leases.
type Held struct {
	ID                uuid.UUID `bun:"id"`
	Fence             int64     `bun:"fence"`
	CancelRequestedAt time.Time `bun:"cancel_requested_at,nullzero"`
	InterruptAt       time.Time `bun:"interrupt_requested_at,nullzero"`
	// which alone is to end; zero: whichever is at work
	InterruptTurn uuid.UUID `bun:"interrupt_turn,nullzero,type:uuid"`
	// the same of a cancel; zero: all that is at work
	CancelTurn uuid.UUID `bun:"cancel_turn,nullzero,type:uuid"`
}

// RenewLeases keeps sessions that a worker runs until a time, and returns those that it still holds. Of a session that
// the worker has but does not run, as after a crash between claiming and running, the lease must end.
func RenewLeases(ctx context.Context, q bun.IDB, running []Lease, until time.Time) ([]Held, error) {
	ids, workers, fences := make([]uuid.UUID, len(running)), make([]string, len(running)), make([]int64, len(running))
	for i, l := range running {
		ids[i], workers[i], fences[i] = l.Session, l.Worker, l.Fence
	}
	var list []Held
	err := q.NewRaw(`UPDATE sessions s SET lease_until = ?
		FROM unnest(?::uuid[], ?::text[], ?::bigint[]) AS l(id, worker, fence)
		WHERE s.id = l.id AND s.worker = l.worker AND s.fence = l.fence AND s.status = 'in_progress'
		RETURNING s.id, s.fence, s.cancel_requested_at, s.interrupt_requested_at, s.interrupt_turn, s.cancel_turn`,
		until, UUIDs(ids), textArray(workers), intArray(fences)).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("renew leases: %w", err)
	}
	return list, nil
}

// held selects the session of a lease that is good, and keeps others from taking it until the transaction ends.
func held(q bun.IDB, lease Lease) *bun.SelectQuery {
	return q.NewSelect().TableExpr("sessions").ColumnExpr("1").Where("id = ?", lease.Session).
		Where("worker = ?", lease.Worker).
		Where("fence = ?", lease.Fence).Where("status = 'in_progress'").For("NO KEY UPDATE")
}

// Hold keeps others from taking a session until the transaction ends, or only asks, outside of one. It returns
// ErrLeaseLost when the lease is no longer good.
func Hold(ctx context.Context, q bun.IDB, lease Lease) error {
	found, err := held(q, lease).Exists(ctx)
	if err != nil {
		return fmt.Errorf("hold session %s: %w", lease.Session, err)
	}
	if !found {
		return ErrLeaseLost
	}
	return nil
}

// leased executes an update that names held as one of its tables, which has a row when the lease is good. It returns
// ErrLeaseLost when it is not.
func leased(ctx context.Context, q bun.IDB, lease Lease, what, update string, args ...any) error {
	res, err := q.NewRaw("WITH held AS (?) "+update, append([]any{held(q, lease)}, args...)...).Exec(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return Hold(ctx, q, lease)
}

// updateLeased changes a session that a worker holds, by the columns set.
func updateLeased(ctx context.Context, q bun.IDB, lease Lease, set func(*bun.UpdateQuery) *bun.UpdateQuery) error {
	res, err := set(q.NewUpdate().Model((*Session)(nil))).
		Where("id = ?", lease.Session).Where("worker = ?", lease.Worker).Where("fence = ?", lease.Fence).
		Where("status = 'in_progress'").
		Exec(ctx)
	if err != nil {
		return fmt.Errorf("update session %s: %w", lease.Session, err)
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return ErrLeaseLost
}

// LostFilter says which sessions at work are without a worker.
type LostFilter struct {
	At     time.Time
	Worker string // those that it held in a former life; empty: those whose worker has not renewed its lease until At
}

func (l LostFilter) among(sel *bun.SelectQuery) *bun.SelectQuery {
	sel = sel.Where("s.status = 'in_progress'")
	if l.Worker != "" {
		return sel.Where("s.worker IN (?, '')", l.Worker)
	}
	return sel.Where("s.lease_until < ?", l.At)
}

// LostSessions lists up to limit sessions that are without a worker, other than those that are set aside.
func LostSessions(ctx context.Context, q bun.IDB, which LostFilter, limit int) ([]Session, error) {
	var list []Session
	err := which.among(q.NewSelect().Model(&list)).Column("id", "title", "workspace_id").
		Where(notSetAside(TaskReap, "s.id"), which.At).OrderExpr("s.lease_until").Limit(int64(limit)).Scan(ctx)
	return list, wrapped(err, "list lost sessions")
}

// LockLostSession locks one of them, for ending or resuming it. The error is IsNotFound where its worker has renewed
// its lease since, or another process deals with it.
func LockLostSession(ctx context.Context, tx bun.Tx, session uuid.UUID, which LostFilter) (*Session, error) {
	var s Session
	err := which.among(tx.NewSelect().Model(&s)).ExcludeColumn("diff").Where("s.id = ?", session).
		For("NO KEY UPDATE SKIP LOCKED").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find lost session: %w", err)
	}
	return &s, nil
}

// Resume puts a session whose worker was lost back into the queue, and counts that.
func Resume(ctx context.Context, q bun.IDB, session uuid.UUID, now time.Time) error {
	if err := Requeue(ctx, q, session, now); err != nil {
		return err
	}
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("resumes = resumes + 1").Where("s.id = ?", session).Exec(ctx)
	return wrapped(err, "count a resume of session "+session.String())
}
