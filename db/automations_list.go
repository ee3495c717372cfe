package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// AutomationRow is an automation with the columns of a list.
type AutomationRow struct {
	Automation `bun:",extend"`

	LastID         uuid.UUID `bun:"last_id,nullzero,scanonly"`
	LastStatus     string    `bun:"last_status,scanonly"`
	LastAt         time.Time `bun:"last_at,scanonly,nullzero"`
	LastStartedAt  time.Time `bun:"last_started_at,scanonly,nullzero"`
	LastFinishedAt time.Time `bun:"last_finished_at,scanonly,nullzero"`
	LastSessionID  uuid.UUID `bun:"last_session_id,nullzero,scanonly"`
	InFlight       bool      `bun:"in_flight,scanonly"`
	WorkflowName   string    `bun:"workflow_name,scanonly"`
	WorkflowAsks   bool      `bun:"workflow_asks,scanonly"` // it has parameters
	BotName        string    `bun:"bot_name,scanonly"`
	Fingerprint    string    `bun:"fingerprint,scanonly"`
	OwnerGone      OwnerGone `bun:"owner_gone,scanonly"`
}

// OwnerGone is the reason for which the owner of an automation prevents its runs; empty: the owner may have runs.
type OwnerGone string

// The reasons for which an owner prevents runs.
const (
	OwnerInactive  OwnerGone = "inactive"  // no active account
	OwnerOutside   OwnerGone = "outside"   // no member of the workspace
	OwnerPowerless OwnerGone = "powerless" // has no permission for automations
)

// ownerMay is the SQL condition that the owner of an automation has one of some permissions.
func ownerMay(permissions string) string {
	return `a.creator_id IN (SELECT ur.user_id FROM user_roles ur JOIN roles r ON r.id = ur.role_id
		WHERE r.permissions && ARRAY[` + permissions + "])"
}

// ownerGone is the SQL expression of an OwnerGone.
var ownerGone = `CASE WHEN a.creator_id IN (SELECT o.id FROM users o
	WHERE o.deactivated_at IS NOT NULL) THEN 'inactive' ` +
	`WHEN NOT EXISTS (SELECT 1 FROM workspace_members m
		WHERE m.workspace_id = a.workspace_id AND m.user_id = a.creator_id) AND NOT ` + ownerMay("'admin'") +
	" THEN 'outside' " +
	"WHEN NOT " + ownerMay("'admin', 'automations.manage', 'automations.manage_all'") + " THEN 'powerless' ELSE '' END"

// AutomationFilter narrows a list of automations. Zero fields do not narrow.
type AutomationFilter struct {
	Access    Access
	Search    string // in name or prompt
	Trigger   Trigger
	Workspace uuid.UUID
	Mine      bool
	State     string // enabled, disabled, running, attention
	AfterName string // keyset: the last name seen, and its id
	AfterID   uuid.UUID
	Limit     int
}

func (f AutomationFilter) apply(sel *bun.SelectQuery) *bun.SelectQuery {
	sel = f.Access.narrow(sel, "a", "creator_id")
	if f.Mine {
		sel = sel.Where("a.creator_id = ?", f.Access.User)
	}
	if f.Search != "" {
		like := containing(f.Search)
		sel = sel.Where("(a.name ILIKE ? OR a.prompt ILIKE ?)", like, like)
	}
	if f.Trigger != "" {
		sel = sel.Where("a.trigger = ?", f.Trigger)
	}
	if f.Workspace != uuid.Nil {
		sel = sel.Where("a.workspace_id = ?", f.Workspace)
	}
	switch f.State {
	case "enabled":
		sel = sel.Where("a.enabled")
	case "disabled":
		sel = sel.Where("NOT a.enabled")
	case "running":
		sel = sel.Where(`EXISTS (SELECT 1 FROM executions e
			WHERE e.automation_id = a.id AND e.status IN ('queued', 'running'))`)
	case "attention":
		sel = sel.Where(needsAttention)
	}
	return sel
}

// needsAttention is the SQL condition that an automation needs a person: Carillon disabled it for a fault, it fails, or
// its owner may not have it.
var needsAttention = "(" + ownerGone + ` <> '' OR (NOT a.enabled
	AND a.disabled_kind IN ('failures', 'missed', 'removed', 'invalid')) OR a.failure_streak > 0 ` +
	"OR (a.execution_type = 'workflow' AND a.workflow_id IS NULL) OR (a.session_type = 'bot' AND a.bot_id IS NULL))"

// Automations lists automations by name, with the newest run of each.
func Automations(ctx context.Context, q bun.IDB, f AutomationFilter) ([]AutomationRow, error) {
	return automationRows(ctx, q, f.Limit, func(sel *bun.SelectQuery) *bun.SelectQuery {
		if f.AfterID != uuid.Nil {
			sel = sel.Where("(lower(a.name), a.id) > (lower(?), ?)", f.AfterName, f.AfterID)
		}
		return f.apply(sel)
	})
}

// AutomationRowByID reads one automation with the columns of a list. It checks no access.
func AutomationRowByID(ctx context.Context, q bun.IDB, id uuid.UUID) (*AutomationRow, error) {
	list, err := automationRows(ctx, q, 1,
		func(sel *bun.SelectQuery) *bun.SelectQuery { return sel.Where("a.id = ?", id) })
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("find automation %s: %w", id, errNoRows)
	}
	return &list[0], nil
}

func automationRows(
	ctx context.Context, q bun.IDB, limit int, narrow func(*bun.SelectQuery) *bun.SelectQuery,
) ([]AutomationRow, error) {
	var list []AutomationRow
	sel := q.NewSelect().Model(&list).ColumnExpr("?TableColumns").Relation("Workspace").Relation("Creator").
		ColumnExpr(`e.id AS last_id, coalesce(e.status, '') AS last_status, e.created_at AS last_at,
			e.started_at AS last_started_at, e.finished_at AS last_finished_at, e.session_id AS last_session_id`).
		ColumnExpr(`EXISTS (SELECT 1 FROM executions x
			WHERE x.automation_id = a.id AND x.status IN ('queued', 'running')) AS in_flight`).
		ColumnExpr("coalesce((SELECT name FROM workflows wf WHERE wf.id = a.workflow_id), '') AS workflow_name").
		ColumnExpr(`EXISTS (SELECT 1 FROM workflows wf
			WHERE wf.id = a.workflow_id AND wf.parameters NOT IN ('[]', 'null')) AS workflow_asks`).
		ColumnExpr("coalesce((SELECT name FROM bots b WHERE b.id = a.bot_id), '') AS bot_name").
		ColumnExpr(`coalesce((SELECT left(encode(t.hash, 'hex'), 8) FROM trigger_tokens t
			WHERE t.automation_id = a.id AND t.expires_at IS NULL), '') AS fingerprint`).
		ColumnExpr(ownerGone + " AS owner_gone").
		Join(`LEFT JOIN LATERAL (SELECT * FROM executions e WHERE e.automation_id = a.id ORDER BY e.id DESC
			LIMIT 1) AS e ON true`).
		OrderExpr("lower(a.name), a.id").Limit(int64(limit))
	if err := narrow(sel).Scan(ctx); err != nil {
		return nil, fmt.Errorf("list automations: %w", err)
	}
	return list, nil
}

// AutomationCounts sums up a list of automations.
type AutomationCounts struct {
	Total     int64 `bun:"total"`
	Running   int64 `bun:"running"`
	Attention int64 `bun:"attention"`
}

// CountAutomations counts the automations that match a filter, on all its pages.
func CountAutomations(ctx context.Context, q bun.IDB, f AutomationFilter) (AutomationCounts, error) {
	var c AutomationCounts
	sel := q.NewSelect().TableExpr("automations AS a").
		ColumnExpr("count(*) AS total").
		ColumnExpr(`count(*) FILTER (WHERE EXISTS (SELECT 1 FROM executions e
			WHERE e.automation_id = a.id AND e.status IN ('queued', 'running'))) AS running`).
		ColumnExpr("count(*) FILTER (WHERE " + needsAttention + ") AS attention")
	if err := f.apply(sel).Scan(ctx, &c); err != nil {
		return AutomationCounts{}, fmt.Errorf("count automations: %w", err)
	}
	return c, nil
}
