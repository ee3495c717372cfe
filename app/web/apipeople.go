package web

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/db"
	"carillon/views"
)

// APIPersonItem is a person as a list has them.
type APIPersonItem struct {
	ID        string     `json:"id" format:"uuid"`
	Name      string     `json:"name"`
	Email     string     `json:"email"`
	URL       string     `json:"url" format:"uri" doc:"Their page."`
	Status    string     `json:"status" enum:"active,invited,deactivated"`
	Role      string     `json:"role" doc:"The names of their roles."`
	SeenAt    *time.Time `json:"seen_at,omitempty" doc:"When they last used a sign-in that still holds."`
	CreatedAt time.Time  `json:"created_at"`
}

// APIPerson is a person in full.
type APIPerson struct {
	APIPersonItem
	Roles      []APINamed `json:"roles"`
	Workspaces []APINamed `json:"workspaces" doc:"Those that you are a member of, too."`
}

// APIRole is a role with what it allows.
type APIRole struct {
	ID          string   `json:"id" format:"uuid"`
	Name        string   `json:"name"`
	BuiltIn     bool     `json:"built_in" doc:"Every installation has it; it cannot be changed."`
	Permissions []string `json:"permissions"`
	Version     int64    `json:"version" doc:"Send it along with a change."`
}

// APIRoleFields are what may be said of a role. What is nil stays.
type APIRoleFields struct {
	Name        *string   `json:"name,omitempty"`
	Permissions *[]string `json:"permissions,omitempty" doc:"As a whole."`
}

// APIRoleChange is a change of a role.
type APIRoleChange struct {
	APIRoleFields
	Version int64 `json:"version" doc:"The version that was read."`
}

const peopleTag = "People and roles"

// peopleRoutes are operations on accounts. What makes a link with which somebody becomes a person, or a password, is
// done by a person who has signed in.
func (a *api) peopleRoutes() {
	answers(a, apiOp{
		method: http.MethodGet, path: "/people", name: "listPeople", tag: peopleTag, summary: "List people by name",
	}, a.listPeople)
	answers(a, apiOp{
		method: http.MethodGet, path: "/people/{id}", name: "getPerson", tag: peopleTag, summary: "Get a person",
	}, a.getPerson)
	answers(a, apiOp{
		method: http.MethodPost, path: "/people/{id}/roles", name: "setRoles", tag: peopleTag,
		summary: "Give a person the roles of a list, and take the others away",
	}, a.setRolesByAPI)
	answers(a, apiOp{
		method: http.MethodPost, path: "/people/{id}/deactivation", name: "deactivatePerson", tag: peopleTag,
		summary: "Deactivate an account",
		about:   "Every sign-in and token of it ends. Runs of its automations fail until they have another owner.",
	}, a.personChange((*account.Service).Deactivate))
	answers(a, apiOp{
		method: http.MethodPost, path: "/people/{id}/activation", name: "activatePerson", tag: peopleTag,
		summary: "Activate an account again",
	}, a.personChange((*account.Service).Activate))
	does(a, apiOp{
		method: http.MethodPost, path: "/people/{id}/token-revocation", name: "revokeTokens", tag: peopleTag,
		summary: "End all API tokens of a person",
	}, func(ctx context.Context, actor account.Actor, in *APIOneByID) error {
		return a.Accounts.RevokeTokensOf(ctx, &actor, in.id())
	})
	answers(a, apiOp{
		method: http.MethodPost, path: "/people/{id}/transfer", name: "transferAutomations", tag: peopleTag,
		summary: "Give all automations of a person to somebody else",
	}, a.handOverByAPI)
}

func (a *api) roleRoutes() {
	answers(a, apiOp{
		method: http.MethodGet, path: "/roles", name: "listRoles", tag: peopleTag, summary: "List the roles by name",
	}, a.listRoles)
	creates(a, apiOp{
		method: http.MethodPost, path: "/roles", name: "createRole", tag: peopleTag, summary: "Create a role",
	}, a.createRoleByAPI)
	answers(a, apiOp{
		method: http.MethodGet, path: "/roles/{id}", name: "getRole", tag: peopleTag, summary: "Get a role",
	}, a.getRole)
	answers(a, apiOp{
		method: http.MethodPatch, path: "/roles/{id}", name: "updateRole", tag: peopleTag,
		summary: "Change a role", about: "What is left out stays. It holds at once for all who have it.",
	}, a.updateRoleByAPI)
	does(a, apiOp{
		method: http.MethodDelete, path: "/roles/{id}", name: "deleteRole", tag: peopleTag,
		summary: "Delete a role that nobody has",
	}, func(ctx context.Context, actor account.Actor, in *APIOneByID) error {
		return a.Accounts.DeleteRole(ctx, actor, in.id())
	})
}

type listPeopleQuery struct {
	APIListQuery
	Search string `query:"search" maxLength:"500" doc:"A text in the name or the address."`
	Status string `query:"status" enum:"active,invited,deactivated"`
	Role   string `query:"role_id" format:"uuid"`
}

func (a *api) personItem(p *db.Person) APIPersonItem {
	return APIPersonItem{
		ID: p.ID.String(), Name: p.Name, Email: p.Email, URL: a.link(views.UserURL(p.ID.String())),
		Status: string(p.Status()), Role: p.RoleName, SeenAt: moment(p.SeenAt), CreatedAt: p.CreatedAt.UTC(),
	}
}

func (a *api) listPeople(
	ctx context.Context, actor account.Actor, in *listPeopleQuery,
) (pageOf[APIPersonItem], error) {
	f := db.PersonFilter{
		Search: in.Search, Status: db.PersonStatus(in.Status), Role: optionalID(in.Role), Limit: in.Limit + 1,
	}
	var err error
	if f.After, err = in.afterID(); err != nil {
		return pageOf[APIPersonItem]{}, err
	}
	list, err := a.Accounts.People(ctx, actor, f)
	if err != nil {
		return pageOf[APIPersonItem]{}, err
	}
	return paginate(list, in.Limit, a.personItem, func(p *db.Person) []string { return []string{p.ID.String()} }), nil
}

func (a *api) getPerson(ctx context.Context, actor account.Actor, in *APIOneByID) (APIPerson, error) {
	d, err := a.Accounts.Person(ctx, actor, in.id())
	if err != nil {
		return APIPerson{}, err
	}
	full := APIPerson{APIPersonItem: a.personItem(&d.Person), Roles: []APINamed{}, Workspaces: []APINamed{}}
	for _, r := range d.Roles {
		full.Roles = append(full.Roles, APINamed{r.ID.String(), r.Name})
	}
	mine, err := a.Rules.Workspaces(ctx, actor)
	if err != nil {
		return APIPerson{}, err
	}
	for _, w := range mine {
		if slices.ContainsFunc(d.Workspaces, func(o db.Workspace) bool { return o.ID == w.ID }) {
			full.Workspaces = append(full.Workspaces, APINamed{w.ID.String(), w.Name})
		}
	}
	return full, nil
}

type setRolesQuery struct {
	APIOneByID
	Body struct {
		Roles []string `json:"role_ids" minItems:"1" maxItems:"100"`
	}
}

func (a *api) setRolesByAPI(ctx context.Context, actor account.Actor, in *setRolesQuery) (APIPerson, error) {
	roles := make([]uuid.UUID, len(in.Body.Roles))
	for i, text := range in.Body.Roles {
		roles[i] = optionalID(text) // none is not there, which is told
	}
	if err := a.Accounts.SetRoles(ctx, &actor, in.id(), roles, ""); err != nil {
		return APIPerson{}, err
	}
	return a.getPerson(ctx, actor, &in.APIOneByID)
}

// personChange is an operation that changes an account and answers with it.
func (a *api) personChange(
	change func(*account.Service, context.Context, *account.Actor, uuid.UUID) error,
) func(context.Context, account.Actor, *APIOneByID) (APIPerson, error) {
	return func(ctx context.Context, actor account.Actor, in *APIOneByID) (APIPerson, error) {
		if err := change(a.Accounts, ctx, &actor, in.id()); err != nil {
			return APIPerson{}, err
		}
		return a.getPerson(ctx, actor, in)
	}
}

type handOverQuery struct {
	APIOneByID
	Body struct {
		To string `json:"to" format:"uuid" doc:"Id of the person."`
	}
}

func (a *api) handOverByAPI(ctx context.Context, actor account.Actor, in *handOverQuery) (APIBulkResult, error) {
	if _, err := a.Accounts.Person(ctx, actor, in.id()); err != nil { // of the page that has this, too
		return APIBulkResult{}, err
	}
	result, err := a.Rules.HandOver(ctx, actor, in.id(), optionalID(in.Body.To))
	return APIBulkResult{Done: result.Done, Skipped: result.Skipped}, err
}

func roleItem(r *db.Role) APIRole {
	return APIRole{
		ID: r.ID.String(), Name: r.Name, BuiltIn: r.Key != "", Permissions: append([]string{}, r.Permissions...),
		Version: r.Version,
	}
}

func (a *api) listRoles(ctx context.Context, actor account.Actor, _ *struct{}) (pageOf[APIRole], error) {
	list, err := a.Accounts.Roles(ctx, actor)
	if err != nil {
		return pageOf[APIRole]{}, err
	}
	return paginate(list, len(list), func(r *db.RoleRow) APIRole { return roleItem(&r.Role) }, nil), nil
}

func (a *api) getRole(ctx context.Context, actor account.Actor, in *APIOneByID) (APIRole, error) {
	r, err := a.Accounts.Role(ctx, actor, in.id())
	if err != nil {
		return APIRole{}, err
	}
	return roleItem(&r.Role), nil
}

type createRoleQuery struct{ Body APIRoleFields }

func (a *api) createRoleByAPI(
	ctx context.Context, actor account.Actor, in *createRoleQuery,
) (APIRole, string, error) {
	var input account.RoleInput
	set(&input.Name, in.Body.Name)
	set(&input.Permissions, in.Body.Permissions)
	r, err := a.Accounts.CreateRole(ctx, actor, input)
	if err != nil {
		return APIRole{}, "", err
	}
	return roleItem(r), "roles/" + r.ID.String(), nil
}

type updateRoleQuery struct {
	APIOneByID
	Body APIRoleChange
}

func (a *api) updateRoleByAPI(ctx context.Context, actor account.Actor, in *updateRoleQuery) (APIRole, error) {
	was, err := a.Accounts.Role(ctx, actor, in.id())
	if err != nil {
		return APIRole{}, err
	}
	input := account.RoleInput{Name: was.Name, Permissions: was.Permissions, Version: in.Body.Version}
	set(&input.Name, in.Body.Name)
	set(&input.Permissions, in.Body.Permissions)
	if err := a.Accounts.UpdateRole(ctx, actor, in.id(), input); err != nil {
		return APIRole{}, err
	}
	return a.getRole(ctx, actor, &in.APIOneByID)
}
