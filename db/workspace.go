package db

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Workspace is a Git repository in which sessions run.
type Workspace struct {
	bun.BaseModel `bun:"table:workspaces,alias:w"`

	ID            uuid.UUID `bun:"id,pk,type:uuid"`
	Name          string    `bun:"name"`
	GitURL        string    `bun:"git_url"`         // empty: a repository that Carillon makes itself
	Anywhere      bool      `bun:"remote_anywhere"` // its address is older than the policy for remotes, which does not hold for it
	DefaultBranch string    `bun:"default_branch"`
	TokenSealed   []byte    `bun:"token_sealed,nullzero"`
	Forge         string    `bun:"forge"`      // empty: known by the repository's address
	ForgeBase     string    `bun:"forge_base"` // web address of a forge of one's own
	ForgeSecret   []byte    `bun:"forge_secret_sealed,nullzero"`
	Provider      string    `bun:"provider"`
	Model         string    `bun:"model"`
	Sandbox       bool      `bun:"sandbox"`            // agents are confined by bubblewrap
	Offline       bool      `bun:"sandbox_offline"`    // and have no network there
	Shows         string    `bun:"sandbox_shows"`      // paths of the machine that the sandbox shows, one a line
	IdleDays      int       `bun:"idle_days,nullzero"` // after how many days without work open sessions are closed; 0: never
	CreatedBy     uuid.UUID `bun:"created_by,nullzero,type:uuid"`
	CreatedAt     time.Time `bun:"created_at"`
	UpdatedAt     time.Time `bun:"updated_at"`
	RemovedAt     time.Time `bun:"removed_at,nullzero"`
	Version       int64     `bun:"version"`

	Automations int64 `bun:"automations,scanonly"` // how many belong to it, where the query says so
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

// Variable is one entry of the environment of a workspace's sessions.
type Variable struct {
	bun.BaseModel `bun:"table:workspace_variables,alias:v"`

	WorkspaceID uuid.UUID `bun:"workspace_id,pk,type:uuid"`
	Name        string    `bun:"name,pk"`
	Secret      bool      `bun:"secret"`
	Value       string    `bun:"value"`
	Sealed      []byte    `bun:"sealed,nullzero"`
}

// Member makes a person a member of a workspace.
type Member struct {
	bun.BaseModel `bun:"table:workspace_members"`

	WorkspaceID uuid.UUID `bun:"workspace_id,pk,type:uuid"`
	UserID      uuid.UUID `bun:"user_id,pk,type:uuid"`
}

// WorkspaceByID finds a workspace, also a removed one.
func WorkspaceByID(ctx context.Context, q bun.IDB, id uuid.UUID) (*Workspace, error) {
	var w Workspace
	if err := q.NewSelect().Model(&w).Where("w.id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("find workspace %s: %w", id, err)
	}
	return &w, nil
}

// Workspaces lists the workspaces, by name, that are not removed; of a member's only, unless member is zero.
func Workspaces(ctx context.Context, q bun.IDB, member uuid.UUID) ([]Workspace, error) {
	var list []Workspace
	sel := q.NewSelect().Model(&list).ColumnExpr("?TableColumns").
		ColumnExpr("(SELECT count(*) FROM automations a WHERE a.workspace_id = w.id) AS automations").
		ColumnExpr("(SELECT count(*) FROM workspace_members m WHERE m.workspace_id = w.id) AS members").
		ColumnExpr("(SELECT count(*) FROM sessions s WHERE s.workspace_id = w.id AND s.status IN ('queued', 'in_progress')) AS live").
		Where("w.removed_at IS NULL").OrderExpr("lower(w.name), w.id")
	if member != uuid.Nil {
		sel = sel.Where("w.id IN (SELECT workspace_id FROM workspace_members WHERE user_id = ?)", member)
	}
	if err := sel.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list workspaces: %w", err)
	}
	return list, nil
}

// IsMember reports whether a person is a member of a workspace.
func IsMember(ctx context.Context, q bun.IDB, workspace, user uuid.UUID) (bool, error) {
	return q.NewSelect().Table("workspace_members").
		Where("workspace_id = ?", workspace).Where("user_id = ?", user).Exists(ctx)
}

// Membership is that somebody is a member of a workspace.
type Membership struct {
	WorkspaceID uuid.UUID `bun:"workspace_id,type:uuid"`
	UserID      uuid.UUID `bun:"user_id,type:uuid"`
}

// MembershipsAmong finds which of some people are members of which of some workspaces.
func MembershipsAmong(ctx context.Context, q bun.IDB, workspaces, people []uuid.UUID) (map[Membership]bool, error) {
	var list []Membership
	err := q.NewSelect().Table("workspace_members").Column("workspace_id", "user_id").
		Where("workspace_id = ANY(?::uuid[])", UUIDs(workspaces)).Where("user_id = ANY(?::uuid[])", UUIDs(people)).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("find members of workspaces: %w", err)
	}
	found := make(map[Membership]bool, len(list))
	for _, m := range list {
		found[m] = true
	}
	return found, nil
}

// MembersOf lists the members of a workspace by name.
func MembersOf(ctx context.Context, q bun.IDB, workspace uuid.UUID) ([]User, error) {
	var list []User
	err := selectUsers(q, &list).Where("u.id IN (SELECT user_id FROM workspace_members WHERE workspace_id = ?)", workspace).
		OrderExpr("lower(u.name), u.id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list members of workspace %s: %w", workspace, err)
	}
	return list, nil
}

// VariablesOf lists a workspace's variables by name.
func VariablesOf(ctx context.Context, q bun.IDB, workspace uuid.UUID) ([]Variable, error) {
	var list []Variable
	if err := q.NewSelect().Model(&list).Where("workspace_id = ?", workspace).OrderExpr("name").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list variables of workspace %s: %w", workspace, err)
	}
	return list, nil
}

// AnyWorkspace reports whether a workspace exists or ever did.
func AnyWorkspace(ctx context.Context, q bun.IDB) (bool, error) {
	return q.NewSelect().Model((*Workspace)(nil)).Exists(ctx)
}

// AnyWorkspaceNamed reports whether there is a workspace of any of some names.
func AnyWorkspaceNamed(ctx context.Context, q bun.IDB, names []string) (bool, error) {
	return q.NewSelect().Model((*Workspace)(nil)).Where("lower(w.name) = ANY(SELECT lower(n) FROM unnest(?::text[]) n)", textArray(names)).
		Where("w.removed_at IS NULL").Exists(ctx)
}

// InsertWorkspace writes a new workspace.
func InsertWorkspace(ctx context.Context, q bun.IDB, w *Workspace) error {
	if _, err := q.NewInsert().Model(w).Exec(ctx); err != nil {
		return fmt.Errorf("insert workspace: %w", err)
	}
	return nil
}

// SaveWorkspace writes what people edit of a workspace, unless its version is another than theirs.
func SaveWorkspace(ctx context.Context, q bun.IDB, w *Workspace, version int64) (bool, error) {
	res, err := q.NewUpdate().Model(w).
		Column("name", "git_url", "remote_anywhere", "default_branch", "token_sealed", "forge", "forge_base", "forge_secret_sealed").
		Column("provider", "model", "sandbox", "sandbox_offline", "sandbox_shows", "idle_days", "updated_at", "version").
		WherePK().Where("w.version = ?", version).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("save workspace %s: %w", w.ID, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// MarkWorkspaceRemoved takes a workspace out of use.
func MarkWorkspaceRemoved(ctx context.Context, q bun.IDB, id uuid.UUID, now time.Time) error {
	if _, err := q.NewUpdate().Model((*Workspace)(nil)).Set("removed_at = ?", now).Where("w.id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("remove workspace %s: %w", id, err)
	}
	return nil
}

// SaveVariables replaces a workspace's variables.
func SaveVariables(ctx context.Context, q bun.IDB, workspace uuid.UUID, list []Variable) error {
	if _, err := q.NewDelete().Model((*Variable)(nil)).Where("v.workspace_id = ?", workspace).Exec(ctx); err != nil {
		return fmt.Errorf("save variables: %w", err)
	}
	if len(list) == 0 {
		return nil
	}
	if _, err := q.NewInsert().Model(&list).Exec(ctx); err != nil {
		return fmt.Errorf("save variables: %w", err)
	}
	return nil
}

// AddMember makes a person a member of a workspace.
func AddMember(ctx context.Context, q bun.IDB, workspace, user uuid.UUID) error {
	if _, err := q.NewInsert().Model(&Member{WorkspaceID: workspace, UserID: user}).On("CONFLICT DO NOTHING").Exec(ctx); err != nil {
		return fmt.Errorf("add member: %w", err)
	}
	return nil
}

// RemoveMember ends a person's membership of a workspace.
func RemoveMember(ctx context.Context, q bun.IDB, workspace, user uuid.UUID) error {
	if _, err := q.NewDelete().Model(&Member{WorkspaceID: workspace, UserID: user}).WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("remove member: %w", err)
	}
	return nil
}

// JoinNamed makes a person a member of the workspace of a name, if there is one, and returns its id, or none.
func JoinNamed(ctx context.Context, q bun.IDB, name string, user uuid.UUID) (uuid.UUID, error) {
	var joined []uuid.UUID
	err := q.NewRaw("INSERT INTO workspace_members (workspace_id, user_id) SELECT id, ? FROM workspaces WHERE name = ? AND removed_at IS NULL ON CONFLICT DO NOTHING RETURNING workspace_id", user, name).Scan(ctx, &joined)
	if err != nil {
		return uuid.Nil, fmt.Errorf("join workspace %s: %w", name, err)
	}
	if len(joined) == 0 {
		return uuid.Nil, nil
	}
	return joined[0], nil
}

// RemovedWorkspaces lists the workspaces taken out of use before a time.
func RemovedWorkspaces(ctx context.Context, q bun.IDB, before time.Time) ([]uuid.UUID, error) {
	var ids []uuid.UUID
	if err := q.NewSelect().Model((*Workspace)(nil)).Column("id").Where("w.removed_at < ?", before).Scan(ctx, &ids); err != nil {
		return nil, fmt.Errorf("list removed workspaces: %w", err)
	}
	return ids, nil
}
