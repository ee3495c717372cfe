package db

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// SignInFailures counts the failures of a key since a time.
func SignInFailures(ctx context.Context, q bun.IDB, key []byte, since time.Time) (int64, error) {
	n, err := q.NewSelect().Table("sign_in_failures").Where("key = ?", key).Where("at > ?", since).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("count sign-in failures: %w", err)
	}
	return n, nil
}

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

// AddSignInFailure records a failure for each key.
func AddSignInFailure(ctx context.Context, q bun.IDB, now time.Time, keys ...[]byte) error {
	for _, key := range keys { // two at most: the e-mail's and the address's
		if _, err := q.NewRaw("INSERT INTO sign_in_failures (key, at) VALUES (?, ?)", key, now).Exec(ctx); err != nil {
			return fmt.Errorf("record sign-in failure: %w", err)
		}
	}
	return nil
}

// DeleteSignInFailure deletes one failure of each key that was recorded at a time.
func DeleteSignInFailure(ctx context.Context, q bun.IDB, at time.Time, keys ...[]byte) error {
	for _, key := range keys {
		_, err := q.NewRaw("DELETE FROM sign_in_failures WHERE ctid IN "+
			"(SELECT ctid FROM sign_in_failures WHERE key = ? AND at = ? LIMIT 1 FOR UPDATE SKIP LOCKED)", key, at).
			Exec(ctx)
		if err != nil {
			return fmt.Errorf("take back sign-in failure: %w", err)
		}
	}
	return nil
}

// ClearSignInFailures deletes the failures of a key.
func ClearSignInFailures(ctx context.Context, q bun.IDB, key []byte) error {
	if _, err := q.NewDelete().Table("sign_in_failures").Where("key = ?", key).Exec(ctx); err != nil {
		return fmt.Errorf("clear sign-in failures: %w", err)
	}
	return nil
}

// PruneSignIns deletes expired logins, API tokens that expired a month ago, and failures that do not count any more.
func PruneSignIns(ctx context.Context, q bun.IDB, now time.Time) error {
	if err := pruneLogins(ctx, q, now); err != nil {
		return err
	}
	if err := pruneAPITokens(ctx, q, now.AddDate(0, -1, 0)); err != nil {
		return err
	}
	_, err := q.NewDelete().Table("sign_in_failures").Where("at < ?", now.Add(-24*time.Hour)).Exec(ctx)
	return wrap(err, "prune sign-in failures")
}
