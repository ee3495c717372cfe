package web

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/api"
	"carillon/db"
)

// patterns are all routes of a site, as method and path.
func (x *walk) patterns() [][2]string {
	routes := x.routes
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
	x := newWalk(t)
	admin := x.who["admin"]
	for _, p := range x.patterns() {
		if p[0] == http.MethodGet || strings.HasPrefix(p[1], "/api/") || strings.HasPrefix(p[1], "/mcp") {
			// these carry a secret of their own
			continue
		}
		path := strings.NewReplacer("{id}", uuid.NewString(), "{token}", "x").Replace(p[1])
		req, err := http.NewRequest(p[0], x.http.URL+path, strings.NewReader(""))
		check(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", "https://evil.example")
		if got := admin.do(req); got.StatusCode != http.StatusForbidden ||
			!strings.Contains(got.body, "from another site") {
			t.Errorf("%s %s from another site answered %d; want 403", p[0], p[1], got.StatusCode)
		}
	}
}

func TestIDsThatAreNothingAreNotFoundOnEveryRoute(t *testing.T) {
	x := newWalk(t)
	admin := x.who["admin"]
	program := admin.program()
	bodies := map[string]any{}
	for _, e := range apiExpectations {
		if e.form != "" {
			bodies[e.route] = x.apiForm(e)
		}
	}
	for _, p := range x.patterns() {
		if !strings.Contains(p[1], "{id}") {
			continue
		}
		for _, id := range []string{uuid.NewString(), "1", "nonsense", "00000000-0000-0000-0000-000000000000",
			"%27%20OR%20true--", "..%2f..%2fetc", "{id}"} {
			path := strings.ReplaceAll(p[1], "{id}", id)
			if below, ok := strings.CutPrefix(path, api.Prefix); ok {
				body := bodies[p[0]+" "+strings.TrimPrefix(p[1], api.Prefix)]
				if got := program.call(p[0], below, body); got.StatusCode != http.StatusNotFound ||
					!strings.Contains(got.body, `"code":"not_found"`) {
					t.Errorf("%s %s with %q answered %d %s; want 404", p[0], p[1], id, got.StatusCode, got.body)
				}
				continue
			}
			got := admin.get(path)
			if p[0] == http.MethodPost {
				// What a form of the route needs before it looks for the thing.
				got = admin.post(path, "name", "X", "email", "x@example.com", "roles", x.roleID(account.RoleMember),
					"to", admin.actor.ID.String(), "user", admin.actor.ID.String(), "workspace", x.workspace)
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
	s := open(t)
	mira, eve := s.as("Mira", account.RoleMember), s.as("Eve", account.RoleMember)
	extra := []string{
		"id", mira.actor.ID.String(), "user_id", mira.actor.ID.String(), "email", "admin@example.com", "role",
		"administrator", "role_id", s.roleID(account.RoleAdministrator),
		"roles", s.roleID(account.RoleAdministrator), "permissions", "admin", "deactivated_at", "", "password_hash",
		"x", "creator_id", mira.actor.ID.String(),
		"creator", mira.actor.ID.String(), "created_by", mira.actor.ID.String(), "workspace_id", uuid.NewString(),
		"owner", mira.actor.ID.String(), "failure_streak", "-5", "iterations", "9",
		"next_run_at", "2000-01-01", "disabled_reason", "x", "created_at", "2000-01-01", "key", "administrator",
		"is_admin", "true",
	}
	eve.post("/settings/profile", append([]string{"name", "Eve", "time_zone", "UTC", "theme", ""}, extra...)...).
		expect(t, 303, "")
	for _, who := range []*browser{mira, eve} {
		u, err := db.UserByID(t.Context(), s.server.DB, who.actor.ID)
		check(t, err)
		if u.Name != who.actor.Name || u.Email != who.actor.Email || u.RoleName != "Member" || u.PasswordHash != "" ||
			!u.DeactivatedAt.IsZero() {
			t.Errorf("the account of %s became %+v", who.actor.Name, u)
		}
	}
	form := []string{"name", "Hers", "workspace", s.workspace, "trigger", "manual", "session_type", "develop", "prompt",
		"Look.", "provider", "agent", "version", "1"}
	made := eve.post("/automations", append(form, extra...)...)
	made.expect(t, 303, "")
	automation := uuid.MustParse(strings.TrimPrefix(made.Header.Get("Location"), "/automations/"))
	unchanged := func() {
		t.Helper()
		a, err := db.AutomationByID(t.Context(), s.server.DB, automation)
		check(t, err)
		if a.CreatorID != eve.actor.ID || a.WorkspaceID.String() != s.workspace || a.FailureStreak != 0 ||
			a.Iterations != 0 || !a.NextRunAt.IsZero() || a.DisabledReason != "" || a.CreatedAt.Year() == 2000 {
			t.Errorf("the automation became %+v", a)
		}
	}
	unchanged()
	eve.post("/automations/"+automation.String(), append(form, extra...)...).expect(t, 303, "")
	unchanged()

	admin := s.as("Ada", account.RoleAdministrator)
	role := admin.post("/settings/roles", "name", "Crew", "key", "administrator", "id", s.roleID(account.RoleMember),
		"people", eve.actor.ID.String()).Header.Get("Location")
	r, err := db.RoleByID(t.Context(), s.server.DB, uuid.MustParse(strings.TrimPrefix(role, "/settings/roles/")))
	check(t, err)
	if r.Key != "" || len(r.Permissions) != 0 {
		t.Errorf("the role became %+v", r)
	}
}

// Somebody of another workspace writes the ids that they guessed into every field that takes one.
func TestIDsOfOtherWorkspacesInFieldsAreRefused(t *testing.T) {
	x := newWalk(t)
	eve := x.who["elsewhere"] // manages everyone's automations, and is no member where these are
	x.custom(eve, "Chief of elsewhere", account.ManageAll, account.ManageWorkspaces, account.ManageUsers,
		account.ViewAudit, account.ManageBots, account.ManageWorkflows, account.ManageTickets, account.UseShell)
	list, err := db.Workspaces(t.Context(), x.server.DB, eve.actor.ID)
	check(t, err)
	own := x.automationIn(list[0].ID, eve, "manual").ID.String()
	check(t, x.rename(own, "Mine"))
	theirs, execution := subjects["automation"](x).String(), subjects["execution"](x).String()
	session := subjects["session"](x).String()
	there := uuid.MustParse(x.workspace)
	x.event(db.AuditEvent{
		Action: "automation.update", SubjectName: hush + " audited", SubjectID: uuid.MustParse(theirs),
		WorkspaceID: there,
	})

	form := func(workspace string) []string {
		return []string{"name", "Mine", "workspace", workspace, "trigger", "manual", "session_type", "develop",
			"prompt", "Look.", "provider", "agent", "version", "1"}
	}
	const refused = "This workspace does not exist, or you are not a member of it."
	eve.post("/automations", form(x.workspace)...).expect(t, 422, refused)
	eve.post("/automations/"+own, form(x.workspace)...).expect(t, 422, refused)
	eve.post("/automations/bulk", "do", "delete", "id", theirs).expect(t, 303, "")
	eve.post("/automations/bulk", "do", "run", "id", theirs, "id", own).expect(t, 303, "")
	if _, err := db.AutomationByID(t.Context(), x.server.DB, uuid.MustParse(theirs)); err != nil {
		t.Errorf("the automation of others is gone: %v", err)
	}
	eve.post("/automations/"+own+"/transfer", "to", x.who["owner"].actor.ID.String()).
		expect(t, 400, "is not a member of the workspace")
	eve.post("/settings/users/"+x.who["owner"].actor.ID.String()+"/transfer", "to", eve.actor.ID.String()).
		expect(t, 303, "")
	a, err := db.AutomationByID(t.Context(), x.server.DB, uuid.MustParse(theirs))
	check(t, err)
	if a.CreatorID != x.who["owner"].actor.ID {
		t.Error("the automation of others was handed over")
	}
	eve.post("/settings/users/"+eve.actor.ID.String()+"/memberships", "workspace", x.workspace).expect(t, 404, "")
	eve.post("/workspaces/"+x.workspace+"/members", "user", eve.actor.ID.String()).expect(t, 404, "")
	if member, err := db.IsMember(t.Context(), x.server.DB, there, eve.actor.ID); err != nil || member {
		t.Errorf("a member by guessing an id: %t, %v", member, err)
	}
	eve.post("/preferences/workspace", "workspace", x.workspace, "back", "/automations").expect(t, 303, "")
	for _, path := range []string{
		"/", "/automations", "/automations?workspace=" + x.workspace, "/executions?workspace=" + x.workspace,
		"/executions?automation=" + theirs,
		"/executions?person=" + x.who["owner"].actor.ID.String(), "/executions?before=" + execution,
		"/executions?newer=" + execution,
		"/sessions?workspace=" + x.workspace, "/sessions?automation=" + theirs, "/sessions?before=" + session,
		"/automations/" + own + "?execution=" + execution,
		"/automations/" + own + "?before=" + execution, "/automations/new?from=" + theirs,
		"/automations/new?workspace=" + x.workspace, "/inbox?automation=" + theirs,
		"/settings/audit?workspace=" + x.workspace, "/settings/audit?subject=" + theirs,
		"/settings/audit/export/csv?workspace=" + x.workspace,
		"/settings/users/" + x.who["owner"].actor.ID.String(),
	} {
		got := eve.get(path)
		if strings.Contains(got.body, hush) || got.StatusCode >= 500 {
			t.Errorf("%s answered %d and tells of a workspace of others", path, got.StatusCode)
		}
	}
}

// rename gives an automation a name that may be seen.
func (x *walk) rename(id, name string) error {
	_, err := x.server.DB.NewRaw("UPDATE automations SET name = ?, prompt = 'Look.' WHERE id = ?", name, id).
		Exec(x.t.Context())
	return err
}

// Guessers at the sign-in form do not keep the person out, nor do they learn from the waiting whether there is one.
func TestSomebodyWhoGuessesLocksNobodyOut(t *testing.T) {
	s := open(t)
	s.mira()
	next := *s.server
	next.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	next.Init()
	s.http.Config.Handler = s.handlerOf(&next)
	from := func(address, email, secret string) *answer {
		req, err := http.NewRequest(http.MethodPost, s.http.URL+"/login",
			strings.NewReader("email="+email+"&password="+secret))
		check(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("X-Forwarded-For", address)
		return s.nobody().do(req)
	}
	for _, email := range []string{"mira@example.com", "nobody@example.com"} {
		for range 10 {
			from("198.51.100.66", email, "wrong password").
				expect(t, 422, "The e-mail address or the password is wrong.")
		}
		from("198.51.100.66", email, "wrong password").expect(t, 429, "There were too many attempts.")
	}
	from("192.0.2.10", "mira@example.com", strings.ReplaceAll(password, " ", "+")).expectTo(t, "/")
}
