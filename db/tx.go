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

// attempts bounds how often a transaction is run that the server aborts because of another one.
const attempts = 5

// InTx runs a function in a transaction, and again when the server aborts it because of another one. The function must
// not keep anything from one attempt to the next. If q is a transaction already, InTx makes a savepoint and calls the
// function once. A function that fails is rolled back, and the outer transaction can continue.
func InTx(ctx context.Context, q bun.IDB, do func(ctx context.Context, tx bun.Tx) error) error {
	once := func() error {
		// bun passes the context of the outer transaction to a savepoint, so the context of this call is used instead
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

// OnSnapshot runs a function in a read-only transaction on one snapshot of the database, with a timeout for each
// statement.
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

// LimitLocks sets the timeout of a transaction's further statements for locks of other transactions. IsTimeout
// recognizes the error.
func LimitLocks(ctx context.Context, tx bun.Tx, most time.Duration) error {
	_, err := tx.NewRaw("SELECT set_config('lock_timeout', ?, true)", strconv.FormatInt(most.Milliseconds(), 10)).
		Exec(ctx)
	return wrap(err, "limit the wait for locks")
}

// LockKey takes an advisory lock named by an id until the transaction ends.
func LockKey(ctx context.Context, tx bun.Tx, id uuid.UUID) error {
	return lockKey(ctx, tx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", id)
}

// ShareKey takes the lock of LockKey in shared mode.
func ShareKey(ctx context.Context, tx bun.Tx, id uuid.UUID) error {
	return lockKey(ctx, tx, "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0))", id)
}

func lockKey(ctx context.Context, tx bun.Tx, lock string, id uuid.UUID) error {
	if err := prepare(tx).exec(ctx, lock, id.String()); err != nil {
		return fmt.Errorf("lock %s: %w", id, err)
	}
	return nil
}

// LockText takes an advisory lock named by a text until the transaction ends.
func LockText(ctx context.Context, tx bun.Tx, text string) error {
	if _, err := tx.NewRaw("SELECT pg_advisory_xact_lock(hashtextextended(?, 1))", text).Exec(ctx); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	return nil
}
