package db

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Delivery is one call of an HTTP trigger.
type Delivery struct {
	bun.BaseModel `bun:"table:webhook_deliveries,alias:d"`

	ID           uuid.UUID         `bun:"id,pk,type:uuid"`
	AutomationID uuid.UUID         `bun:"automation_id,type:uuid"`
	At           time.Time         `bun:"at"`
	Method       string            `bun:"method"`
	Address      string            `bun:"address"`
	Fingerprint  string            `bun:"fingerprint"`
	Headers      map[string]string `bun:"headers,type:jsonb"`
	Query        string            `bun:"query"`
	Size         int64             `bun:"size"`
	Body         []byte            `bun:"body"`
	Verdict      string            `bun:"verdict"`
	Status       int               `bun:"status"`
	Answer       json.RawMessage   `bun:"answer,type:jsonb"`
	ExecutionID  uuid.UUID         `bun:"execution_id,nullzero,type:uuid"`
	BlockedBy    uuid.UUID         `bun:"blocked_by,nullzero,type:uuid"`
	// number of calls in the streak, for the first call; otherwise 1
	Folded int `bun:"folded"`
	// the first call of the streak; zero: this one, or there is no streak
	Head   uuid.UUID `bun:"head,nullzero,type:uuid"`
	LastAt time.Time `bun:"last_at"`
	// the original call, sealed, if Query and Body are without secrets; nil: nothing was left out, or the call was too
	// large
	Sealed []byte `bun:"sealed"`
}

// Complete reports whether the whole call was stored, so that it can be replayed.
func (d *Delivery) Complete() bool { return d.Sealed != nil || d.Size <= int64(len(d.Body)) }

// KeptOfStreak bounds the stored calls of a streak: calls that were refused because of the same run in flight. Source:
// behaviour, "each is kept, folded on screen".
const KeptOfStreak = 1000

const insertDelivery = `
INSERT INTO webhook_deliveries AS d (id, automation_id, at, method, address, fingerprint, headers, query, size, body,
	verdict,
	status, answer, execution_id, blocked_by, folded, last_at, sealed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`

// insertBlocked counts a call in the first call of its streak, and stores it after the first one.
const insertBlocked = `
WITH head AS (` + insertDelivery + `
	ON CONFLICT (automation_id, blocked_by) WHERE verdict = 'busy' AND head IS NULL
	DO UPDATE SET folded = d.folded + 1, last_at = greatest(d.last_at, EXCLUDED.last_at)
	RETURNING d.id, d.folded
)
INSERT INTO webhook_deliveries (id, automation_id, at, method, address, fingerprint, headers, query, size, body,
	verdict,
	status, answer, execution_id, blocked_by, folded, last_at, sealed, head)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, head.id
FROM head WHERE head.id <> $1 AND head.folded <= $19`

// InsertDelivery records a call. Calls that were refused because of the same run in flight are a streak: the first one
// counts them all, and the first KeptOfStreak are stored.
func InsertDelivery(ctx context.Context, q bun.IDB, d *Delivery) error {
	headers, err := json.Marshal(d.Headers)
	if err != nil {
		return fmt.Errorf("record delivery: %w", err)
	}
	body := d.Body
	if body == nil {
		body = []byte{}
	}
	insert := insertDelivery
	values := []any{
		d.ID, d.AutomationID, d.At, d.Method, d.Address, d.Fingerprint, string(headers), d.Query, d.Size, body,
		d.Verdict,
		d.Status, string(d.Answer), orNull(d.ExecutionID), orNull(d.BlockedBy), d.Folded, d.LastAt, d.Sealed,
	}
	if d.Verdict == "busy" {
		insert, values = insertBlocked, append(values, KeptOfStreak)
	}
	if err := prepare(q).exec(ctx, insert, values...); err != nil {
		return fmt.Errorf("record delivery: %w", err)
	}
	return nil
}

// DeliveryFilter narrows a list of deliveries. Zero fields do not narrow.
type DeliveryFilter struct {
	Verdict string
	// first call of a streak: lists the streak's stored calls; zero: lists the first call of each streak
	Streak uuid.UUID
	Before uuid.UUID
	Limit  int
}

// Deliveries lists the calls of an automation, newest first, without their bodies.
func Deliveries(ctx context.Context, q bun.IDB, automation uuid.UUID, f DeliveryFilter) ([]Delivery, error) {
	var list []Delivery
	sel := q.NewSelect().Model(&list).ExcludeColumn("body", "answer", "sealed").
		Where("d.automation_id = ?", automation).OrderExpr("d.id DESC").Limit(int64(f.Limit))
	if f.Streak != uuid.Nil {
		sel = sel.Where("(d.head = ? OR d.id = ?)", f.Streak, f.Streak)
	} else {
		sel = sel.Where("d.head IS NULL")
	}
	if f.Verdict != "" {
		sel = sel.Where("d.verdict = ?", f.Verdict)
	}
	if f.Before != uuid.Nil {
		sel = sel.Where("d.id < ?", f.Before)
	}
	if err := sel.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	return list, nil
}

// DeliveryByID finds one call.
func DeliveryByID(ctx context.Context, q bun.IDB, id uuid.UUID) (*Delivery, error) {
	var d Delivery
	if err := q.NewSelect().Model(&d).Where("d.id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("find delivery %s: %w", id, err)
	}
	return &d, nil
}

// PruneDeliveries deletes calls from before a time, and streaks whose last call was before it. It deletes keys of
// deliveries and signed bodies from before keysBefore.
func PruneDeliveries(ctx context.Context, q bun.IDB, before, keysBefore time.Time) error {
	_, err := q.NewDelete().Model((*Delivery)(nil)).Where("d.last_at < ? AND d.head IS NULL", before).Exec(ctx)
	if err != nil {
		return fmt.Errorf("prune deliveries: %w", err)
	}
	if err := pruneDeliveryKeys(ctx, q, keysBefore); err != nil {
		return err
	}
	return pruneSigned(ctx, q, keysBefore)
}
