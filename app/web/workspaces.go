package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/forge"
	"carillon/app/form"
	"carillon/app/web/page"
	"carillon/app/workspace"
	"carillon/db"
	"carillon/views"
)

// forgeFields fills in what the form of a workspace has of its forge.
func (s workspacePages) forgeFields(f *views.WorkspaceForm, d *workspace.Detail, in workspace.Input,
	bad fault.Invalid) {
	f.ForgeKind.Value, f.ForgeKind.Error = in.Forge, bad["forge"]
	f.ForgeKind.Options = append(f.ForgeKind.Options, views.Choice{Label: "Detected by the Git URL"})
	for _, k := range forge.Kinds() {
		f.ForgeKind.Options = append(f.ForgeKind.Options, views.Choice{Value: string(k), Label: k.Name()})
	}
	f.ForgeBase.Value, f.ForgeBase.Error = in.ForgeBase, bad["forge_base"]
	f.ForgeSecret.Error = bad["forge_secret"]
	f.KeepForgeSecret = d != nil && d.ForgeSecret != nil
}

// hookNotes say what to set up at each forge.
var hookNotes = map[forge.Kind]string{
	forge.GitHub: "Add a webhook with this address to the repository at GitHub: content type application/json, the " +
		"secret, and the event Pull requests.",
	forge.GitLab: "Add a webhook with this address to the project at GitLab: the secret as its secret token, and the " +
		"trigger Merge request events.",
	forge.Gitea: "Add a webhook with this address to the repository: POST, application/json, the secret, and the " +
		"event Pull Request.",
	forge.Azure: "Add service hooks of the type Web Hooks with this address in Azure DevOps, for Pull request " +
		"updated and Pull request merge attempted, with basic authentication: any name, and " +
		"the secret as its password.",
}

// showForge tells whoever manages a workspace where its forge is to send webhooks.
func (s workspacePages) showForge(p *views.WorkspacePage, d *workspace.Detail) {
	f, ok := workspace.ForgeOf(&d.Workspace)
	if !ok {
		return
	}
	p.Facts = append(p.Facts, views.Fact{
		Label: "Forge", Value: f.Kind.Name() + ", " + strings.TrimPrefix(strings.TrimPrefix(f.Base, "https://"),
			"http://") + "/" + f.Repository,
	})
	if !p.CanManage {
		return
	}
	p.Hook, p.HookNote = s.Link(views.ForgeHookURL(string(f.Kind), d.ID.String())), hookNotes[f.Kind]
	if d.ForgeSecret == nil {
		p.HookNote = "Webhooks are refused until there is a webhook secret. Choose one in the form of the workspace. " +
			"Until then Carillon asks the forge every 5 minutes."
	}
}

// workspacePages are the pages of workspaces.
type workspacePages struct{ *Server }

func (s workspacePages) list(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	list, err := s.Workspaces.List(r.Context(), actor)
	if err != nil {
		return err
	}
	p := views.WorkspacesPage{CanCreate: actor.Can(account.ManageWorkspaces)}
	for _, ws := range list {
		p.Rows = append(p.Rows, views.WorkspaceItem{
			ID: ws.ID.String(), Name: ws.Name, URL: cmp.Or(ws.GitURL, "made by Carillon"), Branch: ws.DefaultBranch,
			Automations: int(ws.Automations), Sessions: int(ws.Live), Members: int(ws.Members),
		})
	}
	return s.With(w, r, actor, "workspaces", "Workspaces", func(page views.Page) error {
		return s.Show(w, r, views.Workspaces(page, p))
	})
}

func (s workspacePages) one(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	workspaceID, err := page.ID(r)
	if err != nil {
		return err
	}
	d, err := s.Workspaces.Find(r.Context(), actor, workspaceID)
	if err != nil {
		return err
	}
	return s.showOne(w, r, actor, http.StatusOK, d, "")
}

func (s workspacePages) showOne(w http.ResponseWriter, r *http.Request, actor account.Actor, status int,
	d *workspace.Detail, problem string) error {
	manage := actor.Can(account.ManageWorkspaces)
	p := views.WorkspacePage{Now: s.Now(), ID: d.ID.String(), Name: d.Name, CanManage: manage, Problem: problem}
	p.Facts = []views.Fact{
		{Label: "Repository", Value: cmp.Or(d.GitURL, "Made by Carillon"), Mono: d.GitURL != ""},
		{Label: "Default branch", Value: d.DefaultBranch, Mono: true},
	}
	if d.HasToken {
		p.Facts = append(p.Facts, views.Fact{Label: "Access token", Value: "Stored"})
	}
	if d.Provider != "" {
		p.Facts = append(p.Facts, views.Fact{Label: "Default provider", Value: s.ProviderName(d.Provider)})
	}
	if d.Sandbox {
		network := "The worktree and the agent’s own files can be written; the network is open"
		if d.Offline {
			network = "The worktree and the agent’s own files can be written; there is no network"
		}
		p.Facts = append(p.Facts, views.Fact{Label: "Sandbox", Value: network})
		if paths := d.ShowsPaths(); len(paths) > 0 {
			p.Facts = append(p.Facts, views.Fact{
				Label: "Files of the machine, read-only", Value: strings.Join(paths, ", "), Mono: true,
			})
		}
	} else {
		p.Facts = append(p.Facts, views.Fact{
			Label: "Sandbox", Value: "None: agents and scripts have all rights of their user on the worker",
		})
	}
	p.Sandbox = d.Sandbox
	for _, o := range helpPages(s).obediences() {
		if len(o.Obeys) > 0 {
			p.Agents = append(p.Agents, o)
		}
	}
	s.showForge(&p, d)
	for _, v := range d.Variables {
		p.Variables = append(p.Variables, views.Variable{
			Name: v.Name, Value: v.Value, Secret: v.Secret, Kept: v.Secret,
		})
	}
	for _, m := range d.Members {
		p.Members = append(p.Members, views.Member{
			ID: m.ID.String(), Name: m.Name, Email: m.Email, Role: m.RoleName, You: m.ID == actor.ID,
		})
	}
	rows, err := s.Rules.Definitions().List(r.Context(), actor, db.AutomationFilter{Workspace: d.ID, Limit: 20})
	if err != nil {
		return err
	}
	for _, a := range rows {
		p.Automations = append(p.Automations, views.Link{Text: a.Name, URL: views.AutomationURL(a.ID.String())})
	}
	p.Uses = "Its sessions can still be read."
	if len(rows) > 0 {
		p.Uses = fmt.Sprintf(
			"%s use it; their runs will fail until another workspace is chosen. Its sessions stay to be read.",
			form.Count(len(rows), "automation"))
	}
	if manage {
		people, err := db.Users(r.Context(), s.DB)
		if err != nil {
			return err
		}
		p.AddMember = views.Field{Name: "user", Label: "Add a person"}
		for _, u := range people {
			if !slices.ContainsFunc(d.Members, func(m db.User) bool {
				return m.ID == u.ID
			}) && u.DeactivatedAt.IsZero() {
				p.AddMember.Options = append(p.AddMember.Options, views.Choice{Value: u.ID.String(), Label: u.Name})
			}
		}
	}
	return s.With(w, r, actor, "workspaces", d.Name, func(page views.Page) error {
		s.Render(w, r, status, views.Workspace(page, p))
		return nil
	})
}

// workspaceInput reads the form of a workspace as typed.
func workspaceInput(r *http.Request) workspace.Input {
	f := r.PostForm
	version, _ := strconv.ParseInt(f.Get("version"), 10, 64)
	in := workspace.Input{
		Name: f.Get("name"), GitURL: f.Get("url"), DefaultBranch: f.Get("branch"), Token: f.Get("token"),
		ForgetToken: f.Get("forget_token") != "",
		Provider:    f.Get("provider"), Model: f.Get("model"), Version: version, Sandbox: f.Get("sandbox") != "",
		Offline: f.Get("offline") != "", Shows: f.Get("shows"), IdleDays: f.Get("idle_days"),
		Forge: f.Get("forge"), ForgeBase: f.Get("forge_base"), ForgeSecret: f.Get("forge_secret"),
		ForgetForgeSecret: f.Get("forget_forge_secret") != "",
	}
	values, secret := f["variable_value"], tickedRows(f)
	for i, name := range f["variable_name"] {
		v := workspace.Variable{Name: name, Secret: secret("variable_secret", i)}
		if i < len(values) {
			v.Value = values[i]
		}
		in.Variables = append(in.Variables, v)
	}
	return in
}

func (s workspacePages) new(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	if !actor.Can(account.ManageWorkspaces) {
		return fault.ErrForbidden
	}
	return s.form(w, r, actor, http.StatusOK, nil, s.Workspaces.New(r.Context()), nil)
}

func (s workspacePages) edit(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	workspaceID, err := page.ID(r)
	if err != nil {
		return err
	}
	d, err := s.Workspaces.Find(r.Context(), actor, workspaceID)
	if err != nil {
		return err
	}
	if !actor.Can(account.ManageWorkspaces) {
		return fault.ErrForbidden
	}
	return s.form(w, r, actor, http.StatusOK, d, workspace.Typed(d), nil)
}

func (s workspacePages) form(w http.ResponseWriter, r *http.Request, actor account.Actor, status int,
	d *workspace.Detail, in workspace.Input, bad fault.Invalid) error {
	f := views.NewWorkspaceForm()
	title := "New workspace"
	if d != nil {
		f.ID, f.Was, title, f.KeepToken = d.ID.String(), d.Name, "Edit "+d.Name, d.HasToken
		f.Version = strconv.FormatInt(in.Version, 10)
		if d.GitURL == "" {
			f.URL.Required, f.URL.Hint = false, "Empty: Carillon keeps the repository itself."
		}
	}
	f.Name.Value, f.Name.Error = in.Name, bad["name"]
	f.URL.Value, f.URL.Error = in.GitURL, bad["url"]
	f.Branch.Value, f.Branch.Error = in.DefaultBranch, bad["branch"]
	f.Token.Error = bad["token"]
	s.forgeFields(&f, d, in, bad)
	f.Provider.Value, f.Provider.Error = in.Provider, bad["provider"]
	f.Provider.Options = append(f.Provider.Options, views.Choice{Label: "None"})
	for _, p := range s.Providers() {
		f.Provider.Options = append(f.Provider.Options, s.ProviderChoice(p, in.Provider))
	}
	f.Model.Value, f.Model.Error = in.Model, bad["model"]
	f.Sandbox.Checked, f.Offline.Checked = in.Sandbox, in.Offline
	f.Shows.Value, f.Shows.Error = in.Shows, bad["shows"]
	if !actor.Can(account.ManageSettings) {
		f.Shows.Disabled, f.Shows.Why = true,
			"They can be changed with the permission to change the installation’s settings."
		if d != nil {
			f.Shows.Value = d.Shows // a field that cannot be filled in is not posted
		}
	}
	f.IdleDays.Value, f.IdleDays.Error = in.IdleDays, bad["idle_days"]
	kept := map[string]bool{}
	if d != nil {
		for _, o := range d.Variables {
			kept[o.Name] = o.Secret
		}
	}
	for i, v := range in.Variables {
		f.Variables = append(f.Variables, views.Variable{
			Name: v.Name, Value: v.Value, Secret: v.Secret, Kept: kept[v.Name] && v.Secret,
			Error: bad[fmt.Sprintf("variables.%d", i)],
		})
	}
	if n := len(f.Variables); n == 0 || f.Variables[n-1].Name != "" {
		f.Variables = append(f.Variables, views.Variable{})
	}
	return s.With(w, r, actor, "workspaces", title, func(page views.Page) error {
		s.Render(w, r, status, views.EditWorkspace(page, f))
		return nil
	})
}

func (s workspacePages) create(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	in := workspaceInput(r)
	if r.PostFormValue("do") == "add-variable" {
		return s.form(w, r, actor, http.StatusOK, nil, withRow(in), nil)
	}
	ws, err := s.Workspaces.Create(r.Context(), actor, in)
	var invalid fault.Invalid
	if errors.As(err, &invalid) {
		return s.form(w, r, actor, http.StatusUnprocessableEntity, nil, in, invalid)
	}
	if err != nil {
		return err
	}
	return s.Redirect(w, r, views.WorkspaceURL(ws.ID.String()), "Workspace added.")
}

// withRow adds an empty variable, for browsers without JavaScript as for others.
func withRow(in workspace.Input) workspace.Input {
	in.Variables = append(in.Variables, workspace.Variable{})
	return in
}

func (s workspacePages) update(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	workspaceID, err := page.ID(r)
	if err != nil {
		return err
	}
	d, err := s.Workspaces.Find(r.Context(), actor, workspaceID)
	if err != nil {
		return err
	}
	in := workspaceInput(r)
	if r.PostFormValue("do") == "add-variable" {
		return s.form(w, r, actor, http.StatusOK, d, withRow(in), nil)
	}
	err = s.Workspaces.Update(r.Context(), actor, workspaceID, in)
	invalid, status, err := s.Again(r, actor, s.edit, err)
	if err != nil {
		return err
	}
	if status != 0 {
		return s.form(w, r, actor, status, d, workspaceInput(r), invalid)
	}
	return s.Redirect(w, r, views.WorkspaceURL(workspaceID.String()), "Saved.")
}

func (s workspacePages) addMember(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	workspaceID, err := page.ID(r)
	if err != nil {
		return err
	}
	if err := s.Workspaces.AddMember(r.Context(), actor, workspaceID,
		form.OptionalID(r.PostFormValue("user"))); err != nil {
		return err
	}
	return s.Redirect(w, r, views.WorkspaceURL(workspaceID.String()), "Added.")
}

func (s workspacePages) removeMember(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	workspaceID, err := page.ID(r)
	if err != nil {
		return err
	}
	person := form.OptionalID(r.PostFormValue("user"))
	if err := s.Workspaces.RemoveMember(r.Context(), actor, workspaceID, person); err != nil {
		return err
	}
	to := views.WorkspaceURL(workspaceID.String())
	if person == actor.ID && !actor.Can(account.Admin) {
		to = "/workspaces" // who leaves sees it no more
	}
	return s.Redirect(w, r, to, "Removed.")
}

// check looks at the repository now, and says what it found.
func (s workspacePages) check(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	workspaceID, err := page.ID(r)
	if err != nil {
		return err
	}
	problem, err := s.Workspaces.Check(r.Context(), actor, workspaceID)
	if err != nil {
		return err
	}
	if problem == "" {
		return s.Redirect(w, r, views.WorkspaceURL(workspaceID.String()), "The repository answers.")
	}
	d, err := s.Workspaces.Find(r.Context(), actor, workspaceID)
	if err != nil {
		return err
	}
	return s.showOne(w, r, actor, http.StatusOK, d, problem)
}

func (s workspacePages) remove(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	workspaceID, err := page.ID(r)
	if err != nil {
		return err
	}
	if err := s.Workspaces.Remove(r.Context(), actor, workspaceID); err != nil {
		return err
	}
	return s.Redirect(w, r, "/workspaces", "Removed.")
}
