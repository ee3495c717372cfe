package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Identity is a person's account at a provider of single sign-on.
type Identity struct {
	bun.BaseModel `bun:"table:user_identities,alias:ui"`

	Issuer    string    `bun:"issuer,pk"`
	Subject   string    `bun:"subject,pk"`
	UserID    uuid.UUID `bun:"user_id,type:uuid"`
	Email     string    `bun:"email"` // as the provider last reported it
	CreatedAt time.Time `bun:"created_at"`
	UsedAt    time.Time `bun:"used_at"` // time of the last sign-in with it
}

// IdentityBySubject finds an account by its subject at a provider.
func IdentityBySubject(ctx context.Context, q bun.IDB, issuer, subject string) (*Identity, error) {
	var i Identity
	if err := q.NewSelect().Model(&i).Where("issuer = ?", issuer).Where("subject = ?", subject).Scan(ctx); err != nil {
		return nil, fmt.Errorf("find identity: %w", err)
	}
	return &i, nil
}

// Identities lists a person's accounts at single sign-ons, the last used first.
func Identities(ctx context.Context, q bun.IDB, user uuid.UUID) ([]Identity, error) {
	var list []Identity
	if err := q.NewSelect().Model(&list).Where("user_id = ?", user).OrderExpr("used_at DESC, issuer, subject").
		Scan(ctx); err != nil {
		return nil, fmt.Errorf("list identities: %w", err)
	}
	return list, nil
}

// InsertIdentity links a person with an account. Conflict gives user_identities_one if the person has another account
// of the provider.
func InsertIdentity(ctx context.Context, q bun.IDB, i *Identity) error {
	if _, err := q.NewInsert().Model(i).Exec(ctx); err != nil {
		return fmt.Errorf("insert identity: %w", err)
	}
	return nil
}

// TouchIdentity records a sign-in with an account, and the e-mail address that the provider reported.
func TouchIdentity(ctx context.Context, q bun.IDB, i *Identity) error {
	if _, err := q.NewUpdate().Model(i).Column("email", "used_at").WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("touch identity: %w", err)
	}
	return nil
}

// DeleteIdentities removes a person's accounts at providers of single sign-on.
func DeleteIdentities(ctx context.Context, q bun.IDB, user uuid.UUID) error {
	if _, err := q.NewDelete().Model((*Identity)(nil)).Where("user_id = ?", user).Exec(ctx); err != nil {
		return fmt.Errorf("delete identities of user %s: %w", user, err)
	}
	return nil
}
