package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// SessionToken is the stored form of the secret by which the agent of a session asks for something while its turn runs.
type SessionToken struct {
	bun.BaseModel `bun:"table:session_tokens,alias:st"`

	Hash      []byte    `bun:"hash,pk"` // SHA-256 of the token
	SessionID uuid.UUID `bun:"session_id,type:uuid"`
	TurnID    uuid.UUID `bun:"turn_id,type:uuid"`
	Fence     int64     `bun:"fence"`
	CreatedAt time.Time `bun:"created_at"`
}

// PutSessionToken makes a token good for a turn. The tokens that the session had before end.
func PutSessionToken(ctx context.Context, tx bun.Tx, t *SessionToken) error {
	if err := DeleteSessionTokens(ctx, tx, t.SessionID, t.Fence); err != nil {
		return err
	}
	if _, err := tx.NewInsert().Model(t).Exec(ctx); err != nil {
		return fmt.Errorf("insert session token: %w", err)
	}
	return nil
}

// DeleteSessionTokens ends the tokens of a session that a worker has made that held it by a fence, and those before.
// The ones of a worker that has taken the session over since stay.
func DeleteSessionTokens(ctx context.Context, q bun.IDB, session uuid.UUID, fence int64) error {
	_, err := q.NewDelete().Model((*SessionToken)(nil)).Where("st.session_id = ?", session).
		Where("st.fence <= ?", fence).Exec(ctx)
	if err != nil {
		return fmt.Errorf("delete tokens of session %s: %w", session, err)
	}
	return nil
}

// SessionByToken finds the session that a token is good for: its turn runs, and the worker that made the token still
// holds it. The row alone would not say so: a worker that was killed leaves it behind.
func SessionByToken(ctx context.Context, q bun.IDB, hash []byte) (*Session, error) {
	var s Session
	err := q.NewSelect().Model(&s).ExcludeColumn("diff").ColumnExpr(mayAutomate).Relation("Automation").
		Relation("Owner").
		Where(`s.status = 'in_progress' AND EXISTS (SELECT 1 FROM session_tokens st JOIN turns t ON t.id = st.turn_id
			WHERE st.hash = ? AND st.session_id = s.id AND st.fence = s.fence AND t.session_id = s.id
				AND t.status = 'running')`, hash).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find session by token: %w", err)
	}
	return &s, nil
}
