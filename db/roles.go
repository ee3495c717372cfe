package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// Role is a named set of permissions.
type Role struct {
	bun.BaseModel `bun:"table:roles,alias:r"`

	ID          uuid.UUID `bun:"id,pk,type:uuid"`
	Name        string    `bun:"name"`
	Key         string    `bun:"key,nullzero"` // of a built-in role; otherwise empty
	Permissions []string  `bun:"permissions,array"`
	CreatedAt   time.Time `bun:"created_at"`
	UpdatedAt   time.Time `bun:"updated_at,nullzero"`
	Version     int64     `bun:"version"`
}

// RoleRow is a role with how many people have it.
type RoleRow struct {
	Role `bun:",extend"`

	People int64 `bun:"people,scanonly"`
}

// Roles lists the roles: the built-in ones first, the one with most permissions first, and then the others by name.
func Roles(ctx context.Context, q bun.IDB) ([]RoleRow, error) {
	var list []RoleRow
	err := q.NewSelect().Model(&list).ColumnExpr("?TableColumns").
		ColumnExpr(`(SELECT count(*) FROM user_roles ur JOIN users u ON u.id = ur.user_id AND u.deactivated_at IS NULL
			WHERE ur.role_id = r.id) AS people`).
		OrderExpr("r.key IS NULL, array_position(ARRAY['administrator', 'manager', 'member'], r.key), lower(r.name)").
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list roles: %w", err)
	}
	return list, nil
}

// RoleByID finds a role.
func RoleByID(ctx context.Context, q bun.IDB, id uuid.UUID) (*Role, error) {
	var r Role
	if err := q.NewSelect().Model(&r).Where("r.id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("find role %s: %w", id, err)
	}
	return &r, nil
}

// RoleByKey finds a built-in role.
func RoleByKey(ctx context.Context, q bun.IDB, key string) (*Role, error) {
	var r Role
	if err := q.NewSelect().Model(&r).Where("key = ?", key).Scan(ctx); err != nil {
		return nil, fmt.Errorf("find role %s: %w", key, err)
	}
	return &r, nil
}

// RolesOf lists the roles of a person by name.
func RolesOf(ctx context.Context, q bun.IDB, user uuid.UUID) ([]Role, error) {
	var list []Role
	err := q.NewSelect().Model(&list).Where("r.id IN (SELECT role_id FROM user_roles WHERE user_id = ?)", user).
		OrderExpr("lower(r.name)").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list roles of user %s: %w", user, err)
	}
	return list, nil
}

// RolesNamed finds roles by name, whatever its case.
func RolesNamed(ctx context.Context, q bun.IDB, names []string) ([]Role, error) {
	var list []Role
	err := q.NewSelect().Model(&list).Where("lower(r.name) = ANY (SELECT lower(n) FROM unnest(?::text[]) n)",
		pgdialect.Array(names)).
		OrderExpr("r.name").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find roles by name: %w", err)
	}
	return list, nil
}

// RolesByIDs finds roles and locks them against changes until the transaction ends.
func RolesByIDs(ctx context.Context, tx bun.Tx, ids []uuid.UUID) ([]Role, error) {
	var list []Role
	err := tx.NewSelect().Model(&list).Where("r.id = ANY(?)", pgdialect.Array(ids)).OrderExpr("lower(r.name)").
		For("SHARE").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find roles: %w", err)
	}
	return list, nil
}

// InsertRole writes a new role.
func InsertRole(ctx context.Context, q bun.IDB, r *Role) error {
	if _, err := q.NewInsert().Model(r).Exec(ctx); err != nil {
		return fmt.Errorf("insert role: %w", err)
	}
	return nil
}

// EnsureRole creates a built-in role, or sets the permissions of the existing one. The insert names no constraint: when
// several servers start at once, one may conflict by the key and another by the name.
func EnsureRole(ctx context.Context, q bun.IDB, r *Role) error {
	if _, err := q.NewInsert().Model(r).On("CONFLICT DO NOTHING").Exec(ctx); err != nil {
		return fmt.Errorf("ensure role %s: %w", r.Key, err)
	}
	if _, err := q.NewUpdate().Model(r).Column("permissions").Where("r.key = ?", r.Key).Exec(ctx); err != nil {
		return fmt.Errorf("ensure role %s: %w", r.Key, err)
	}
	return nil
}

// SaveRole writes the columns of a role that people edit if the role has the given version. It reports whether it has.
func SaveRole(ctx context.Context, q bun.IDB, r *Role, version int64) (bool, error) {
	res, err := q.NewUpdate().Model(r).Column("name", "permissions", "updated_at", "version").WherePK().
		Where("r.version = ?", version).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("save role %s: %w", r.ID, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// DeleteRole deletes a role. The error is one of InUse while anybody has the role.
func DeleteRole(ctx context.Context, q bun.IDB, id uuid.UUID) error {
	if _, err := q.NewDelete().Model((*Role)(nil)).Where("r.id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("delete role %s: %w", id, err)
	}
	return nil
}
