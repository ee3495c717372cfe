package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// TurnKind is what a turn is for.
type TurnKind string

// The kinds of turns.
const (
	PromptTurn       TurnKind = "prompt"
	ReplyTurn        TurnKind = "reply"
	StepTurn         TurnKind = "step"
	ReviewTurn       TurnKind = "review"
	VerificationTurn TurnKind = "verification"
)

// Turn is one message to the agent and its answer.
type Turn struct {
	bun.BaseModel `bun:"table:turns,alias:t"`

	ID          uuid.UUID       `bun:"id,pk,type:uuid"`
	SessionID   uuid.UUID       `bun:"session_id,type:uuid"`
	ExecutionID uuid.UUID       `bun:"execution_id,nullzero,type:uuid"`
	Position    int             `bun:"position"`
	Kind        TurnKind        `bun:"kind"`
	Label       string          `bun:"label"`
	AuthorID    uuid.UUID       `bun:"author_id,nullzero,type:uuid"`
	Prompt      string          `bun:"prompt"`
	Status      ExecutionStatus `bun:"status"`
	Reason      string          `bun:"reason"`
	Answer      string          `bun:"answer"`
	Own         bool            `bun:"own"` // a step that Carillon takes itself: no message to the agent
	CreatedAt   time.Time       `bun:"created_at"`
	StartedAt   time.Time       `bun:"started_at,nullzero"`
	FinishedAt  time.Time       `bun:"finished_at,nullzero"`
	EndedSeq    int64           `bun:"ended_seq,nullzero"` // the last event of the session when the turn ended

	TurnUsage

	Again bool `bun:"again,scanonly"` // of NextTurn: it was begun before, and is in the sums of its run already

	Author *User `bun:"rel:belongs-to,join:author_id=id"`
}

// TurnsOf lists a session's turns in order, with their authors.
func TurnsOf(ctx context.Context, q bun.IDB, session uuid.UUID) ([]Turn, error) {
	var list []Turn
	if err := q.NewSelect().Model(&list).Relation("Author").Where("t.session_id = ?", session).Order("t.position").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list turns of session %s: %w", session, err)
	}
	return list, nil
}

// HasTurnAtWork reports whether the agent of a session was given a message that has not ended.
func HasTurnAtWork(ctx context.Context, q bun.IDB, session uuid.UUID) (bool, error) {
	return q.NewSelect().Model((*Turn)(nil)).Where("t.session_id = ?", session).Where("t.status = 'running'").Exists(ctx)
}

// NextTurn starts the next turn of a session that belongs to an execution, or to none where that is zero. A turn that
// a worker left running when it died comes again. It returns nil when there is none, and ErrLeaseLost when the lease is no
// longer good.
func NextTurn(ctx context.Context, q bun.IDB, lease Lease, execution uuid.UUID, now time.Time) (*Turn, error) {
	var t Turn
	err := q.NewRaw(`WITH held AS (?)
		UPDATE turns t SET status = 'running', started_at = ? FROM held, (
			SELECT id, started_at IS NOT NULL AS again FROM turns WHERE session_id = ? AND execution_id IS NOT DISTINCT FROM ? AND status IN ('queued', 'running')
			ORDER BY position LIMIT 1
		) next WHERE t.id = next.id RETURNING t.*, next.again`, held(q, lease), now, lease.Session, orNull(execution)).Scan(ctx, &t)
	if IsNotFound(err) {
		return nil, Hold(ctx, q, lease)
	}
	if err != nil {
		return nil, fmt.Errorf("start next turn of session %s: %w", lease.Session, err)
	}
	return &t, nil
}

// FinishTurn ends a turn. It returns ErrLeaseLost, and changes nothing, when the lease is no longer good.
func FinishTurn(ctx context.Context, q bun.IDB, lease Lease, turn uuid.UUID, status ExecutionStatus, reason, answer string, now time.Time) error {
	return leased(ctx, q, lease, "finish turn "+turn.String(), `UPDATE turns t SET status = ?, reason = ?, answer = ?, finished_at = ?,
		`+endedSeq+` FROM held WHERE t.id = ?`, status, reason, answer, now, turn)
}

// CancelTurns ends the turns of a session that are at work, and the queued ones of an execution, or all queued ones
// where the execution is zero.
func CancelTurns(ctx context.Context, q bun.IDB, session, execution uuid.UUID, reason string, now time.Time) error {
	update := cancelTurns(q, session, reason, now)
	if execution == uuid.Nil {
		update = update.Where("t.status IN ('queued', 'running')")
	} else {
		update = update.Where("(t.status = 'running' OR (t.status = 'queued' AND t.execution_id = ?))", execution)
	}
	if _, err := update.Exec(ctx); err != nil {
		return fmt.Errorf("cancel turns of session %s: %w", session, err)
	}
	return nil
}

// OwnTurn notes that a turn is a step that Carillon takes itself. It returns ErrLeaseLost, and changes nothing, when the
// lease is no longer good.
func OwnTurn(ctx context.Context, q bun.IDB, lease Lease, turn uuid.UUID) error {
	return leased(ctx, q, lease, "note turn "+turn.String()+" as one of Carillon's", "UPDATE turns t SET own = true FROM held WHERE t.id = ?", turn)
}

// AddTurn queues a message behind a session's last turn. It locks the session, so that two messages that come at once have a
// place each. A message that is there already is left as it is.
func AddTurn(ctx context.Context, tx bun.Tx, t *Turn) error {
	if _, err := tx.NewRaw("SELECT 1 FROM sessions WHERE id = ? FOR NO KEY UPDATE", t.SessionID).Exec(ctx); err != nil {
		return fmt.Errorf("add turn: %w", err)
	}
	if err := tx.NewRaw("SELECT coalesce(max(position), 0) + 1 FROM turns WHERE session_id = ?", t.SessionID).Scan(ctx, &t.Position); err != nil {
		return fmt.Errorf("add turn: %w", err)
	}
	if _, err := tx.NewInsert().Model(t).On("CONFLICT (id) DO NOTHING").Exec(ctx); err != nil {
		return fmt.Errorf("add turn: %w", err)
	}
	return nil
}
