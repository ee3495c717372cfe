package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
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
	Own         bool            `bun:"own"` // a step that Carillon runs without an agent
	CreatedAt   time.Time       `bun:"created_at"`
	StartedAt   time.Time       `bun:"started_at,nullzero"`
	FinishedAt  time.Time       `bun:"finished_at,nullzero"`
	EndedSeq    int64           `bun:"ended_seq,nullzero"` // number of the session's last event when the turn ended

	TurnUsage

	// set by NextTurn: the turn was begun before, and is in the sums of its run already
	Again bool `bun:"again,scanonly"`

	Author *User `bun:"rel:belongs-to,join:author_id=id"`
}

// TurnKind is the purpose of a turn.
type TurnKind string

// The kinds of turns.
const (
	PromptTurn       TurnKind = "prompt"
	ReplyTurn        TurnKind = "reply"
	StepTurn         TurnKind = "step"
	ReviewTurn       TurnKind = "review"
	VerificationTurn TurnKind = "verification"
)

// TurnsOf lists a session's turns in order, with their authors.
func TurnsOf(ctx context.Context, q bun.IDB, session uuid.UUID) ([]Turn, error) {
	var list []Turn
	if err := q.NewSelect().Model(&list).Relation("Author").Where("t.session_id = ?", session).Order("t.position").
		Scan(ctx); err != nil {
		return nil, fmt.Errorf("list turns of session %s: %w", session, err)
	}
	return list, nil
}

// QueuedReplies lists the queued messages of people in a session, in order.
func QueuedReplies(ctx context.Context, q bun.IDB, session uuid.UUID) ([]Turn, error) {
	var list []Turn
	err := q.NewSelect().Model(&list).Relation("Author").Where("t.session_id = ?", session).
		Where("t.status = 'queued' AND t.kind = 'reply'").Order("t.position").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list queued messages of session %s: %w", session, err)
	}
	return list, nil
}

// LastAnswer finds the last answer of a session's agent; empty: there is none.
func LastAnswer(ctx context.Context, q bun.IDB, session uuid.UUID) (string, error) {
	var answer string
	err := q.NewRaw("SELECT answer FROM turns WHERE session_id = ? AND answer <> '' ORDER BY position DESC LIMIT 1",
		session).Scan(ctx, &answer)
	if err != nil && !IsNotFound(err) {
		return "", fmt.Errorf("read last answer of session %s: %w", session, err)
	}
	return answer, nil
}

// Authors lists the people who wrote the messages of a session up to the running turn, or all of them if none runs. now
// is the author of the running turn; zero: no person, or no turn runs.
func Authors(ctx context.Context, q bun.IDB, session uuid.UUID) (all PeopleIDs, now uuid.UUID, err error) {
	var rows []struct {
		AuthorID uuid.UUID `bun:"author_id,type:uuid"`
		Now      bool      `bun:"now"`
	}
	err = q.NewRaw(`SELECT author_id, bool_or(status = 'running') AS now FROM turns
		WHERE session_id = ?0 AND author_id IS NOT NULL
		AND position <= coalesce((SELECT min(position) FROM turns
			WHERE session_id = ?0 AND status = 'running'), 2147483647)
		GROUP BY author_id ORDER BY min(position)`, session).Scan(ctx, &rows)
	for _, r := range rows {
		all = all.With(r.AuthorID)
		if r.Now {
			now = r.AuthorID
		}
	}
	return all, now, wrap(err, "find the authors of session "+session.String())
}

// HasTurnAtWork reports whether a turn of a session runs.
func HasTurnAtWork(ctx context.Context, q bun.IDB, session uuid.UUID) (bool, error) {
	return q.NewSelect().Model((*Turn)(nil)).Where("t.session_id = ?", session).Where("t.status = 'running'").
		Exists(ctx)
}

// HasQueuedTurns reports whether a turn of a session is queued.
func HasQueuedTurns(ctx context.Context, q bun.IDB, session uuid.UUID) (bool, error) {
	return q.NewSelect().Model((*Turn)(nil)).Where("t.session_id = ?", session).Where("t.status = 'queued'").Exists(ctx)
}

// HasRunTurns reports whether a session has queued or running turns of a run. For a session at work it also counts a
// last turn of a run that ended since the worker took the session, because the worker ends a turn before it ends the
// work.
func HasRunTurns(ctx context.Context, q bun.IDB, session uuid.UUID) (bool, error) {
	return q.NewSelect().Model((*Turn)(nil)).Join("JOIN sessions AS s ON s.id = t.session_id").
		Where("t.session_id = ?", session).
		Where(`t.status IN ('queued', 'running') OR s.status = 'in_progress' AND t.finished_at >= s.at_work_since
			AND NOT EXISTS (SELECT 1 FROM turns l WHERE l.session_id = t.session_id AND l.position > t.position
				AND l.started_at IS NOT NULL)`).
		Where("t.kind <> 'reply'").Exists(ctx)
}

// AddTurn queues a turn behind a session's last one. It locks the session, so that two concurrent turns get different
// positions. It leaves an existing turn unchanged.
func AddTurn(ctx context.Context, tx bun.Tx, t *Turn) error {
	if _, err := tx.NewRaw("SELECT 1 FROM sessions WHERE id = ? FOR NO KEY UPDATE", t.SessionID).Exec(ctx); err != nil {
		return fmt.Errorf("add turn: %w", err)
	}
	if err := tx.NewRaw("SELECT coalesce(max(position), 0) + 1 FROM turns WHERE session_id = ?", t.SessionID).
		Scan(ctx, &t.Position); err != nil {
		return fmt.Errorf("add turn: %w", err)
	}
	if _, err := tx.NewInsert().Model(t).On("CONFLICT (id) DO NOTHING").Exec(ctx); err != nil {
		return fmt.Errorf("add turn: %w", err)
	}
	return nil
}

// NextTurn starts the next turn of a session that belongs to an execution, or to none if execution is zero. It starts a
// turn again that a worker left running when it died. It returns nil when there is no turn, and ErrLeaseLost when the
// lease is not valid any more.
func NextTurn(ctx context.Context, q bun.IDB, lease Lease, execution uuid.UUID, now time.Time) (*Turn, error) {
	var t Turn
	err := q.NewRaw(`WITH held AS (?)
		UPDATE turns t SET status = 'running', started_at = ? FROM held, (
			SELECT id, started_at IS NOT NULL AS again FROM turns
				WHERE session_id = ? AND execution_id IS NOT DISTINCT FROM ? AND status IN ('queued', 'running')
			ORDER BY position LIMIT 1
		) next WHERE t.id = next.id RETURNING t.*, next.again`, heldSession(q, lease), now, lease.Session,
		orNull(execution)).
		Scan(ctx, &t)
	if IsNotFound(err) {
		return nil, CheckLease(ctx, q, lease)
	}
	if err != nil {
		return nil, fmt.Errorf("start next turn of session %s: %w", lease.Session, err)
	}
	return &t, nil
}

// MarkTurnOwn records that a turn is a step that Carillon runs without an agent. It returns ErrLeaseLost and changes
// nothing when the lease is not valid any more.
func MarkTurnOwn(ctx context.Context, q bun.IDB, lease Lease, turn uuid.UUID) error {
	return updateWithLease(ctx, q, lease, "note turn "+turn.String()+" as one of Carillon's",
		"UPDATE turns t SET own = true FROM held WHERE t.id = ?", turn)
}

// FinishTurn ends a turn. It returns ErrLeaseLost and changes nothing when the lease is not valid any more.
func FinishTurn(
	ctx context.Context, q bun.IDB, lease Lease, turn uuid.UUID, status ExecutionStatus, reason, answer string,
	now time.Time,
) error {
	return updateWithLease(ctx, q, lease, "finish turn "+turn.String(), `UPDATE turns t
		SET status = ?, reason = ?, answer = ?, finished_at = ?,
		`+endedSeq+` FROM held WHERE t.id = ?`, status, reason, answer, now, turn)
}

// endedSeq is SQL that sets the number of the session's last event at the end of a turn. The caller has the session
// locked, or a valid lease.
const endedSeq = "ended_seq = (SELECT last_seq FROM sessions WHERE id = t.session_id)"

// cancelTurns ends turns of a session as canceled.
func cancelTurns(q bun.IDB, session uuid.UUID, reason string, now time.Time) *bun.UpdateQuery {
	return q.NewUpdate().Model((*Turn)(nil)).Set("status = 'canceled'").Set("reason = ?", reason).
		Set("finished_at = ?", now).Set(endedSeq).Where("t.session_id = ?", session)
}

// CancelTurns ends the running turns of a session, and the queued ones of an execution, or all queued ones if the
// execution is zero.
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

// CancelRunningTurns ends the running turn of a session. Queued turns stay.
func CancelRunningTurns(ctx context.Context, q bun.IDB, session uuid.UUID, reason string, now time.Time) error {
	_, err := cancelTurns(q, session, reason, now).Where("t.status = 'running'").Exec(ctx)
	if err != nil {
		return fmt.Errorf("cancel running turns of session %s: %w", session, err)
	}
	return nil
}

// CancelRunTurns ends the running turn of a session and the queued turns of its run. It keeps queued messages of
// people.
func CancelRunTurns(ctx context.Context, q bun.IDB, session uuid.UUID, reason string, now time.Time) error {
	_, err := cancelTurns(q, session, reason, now).Where(`t.status = 'running' OR t.status = 'queued'
		AND t.kind <> 'reply'`).Exec(ctx)
	return wrap(err, "cancel what a run left of session "+session.String())
}

// CancelOpenTurns ends all queued and running turns of a session.
func CancelOpenTurns(ctx context.Context, q bun.IDB, session uuid.UUID, reason string, now time.Time) error {
	return CancelTurns(ctx, q, session, uuid.Nil, reason, now)
}

// CancelQueuedReplies ends the queued messages of people in a session.
func CancelQueuedReplies(ctx context.Context, q bun.IDB, session uuid.UUID, reason string, now time.Time) error {
	_, err := cancelTurns(q, session, reason, now).Where("t.status = 'queued' AND t.kind = 'reply'").Exec(ctx)
	return wrap(err, "cancel queued messages of session "+session.String())
}

// WithdrawTurn ends a queued message of a person. It reports whether the message was queued.
func WithdrawTurn(ctx context.Context, q bun.IDB, session, turn uuid.UUID, reason string, now time.Time) (bool, error) {
	res, err := cancelTurns(q, session, reason, now).Where("t.id = ?", turn).
		Where("t.status = 'queued' AND t.kind = 'reply'").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("withdraw turn %s: %w", turn, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}
