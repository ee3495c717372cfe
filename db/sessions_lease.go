package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Lease is the right of a worker to work on a session. A write with a lease is refused once another worker has the
// session.
type Lease struct {
	Session uuid.UUID
	Worker  string
	Fence   int64
}

// LeaseFor is how long a worker may be silent before its sessions count as lost. It is longer than a restart of the
// database, during which no lease can be renewed or reaped.
const LeaseFor = time.Minute

// ErrLeaseLost says that a lease is not valid any more: another worker or the scheduler has taken the session.
var ErrLeaseLost = fmt.Errorf("another worker holds the session")

// LeaseState is the state of a session that a renewal of its lease returns.
type LeaseState struct {
	ID                uuid.UUID `bun:"id"`
	Fence             int64     `bun:"fence"`
	CancelRequestedAt time.Time `bun:"cancel_requested_at,nullzero"`
	InterruptAt       time.Time `bun:"interrupt_requested_at,nullzero"`
	// the turn to interrupt; zero: the one that runs
	InterruptTurn uuid.UUID `bun:"interrupt_turn,nullzero,type:uuid"`
	// the turn to cancel; zero: all that runs
	CancelTurn uuid.UUID `bun:"cancel_turn,nullzero,type:uuid"`
}

// RenewLeases extends the leases of sessions that a worker runs until a time, and returns the sessions that the worker
// still has. The lease of a claimed session that is not run, as after a crash, must not be renewed.
func RenewLeases(ctx context.Context, q bun.IDB, running []Lease, until time.Time) ([]LeaseState, error) {
	ids, workers, fences := make([]uuid.UUID, len(running)), make([]string, len(running)), make([]int64, len(running))
	for i, l := range running {
		ids[i], workers[i], fences[i] = l.Session, l.Worker, l.Fence
	}
	var list []LeaseState
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

// heldSession selects the session of a valid lease, and locks it until the transaction ends.
func heldSession(q bun.IDB, lease Lease) *bun.SelectQuery {
	return q.NewSelect().TableExpr("sessions").ColumnExpr("1").Where("id = ?", lease.Session).
		Where("worker = ?", lease.Worker).
		Where("fence = ?", lease.Fence).Where("status = 'in_progress'").For("NO KEY UPDATE")
}

// CheckLease returns ErrLeaseLost if a lease is not valid any more. In a transaction it locks the session until the
// end, so that nobody takes it.
func CheckLease(ctx context.Context, q bun.IDB, lease Lease) error {
	found, err := heldSession(q, lease).Exists(ctx)
	if err != nil {
		return fmt.Errorf("check the lease of session %s: %w", lease.Session, err)
	}
	if !found {
		return ErrLeaseLost
	}
	return nil
}

// updateWithLease executes an update that uses the table expression held, which has a row if the lease is valid. It
// returns ErrLeaseLost if the lease is not valid.
func updateWithLease(ctx context.Context, q bun.IDB, lease Lease, what, update string, args ...any) error {
	res, err := q.NewRaw("WITH held AS (?) "+update, append([]any{heldSession(q, lease)}, args...)...).Exec(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return CheckLease(ctx, q, lease)
}

// updateLeased updates columns of a session if the lease is valid, and returns ErrLeaseLost otherwise.
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

// LostFilter selects sessions at work without a living worker.
type LostFilter struct {
	At     time.Time
	Worker string // sessions of its former process; empty: sessions whose lease ended before At
}

func (l LostFilter) apply(sel *bun.SelectQuery) *bun.SelectQuery {
	sel = sel.Where("s.status = 'in_progress'")
	if l.Worker != "" {
		return sel.Where("s.worker IN (?, '')", l.Worker)
	}
	return sel.Where("s.lease_until < ?", l.At)
}

// LostSessions lists up to limit sessions without a living worker, without those that are set aside.
func LostSessions(ctx context.Context, q bun.IDB, filter LostFilter, limit int) ([]Session, error) {
	var list []Session
	err := filter.apply(q.NewSelect().Model(&list)).Column("id", "title", "workspace_id").
		Where(notSetAside(TaskReap, "s.id"), filter.At).OrderExpr("s.lease_until").Limit(int64(limit)).Scan(ctx)
	return list, wrap(err, "list lost sessions")
}

// LockLostSession locks one session of LostSessions, for ending or resuming it. The error is one of IsNotFound if its
// worker has renewed the lease since or another process has locked the session.
func LockLostSession(ctx context.Context, tx bun.Tx, session uuid.UUID, filter LostFilter) (*Session, error) {
	var s Session
	err := filter.apply(tx.NewSelect().Model(&s)).ExcludeColumn("diff").Where("s.id = ?", session).
		For("NO KEY UPDATE SKIP LOCKED").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find lost session: %w", err)
	}
	return &s, nil
}

// Resume puts a session whose worker was lost back into the queue, and counts the resume.
func Resume(ctx context.Context, q bun.IDB, session uuid.UUID, now time.Time) error {
	if err := Requeue(ctx, q, session, now); err != nil {
		return err
	}
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("resumes = resumes + 1").Where("s.id = ?", session).Exec(ctx)
	return wrap(err, "count a resume of session "+session.String())
}
