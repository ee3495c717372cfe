package web_test

import (
	"net/http"
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/app/agent"
	"carillon/app/web/webtest"
	"carillon/views"
)

func TestAWorkspacesPageShowsItsWebhookAddressToWhoManagesIt(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleAdministrator)
	b.Post("/workspaces", "name", "App", "url", "https://git.example.com/acme/app.git", "forge", "gitea",
		"forge_secret", "short").Expect(t, 422, "at least 16 characters")
	got := b.Post("/workspaces", "name", "App", "url", "https://git.example.com/acme/app.git", "forge", "gitea",
		"forge_secret", webtest.HookSecret)
	got.Expect(t, 303, "")
	page := got.Header.Get("Location")
	want := s.HTTP.URL + "/api/forges/gitea/" + strings.TrimPrefix(page, "/workspaces/")
	b.Get(page).Expect(t, 200, want)
	edit := b.Get(page + "/edit")
	edit.Expect(t, 200, "Stored. Leave empty to keep it")
	if strings.Contains(edit.Text, webtest.HookSecret) {
		t.Error("the secret is shown again")
	}
	jonas := s.As("Jonas", account.RoleMember)
	b.Post(page+"/members", "user", jonas.Actor.ID.String()).Expect(t, 303, "")
	if shown := jonas.Get(page); shown.StatusCode != 200 || strings.Contains(shown.Text, "/api/forges/") {
		t.Errorf("a member who manages no workspaces sees (%d) the webhook's address", shown.StatusCode)
	}
}

func TestThePageOfAWorkspaceSaysWhichFilesWouldSteerAgentsAndWhatBecomesOfThem(t *testing.T) {
	s := webtest.Open(t)
	admin := s.As("Mira", account.RoleAdministrator)
	mine := agent.Provider{ID: "mine", Name: "Mine", Driver: agent.DriverACP, Obeys: []string{".mine", "mine.json"}}
	s.Server.Providers = func() []agent.Provider { return append(agent.Catalogue(), mine) }
	for _, sandbox := range []bool{false, true} {
		_, err := s.Server.DB.ExecContext(t.Context(), "UPDATE workspaces SET sandbox = ?", sandbox)
		webtest.Check(t, err)
		page := admin.Get(views.WorkspaceURL(s.Workspace))
		want := map[bool]string{
			false: "is refused while the repository has one of its files", true: "The sandbox hides these files",
		}[sandbox]
		for _, want := range []string{want, "OpenCode", ">opencode.jsonc<", "Gemini CLI", ">.gemini<", "Mine",
			">.mine<", ">mine.json<"} {
			page.Expect(t, http.StatusOK, want)
		}
		if strings.Contains(page.Text, ">Claude Code<") {
			t.Error("an agent is listed that obeys none")
		}
	}
	help := admin.Get(views.PromisesURL()) // of the same list
	for _, p := range append(agent.Catalogue(), mine) {
		if p.Driver == agent.DriverShell {
			continue
		}
		o := p.Obedience()
		for _, want := range append([]string{p.Name, o.Reads, o.Looks}, o.Obeys...) {
			help.Expect(t, http.StatusOK, want)
		}
	}
}

func TestPathsOfTheMachineAreInTheFormOfAWorkspaceAndOnItsPage(t *testing.T) {
	s := webtest.Open(t)
	boss, manager := s.As("Boss", account.RoleAdministrator), s.As("Manager", account.RoleMember)
	s.Custom(manager, "Keeper of workspaces", account.ManageWorkspaces)
	save := func(b *webtest.Browser, name, version string, more ...string) *webtest.Answer {
		return b.Post(views.WorkspaceURL(s.Workspace),
			append([]string{"name", name, "branch", "main", "version", version, "sandbox", "true"}, more...)...)
	}
	save(boss, "Scratch", "1", "shows", "~/.npmrc\nnowhere").Expect(t, http.StatusUnprocessableEntity,
		"nowhere is no path below / or ~/.")
	if a := save(boss, "Scratch", "1", "shows", "~/.npmrc\n/opt/tools"); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("saving answered %d", a.StatusCode)
	}
	manager.Get(views.WorkspaceURL(s.Workspace)).Expect(t, http.StatusOK, "~/.npmrc, /opt/tools")
	form := manager.Get(views.WorkspaceEditURL(s.Workspace))
	form.Expect(t, http.StatusOK, "~/.npmrc\n/opt/tools")
	form.Expect(t, http.StatusOK, "They can be changed with the permission to change the installation’s settings.")
	if a := save(manager, "Renamed", "2"); a.StatusCode != http.StatusSeeOther { // without the field, which is disabled
		t.Fatalf("saving answered %d", a.StatusCode)
	}
	boss.Get(views.WorkspaceURL(s.Workspace)).Expect(t, http.StatusOK, "~/.npmrc, /opt/tools")
	save(manager, "Renamed", "3", "shows", "~/.ssh").Expect(t, http.StatusUnprocessableEntity,
		"installation’s settings")
}
