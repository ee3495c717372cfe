package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// User is a person. People are deactivated, never deleted, so that history keeps its names.
type User struct {
	bun.BaseModel `bun:"table:users,alias:u"`

	ID            uuid.UUID `bun:"id,pk,type:uuid"`
	Email         string    `bun:"email"`
	Name          string    `bun:"name"`
	PasswordHash  string    `bun:"password_hash"`
	TimeZone      string    `bun:"time_zone"`
	Theme         string    `bun:"theme"`
	DeactivatedAt time.Time `bun:"deactivated_at,nullzero"`
	CreatedAt     time.Time `bun:"created_at"`
	UpdatedAt     time.Time `bun:"updated_at"`
	// EmailChangedAt is when the address was changed; zero: it is confirmed.
	EmailChangedAt time.Time `bun:"email_changed_at,nullzero"`

	// Permissions and RoleName come from the person's roles; set by some queries.
	Permissions []string `bun:"permissions,array,scanonly"`
	RoleName    string   `bun:"role_name,scanonly"`
}

// selectUsers selects people with the union of their roles' permissions.
func selectUsers(q bun.IDB, model any) *bun.SelectQuery {
	return q.NewSelect().Model(model).
		ColumnExpr("?TableColumns").
		ColumnExpr(`coalesce((SELECT array_agg(DISTINCT p) FROM user_roles ur
			JOIN roles r ON r.id = ur.role_id, unnest(r.permissions) p WHERE ur.user_id = u.id), '{}') AS permissions`).
		ColumnExpr(`coalesce((SELECT string_agg(r.name, ', ' ORDER BY r.name) FROM user_roles ur
			JOIN roles r ON r.id = ur.role_id WHERE ur.user_id = u.id), '') AS role_name`)
}

// UserByID finds a person with their permissions.
func UserByID(ctx context.Context, q bun.IDB, id uuid.UUID) (*User, error) {
	var u User
	if err := selectUsers(q, &u).Where("u.id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("find user %s: %w", id, err)
	}
	return &u, nil
}

// UserByEmail finds a person by e-mail address, whatever its case.
func UserByEmail(ctx context.Context, q bun.IDB, email string) (*User, error) {
	var u User
	if err := selectUsers(q, &u).Where("lower(u.email) = lower(?)", email).Scan(ctx); err != nil {
		return nil, fmt.Errorf("find user by e-mail: %w", err)
	}
	return &u, nil
}

// UserByLogin finds the active person of a valid login.
func UserByLogin(ctx context.Context, q bun.IDB, login uuid.UUID, now time.Time) (*User, error) {
	var u User
	err := selectUsers(q, &u).
		Join("JOIN logins AS l ON l.user_id = u.id").
		Where("l.id = ?", login).Where("l.expires_at > ?", now).Where("u.deactivated_at IS NULL").
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find user by login: %w", err)
	}
	return &u, nil
}

// UsersByID finds people with their permissions, by their ids.
func UsersByID(ctx context.Context, q bun.IDB, ids PeopleIDs) (map[uuid.UUID]*User, error) {
	var list []User
	if err := selectUsers(q, &list).Where("u.id = ANY(?::uuid[])", UUIDs(ids)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("find users: %w", err)
	}
	byID := make(map[uuid.UUID]*User, len(list))
	for i := range list {
		byID[list[i].ID] = &list[i]
	}
	return byID, nil
}

// Users lists everybody by name.
func Users(ctx context.Context, q bun.IDB) ([]User, error) {
	var list []User
	if err := selectUsers(q, &list).OrderExpr("lower(u.name), u.id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return list, nil
}

// HasUsers reports whether anybody exists yet.
func HasUsers(ctx context.Context, q bun.IDB) (bool, error) {
	return q.NewSelect().Model((*User)(nil)).Exists(ctx)
}

// MembersOf lists the members of a workspace by name.
func MembersOf(ctx context.Context, q bun.IDB, workspace uuid.UUID) ([]User, error) {
	var list []User
	err := selectUsers(q, &list).Where("u.id IN (SELECT user_id FROM workspace_members WHERE workspace_id = ?)",
		workspace).
		OrderExpr("lower(u.name), u.id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list members of workspace %s: %w", workspace, err)
	}
	return list, nil
}

// PeopleOf lists up to limit people who have a role, by name.
func PeopleOf(ctx context.Context, q bun.IDB, role uuid.UUID, limit int) ([]User, error) {
	var list []User
	err := selectUsers(q, &list).Where("u.id IN (SELECT user_id FROM user_roles WHERE role_id = ?)", role).
		OrderExpr("lower(u.name), u.id").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list people of role %s: %w", role, err)
	}
	return list, nil
}

// HoldersOf lists the active people whose roles hold any of the permissions.
func HoldersOf(ctx context.Context, q bun.IDB, permissions ...string) ([]uuid.UUID, error) {
	var ids []uuid.UUID
	err := q.NewSelect().TableExpr("users AS u").ColumnExpr("DISTINCT u.id").
		Join("JOIN user_roles ur ON ur.user_id = u.id").Join("JOIN roles r ON r.id = ur.role_id").
		Where("u.deactivated_at IS NULL").Where("r.permissions && ?", pgdialect.Array(permissions)).
		Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("list holders of %v: %w", permissions, err)
	}
	return ids, nil
}

// HoldersIn lists, by workspace, the active people who have a permission and are members of the workspace, and those
// who have the permission admin, which is valid in every workspace.
func HoldersIn(
	ctx context.Context, q bun.IDB, workspaces []uuid.UUID, permission, admin string,
) (map[uuid.UUID][]uuid.UUID, error) {
	if len(workspaces) == 0 {
		return nil, nil
	}
	var rows []struct {
		WorkspaceID uuid.UUID `bun:"workspace_id,type:uuid"`
		UserID      uuid.UUID `bun:"user_id,type:uuid"`
	}
	err := q.NewSelect().TableExpr("unnest(?::uuid[]) AS w(id)", UUIDs(workspaces)).Join("CROSS JOIN users AS u").
		Join("JOIN user_roles ur ON ur.user_id = u.id").Join("JOIN roles r ON r.id = ur.role_id").
		ColumnExpr("DISTINCT w.id AS workspace_id, u.id AS user_id").
		Where("u.deactivated_at IS NULL").
		Where(`(? = ANY(r.permissions) OR ? = ANY(r.permissions)
			AND EXISTS (SELECT FROM workspace_members m
				WHERE m.workspace_id = w.id AND m.user_id = u.id))`, admin, permission).
		Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("list holders of %s in workspaces: %w", permission, err)
	}
	holders := make(map[uuid.UUID][]uuid.UUID, len(workspaces))
	for _, r := range rows {
		holders[r.WorkspaceID] = append(holders[r.WorkspaceID], r.UserID)
	}
	return holders, nil
}

// CanAdminister reports whether an active person who can sign in has a permission. A person whose invitation is not
// accepted does not count.
func CanAdminister(ctx context.Context, q bun.IDB, permission string) (bool, error) {
	return q.NewSelect().TableExpr("users AS u").Join("JOIN user_roles ur ON ur.user_id = u.id").
		Join("JOIN roles r ON r.id = ur.role_id").
		Where("u.deactivated_at IS NULL").Where("? = ANY(r.permissions)", permission).Where(invitedUntil + " IS NULL").
		Exists(ctx)
}

// Principal is a person on whose behalf a session acts.
type Principal struct {
	User `bun:",extend"`

	Member bool `bun:"member,scanonly"` // of the session's workspace
}

// Principals finds people with their permissions, and whether they are members of a workspace.
func Principals(ctx context.Context, q bun.IDB, workspace uuid.UUID, people PeopleIDs) ([]Principal, error) {
	var list []Principal
	err := selectUsers(q, &list).
		ColumnExpr("EXISTS (SELECT 1 FROM workspace_members m WHERE m.workspace_id = ? AND m.user_id = u.id) AS member",
			workspace).
		Where("u.id = ANY(?::uuid[])", UUIDs(people)).OrderExpr("lower(u.name), u.id").Scan(ctx)
	return list, wrap(err, "find the people on whose behalf a session acts")
}

// LockUser finds a person and locks the row until the transaction ends.
func LockUser(ctx context.Context, tx bun.Tx, id uuid.UUID) (*User, error) {
	var u User
	if err := tx.NewSelect().Model(&u).Where("u.id = ?", id).For("NO KEY UPDATE").Scan(ctx); err != nil {
		return nil, fmt.Errorf("lock user %s: %w", id, err)
	}
	return &u, nil
}

// InsertUser writes a new person with their roles.
func InsertUser(ctx context.Context, q bun.IDB, u *User, roles ...uuid.UUID) error {
	if _, err := q.NewInsert().Model(u).Exec(ctx); err != nil {
		return fmt.Errorf("insert user: %w", err)
	}
	return SetRoles(ctx, q, u.ID, roles)
}

// UpdateUser writes a person's name, address, and whether the address is confirmed.
func UpdateUser(ctx context.Context, q bun.IDB, u *User) error {
	if _, err := q.NewUpdate().Model(u).Column("email", "name", "updated_at", "email_changed_at").WherePK().
		Exec(ctx); err != nil {
		return fmt.Errorf("update user %s: %w", u.ID, err)
	}
	return nil
}

// UpdateProfile writes a person's name, time zone and theme.
func UpdateProfile(ctx context.Context, q bun.IDB, u *User) error {
	if _, err := q.NewUpdate().Model(u).Column("name", "time_zone", "theme", "updated_at").WherePK().
		Exec(ctx); err != nil {
		return fmt.Errorf("update profile: %w", err)
	}
	return nil
}

// SetPasswordHash writes the stored form of a person's password.
func SetPasswordHash(ctx context.Context, q bun.IDB, user uuid.UUID, hash string, now time.Time) error {
	_, err := q.NewUpdate().Model((*User)(nil)).Set("password_hash = ?", hash).Set("updated_at = ?", now).
		Where("u.id = ?", user).Exec(ctx)
	if err != nil {
		return fmt.Errorf("set password of user %s: %w", user, err)
	}
	return nil
}

// SetTheme writes the theme of a person's pages.
func SetTheme(ctx context.Context, q bun.IDB, user uuid.UUID, theme string) error {
	if _, err := q.NewUpdate().Model((*User)(nil)).Set("theme = ?", theme).Where("u.id = ?", user).
		Exec(ctx); err != nil {
		return fmt.Errorf("set theme: %w", err)
	}
	return nil
}

// SetDeactivated writes since when a person is deactivated; a zero time activates the person.
func SetDeactivated(ctx context.Context, q bun.IDB, user uuid.UUID, since, now time.Time) error {
	_, err := q.NewUpdate().Model(&User{ID: user, DeactivatedAt: since, UpdatedAt: now}).
		Column("deactivated_at", "updated_at").WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("deactivate user %s: %w", user, err)
	}
	return nil
}

// ConfirmAddress records that a person's changed address is confirmed.
func ConfirmAddress(ctx context.Context, q bun.IDB, user uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Model((*User)(nil)).Set("email_changed_at = NULL").Set("updated_at = ?", now).
		Where("u.id = ?", user).Exec(ctx)
	if err != nil {
		return fmt.Errorf("confirm address of user %s: %w", user, err)
	}
	return nil
}
