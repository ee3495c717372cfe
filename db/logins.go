package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Login is a browser's sign-in.
type Login struct {
	bun.BaseModel `bun:"table:logins,alias:l"`

	ID        uuid.UUID `bun:"id,pk,type:uuid"`
	UserID    uuid.UUID `bun:"user_id,type:uuid"`
	CreatedAt time.Time `bun:"created_at"`
	SeenAt    time.Time `bun:"seen_at"`
	ExpiresAt time.Time `bun:"expires_at"`
	Address   string    `bun:"address"`
	UserAgent string    `bun:"user_agent"`
}

// InsertLogin writes a new sign-in.
func InsertLogin(ctx context.Context, q bun.IDB, l *Login) error {
	if _, err := q.NewInsert().Model(l).Exec(ctx); err != nil {
		return fmt.Errorf("insert login: %w", err)
	}
	return nil
}

// Logins lists a person's valid sign-ins, the last used first.
func Logins(ctx context.Context, q bun.IDB, user uuid.UUID, now time.Time) ([]Login, error) {
	var list []Login
	err := q.NewSelect().Model(&list).Where("l.user_id = ?", user).Where("l.expires_at > ?", now).
		OrderExpr("l.seen_at DESC, l.id DESC").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list logins: %w", err)
	}
	return list, nil
}

// LoginAddresses lists the client addresses of the valid sign-ins of the person with an e-mail address.
func LoginAddresses(ctx context.Context, q bun.IDB, email string, now time.Time) ([]string, error) {
	var list []string
	err := q.NewSelect().TableExpr("logins AS l").ColumnExpr("DISTINCT l.address").
		Join("JOIN users u ON u.id = l.user_id").
		Where("lower(u.email) = lower(?)", email).Where("l.expires_at > ?", now).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("list addresses of logins: %w", err)
	}
	return list, nil
}

// TouchLogin records that a login was used. It writes at most once a minute for each.
func TouchLogin(ctx context.Context, q bun.IDB, login uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Table("logins").Set("seen_at = ?", now).
		Where("id = ?", login).Where("seen_at < ?", now.Add(-time.Minute)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("touch login: %w", err)
	}
	return nil
}

// DeleteLogin ends one sign-in.
func DeleteLogin(ctx context.Context, q bun.IDB, login uuid.UUID) error {
	if _, err := q.NewDelete().Table("logins").Where("id = ?", login).Exec(ctx); err != nil {
		return fmt.Errorf("delete login: %w", err)
	}
	return nil
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

// DeleteLogins ends every sign-in of a person, except one that may be zero.
func DeleteLogins(ctx context.Context, q bun.IDB, user, except uuid.UUID) error {
	if _, err := q.NewDelete().Table("logins").Where("user_id = ?", user).Where("id <> ?", except).
		Exec(ctx); err != nil {
		return fmt.Errorf("delete logins: %w", err)
	}
	return nil
}

// pruneLogins deletes the logins that expired before a time.
func pruneLogins(ctx context.Context, q bun.IDB, before time.Time) error {
	_, err := q.NewDelete().Table("logins").Where("expires_at < ?", before).Exec(ctx)
	return wrap(err, "prune logins")
}
