package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"golang.org/x/time/rate"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/inbox"
	"carillon/app/middleware"
	"carillon/app/spec"
	"carillon/app/ticket"
	"carillon/app/workflow"
	"carillon/db"
)

// expectation is what a route answers to each kind of person. Subject names what the {id} of its path stands for, made
// by the owner in a workspace of which the viewer, the owner and the manager are members; form is what is posted, so
// that who is let through gets past the checks of the form, or at least to them.
//
// Answers are statuses in the order of people, or "login", which is to be asked to sign in. Somebody deactivated is
// answered as nobody.
type expectation struct{ route, subject, form, answers string }

// people are who tries every route, in the order of the answers:
//
//	nobody     has not signed in
//	viewer     is a member of the workspace, sees everyone's automations and may do nothing else
//	owner      has the role Member, and made the thing
//	manager    has the role Manager: everyone's automations
//	outsider   has the role Manager and is a member of no workspace
//	elsewhere  has the role Manager and is a member of another workspace, whose ids they know; these they guess
//	admin      has the role Administrator
var people = []string{"nobody", "viewer", "owner", "manager", "outsider", "elsewhere", "admin"}

// Answers that many routes have.
const (
	forAll      = "200 200 200 200 200 200 200"
	nowhere     = "404 404 404 404 404 404 404"
	withSecret  = "401 401 401 401 401 401 401" // takes a secret of its own, and no cookie
	forSignedIn = "login 200 200 200 200 200 200"
	bySignedIn  = "login 303 303 303 303 303 303"
	// the form posted has mistakes, which only who is let through is told of
	wrongForSignedIn = "login 422 422 422 422 422 422"
	seen             = "login 200 200 200 404 404 200"
	managed          = "login 403 303 303 404 404 303"
	noneOfIt         = "login 403 404 404 404 404 404" // who may manage it finds that it has no such thing
	forManaging      = "login 403 200 200 404 404 200"
	byOwnerAlone     = "login 404 303 404 404 404 404" // what is a person's own, such as a notice
	forAdmin         = "login 403 403 403 403 403 200"
	byAdmin          = "login 403 403 403 403 403 303"
	// of a workspace: who is no member does not learn that it is there
	byAdminInside = "login 403 403 403 404 404 303"
	wrongForAdmin = "login 403 403 403 403 403 422"
)

// expectations has a line for every route there is.
var expectations = []expectation{
	{"GET /static/", "", "", nowhere},
	{"GET /healthz", "", "", forAll},
	{"GET /readyz", "", "", forAll},
	{"GET /metrics", "", "", forAll},
	{"GET /gallery", "", "", forSignedIn},

	{"/api/automations/http-trigger", "", "", withSecret},
	{"/api/automations/http-trigger/{token}", "", "", withSecret},
	{"/api/automations/http-trigger/{$}", "", "", withSecret},
	{"/api/forges/{kind}/{workspace}", "", "", withSecret},
	{"GET /api/v1/openapi.json", "", "", forAll},
	{"/api/v1/", "", "", nowhere}, // each route of the API is in apiExpectations
	{"/mcp", "", "", withSecret},

	{"GET /login", "", "", "200 303 303 303 303 303 303"},
	{"POST /login", "", "", "422 422 422 422 422 422 422"},
	{"GET /login/sso", "", "", "login login login login login login login"}, // where none is set up
	{"GET /login/sso/callback", "", "", "login login login login login login login"},
	{"GET /setup", "", "", nowhere},
	{"POST /setup", "", "", nowhere},
	{"POST /logout", "", "", "login login login login login login login"},

	{"GET /{$}", "", "", forSignedIn},
	{"GET /overview/now", "", "", forSignedIn},

	{"GET /automations", "", "", forSignedIn},
	{"POST /automations", "", "", "login 403 422 422 422 422 422"},
	{"GET /automations/new", "", "", "login 403 200 200 200 200 200"},
	{"POST /automations/bulk", "", "do=run&id=x", bySignedIn},
	{"GET /automations/schedule", "", "", forSignedIn},
	{"GET /automations/moment", "", "", forSignedIn},
	{"POST /automations/placeholders", "", "", forSignedIn},
	{"GET /automations/models", "", "", forSignedIn},
	{"GET /automations/parameters", "", "", forSignedIn},
	{"GET /automations/{id}", "automation", "", seen},
	{"POST /automations/{id}", "automation", "version=1", "login 403 422 422 404 404 422"},
	{"GET /automations/{id}/settings", "automation", "", seen},
	{"GET /automations/{id}/edit", "automation", "", forManaging},
	{"GET /automations/{id}/row", "automation", "", seen},
	{"GET /automations/{id}/runs", "automation", "", forManaging},
	{"POST /automations/{id}/runs", "automation", "", managed},
	{"POST /automations/{id}/enabled", "automation", "enabled=false", managed},
	{"POST /automations/{id}/token", "hook", "", managed},
	{"POST /automations/{id}/transfer", "automation", "to=MANAGER", "login 403 303 303 404 404 303"},
	{"POST /automations/{id}/offer", "offered", "answer=accept&version=1", "login 404 404 303 404 404 404"},
	{"GET /automations/{id}/deliveries", "hook", "", forManaging},
	{"GET /automations/{id}/deliveries/{delivery}", "hook", "", noneOfIt},
	{"POST /automations/{id}/deliveries/{delivery}/replays", "hook", "", noneOfIt},
	{"GET /automations/{id}/trial", "hook", "", noneOfIt},
	{"POST /automations/{id}/trial", "hook", "", noneOfIt},
	{"POST /automations/{id}/deletion", "automation", "", managed},
	// it has no limit of this name
	{"POST /automations/{id}/budget/{limit}", "automation", "", "login 403 404 404 404 404 404"},

	{"GET /executions", "", "", forSignedIn},
	{"GET /executions/{id}", "execution", "", seen},
	{"GET /executions/{id}/row", "execution", "", seen},
	{"POST /executions/{id}/repetitions", "execution", "", "login 403 409 409 404 404 409"}, // it is in flight
	{"POST /executions/{id}/cancellation", "execution", "", managed},

	{"GET /sessions", "", "", forSignedIn},
	{"GET /sessions/{id}", "session", "", seen},
	{"GET /sessions/{id}/row", "session", "", seen},
	{"GET /sessions/{id}/head", "session", "", seen},
	{"GET /sessions/{id}/changes", "session", "", seen},
	{"GET /sessions/{id}/stream", "session", "", seen},
	{"POST /sessions/{id}/stop", "session", "", managed},
	{"POST /sessions/{id}/completion", "waiting", "", managed},
	{"POST /sessions/{id}/reopening", "closed", "", managed},
	{"POST /sessions/{id}/relocation", "session", "", "login 403 403 403 404 404 400"}, // it waits for no worker
	{"POST /sessions/{id}/messages", "waiting", "message=go+on", managed},
	{"POST /sessions/{id}/messages/{message}/withdrawal", "waiting", "", managed},
	{"POST /sessions/{id}/interruption", "session", "", managed},
	{"POST /sessions/{id}/context", "waiting", "", managed},
	{"GET /sessions/{id}/queued", "session", "", seen},
	{"GET /sessions/{id}/pulls", "session", "", seen},
	{"GET /sessions/{id}/steps", "session", "", seen},
	{"GET /sessions/{id}/events.ndjson", "session", "", seen},
	{"POST /sessions/{id}/pull-request", "waiting", "url=https://github.com/a/b/pull/1", managed},
	{"POST /sessions/{id}/pull-request-removal", "waiting", "id=PULL", managed},
	{"POST /sessions/{id}/pull-requests", "waiting", "", "login 403 400 400 404 404 400"},

	{"GET /sessions/{id}/tickets", "session", "", seen},
	{"POST /sessions/{id}/tickets", "session", "ticket=TICKET", managed},

	{"GET /workflows", "", "", forSignedIn},
	{"POST /workflows", "", "", "login 403 403 422 422 422 422"},
	{"GET /workflows/new", "", "", "login 403 403 200 200 200 200"},
	{"GET /workflows/{id}", "workflow", "", seen},
	{"POST /workflows/{id}", "workflow", "version=1", "login 403 403 422 404 404 422"},
	{"GET /workflows/{id}/edit", "workflow", "", "login 403 403 200 404 404 200"},
	{"POST /workflows/{id}/copies", "workflow", "", "login 403 403 303 404 404 303"},
	{"POST /workflows/{id}/deletion", "workflow", "", "login 403 403 303 404 404 303"},

	{"GET /tickets", "", "", forSignedIn},
	{"POST /tickets", "", "", "login 403 422 422 422 422 422"},
	{"GET /tickets/new", "", "", "login 403 200 200 200 200 200"},
	{"GET /tickets/assignees", "", "", forSignedIn},
	{"GET /tickets/{id}", "ticket", "", seen},
	{"POST /tickets/{id}", "ticket", "version=1", "login 403 422 422 404 404 422"},
	{"GET /tickets/{id}/edit", "ticket", "", forManaging},
	{"POST /tickets/{id}/status", "ticket", "status=done", managed},
	{"POST /tickets/{id}/unlinking", "ticket", "session=LINKED", managed},

	{"GET /bots", "", "", forSignedIn},
	{"POST /bots", "", "", "login 403 403 422 422 422 422"},
	{"GET /bots/new", "", "", "login 403 403 200 200 200 200"},
	{"GET /bots/{id}", "bot", "", seen},
	{"POST /bots/{id}", "bot", "version=1", "login 403 403 422 404 404 422"},
	{"GET /bots/{id}/edit", "bot", "", "login 403 403 200 404 404 200"},
	{"POST /bots/{id}/deletion", "bot", "", "login 403 403 303 404 404 303"},

	{"GET /inbox", "", "", forSignedIn},
	{"GET /inbox/link", "", "", forSignedIn},
	{"POST /inbox/reading", "", "", bySignedIn},
	{"GET /inbox/{id}", "notice", "", "login 404 200 404 404 404 404"},
	{"POST /inbox/{id}/reading", "notice", "", byOwnerAlone},
	{"POST /inbox/{id}/star", "notice", "", byOwnerAlone},
	{"POST /inbox/{id}/dismissal", "notice", "", byOwnerAlone},

	{"GET /workspaces", "", "", forSignedIn},
	{"POST /workspaces", "", "", wrongForAdmin},
	{"GET /workspaces/new", "", "", forAdmin},
	{"GET /workspaces/{id}", "workspace", "", seen},
	{"POST /workspaces/{id}", "workspace", "", "login 403 403 403 404 404 409"},
	{"GET /workspaces/{id}/edit", "workspace", "", "login 403 403 403 404 404 200"},
	{"POST /workspaces/{id}/members", "workspace", "user=OWNER", byAdminInside},
	{"POST /workspaces/{id}/removal", "workspace", "user=OWNER", byAdminInside},
	{"POST /workspaces/{id}/check", "workspace", "", byAdminInside},
	{"POST /workspaces/{id}/deletion", "workspace", "", byAdminInside},

	{"GET /settings", "", "", bySignedIn},
	{"GET /settings/profile", "", "", forSignedIn},
	{"POST /settings/profile", "", "", wrongForSignedIn},
	{"POST /settings/profile/password", "", "", wrongForSignedIn},
	{"POST /settings/profile/notices", "", "", bySignedIn},
	{"POST /settings/profile/webhook-secret", "", "", "login 404 404 404 404 404 404"},
	{"POST /settings/profile/sign-outs", "", "", bySignedIn},
	{"POST /settings/profile/sign-outs/{id}", "login", "", byOwnerAlone},
	{"GET /settings/tokens", "", "", forSignedIn},
	{"POST /settings/tokens", "", "", wrongForSignedIn},
	{"POST /settings/tokens/{id}/revocation", "token", "", byOwnerAlone},
	{"GET /settings/usage", "", "", "login 200 200 200 200 200 200"},
	{"GET /settings/isolation", "", "", forAdmin},
	{"GET /settings/toggles", "", "", "login 403 403 403 403 403 200"},
	{"POST /settings/toggles", "", "edge_cases=Mind+the+gap.", "login 403 403 403 403 403 303"},
	{"POST /settings/toggles/{key}/reset", "", "", "login 403 403 403 403 403 404"}, // there is no toggle of this name

	{"GET /settings/providers", "", "", forSignedIn},
	{"POST /settings/providers", "", "", wrongForAdmin},
	{"GET /settings/providers/new", "", "", forAdmin},
	{"GET /settings/providers/{provider}", "", "", bySignedIn},
	// of the catalogue: it is not theirs to change
	{"POST /settings/providers/{provider}", "", "", "login 403 403 403 403 403 404"},
	{"GET /settings/providers/{provider}/edit", "", "", "login 403 403 403 403 403 404"},
	{"POST /settings/providers/{provider}/enabled", "", "enabled=true", byAdmin},
	{"POST /settings/providers/{provider}/models", "", "models=x", byAdmin},
	{"POST /settings/providers/{provider}/trial", "", "", byAdmin},
	{"POST /settings/providers/{provider}/resumption", "", "", byAdmin},
	{"POST /settings/providers/{provider}/deletion", "", "", "login 403 403 403 403 403 404"},

	{"GET /join/{token}", "", "", nowhere},
	{"POST /join/{token}", "", "", nowhere},
	{"GET /settings/users", "", "", forAdmin},
	{"POST /settings/users", "", "", wrongForAdmin},
	{"GET /settings/users/new", "", "", forAdmin},
	{"GET /settings/users/{id}", "user", "", forAdmin},
	{"POST /settings/users/{id}", "user", "", wrongForAdmin},
	{"POST /settings/users/{id}/roles", "user", "roles=ROLE", byAdmin},
	{"POST /settings/users/{id}/invitation", "invited", "", forAdmin},
	{"POST /settings/users/{id}/reset", "user", "", forAdmin},
	{"POST /settings/users/{id}/address", "readdressed", "", forAdmin},
	{"POST /settings/users/{id}/deactivation", "user", "", byAdmin},
	{"POST /settings/users/{id}/activation", "gone", "", byAdmin},
	{"POST /settings/users/{id}/unlinking", "linked", "", byAdmin},
	{"POST /settings/users/{id}/token-revocation", "with token", "", byAdmin},
	{"POST /settings/users/{id}/memberships", "user", "workspace=WORKSPACE", byAdmin},
	{"POST /settings/users/{id}/transfer", "user", "to=MANAGER", byAdmin},

	{"GET /settings/roles", "", "", forAdmin},
	{"POST /settings/roles", "", "", wrongForAdmin},
	{"GET /settings/roles/new", "", "", forAdmin},
	{"GET /settings/roles/{id}", "role", "", forAdmin},
	{"POST /settings/roles/{id}", "role", "", wrongForAdmin},
	{"POST /settings/roles/{id}/deletion", "role", "", byAdmin},
	{"GET /help", "", "", forSignedIn},
	{"GET /help/{page}", "", "", forSignedIn},
	{"GET /help/permissions", "", "", forSignedIn},
	{"GET /help/promises", "", "", forSignedIn},
	{"GET /help/api", "", "", forSignedIn},

	{"GET /settings/audit", "", "", forAdmin},
	{"GET /settings/audit/export/{format}", "", "", forAdmin},

	{"POST /preferences/theme", "", "theme=dark", bySignedIn},
	{"POST /preferences/workspace", "", "", bySignedIn},
}

// walk is a site with all of the people, and something of every kind to try them on.
type walk struct {
	*site
	who   map[string]*browser
	made  int
	lease db.Lease // of the session claimed last
}

// hush is in the name of everything that outsiders must not learn of.
const hush = "Hush"

func newWalk(t *testing.T) *walk { return walkOn(t, open(t)) }

func walkOn(t *testing.T, s *site) *walk {
	s.server.Gallery, s.server.Accounts.Mail = true, true
	s.server.Settings.Letter = func(context.Context, string, string, string) error { return nil }
	s.server.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "carillon 1\n")
	})
	s.routes = s.compose(s.server)
	s.http.Config.Handler = s.server.Handler(s.routes)
	x := &walk{site: s, who: map[string]*browser{
		"nobody": s.nobody(), "viewer": s.as("Viewer", account.RoleMember), "owner": s.as("Owner", account.RoleMember),
		"manager":  s.as("Manager", account.RoleManager),
		"outsider": s.as("Outsider", account.RoleManager), "elsewhere": s.as("Elsewhere", account.RoleManager),
		"admin":       s.as("Admin", account.RoleAdministrator),
		"deactivated": s.as("Deactivated", account.RoleManager), "former": s.as("Former", account.RoleManager),
	}}
	x.leaves("former")
	s.custom(x.who["viewer"], "Viewer", account.ViewAll)
	for _, name := range []string{"outsider", "elsewhere"} {
		check(t, db.RemoveMember(t.Context(), s.server.DB, uuid.MustParse(s.workspace), x.who[name].actor.ID))
	}
	x.workspaceOf("Another", "elsewhere")
	// The sign-in is left in place, so that it is the account that is looked at.
	check(t, db.SetDeactivated(t.Context(), s.server.DB, x.who["deactivated"].actor.ID, time.Now(), time.Now()))
	return x
}

// leaves ends a person's membership of the workspace, in which they have something of every kind: an automation that
// has run, a ticket that is theirs, a session's pull request, a star. Of all of it they may learn nothing more.
func (x *walk) leaves(who string) {
	x.t.Helper()
	ctx, b, workspace := x.t.Context(), x.who[who], uuid.MustParse(x.workspace)
	for _, trigger := range []string{"manual", "http"} {
		a := x.automationIn(workspace, b, trigger)
		if trigger == "manual" {
			_, err := x.rules.Runs().RunNow(ctx, b.actor, a.ID, nil)
			check(x.t, err)
		}
	}
	_, err := x.server.Tickets.Create(ctx, b.actor, ticket.Input{
		Workspace: x.workspace, Title: x.name("ticket"), Assignee: b.actor.ID.String(),
	})
	check(x.t, err)
	_, err = x.workflows.Create(ctx, b.actor, workflow.Input{
		Name: x.name("workflow"), Workspace: x.workspace,
		Steps: []workflow.StepInput{{Kind: "message", Text: "Look."}},
	})
	check(x.t, err)
	check(x.t, db.RemoveMember(ctx, x.server.DB, workspace, b.actor.ID))
}

// unlikeMembers are who tries every route beside people, and whose answers are those of somebody else: the deactivated
// are answered as nobody, and who was a member of the workspace as who never was.
var unlikeMembers = map[string]string{"deactivated": "nobody", "former": "outsider"}

func (x *walk) name(kind string) string {
	x.made++
	return fmt.Sprintf("%s %s %d", hush, kind, x.made)
}

func (x *walk) workspaceOf(name string, members ...string) uuid.UUID {
	x.t.Helper()
	w := &db.Workspace{
		ID: db.NewID(), Name: name, DefaultBranch: "main", Provider: "agent", CreatedAt: time.Now(),
		UpdatedAt: time.Now(), Version: 1,
	}
	check(x.t, db.InsertWorkspace(x.t.Context(), x.server.DB, w))
	for _, m := range members {
		check(x.t, db.AddMember(x.t.Context(), x.server.DB, w.ID, x.who[m].actor.ID))
	}
	return w.ID
}

func (x *walk) automationIn(workspace uuid.UUID, owner *browser, trigger string) *db.Automation {
	x.t.Helper()
	a, _, err := x.rules.Definitions().Create(x.t.Context(), owner.actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           x.name("automation"),
		Workspace:      workspace.String(),
		Trigger:        trigger,
		SessionType:    "develop",
		Prompt:         hush + ", look around.",
		Provider:       "agent",
		Retries:        2,
	}})
	check(x.t, err)
	return a
}

// subjects make what the {id} of a path stands for, each time anew, since a route may use it up.
var subjects = map[string]func(x *walk) uuid.UUID{
	"automation": func(x *walk) uuid.UUID {
		return x.automationIn(uuid.MustParse(x.workspace), x.who["owner"], "manual").ID
	},
	"hook": func(x *walk) uuid.UUID {
		return x.automationIn(uuid.MustParse(x.workspace), x.who["owner"], "http").ID
	},
	"budgeted": func(x *walk) uuid.UUID { // an automation with a budget
		id := x.automationIn(uuid.MustParse(x.workspace), x.who["owner"], "manual").ID
		x.who["owner"].exec(`UPDATE automations SET budget = '{"run": {"turns": 2}}' WHERE id = ?`, id)
		return id
	},
	"offered": func(x *walk) uuid.UUID { // an automation that the owner offers to the manager
		id := x.automationIn(uuid.MustParse(x.workspace), x.who["owner"], "manual").ID
		_, err := x.rules.Transfers().Transfer(x.t.Context(), x.who["owner"].actor, id, x.who["manager"].actor.ID)
		check(x.t, err)
		return id
	},
	"creator": func(x *walk) uuid.UUID { // somebody who has an automation
		x.automationIn(uuid.MustParse(x.workspace), x.who["owner"], "manual")
		return x.who["owner"].actor.ID
	},
	"execution": func(x *walk) uuid.UUID { return x.run().Execution.ID },
	"session":   func(x *walk) uuid.UUID { return x.run().Session.ID },
	"waiting":   func(x *walk) uuid.UUID { return x.waiting() }, // a session whose turn is over
	"closed": func(x *walk) uuid.UUID { // a session that is Done
		id := x.waiting()
		check(x.t, x.rules.Sessions().MarkDone(x.t.Context(), x.who["owner"].actor, id))
		return id
	},
	"ticket": func(x *walk) uuid.UUID { return x.ticket().ID },
	"workflow": func(x *walk) uuid.UUID {
		wf, err := x.workflows.Create(x.t.Context(), x.who["manager"].actor, workflow.Input{
			Name: x.name("workflow"), Workspace: x.workspace,
			Steps: []workflow.StepInput{{Kind: "message", Text: "Look."}},
		})
		check(x.t, err)
		return wf.ID
	},
	"notice": func(x *walk) uuid.UUID {
		n := db.Notification{
			ID: db.NewID(), UserID: x.who["owner"].actor.ID, Kind: inbox.Skipped, Title: x.name("notice"),
			DedupKey: uuid.NewString(), CreatedAt: time.Now(),
		}
		_, err := db.InsertNotifications(x.t.Context(), x.server.DB, []db.Notification{n})
		check(x.t, err)
		return n.ID
	},
	"workspace": func(x *walk) uuid.UUID { return x.workspaceOf(x.name("workspace"), "viewer", "owner", "manager") },
	"bot": func(x *walk) uuid.UUID {
		b := db.Bot{
			ID: db.NewID(), WorkspaceID: uuid.MustParse(x.workspace), Name: x.name("bot"), Instructions: hush,
			AllowedTools: []string{}, Enabled: true, Version: 1, CreatedAt: time.Now(), UpdatedAt: time.Now(),
		}
		check(x.t, db.InsertBot(x.t.Context(), x.server.DB, &b))
		return b.ID
	},
	"user": func(x *walk) uuid.UUID {
		return x.person().ID
	},
	"invited": func(x *walk) uuid.UUID {
		u := x.person()
		check(x.t, db.SavePasswordLink(x.t.Context(), x.server.DB,
			&db.PasswordLink{
				UserID: u.ID, Hash: append(u.ID[:], u.ID[:]...), Invites: true, CreatedAt: time.Now(),
				ExpiresAt: time.Now().Add(time.Hour),
			}))
		return u.ID
	},
	"readdressed": func(x *walk) uuid.UUID {
		u := x.person()
		u.EmailChangedAt = time.Now()
		check(x.t, db.UpdateUser(x.t.Context(), x.server.DB, u))
		return u.ID
	},
	"linked": func(x *walk) uuid.UUID {
		u := x.person()
		check(x.t, db.InsertIdentity(x.t.Context(), x.server.DB, &db.Identity{
			Issuer: "https://login.example.com", Subject: u.ID.String(), UserID: u.ID, CreatedAt: time.Now(),
			UsedAt: time.Now(),
		}))
		return u.ID
	},
	"gone": func(x *walk) uuid.UUID {
		u := x.person()
		check(x.t, db.SetDeactivated(x.t.Context(), x.server.DB, u.ID, time.Now(), time.Now()))
		return u.ID
	},
	"role": func(x *walk) uuid.UUID {
		r := db.Role{ID: db.NewID(), Name: x.name("role"), Permissions: []string{}, CreatedAt: time.Now(), Version: 1}
		check(x.t, db.InsertRole(x.t.Context(), x.server.DB, &r))
		return r.ID
	},
	"with token": func(x *walk) uuid.UUID {
		u := x.person()
		check(x.t, db.InsertAPIToken(x.t.Context(), x.server.DB, &db.APIToken{
			ID: db.NewID(), UserID: u.ID, Name: "CI", Hash: append(u.ID[:], u.ID[:]...), Permissions: []string{},
			CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
		}))
		return u.ID
	},
	"token":     func(x *walk) uuid.UUID { return x.token("owner") },
	"own token": func(x *walk) uuid.UUID { return x.token("admin") },
	"own login": func(x *walk) uuid.UUID {
		now := time.Now()
		l := db.Login{
			ID: db.NewID(), UserID: x.who["admin"].actor.ID, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(time.Hour),
		}
		check(x.t, db.InsertLogin(x.t.Context(), x.server.DB, &l))
		return l.ID
	},
	"login": func(x *walk) uuid.UUID {
		now := time.Now()
		l := db.Login{
			ID: db.NewID(), UserID: x.who["owner"].actor.ID, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(time.Hour),
		}
		check(x.t, db.InsertLogin(x.t.Context(), x.server.DB, &l))
		return l.ID
	},
}

// again is another browser in which a person is signed in.
func (x *walk) again(who string) *browser {
	x.t.Helper()
	if who == "nobody" {
		return x.who[who]
	}
	now := time.Now()
	l := db.Login{
		ID: db.NewID(), UserID: x.who[who].actor.ID, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(time.Hour),
	}
	check(x.t, db.InsertLogin(x.t.Context(), x.server.DB, &l))
	return x.bearing(x.forged(keys(x.t, firstKey), l.ID.String()))
}

// token is an API token of a person's.
func (x *walk) token(who string) uuid.UUID {
	x.t.Helper()
	_, err := x.server.Accounts.CreateToken(x.t.Context(), x.who[who].actor,
		account.TokenInput{Name: x.name("token"), Days: "7"})
	check(x.t, err)
	list, err := x.server.Accounts.Tokens(x.t.Context(), x.who[who].actor)
	check(x.t, err)
	return list[0].ID
}

func (x *walk) run() *automation.Run {
	x.t.Helper()
	a := x.automationIn(uuid.MustParse(x.workspace), x.who["owner"], "manual")
	run, err := x.rules.Runs().RunNow(x.t.Context(), x.who["owner"].actor, a.ID, nil)
	check(x.t, err)
	return run
}

func (x *walk) waiting() uuid.UUID {
	x.t.Helper()
	run, ctx := x.run(), x.t.Context()
	check(x.t, x.server.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		list, err := db.ClaimSessions(ctx, tx, "test", 1000, time.Now(), time.Now().Add(time.Hour))
		for _, session := range list {
			if session.ID == run.Session.ID {
				x.lease = db.Lease{Session: session.ID, Worker: "test", Fence: session.Fence}
			}
		}
		return err
	}))
	check(x.t, x.rules.Runs().Finish(ctx, x.lease, automation.Outcome{Status: db.Succeeded, FilesChanged: true}))
	return run.Session.ID
}

// pullRequest links a pull request to a session of the owner's.
func (x *walk) pullRequest(session uuid.UUID) (id uuid.UUID) {
	x.t.Helper()
	check(x.t, x.rules.PullRequests().Link(x.t.Context(), x.who["owner"].actor, session,
		"https://github.com/a/b/pull/1"))
	check(x.t, x.server.DB.NewRaw("SELECT id FROM pull_requests WHERE session_id = ?", session).
		Scan(x.t.Context(), &id))
	return id
}

// linked is a session that works on a ticket.
func (x *walk) linked(ticket uuid.UUID) uuid.UUID {
	x.t.Helper()
	session, owner := x.run().Session.ID, x.who["owner"].actor
	ticketRow, err := x.server.Tickets.Find(x.t.Context(), owner, ticket)
	check(x.t, err)
	check(x.t, x.server.Tickets.Link(x.t.Context(), owner, session, ticketRow.Number))
	return session
}

func (x *walk) ticket() *db.Ticket {
	x.t.Helper()
	ticket, err := x.server.Tickets.Create(x.t.Context(), x.who["owner"].actor,
		ticket.Input{Workspace: x.workspace, Title: x.name("ticket")})
	check(x.t, err)
	return ticket
}

func (x *walk) person() *db.User {
	x.t.Helper()
	x.made++
	now := time.Now()
	u := &db.User{
		ID: db.NewID(), Email: fmt.Sprintf("p%d@example.com", x.made), Name: fmt.Sprintf("Person %d", x.made),
		TimeZone: "UTC", CreatedAt: now, UpdatedAt: now,
	}
	check(x.t, db.InsertUser(x.t.Context(), x.server.DB, u, uuid.MustParse(x.roleID(account.RoleMember))))
	return u
}

// ask sends a person's request of a route and returns what was answered: a status, or login, with the body of anything
// but a stream.
func (x *walk) ask(who string, e expectation) (answered, body string) {
	x.t.Helper()
	method, path, ok := strings.Cut(e.route, " ")
	if !ok {
		method, path = http.MethodPost, e.route
	}
	form := e.form
	if e.subject != "" {
		subject := subjects[e.subject](x)
		path, form = strings.Replace(path, "{id}", subject.String(), 1),
			strings.Replace(form, "SUBJECT", subject.String(), 1)
		if before, after, ok := strings.Cut(form, "LINKED"); ok {
			form = before + x.linked(subject).String() + after
		}
		if before, after, ok := strings.Cut(form, "PULL"); ok {
			form = before + x.pullRequest(subject).String() + after
		}
	}
	path = strings.NewReplacer(
		"{$}", "", "{token}", "nonsense", "{kind}", "github", "{workspace}", x.workspace, "{format}", "csv",
		"{provider}", "agent", "{message}", uuid.Nil.String(),
		"{page}", "settings",
	).Replace(path)
	if before, after, ok := strings.Cut(form, "TICKET"); ok {
		form = before + fmt.Sprint(x.ticket().Number) + after
	}
	form = strings.NewReplacer("WORKSPACE", x.workspace, "OWNER", x.who["owner"].actor.ID.String(), "ROLEOFMANAGER",
		x.roleID(account.RoleManager), "MANAGER", x.who["manager"].actor.ID.String(),
		"ADMIN", x.who["admin"].actor.ID.String(), "ROLE", x.roleID(account.RoleMember)).Replace(form)
	req, err := http.NewRequestWithContext(x.t.Context(), method, x.http.URL+path, strings.NewReader(form))
	check(x.t, err)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	client := x.who[who].client
	if e.route == "POST /logout" {
		client = x.again(who).client // the person's own sign-in is still needed
	}
	res, err := client.Do(req)
	check(x.t, err)
	defer res.Body.Close() //nolint:errcheck // what is left of a stream is of no use
	answered = fmt.Sprint(res.StatusCode)
	if to := res.Header.Get("Location"); res.StatusCode == http.StatusSeeOther &&
		(to == "/login" || strings.HasPrefix(to, "/login?")) {
		answered = "login"
	}
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		read, err := io.ReadAll(res.Body)
		check(x.t, err)
		body = string(read)
	}
	if res.StatusCode == http.StatusUnauthorized && strings.Contains(body, "You were signed out") {
		// with what was sent, to send it again
		answered = "login"
	}
	return answered, body
}

// refusals counts what the audit log has of a person who was refused something.
func (x *walk) refusals(who string) (n int) {
	x.t.Helper()
	check(x.t, x.server.DB.NewRaw(
		"SELECT count(*) FROM audit_events WHERE actor_id = ? AND action = 'permission.denied' AND address = "+
			"'127.0.0.1' AND reason <> ''", x.who[who].actor.ID).Scan(x.t.Context(), &n))
	return n
}

// TestEveryRouteAnswersEverybodyAsExpected fails on any route that the table does not name, and on any answer to
// anybody that the table does not expect, or that leaves no line in the audit log when it refuses.
func TestEveryRouteAnswersEverybodyAsExpected(t *testing.T) {
	x := newWalk(t)
	x.bearers.Bad = middleware.NewRateLimiter(rate.Inf, 0) // they are more than one address may be
	routes := x.routes
	lines := map[string]expectation{}
	for _, e := range expectations {
		if _, twice := lines[e.route]; twice {
			t.Errorf("the table has %s twice", e.route)
		}
		lines[e.route] = e
		if !slices.Contains(routes.Patterns(), e.route) {
			t.Errorf("the table has %s, which is no route", e.route)
		}
	}
	for _, pattern := range routes.Patterns() {
		if isAPIPattern(pattern) {
			continue // TestEveryRouteOfTheAPIAnswersEverybodyAsExpected has them
		}
		e, ok := lines[pattern]
		if !ok {
			got := []string{}
			for _, who := range people {
				answered, _ := x.ask(who, expectation{route: pattern})
				got = append(got, answered)
			}
			t.Errorf("the table lacks %s: decide what it answers to %s. Now it is %q", pattern,
				strings.Join(people, ", "), strings.Join(got, " "))
			continue
		}
		want := strings.Fields(e.answers)
		if len(want) != len(people) {
			t.Errorf("%s has %d answers; want one for each of %v", pattern, len(want), people)
			continue
		}
		got := []string{}
		for i, who := range append(slices.Clone(people), "deactivated", "former") {
			before := x.refusals(who)
			answered, body := x.ask(who, e)
			if refused := answered == "403" || answered == "404" && e.subject != "" &&
				want[len(want)-1] != "404"; refused && x.refusals(who) != before+1 {
				t.Errorf("%s answers %s to %s, and %d lines of the audit log say so; want one", pattern, answered, who,
					x.refusals(who)-before)
			}
			if i < len(people) {
				got = append(got, answered)
			}
			if as := unlikeMembers[who]; as != "" && answered != want[slices.Index(people, as)] {
				t.Errorf("%s answers %s to %s; want %s, as to %s", pattern, answered, who,
					want[slices.Index(people, as)], as)
			}
			if slices.Contains([]string{"nobody", "deactivated", "former", "outsider", "elsewhere"}, who) &&
				strings.Contains(body, hush) {
				t.Errorf("%s tells %s, who gets %s, of what they may not see", pattern, who, answered)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s answers\n%s\nwant\n%s\nto %s", pattern, strings.Join(got, " "), strings.Join(want, " "),
				strings.Join(people, ", "))
		}
	}
}
