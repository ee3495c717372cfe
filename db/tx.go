package db

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// attempts is how often a transaction is begun that the server gives up because of another one.
const attempts = 5

// InTx runs a function in a transaction, and again when the server gave it up because of another one: the function must
// not keep anything from one attempt to the next. Where q is a transaction already, InTx makes a savepoint and calls
// the function once. What the function wrote is taken back when it fails, and the transaction can go on.
func InTx(ctx context.Context, q bun.IDB, do func(ctx context.Context, tx bun.Tx) error) error {
	once := func() error {
		// bun hands the context of the whole transaction to a savepoint: do gets the one of this call
		return q.RunInTx(ctx, &sql.TxOptions{}, func(_ context.Context, tx bun.Tx) error { return do(ctx, tx) })
	}
	if _, within := q.(bun.Tx); within {
		return once()
	}
	var err error
	for range attempts {
		if err = once(); !IsRetriable(err) {
			break
		}
	}
	return err
}

// OnSnapshot runs a function on one snapshot of the database that it cannot change, and in which no statement takes
// longer than a time.
func OnSnapshot(ctx context.Context, d *DB, within time.Duration, do func(ctx context.Context, q bun.IDB) error) error {
	return d.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for _, setting := range []string{"TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
			"LOCAL lock_timeout = '5s'"} {
			if _, err := tx.ExecContext(ctx, "SET "+setting); err != nil {
				return err
			}
		}
		if _, err := tx.NewRaw("SELECT set_config('statement_timeout', ?, true)",
			fmt.Sprint(max(1, within.Milliseconds()), "ms")).Exec(ctx); err != nil {
			return err
		}
		return do(ctx, tx)
	})
}

// LimitLocks lets each further statement of a transaction fail that waits longer than a time for what another
// transaction holds.
func LimitLocks(ctx context.Context, tx bun.Tx, most time.Duration) error {
	_, err := tx.NewRaw("SELECT set_config('lock_timeout', ?, true)", strconv.FormatInt(most.Milliseconds(), 10)).
		Exec(ctx)
	return wrapped(err, "limit the wait for locks")
}

// LockKey holds a lock named by an id until the transaction ends, without touching its row.
func LockKey(ctx context.Context, tx bun.Tx, id uuid.UUID) error {
	return lockKey(ctx, tx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", id)
}

// ShareKey is LockKey for many at once: together they keep out who calls LockKey.
func ShareKey(ctx context.Context, tx bun.Tx, id uuid.UUID) error {
	return lockKey(ctx, tx, "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0))", id)
}

func lockKey(ctx context.Context, tx bun.Tx, lock string, id uuid.UUID) error {
	if err := prepare(tx).exec(ctx, lock, id.String()); err != nil {
		return fmt.Errorf("lock %s: %w", id, err)
	}
	return nil
}

// LockText holds a lock named by a text until the transaction ends.
func LockText(ctx context.Context, tx bun.Tx, text string) error {
	if _, err := tx.NewRaw("SELECT pg_advisory_xact_lock(hashtextextended(?, 1))", text).Exec(ctx); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	return nil
}
