package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// APIToken is the stored form of a token with which programs act on behalf of a person.
type APIToken struct {
	bun.BaseModel `bun:"table:api_tokens,alias:at"`

	ID          uuid.UUID `bun:"id,pk,type:uuid"`
	UserID      uuid.UUID `bun:"user_id,type:uuid"`
	Name        string    `bun:"name"`
	Hash        []byte    `bun:"hash"`              // SHA-256 of the token
	Narrowed    bool      `bun:"narrowed"`          // false: it may do all that the person may
	Permissions []string  `bun:"permissions,array"` // of a narrowed one
	CreatedAt   time.Time `bun:"created_at"`
	ExpiresAt   time.Time `bun:"expires_at"`
	UsedAt      time.Time `bun:"used_at,nullzero"` // to the minute; zero: never
	UsedFrom    string    `bun:"used_from"`
}

// TokenHolder is the person to whom a token belongs, with the token.
type TokenHolder struct {
	User `bun:",extend"`

	Token       uuid.UUID `bun:"token,scanonly,type:uuid"`
	TokenName   string    `bun:"token_name,scanonly"`
	Narrowed    bool      `bun:"narrowed,scanonly"`
	NarrowedTo  []string  `bun:"narrowed_to,array,scanonly"`
	TokenUsedAt time.Time `bun:"token_used_at,scanonly,nullzero"`
}

// InsertAPIToken writes a new token.
func InsertAPIToken(ctx context.Context, q bun.IDB, t *APIToken) error {
	if _, err := q.NewInsert().Model(t).Exec(ctx); err != nil {
		return fmt.Errorf("insert API token: %w", err)
	}
	return nil
}

// TokenHolderByHash finds the active person whose token has a hash and has not expired.
func TokenHolderByHash(ctx context.Context, q bun.IDB, hash []byte, now time.Time) (*TokenHolder, error) {
	var h TokenHolder
	err := selectUsers(q, &h).
		ColumnExpr(`at.id AS token, at.name AS token_name, at.narrowed, at.permissions AS narrowed_to,
			at.used_at AS token_used_at`).
		Join("JOIN api_tokens AS at ON at.user_id = u.id").
		Where("at.hash = ?", hash).Where("at.expires_at > ?", now).Where("u.deactivated_at IS NULL").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the person of an API token: %w", err)
	}
	return &h, nil
}

// TouchAPIToken records that a token was used, and the address of WithAddress. It writes at most once a minute for each
// token.
func TouchAPIToken(ctx context.Context, q bun.IDB, token uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Model(&APIToken{ID: token, UsedAt: now, UsedFrom: addressOf(ctx)}).
		Column("used_at", "used_from").WherePK().
		Where("(at.used_at IS NULL OR at.used_at <= ?)", now.Add(-time.Minute)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("touch API token: %w", err)
	}
	return nil
}

// APITokensOf lists a person's tokens, the newest first, also those that expired.
func APITokensOf(ctx context.Context, q bun.IDB, user uuid.UUID) ([]APIToken, error) {
	var list []APIToken
	if err := q.NewSelect().Model(&list).Where("at.user_id = ?", user).OrderExpr("at.id DESC").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list API tokens: %w", err)
	}
	return list, nil
}

// DeleteAPIToken deletes a token of a person and returns it. The error is one of IsNotFound if the person has no such
// token.
func DeleteAPIToken(ctx context.Context, q bun.IDB, user, token uuid.UUID) (*APIToken, error) {
	var t APIToken
	if err := q.NewDelete().Model(&t).Where("at.id = ?", token).Where("at.user_id = ?", user).Returning("*").
		Scan(ctx); err != nil {
		return nil, fmt.Errorf("delete API token: %w", err)
	}
	return &t, nil
}

// DeleteAPITokens deletes every token of a person and returns how many there were.
func DeleteAPITokens(ctx context.Context, q bun.IDB, user uuid.UUID) (int64, error) {
	res, err := q.NewDelete().Model((*APIToken)(nil)).Where("at.user_id = ?", user).Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("delete API tokens: %w", err)
	}
	return res.RowsAffected()
}

// pruneAPITokens deletes the tokens that expired before a time.
func pruneAPITokens(ctx context.Context, q bun.IDB, before time.Time) error {
	_, err := q.NewDelete().Table("api_tokens").Where("expires_at < ?", before).Exec(ctx)
	return wrap(err, "prune API tokens")
}
