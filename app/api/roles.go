package api

import (
	"context"
	"net/http"

	"carillon/app/account"
	"carillon/db"
)

// Role is a role with what it allows.
type Role struct {
	ID          string   `json:"id" format:"uuid"`
	Name        string   `json:"name"`
	BuiltIn     bool     `json:"built_in" doc:"Every installation has it; it cannot be changed."`
	Permissions []string `json:"permissions"`
	Version     int64    `json:"version" doc:"Send it along with a change."`
}

// RoleFields are what may be said of a role. What is nil stays.
type RoleFields struct {
	Name        *string   `json:"name,omitempty"`
	Permissions *[]string `json:"permissions,omitempty" doc:"As a whole."`
}

// RoleChange is a change of a role.
type RoleChange struct {
	RoleFields
	Version int64 `json:"version" doc:"The version that was read."`
}

// roles are the operations on roles.
type roles struct{ *Server }

func (a roles) routes() {
	answers(a.Server, operation{
		method: http.MethodGet, path: "/roles", name: "listRoles", tag: peopleTag, summary: "List the roles by name",
	}, a.list)
	creates(a.Server, operation{
		method: http.MethodPost, path: "/roles", name: "createRole", tag: peopleTag, summary: "Create a role",
	}, a.create)
	answers(a.Server, operation{
		method: http.MethodGet, path: "/roles/{id}", name: "getRole", tag: peopleTag, summary: "Get a role",
	}, a.get)
	answers(a.Server, operation{
		method: http.MethodPatch, path: "/roles/{id}", name: "updateRole", tag: peopleTag,
		summary: "Change a role", about: "What is left out stays. It holds at once for all who have it.",
	}, a.update)
	does(a.Server, operation{
		method: http.MethodDelete, path: "/roles/{id}", name: "deleteRole", tag: peopleTag,
		summary: "Delete a role that nobody has",
	}, func(ctx context.Context, actor account.Actor, in *OneByID) error {
		return a.Accounts.DeleteRole(ctx, actor, in.id())
	})
}

func roleItem(r *db.Role) Role {
	return Role{
		ID: r.ID.String(), Name: r.Name, BuiltIn: r.Key != "", Permissions: append([]string{}, r.Permissions...),
		Version: r.Version,
	}
}

func (a roles) list(ctx context.Context, actor account.Actor, _ *struct{}) (PageOf[Role], error) {
	list, err := a.Accounts.Roles(ctx, actor)
	if err != nil {
		return PageOf[Role]{}, err
	}
	return paginate(list, len(list), func(r *db.RoleRow) Role { return roleItem(&r.Role) }, nil), nil
}

func (a roles) get(ctx context.Context, actor account.Actor, in *OneByID) (Role, error) {
	r, err := a.Accounts.Role(ctx, actor, in.id())
	if err != nil {
		return Role{}, err
	}
	return roleItem(&r.Role), nil
}

type createRoleQuery struct{ Body RoleFields }

func (a roles) create(
	ctx context.Context, actor account.Actor, in *createRoleQuery,
) (Role, string, error) {
	var input account.RoleInput
	set(&input.Name, in.Body.Name)
	set(&input.Permissions, in.Body.Permissions)
	r, err := a.Accounts.CreateRole(ctx, actor, input)
	if err != nil {
		return Role{}, "", err
	}
	return roleItem(r), "roles/" + r.ID.String(), nil
}

type updateRoleQuery struct {
	OneByID
	Body RoleChange
}

func (a roles) update(ctx context.Context, actor account.Actor, in *updateRoleQuery) (Role, error) {
	was, err := a.Accounts.Role(ctx, actor, in.id())
	if err != nil {
		return Role{}, err
	}
	input := account.RoleInput{Name: was.Name, Permissions: was.Permissions, Version: in.Body.Version}
	set(&input.Name, in.Body.Name)
	set(&input.Permissions, in.Body.Permissions)
	if err := a.Accounts.UpdateRole(ctx, actor, in.id(), input); err != nil {
		return Role{}, err
	}
	return a.get(ctx, actor, &in.OneByID)
}
