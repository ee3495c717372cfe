package account

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/fault"
	"carillon/db"
)

// Deactivate ends a person's sign-ins and API tokens and lets them make no other. Their history keeps their name. A nil
// actor is the command line. It returns fault.ErrForbidden also for somebody who may do more than the actor, and
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
			// else it would be the way back in once activated
			return change{}, err
		}
		return change{before: map[string]any{"active": true}, after: map[string]any{"active": false}},
			endAccess(ctx, tx, user)
	})
}

// Activate lets a deactivated person sign in again, with the password and the roles they had. A nil actor is the
// command line. It returns fault.ErrForbidden also for somebody who may do more than the actor.
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

// AuditDenied writes down that a person was refused what they asked for, such as "POST /workspaces", why, and from
// where.
func (s *Service) AuditDenied(ctx context.Context, actor Actor, asked, why, address string) error {
	return db.AddAudit(ctx, s.DB, db.AuditEvent{
		ID: db.NewID(), At: s.Now(), ActorID: actor.ID, Action: "permission.denied", SubjectKind: "request",
		SubjectName: db.Printable(asked, 300), Reason: why, Address: address,
	})
}
