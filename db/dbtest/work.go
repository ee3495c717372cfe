package dbtest

import (
	"context"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"carillon/db"
)

// Work counts what a database is asked by a test's process.
type Work struct{ statements, rows atomic.Int64 }

// WorkOf is what a database that New opened is asked.
func WorkOf(d *db.DB) *Work { return d.Pool.Config().ConnConfig.Tracer.(*Work) }

// Statements is how many statements were sent so far, those that begin and end transactions among them.
func (w *Work) Statements() int64 { return w.statements.Load() }

// Rows is how many rows were inserted, updated and deleted so far, as far as the outermost statement did it.
func (w *Work) Rows() int64 { return w.rows.Load() }

// TraceQueryStart counts a statement.
func (w *Work) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	w.statements.Add(1)
	return ctx
}

// TraceQueryEnd counts what a statement wrote.
func (w *Work) TraceQueryEnd(_ context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	if tag := data.CommandTag; tag.Insert() || tag.Update() || tag.Delete() {
		w.rows.Add(tag.RowsAffected())
	}
}
