package db

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// PersonStatus is how a person's account stands.
type PersonStatus string

// How an account stands.
const (
	Active      PersonStatus = "active"
	Invited     PersonStatus = "invited" // has yet to accept an invitation, which may have expired
	Deactivated PersonStatus = "deactivated"
)

// PersonFilter narrows the list of people. Zero fields do not narrow.
type PersonFilter struct {
	Search string // in the name or the address
	Status PersonStatus
	Role   uuid.UUID
	After  uuid.UUID // people after this one, by name
	Before uuid.UUID // people before this one
	Limit  int
	Now    time.Time // what tells an invitation that holds
}

// Person is a user with what a list shows beside it.
type Person struct {
	User `bun:",extend"`

	SeenAt       time.Time `bun:"seen_at,scanonly,nullzero"`       // when they last used a sign-in that still holds; zero: none does
	InvitedUntil time.Time `bun:"invited_until,scanonly,nullzero"` // of an invitation that was not accepted
	Workspaces   int64     `bun:"workspaces,scanonly"`
	Automations  int64     `bun:"automations,scanonly"`
}

// Status is how the account stands.
func (p *Person) Status() PersonStatus {
	switch {
	case !p.DeactivatedAt.IsZero():
		return Deactivated
	case !p.InvitedUntil.IsZero():
		return Invited
	}
	return Active
}

const invitedUntil = "(SELECT pl.expires_at FROM password_links pl WHERE pl.user_id = u.id AND pl.invites)"

func selectPeople(q bun.IDB, model any, now time.Time) *bun.SelectQuery {
	return selectUsers(q, model).
		ColumnExpr("(SELECT max(l.seen_at) FROM logins l WHERE l.user_id = u.id AND l.expires_at > ?) AS seen_at", now).
		ColumnExpr(invitedUntil + " AS invited_until").
		ColumnExpr("(SELECT count(*) FROM workspace_members m JOIN workspaces w ON w.id = m.workspace_id AND w.removed_at IS NULL WHERE m.user_id = u.id) AS workspaces").
		ColumnExpr("(SELECT count(*) FROM automations a WHERE a.creator_id = u.id) AS automations")
}

// People lists people by name. With Before they are those nearest to it, in the same order.
func People(ctx context.Context, q bun.IDB, f PersonFilter) ([]Person, error) {
	var list []Person
	sel := selectPeople(q, &list, f.Now).Limit(int64(f.Limit))
	if f.Search != "" {
		like := "%" + likeEscaper.Replace(strings.ToLower(f.Search)) + "%"
		sel = sel.Where("(lower(u.name) LIKE ? OR lower(u.email) LIKE ?)", like, like)
	}
	switch f.Status {
	case Active:
		sel = sel.Where("u.deactivated_at IS NULL").Where(invitedUntil + " IS NULL")
	case Invited:
		sel = sel.Where("u.deactivated_at IS NULL").Where(invitedUntil + " IS NOT NULL")
	case Deactivated:
		sel = sel.Where("u.deactivated_at IS NOT NULL")
	}
	if f.Role != uuid.Nil {
		sel = sel.Where("u.id IN (SELECT user_id FROM user_roles WHERE role_id = ?)", f.Role)
	}
	if f.After != uuid.Nil {
		sel = sel.Where("(lower(u.name), u.id) > (SELECT lower(name), id FROM users WHERE id = ?)", f.After)
	}
	if f.Before != uuid.Nil {
		sel = sel.Where("(lower(u.name), u.id) < (SELECT lower(name), id FROM users WHERE id = ?)", f.Before).OrderExpr("lower(u.name) DESC, u.id DESC")
	} else {
		sel = sel.OrderExpr("lower(u.name), u.id")
	}
	if err := sel.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list people: %w", err)
	}
	if f.Before != uuid.Nil {
		slices.Reverse(list)
	}
	return list, nil
}

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// PersonByID finds a person with what a list shows beside them.
func PersonByID(ctx context.Context, q bun.IDB, id uuid.UUID, now time.Time) (*Person, error) {
	var p Person
	if err := selectPeople(q, &p, now).Where("u.id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("find person %s: %w", id, err)
	}
	return &p, nil
}

// CanAdminister reports whether anybody active holds a permission who could sign in: an invitation that nobody accepted does
// not count.
func CanAdminister(ctx context.Context, q bun.IDB, permission string) (bool, error) {
	return q.NewSelect().TableExpr("users AS u").Join("JOIN user_roles ur ON ur.user_id = u.id").Join("JOIN roles r ON r.id = ur.role_id").
		Where("u.deactivated_at IS NULL").Where("? = ANY(r.permissions)", permission).Where(invitedUntil + " IS NULL").Exists(ctx)
}

// UpdateUser writes a person's address, whether it waits to be confirmed, and their name.
func UpdateUser(ctx context.Context, q bun.IDB, u *User) error {
	if _, err := q.NewUpdate().Model(u).Column("email", "name", "updated_at", "email_changed_at").WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("update user %s: %w", u.ID, err)
	}
	return nil
}

// WorkspacesOf lists the workspaces, by name, that a person is a member of.
func WorkspacesOf(ctx context.Context, q bun.IDB, user uuid.UUID) ([]Workspace, error) {
	var list []Workspace
	err := q.NewSelect().Model(&list).Where("w.removed_at IS NULL").
		Where("w.id IN (SELECT workspace_id FROM workspace_members WHERE user_id = ?)", user).OrderExpr("lower(w.name), w.id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list workspaces of user %s: %w", user, err)
	}
	return list, nil
}

// AutomationsOwned lists the automations of which a person is the creator, by name.
func AutomationsOwned(ctx context.Context, q bun.IDB, user uuid.UUID, limit int) ([]Automation, error) {
	var list []Automation
	err := q.NewSelect().Model(&list).Where("a.creator_id = ?", user).OrderExpr("lower(a.name), a.id").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list automations of user %s: %w", user, err)
	}
	return list, nil
}

// SetCreator writes who owns an automation. It raises the version: who opened it before the hand-over changes it no more.
func SetCreator(ctx context.Context, q bun.IDB, automation, creator uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Model((*Automation)(nil)).Set("creator_id = ?", creator).Set("version = a.version + 1").Set("updated_at = ?", now).Where("a.id = ?", automation).Exec(ctx)
	if err != nil {
		return fmt.Errorf("set creator of automation %s: %w", automation, err)
	}
	return nil
}

// PasswordLink lets a person choose a password, or confirm their address.
type PasswordLink struct {
	bun.BaseModel `bun:"table:password_links,alias:pl"`

	UserID    uuid.UUID `bun:"user_id,pk,type:uuid"`
	Hash      []byte    `bun:"hash"`
	Invites   bool      `bun:"invites"`
	Confirms  bool      `bun:"confirms"` // it confirms the address, and lets nobody choose a password
	Mailed    bool      `bun:"mailed"`   // it went to the person's address alone: its maker never saw it
	CreatedBy uuid.UUID `bun:"created_by,nullzero,type:uuid"`
	CreatedAt time.Time `bun:"created_at"`
	ExpiresAt time.Time `bun:"expires_at"`
}

// SavePasswordLink writes a link; one that the person had is no more.
func SavePasswordLink(ctx context.Context, q bun.IDB, l *PasswordLink) error {
	_, err := q.NewInsert().Model(l).On("CONFLICT (user_id) DO UPDATE").Set("hash = EXCLUDED.hash").Set("invites = EXCLUDED.invites").
		Set("confirms = EXCLUDED.confirms").Set("mailed = EXCLUDED.mailed").
		Set("created_by = EXCLUDED.created_by").Set("created_at = EXCLUDED.created_at").Set("expires_at = EXCLUDED.expires_at").Exec(ctx)
	if err != nil {
		return fmt.Errorf("save password link: %w", err)
	}
	return nil
}

// PasswordLinkByHash finds a link that still holds.
func PasswordLinkByHash(ctx context.Context, q bun.IDB, hash []byte, now time.Time) (*PasswordLink, error) {
	var l PasswordLink
	if err := q.NewSelect().Model(&l).Where("pl.hash = ?", hash).Where("pl.expires_at > ?", now).Scan(ctx); err != nil {
		return nil, fmt.Errorf("find password link: %w", err)
	}
	return &l, nil
}

// TakePasswordLink deletes a person's link and reports whether it was there with that hash. An empty hash deletes any.
func TakePasswordLink(ctx context.Context, q bun.IDB, user uuid.UUID, hash []byte) (bool, error) {
	del := q.NewDelete().Model((*PasswordLink)(nil)).Where("pl.user_id = ?", user)
	if hash != nil {
		del = del.Where("pl.hash = ?", hash)
	}
	res, err := del.Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("take password link: %w", err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// ExpirePasswordLink ends what a person's link can do. An invitation stays open, and needs another link.
func ExpirePasswordLink(ctx context.Context, q bun.IDB, user uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Model((*PasswordLink)(nil)).Set("expires_at = ?", now).
		Where("pl.user_id = ?", user).Where("pl.expires_at > ?", now).Exec(ctx)
	if err != nil {
		return fmt.Errorf("expire password link: %w", err)
	}
	return nil
}

// ConfirmAddress notes that the mail to a person's changed address was answered.
func ConfirmAddress(ctx context.Context, q bun.IDB, user uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Model((*User)(nil)).Set("email_changed_at = NULL").Set("updated_at = ?", now).Where("u.id = ?", user).Exec(ctx)
	if err != nil {
		return fmt.Errorf("confirm address of user %s: %w", user, err)
	}
	return nil
}

// InAllWorkspacesOf reports whether somebody is a member of every workspace that a person is a member of.
func InAllWorkspacesOf(ctx context.Context, q bun.IDB, somebody, person uuid.UUID) (bool, error) {
	missing, err := q.NewSelect().TableExpr("workspace_members AS m").
		Join("JOIN workspaces AS w ON w.id = m.workspace_id AND w.removed_at IS NULL").Where("m.user_id = ?", person).
		Where("NOT EXISTS (SELECT FROM workspace_members o WHERE o.workspace_id = m.workspace_id AND o.user_id = ?)", somebody).
		Exists(ctx)
	if err != nil {
		return false, fmt.Errorf("compare workspaces of %s and %s: %w", somebody, person, err)
	}
	return !missing, nil
}

// EndInvitation deletes a person's invitation, if there is one: they have come in by another way.
func EndInvitation(ctx context.Context, q bun.IDB, user uuid.UUID) error {
	if _, err := q.NewDelete().Model((*PasswordLink)(nil)).Where("pl.user_id = ?", user).Where("pl.invites").Exec(ctx); err != nil {
		return fmt.Errorf("end invitation: %w", err)
	}
	return nil
}

// RoleRow is a role with how many people have it.
type RoleRow struct {
	Role `bun:",extend"`

	People int64 `bun:"people,scanonly"`
}

// Roles lists the roles: those built in first, from the one that may do most, then the others by name.
func Roles(ctx context.Context, q bun.IDB) ([]RoleRow, error) {
	var list []RoleRow
	err := q.NewSelect().Model(&list).ColumnExpr("?TableColumns").
		ColumnExpr("(SELECT count(*) FROM user_roles ur JOIN users u ON u.id = ur.user_id AND u.deactivated_at IS NULL WHERE ur.role_id = r.id) AS people").
		OrderExpr("r.key IS NULL, array_position(ARRAY['administrator', 'manager', 'member'], r.key), lower(r.name)").Scan(ctx)
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

// RolesOf lists the roles of a person by name.
func RolesOf(ctx context.Context, q bun.IDB, user uuid.UUID) ([]Role, error) {
	var list []Role
	err := q.NewSelect().Model(&list).Where("r.id IN (SELECT role_id FROM user_roles WHERE user_id = ?)", user).OrderExpr("lower(r.name)").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list roles of user %s: %w", user, err)
	}
	return list, nil
}

// RolesByIDs finds roles, and keeps others from changing them until the transaction ends.
func RolesByIDs(ctx context.Context, tx bun.Tx, ids []uuid.UUID) ([]Role, error) {
	var list []Role
	err := tx.NewSelect().Model(&list).Where("r.id = ANY(?)", pgdialect.Array(ids)).OrderExpr("lower(r.name)").For("SHARE").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find roles: %w", err)
	}
	return list, nil
}

// PeopleOf lists up to so many of the people who have a role, by name.
func PeopleOf(ctx context.Context, q bun.IDB, role uuid.UUID, limit int) ([]User, error) {
	var list []User
	err := selectUsers(q, &list).Where("u.id IN (SELECT user_id FROM user_roles WHERE role_id = ?)", role).
		OrderExpr("lower(u.name), u.id").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list people of role %s: %w", role, err)
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

// SaveRole writes what people edit of a role, unless its version is another than theirs.
func SaveRole(ctx context.Context, q bun.IDB, r *Role, version int64) (bool, error) {
	res, err := q.NewUpdate().Model(r).Column("name", "permissions", "updated_at", "version").WherePK().Where("r.version = ?", version).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("save role %s: %w", r.ID, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// InUse reports whether err says that a row cannot be deleted because others refer to it. Servers from 18 on tell that by a
// code of its own.
func InUse(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (pgErr.Code == "23001" || pgErr.Code == "23503")
}

// DeleteRole deletes a role. It fails as InUse tells while anybody has it.
func DeleteRole(ctx context.Context, q bun.IDB, id uuid.UUID) error {
	if _, err := q.NewDelete().Model((*Role)(nil)).Where("r.id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("delete role %s: %w", id, err)
	}
	return nil
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
