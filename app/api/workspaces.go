package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/workspace"
	"carillon/db"
	"carillon/views"
)

// WorkspaceDetail is a workspace in full. Secrets are not in it.
type WorkspaceDetail struct {
	Workspace
	GitURL    string     `json:"git_url" doc:"Empty: Carillon keeps the repository itself."`
	HasToken  bool       `json:"has_token" doc:"A token for the repository is stored."`
	Forge     string     `json:"forge" doc:"Empty: known by the repository's address."`
	ForgeBase string     `json:"forge_base"`
	Sandbox   bool       `json:"sandbox"`
	Offline   bool       `json:"offline" doc:"The sandbox has no network."`
	Shows     string     `json:"shows" doc:"Paths of the machine that the sandbox shows, read-only, one a line."`
	IdleDays  int        `json:"idle_days,omitempty" doc:"After so many days open sessions are closed. Absent: never."`
	Variables []Variable `json:"variables"`
	Members   []Member   `json:"members"`
	Version   int64      `json:"version" doc:"Send it along with a change."`
}

// Variable is a variable of a workspace.
type Variable struct {
	Name   string `json:"name"`
	Value  string `json:"value" required:"false" doc:"Of a secret never told; left out in a change, the one stored stays."`
	Secret bool   `json:"secret" required:"false"`
}

// Member is a person who works in a workspace.
type Member struct {
	Named
	Email string `json:"email"`
	Role  string `json:"role"`
}

// WorkspaceFields are what may be said of a workspace. What is nil stays.
type WorkspaceFields struct {
	Name          *string     `json:"name,omitempty"`
	GitURL        *string     `json:"git_url,omitempty"`
	DefaultBranch *string     `json:"default_branch,omitempty" doc:"Empty: the repository's own."`
	Token         *string     `json:"token,omitempty" writeOnly:"true" doc:"For the repository. Empty: none any more."`
	Forge         *string     `json:"forge,omitempty"`
	ForgeBase     *string     `json:"forge_base,omitempty"`
	ForgeSecret   *string     `json:"forge_secret,omitempty" writeOnly:"true" doc:"Of the forge's webhooks. Empty: none."`
	Provider      *string     `json:"provider,omitempty"`
	Model         *string     `json:"model,omitempty"`
	Sandbox       *bool       `json:"sandbox,omitempty"`
	Offline       *bool       `json:"offline,omitempty"`
	Shows         *string     `json:"shows,omitempty" doc:"For who may change the installation's settings."`
	IdleDays      *int        `json:"idle_days,omitempty" minimum:"0" doc:"0: never."`
	Variables     *[]Variable `json:"variables,omitempty" doc:"As a whole."`
}

// WorkspaceChange is a change of a workspace.
type WorkspaceChange struct {
	WorkspaceFields
	Version int64 `json:"version" doc:"The version that was read."`
}

// Checked is what a look at a repository found.
type Checked struct {
	Problem string `json:"problem" doc:"Empty: the repository answers."`
}

const workspacesTag = "Workspaces"

// workspaces are the operations on workspaces.
type workspaces struct{ *Server }

func (a workspaces) routes() {
	answers(a.Server, operation{
		method: http.MethodGet, path: "/workspaces", name: "listWorkspaces", tag: workspacesTag,
		summary: "List your workspaces by name",
	}, a.list)
	creates(a.Server, operation{
		method: http.MethodPost, path: "/workspaces", name: "createWorkspace", tag: workspacesTag,
		summary: "Create a workspace", about: "Whoever creates one is its first member.",
	}, a.create)
	answers(a.Server, operation{
		method: http.MethodGet, path: "/workspaces/{id}", name: "getWorkspace", tag: workspacesTag,
		summary: "Get a workspace",
	}, a.get)
	answers(a.Server, operation{
		method: http.MethodPatch, path: "/workspaces/{id}", name: "updateWorkspace", tag: workspacesTag,
		summary: "Change a workspace", about: "What is left out stays.",
	}, a.update)
	does(a.Server, operation{
		method: http.MethodDelete, path: "/workspaces/{id}", name: "deleteWorkspace", tag: workspacesTag,
		summary: "Remove a workspace", about: "Its sessions stay to be read.",
	}, func(ctx context.Context, actor account.Actor, in *OneByID) error {
		return a.Workspaces.Remove(ctx, actor, in.id())
	})
	answers(a.Server, operation{
		method: http.MethodPost, path: "/workspaces/{id}/check", name: "checkWorkspace", tag: workspacesTag,
		summary: "Look whether the repository answers",
	}, func(ctx context.Context, actor account.Actor, in *OneByID) (Checked, error) {
		problem, err := a.Workspaces.Check(ctx, actor, in.id())
		return Checked{problem}, err
	})
	does(a.Server, operation{
		method: http.MethodPost, path: "/workspaces/{id}/members", name: "addMember", tag: workspacesTag,
		summary: "Let a person work in a workspace",
	}, func(ctx context.Context, actor account.Actor, in *addMemberQuery) error {
		return a.Workspaces.AddMember(ctx, actor, in.id(), form.OptionalID(in.Body.User))
	})
	does(a.Server, operation{
		method: http.MethodDelete, path: "/workspaces/{id}/members/{user}", name: "removeMember", tag: workspacesTag,
		summary: "Take a person's access to a workspace away", about: "Their automations there fail from then on.",
	}, func(ctx context.Context, actor account.Actor, in *oneMember) error {
		return a.Workspaces.RemoveMember(ctx, actor, in.id(), form.OptionalID(in.User))
	})
}

type addMemberQuery struct {
	OneByID
	Body struct {
		User string `json:"user_id" format:"uuid"`
	}
}

type oneMember struct {
	OneByID
	User string `path:"user" format:"uuid"`
}

func (a workspaces) item(w *db.Workspace) Workspace {
	return Workspace{
		ID: w.ID.String(), Name: w.Name, URL: a.link(views.WorkspaceURL(w.ID.String())), DefaultBranch: w.DefaultBranch,
		Provider: w.Provider, Model: w.Model,
	}
}

func (a workspaces) list(ctx context.Context, actor account.Actor, _ *struct{}) (PageOf[Workspace], error) {
	list, err := a.Workspaces.List(ctx, actor)
	if err != nil {
		return PageOf[Workspace]{}, err
	}
	return paginate(list, len(list), a.item, nil), nil // all: a person is a member of a few
}

func (a workspaces) get(ctx context.Context, actor account.Actor, in *OneByID) (WorkspaceDetail, error) {
	d, err := a.Workspaces.Find(ctx, actor, in.id())
	if err != nil {
		return WorkspaceDetail{}, err
	}
	full := WorkspaceDetail{
		Workspace: a.item(&d.Workspace), GitURL: d.GitURL, HasToken: d.HasToken, Forge: d.Forge,
		ForgeBase: d.ForgeBase, Sandbox: d.Sandbox, Offline: d.Offline, Shows: d.Shows, IdleDays: d.IdleDays,
		Variables: []Variable{}, Members: []Member{}, Version: d.Version,
	}
	for _, v := range d.Variables {
		full.Variables = append(full.Variables, Variable{Name: v.Name, Value: v.Value, Secret: v.Secret})
	}
	for _, m := range d.Members {
		full.Members = append(full.Members, Member{Named{m.ID.String(), m.Name}, m.Email, m.RoleName})
	}
	return full, nil
}

// into puts what was said over what is there.
func (f *WorkspaceFields) into(in *workspace.Input) {
	set(&in.Name, f.Name)
	set(&in.GitURL, f.GitURL)
	set(&in.DefaultBranch, f.DefaultBranch)
	set(&in.Token, f.Token)
	in.ForgetToken = f.Token != nil && *f.Token == ""
	set(&in.Forge, f.Forge)
	set(&in.ForgeBase, f.ForgeBase)
	set(&in.ForgeSecret, f.ForgeSecret)
	in.ForgetForgeSecret = f.ForgeSecret != nil && *f.ForgeSecret == ""
	setAgent(&in.Provider, &in.Model, f.Provider, f.Model)
	set(&in.Sandbox, f.Sandbox)
	set(&in.Offline, f.Offline)
	set(&in.Shows, f.Shows)
	if f.IdleDays != nil {
		in.IdleDays = ""
		if *f.IdleDays != 0 {
			in.IdleDays = strconv.Itoa(*f.IdleDays)
		}
	}
	if f.Variables != nil {
		in.Variables = nil
		for _, v := range *f.Variables {
			in.Variables = append(in.Variables, workspace.Variable(v))
		}
	}
}

type createWorkspaceQuery struct{ Body WorkspaceFields }

func (a workspaces) create(
	ctx context.Context, actor account.Actor, in *createWorkspaceQuery,
) (WorkspaceDetail, string, error) {
	input := a.Workspaces.New(ctx)
	in.Body.into(&input)
	w, err := a.Workspaces.Create(ctx, actor, input)
	if err != nil {
		return WorkspaceDetail{}, "", workspaceProblem(err)
	}
	full, err := a.get(ctx, actor, &OneByID{w.ID.String()})
	return full, "workspaces/" + w.ID.String(), err
}

type updateWorkspaceQuery struct {
	OneByID
	Body WorkspaceChange
}

func (a workspaces) update(
	ctx context.Context, actor account.Actor, in *updateWorkspaceQuery,
) (WorkspaceDetail, error) {
	d, err := a.Workspaces.Find(ctx, actor, in.id())
	if err != nil {
		return WorkspaceDetail{}, err
	}
	input := workspace.Typed(d)
	in.Body.into(&input)
	input.Version = in.Body.Version
	if err := a.Workspaces.Update(ctx, actor, in.id(), input); err != nil {
		return WorkspaceDetail{}, workspaceProblem(err)
	}
	return a.get(ctx, actor, &in.OneByID)
}

// workspaceProblem names the fields of a mistake as the API does.
func workspaceProblem(err error) error {
	var bad fault.Invalid
	if !errors.As(err, &bad) {
		return err
	}
	named := fault.Invalid{}
	for field, problem := range bad {
		switch field {
		case "url":
			field = "git_url"
		case "branch":
			field = "default_branch"
		}
		named[field] = problem
	}
	return named
}
