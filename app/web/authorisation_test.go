package web_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"carillon/app/account"
	"carillon/app/middleware"
	"carillon/app/web/webtest"
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

// again is another browser in which a person is signed in.
func again(x *webtest.Walk, who string) *webtest.Browser {
	x.T.Helper()
	if who == "nobody" {
		return x.Who[who]
	}
	now := time.Now()
	l := db.Login{
		ID: db.NewID(), UserID: x.Who[who].Actor.ID, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(time.Hour),
	}
	webtest.Check(x.T, db.InsertLogin(x.T.Context(), x.Server.DB, &l))
	return x.Bearing(x.Forged(webtest.Keys(x.T, webtest.FirstKey), l.ID.String()))
}

// ask sends a person's request of a route and returns what was answered: a status, or login, with the body of anything
// but a stream.
func ask(x *webtest.Walk, who string, e expectation) (answered, body string) {
	x.T.Helper()
	method, path, ok := strings.Cut(e.route, " ")
	if !ok {
		method, path = http.MethodPost, e.route
	}
	form := e.form
	if e.subject != "" {
		subject := webtest.Subjects[e.subject](x)
		path, form = strings.Replace(path, "{id}", subject.String(), 1),
			strings.Replace(form, "SUBJECT", subject.String(), 1)
		if before, after, ok := strings.Cut(form, "LINKED"); ok {
			form = before + x.Linked(subject).String() + after
		}
		if before, after, ok := strings.Cut(form, "PULL"); ok {
			form = before + x.PullRequest(subject).String() + after
		}
	}
	path = strings.NewReplacer(
		"{$}", "", "{token}", "nonsense", "{kind}", "github", "{workspace}", x.Workspace, "{format}", "csv",
		"{provider}", "agent", "{message}", uuid.Nil.String(),
		"{page}", "settings",
	).Replace(path)
	if before, after, ok := strings.Cut(form, "TICKET"); ok {
		form = before + fmt.Sprint(x.Ticket().Number) + after
	}
	form = strings.NewReplacer("WORKSPACE", x.Workspace, "OWNER", x.Who["owner"].Actor.ID.String(), "ROLEOFMANAGER",
		x.RoleID(account.RoleManager), "MANAGER", x.Who["manager"].Actor.ID.String(),
		"ADMIN", x.Who["admin"].Actor.ID.String(), "ROLE", x.RoleID(account.RoleMember)).Replace(form)
	req, err := http.NewRequestWithContext(x.T.Context(), method, x.HTTP.URL+path, strings.NewReader(form))
	webtest.Check(x.T, err)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	client := x.Who[who].Client
	if e.route == "POST /logout" {
		client = again(x, who).Client // the person's own sign-in is still needed
	}
	res, err := client.Do(req)
	webtest.Check(x.T, err)
	defer res.Body.Close() //nolint:errcheck // what is left of a stream is of no use
	answered = fmt.Sprint(res.StatusCode)
	if to := res.Header.Get("Location"); res.StatusCode == http.StatusSeeOther &&
		(to == "/login" || strings.HasPrefix(to, "/login?")) {
		answered = "login"
	}
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		read, err := io.ReadAll(res.Body)
		webtest.Check(x.T, err)
		body = string(read)
	}
	if res.StatusCode == http.StatusUnauthorized && strings.Contains(body, "You were signed out") {
		// with what was sent, to send it again
		answered = "login"
	}
	return answered, body
}

// refusals counts what the audit log has of a person who was refused something.
func refusals(x *webtest.Walk, who string) (n int) {
	x.T.Helper()
	webtest.Check(x.T, x.Server.DB.NewRaw(
		"SELECT count(*) FROM audit_events WHERE actor_id = ? AND action = 'permission.denied' AND address = "+
			"'127.0.0.1' AND reason <> ''", x.Who[who].Actor.ID).Scan(x.T.Context(), &n))
	return n
}

// TestEveryRouteAnswersEverybodyAsExpected fails on any route that the table does not name, and on any answer to
// anybody that the table does not expect, or that leaves no line in the audit log when it refuses.
func TestEveryRouteAnswersEverybodyAsExpected(t *testing.T) {
	x := webtest.NewWalk(t)
	x.Bearers.Bad = middleware.NewRateLimiter(rate.Inf, 0) // they are more than one address may be
	routes := x.Routes
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
		if webtest.IsAPIPattern(pattern) {
			continue // TestEveryRouteOfTheAPIAnswersEverybodyAsExpected has them
		}
		e, ok := lines[pattern]
		if !ok {
			got := []string{}
			for _, who := range people {
				answered, _ := ask(x, who, expectation{route: pattern})
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
			before := refusals(x, who)
			answered, body := ask(x, who, e)
			if refused := answered == "403" || answered == "404" && e.subject != "" &&
				want[len(want)-1] != "404"; refused && refusals(x, who) != before+1 {
				t.Errorf("%s answers %s to %s, and %d lines of the audit log say so; want one", pattern, answered, who,
					refusals(x, who)-before)
			}
			if i < len(people) {
				got = append(got, answered)
			}
			if as := webtest.UnlikeMembers[who]; as != "" && answered != want[slices.Index(people, as)] {
				t.Errorf("%s answers %s to %s; want %s, as to %s", pattern, answered, who,
					want[slices.Index(people, as)], as)
			}
			if slices.Contains([]string{"nobody", "deactivated", "former", "outsider", "elsewhere"}, who) &&
				strings.Contains(body, webtest.Hush) {
				t.Errorf("%s tells %s, who gets %s, of what they may not see", pattern, who, answered)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s answers\n%s\nwant\n%s\nto %s", pattern, strings.Join(got, " "), strings.Join(want, " "),
				strings.Join(people, ", "))
		}
	}
}
