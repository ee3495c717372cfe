package gallery

import (
	"time"

	"carillon/views"
)

func workspaceSpecimens() []Specimen {
	list := views.WorkspacesPage{CanCreate: true, Rows: []views.WorkspaceItem{
		{
			ID: "w1", Name: "payments-api", URL: "https://github.com/acme/payments-api.git", Branch: "main",
			Automations: 4, Sessions: 2, Members: 5,
		},
		{
			ID: "w2", Name: "storefront", URL: "git@github.com:acme/storefront.git", Branch: "trunk", Automations: 3,
			Members: 8, Problem: "The clone failed: authentication required",
		},
		{ID: "w3", Name: "Scratch", URL: "made by Carillon", Branch: "main", Members: 1},
	}}
	one := views.WorkspacePage{Now: now, ID: "w1", Name: "payments-api", CanManage: true,
		Uses:    "Its clone and 12 closed sessions are deleted too.",
		Problem: "The last fetch failed: authentication required. Check the access token.",
		Facts: []views.Fact{{Label: "Git URL", Value: "https://github.com/acme/payments-api.git", Mono: true},
			{Label: "Default branch", Value: "main", Mono: true}, {Label: "Access token", Value: "stored"},
			{Label: "Last fetched", Show: views.Time(ago(20*time.Minute), now)}},
		Variables: []views.Variable{{Name: "NODE_ENV", Value: "test"}, {Name: "NPM_TOKEN", Secret: true, Kept: true}},
		Automations: []views.Link{{Text: "Nightly dependency audit", URL: views.AutomationURL("a1")},
			{Text: "Roll the release branch", URL: views.AutomationURL("a2")}},
		Members: []views.Member{{ID: "u1", Name: "Mira Okafor", Email: "mira@acme.example", You: true},
			{ID: "u2", Name: "Jonas Weber", Email: "jonas@acme.example"}},
		AddMember: views.Field{
			Name: "user", Label: "Add a member", Options: []views.Choice{{Value: "u3", Label: "Ada Lin"}},
		}}
	one.Hook, one.HookNote = "https://carillon.acme.example/api/forges/github/w1",
		"Add a webhook with this address to the repository at GitHub: content type application/json, the secret, and "+
			"the event Pull requests."
	one.Agents = []views.Obedience{{Agent: "OpenCode", Obeys: []string{"opencode.json", "opencode.jsonc", ".opencode"}},
		{Agent: "Gemini CLI", Obeys: []string{".gemini"}}}
	one.Sandbox = true
	plain := views.WorkspacePage{
		Now: now, ID: "w3", Name: "Scratch", Facts: []views.Fact{{Label: "Git URL", Value: "made by Carillon"}},
		Members: one.Members[:1], Agents: one.Agents[1:],
	}
	form := views.NewWorkspaceForm()
	form.ID = "w1"
	form.Was = "payments-api"
	form.Name.Value = "payments-api"
	form.URL.Value = "htps://x"
	form.URL.Error = "Write an https or ssh address, or a path on this server."
	form.KeepToken = true
	form.ForgeKind.Options, form.KeepForgeSecret = []views.Choice{{Label: "Detected by the Git URL"},
		{Value: "github", Label: "GitHub"}}, true
	form.Variables = []views.Variable{{Name: "NODE_ENV", Value: "test"}, {Name: "NPM_TOKEN", Secret: true, Kept: true},
		{Name: "2BAD", Value: "x", Error: "A name has letters, digits and _, and no digit first."}, {}}
	return []Specimen{
		{Name: "page-workspaces", Page: views.Workspaces(samplePage("Workspaces", "workspaces"), list)},
		{Name: "page-workspaces-empty", Page: views.Workspaces(samplePage("Workspaces", "workspaces"),
			views.WorkspacesPage{CanCreate: true})},
		{Name: "page-workspace", Page: views.Workspace(samplePage("payments-api", "workspaces"), one)},
		{Name: "page-workspace-plain", Page: views.Workspace(samplePage("Scratch", "workspaces"), plain)},
		{Name: "page-workspace-edit", Page: views.EditWorkspace(samplePage("Edit workspace", "workspaces"), form)},
	}
}
