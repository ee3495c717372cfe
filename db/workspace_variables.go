package db

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Variable is one entry of the environment of a workspace's sessions.
type Variable struct {
	bun.BaseModel `bun:"table:workspace_variables,alias:v"`

	WorkspaceID uuid.UUID `bun:"workspace_id,pk,type:uuid"`
	Name        string    `bun:"name,pk"`
	Secret      bool      `bun:"secret"`
	Value       string    `bun:"value"`
	Sealed      []byte    `bun:"sealed,nullzero"`
}

// VariablesOf lists a workspace's variables by name.
func VariablesOf(ctx context.Context, q bun.IDB, workspace uuid.UUID) ([]Variable, error) {
	var list []Variable
	if err := q.NewSelect().Model(&list).Where("workspace_id = ?", workspace).OrderExpr("name").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list variables of workspace %s: %w", workspace, err)
	}
	return list, nil
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
