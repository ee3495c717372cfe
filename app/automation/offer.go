package automation

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/db"
)

// makeOffer asks somebody who may do more than the actor to take an automation over. Until they accept, nothing
// changes. One that was open before is no more.
func (s Transfers) makeOffer(ctx context.Context, tx bun.Tx, actor account.Actor, a *db.Automation, to *db.User) error {
	o := &db.TransferOffer{AutomationID: a.ID, ToID: to.ID, FromID: actor.ID, CreatedAt: s.Now()}
	if err := db.SaveOffer(ctx, tx, o); err != nil {
		return err
	}
	err := s.notify(ctx, tx, a, []uuid.UUID{to.ID}, inbox.Notice{
		Kind: inbox.Transferred, Title: a.Name + " is offered to you", Key: "offered " + db.NewID().String(),
		Body: fmt.Sprintf(
			"%s asks you to take this automation over. It would run with your access. "+
				"Accept or decline it on its page.", actor.Name),
	})
	if err != nil {
		return err
	}
	return s.auditOffer(ctx, tx, actor, "automation.offer", a, nil,
		map[string]any{"offered_to": to.Name, "offered_to_id": to.ID.String()})
}

func (s Transfers) auditOffer(ctx context.Context, tx bun.Tx, actor account.Actor, action string, a *db.Automation,
	before, after map[string]any) error {
	return db.AddAudit(ctx, tx, db.AuditEvent{
		ID: db.NewID(), At: s.Now(), ActorID: actor.ID, Action: action, SubjectKind: "automation", SubjectID: a.ID,
		SubjectName: a.Name,
		WorkspaceID: a.WorkspaceID, Before: before, After: after,
	})
}

// Offer is the open offer of an automation, for whom it is made to and for whoever may manage the automation; else nil.
func (s Transfers) Offer(ctx context.Context, actor account.Actor, a *db.Automation) (*db.TransferOffer, error) {
	o, err := db.OfferOf(ctx, s.DB, a.ID)
	if err != nil || o == nil || o.ToID != actor.ID && !CanManage(actor, a) {
		return nil, err
	}
	return o, nil
}

// Accept takes over an automation that was offered to the actor, as the actor saw it: version is that of the page.
// It returns fault.ErrNotFound for who is made no offer, and for a program; fault.ErrStale where the automation was
// changed since; and fault.Invalid, by the field answer, where the offer is worth nothing any more.
func (s Transfers) Accept(ctx context.Context, actor account.Actor, id uuid.UUID, version int64) error {
	return s.answerOffer(ctx, actor, id, func(ctx context.Context, tx bun.Tx, a *db.Automation,
		o *db.TransferOffer) error {
		if a.Version != version {
			return fault.ErrStale
		}
		if err := requireStandingOffer(ctx, tx, a, o); err != nil {
			return err
		}
		owner, err := db.UserByID(ctx, tx, actor.ID)
		if err != nil {
			return err
		}
		if reason, err := s.cannotOwn(ctx, tx, owner, a); err != nil {
			return err
		} else if reason != "" {
			return fault.Invalid{"answer": reason}
		}
		return s.setOwner(ctx, tx, actor, a, owner)
	})
}

// requireStandingOffer refuses an offer whose maker could not give the automation away any more.
func requireStandingOffer(ctx context.Context, tx bun.Tx, a *db.Automation, o *db.TransferOffer) error {
	from, err := db.UserByID(ctx, tx, o.FromID)
	if err != nil {
		return err
	}
	member, err := db.IsMember(ctx, tx, a.WorkspaceID, from.ID)
	if err != nil {
		return err
	}
	maker := account.ActorOf(from)
	if !from.DeactivatedAt.IsZero() || !CanManage(maker, a) || !member && !maker.Can(account.Admin) {
		return fault.Invalid{"answer": from.Name + ", who offered it, may not give it away any more."}
	}
	return nil
}

// Decline refuses an automation that was offered to the actor. It returns fault.ErrNotFound as Accept does.
func (s Transfers) Decline(ctx context.Context, actor account.Actor, id uuid.UUID) error {
	return s.answerOffer(ctx, actor, id, func(ctx context.Context, tx bun.Tx, a *db.Automation,
		o *db.TransferOffer) error {
		err := s.notify(ctx, tx, a, []uuid.UUID{o.FromID}, inbox.Notice{
			Kind: inbox.Transferred, Title: a.Name + " was declined", Key: "declined " + db.NewID().String(),
			Body: actor.Name + " does not take it over. It stays whose it is.",
		})
		if err != nil {
			return err
		}
		return s.auditOffer(ctx, tx, actor, "automation.decline_offer", a, map[string]any{"offered_to": actor.Name},
			nil)
	})
}

// answerOffer ends an offer that is made to the actor, once answer has carried out what they chose.
func (s Transfers) answerOffer(ctx context.Context, actor account.Actor, id uuid.UUID,
	answer func(ctx context.Context, tx bun.Tx, a *db.Automation, o *db.TransferOffer) error,
) error {
	if _, err := s.Definitions().Find(ctx, actor, id); err != nil {
		return err
	}
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		a, err := account.Found(db.LockAutomation(ctx, tx, id))
		if err != nil {
			return err
		}
		o, err := db.OfferOf(ctx, tx, id)
		if err != nil {
			return err
		}
		if o == nil || o.ToID != actor.ID || actor.Session != uuid.Nil || actor.Token != uuid.Nil {
			return fault.ErrNotFound
		}
		if actor, err = account.AsOfNow(ctx, tx, actor); err != nil {
			return err
		}
		if err := account.RequireMember(ctx, tx, actor, a.WorkspaceID); err != nil {
			return err
		}
		if err := answer(ctx, tx, a, o); err != nil {
			return err
		}
		if err := db.DeleteOffer(ctx, tx, id); err != nil {
			return err
		}
		return notifyChange(ctx, tx, id)
	})
	return fault.Wrap(err, "answer the offer of automation %s", id)
}

// Withdraw ends the open offer of an automation that the actor may change. It returns fault.ErrNotFound where none
// is open, and the errors of every change.
func (s Transfers) Withdraw(ctx context.Context, actor account.Actor, id uuid.UUID) error {
	if _, err := s.Definitions().manageable(ctx, actor, id); err != nil {
		return err
	}
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		a, actor, err := lockManageable(ctx, tx, actor, id)
		if err != nil {
			return err
		}
		o, err := db.OfferOf(ctx, tx, id)
		if err != nil {
			return err
		}
		if o == nil {
			return fault.ErrNotFound
		}
		if err := db.DeleteOffer(ctx, tx, id); err != nil {
			return err
		}
		return s.auditOffer(ctx, tx, actor, "automation.withdraw_offer", a, map[string]any{"offered_to": o.To.Name},
			nil)
	})
	return fault.Wrap(err, "withdraw the offer of automation %s", id)
}
