package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Notification is a notice in a person's inbox.
type Notification struct {
	bun.BaseModel `bun:"table:notifications,alias:n"`

	ID           uuid.UUID `bun:"id,pk,type:uuid"`
	UserID       uuid.UUID `bun:"user_id,type:uuid"`
	Kind         string    `bun:"kind"`
	Title        string    `bun:"title"`
	Body         string    `bun:"body"`
	WorkspaceID  uuid.UUID `bun:"workspace_id,nullzero,type:uuid"` // that it is about; zero: none
	AutomationID uuid.UUID `bun:"automation_id,nullzero,type:uuid"`
	ExecutionID  uuid.UUID `bun:"execution_id,nullzero,type:uuid"`
	SessionID    uuid.UUID `bun:"session_id,nullzero,type:uuid"`
	Link         string    `bun:"link"`
	DedupKey     string    `bun:"dedup_key"`
	CreatedAt    time.Time `bun:"created_at"`
	ReadAt       time.Time `bun:"read_at,nullzero"`
	StarredAt    time.Time `bun:"starred_at,nullzero"`
	DismissedAt  time.Time `bun:"dismissed_at,nullzero"`

	Automation *Automation `bun:"rel:belongs-to,join:automation_id=id"`
}

// InsertNotifications writes notices, without those whose key the person has had already. It returns the notices that
// it has written, queues copies for people who want them, and notifies their open pages.
func InsertNotifications(ctx context.Context, q bun.IDB, list []Notification) ([]Notification, error) {
	if len(list) == 0 {
		return nil, nil
	}
	var written []Notification
	err := q.NewInsert().Model(&list).On("CONFLICT (user_id, dedup_key) DO NOTHING").Returning("*").Scan(ctx, &written)
	if err != nil && !IsNotFound(err) {
		return nil, fmt.Errorf("insert notifications: %w", err)
	}
	var people []uuid.UUID
	notified := map[uuid.UUID]bool{}
	for _, n := range written {
		if !notified[n.UserID] {
			notified[n.UserID] = true
			people = append(people, n.UserID)
		}
	}
	if err := NotifyEach(ctx, q, "inbox", people); err != nil {
		return nil, err
	}
	return written, queueCopies(ctx, q, written)
}

// NoticeSubject is the subject of a notice. Zero fields do not count.
type NoticeSubject struct{ Automation, Execution, Session uuid.UUID }

// HasNotice reports whether a person has had a notice about one of the subjects, dismissed or not.
func HasNotice(ctx context.Context, q bun.IDB, person uuid.UUID, of NoticeSubject) (bool, error) {
	found, err := q.NewSelect().Model((*Notification)(nil)).Where("n.user_id = ?", person).
		Where("(n.automation_id = ? OR n.execution_id = ? OR n.session_id = ?)", orNull(of.Automation),
			orNull(of.Execution), orNull(of.Session)).
		Exists(ctx)
	if err != nil {
		return false, fmt.Errorf("look for a notice: %w", err)
	}
	return found, nil
}

// NotificationFilter narrows an inbox. Zero fields do not narrow.
type NotificationFilter struct {
	User    uuid.UUID
	Unread  bool
	Starred bool
	Kind    string
	Before  uuid.UUID
	Limit   int
}

// Notifications lists a person's notices, newest first.
func Notifications(ctx context.Context, q bun.IDB, f NotificationFilter) ([]Notification, error) {
	var list []Notification
	sel := q.NewSelect().Model(&list).Relation("Automation").Where("n.user_id = ?", f.User).
		Where("n.dismissed_at IS NULL").
		OrderExpr("n.id DESC").Limit(int64(f.Limit))
	if f.Unread {
		sel = sel.Where("n.read_at IS NULL")
	}
	if f.Starred {
		sel = sel.Where("n.starred_at IS NOT NULL")
	}
	if f.Kind != "" {
		sel = sel.Where("n.kind = ?", f.Kind)
	}
	if f.Before != uuid.Nil {
		sel = sel.Where("n.id < ?", f.Before)
	}
	if err := sel.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list notifications: %w", err)
	}
	return list, nil
}

// NotificationByID finds a notice of a person.
func NotificationByID(ctx context.Context, q bun.IDB, user, id uuid.UUID) (*Notification, error) {
	var n Notification
	if err := q.NewSelect().Model(&n).Relation("Automation").Where("n.id = ?", id).Where("n.user_id = ?", user).
		Scan(ctx); err != nil {
		return nil, fmt.Errorf("find notification %s: %w", id, err)
	}
	return &n, nil
}

// CountUnread counts a person's unread notices.
func CountUnread(ctx context.Context, q bun.IDB, user uuid.UUID) (int64, error) {
	n, err := q.NewSelect().Model((*Notification)(nil)).Where("n.user_id = ?", user).
		Where("n.read_at IS NULL AND n.dismissed_at IS NULL").Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("count unread notifications: %w", err)
	}
	return n, nil
}

// CountNotices counts the notices of a kind about a session.
func CountNotices(ctx context.Context, q bun.IDB, session uuid.UUID, kind string) (int, error) {
	n, err := q.NewSelect().Model((*Notification)(nil)).Where("n.session_id = ?", session).Where("n.kind = ?", kind).
		Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("count notices of session %s: %w", session, err)
	}
	return int(n), nil
}

// MarkNotification sets or clears a time of a person's notice: read_at, starred_at or dismissed_at.
func MarkNotification(ctx context.Context, q bun.IDB, user, id uuid.UUID, column string, at time.Time) error {
	res, err := q.NewUpdate().Model((*Notification)(nil)).Set("? = ?", bun.Ident(column), bun.NullZero(at)).
		Where("n.id = ?", id).Where("n.user_id = ?", user).Exec(ctx)
	if err != nil {
		return fmt.Errorf("mark notification %s: %w", id, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return fmt.Errorf("mark notification %s: %w", id, errNoRows)
	}
	return Notify(ctx, q, "inbox", user)
}

// MarkAllRead marks every unread notice of a person as read.
func MarkAllRead(ctx context.Context, q bun.IDB, user uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Model((*Notification)(nil)).Set("read_at = ?", now).
		Where("n.user_id = ?", user).Where("n.read_at IS NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("mark all notifications read: %w", err)
	}
	return Notify(ctx, q, "inbox", user)
}

// PruneNotifications deletes notices that were read before a time and are not starred.
func PruneNotifications(ctx context.Context, q bun.IDB, before time.Time) error {
	_, err := q.NewDelete().Model((*Notification)(nil)).Where("n.starred_at IS NULL").
		Where("coalesce(n.read_at, n.dismissed_at) < ?", before).Exec(ctx)
	if err != nil {
		return fmt.Errorf("prune notifications: %w", err)
	}
	return nil
}
