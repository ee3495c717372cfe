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

// PersonStatus is the state of a person's account.
type PersonStatus string

// The states of an account.
const (
	Active      PersonStatus = "active"
	Invited     PersonStatus = "invited" // the invitation, which may have expired, is not accepted
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
	Now    time.Time // for the validity of invitations
}

// Person is a user with the further columns of a list.
type Person struct {
	User `bun:",extend"`

	// last use of a valid sign-in; zero: there is none
	SeenAt       time.Time `bun:"seen_at,scanonly,nullzero"`
	InvitedUntil time.Time `bun:"invited_until,scanonly,nullzero"` // of an invitation that was not accepted
	Workspaces   int64     `bun:"workspaces,scanonly"`
	Automations  int64     `bun:"automations,scanonly"`
}

// Status is the state of the account.
func (p *Person) Status() PersonStatus {
	switch {
	case !p.DeactivatedAt.IsZero():
		return Deactivated
	case !p.InvitedUntil.IsZero():
		return Invited
	}
	return Active
}

func selectPeople(q bun.IDB, model any, now time.Time) *bun.SelectQuery {
	return selectUsers(q, model).
		ColumnExpr("(SELECT max(l.seen_at) FROM logins l WHERE l.user_id = u.id AND l.expires_at > ?) AS seen_at", now).
		ColumnExpr(invitedUntil + " AS invited_until").
		ColumnExpr(`(SELECT count(*) FROM workspace_members m
			JOIN workspaces w ON w.id = m.workspace_id AND w.removed_at IS NULL WHERE m.user_id = u.id) AS workspaces`).
		ColumnExpr("(SELECT count(*) FROM automations a WHERE a.creator_id = u.id) AS automations")
}

// People lists people by name. With Before it lists those nearest to it, in the same order.
func People(ctx context.Context, q bun.IDB, f PersonFilter) ([]Person, error) {
	var list []Person
	sel := selectPeople(q, &list, f.Now).Limit(int64(f.Limit))
	if f.Search != "" {
		like := containing(strings.ToLower(f.Search))
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
	if err := applyNamePage(sel, "u", "users", f.After, f.Before).Scan(ctx); err != nil {
		return nil, fmt.Errorf("list people: %w", err)
	}
	if f.Before != uuid.Nil {
		slices.Reverse(list)
	}
	return list, nil
}

// PersonByID finds a person with the columns of a list.
func PersonByID(ctx context.Context, q bun.IDB, id uuid.UUID, now time.Time) (*Person, error) {
	var p Person
	if err := selectPeople(q, &p, now).Where("u.id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("find person %s: %w", id, err)
	}
	return &p, nil
}
