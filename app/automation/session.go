package automation

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/aside"
	"carillon/app/crash"
	"carillon/app/fault"
	"carillon/app/prompt"
	"carillon/db"
)

// Find finds a session that a person may see.
func (s Sessions) Find(ctx context.Context, actor account.Actor, id uuid.UUID) (*db.Session, error) {
	session, err := account.Found(db.SessionByID(ctx, s.DB, id))
	if err != nil {
		return nil, err
	}
	if err := account.SeesSession(ctx, s.DB, actor, session); err != nil {
		return nil, err
	}
	return session, nil
}

// CanManageSession reports whether a person may stop, close, reopen and answer a session that they see.
func CanManageSession(actor account.Actor, session *db.Session) bool {
	return actor.Manages(account.OwnersOf(session)...)
}

// change locks a session that a person may manage, and lets change decide.
func (s Sessions) change(ctx context.Context, actor account.Actor, id uuid.UUID,
	change func(ctx context.Context, tx bun.Tx, session *db.Session, now time.Time) error) error {
	seen, err := s.Find(ctx, actor, id)
	if err != nil {
		return err
	}
	if !CanManageSession(actor, seen) {
		return fault.ErrForbidden
	}
	err = db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		session, err := db.LockSession(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := requireStillManages(ctx, tx, actor, session); err != nil {
			return err
		}
		if err := change(ctx, tx, session, s.Now()); err != nil {
			return err
		}
		crash.Here(crash.SessionChanged)
		return db.Notify(ctx, tx, "session", id)
	})
	if err == nil {
		crash.Here(crash.SessionChangeCommitted)
	}
	return err
}

// requireStillManages asks under a session's lock what was asked before it: its automation may have changed hands
// meanwhile, and the right to manage any may be gone.
func requireStillManages(ctx context.Context, tx bun.Tx, actor account.Actor, session *db.Session) error {
	actor, err := account.AsOfNow(ctx, tx, actor)
	if err != nil {
		return err
	}
	if err := account.RequireMember(ctx, tx, actor, session.WorkspaceID); err != nil {
		return err
	}
	owners := []uuid.UUID{session.OwnerID}
	if session.AutomationID != uuid.Nil {
		creator, err := db.CreatorOf(ctx, tx, session.AutomationID)
		if err != nil {
			return err
		}
		owners = append(owners, creator)
	}
	if !actor.Manages(owners...) {
		return fault.ErrForbidden
	}
	return nil
}

// Stop ends what a session is doing. One that is only queued ends at once; one at work is asked to, and ends as
// soon as its agent has. A session that is doing nothing is left as it is.
func (s Sessions) Stop(ctx context.Context, actor account.Actor, id uuid.UUID) error {
	err := s.change(ctx, actor, id, func(ctx context.Context, tx bun.Tx, session *db.Session,
		now time.Time) error {
		return s.stop(ctx, tx, session, actor.ID, "canceled by "+actor.Name, now)
	})
	return fault.Wrap(err, "stop session %s", id)
}

func (s Sessions) stop(ctx context.Context, tx bun.Tx, session *db.Session, by uuid.UUID, reason string,
	now time.Time) error {
	if session.Status == db.SessionQueued || session.Status == db.SessionInProgress {
		// Now, not when the agent has ended: what is written from here on is meant to be answered.
		if err := db.CancelQueuedReplies(ctx, tx, session.ID, reason, now); err != nil {
			return err
		}
	}
	switch session.Status {
	case db.SessionQueued:
		session.CancelRequestedBy = by
		return s.Runs().finishUnattended(ctx, tx, session, Outcome{Status: db.Canceled, Reason: reason})
	case db.SessionInProgress:
		if err := db.RequestCancel(ctx, tx, session.ID, by, now); err != nil {
			return err
		}
		return db.Notify(ctx, tx, "cancel", session.ID)
	default:
		return nil
	}
}

// MarkDone closes an open session. A loop that waited for it goes on.
func (s Sessions) MarkDone(ctx context.Context, actor account.Actor, id uuid.UUID) error {
	err := s.change(ctx, actor, id, func(ctx context.Context, tx bun.Tx, session *db.Session,
		now time.Time) error {
		if session.Status != db.SessionWaiting {
			return fault.Invalid{"status": "The session is not open. Stop it first if it is still at work."}
		}
		return s.release(ctx, tx, session, db.SessionDone, actor.ID, now)
	})
	return fault.Wrap(err, "mark session %s done", id)
}

// idleBatch is how many idle sessions one call of CloseIdle closes at most; the next closes the rest.
const idleBatch = 200

// CloseIdle closes the sessions that have done nothing for as many days as their workspace lets them, as a person would
// by marking them Done: a loop that waited for one goes on.
func (s Sessions) CloseIdle(ctx context.Context) error {
	list, err := db.IdleSessions(ctx, s.DB, s.Now(), idleBatch)
	if err != nil {
		return err
	}
	round := s.Round(db.TaskIdle)
	for i := range list {
		id := list[i].ID
		row := aside.Row{Key: id.String(), About: "the idle session " + list[i].Title, Workspace: list[i].WorkspaceID}
		if err := round.Deal(ctx, row, func(ctx context.Context) error { return s.closeIdle(ctx, id) }); err != nil {
			return err
		}
	}
	return nil
}

func (s Sessions) closeIdle(ctx context.Context, id uuid.UUID) error {
	return db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		session, err := db.LockSession(ctx, tx, id)
		if db.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		now := s.Now()
		if idle, err := db.IsIdle(ctx, tx, id, now); err != nil || !idle {
			// somebody has written, or closed it, meanwhile
			return err
		}
		return s.release(ctx, tx, session, db.SessionDone, uuid.Nil, now)
	})
}

// Reopen opens a closed session again.
func (s Sessions) Reopen(ctx context.Context, actor account.Actor, id uuid.UUID) error {
	err := s.change(ctx, actor, id, func(ctx context.Context, tx bun.Tx, session *db.Session,
		now time.Time) error {
		if !session.Status.Closed() {
			return nil
		}
		if err := workspaceStands(ctx, tx, session.WorkspaceID, "status"); err != nil {
			return err
		}
		if err := db.SettlePullRequests(ctx, tx, id, now); err != nil { // else one that has ended would close it again
			return err
		}
		return db.ReopenSession(ctx, tx, id, now)
	})
	return fault.Wrap(err, "reopen session %s", id)
}

// Reply queues a person's message to the agent of a session. An agent at work gets it when it has finished. A closed
// session opens again.
func (s Sessions) Reply(ctx context.Context, actor account.Actor, id uuid.UUID, text string) error {
	text = strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n ")
	switch {
	case strings.TrimSpace(text) == "":
		return fault.Invalid{"message": "Write a message first."}
	case len(text) > prompt.MaxBytes:
		return fault.Invalid{"message": "The message is over 256 KiB."}
	}
	err := s.change(ctx, actor, id, func(ctx context.Context, tx bun.Tx, session *db.Session,
		now time.Time) error {
		actor, err := account.AsOfNow(ctx, tx, actor)
		if err != nil {
			return err
		}
		if err := s.Providers.MayUse(actor, session.Provider); err != nil {
			return err
		}
		if reason := s.scriptProblem(session.Provider, text); reason != "" {
			return fault.Invalid{"message": reason}
		}
		if err := workspaceStands(ctx, tx, session.WorkspaceID, "message"); err != nil {
			return err
		}
		if session.AtGate && (session.Status == db.SessionQueued || session.Status == db.SessionInProgress) {
			// the gate may let nothing begin here, and then no agent is to answer
			return fault.Invalid{"message": "The session waits for its gate. Write to it once its run has begun."}
		}
		t := db.Turn{
			ID: db.NewID(), SessionID: id, Kind: db.ReplyTurn, AuthorID: actor.ID, Prompt: text,
			Status: db.Queued, CreatedAt: now,
		}
		if err := db.AddTurn(ctx, tx, &t); err != nil {
			return err
		}
		if session.Status.Closed() {
			if err := db.SettlePullRequests(ctx, tx, id, now); err != nil {
				return err
			}
		}
		if session.Status != db.SessionQueued && session.Status != db.SessionInProgress {
			if err := db.Requeue(ctx, tx, id, now); err != nil {
				return err
			}
		}
		return db.Notify(ctx, tx, "queue", uuid.Nil)
	})
	return fault.Wrap(err, "reply to session %s", id)
}

// workspaceStands refuses to go on in a workspace that was removed.
func workspaceStands(ctx context.Context, tx bun.Tx, id uuid.UUID, field string) error {
	w, err := db.WorkspaceByID(ctx, tx, id)
	if err != nil {
		return err
	}
	if !w.RemovedAt.IsZero() {
		return fault.Invalid{field: "The workspace " + w.Name + " was removed, so its sessions cannot go on."}
	}
	return nil
}

// Cancel ends an execution that is in flight, as Stop ends what its session does. One that is over is left as
// it is, whatever its session does meanwhile. It returns the errors of Stop.
func (s Runs) Cancel(ctx context.Context, actor account.Actor, id uuid.UUID) error {
	e, err := s.Find(ctx, actor, id)
	if err != nil {
		return err
	}
	if e.SessionID == uuid.Nil { // it was skipped or missed
		if !CanManage(actor, e.Automation) {
			return fault.ErrForbidden
		}
		return nil
	}
	session, err := s.Sessions().Find(ctx, actor, e.SessionID)
	if err != nil {
		return err
	}
	if !CanManageSession(actor, session) {
		return fault.ErrForbidden
	}
	if !e.Status.InFlight() {
		return nil
	}
	return s.Sessions().Stop(ctx, actor, session.ID)
}
