package db

import (
	"context"
	"fmt"
	"slices"
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
	Token       string         `bun:"token"` // name of the API token of a program; empty: the person acted

	Actor *User `bun:"rel:belongs-to,join:actor_id=id"`
}

type addressKey struct{}

// WithAddress gives a context with the client's address. AddAudit and TouchAPIToken write this address.
func WithAddress(ctx context.Context, address string) context.Context {
	return context.WithValue(ctx, addressKey{}, address)
}

type tokenKey struct{}

// WithTokenName gives a context with the name of the API token of a request, which AddAudit writes. An empty name: no
// token.
func WithTokenName(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, tokenKey{}, name)
}

func addressOf(ctx context.Context) string {
	address, _ := ctx.Value(addressKey{}).(string)
	return address
}

// AddAudit writes lines of the audit log, in one statement. A line without an address gets the one of WithAddress, and
// a line without a token's name gets the one of WithTokenName.
func AddAudit(ctx context.Context, q bun.IDB, events ...AuditEvent) error {
	if len(events) == 0 {
		return nil
	}
	for i := range events {
		e := &events[i]
		if e.Address == "" {
			e.Address = addressOf(ctx)
		}
		if e.Token == "" {
			e.Token, _ = ctx.Value(tokenKey{}).(string)
		}
	}
	if _, err := q.NewInsert().Model(&events).Exec(ctx); err != nil {
		return fmt.Errorf("write audit log: %w", err)
	}
	return nil
}

// AuditOf lists the newest lines about a subject.
func AuditOf(ctx context.Context, q bun.IDB, subject uuid.UUID, limit int) ([]AuditEvent, error) {
	var list []AuditEvent
	err := q.NewSelect().Model(&list).Relation("Actor").Where("ae.subject_id = ?", subject).
		OrderExpr("ae.at DESC, ae.id DESC").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	return list, nil
}

// AuditFilter narrows the audit log. A zero field does not narrow.
type AuditFilter struct {
	Actor     uuid.UUID
	Subject   uuid.UUID
	Workspace uuid.UUID
	Action    string    // as written, or the part before its dot: "user" selects every "user. ..."
	Since     time.Time // from then on
	Until     time.Time // before then
	Before    uuid.UUID // lines older than this one: the last of the page before
	After     uuid.UUID // lines newer than this one; those nearest to it
	Member    uuid.UUID // lines of this person's workspaces, and lines without a workspace
	Limit     int
}

// AuditEvents lists lines of the audit log, the newest first.
func AuditEvents(ctx context.Context, q bun.IDB, f AuditFilter) ([]AuditEvent, error) {
	var list []AuditEvent
	sel := q.NewSelect().Model(&list).Relation("Actor").Limit(int64(f.Limit))
	for column, id := range map[string]uuid.UUID{"actor_id": f.Actor, "subject_id": f.Subject,
		"workspace_id": f.Workspace} {
		if id != uuid.Nil {
			sel = sel.Where("ae.? = ?", bun.Ident(column), id)
		}
	}
	if f.Action != "" {
		sel = sel.Where("(ae.action = ? OR starts_with(ae.action, ?))", f.Action, f.Action+".")
	}
	if !f.Since.IsZero() {
		sel = sel.Where("ae.at >= ?", f.Since)
	}
	if !f.Until.IsZero() {
		sel = sel.Where("ae.at < ?", f.Until)
	}
	if f.Before != uuid.Nil {
		sel = sel.Where("ae.id < ?", f.Before)
	}
	if f.Member != uuid.Nil {
		sel = sel.Where(`(ae.workspace_id IS NULL OR ae.workspace_id IN (SELECT workspace_id FROM workspace_members
			WHERE user_id = ?))`, f.Member)
	}
	if f.After != uuid.Nil { // ids sort by time
		sel = sel.Where("ae.id > ?", f.After).OrderExpr("ae.id")
	} else {
		sel = sel.OrderExpr("ae.id DESC")
	}
	if err := sel.Scan(ctx); err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	if f.After != uuid.Nil {
		slices.Reverse(list)
	}
	return list, nil
}

// AuditActions lists the actions that occur in the audit log. It steps from one action to the next in the index,
// because the log is long and the actions are few.
func AuditActions(ctx context.Context, q bun.IDB) ([]string, error) {
	var list []string
	err := q.NewRaw(`WITH RECURSIVE t (action) AS (
		(SELECT action FROM audit_events ORDER BY action USING ~<~ LIMIT 1)
		UNION ALL
		SELECT (SELECT ae.action FROM audit_events ae WHERE ae.action ~>~ t.action ORDER BY ae.action USING ~<~ LIMIT 1)
			FROM t WHERE t.action IS NOT NULL
	) SELECT action FROM t WHERE action IS NOT NULL`).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("list audited actions: %w", err)
	}
	return list, nil
}
