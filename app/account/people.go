package account

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/fault"
	"carillon/db"
)

// Deactivate ends a person's sign-ins and lets them make no other. Their history keeps their name. A nil actor is the
// command line. It returns fault.ErrForbidden also for somebody who may do more than the actor, and fault.Invalid, by the
// field user, for the actor's own account and for the last administrator.
func (s *Service) Deactivate(ctx context.Context, actor *Actor, user uuid.UUID) error {
	if actor != nil && actor.ID == user {
		return fault.Invalid{"user": "You cannot deactivate your own account."}
	}
	return s.changeOther(ctx, actor, user, "user.deactivate", func(ctx context.Context, tx bun.Tx, u *db.User, now time.Time) error {
		if !u.DeactivatedAt.IsZero() {
			return nil
		}
		administrators, err := db.HoldersOf(ctx, tx, string(Admin))
		if err != nil {
			return err
		}
		if len(administrators) == 1 && slices.Contains(administrators, user) {
			return fault.Invalid{"user": "This is the last administrator. Make another one first."}
		}
		if err := db.SetDeactivated(ctx, tx, user, now, now); err != nil {
			return err
		}
		return db.DeleteLogins(ctx, tx, user, uuid.Nil)
	})
}

// Activate lets a deactivated person sign in again, with the password and the roles they had. A nil actor is the command
// line. It returns fault.ErrForbidden also for somebody who may do more than the actor.
func (s *Service) Activate(ctx context.Context, actor *Actor, user uuid.UUID) error {
	return s.changeOther(ctx, actor, user, "user.activate", func(ctx context.Context, tx bun.Tx, _ *db.User, now time.Time) error {
		return db.SetDeactivated(ctx, tx, user, time.Time{}, now)
	})
}

// Denied writes down that a person was refused what they asked for, such as "POST /workspaces", and from where.
func (s *Service) Denied(ctx context.Context, actor Actor, asked, address string) error {
	return db.AddAudit(ctx, s.DB, db.AuditEvent{
		ID: db.NewID(), At: s.Now(), ActorID: actor.ID, Action: "permission.denied", SubjectKind: "request",
		SubjectName: db.Printable(asked, 300), Address: address,
	})
}

// changeOther lets fn change somebody else's account and writes it down. All such changes wait for one another, so that
// two administrators cannot deactivate each other.
func (s *Service) changeOther(ctx context.Context, actor *Actor, user uuid.UUID, action string,
	fn func(ctx context.Context, tx bun.Tx, u *db.User, now time.Time) error) error {
	if actor != nil && !actor.Can(ManageUsers) {
		return fault.ErrForbidden
	}
	err := s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := db.LockKey(ctx, tx, uuid.Nil); err != nil {
			return err
		}
		// Against a sign-in or a change of their own, which lock the row.
		if _, err := db.LockUser(ctx, tx, user); db.IsNotFound(err) {
			return fault.ErrNotFound
		} else if err != nil {
			return err
		}
		u, err := db.UserByID(ctx, tx, user)
		if err != nil {
			return err
		}
		if actor != nil && !actor.covers(u.Permissions) {
			return fault.ErrForbidden
		}
		now := s.Now()
		if err := fn(ctx, tx, u, now); err != nil {
			return err
		}
		event := db.AuditEvent{ID: db.NewID(), At: now, Action: action, SubjectKind: "user", SubjectID: user, SubjectName: u.Name}
		if actor != nil {
			event.ActorID = actor.ID
		}
		return db.AddAudit(ctx, tx, event)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	return nil
}
