package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// NoticePreferences says which copies of notices a person wants outside the inbox.
type NoticePreferences struct {
	bun.BaseModel `bun:"table:notice_preferences,alias:np"`

	UserID        uuid.UUID `bun:"user_id,pk,type:uuid"`
	Email         bool      `bun:"email"`
	WebhookURL    string    `bun:"webhook_url"`
	WebhookSecret []byte    `bun:"webhook_secret,nullzero"` // sealed
	Muted         []string  `bun:"muted,array"`             // kinds without copies
	UpdatedAt     time.Time `bun:"updated_at"`
}

// NoticePreferencesOf finds a person's preferences. Without a row they are zero.
func NoticePreferencesOf(ctx context.Context, q bun.IDB, user uuid.UUID) (*NoticePreferences, error) {
	p := NoticePreferences{UserID: user, Muted: []string{}}
	err := q.NewSelect().Model(&p).Where("np.user_id = ?", user).Scan(ctx)
	if err != nil && !IsNotFound(err) {
		return nil, fmt.Errorf("find notice preferences: %w", err)
	}
	return &p, nil
}

// SaveNoticePreferences writes a person's preferences.
func SaveNoticePreferences(ctx context.Context, q bun.IDB, p *NoticePreferences) error {
	_, err := q.NewInsert().Model(p).On("CONFLICT (user_id) DO UPDATE").Set("email = EXCLUDED.email").
		Set("webhook_url = EXCLUDED.webhook_url").
		Set("webhook_secret = EXCLUDED.webhook_secret").Set("muted = EXCLUDED.muted").
		Set("updated_at = EXCLUDED.updated_at").Exec(ctx)
	if err != nil {
		return fmt.Errorf("save notice preferences: %w", err)
	}
	return nil
}
