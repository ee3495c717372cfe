package account

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/fault"
	"carillon/db"
)

// Deactivate ends a person's sign-ins and API tokens and prevents new ones. History keeps the person's name. A nil
// actor is the command line. It returns fault.ErrForbidden also for a person who may do more than the actor, and
// fault.Invalid, by the field user, for the actor's own account and for the last administrator.
func (s *Service) Deactivate(ctx context.Context, actor *Actor, user uuid.UUID) error {
	if actor != nil && actor.ID == user {
		if !actor.Can(ManageUsers) {
			return fault.ErrForbidden
		}
		return fault.Invalid{"user": "You cannot deactivate your own account."}
	}
	return s.changeOther(ctx, actor, user, "user.deactivate", func(ctx context.Context, tx bun.Tx, u *db.User,
		now time.Time) (change, error) {
		if !u.DeactivatedAt.IsZero() {
			return change{quiet: true}, nil
		}
		if err := db.SetDeactivated(ctx, tx, user, now, now); err != nil {
			return change{}, err
		}
		if err := s.keepAdministrator(ctx, tx, u, "user"); err != nil {
			return change{}, err
		}
		if _, err := db.TakePasswordLink(ctx, tx, user, nil); err != nil {
			// otherwise the link would be valid again after an activation
			return change{}, err
		}
		return change{before: map[string]any{"active": true}, after: map[string]any{"active": false}},
			endAccess(ctx, tx, user)
	})
}

// Activate allows a deactivated person to sign in again, with the former password and roles. A nil actor is the command
// line. It returns fault.ErrForbidden also for a person who may do more than the actor.
func (s *Service) Activate(ctx context.Context, actor *Actor, user uuid.UUID) error {
	return s.changeOther(ctx, actor, user, "user.activate", func(ctx context.Context, tx bun.Tx, u *db.User,
		now time.Time) (change, error) {
		if u.DeactivatedAt.IsZero() {
			return change{quiet: true}, nil
		}
		return change{before: map[string]any{"active": false}, after: map[string]any{"active": true}},
			db.SetDeactivated(ctx, tx, user, time.Time{}, now)
	})
}

// AuditDenied writes a refused request of a person, such as "POST /workspaces", into the audit log, with the reason and
// the client's address.
func (s *Service) AuditDenied(ctx context.Context, actor Actor, asked, why, address string) error {
	return db.AddAudit(ctx, s.DB, db.AuditEvent{
		ID: db.NewID(), At: s.Now(), ActorID: actor.ID, Action: "permission.denied", SubjectKind: "request",
		SubjectName: db.Printable(asked, 300), Reason: why, Address: address,
	})
}
