package ticket

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/db"
)

// Claim takes the next ticket of the queue for a session: of the open ones of its workspace the most urgent, and
// of those the oldest; with a label, unless that is empty. However many claim at once, each ticket goes to one. It
// returns nil when the queue is empty.
//
// A session has one at a time: until the one it has claimed is done, canceled or open again, it gets that one again. So
// an agent that was interrupted, or asks twice, goes on with what it has, and takes nothing away from others.
func (s *Service) Claim(ctx context.Context, actor account.Actor, label string) (*db.Ticket, error) {
	if actor.Session == uuid.Nil {
		return nil, fault.ErrForbidden
	}
	if err := mayChange(ctx, s.DB, actor, actor.Workspace); err != nil {
		return nil, err
	}
	label = strings.TrimSpace(label)
	var id uuid.UUID
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		// Under the lock, so that a session that ends meanwhile takes no ticket with it, and one that asks twice at
		// once gets one.
		session, err := db.LockSession(ctx, tx, actor.Session)
		if err != nil {
			return err
		}
		if session.Status != db.SessionInProgress {
			return fault.ErrForbidden
		}
		t, err := db.ClaimedTicket(ctx, tx, actor.Session)
		if err != nil {
			return err
		}
		if t != nil {
			id = t.ID
			return nil
		}
		now := s.Now()
		if t, err = db.ClaimTicket(ctx, tx, actor.Workspace, actor.Session, label, now); err != nil || t == nil {
			return err
		}
		id = t.ID
		if err := db.LinkTicket(ctx, tx, t.ID, actor.Session, now); err != nil {
			return err
		}
		return audit(ctx, tx, now, actor, "ticket.claim", t, nil)
	})
	if err != nil || id == uuid.Nil {
		return nil, fault.Wrap(err, "claim a ticket for session %s", actor.Session)
	}
	return s.Find(ctx, actor, id)
}

// Release puts the ticket that a session has claimed back into the queue, for a reason: its run did not succeed, and
// others are to get it. What a person wants to hold back is closed by a person.
func Release(ctx context.Context, tx bun.Tx, now time.Time, session uuid.UUID, reason string) error {
	t, err := db.ClaimedTicket(ctx, tx, session)
	if err != nil || t == nil {
		return err
	}
	if t, err = db.LockTicket(ctx, tx, t.ID); err != nil {
		return err
	}
	if t.ClaimedBy != session {
		return nil
	}
	before := *t
	move(t, db.TicketOpen, now)
	t.Version, t.UpdatedAt = t.Version+1, now
	if err := db.SaveTicket(ctx, tx, t); err != nil {
		return err
	}
	return writeAudit(ctx, tx, now, uuid.Nil, session, "ticket.release", t, &before, reason)
}

// Link notes that a session that the actor sees works on a ticket of the same workspace. It returns fault.Invalid for
// "ticket", and the errors of account.SeesSession.
func (s *Service) Link(ctx context.Context, actor account.Actor, session uuid.UUID, number int64) error {
	return db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		if _, err := account.Found(db.LockSession(ctx, tx, session)); err != nil {
			return err
		}
		locked, err := db.SessionByID(ctx, tx, session) // with its automation, whose owner sees it too
		if err != nil {
			return err
		}
		if err := account.SeesSession(ctx, tx, actor, locked); err != nil {
			return err
		}
		if err := mayChange(ctx, tx, actor, locked.WorkspaceID); err != nil {
			return err
		}
		t, err := db.TicketByNumber(ctx, tx, locked.WorkspaceID, number)
		if db.IsNotFound(err) {
			return fault.Invalid{"ticket": fmt.Sprintf("There is no ticket #%d in this workspace.", number)}
		}
		if err != nil {
			return err
		}
		if err := db.LinkTicket(ctx, tx, t.ID, session, s.Now()); err != nil {
			return err
		}
		return db.Notify(ctx, tx, "session", session)
	})
}

// Unlink takes the link between a ticket and a session away. The one that a session has claimed stays linked.
func (s *Service) Unlink(ctx context.Context, actor account.Actor, id, session uuid.UUID) error {
	t, err := s.Find(ctx, actor, id)
	if err != nil {
		return err
	}
	if err := mayChange(ctx, s.DB, actor, t.WorkspaceID); err != nil {
		return err
	}
	if session != uuid.Nil && t.ClaimedBy == session {
		return fault.Invalid{"session": "This session has claimed the ticket. Change its status first."}
	}
	return db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		there, err := db.UnlinkTicket(ctx, tx, id, session)
		if err != nil {
			return err
		}
		if !there {
			return fault.ErrNotFound
		}
		return db.Notify(ctx, tx, "session", session)
	})
}

// audit records what was done to a ticket. Without before it is all of it, else what changed; nothing changed is
// not recorded.
func audit(ctx context.Context, q bun.IDB, now time.Time, actor account.Actor, action string, t,
	before *db.Ticket) error {
	return writeAudit(ctx, q, now, actor.ID, actor.Session, action, t, before, "")
}

func writeAudit(ctx context.Context, q bun.IDB, now time.Time, actor, session uuid.UUID, action string, t,
	before *db.Ticket, reason string) error {
	var was map[string]any
	is := described(t)
	if before != nil {
		was = described(before)
		if !account.Differences(was, is) {
			return nil
		}
	}
	if session != uuid.Nil {
		is["session_id"] = session.String()
	}
	return db.AddAudit(ctx, q, db.AuditEvent{
		ID: db.NewID(), At: now, ActorID: actor, Action: action, SubjectKind: "ticket", SubjectID: t.ID,
		SubjectName: fmt.Sprintf("#%d %s", t.Number, t.Title), WorkspaceID: t.WorkspaceID, Reason: reason, Before: was,
		After: is,
	})
}

// described is what the audit log keeps of a ticket.
func described(t *db.Ticket) map[string]any {
	m := map[string]any{
		"title": t.Title, "body": t.Body, "priority": PriorityWord(t.Priority), "status": string(t.Status),
		"assignee_id": "", "labels": strings.Join(t.Labels, ", "),
	}
	if t.AssigneeID != uuid.Nil {
		m["assignee_id"] = t.AssigneeID.String()
	}
	return m
}
