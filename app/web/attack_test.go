package web_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/api"
	"carillon/app/web/webtest"
	"carillon/db"
)

// patterns are all routes of a site, as method and path.
func patterns(x *webtest.Walk) [][2]string {
	routes := x.Routes
	var list [][2]string
	for _, p := range routes.Patterns() {
		method, path, ok := strings.Cut(p, " ")
		if !ok {
			method, path = http.MethodPost, p
		}
		list = append(list, [2]string{method, path})
	}
	return list
}

func TestEveryWriteRefusesAFormOfAnotherSite(t *testing.T) {
	x := webtest.NewWalk(t)
	admin := x.Who["admin"]
	for _, p := range patterns(x) {
		if p[0] == http.MethodGet || strings.HasPrefix(p[1], "/api/") || strings.HasPrefix(p[1], "/mcp") {
			// these carry a secret of their own
			continue
		}
		path := strings.NewReplacer("{id}", uuid.NewString(), "{token}", "x").Replace(p[1])
		req, err := http.NewRequest(p[0], x.HTTP.URL+path, strings.NewReader(""))
		webtest.Check(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", "https://evil.example")
		if got := admin.Do(req); got.StatusCode != http.StatusForbidden ||
			!strings.Contains(got.Text, "from another site") {
			t.Errorf("%s %s from another site answered %d; want 403", p[0], p[1], got.StatusCode)
		}
	}
}

func TestIDsThatAreNothingAreNotFoundOnEveryRoute(t *testing.T) {
	x := webtest.NewWalk(t)
	admin := x.Who["admin"]
	program := admin.Program()
	bodies := map[string]any{}
	for _, e := range webtest.APIExpectations {
		if e.Form != "" {
			bodies[e.Route] = x.APIForm(e)
		}
	}
	for _, p := range patterns(x) {
		if !strings.Contains(p[1], "{id}") {
			continue
		}
		for _, id := range []string{uuid.NewString(), "1", "nonsense", "00000000-0000-0000-0000-000000000000",
			"%27%20OR%20true--", "..%2f..%2fetc", "{id}"} {
			path := strings.ReplaceAll(p[1], "{id}", id)
			if below, ok := strings.CutPrefix(path, api.Prefix); ok {
				body := bodies[p[0]+" "+strings.TrimPrefix(p[1], api.Prefix)]
				if got := program.Call(p[0], below, body); got.StatusCode != http.StatusNotFound ||
					!strings.Contains(got.Text, `"code":"not_found"`) {
					t.Errorf("%s %s with %q answered %d %s; want 404", p[0], p[1], id, got.StatusCode, got.Text)
				}
				continue
			}
			got := admin.Get(path)
			if p[0] == http.MethodPost {
				// What a form of the route needs before it looks for the thing.
				got = admin.Post(path, "name", "X", "email", "x@example.com", "roles", x.RoleID(account.RoleMember),
					"to", admin.Actor.ID.String(), "user", admin.Actor.ID.String(), "workspace", x.Workspace)
			}
			// Of nobody there are no automations to hand over: that is no mistake.
			if got.StatusCode != http.StatusNotFound && !(p[1] == "/settings/users/{id}/transfer" &&
				got.StatusCode == http.StatusSeeOther) {
				t.Errorf("%s %s with %q answered %d; want 404", p[0], p[1], id, got.StatusCode)
			}
		}
	}
}

func TestFieldsThatAFormDoesNotHaveChangeNothing(t *testing.T) {
	s := webtest.Open(t)
	mira, eve := s.As("Mira", account.RoleMember), s.As("Eve", account.RoleMember)
	extra := []string{
		"id", mira.Actor.ID.String(), "user_id", mira.Actor.ID.String(), "email", "admin@example.com", "role",
		"administrator", "role_id", s.RoleID(account.RoleAdministrator),
		"roles", s.RoleID(account.RoleAdministrator), "permissions", "admin", "deactivated_at", "", "password_hash",
		"x", "creator_id", mira.Actor.ID.String(),
		"creator", mira.Actor.ID.String(), "created_by", mira.Actor.ID.String(), "workspace_id", uuid.NewString(),
		"owner", mira.Actor.ID.String(), "failure_streak", "-5", "iterations", "9",
		"next_run_at", "2000-01-01", "disabled_reason", "x", "created_at", "2000-01-01", "key", "administrator",
		"is_admin", "true",
	}
	eve.Post("/settings/profile", append([]string{"name", "Eve", "time_zone", "UTC", "theme", ""}, extra...)...).
		Expect(t, 303, "")
	for _, who := range []*webtest.Browser{mira, eve} {
		u, err := db.UserByID(t.Context(), s.Server.DB, who.Actor.ID)
		webtest.Check(t, err)
		if u.Name != who.Actor.Name || u.Email != who.Actor.Email || u.RoleName != "Member" || u.PasswordHash != "" ||
			!u.DeactivatedAt.IsZero() {
			t.Errorf("the account of %s became %+v", who.Actor.Name, u)
		}
	}
	form := []string{"name", "Hers", "workspace", s.Workspace, "trigger", "manual", "session_type", "develop", "prompt",
		"Look.", "provider", "agent", "version", "1"}
	made := eve.Post("/automations", append(form, extra...)...)
	made.Expect(t, 303, "")
	automation := uuid.MustParse(strings.TrimPrefix(made.Header.Get("Location"), "/automations/"))
	unchanged := func() {
		t.Helper()
		a, err := db.AutomationByID(t.Context(), s.Server.DB, automation)
		webtest.Check(t, err)
		if a.CreatorID != eve.Actor.ID || a.WorkspaceID.String() != s.Workspace || a.FailureStreak != 0 ||
			a.Iterations != 0 || !a.NextRunAt.IsZero() || a.DisabledReason != "" || a.CreatedAt.Year() == 2000 {
			t.Errorf("the automation became %+v", a)
		}
	}
	unchanged()
	eve.Post("/automations/"+automation.String(), append(form, extra...)...).Expect(t, 303, "")
	unchanged()

	admin := s.As("Ada", account.RoleAdministrator)
	role := admin.Post("/settings/roles", "name", "Crew", "key", "administrator", "id", s.RoleID(account.RoleMember),
		"people", eve.Actor.ID.String()).Header.Get("Location")
	r, err := db.RoleByID(t.Context(), s.Server.DB, uuid.MustParse(strings.TrimPrefix(role, "/settings/roles/")))
	webtest.Check(t, err)
	if r.Key != "" || len(r.Permissions) != 0 {
		t.Errorf("the role became %+v", r)
	}
}

// Somebody of another workspace writes the ids that they guessed into every field that takes one.
func TestIDsOfOtherWorkspacesInFieldsAreRefused(t *testing.T) {
	x := webtest.NewWalk(t)
	eve := x.Who["elsewhere"] // manages everyone's automations, and is no member where these are
	x.Custom(eve, "Chief of elsewhere", account.ManageAll, account.ManageWorkspaces, account.ManageUsers,
		account.ViewAudit, account.ManageBots, account.ManageWorkflows, account.ManageTickets, account.UseShell)
	list, err := db.Workspaces(t.Context(), x.Server.DB, eve.Actor.ID)
	webtest.Check(t, err)
	own := x.AutomationIn(list[0].ID, eve, "manual").ID.String()
	webtest.Check(t, rename(x, own, "Mine"))
	theirs, execution := webtest.Subjects["automation"](x).String(), webtest.Subjects["execution"](x).String()
	session := webtest.Subjects["session"](x).String()
	there := uuid.MustParse(x.Workspace)
	x.Event(db.AuditEvent{
		Action: "automation.update", SubjectName: webtest.Hush + " audited", SubjectID: uuid.MustParse(theirs),
		WorkspaceID: there,
	})

	form := func(workspace string) []string {
		return []string{"name", "Mine", "workspace", workspace, "trigger", "manual", "session_type", "develop",
			"prompt", "Look.", "provider", "agent", "version", "1"}
	}
	const refused = "This workspace does not exist, or you are not a member of it."
	eve.Post("/automations", form(x.Workspace)...).Expect(t, 422, refused)
	eve.Post("/automations/"+own, form(x.Workspace)...).Expect(t, 422, refused)
	eve.Post("/automations/bulk", "do", "delete", "id", theirs).Expect(t, 303, "")
	eve.Post("/automations/bulk", "do", "run", "id", theirs, "id", own).Expect(t, 303, "")
	if _, err := db.AutomationByID(t.Context(), x.Server.DB, uuid.MustParse(theirs)); err != nil {
		t.Errorf("the automation of others is gone: %v", err)
	}
	eve.Post("/automations/"+own+"/transfer", "to", x.Who["owner"].Actor.ID.String()).
		Expect(t, 400, "is not a member of the workspace")
	eve.Post("/settings/users/"+x.Who["owner"].Actor.ID.String()+"/transfer", "to", eve.Actor.ID.String()).
		Expect(t, 303, "")
	a, err := db.AutomationByID(t.Context(), x.Server.DB, uuid.MustParse(theirs))
	webtest.Check(t, err)
	if a.CreatorID != x.Who["owner"].Actor.ID {
		t.Error("the automation of others was handed over")
	}
	eve.Post("/settings/users/"+eve.Actor.ID.String()+"/memberships", "workspace", x.Workspace).Expect(t, 404, "")
	eve.Post("/workspaces/"+x.Workspace+"/members", "user", eve.Actor.ID.String()).Expect(t, 404, "")
	if member, err := db.IsMember(t.Context(), x.Server.DB, there, eve.Actor.ID); err != nil || member {
		t.Errorf("a member by guessing an id: %t, %v", member, err)
	}
	eve.Post("/preferences/workspace", "workspace", x.Workspace, "back", "/automations").Expect(t, 303, "")
	for _, path := range []string{
		"/", "/automations", "/automations?workspace=" + x.Workspace, "/executions?workspace=" + x.Workspace,
		"/executions?automation=" + theirs,
		"/executions?person=" + x.Who["owner"].Actor.ID.String(), "/executions?before=" + execution,
		"/executions?newer=" + execution,
		"/sessions?workspace=" + x.Workspace, "/sessions?automation=" + theirs, "/sessions?before=" + session,
		"/automations/" + own + "?execution=" + execution,
		"/automations/" + own + "?before=" + execution, "/automations/new?from=" + theirs,
		"/automations/new?workspace=" + x.Workspace, "/inbox?automation=" + theirs,
		"/settings/audit?workspace=" + x.Workspace, "/settings/audit?subject=" + theirs,
		"/settings/audit/export/csv?workspace=" + x.Workspace,
		"/settings/users/" + x.Who["owner"].Actor.ID.String(),
	} {
		got := eve.Get(path)
		if strings.Contains(got.Text, webtest.Hush) || got.StatusCode >= 500 {
			t.Errorf("%s answered %d and tells of a workspace of others", path, got.StatusCode)
		}
	}
}

// rename gives an automation a name that may be seen.
func rename(x *webtest.Walk, id, name string) error {
	_, err := x.Server.DB.NewRaw("UPDATE automations SET name = ?, prompt = 'Look.' WHERE id = ?", name, id).
		Exec(x.T.Context())
	return err
}

// Guessers at the sign-in form do not keep the person out, nor do they learn from the waiting whether there is one.
func TestSomebodyWhoGuessesLocksNobodyOut(t *testing.T) {
	s := webtest.Open(t)
	s.Mira()
	next := *s.Server
	next.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	next.Init()
	s.HTTP.Config.Handler = s.HandlerOf(&next)
	from := func(address, email, secret string) *webtest.Answer {
		req, err := http.NewRequest(http.MethodPost, s.HTTP.URL+"/login",
			strings.NewReader("email="+email+"&password="+secret))
		webtest.Check(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("X-Forwarded-For", address)
		return s.Nobody().Do(req)
	}
	for _, email := range []string{"mira@example.com", "nobody@example.com"} {
		for range 10 {
			from("198.51.100.66", email, "wrong password").
				Expect(t, 422, "The e-mail address or the password is wrong.")
		}
		from("198.51.100.66", email, "wrong password").Expect(t, 429, "There were too many attempts.")
	}
	from("192.0.2.10", "mira@example.com", strings.ReplaceAll(webtest.Password, " ", "+")).ExpectTo(t, "/")
}
