package db

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// RefusedCall is a call of a tool that a session was refused for lack of a right, until its worker has put it into the transcript.
type RefusedCall struct {
	bun.BaseModel `bun:"table:refused_calls,alias:rc"`

	SessionID uuid.UUID `bun:"session_id,pk,type:uuid"`
	Tool      string    `bun:"tool,pk"`
	Reason    string    `bun:"reason,pk"`
	Times     int       `bun:"times"`
	At        time.Time `bun:"at"` // the first time
}

// AddRefusedCall notes a refused call; one like another is counted with it.
func AddRefusedCall(ctx context.Context, q bun.IDB, c *RefusedCall) error {
	_, err := q.NewInsert().Model(c).On("CONFLICT (session_id, tool, reason) DO UPDATE").Set("times = rc.times + 1").Exec(ctx)
	return wrapped(err, "note a refused call")
}

// TakeRefusedCalls takes out the refused calls of a session, in the order of their first times.
func TakeRefusedCalls(ctx context.Context, q bun.IDB, session uuid.UUID) ([]RefusedCall, error) {
	var list []RefusedCall
	err := q.NewRaw(`WITH taken AS (DELETE FROM refused_calls WHERE session_id = ? RETURNING session_id, tool, reason, times, at)
		SELECT * FROM taken ORDER BY at, tool, reason`, session).Scan(ctx, &list)
	return list, wrapped(err, "take refused calls of session "+session.String())
}
