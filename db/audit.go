package db

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// AuditEvent is one line of the audit log. Rows are only ever added.
type AuditEvent struct {
	bun.BaseModel `bun:"table:audit_events,alias:ae"`

	ID          uuid.UUID      `bun:"id,pk,type:uuid"`
	At          time.Time      `bun:"at"`
	ActorID     uuid.UUID      `bun:"actor_id,nullzero,type:uuid"` // zero: Carillon itself
	Action      string         `bun:"action"`
	SubjectKind string         `bun:"subject_kind"`
	SubjectID   uuid.UUID      `bun:"subject_id,nullzero,type:uuid"`
	SubjectName string         `bun:"subject_name"`
	WorkspaceID uuid.UUID      `bun:"workspace_id,nullzero,type:uuid"`
	Reason      string         `bun:"reason"`
	Before      map[string]any `bun:"before,type:jsonb,nullzero"`
	After       map[string]any `bun:"after,type:jsonb,nullzero"`
	Address     string         `bun:"address"`

	Actor *User `bun:"rel:belongs-to,join:actor_id=id"`
}

// AddAudit writes a line of the audit log.
func AddAudit(ctx context.Context, q bun.IDB, e AuditEvent) error {
	if _, err := q.NewInsert().Model(&e).Exec(ctx); err != nil {
		return fmt.Errorf("write audit log: %w", err)
	}
	return nil
}

// AuditOf lists the newest lines about a subject.
func AuditOf(ctx context.Context, q bun.IDB, subject uuid.UUID, limit int) ([]AuditEvent, error) {
	var list []AuditEvent
	err := q.NewSelect().Model(&list).Relation("Actor").Where("ae.subject_id = ?", subject).OrderExpr("ae.at DESC, ae.id DESC").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	return list, nil
}

// Printable makes a text of any origin fit for a text column: valid UTF-8, no control characters, at most so many bytes.
func Printable(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return text
}
