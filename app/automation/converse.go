package automation

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/db"
)

// InterruptTurn ends what an agent is doing and keeps its session open; what was written to it meanwhile comes next. A
// session that is not at work is left as it is.
func (s Sessions) InterruptTurn(ctx context.Context, actor account.Actor, id uuid.UUID) error {
	err := s.change(ctx, actor, id, func(ctx context.Context, tx bun.Tx, session *db.Session,
		now time.Time) error {
		if session.Status != db.SessionInProgress {
			return nil
		}
		if err := db.RequestInterrupt(ctx, tx, id, actor.ID, now); err != nil {
			return err
		}
		return db.Notify(ctx, tx, "interrupt", id)
	})
	return fault.Wrap(err, "interrupt session %s", id)
}

// ResetContext lets the next turn of a session begin a new conversation: the agent forgets what was said, and keeps the
// worktree. A turn at work goes on with what it knows.
func (s Sessions) ResetContext(ctx context.Context, actor account.Actor, id uuid.UUID) error {
	err := s.change(ctx, actor, id, func(ctx context.Context, tx bun.Tx, session *db.Session,
		_ time.Time) error {
		if p, ok := s.Providers.Find(session.Provider); ok && p.Script {
			return fault.Invalid{"message": "A script has no conversation to forget."}
		}
		return db.RequestContextReset(ctx, tx, id)
	})
	return fault.Wrap(err, "reset context of session %s", id)
}

// Withdraw takes back a message that the agent of a session has not begun with. One that it has is left as it is.
func (s Sessions) Withdraw(ctx context.Context, actor account.Actor, id, turn uuid.UUID) error {
	err := s.change(ctx, actor, id, func(ctx context.Context, tx bun.Tx, session *db.Session,
		now time.Time) error {
		taken, err := db.WithdrawTurn(ctx, tx, id, turn, "taken back by "+actor.Name, now)
		if err != nil || !taken || session.Status != db.SessionQueued {
			return err
		}
		pending, err := db.HasQueuedTurns(ctx, tx, id)
		if err != nil || pending {
			return err
		}
		return s.release(ctx, tx, session, db.SessionWaiting, uuid.Nil, now) // it was queued for this message alone
	})
	return fault.Wrap(err, "withdraw message of session %s", id)
}
