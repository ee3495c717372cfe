package db

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// UserRole gives a person a role.
type UserRole struct {
	bun.BaseModel `bun:"table:user_roles"`

	UserID uuid.UUID `bun:"user_id,pk,type:uuid"`
	RoleID uuid.UUID `bun:"role_id,pk,type:uuid"`
}

// SetRoles replaces the roles of a person.
func SetRoles(ctx context.Context, q bun.IDB, user uuid.UUID, roles []uuid.UUID) error {
	if _, err := q.NewDelete().Model((*UserRole)(nil)).Where("user_id = ?", user).Exec(ctx); err != nil {
		return fmt.Errorf("set roles of user %s: %w", user, err)
	}
	if len(roles) == 0 {
		return nil
	}
	list := make([]UserRole, len(roles))
	for i, role := range roles {
		list[i] = UserRole{UserID: user, RoleID: role}
	}
	if _, err := q.NewInsert().Model(&list).Exec(ctx); err != nil {
		return fmt.Errorf("set roles of user %s: %w", user, err)
	}
	return nil
}
