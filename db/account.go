package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// NthFailure finds when the nth newest failure of a key since a time happened, from 1. The time is zero when there are
// fewer.
func NthFailure(ctx context.Context, q bun.IDB, key []byte, since time.Time, n int) (time.Time, error) {
	var at time.Time
	err := q.NewSelect().Table("sign_in_failures").Column("at").Where("key = ?", key).Where("at > ?", since).
		OrderExpr("at DESC").Offset(int64(n)-1).Limit(1).Scan(ctx, &at)
	if err != nil && !IsNotFound(err) {
		return time.Time{}, fmt.Errorf("find sign-in failure: %w", err)
	}
	return at, nil
}

// TakeBackFailure forgets one failure of each key that was recorded at a time.
func TakeBackFailure(ctx context.Context, q bun.IDB, at time.Time, keys ...[]byte) error {
	for _, key := range keys {
		_, err := q.NewRaw("DELETE FROM sign_in_failures WHERE ctid IN "+
			"(SELECT ctid FROM sign_in_failures WHERE key = ? AND at = ? LIMIT 1 FOR UPDATE SKIP LOCKED)", key, at).Exec(ctx)
		if err != nil {
			return fmt.Errorf("take back sign-in failure: %w", err)
		}
	}
	return nil
}

// SetDeactivated writes since when a person may not sign in; a zero time lets them again.
func SetDeactivated(ctx context.Context, q bun.IDB, user uuid.UUID, since, now time.Time) error {
	_, err := q.NewUpdate().Model(&User{ID: user, DeactivatedAt: since, UpdatedAt: now}).Column("deactivated_at", "updated_at").WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("deactivate user %s: %w", user, err)
	}
	return nil
}

// LoginAddresses lists from where the person of an e-mail address is signed in.
func LoginAddresses(ctx context.Context, q bun.IDB, email string, now time.Time) ([]string, error) {
	var list []string
	err := q.NewSelect().TableExpr("logins AS l").ColumnExpr("DISTINCT l.address").Join("JOIN users u ON u.id = l.user_id").
		Where("lower(u.email) = lower(?)", email).Where("l.expires_at > ?", now).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("list addresses of logins: %w", err)
	}
	return list, nil
}
