package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// userColumns are the columns of an automation that are read when its bot or workflow changes. There may be many
// automations, so their prompts are not read.
var userColumns = []string{"id", "name", "workspace_id", "creator_id", "trigger", "enabled", "may_automate"}

// BotUsers lists the automations with a bot that a person may see, by name.
func BotUsers(ctx context.Context, q bun.IDB, v Access, bot uuid.UUID, limit int) ([]Automation, error) {
	var list []Automation
	sel := q.NewSelect().Model(&list).Column("id", "name").Where("a.bot_id = ?", bot).OrderExpr("lower(a.name), a.id").
		Limit(int64(limit))
	if err := v.narrow(sel, "a", "creator_id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list automations of bot %s: %w", bot, err)
	}
	return list, nil
}

// LockBotUsers finds the automations that use a bot, and locks them until the transaction ends. It reads the columns of
// userColumns alone.
func LockBotUsers(ctx context.Context, tx bun.Tx, bot uuid.UUID) ([]Automation, error) {
	var list []Automation
	err := tx.NewSelect().Model(&list).Column(userColumns...).Where("a.bot_id = ?", bot).OrderExpr("a.id").
		For("NO KEY UPDATE").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock automations of bot %s: %w", bot, err)
	}
	return list, nil
}

// WorkflowUsers lists the automations with a workflow that a person may see, by name.
func WorkflowUsers(ctx context.Context, q bun.IDB, v Access, workflow uuid.UUID, limit int) ([]Automation, error) {
	var list []Automation
	sel := q.NewSelect().Model(&list).Column("id", "name").Where("a.workflow_id = ?", workflow).
		OrderExpr("lower(a.name), a.id").Limit(int64(limit))
	if err := v.narrow(sel, "a", "creator_id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list automations of workflow %s: %w", workflow, err)
	}
	return list, nil
}

// LockWorkflowUsers finds the automations that use a workflow, and locks them until the transaction ends. It reads the
// columns of userColumns alone.
func LockWorkflowUsers(ctx context.Context, tx bun.Tx, workflow uuid.UUID) ([]Automation, error) {
	var list []Automation
	err := tx.NewSelect().Model(&list).Column(userColumns...).Where("a.workflow_id = ?", workflow).OrderExpr("a.id").
		For("NO KEY UPDATE").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock automations of workflow %s: %w", workflow, err)
	}
	return list, nil
}

// LockAutomating lists the automations whose sessions may manage automations and that use a bot or a workflow, by the
// column bot_id or workflow_id. It locks them until the transaction ends.
func LockAutomating(ctx context.Context, tx bun.Tx, column string, id uuid.UUID) ([]Automation, error) {
	var list []Automation
	err := tx.NewSelect().Model(&list).Column(userColumns...).Where("a.may_automate").
		Where("a.? = ?", bun.Ident(column), id).OrderExpr("a.id").For("NO KEY UPDATE").Scan(ctx)
	return list, wrap(err, "lock automations whose sessions manage automations")
}

// StopAutomating takes the right to manage automations from the sessions of some automations.
func StopAutomating(ctx context.Context, q bun.IDB, automations []uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Model((*Automation)(nil)).Set("may_automate = false").Set("version = a.version + 1").
		Set("updated_at = ?", now).
		Where("a.id = ANY(?::uuid[])", UUIDs(automations)).Exec(ctx)
	return wrap(err, "stop sessions from managing automations")
}

// Use is an automation's use of a bot or a workflow.
type Use struct {
	WorkspaceID uuid.UUID `bun:"workspace_id,type:uuid"`
	Provider    string    `bun:"provider"` // its own, or the workspace's
	Member      bool      `bun:"member"`   // whether a given person is a member of the workspace
}

// BotUses lists the workspaces and providers with which a bot is used, each pair once.
func BotUses(ctx context.Context, q bun.IDB, bot, person uuid.UUID) ([]Use, error) {
	return uses(ctx, q, "bot_id", bot, person)
}

// WorkflowUses lists the workspaces and providers with which a workflow is used, each pair once.
func WorkflowUses(ctx context.Context, q bun.IDB, workflow, person uuid.UUID) ([]Use, error) {
	return uses(ctx, q, "workflow_id", workflow, person)
}

func uses(ctx context.Context, q bun.IDB, column string, id, person uuid.UUID) ([]Use, error) {
	var list []Use
	err := q.NewSelect().Distinct().TableExpr("automations AS a").Join("JOIN workspaces AS w ON w.id = a.workspace_id").
		ColumnExpr("a.workspace_id, coalesce(nullif(a.provider, ''), w.provider) AS provider").
		ColumnExpr(`EXISTS (SELECT 1 FROM workspace_members m
			WHERE m.workspace_id = a.workspace_id AND m.user_id = ?) AS member`, person).
		Where("a.? = ?", bun.Ident(column), id).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("list where %s %s is used: %w", column, id, err)
	}
	return list, nil
}
