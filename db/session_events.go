package db

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// SessionEvent is one event of a session's transcript.
type SessionEvent struct {
	bun.BaseModel `bun:"table:session_events,alias:ev"`

	SessionID uuid.UUID       `bun:"session_id,pk,type:uuid"`
	Seq       int64           `bun:"seq,pk"`
	TurnID    uuid.UUID       `bun:"turn_id,type:uuid"`
	At        time.Time       `bun:"at"`
	Kind      string          `bun:"kind"`
	Body      json.RawMessage `bun:"body,type:jsonb"`
}

// EventsOf lists at most limit events of a session after seq, in order.
func EventsOf(ctx context.Context, q bun.IDB, session uuid.UUID, after int64, limit int) ([]SessionEvent, error) {
	var list []SessionEvent
	err := q.NewSelect().Model(&list).Where("ev.session_id = ?", session).Where("ev.seq > ?", after).
		Order("ev.seq").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list events of session %s: %w", session, err)
	}
	return list, nil
}

// LatestEvents lists the newest limit events of a session, in order.
func LatestEvents(ctx context.Context, q bun.IDB, session uuid.UUID, limit int) ([]SessionEvent, error) {
	var list []SessionEvent
	newest := q.NewSelect().Model((*SessionEvent)(nil)).Where("ev.session_id = ?", session).OrderExpr("ev.seq DESC").
		Limit(int64(limit))
	if err := q.NewSelect().TableExpr("(?) AS ev", newest).OrderExpr("ev.seq").Scan(ctx, &list); err != nil {
		return nil, fmt.Errorf("list latest events of session %s: %w", session, err)
	}
	return list, nil
}

// EventsBySeq finds events of a session by their numbers.
func EventsBySeq(ctx context.Context, q bun.IDB, session uuid.UUID, seqs []int64) ([]SessionEvent, error) {
	var list []SessionEvent
	err := q.NewSelect().Model(&list).Where("session_id = ?", session).Where("seq = ANY(?)", pgdialect.Array(seqs)).
		Order("seq").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return list, nil
}

// AppendEvents writes events of a session at work and updates its last_seq. It returns ErrLeaseLost and writes nothing
// when the lease is not valid any more.
func AppendEvents(ctx context.Context, tx bun.Tx, lease Lease, events []SessionEvent) error {
	if len(events) == 0 {
		return nil
	}
	// The table is locked first. Otherwise the session's row would stay locked while another transaction has the table,
	// and its lease could not be renewed and nobody could stop the session.
	if _, err := tx.NewRaw("LOCK TABLE session_events IN ROW EXCLUSIVE MODE").Exec(ctx); err != nil {
		return fmt.Errorf("append events: %w", err)
	}
	if err := updateLeased(ctx, tx, lease, func(u *bun.UpdateQuery) *bun.UpdateQuery {
		return u.Set("last_seq = ?", events[len(events)-1].Seq)
	}); err != nil {
		return err
	}
	// An event is written twice when the answer to the first attempt was lost.
	if _, err := tx.NewInsert().Model(&events).On("CONFLICT (session_id, seq) DO NOTHING").Exec(ctx); err != nil {
		return fmt.Errorf("append events: %w", err)
	}
	return nil
}

// DropEvents deletes events of a session, to bound a long transcript.
func DropEvents(ctx context.Context, q bun.IDB, session uuid.UUID, seqs []int64) error {
	_, err := q.NewDelete().Model((*SessionEvent)(nil)).Where("session_id = ?", session).
		Where("seq = ANY(?)", pgdialect.Array(seqs)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("drop events: %w", err)
	}
	return nil
}

// EventSize is the size of an event of a transcript.
type EventSize struct {
	Seq   int64  `bun:"seq"`
	Kind  string `bun:"kind"`
	Bytes int    `bun:"bytes"` // of its body as text
}

// EventSizes lists the sizes of a session's events, in their order.
func EventSizes(ctx context.Context, q bun.IDB, session uuid.UUID) ([]EventSize, error) {
	var list []EventSize
	err := q.NewSelect().Model((*SessionEvent)(nil)).Column("seq", "kind").
		ColumnExpr("octet_length(body::text) AS bytes").
		Where("session_id = ?", session).Order("seq").Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("read sizes of events: %w", err)
	}
	return list, nil
}

// ReplaceEvents replaces the bodies of events.
func ReplaceEvents(ctx context.Context, q bun.IDB, events []SessionEvent) error {
	if len(events) == 0 {
		return nil
	}
	if _, err := q.NewUpdate().Model(&events).Column("body").Bulk().Exec(ctx); err != nil {
		return fmt.Errorf("replace events: %w", err)
	}
	return nil
}
