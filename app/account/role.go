package account

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/fault"
	"carillon/app/form"
	"carillon/db"
)

// Roles lists the roles with their numbers of people. It returns fault.ErrForbidden without users.manage.
func (s *Service) Roles(ctx context.Context, actor Actor) ([]db.RoleRow, error) {
	if !actor.Can(ManageUsers) {
		return nil, fault.ErrForbidden
	}
	return db.Roles(ctx, s.DB)
}

// maxRolePeople bounds the people of a role that its page names.
const maxRolePeople = 200

// RoleDetail is a role with its people.
type RoleDetail struct {
	db.Role
	People []db.User // at most maxRolePeople
	// Beyond says that the role has permissions that the actor does not have, so that the actor may not change it.
	Beyond bool
}

// BuiltIn reports whether the role is built in. A built-in role cannot be changed.
func (r *RoleDetail) BuiltIn() bool { return r.Key != "" }

// Role finds a role with its people. It returns fault.ErrForbidden without users.manage.
func (s *Service) Role(ctx context.Context, actor Actor, id uuid.UUID) (*RoleDetail, error) {
	if !actor.Can(ManageUsers) {
		return nil, fault.ErrForbidden
	}
	r, err := Found(db.RoleByID(ctx, s.DB, id))
	if err != nil {
		return nil, err
	}
	d := &RoleDetail{Role: *r, Beyond: !actor.Covers(r.Permissions)}
	d.People, err = db.PeopleOf(ctx, s.DB, id, maxRolePeople)
	return d, err
}

// RoleInput is the input for a role.
type RoleInput struct {
	Name        string
	Permissions []string
	Version     int64 // version of the form
}

// CreateRole creates a role. It returns fault.ErrForbidden also for a permission that the actor does not have, and
// fault.Invalid for bad input, by the fields name and permissions.
func (s *Service) CreateRole(ctx context.Context, actor Actor, in RoleInput) (*db.Role, error) {
	r := &db.Role{ID: db.NewID(), Version: 1, CreatedAt: s.Now(), UpdatedAt: s.Now()}
	if err := applyRole(actor, r, in); err != nil {
		return nil, err
	}
	err := s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := lockPeople(ctx, tx, &actor); err != nil {
			return err
		}
		if !actor.Covers(r.Permissions) {
			return fault.ErrForbidden
		}
		if err := db.InsertRole(ctx, tx, r); err != nil {
			return roleNameTaken(err)
		}
		return s.auditRole(ctx, tx, actor, "role.create", nil, r)
	})
	if err != nil {
		return nil, fmt.Errorf("create role: %w", err)
	}
	return r, nil
}

// UpdateRole changes a role for all its people. It returns the errors of CreateRole, fault.ErrForbidden also for a
// built-in role and for a role with permissions that the actor does not have, and fault.ErrStale if the role was
// changed since the form was read.
func (s *Service) UpdateRole(ctx context.Context, actor Actor, id uuid.UUID, in RoleInput) error {
	err := s.changeRole(ctx, actor, id, func(ctx context.Context, tx bun.Tx, actor Actor, before *db.Role) error {
		r := *before
		if err := applyRole(actor, &r, in); err != nil {
			return err
		}
		r.Version, r.UpdatedAt = in.Version+1, s.Now()
		saved, err := db.SaveRole(ctx, tx, &r, in.Version)
		if err != nil {
			return roleNameTaken(err)
		}
		if !saved || before.Version != in.Version {
			return fault.ErrStale
		}
		return s.auditRole(ctx, tx, actor, "role.update", before, &r)
	})
	return fault.Wrap(err, "update role %s", id)
}

// DeleteRole removes a role. It returns fault.Invalid, by the field role, while anybody has it, and the other errors of
// UpdateRole.
func (s *Service) DeleteRole(ctx context.Context, actor Actor, id uuid.UUID) error {
	err := s.changeRole(ctx, actor, id, func(ctx context.Context, tx bun.Tx, actor Actor, r *db.Role) error {
		err := db.DeleteRole(ctx, tx, id)
		if db.InUse(err) {
			return fault.Invalid{"role": "People have this role. Give them another one first."}
		}
		if err != nil {
			return err
		}
		return s.auditRole(ctx, tx, actor, "role.delete", r, nil)
	})
	return fault.Wrap(err, "delete role %s", id)
}

// changeRole calls fn to change a role that the actor may change, with both as they are under the lock. It returns
// fault.ErrNotFound, and fault.ErrForbidden also for a built-in role and for a role with permissions that the actor
// does not have.
func (s *Service) changeRole(ctx context.Context, actor Actor, id uuid.UUID,
	fn func(ctx context.Context, tx bun.Tx, actor Actor, r *db.Role) error) error {
	if !actor.Can(ManageUsers) { // who may not is refused without waiting for the lock
		return fault.ErrForbidden
	}
	return s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := lockPeople(ctx, tx, &actor); err != nil {
			return err
		}
		r, err := Found(db.RoleByID(ctx, tx, id))
		if err != nil {
			return err
		}
		if r.Key != "" || !actor.Covers(r.Permissions) {
			return fault.ErrForbidden
		}
		return fn(ctx, tx, actor, r)
	})
}

// applyRole copies the input into a role. The permission admin belongs to the role Administrator alone.
func applyRole(actor Actor, r *db.Role, in RoleInput) error {
	if !actor.Can(ManageUsers) {
		return fault.ErrForbidden
	}
	bad := fault.Invalid{}
	r.Name = form.Name(bad, "name", "Give the role a name.", in.Name, 100)
	r.Permissions = []string{}
	for _, p := range Permissions { // in the order of Permissions, each once
		if slices.Contains(in.Permissions, string(p.Permission)) && p.Permission != Admin {
			r.Permissions = append(r.Permissions, string(p.Permission))
		}
	}
	for _, p := range in.Permissions {
		if !slices.Contains(r.Permissions, p) {
			bad["permissions"] = fmt.Sprintf("A role cannot have the permission %s.", db.Printable(p, 100))
		}
	}
	switch {
	case len(bad) > 0:
		return bad
	case !actor.Covers(r.Permissions):
		return fault.ErrForbidden
	}
	return nil
}

func roleNameTaken(err error) error {
	if db.Conflict(err) == "roles_name" {
		return fault.Invalid{"name": "There is a role of this name already."}
	}
	return err
}

func (s *Service) auditRole(ctx context.Context, tx bun.Tx, actor Actor, action string, before, after *db.Role) error {
	describe := func(r *db.Role) map[string]any {
		if r == nil {
			return nil
		}
		return map[string]any{"name": r.Name, "permissions": r.Permissions}
	}
	subject := after
	if subject == nil {
		subject = before
	}
	return db.AddAudit(ctx, tx, db.AuditEvent{
		ID: db.NewID(), At: s.Now(), ActorID: actor.ID, Action: action, SubjectKind: "role", SubjectID: subject.ID,
		SubjectName: subject.Name,
		Before:      describe(before), After: describe(after),
	})
}
