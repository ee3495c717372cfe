package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/form"
	"carillon/db"
	"carillon/views"
)

// PersonItem is a person as a list has them.
type PersonItem struct {
	ID        string     `json:"id" format:"uuid"`
	Name      string     `json:"name"`
	Email     string     `json:"email"`
	URL       string     `json:"url" format:"uri" doc:"Their page."`
	Status    string     `json:"status" enum:"active,invited,deactivated"`
	Role      string     `json:"role" doc:"The names of their roles."`
	SeenAt    *time.Time `json:"seen_at,omitempty" doc:"When they last used a sign-in that still holds."`
	CreatedAt time.Time  `json:"created_at"`
}

// Person is a person in full.
type Person struct {
	PersonItem
	Roles      []Named `json:"roles"`
	Workspaces []Named `json:"workspaces" doc:"Those that you are a member of, too."`
}

const peopleTag = "People and roles"

// people are the operations on people.
type people struct{ *Server }

// routes are operations on accounts. What makes a link with which somebody becomes a person, or a password, is
// done by a person who has signed in.
func (a people) routes() {
	answers(a.Server, operation{
		method: http.MethodGet, path: "/people", name: "listPeople", tag: peopleTag, summary: "List people by name",
	}, a.list)
	answers(a.Server, operation{
		method: http.MethodGet, path: "/people/{id}", name: "getPerson", tag: peopleTag, summary: "Get a person",
	}, a.get)
	answers(a.Server, operation{
		method: http.MethodPost, path: "/people/{id}/roles", name: "setRoles", tag: peopleTag,
		summary: "Give a person the roles of a list, and take the others away",
	}, a.setRoles)
	answers(a.Server, operation{
		method: http.MethodPost, path: "/people/{id}/deactivation", name: "deactivatePerson", tag: peopleTag,
		summary: "Deactivate an account",
		about:   "Every sign-in and token of it ends. Runs of its automations fail until they have another owner.",
	}, a.change((*account.Service).Deactivate))
	answers(a.Server, operation{
		method: http.MethodPost, path: "/people/{id}/activation", name: "activatePerson", tag: peopleTag,
		summary: "Activate an account again",
	}, a.change((*account.Service).Activate))
	does(a.Server, operation{
		method: http.MethodPost, path: "/people/{id}/token-revocation", name: "revokeTokens", tag: peopleTag,
		summary: "End all API tokens of a person",
	}, func(ctx context.Context, actor account.Actor, in *OneByID) error {
		return a.Accounts.RevokeTokensOf(ctx, &actor, in.id())
	})
	answers(a.Server, operation{
		method: http.MethodPost, path: "/people/{id}/transfer", name: "transferAutomations", tag: peopleTag,
		summary: "Give all automations of a person to somebody else",
	}, a.handOver)
}

type listPeopleQuery struct {
	ListQuery
	Search string `query:"search" maxLength:"500" doc:"A text in the name or the address."`
	Status string `query:"status" enum:"active,invited,deactivated"`
	Role   string `query:"role_id" format:"uuid"`
}

func (a people) item(p *db.Person) PersonItem {
	return PersonItem{
		ID: p.ID.String(), Name: p.Name, Email: p.Email, URL: a.link(views.UserURL(p.ID.String())),
		Status: string(p.Status()), Role: p.RoleName, SeenAt: moment(p.SeenAt), CreatedAt: p.CreatedAt.UTC(),
	}
}

func (a people) list(
	ctx context.Context, actor account.Actor, in *listPeopleQuery,
) (PageOf[PersonItem], error) {
	f := db.PersonFilter{
		Search: in.Search, Status: db.PersonStatus(in.Status), Role: form.OptionalID(in.Role), Limit: in.Limit + 1,
	}
	var err error
	if f.After, err = in.afterID(); err != nil {
		return PageOf[PersonItem]{}, err
	}
	list, err := a.Accounts.People(ctx, actor, f)
	if err != nil {
		return PageOf[PersonItem]{}, err
	}
	return paginate(list, in.Limit, a.item, func(p *db.Person) []string { return []string{p.ID.String()} }), nil
}

func (a people) get(ctx context.Context, actor account.Actor, in *OneByID) (Person, error) {
	d, err := a.Accounts.Person(ctx, actor, in.id())
	if err != nil {
		return Person{}, err
	}
	full := Person{PersonItem: a.item(&d.Person), Roles: []Named{}, Workspaces: []Named{}}
	for _, r := range d.Roles {
		full.Roles = append(full.Roles, Named{r.ID.String(), r.Name})
	}
	mine, err := a.Workspaces.List(ctx, actor)
	if err != nil {
		return Person{}, err
	}
	for _, w := range mine {
		if slices.ContainsFunc(d.Workspaces, func(o db.Workspace) bool { return o.ID == w.ID }) {
			full.Workspaces = append(full.Workspaces, Named{w.ID.String(), w.Name})
		}
	}
	return full, nil
}

type setRolesQuery struct {
	OneByID
	Body struct {
		Roles []string `json:"role_ids" minItems:"1" maxItems:"100"`
	}
}

func (a people) setRoles(ctx context.Context, actor account.Actor, in *setRolesQuery) (Person, error) {
	roles := make([]uuid.UUID, len(in.Body.Roles))
	for i, text := range in.Body.Roles {
		roles[i] = form.OptionalID(text) // none is not there, which is told
	}
	if err := a.Accounts.SetRoles(ctx, &actor, in.id(), roles, ""); err != nil {
		return Person{}, err
	}
	return a.get(ctx, actor, &in.OneByID)
}

// change is an operation that changes an account and answers with it.
func (a people) change(
	change func(*account.Service, context.Context, *account.Actor, uuid.UUID) error,
) func(context.Context, account.Actor, *OneByID) (Person, error) {
	return func(ctx context.Context, actor account.Actor, in *OneByID) (Person, error) {
		if err := change(a.Accounts, ctx, &actor, in.id()); err != nil {
			return Person{}, err
		}
		return a.get(ctx, actor, in)
	}
}

type handOverQuery struct {
	OneByID
	Body struct {
		To string `json:"to" format:"uuid" doc:"Id of the person."`
	}
}

func (a people) handOver(ctx context.Context, actor account.Actor, in *handOverQuery) (BulkResult, error) {
	if _, err := a.Accounts.Person(ctx, actor, in.id()); err != nil { // of the page that has this, too
		return BulkResult{}, err
	}
	result, err := a.Rules.Transfers().HandOver(ctx, actor, in.id(), form.OptionalID(in.Body.To))
	return BulkResult{Done: result.Done, Skipped: result.Skipped}, err
}
