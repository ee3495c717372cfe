package db

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// WorkflowNamed finds a workflow of a workspace, or one for all workspaces, by its name. It returns zero when there is none.
func WorkflowNamed(ctx context.Context, q bun.IDB, workspace uuid.UUID, name string) (uuid.UUID, error) {
	var id uuid.UUID
	err := q.NewRaw(`SELECT id FROM workflows WHERE name = ? AND (workspace_id = ? OR workspace_id IS NULL)
		ORDER BY workspace_id NULLS LAST, id LIMIT 1`, name, workspace).Scan(ctx, &id)
	if IsNotFound(err) {
		return uuid.Nil, nil
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("find workflow %q: %w", name, err)
	}
	return id, nil
}
