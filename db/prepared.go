package db

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"
)

// prepared runs statements with the placeholders $1, $2. The server plans each of them once for a connection. It plans
// a statement of bun each time, which takes longer than to run a statement of one row. So the statements of an accepted
// webhook call use prepared.
type prepared struct{ q queryer }

func (p prepared) exec(ctx context.Context, query string, args ...any) error {
	_, err := p.q.ExecContext(ctx, query, append([]any{pgx.QueryExecModeCacheStatement}, args...)...)
	return err
}

func (p prepared) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return p.q.QueryContext(ctx, query, append([]any{pgx.QueryExecModeCacheStatement}, args...)...)
}

func (p prepared) row(ctx context.Context, query string, args ...any) *sql.Row {
	return p.q.QueryRowContext(ctx, query, append([]any{pgx.QueryExecModeCacheStatement}, args...)...)
}

// queryer is what *sql.DB and *sql.Tx have in common.
type queryer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// prepare gives the database/sql connection or transaction below bun.
func prepare(q bun.IDB) prepared {
	switch q := q.(type) {
	case bun.Tx:
		return prepared{q.Tx}
	case *bun.DB:
		return prepared{q.DB}
	case *DB:
		return prepared{q.DB.DB}
	}
	panic(fmt.Sprintf("db: %T runs no prepared statements", q))
}
