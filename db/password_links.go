package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// PasswordLink is a link by which a person chooses a password or confirms the address.
type PasswordLink struct {
	bun.BaseModel `bun:"table:password_links,alias:pl"`

	UserID    uuid.UUID `bun:"user_id,pk,type:uuid"`
	Hash      []byte    `bun:"hash"`
	Invites   bool      `bun:"invites"`
	Confirms  bool      `bun:"confirms"` // it only confirms the address
	Mailed    bool      `bun:"mailed"`   // it was sent to the person's address alone, so its creator has not seen it
	CreatedBy uuid.UUID `bun:"created_by,nullzero,type:uuid"`
	CreatedAt time.Time `bun:"created_at"`
	ExpiresAt time.Time `bun:"expires_at"`
}

const invitedUntil = "(SELECT pl.expires_at FROM password_links pl WHERE pl.user_id = u.id AND pl.invites)"

// SavePasswordLink writes a link, and replaces the person's former one.
func SavePasswordLink(ctx context.Context, q bun.IDB, l *PasswordLink) error {
	_, err := q.NewInsert().Model(l).On("CONFLICT (user_id) DO UPDATE").Set("hash = EXCLUDED.hash").
		Set("invites = EXCLUDED.invites").
		Set("confirms = EXCLUDED.confirms").Set("mailed = EXCLUDED.mailed").
		Set("created_by = EXCLUDED.created_by").Set("created_at = EXCLUDED.created_at").
		Set("expires_at = EXCLUDED.expires_at").Exec(ctx)
	if err != nil {
		return fmt.Errorf("save password link: %w", err)
	}
	return nil
}

// PasswordLinkByHash finds a valid link.
func PasswordLinkByHash(ctx context.Context, q bun.IDB, hash []byte, now time.Time) (*PasswordLink, error) {
	var l PasswordLink
	if err := q.NewSelect().Model(&l).Where("pl.hash = ?", hash).Where("pl.expires_at > ?", now).Scan(ctx); err != nil {
		return nil, fmt.Errorf("find password link: %w", err)
	}
	return &l, nil
}

// TakePasswordLink deletes a person's link if it has the hash, or any if the hash is empty. It reports whether there
// was one.
func TakePasswordLink(ctx context.Context, q bun.IDB, user uuid.UUID, hash []byte) (bool, error) {
	del := q.NewDelete().Model((*PasswordLink)(nil)).Where("pl.user_id = ?", user)
	if hash != nil {
		del = del.Where("pl.hash = ?", hash)
	}
	res, err := del.Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("take password link: %w", err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// ExpirePasswordLink makes a person's link invalid. An invitation stays open, and needs another link.
func ExpirePasswordLink(ctx context.Context, q bun.IDB, user uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Model((*PasswordLink)(nil)).Set("expires_at = ?", now).
		Where("pl.user_id = ?", user).Where("pl.expires_at > ?", now).Exec(ctx)
	if err != nil {
		return fmt.Errorf("expire password link: %w", err)
	}
	return nil
}

// EndInvitation deletes a person's invitation, if there is one, after the person has signed in another way.
func EndInvitation(ctx context.Context, q bun.IDB, user uuid.UUID) error {
	if _, err := q.NewDelete().Model((*PasswordLink)(nil)).Where("pl.user_id = ?", user).Where("pl.invites").
		Exec(ctx); err != nil {
		return fmt.Errorf("end invitation: %w", err)
	}
	return nil
}
