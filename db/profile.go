package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// NoticePreferences is which copies of their notices a person wants outside the inbox.
type NoticePreferences struct {
	bun.BaseModel `bun:"table:notice_preferences,alias:np"`

	UserID        uuid.UUID `bun:"user_id,pk,type:uuid"`
	Email         bool      `bun:"email"`
	WebhookURL    string    `bun:"webhook_url"`
	WebhookSecret []byte    `bun:"webhook_secret,nullzero"` // sealed
	Muted         []string  `bun:"muted,array"`             // kinds without copies
	UpdatedAt     time.Time `bun:"updated_at"`
}

// NoticePreferencesOf finds what a person chose; somebody who never did has the zero choice.
func NoticePreferencesOf(ctx context.Context, q bun.IDB, user uuid.UUID) (*NoticePreferences, error) {
	p := NoticePreferences{UserID: user, Muted: []string{}}
	err := q.NewSelect().Model(&p).Where("np.user_id = ?", user).Scan(ctx)
	if err != nil && !IsNotFound(err) {
		return nil, fmt.Errorf("find notice preferences: %w", err)
	}
	return &p, nil
}

// SaveNoticePreferences writes what a person chose.
func SaveNoticePreferences(ctx context.Context, q bun.IDB, p *NoticePreferences) error {
	_, err := q.NewInsert().Model(p).On("CONFLICT (user_id) DO UPDATE").Set("email = EXCLUDED.email").Set("webhook_url = EXCLUDED.webhook_url").
		Set("webhook_secret = EXCLUDED.webhook_secret").Set("muted = EXCLUDED.muted").Set("updated_at = EXCLUDED.updated_at").Exec(ctx)
	if err != nil {
		return fmt.Errorf("save notice preferences: %w", err)
	}
	return nil
}

// LockUser locks a person's row and finds it, so that what is read before a change still holds when it is written.
func LockUser(ctx context.Context, tx bun.Tx, id uuid.UUID) (*User, error) {
	var u User
	if err := tx.NewSelect().Model(&u).Where("u.id = ?", id).For("NO KEY UPDATE").Scan(ctx); err != nil {
		return nil, fmt.Errorf("lock user %s: %w", id, err)
	}
	return &u, nil
}

// UpdateProfile writes a person's name, time zone and theme.
func UpdateProfile(ctx context.Context, q bun.IDB, u *User) error {
	if _, err := q.NewUpdate().Model(u).Column("name", "time_zone", "theme", "updated_at").WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("update profile: %w", err)
	}
	return nil
}

// Logins lists a person's sign-ins that are still good, the last used first.
func Logins(ctx context.Context, q bun.IDB, user uuid.UUID, now time.Time) ([]Login, error) {
	var list []Login
	err := q.NewSelect().Model(&list).Where("l.user_id = ?", user).Where("l.expires_at > ?", now).OrderExpr("l.seen_at DESC, l.id DESC").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list logins: %w", err)
	}
	return list, nil
}

// DeleteLoginOf ends one sign-in of a person and reports whether there was one.
func DeleteLoginOf(ctx context.Context, q bun.IDB, user, login uuid.UUID) (bool, error) {
	res, err := q.NewDelete().Model((*Login)(nil)).Where("l.id = ?", login).Where("l.user_id = ?", user).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("delete login: %w", err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}
