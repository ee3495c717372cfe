package db

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// SignedBody is a signed request that was accepted, with its answer. It belongs to an automation or to a workspace.
type SignedBody struct {
	bun.BaseModel `bun:"table:signed_bodies,alias:sb"`

	AutomationID uuid.UUID       `bun:"automation_id,nullzero,type:uuid"`
	WorkspaceID  uuid.UUID       `bun:"workspace_id,nullzero,type:uuid"`
	Signature    []byte          `bun:"signature"` // what forge.Signed returns
	At           time.Time       `bun:"at"`
	Answer       json.RawMessage `bun:"answer,type:jsonb"`
}

// owner gives the column of the owner of b, and its value.
func (b *SignedBody) owner() (column string, id uuid.UUID) {
	if b.WorkspaceID != uuid.Nil {
		return "workspace_id", b.WorkspaceID
	}
	return "automation_id", b.AutomationID
}

// AnswerToSigned finds the first answer to b since a time, or nil if b was not accepted since.
func AnswerToSigned(ctx context.Context, q bun.IDB, b *SignedBody, since time.Time) (json.RawMessage, error) {
	var list []SignedBody
	column, id := b.owner()
	err := q.NewSelect().Model(&list).Where("sb.? = ?", bun.Ident(column), id).Where("sb.signature = ?", b.Signature).
		Where("sb.at > ?", since).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find a signed body: %w", err)
	}
	if len(list) == 0 {
		return nil, nil
	}
	return list[0].Answer, nil
}

// SaveSigned stores the answer to a signed body, and replaces an older one.
func SaveSigned(ctx context.Context, q bun.IDB, b *SignedBody) error {
	column, _ := b.owner()
	_, err := q.NewInsert().Model(b).On("CONFLICT (?, signature) WHERE ? IS NOT NULL DO UPDATE", bun.Ident(column),
		bun.Ident(column)).
		Set("at = EXCLUDED.at").Set("answer = EXCLUDED.answer").Exec(ctx)
	if err != nil {
		return fmt.Errorf("save a signed body: %w", err)
	}
	return nil
}

// pruneSigned deletes the signed bodies that came before a time.
func pruneSigned(ctx context.Context, q bun.IDB, before time.Time) error {
	_, err := q.NewDelete().Model((*SignedBody)(nil)).Where("sb.at < ?", before).Exec(ctx)
	return wrap(err, "prune signed bodies")
}
