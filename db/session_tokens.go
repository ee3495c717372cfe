package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// SessionToken is the stored form of the token of a session's agent, which is valid while the session's turn runs.
type SessionToken struct {
	bun.BaseModel `bun:"table:session_tokens,alias:st"`

	Hash      []byte    `bun:"hash,pk"` // SHA-256 of the token
	SessionID uuid.UUID `bun:"session_id,type:uuid"`
	TurnID    uuid.UUID `bun:"turn_id,type:uuid"`
	Fence     int64     `bun:"fence"`
	CreatedAt time.Time `bun:"created_at"`
}

// ReplaceSessionToken makes a token valid for a turn, and deletes the session's former tokens.
func ReplaceSessionToken(ctx context.Context, tx bun.Tx, t *SessionToken) error {
	if err := DeleteSessionTokens(ctx, tx, t.SessionID, t.Fence); err != nil {
		return err
	}
	if _, err := tx.NewInsert().Model(t).Exec(ctx); err != nil {
		return fmt.Errorf("insert session token: %w", err)
	}
	return nil
}

// DeleteSessionTokens deletes the tokens of a session up to a fence. Tokens of a worker that has taken the session over
// since stay.
func DeleteSessionTokens(ctx context.Context, q bun.IDB, session uuid.UUID, fence int64) error {
	_, err := q.NewDelete().Model((*SessionToken)(nil)).Where("st.session_id = ?", session).
		Where("st.fence <= ?", fence).Exec(ctx)
	if err != nil {
		return fmt.Errorf("delete tokens of session %s: %w", session, err)
	}
	return nil
}

// SessionByToken finds the session of a valid token: the token's turn runs, and the worker that wrote the token still
// has the session. The row of the token alone is not enough, because a killed worker leaves it.
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
