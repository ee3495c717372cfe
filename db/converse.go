package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// RequestInterrupt asks the worker of a session to end its turn alone.
func RequestInterrupt(ctx context.Context, q bun.IDB, session, by uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("interrupt_requested_at = coalesce(interrupt_requested_at, ?)", now).
		Set("interrupt_requested_by = ?", orNull(by)).
		Set("interrupt_turn = (SELECT id FROM turns WHERE session_id = s.id AND status = 'running' ORDER BY position DESC LIMIT 1)").Where("s.id = ?", session).Where("s.status = 'in_progress'").Exec(ctx)
	if err != nil {
		return fmt.Errorf("request interrupt of session %s: %w", session, err)
	}
	return nil
}

// cancelTurns ends turns of a session as canceled.
func cancelTurns(q bun.IDB, session uuid.UUID, reason string, now time.Time) *bun.UpdateQuery {
	return q.NewUpdate().Model((*Turn)(nil)).Set("status = 'canceled'").Set("reason = ?", reason).
		Set("finished_at = ?", now).Set(endedSeq).Where("t.session_id = ?", session)
}

// endedSeq notes at the end of a turn which event of the session was the last by then. Whoever ends a turn has its session
// locked, or its lease.
const endedSeq = "ended_seq = (SELECT last_seq FROM sessions WHERE id = t.session_id)"

// CancelRunningTurns ends the turn of a session that is at work. Queued ones stay.
func CancelRunningTurns(ctx context.Context, q bun.IDB, session uuid.UUID, reason string, now time.Time) error {
	_, err := cancelTurns(q, session, reason, now).Where("t.status = 'running'").Exec(ctx)
	if err != nil {
		return fmt.Errorf("cancel running turns of session %s: %w", session, err)
	}
	return nil
}

// CancelRunTurns ends what a run has left of a session and what its agent is at work on, and keeps what people wrote since.
func CancelRunTurns(ctx context.Context, q bun.IDB, session uuid.UUID, reason string, now time.Time) error {
	_, err := cancelTurns(q, session, reason, now).Where("t.status = 'running' OR t.status = 'queued' AND t.kind <> 'reply'").Exec(ctx)
	return wrapped(err, "cancel what a run left of session "+session.String())
}

// CancelOpenTurns ends all turns of a session that have yet to end.
func CancelOpenTurns(ctx context.Context, q bun.IDB, session uuid.UUID, reason string, now time.Time) error {
	return CancelTurns(ctx, q, session, uuid.Nil, reason, now)
}

// CancelQueuedReplies ends the messages of people that the agent of a session has not begun with.
func CancelQueuedReplies(ctx context.Context, q bun.IDB, session uuid.UUID, reason string, now time.Time) error {
	_, err := cancelTurns(q, session, reason, now).Where("t.status = 'queued' AND t.kind = 'reply'").Exec(ctx)
	return wrapped(err, "cancel queued messages of session "+session.String())
}

// WithdrawTurn ends a person's message that is only queued. It reports whether it was.
func WithdrawTurn(ctx context.Context, q bun.IDB, session, turn uuid.UUID, reason string, now time.Time) (bool, error) {
	res, err := cancelTurns(q, session, reason, now).Where("t.id = ?", turn).Where("t.status = 'queued' AND t.kind = 'reply'").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("withdraw turn %s: %w", turn, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// SetForget lets the next turn of a session begin a new conversation.
func SetForget(ctx context.Context, q bun.IDB, session uuid.UUID) error {
	if _, err := q.NewUpdate().Model((*Session)(nil)).Set("forget = true").Where("s.id = ?", session).Exec(ctx); err != nil {
		return fmt.Errorf("forget conversation of session %s: %w", session, err)
	}
	return nil
}

// TakeForget ends a session's conversation where that was asked for, and returns the one that goes on; empty: none does. Done
// twice it returns the same. It returns ErrLeaseLost, and changes nothing, when the lease is no longer good.
func TakeForget(ctx context.Context, q bun.IDB, lease Lease) (conversation string, err error) {
	err = q.NewUpdate().Model((*Session)(nil)).Set("conversation = CASE WHEN forget THEN '' ELSE conversation END").Set("forget = false").
		Where("s.id = ?", lease.Session).Where("s.worker = ?", lease.Worker).Where("s.fence = ?", lease.Fence).
		Where("s.status = 'in_progress'").Returning("conversation").Scan(ctx, &conversation)
	if IsNotFound(err) {
		return "", ErrLeaseLost
	}
	return conversation, wrapped(err, "begin a new conversation of session "+lease.Session.String())
}

// QueuedReplies lists the messages of people that the agent of a session has not begun with, in order.
func QueuedReplies(ctx context.Context, q bun.IDB, session uuid.UUID) ([]Turn, error) {
	var list []Turn
	err := q.NewSelect().Model(&list).Relation("Author").Where("t.session_id = ?", session).Where("t.status = 'queued' AND t.kind = 'reply'").Order("t.position").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list queued messages of session %s: %w", session, err)
	}
	return list, nil
}
