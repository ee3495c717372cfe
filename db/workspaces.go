package db

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Workspace is a Git repository in which sessions run.
type Workspace struct {
	bun.BaseModel `bun:"table:workspaces,alias:w"`

	ID     uuid.UUID `bun:"id,pk,type:uuid"`
	Name   string    `bun:"name"`
	GitURL string    `bun:"git_url"` // empty: a repository that Carillon makes itself
	// the policy for remotes does not apply, because its address is older than the policy
	Anywhere      bool   `bun:"remote_anywhere"`
	DefaultBranch string `bun:"default_branch"`
	TokenSealed   []byte `bun:"token_sealed,nullzero"`
	Forge         string `bun:"forge"`      // empty: derived from the repository's address
	ForgeBase     string `bun:"forge_base"` // web address of a self-hosted forge
	ForgeSecret   []byte `bun:"forge_secret_sealed,nullzero"`
	Provider      string `bun:"provider"`
	Model         string `bun:"model"`
	Sandbox       bool   `bun:"sandbox"`         // agents are confined by bubblewrap
	Offline       bool   `bun:"sandbox_offline"` // agents have no network in the sandbox
	Shows         string `bun:"sandbox_shows"`   // paths of the machine that the sandbox shows, one a line
	// after how many days without work open sessions are closed; 0: never
	IdleDays  int       `bun:"idle_days,nullzero"`
	CreatedBy uuid.UUID `bun:"created_by,nullzero,type:uuid"`
	CreatedAt time.Time `bun:"created_at"`
	UpdatedAt time.Time `bun:"updated_at"`
	RemovedAt time.Time `bun:"removed_at,nullzero"`
	Version   int64     `bun:"version"`

	Automations int64 `bun:"automations,scanonly"` // number of its automations; set by some queries
	Members     int64 `bun:"members,scanonly"`
	Live        int64 `bun:"live,scanonly"` // sessions at work
}

// ShowsPaths are the paths of the machine that the workspace's sandbox shows.
func (w *Workspace) ShowsPaths() []string {
	if w.Shows == "" {
		return nil
	}
	return strings.Split(w.Shows, "\n")
}

// WorkspaceByID finds a workspace, also a removed one.
func WorkspaceByID(ctx context.Context, q bun.IDB, id uuid.UUID) (*Workspace, error) {
	var w Workspace
	if err := q.NewSelect().Model(&w).Where("w.id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("find workspace %s: %w", id, err)
	}
	return &w, nil
}

// Workspaces lists the workspaces in use, by name: those of a member, or all if member is zero.
func Workspaces(ctx context.Context, q bun.IDB, member uuid.UUID) ([]Workspace, error) {
	var list []Workspace
	sel := q.NewSelect().Model(&list).ColumnExpr("?TableColumns").
		ColumnExpr("(SELECT count(*) FROM automations a WHERE a.workspace_id = w.id) AS automations").
		ColumnExpr("(SELECT count(*) FROM workspace_members m WHERE m.workspace_id = w.id) AS members").
		ColumnExpr(`(SELECT count(*) FROM sessions s
			WHERE s.workspace_id = w.id AND s.status IN ('queued', 'in_progress')) AS live`).
		Where("w.removed_at IS NULL").OrderExpr("lower(w.name), w.id")
	if member != uuid.Nil {
		sel = sel.Where("w.id IN (SELECT workspace_id FROM workspace_members WHERE user_id = ?)", member)
	}
	if err := sel.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list workspaces: %w", err)
	}
	return list, nil
}

// WorkspacesOf lists the workspaces, by name, that a person is a member of.
func WorkspacesOf(ctx context.Context, q bun.IDB, user uuid.UUID) ([]Workspace, error) {
	var list []Workspace
	err := q.NewSelect().Model(&list).Where("w.removed_at IS NULL").
		Where("w.id IN (SELECT workspace_id FROM workspace_members WHERE user_id = ?)", user).
		OrderExpr("lower(w.name), w.id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list workspaces of user %s: %w", user, err)
	}
	return list, nil
}

// AnyWorkspace reports whether there is a workspace, also a removed one.
func AnyWorkspace(ctx context.Context, q bun.IDB) (bool, error) {
	return q.NewSelect().Model((*Workspace)(nil)).Exists(ctx)
}

// AnyWorkspaceNamed reports whether there is a workspace of any of some names.
func AnyWorkspaceNamed(ctx context.Context, q bun.IDB, names []string) (bool, error) {
	return q.NewSelect().Model((*Workspace)(nil)).Where("lower(w.name) = ANY(SELECT lower(n) FROM unnest(?::text[]) n)",
		textArray(names)).
		Where("w.removed_at IS NULL").Exists(ctx)
}

// InsertWorkspace writes a new workspace.
func InsertWorkspace(ctx context.Context, q bun.IDB, w *Workspace) error {
	if _, err := q.NewInsert().Model(w).Exec(ctx); err != nil {
		return fmt.Errorf("insert workspace: %w", err)
	}
	return nil
}

// SaveWorkspace writes the columns of a workspace that people edit if the workspace has the given version. It reports
// whether it has.
func SaveWorkspace(ctx context.Context, q bun.IDB, w *Workspace, version int64) (bool, error) {
	res, err := q.NewUpdate().Model(w).
		Column("name", "git_url", "remote_anywhere", "default_branch", "token_sealed", "forge", "forge_base",
			"forge_secret_sealed").
		Column("provider", "model", "sandbox", "sandbox_offline", "sandbox_shows", "idle_days", "updated_at",
			"version").
		WherePK().Where("w.version = ?", version).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("save workspace %s: %w", w.ID, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// MarkWorkspaceRemoved takes a workspace out of use.
func MarkWorkspaceRemoved(ctx context.Context, q bun.IDB, id uuid.UUID, now time.Time) error {
	if _, err := q.NewUpdate().Model((*Workspace)(nil)).Set("removed_at = ?", now).Where("w.id = ?", id).
		Exec(ctx); err != nil {
		return fmt.Errorf("remove workspace %s: %w", id, err)
	}
	return nil
}

// RemovedWorkspaces lists the workspaces taken out of use before a time.
func RemovedWorkspaces(ctx context.Context, q bun.IDB, before time.Time) ([]uuid.UUID, error) {
	var ids []uuid.UUID
	if err := q.NewSelect().Model((*Workspace)(nil)).Column("id").Where("w.removed_at < ?", before).
		Scan(ctx, &ids); err != nil {
		return nil, fmt.Errorf("list removed workspaces: %w", err)
	}
	return ids, nil
}

// UnconfinedFilter narrows the list of workspaces without a sandbox. Zero fields do not narrow.
type UnconfinedFilter struct {
	Member uuid.UUID // a member of the workspaces
	After  uuid.UUID // workspaces after this one, by name
	Before uuid.UUID // workspaces before this one
	Limit  int
}

// Unconfined lists the workspaces in use whose agents and scripts run without a sandbox, by name. With Before it lists
// those nearest to it, in the same order.
func Unconfined(ctx context.Context, q bun.IDB, f UnconfinedFilter) ([]Workspace, error) {
	var list []Workspace
	sel := q.NewSelect().Model(&list).Where("NOT w.sandbox").Where("w.removed_at IS NULL").Limit(int64(f.Limit))
	if f.Member != uuid.Nil {
		sel = sel.Where("w.id IN (SELECT workspace_id FROM workspace_members WHERE user_id = ?)", f.Member)
	}
	if err := applyNamePage(sel, "w", "workspaces", f.After, f.Before).Scan(ctx); err != nil {
		return nil, fmt.Errorf("list workspaces without a sandbox: %w", err)
	}
	if f.Before != uuid.Nil {
		slices.Reverse(list)
	}
	return list, nil
}

// CountUnconfined counts the workspaces in use without a sandbox, up to most.
func CountUnconfined(ctx context.Context, q bun.IDB, most int) (int, error) {
	var n int
	err := q.NewRaw(`SELECT count(*) FROM (SELECT 1 FROM workspaces WHERE NOT sandbox AND removed_at IS NULL
		LIMIT ?) AS counted`, most).Scan(ctx, &n)
	if err != nil {
		return 0, fmt.Errorf("count workspaces without a sandbox: %w", err)
	}
	return n, nil
}
