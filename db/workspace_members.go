package db

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Member makes a person a member of a workspace.
type Member struct {
	bun.BaseModel `bun:"table:workspace_members"`

	WorkspaceID uuid.UUID `bun:"workspace_id,pk,type:uuid"`
	UserID      uuid.UUID `bun:"user_id,pk,type:uuid"`
}

// IsMember reports whether a person is a member of a workspace.
func IsMember(ctx context.Context, q bun.IDB, workspace, user uuid.UUID) (bool, error) {
	return q.NewSelect().Table("workspace_members").
		Where("workspace_id = ?", workspace).Where("user_id = ?", user).Exists(ctx)
}

// Membership is the membership of a person in a workspace.
type Membership struct {
	WorkspaceID uuid.UUID `bun:"workspace_id,type:uuid"`
	UserID      uuid.UUID `bun:"user_id,type:uuid"`
}

// MembershipsAmong finds which of some people are members of which of some workspaces.
func MembershipsAmong(ctx context.Context, q bun.IDB, workspaces, people []uuid.UUID) (map[Membership]bool, error) {
	var list []Membership
	err := q.NewSelect().Table("workspace_members").Column("workspace_id", "user_id").
		Where("workspace_id = ANY(?::uuid[])", UUIDs(workspaces)).Where("user_id = ANY(?::uuid[])", UUIDs(people)).
		Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("find members of workspaces: %w", err)
	}
	found := make(map[Membership]bool, len(list))
	for _, m := range list {
		found[m] = true
	}
	return found, nil
}

// InAllWorkspacesOf reports whether one person is a member of every workspace of another person.
func InAllWorkspacesOf(ctx context.Context, q bun.IDB, somebody, person uuid.UUID) (bool, error) {
	missing, err := q.NewSelect().TableExpr("workspace_members AS m").
		Join("JOIN workspaces AS w ON w.id = m.workspace_id AND w.removed_at IS NULL").Where("m.user_id = ?", person).
		Where("NOT EXISTS (SELECT FROM workspace_members o WHERE o.workspace_id = m.workspace_id AND o.user_id = ?)",
			somebody).
		Exists(ctx)
	if err != nil {
		return false, fmt.Errorf("compare workspaces of %s and %s: %w", somebody, person, err)
	}
	return !missing, nil
}

// AddMember makes a person a member of a workspace.
func AddMember(ctx context.Context, q bun.IDB, workspace, user uuid.UUID) error {
	if _, err := q.NewInsert().Model(&Member{WorkspaceID: workspace, UserID: user}).On("CONFLICT DO NOTHING").
		Exec(ctx); err != nil {
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

// JoinNamed makes a person a member of the workspace with a name. It returns the workspace's id, or zero if there is
// none.
func JoinNamed(ctx context.Context, q bun.IDB, name string, user uuid.UUID) (uuid.UUID, error) {
	var joined []uuid.UUID
	err := q.NewRaw(`INSERT INTO workspace_members (workspace_id, user_id) SELECT id, ? FROM workspaces
		WHERE name = ? AND removed_at IS NULL ON CONFLICT DO NOTHING RETURNING workspace_id`, user, name).
		Scan(ctx, &joined)
	if err != nil {
		return uuid.Nil, fmt.Errorf("join workspace %s: %w", name, err)
	}
	if len(joined) == 0 {
		return uuid.Nil, nil
	}
	return joined[0], nil
}
