package inbox

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/db"
)

// Service carries out what people do with their inboxes. Its fields are set once, in main.
type Service struct {
	DB  bun.IDB
	Now func() time.Time // the instant of every rule
}

// List lists a person's notices, newest first.
func (s *Service) List(ctx context.Context, actor account.Actor, f db.NotificationFilter) ([]db.Notification, error) {
	f.User = actor.ID
	return db.Notifications(ctx, s.DB, f)
}

// Find finds one of a person's notices. Otherwise it returns fault.ErrNotFound.
func (s *Service) Find(ctx context.Context, actor account.Actor, id uuid.UUID) (*db.Notification, error) {
	return account.Found(db.NotificationByID(ctx, s.DB, actor.ID, id))
}

// Read marks a notice as read, or as unread.
func (s *Service) Read(ctx context.Context, actor account.Actor, id uuid.UUID, read bool) error {
	return s.mark(ctx, actor, id, "read_at", read)
}

// Star marks a notice with a star, or takes it away.
func (s *Service) Star(ctx context.Context, actor account.Actor, id uuid.UUID, starred bool) error {
	return s.mark(ctx, actor, id, "starred_at", starred)
}

// Dismiss takes a notice out of the inbox.
func (s *Service) Dismiss(ctx context.Context, actor account.Actor, id uuid.UUID) error {
	return s.mark(ctx, actor, id, "dismissed_at", true)
}

func (s *Service) mark(ctx context.Context, actor account.Actor, id uuid.UUID, column string, on bool) error {
	var at time.Time
	if on {
		at = s.Now()
	}
	err := db.MarkNotification(ctx, s.DB, actor.ID, id, column, at)
	if db.IsNotFound(err) {
		return fault.ErrNotFound
	}
	return err
}

// ReadAll marks every notice of a person as read.
func (s *Service) ReadAll(ctx context.Context, actor account.Actor) error {
	return db.MarkAllRead(ctx, s.DB, actor.ID, s.Now())
}

// Unread counts a person's unread notices.
func (s *Service) Unread(ctx context.Context, actor account.Actor) (int64, error) {
	return db.CountUnread(ctx, s.DB, actor.ID)
}
