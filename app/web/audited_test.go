package web_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/middleware"
	"carillon/app/provider"
	"carillon/app/spec"
	"carillon/app/web/webtest"
	"carillon/db"
)

// audited is a change of configuration by a form: what it is called in the audit log, and whether that has what was
// there before and what is there after. Subject and form are those of an expectation.
type audited struct {
	route, subject, form, action string
	before, after                bool
}

const (
	automationForm = "name=Other&workspace=WORKSPACE&trigger=manual&session_type=develop" +
		"&prompt=Look.&provider=agent&version=1"
	workflowForm  = "name=Other&step_kind=message&step_text=Look.&version=1"
	botForm       = "name=Other&instructions=Look.&enabled=true&version=1"
	ticketForm    = "workspace=WORKSPACE&title=Other&version=1"
	workspaceForm = "name=Other&url=https://git.example.com/a/b.git&branch=main&version=1"
)

// changes has a line for every form that changes configuration. That is what decides who may do what, what runs, when
// and with what; and what people have chosen for themselves.
var changes = []audited{
	{"POST /automations", "", automationForm, "automation.create", false, true},
	{"POST /automations/bulk", "automation", "do=disable&id=SUBJECT", "automation.disable", true, true},
	{"POST /automations/{id}", "automation", automationForm, "automation.update", true, true},
	{"POST /automations/{id}/enabled", "automation", "enabled=false", "automation.disable", true, true},
	{"POST /automations/{id}/token", "hook", "", "automation.regenerate", false, false},
	{"POST /automations/{id}/offer", "offered", "answer=withdraw", "automation.withdraw_offer", true, false},
	{"POST /automations/{id}/transfer", "automation", "to=MANAGER", "automation.transfer", true, true},
	{"POST /automations/{id}/deletion", "automation", "", "automation.delete", true, false},
	{"POST /automations/{id}/budget/run.turns", "budgeted", "", "automation.update", true, true},

	{"POST /sessions/{id}/pull-request", "waiting", "url=https://github.com/a/b/pull/1", "session.link_pull_request",
		false, true},
	{"POST /sessions/{id}/pull-request-removal", "waiting", "id=PULL", "session.unlink_pull_request", false, true},

	{"POST /tickets", "", ticketForm, "ticket.create", false, true},
	{"POST /tickets/{id}", "ticket", ticketForm, "ticket.update", true, true},
	{"POST /tickets/{id}/status", "ticket", "status=done", "ticket.update", true, true},

	{"POST /workflows", "", workflowForm, "workflow.create", false, true},
	{"POST /workflows/{id}", "workflow", workflowForm, "workflow.update", true, true},
	{"POST /workflows/{id}/copies", "workflow", "", "workflow.create", false, true},
	{"POST /workflows/{id}/deletion", "workflow", "", "workflow.delete", true, false},

	{"POST /bots", "", botForm, "bot.create", false, true},
	{"POST /bots/{id}", "bot", botForm, "bot.update", true, true},
	{"POST /bots/{id}/deletion", "bot", "", "bot.delete", true, false},

	{"POST /workspaces", "", workspaceForm, "workspace.create", false, true},
	{"POST /workspaces/{id}", "workspace", strings.Replace(workspaceForm, "Other", "Another+one", 1),
		"workspace.update", true, true},
	{"POST /workspaces/{id}/members", "workspace", "user=ADMIN", "workspace.add_member", false, true},
	{"POST /workspaces/{id}/removal", "workspace", "user=OWNER", "workspace.remove_member", true, false},
	{"POST /workspaces/{id}/deletion", "workspace", "", "workspace.remove", true, false},

	{"POST /settings/profile", "", "name=Ada&time_zone=Europe/Paris&theme=dark", "user.update_profile", true, true},
	{"POST /settings/profile/password", "", "current=" + "correct+horse+battery" + "&password=another+horse+battery",
		"user.change_password", false, false},
	{"POST /settings/profile/notices", "", "webhook=https://203.0.113.9/x", "user.update_notices", true, true},
	{"POST /settings/profile/webhook-secret", "", "", "user.renew_webhook_secret", false, false},
	{"POST /settings/profile/sign-outs", "", "", "user.end_other_logins", false, false},
	{"POST /settings/profile/sign-outs/{id}", "own login", "", "user.end_login", false, false},
	{"POST /settings/tokens", "", "name=CI&days=7", "token.create", false, true},
	{"POST /settings/tokens/{id}/revocation", "own token", "", "token.revoke", true, false},
	{"POST /preferences/theme", "", "theme=light", "user.update_profile", true, true},

	{"POST /settings/toggles", "", "edge_cases=Mind+the+gap.", "setting.update", true, true},
	{"POST /settings/toggles/edge_cases/reset", "", "", "setting.update", true, true},
	{"POST /settings/providers", "", "name=Yours&command=mine", "provider.create", false, true},
	{"POST /settings/providers/mine", "", "name=Theirs&command=theirs", "provider.update", true, true},
	{"POST /settings/providers/{provider}/enabled", "", "enabled=false", "provider.disable", true, true},
	{"POST /settings/providers/{provider}/models", "", "models=x", "provider.models", true, true},
	{"POST /settings/providers/shell/trial", "", "", "provider.test", false, false},
	{"POST /settings/providers/shell/resumption", "", "", "provider.resume", false, false},
	{"POST /settings/providers/mine/deletion", "", "", "provider.delete", true, false},

	{"POST /settings/users", "", "email=new@example.com&name=New&roles=ROLE", "user.create", false, true},
	{"POST /settings/users/{id}", "user", "email=other@example.com&name=Other", "user.update", true, true},
	{"POST /settings/users/{id}/roles", "user", "roles=ROLEOFMANAGER", "user.set_roles", true, true},
	{"POST /settings/users/{id}/invitation", "invited", "", "user.invite", false, false},
	{"POST /settings/users/{id}/reset", "user", "", "user.reset_password", false, true},
	{"POST /settings/users/{id}/address", "readdressed", "", "user.ask_address", false, true},
	{"POST /settings/users/{id}/deactivation", "user", "", "user.deactivate", true, true},
	{"POST /settings/users/{id}/activation", "gone", "", "user.activate", true, true},
	{"POST /settings/users/{id}/unlinking", "linked", "", "user.unlink_identities", true, false},
	{"POST /settings/users/{id}/token-revocation", "with token", "", "user.revoke_tokens", true, false},
	{"POST /settings/users/{id}/memberships", "user", "workspace=WORKSPACE", "workspace.add_member", false, true},
	{"POST /settings/users/{id}/transfer", "creator", "to=MANAGER", "automation.transfer", true, true},

	{"POST /settings/roles", "", "name=Crew&permissions=bots.manage", "role.create", false, true},
	{"POST /settings/roles/{id}", "role", "name=Team&permissions=bots.manage&version=1", "role.update", true, true},
	{"POST /settings/roles/{id}/deletion", "role", "", "role.delete", true, false},
}

// unchanging are the other forms, with what they do instead.
var unchanging = map[string]string{
	"/api/automations/http-trigger":         "starts a run, which is in the history",
	"/api/automations/http-trigger/{token}": "the same",
	"/api/automations/http-trigger/{$}":     "the same",
	"/api/forges/{kind}/{workspace}":        "tells of a pull request", "/api/v1/": "nothing",
	"/mcp":        "calls the operations of the forms",
	"POST /login": "signs in", "POST /logout": "signs out", "POST /setup": "makes the first administrator, once",
	"POST /join/{token}": "is done by nobody who has signed in yet",

	"POST /automations/placeholders": "shows", "POST /automations/{id}/trial": "shows",
	"POST /automations/{id}/runs":                          "starts a run, which is in the history",
	"POST /automations/{id}/deliveries/{delivery}/replays": "the same", "POST /executions/{id}/repetitions": "the same",
	"POST /executions/{id}/cancellation": "ends a run, which is in the history", "POST /sessions/{id}/stop": "the same",
	"POST /sessions/{id}/completion": "is work, not configuration", "POST /sessions/{id}/reopening": "the same",
	"POST /sessions/{id}/messages":                      "the same",
	"POST /sessions/{id}/relocation":                    "is in the audit log, where a worker is given up",
	"POST /sessions/{id}/messages/{message}/withdrawal": "the same", "POST /sessions/{id}/interruption": "the same",
	"POST /sessions/{id}/context":       "the same",
	"POST /sessions/{id}/pull-requests": "opens one at the forge, where it is seen",
	"POST /sessions/{id}/tickets":       "is work, not configuration", "POST /tickets/{id}/unlinking": "the same",
	"POST /inbox/reading": "reads", "POST /inbox/{id}/reading": "reads", "POST /inbox/{id}/star": "reads",
	"POST /inbox/{id}/dismissal":  "reads",
	"POST /workspaces/{id}/check": "looks", "POST /preferences/workspace": "chooses what this browser shows",
}

func TestEveryRouteThatChangesConfigurationIsInTheAuditLog(t *testing.T) {
	x := webtest.NewWalk(t)
	x.Server.Accounts.Keys, x.Server.Accounts.Outbound.Private = x.Server.Keys, true
	admin := x.Who["admin"]
	ada := admin.Actor.ID
	hash, err := db.UserByID(t.Context(), x.Server.DB, passworded(x))
	webtest.Check(t, err)
	webtest.Check(t, db.SetPasswordHash(t.Context(), x.Server.DB, ada, hash.PasswordHash, hash.UpdatedAt))
	x.Rules.Providers.List = func() []provider.Provider {
		return []provider.Provider{{ID: "shell", Name: "Shell script", Script: true}, {ID: "agent", Name: "Agent"},
			{ID: "mine", Name: "Mine"}}
	}
	x.Server.Providers = func() []agent.Provider {
		return []agent.Provider{{ID: "shell", Name: "Shell script", Driver: agent.DriverShell},
			{ID: "agent", Name: "Agent"}, {ID: "mine", Name: "Mine"}}
	}
	webtest.Check(t, x.Server.DB.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		p, err := db.LockProviders(ctx, tx)
		webtest.Check(t, err)
		p.Own = []db.OwnProvider{{ID: "mine", Name: "Mine", Command: []string{"mine"}}}
		return db.SaveProviders(ctx, tx, p, time.Now())
	}))
	admin.Exec("INSERT INTO provider_pauses (provider, since, until, failed_at, failures, error_class, reason) " +
		"VALUES ('shell', now(), now() + interval '1 hour', now(), 1, 'auth', 'No key')")
	routes := x.Routes
	tested := map[string]bool{}
	for _, c := range changes {
		seen := x.Lines(ada)
		answered, body := ask(x, "admin", expectation{route: c.route, subject: c.subject, form: c.form})
		i := slices.IndexFunc(x.Lines(ada), func(e db.AuditEvent) bool {
			return e.Action == c.action && !slices.ContainsFunc(seen, func(old db.AuditEvent) bool {
				return old.ID == e.ID
			})
		})
		if i < 0 {
			t.Errorf("%s answered %s and left no line %s of whom it was asked by: %.200s", c.route, answered, c.action,
				body)
		} else if e := x.Lines(ada)[i]; e.Address != "127.0.0.1" || e.SubjectName == "" ||
			(e.Before != nil) != c.before || (e.After != nil) != c.after {
			t.Errorf("%s left the line %+v; want from where, of what, before: %t, after: %t", c.route, e, c.before,
				c.after)
		}
		tested[patternOf(t, routes, c.route)] = true
	}
	for _, pattern := range routes.Patterns() {
		method, _, ok := strings.Cut(pattern, " ")
		if ok && method == http.MethodGet || webtest.IsAPIPattern(pattern) { // of the API see apiLines
			continue
		}
		_, other := unchanging[pattern]
		if other == tested[pattern] {
			t.Errorf("%s must be either among the changes of configuration, with the line that it leaves in the "+
				"audit log, or among the forms that change none", pattern)
		}
	}
}

// patternOf is the route that answers an address.
func patternOf(t *testing.T, routes *middleware.Routes, route string) string {
	t.Helper()
	method, path, _ := strings.Cut(route, " ")
	req, err := http.NewRequest(method, "http://x"+strings.NewReplacer("{", "", "}", "").Replace(path), nil)
	webtest.Check(t, err)
	_, pattern := routes.Handler(req)
	return pattern
}

// passworded is a person who has the password of the other tests.
func passworded(x *webtest.Walk) uuid.UUID {
	x.T.Helper()
	u, err := x.Server.Accounts.Add(x.T.Context(), nil,
		account.NewUser{
			Email: "with@example.com", Name: "With a password", Password: "correct horse battery",
			Role: account.RoleMember,
		})
	webtest.Check(x.T, err)
	return u.ID
}

func TestRefusalsThatAreNoErrorAreInTheAuditLogToo(t *testing.T) {
	x := webtest.NewWalk(t)
	eve, viewer := x.Who["elsewhere"], x.Who["viewer"]
	theirs := webtest.Subjects["automation"](x)
	own := db.NewID()
	mine, err := db.Workspaces(t.Context(), x.Server.DB, eve.Actor.ID)
	webtest.Check(t, err)
	x.Custom(eve, "Without the shell", account.ManageAll, account.ManageTickets)
	script := []string{"name", "A", "workspace", mine[0].ID.String(), "trigger", "manual", "session_type", "develop",
		"version", "1"}
	session := x.Server.Rules
	for _, c := range []struct {
		name, want string
		who        *webtest.Browser
		do         func()
	}{
		{"a page of others", "is no member of the workspace", eve, func() {
			eve.Get("/automations/"+theirs.String()).Expect(t, 404, "")
		}},
		{"a bulk action", "may not change one of the automations", viewer, func() {
			viewer.Post("/automations/bulk", "do", "delete", "id", theirs.String())
		}},
		{"a bulk action elsewhere", "is no member of the workspace", eve, func() {
			eve.Post("/automations/bulk", "do", "delete", "id", theirs.String())
		}},
		{"a field of a form", "is no member of the workspace", eve, func() {
			eve.Post("/tickets", "title", "X", "workspace", x.Workspace).Expect(t, 422, "")
		}},
		{"a shell script", "may not run commands on a worker", eve, func() {
			eve.Post("/automations", append([]string{"provider", "shell", "prompt", "true"}, script...)...).
				Expect(t, 422, "")
		}},
		{"a command of a gate", "may not run commands on a worker", eve, func() {
			eve.Post("/automations", append([]string{"provider", "agent", "prompt", "x", "gate_command", "true"},
				script...)...).Expect(t, 422, "")
		}},
		{"an address that is nothing", "", eve, func() { eve.Get("/automations/"+own.String()).Expect(t, 404, "") }},
		{"a tool", "a session has no other workspace than its own", x.Who["owner"], func() {
			w := x.Who["owner"].Agent(func(in *automation.Input) { in.MayAutomate = true })
			other, _, err := session.Definitions().Create(t.Context(), x.Who["elsewhere"].Actor,
				automation.Input{Automation: spec.Automation{
					TimeoutMinutes: 360,
					Name:           "Other",
					Workspace:      mine[0].ID.String(),
					Trigger:        "manual",
					SessionType:    "develop",
					Prompt:         "Look.",
					Provider:       "agent",
					Retries:        2,
				}})
			webtest.Check(t, err)
			x.Refused(x.Tool(w.Token), "read_automation", map[string]any{"automation": other.ID.String()},
				"may not be seen")
		}},
		{"a tool without the permission", "lacks the permission for the tool create_ticket", viewer, func() {
			x.Bearers.Person = bearerOf(viewer.Actor)
			x.Refused(x.Tool("carillon_x"), "create_ticket", map[string]any{"title": "X", "workspace": x.Workspace},
				"may not")
		}},
	} {
		seen := len(x.Lines(c.who.Actor.ID))
		c.do()
		var got []string
		for _, e := range x.Lines(c.who.Actor.ID)[:len(x.Lines(c.who.Actor.ID))-seen] {
			if e.Action == "permission.denied" && e.Address == "127.0.0.1" {
				got = append(got, e.Reason)
			}
		}
		if strings.Join(got, "; ") != c.want {
			t.Errorf("%s left the refusals %q; want %q", c.name, got, c.want)
		}
	}
}

// bearerOf lets every token stand for a person.
func bearerOf(actor account.Actor) func(context.Context, string) (account.Actor, error) {
	return func(context.Context, string) (account.Actor, error) { return actor, nil }
}
