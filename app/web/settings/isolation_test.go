package settings_test

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
	"carillon/app/web/webtest"
	"carillon/db"
	"carillon/views"
)

func TestThePageOfIsolationSaysWhatHoldsOnEachMachine(t *testing.T) {
	s := webtest.Open(t)
	admin := s.As("Mira", account.RoleAdministrator)
	page := admin.Get(views.IsolationURL())
	page.Expect(t, http.StatusOK, "No worker is running")
	page.Expect(t, http.StatusOK, "Scratch") // which has no sandbox

	all := db.Machine{
		Roles: []string{"worker"}, Bubblewrap: "0.8.0", Namespace: db.NamespaceClosed, CountsLimits: true,
		Processes: 2000,
	}
	none := db.Machine{Roles: []string{"worker"}, Root: true, NoSandbox: "bubblewrap (bwrap) is not " +
		"installed", Logs: []string{"log_statement = all"}}
	s.Server.Providers = func() []agent.Provider { return agent.Catalogue() }
	s.Server.Workers = func() []db.Worker {
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
	webtest.Check(t, db.SaveServer(t.Context(), s.Server.DB, &db.Server{
		ID: "w", Name: "front", SeenAt: time.Now(), Machine: db.Machine{Roles: []string{"web"}, OwnDatabase: true},
	}))
	webtest.Check(t, db.SaveServer(t.Context(), s.Server.DB,
		&db.Server{ID: "x", Name: "long-gone", SeenAt: time.Now().Add(-time.Hour)}))
	page = admin.Get(views.IsolationURL())
	for _, want := range []string{
		"forge-1", "runs agents", "Sandboxes work", "At most 2000", "<strong>Codex 0.171.0:</strong>", "It runs " +
			"commands in a sandbox of its own",
		"forge-2", "runs as root", "No sandbox can be had: bubblewrap (bwrap) is not installed", "Install the " +
			"package bubblewrap.", "log_statement = all",
		"No agent is installed", "forge-3", "There is no report from this machine yet", "front", "serves pages",
		"The embedded PostgreSQL",
	} {
		page.Expect(t, http.StatusOK, want)
	}
	for _, hidden := range []string{"long-gone", "Qwen Code", "Shell script"} {
		if strings.Contains(page.Text, hidden) {
			t.Errorf("the page has %q", hidden)
		}
	}
	s.As("Jonas", account.RoleManager).Get(views.IsolationURL()).Expect(t, http.StatusForbidden, "")
}

func TestWorkspacesWithoutASandboxAreListedByPagesToWhoMaySeeThem(t *testing.T) {
	s := webtest.Open(t)
	admin := s.As("Mira", account.RoleAdministrator)
	item := func(id string) string { return fmt.Sprintf(`item" href="%s"`, views.WorkspaceURL(id)) }
	confined := db.NewID()
	for i := range page.Rows + 1 {
		now, id := time.Now(), db.NewID()
		if i == 0 {
			id = confined
		}
		webtest.Check(t, db.InsertWorkspace(t.Context(), s.Server.DB, &db.Workspace{
			ID: id, Name: fmt.Sprintf("open %03d", i), DefaultBranch: "main", CreatedAt: now, UpdatedAt: now,
			Version: 1, Sandbox: i == 0,
		}))
	}
	first := admin.Get(views.IsolationURL())
	first.Expect(t, http.StatusOK, form.Count(page.Rows+1, "workspace")) // with Scratch
	first.Expect(t, http.StatusOK, "open 001")
	first.Expect(t, http.StatusOK, `rel="next"`)
	if strings.Contains(first.Text, item(confined.String())) || strings.Contains(first.Text, item(s.Workspace)) {
		t.Error("the first page has a workspace with a sandbox, or one of the next page")
	}
	_, rest, _ := strings.Cut(first.Text, `<a class="btn btn-small" href="`)
	next, _, _ := strings.Cut(rest, `"`)
	admin.Get(next).Expect(t, http.StatusOK, item(s.Workspace))

	keeper := s.As("Keeper", account.RoleMember)
	s.Custom(keeper, "Keeper", account.ManageSettings)
	webtest.Check(t, db.RemoveMember(t.Context(), s.Server.DB, uuid.MustParse(s.Workspace), keeper.Actor.ID))
	first = keeper.Get(views.IsolationURL())
	first.Expect(t, http.StatusOK, "You are not a member of any of them")
	if strings.Contains(first.Text, "open 001") {
		t.Error("who is a member of none of them learns their names")
	}
}
