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
	// EmailChangedAt is when somebody changed the address, until a mail to it was answered; zero: nobody did, or it was.
	EmailChangedAt time.Time `bun:"email_changed_at,nullzero"`

	// Permissions and RoleName come from the person's roles where the query says so.
	Permissions []string `bun:"permissions,array,scanonly"`
	RoleName    string   `bun:"role_name,scanonly"`
}

// Role is a named set of permissions.
type Role struct {
	bun.BaseModel `bun:"table:roles,alias:r"`

	ID          uuid.UUID `bun:"id,pk,type:uuid"`
	Name        string    `bun:"name"`
	Key         string    `bun:"key,nullzero"` // of a role built in, else empty
	Permissions []string  `bun:"permissions,array"`
	CreatedAt   time.Time `bun:"created_at"`
	UpdatedAt   time.Time `bun:"updated_at,nullzero"`
	Version     int64     `bun:"version"`
}

// UserRole gives a person a role.
type UserRole struct {
	bun.BaseModel `bun:"table:user_roles"`

	UserID uuid.UUID `bun:"user_id,pk,type:uuid"`
	RoleID uuid.UUID `bun:"role_id,pk,type:uuid"`
}

// Login is a browser's sign-in.
type Login struct {
	bun.BaseModel `bun:"table:logins,alias:l"`

	ID        uuid.UUID `bun:"id,pk,type:uuid"`
	UserID    uuid.UUID `bun:"user_id,type:uuid"`
	CreatedAt time.Time `bun:"created_at"`
	SeenAt    time.Time `bun:"seen_at"`
	ExpiresAt time.Time `bun:"expires_at"`
	Address   string    `bun:"address"`
	UserAgent string    `bun:"user_agent"`
}

// selectUsers selects people with the union of their roles' permissions.
func selectUsers(q bun.IDB, model any) *bun.SelectQuery {
	return q.NewSelect().Model(model).
		ColumnExpr("?TableColumns").
		ColumnExpr("coalesce((SELECT array_agg(DISTINCT p) FROM user_roles ur JOIN roles r ON r.id = ur.role_id, unnest(r.permissions) p WHERE ur.user_id = u.id), '{}') AS permissions").
		ColumnExpr("coalesce((SELECT string_agg(r.name, ', ' ORDER BY r.name) FROM user_roles ur JOIN roles r ON r.id = ur.role_id WHERE ur.user_id = u.id), '') AS role_name")
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

// UserByLogin finds the person signed in by a login that is still good.
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

// HoldersIn lists, by workspace, the active people whose roles hold a permission and who are members of it, and those whose roles
// hold the permission of administrators: they are at home in every workspace.
func HoldersIn(ctx context.Context, q bun.IDB, workspaces []uuid.UUID, permission, admin string) (map[uuid.UUID][]uuid.UUID, error) {
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
			AND EXISTS (SELECT FROM workspace_members m WHERE m.workspace_id = w.id AND m.user_id = u.id))`, admin, permission).
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

// RoleByKey finds a role built in.
func RoleByKey(ctx context.Context, q bun.IDB, key string) (*Role, error) {
	var r Role
	if err := q.NewSelect().Model(&r).Where("key = ?", key).Scan(ctx); err != nil {
		return nil, fmt.Errorf("find role %s: %w", key, err)
	}
	return &r, nil
}

// TouchLogin notes that a login was used. It writes at most once a minute for each.
func TouchLogin(ctx context.Context, q bun.IDB, login uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Table("logins").Set("seen_at = ?", now).
		Where("id = ?", login).Where("seen_at < ?", now.Add(-time.Minute)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("touch login: %w", err)
	}
	return nil
}

// DeleteLogin ends one sign-in.
func DeleteLogin(ctx context.Context, q bun.IDB, login uuid.UUID) error {
	if _, err := q.NewDelete().Table("logins").Where("id = ?", login).Exec(ctx); err != nil {
		return fmt.Errorf("delete login: %w", err)
	}
	return nil
}

// DeleteLogins ends every sign-in of a person, except one where it is not zero.
func DeleteLogins(ctx context.Context, q bun.IDB, user, except uuid.UUID) error {
	if _, err := q.NewDelete().Table("logins").Where("user_id = ?", user).Where("id <> ?", except).Exec(ctx); err != nil {
		return fmt.Errorf("delete logins: %w", err)
	}
	return nil
}

// SignInFailures counts the failures of a key since a time.
func SignInFailures(ctx context.Context, q bun.IDB, key []byte, since time.Time) (int64, error) {
	n, err := q.NewSelect().Table("sign_in_failures").Where("key = ?", key).Where("at > ?", since).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("count sign-in failures: %w", err)
	}
	return n, nil
}

// AddSignInFailure records a failure for each key.
func AddSignInFailure(ctx context.Context, q bun.IDB, now time.Time, keys ...[]byte) error {
	for _, key := range keys { // two at most: the e-mail's and the address's
		if _, err := q.NewRaw("INSERT INTO sign_in_failures (key, at) VALUES (?, ?)", key, now).Exec(ctx); err != nil {
			return fmt.Errorf("record sign-in failure: %w", err)
		}
	}
	return nil
}

// ClearSignInFailures forgets the failures of a key.
func ClearSignInFailures(ctx context.Context, q bun.IDB, key []byte) error {
	if _, err := q.NewDelete().Table("sign_in_failures").Where("key = ?", key).Exec(ctx); err != nil {
		return fmt.Errorf("clear sign-in failures: %w", err)
	}
	return nil
}

// PruneSignIns deletes logins that expired, API tokens that did so a month ago, and failures that no longer count.
func PruneSignIns(ctx context.Context, q bun.IDB, now time.Time) error {
	if _, err := q.NewDelete().Table("logins").Where("expires_at < ?", now).Exec(ctx); err != nil {
		return fmt.Errorf("prune logins: %w", err)
	}
	if _, err := q.NewDelete().Table("api_tokens").Where("expires_at < ?", now.AddDate(0, -1, 0)).Exec(ctx); err != nil {
		return fmt.Errorf("prune API tokens: %w", err)
	}
	if _, err := q.NewDelete().Table("sign_in_failures").Where("at < ?", now.Add(-24*time.Hour)).Exec(ctx); err != nil {
		return fmt.Errorf("prune sign-in failures: %w", err)
	}
	return nil
}

// EnsureRole makes a role built in, or brings the one there is to the permissions given. It names no constraint to the
// insert: of servers that start at once, one may lose by the key and another by the name.
func EnsureRole(ctx context.Context, q bun.IDB, r *Role) error {
	if _, err := q.NewInsert().Model(r).On("CONFLICT DO NOTHING").Exec(ctx); err != nil {
		return fmt.Errorf("ensure role %s: %w", r.Key, err)
	}
	if _, err := q.NewUpdate().Model(r).Column("permissions").Where("r.key = ?", r.Key).Exec(ctx); err != nil {
		return fmt.Errorf("ensure role %s: %w", r.Key, err)
	}
	return nil
}

// InsertUser writes a new person with their roles.
func InsertUser(ctx context.Context, q bun.IDB, u *User, roles ...uuid.UUID) error {
	if _, err := q.NewInsert().Model(u).Exec(ctx); err != nil {
		return fmt.Errorf("insert user: %w", err)
	}
	return SetRoles(ctx, q, u.ID, roles)
}

// SetPasswordHash writes the stored form of a person's password.
func SetPasswordHash(ctx context.Context, q bun.IDB, user uuid.UUID, hash string, now time.Time) error {
	_, err := q.NewUpdate().Model((*User)(nil)).Set("password_hash = ?", hash).Set("updated_at = ?", now).Where("u.id = ?", user).Exec(ctx)
	if err != nil {
		return fmt.Errorf("set password of user %s: %w", user, err)
	}
	return nil
}

// InsertLogin writes a new sign-in.
func InsertLogin(ctx context.Context, q bun.IDB, l *Login) error {
	if _, err := q.NewInsert().Model(l).Exec(ctx); err != nil {
		return fmt.Errorf("insert login: %w", err)
	}
	return nil
}

// SetTheme writes how the pages look for a person.
func SetTheme(ctx context.Context, q bun.IDB, user uuid.UUID, theme string) error {
	if _, err := q.NewUpdate().Model((*User)(nil)).Set("theme = ?", theme).Where("u.id = ?", user).Exec(ctx); err != nil {
		return fmt.Errorf("set theme: %w", err)
	}
	return nil
}
