package web

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/agent"
	"carillon/app/form"
	"carillon/app/web/page"
	"carillon/db"
	"carillon/views"
)

func TestThePageOfIsolationSaysWhatHoldsOnEachMachine(t *testing.T) {
	s := open(t)
	admin := s.as("Mira", account.RoleAdministrator)
	page := admin.get(views.IsolationURL())
	page.expect(t, http.StatusOK, "No worker is running")
	page.expect(t, http.StatusOK, "Scratch") // which has no sandbox

	all := db.Machine{
		Roles: []string{"worker"}, Bubblewrap: "0.8.0", Namespace: db.NamespaceClosed, CountsLimits: true,
		Processes: 2000,
	}
	none := db.Machine{Roles: []string{"worker"}, Root: true, NoSandbox: "bubblewrap (bwrap) is not " +
		"installed", Logs: []string{"log_statement = all"}}
	s.server.Providers = func() []agent.Provider { return agent.Catalogue() }
	s.server.Workers = func() []db.Worker {
		return []db.Worker{
			{
				ID: "a", Name: "forge-1", Machine: all,
				Providers: map[string]db.WorkerProvider{
					"codex": {Version: "0.171.0"}, "qwen": {Problem: "not found"}, "shell": {},
				},
			},
			{ID: "b", Name: "forge-2", Machine: none}, {ID: "c", Name: "forge-3"},
		}
	}
	check(t, db.SaveServer(t.Context(), s.server.DB, &db.Server{
		ID: "w", Name: "front", SeenAt: time.Now(), Machine: db.Machine{Roles: []string{"web"}, OwnDatabase: true},
	}))
	check(t, db.SaveServer(t.Context(), s.server.DB,
		&db.Server{ID: "x", Name: "long-gone", SeenAt: time.Now().Add(-time.Hour)}))
	page = admin.get(views.IsolationURL())
	for _, want := range []string{
		"forge-1", "runs agents", "Sandboxes work", "At most 2000", "<strong>Codex 0.171.0:</strong>", "It runs " +
			"commands in a sandbox of its own",
		"forge-2", "runs as root", "No sandbox can be had: bubblewrap (bwrap) is not installed", "Install the " +
			"package bubblewrap.", "log_statement = all",
		"No agent is installed", "forge-3", "There is no report from this machine yet", "front", "serves pages",
		"The embedded PostgreSQL",
	} {
		page.expect(t, http.StatusOK, want)
	}
	for _, hidden := range []string{"long-gone", "Qwen Code", "Shell script"} {
		if strings.Contains(page.body, hidden) {
			t.Errorf("the page has %q", hidden)
		}
	}
	s.as("Jonas", account.RoleManager).get(views.IsolationURL()).expect(t, http.StatusForbidden, "")
}

func TestWorkspacesWithoutASandboxAreListedByPagesToWhoMaySeeThem(t *testing.T) {
	s := open(t)
	admin := s.as("Mira", account.RoleAdministrator)
	item := func(id string) string { return fmt.Sprintf(`item" href="%s"`, views.WorkspaceURL(id)) }
	confined := db.NewID()
	for i := range page.Rows + 1 {
		now, id := time.Now(), db.NewID()
		if i == 0 {
			id = confined
		}
		check(t, db.InsertWorkspace(t.Context(), s.server.DB, &db.Workspace{
			ID: id, Name: fmt.Sprintf("open %03d", i), DefaultBranch: "main", CreatedAt: now, UpdatedAt: now,
			Version: 1, Sandbox: i == 0,
		}))
	}
	first := admin.get(views.IsolationURL())
	first.expect(t, http.StatusOK, form.Count(page.Rows+1, "workspace")) // with Scratch
	first.expect(t, http.StatusOK, "open 001")
	first.expect(t, http.StatusOK, `rel="next"`)
	if strings.Contains(first.body, item(confined.String())) || strings.Contains(first.body, item(s.workspace)) {
		t.Error("the first page has a workspace with a sandbox, or one of the next page")
	}
	_, rest, _ := strings.Cut(first.body, `<a class="btn btn-small" href="`)
	next, _, _ := strings.Cut(rest, `"`)
	admin.get(next).expect(t, http.StatusOK, item(s.workspace))

	keeper := s.as("Keeper", account.RoleMember)
	s.custom(keeper, "Keeper", account.ManageSettings)
	check(t, db.RemoveMember(t.Context(), s.server.DB, uuid.MustParse(s.workspace), keeper.actor.ID))
	first = keeper.get(views.IsolationURL())
	first.expect(t, http.StatusOK, "You are not a member of any of them")
	if strings.Contains(first.body, "open 001") {
		t.Error("who is a member of none of them learns their names")
	}
}

func TestThePageOfAWorkspaceSaysWhichFilesWouldSteerAgentsAndWhatBecomesOfThem(t *testing.T) {
	s := open(t)
	admin := s.as("Mira", account.RoleAdministrator)
	mine := agent.Provider{ID: "mine", Name: "Mine", Driver: agent.DriverACP, Obeys: []string{".mine", "mine.json"}}
	s.server.Providers = func() []agent.Provider { return append(agent.Catalogue(), mine) }
	for _, sandbox := range []bool{false, true} {
		_, err := s.server.DB.ExecContext(t.Context(), "UPDATE workspaces SET sandbox = ?", sandbox)
		check(t, err)
		page := admin.get(views.WorkspaceURL(s.workspace))
		want := map[bool]string{
			false: "is refused while the repository has one of its files", true: "The sandbox hides these files",
		}[sandbox]
		for _, want := range []string{want, "OpenCode", ">opencode.jsonc<", "Gemini CLI", ">.gemini<", "Mine",
			">.mine<", ">mine.json<"} {
			page.expect(t, http.StatusOK, want)
		}
		if strings.Contains(page.body, ">Claude Code<") {
			t.Error("an agent is listed that obeys none")
		}
	}
	help := admin.get(views.PromisesURL()) // of the same list
	for _, p := range append(agent.Catalogue(), mine) {
		if p.Driver == agent.DriverShell {
			continue
		}
		o := p.Obedience()
		for _, want := range append([]string{p.Name, o.Reads, o.Looks}, o.Obeys...) {
			help.expect(t, http.StatusOK, want)
		}
	}
}

func TestPathsOfTheMachineAreInTheFormOfAWorkspaceAndOnItsPage(t *testing.T) {
	s := open(t)
	boss, manager := s.as("Boss", account.RoleAdministrator), s.as("Manager", account.RoleMember)
	s.custom(manager, "Keeper of workspaces", account.ManageWorkspaces)
	save := func(b *browser, name, version string, more ...string) *answer {
		return b.post(views.WorkspaceURL(s.workspace),
			append([]string{"name", name, "branch", "main", "version", version, "sandbox", "true"}, more...)...)
	}
	save(boss, "Scratch", "1", "shows", "~/.npmrc\nnowhere").expect(t, http.StatusUnprocessableEntity,
		"nowhere is no path below / or ~/.")
	if a := save(boss, "Scratch", "1", "shows", "~/.npmrc\n/opt/tools"); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("saving answered %d", a.StatusCode)
	}
	manager.get(views.WorkspaceURL(s.workspace)).expect(t, http.StatusOK, "~/.npmrc, /opt/tools")
	form := manager.get(views.WorkspaceEditURL(s.workspace))
	form.expect(t, http.StatusOK, "~/.npmrc\n/opt/tools")
	form.expect(t, http.StatusOK, "They can be changed with the permission to change the installation’s settings.")
	if a := save(manager, "Renamed", "2"); a.StatusCode != http.StatusSeeOther { // without the field, which is disabled
		t.Fatalf("saving answered %d", a.StatusCode)
	}
	boss.get(views.WorkspaceURL(s.workspace)).expect(t, http.StatusOK, "~/.npmrc, /opt/tools")
	save(manager, "Renamed", "3", "shows", "~/.ssh").expect(t, http.StatusUnprocessableEntity,
		"installation’s settings")
}
