package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Bot has instructions, an agent and limits for sessions.
type Bot struct {
	bun.BaseModel `bun:"table:bots,alias:b"`

	ID           uuid.UUID `bun:"id,pk,type:uuid"`
	WorkspaceID  uuid.UUID `bun:"workspace_id,nullzero,type:uuid"` // zero: for all workspaces
	Name         string    `bun:"name"`
	Instructions string    `bun:"instructions"`
	Provider     string    `bun:"provider"`
	Model        string    `bun:"model"`
	LocksAgent   bool      `bun:"locks_agent"` // provider and model cannot be chosen elsewhere
	AllowedTools []string  `bun:"allowed_tools,array"`
	ReadOnly     bool      `bun:"read_only"`
	Enabled      bool      `bun:"enabled"`
	CreatedBy    uuid.UUID `bun:"created_by,nullzero,type:uuid"`
	ChangedBy    uuid.UUID `bun:"changed_by,nullzero,type:uuid"` // who last changed it
	CreatedAt    time.Time `bun:"created_at"`
	UpdatedAt    time.Time `bun:"updated_at"`
	Version      int64     `bun:"version"`

	Workspace *Workspace `bun:"rel:belongs-to,join:workspace_id=id"`
	Uses      int        `bun:"uses,scanonly"` // how many automations use it; set by some queries
}

// Bots lists the bots that are for all workspaces and those of the workspaces that a person is a member of, by name.
func Bots(ctx context.Context, q bun.IDB, v Access, page NamePage) ([]Bot, error) {
	var list []Bot
	sel := page.apply(q.NewSelect().Model(&list).ExcludeColumn("instructions").Relation("Workspace").
		ColumnExpr("left(b.instructions, 500) AS instructions").
		ColumnExpr("(SELECT count(*) FROM automations x WHERE x.bot_id = b.id) AS uses"), "b")
	if !v.Everywhere {
		sel = sel.Where(`(b.workspace_id IS NULL OR b.workspace_id IN (SELECT workspace_id FROM workspace_members
			WHERE user_id = ?))`, v.User)
	}
	if err := sel.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list bots: %w", err)
	}
	return list, nil
}

// AllBots lists the bots of Bots without a limit, with full instructions.
func AllBots(ctx context.Context, q bun.IDB, v Access) ([]Bot, error) {
	var list []Bot
	sel := q.NewSelect().Model(&list).OrderExpr("lower(b.name), b.id")
	if !v.Everywhere {
		sel = sel.Where(`(b.workspace_id IS NULL OR b.workspace_id IN (SELECT workspace_id FROM workspace_members
			WHERE user_id = ?))`, v.User)
	}
	if err := sel.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list every bot: %w", err)
	}
	return list, nil
}

// BotByID finds a bot.
func BotByID(ctx context.Context, q bun.IDB, id uuid.UUID) (*Bot, error) {
	var b Bot
	err := q.NewSelect().Model(&b).ColumnExpr("?TableColumns").Relation("Workspace").
		ColumnExpr("(SELECT count(*) FROM automations x WHERE x.bot_id = b.id) AS uses").Where("b.id = ?", id).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find bot %s: %w", id, err)
	}
	return &b, nil
}

// LockBot finds a bot and locks it until the transaction ends.
func LockBot(ctx context.Context, tx bun.Tx, id uuid.UUID) (*Bot, error) {
	var b Bot
	if err := tx.NewSelect().Model(&b).Where("b.id = ?", id).For("UPDATE").Scan(ctx); err != nil {
		return nil, fmt.Errorf("lock bot %s: %w", id, err)
	}
	return &b, nil
}

// InsertBot writes a new bot.
func InsertBot(ctx context.Context, q bun.IDB, b *Bot) error {
	if _, err := q.NewInsert().Model(b).Exec(ctx); err != nil {
		return fmt.Errorf("insert bot: %w", err)
	}
	return nil
}

// SaveBot writes the columns of a bot that people edit.
func SaveBot(ctx context.Context, q bun.IDB, b *Bot) error {
	_, err := q.NewUpdate().Model(b).Column("workspace_id", "name", "instructions", "provider", "model", "locks_agent",
		"allowed_tools", "read_only", "enabled", "changed_by",
		"updated_at", "version").WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("save bot %s: %w", b.ID, err)
	}
	return nil
}

// DeleteBot removes a bot. Automations and sessions that name it stay, without it.
func DeleteBot(ctx context.Context, q bun.IDB, id uuid.UUID) error {
	if _, err := q.NewDelete().Model((*Bot)(nil)).Where("b.id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("delete bot %s: %w", id, err)
	}
	return nil
}
