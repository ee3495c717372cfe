package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Startable is an automation with everything that decides whether it can run.
type Startable struct {
	Automation `bun:",extend"`

	WorkspaceName      string      `bun:"workspace_name,scanonly"`
	WorkspaceRemoved   bool        `bun:"workspace_removed,scanonly"`
	WorkspaceProvider  string      `bun:"workspace_provider,scanonly"`
	WorkspaceModel     string      `bun:"workspace_model,scanonly"`
	CreatorName        string      `bun:"creator_name,scanonly"`
	CreatorInactive    bool        `bun:"creator_inactive,scanonly"`
	CreatorMember      bool        `bun:"creator_member,scanonly"`
	CreatorPermissions []string    `bun:"creator_permissions,array,scanonly"`
	WorkflowName       string      `bun:"workflow_name,scanonly"`
	WorkflowSteps      []Step      `bun:"workflow_steps,type:jsonb,scanonly"`
	WorkflowParameters []Parameter `bun:"workflow_parameters,type:jsonb,scanonly"`
	BotName            string      `bun:"bot_name,scanonly"`
	BotOff             bool        `bun:"bot_off,scanonly"`
	BotInstructions    string      `bun:"bot_instructions,scanonly"`
	BotProvider        string      `bun:"bot_provider,scanonly"`
	BotModel           string      `bun:"bot_model,scanonly"`
	BotLocks           bool        `bun:"bot_locks,scanonly"`
	BotReadOnly        bool        `bun:"bot_read_only,scanonly"`
	BotTools           []string    `bun:"bot_tools,array,scanonly"`
	// people who created and last changed its bot and its workflow
	ContentAuthors PeopleIDs `bun:"words_by,scanonly"`
	// executions in flight; for a claimed due automation, 1 means one or more
	InFlight int       `bun:"in_flight,scanonly"`
	Spending *Spending `bun:"-"` // counted against its budget; nil until it is read
	// the texts of its session toggles
	Instructions map[string]string `bun:"-"`
	// how many connections the database server allows; for a claimed due automation, 0
	Connections int `bun:"connections,scanonly"`
	// The following fields are set for a claimed due automation alone. Answered: the run_at of a One-Time has a row, or
	// the due time of a Recurring has a row from a time when the clock was ahead.
	Answered bool `bun:"answered,scanonly"`
	// of a Recurring: the first later due time that has a row already; zero: none. There is one only after the clock
	// was ahead.
	AnsweredAhead  time.Time `bun:"answered_ahead,nullzero,scanonly"`
	SetAsideReason string    `bun:"aside,scanonly"` // why it was set aside until now, as a text
}

func startables(q bun.IDB, list *[]Startable) *bun.SelectQuery {
	return q.NewSelect().Model(list).ColumnExpr("?TableColumns").
		ColumnExpr(`w.name AS workspace_name, w.removed_at IS NOT NULL AS workspace_removed,
			w.provider AS workspace_provider, w.model AS workspace_model`).
		ColumnExpr("u.name AS creator_name, u.deactivated_at IS NOT NULL AS creator_inactive").
		ColumnExpr(`coalesce(b.name, '') AS bot_name, NOT coalesce(b.enabled, true) AS bot_off,
			coalesce(b.instructions, '') AS bot_instructions, coalesce(b.provider, '') AS bot_provider`).
		ColumnExpr(`coalesce(b.model, '') AS bot_model, coalesce(b.locks_agent, false) AS bot_locks,
			coalesce(b.read_only, false) AS bot_read_only, coalesce(b.allowed_tools, '{}') AS bot_tools`).
		ColumnExpr(`coalesce(wf.name, '') AS workflow_name, wf.steps AS workflow_steps,
			wf.parameters AS workflow_parameters`).
		ColumnExpr("array_remove(ARRAY[b.created_by, b.changed_by, wf.created_by, wf.changed_by], NULL) AS words_by").
		Join("LEFT JOIN workflows AS wf ON wf.id = a.workflow_id").
		Join("JOIN workspaces AS w ON w.id = a.workspace_id").
		Join("JOIN users AS u ON u.id = a.creator_id").
		Join("LEFT JOIN bots AS b ON b.id = a.bot_id")
}

// addCreators adds their creators' permissions to startable automations. It reads each creator once, because there are
// far fewer creators than automations.
func addCreators(ctx context.Context, q bun.IDB, list []Startable) error {
	creators := map[uuid.UUID]bool{}
	var ids []uuid.UUID
	for i := range list {
		if id := list[i].CreatorID; !creators[id] {
			creators[id] = true
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	var rows []struct {
		UserID      uuid.UUID `bun:"user_id"`
		Permissions []string  `bun:"permissions,array"`
		Workspaces  []string  `bun:"workspaces,array"`
	}
	err := q.NewRaw(`SELECT u.id AS user_id,
			coalesce((SELECT array_agg(DISTINCT p) FROM user_roles ur
				JOIN roles r ON r.id = ur.role_id, unnest(r.permissions) p
				WHERE ur.user_id = u.id), '{}') AS permissions,
			coalesce((SELECT array_agg(m.workspace_id::text) FROM workspace_members m
				WHERE m.user_id = u.id), '{}') AS workspaces
		FROM unnest(?::uuid[]) AS u(id)`, UUIDs(ids)).Scan(ctx, &rows)
	if err != nil {
		return fmt.Errorf("read what creators may do: %w", err)
	}
	type rights struct {
		permissions []string
		member      map[string]bool
	}
	byID := make(map[uuid.UUID]rights, len(rows))
	for _, r := range rows {
		known := rights{permissions: r.Permissions, member: make(map[string]bool, len(r.Workspaces))}
		for _, w := range r.Workspaces {
			known.member[w] = true
		}
		byID[r.UserID] = known
	}
	for i := range list {
		a := &list[i]
		known := byID[a.CreatorID]
		a.CreatorPermissions, a.CreatorMember = known.permissions, known.member[a.WorkspaceID.String()]
	}
	return nil
}

// StartableByID finds an automation with everything that decides whether it can run, in one round trip.
func StartableByID(ctx context.Context, tx bun.Tx, id uuid.UUID) (*Startable, error) {
	var list []Startable
	q := startables(tx, &list).Where("a.id = $1").
		ColumnExpr(`EXISTS (SELECT 1 FROM workspace_members m
			WHERE m.workspace_id = a.workspace_id AND m.user_id = a.creator_id) AS creator_member`).
		ColumnExpr(`coalesce((SELECT array_agg(DISTINCT p) FROM user_roles ur
			JOIN roles r ON r.id = ur.role_id, unnest(r.permissions) p
			WHERE ur.user_id = a.creator_id), '{}') AS creator_permissions`).
		ColumnExpr(`(SELECT count(*) FROM executions e
			WHERE e.automation_id = a.id AND e.status IN ('queued', 'running')) AS in_flight`).
		ColumnExpr("current_setting('max_connections')::int AS connections")
	rows, err := prepare(tx).query(ctx, q.String(), id)
	if err == nil {
		err = q.DB().ScanRows(ctx, rows, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("find automation %s to start: %w", id, err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("find automation %s to start: %w", id, errNoRows)
	}
	return &list[0], nil
}
