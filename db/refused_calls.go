package db

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// RefusedCall is a tool call of a session that was refused for lack of a right and is not in the transcript yet.
type RefusedCall struct {
	bun.BaseModel `bun:"table:refused_calls,alias:rc"`

	SessionID uuid.UUID `bun:"session_id,pk,type:uuid"`
	Tool      string    `bun:"tool,pk"`
	Reason    string    `bun:"reason,pk"`
	Times     int       `bun:"times"`
	At        time.Time `bun:"at"` // the first time
}

// AddRefusedCall records a refused call. Equal calls share a row, which counts them.
func AddRefusedCall(ctx context.Context, q bun.IDB, c *RefusedCall) error {
	_, err := q.NewInsert().Model(c).On("CONFLICT (session_id, tool, reason) DO UPDATE").Set("times = rc.times + 1").
		Exec(ctx)
	return wrap(err, "note a refused call")
}

// RefusedCalls lists the refused calls of a session that its transcript does not have yet, in the order of their first
// times.
func RefusedCalls(ctx context.Context, q bun.IDB, session uuid.UUID) ([]RefusedCall, error) {
	var list []RefusedCall
	err := q.NewSelect().Model(&list).Where("rc.session_id = ?", session).Order("rc.at", "rc.tool", "rc.reason").
		Scan(ctx)
	return list, wrap(err, "list refused calls of session "+session.String())
}

// DropRefusedCall removes a listed refused call in the transaction that writes it into the transcript. Calls that were
// counted since the listing stay, with a later time. A repetition after a commit whose answer was lost changes nothing.
func DropRefusedCall(ctx context.Context, tx bun.Tx, c *RefusedCall, now time.Time) error {
	_, err := tx.NewRaw(`WITH told AS (DELETE FROM refused_calls
		WHERE session_id = ?0 AND tool = ?1 AND reason = ?2 AND at = ?3 AND times <= ?4)
		UPDATE refused_calls SET times = times - ?4, at = greatest(?5, at + interval '1 microsecond')
		WHERE session_id = ?0 AND tool = ?1 AND reason = ?2 AND at = ?3
			AND times > ?4`, c.SessionID, c.Tool, c.Reason, c.At, c.Times, now).Exec(ctx)
	return wrap(err, "drop a refused call")
}
