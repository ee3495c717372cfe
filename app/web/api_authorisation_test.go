package web

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"carillon/app/account"
	"carillon/app/api"
	"carillon/app/middleware"
	"carillon/db"
)

// apiPeople are who tries every route of the API by a token, in the order of the answers: people, without nobody, and
// narrow, a token of the owner's that is for seeing their own automations alone.
var apiPeople = []string{"viewer", "owner", "manager", "outsider", "elsewhere", "admin", "narrow"}

// apiFormer was a member of the workspace, and is answered as who never was: unlikeMembers.
const apiFormer = "former"

// strangers are who is refused by every route, whatever it is: without a token, with one of nobody, one of a session,
// one that has expired, one of somebody deactivated, and with the cookie of an administrator.
var strangers = []string{"nobody", "unknown", "session", "expired", "deactivated", "cookie"}

// Answers that many routes of the API have.
const (
	apiForAll     = "200 200 200 200 200 200 200"
	apiSeen       = "200 200 200 404 404 200 200"
	apiByManaging = "403 204 204 404 404 204 403"
	apiManaged    = "403 200 200 404 404 200 403"
	apiMade       = "403 201 201 404 404 201 403"
	apiShared     = "403 403 200 404 404 200 403" // of a workspace: for its managers
	apiOwn        = "404 200 404 404 404 404 200"
)

// planned is a manifest with one automation.
const planned = `{"files":[{"name":"a.yaml","content":"{kind: Automation, name: Planned, workspace: Scratch, trigger: manual, provider: agent, prompt: Go}"}]}`

// apiExpectation is what a route of the API answers to each kind of program. Subject names what the {id} of its path
// stands for, and form is the body.
type apiExpectation struct{ route, subject, form, answers string }

// apiExpectations has a line for every route of the API but its description.
var apiExpectations = []apiExpectation{
	{"GET /me", "", "", apiForAll},
	{"GET /workspaces", "", "", apiForAll},
	{"GET /workspaces/{id}", "workspace", "", apiSeen},
	{"POST /workspaces", "", `{"name":"Made","git_url":"/nowhere"}`, "403 403 403 403 403 201 403"},
	{"PATCH /workspaces/{id}", "workspace", `{"version":1,"name":"Changed"}`, "403 403 403 404 404 200 403"},
	{"DELETE /workspaces/{id}", "workspace", "", "403 403 403 404 404 204 403"},
	{"POST /workspaces/{id}/check", "workspace", "", "403 403 403 404 404 200 403"},
	{"POST /workspaces/{id}/members", "workspace", `{"user_id":"OWNER"}`, "403 403 403 404 404 204 403"},
	{"DELETE /workspaces/{id}/members/{user}", "workspace", "", "403 403 403 404 404 204 403"},
	{"GET /providers", "", "", apiForAll},

	{"GET /automations", "", "", apiForAll},
	{"POST /automations", "", `{"name":"Made","workspace_id":"WORKSPACE","provider":"agent","prompt":"Go"}`,
		"403 201 201 422 422 201 403"},
	{"GET /automations/{id}", "automation", "", apiSeen},
	{"PATCH /automations/{id}", "automation", `{"version":1,"name":"Changed"}`, apiManaged},
	{"DELETE /automations/{id}", "automation", "", apiByManaging},
	{"POST /automations/{id}/runs", "automation", "", apiMade},
	{"POST /automations/{id}/enabled", "automation", `{"enabled":false}`, apiManaged},
	{"POST /automations/{id}/token", "hook", "", apiManaged},
	{"GET /automations/{id}/executions", "automation", "", apiSeen},
	// those of others are left out
	{"POST /automations/bulk", "", `{"action":"enable","ids":["AUTOMATION"]}`, apiForAll},
	{"POST /automations/{id}/transfer", "automation", `{"to":"MANAGER"}`, apiManaged},
	{"GET /automations/{id}/deliveries", "hook", "", apiManaged},
	{"GET /automations/{id}/deliveries/{delivery}", "hook", "", "403 404 404 404 404 404 403"},
	{"POST /automations/{id}/deliveries/{delivery}/replays", "hook", "", "403 404 404 404 404 404 403"},

	{"GET /executions", "", "", apiForAll},
	{"GET /executions/{id}", "execution", "", apiSeen},
	{"POST /executions/{id}/cancellation", "execution", "", apiManaged},
	{"POST /executions/{id}/repetitions", "execution", "", "403 409 409 404 404 409 403"}, // it is in flight

	{"GET /sessions", "", "", apiForAll},
	{"GET /sessions/{id}", "session", "", apiSeen},
	{"GET /sessions/{id}/events", "session", "", apiSeen},
	{"POST /sessions/{id}/messages", "waiting", `{"message":"Go on"}`, apiByManaging},
	{"POST /sessions/{id}/completion", "waiting", "", apiManaged},
	{"POST /sessions/{id}/stop", "session", "", apiManaged},
	{"POST /sessions/{id}/reopening", "closed", "", apiManaged},
	{"GET /sessions/{id}/messages", "session", "", apiSeen},
	{"DELETE /sessions/{id}/messages/{message}", "waiting", "", apiByManaging},
	{"POST /sessions/{id}/interruption", "session", "", apiManaged},
	{"POST /sessions/{id}/context", "waiting", "", apiManaged},
	{"POST /sessions/{id}/relocation", "session", "", "403 403 403 404 404 422 403"},
	{"GET /sessions/{id}/pull-requests", "session", "", apiSeen},
	{"POST /sessions/{id}/pull-requests", "waiting", "", "403 422 422 404 404 422 403"}, // it has no forge
	{"POST /sessions/{id}/pull-request", "waiting", `{"url":"https://github.com/a/b/pull/1"}`, apiByManaging},
	{"DELETE /sessions/{id}/pull-requests/{pull_request}", "waiting", "", apiByManaging},
	{"POST /sessions/{id}/tickets", "session", `{"number":TICKET}`, apiByManaging},

	{"GET /workflows", "", "", apiForAll},
	{"POST /workflows", "", `{"name":"Made","workspace_id":"WORKSPACE","steps":[{"kind":"message","text":"Look"}]}`,
		"403 403 201 422 422 201 403"},
	{"GET /workflows/{id}", "workflow", "", apiSeen},
	{"PATCH /workflows/{id}", "workflow", `{"version":1,"name":"Changed"}`, apiShared},
	{"DELETE /workflows/{id}", "workflow", "", "403 403 204 404 404 204 403"},

	{"POST /workflows/{id}/copies", "workflow", "", "403 403 201 404 404 201 403"},

	{"GET /bots", "", "", apiForAll},
	{"POST /bots", "", `{"name":"Made","workspace_id":"WORKSPACE","instructions":"Look"}`,
		"403 403 201 422 422 201 403"},
	{"GET /bots/{id}", "bot", "", apiSeen},
	{"PATCH /bots/{id}", "bot", `{"version":1,"name":"Changed"}`, apiShared},
	{"DELETE /bots/{id}", "bot", "", "403 403 204 404 404 204 403"},

	{"GET /inbox", "", "", apiForAll},
	{"POST /inbox/reading", "", "", "204 204 204 204 204 204 204"},
	{"GET /inbox/{id}", "notice", "", apiOwn},
	{"POST /inbox/{id}/reading", "notice", "", apiOwn},
	{"POST /inbox/{id}/star", "notice", "", apiOwn},
	{"POST /inbox/{id}/dismissal", "notice", "", "404 204 404 404 404 404 204"},

	{"POST /plans", "", planned, "403 200 200 422 422 200 403"},
	{"POST /applications", "", planned[:len(planned)-1] + `,"fingerprint":"another"}`, "403 409 409 422 422 409 403"},
	{"GET /export", "", "", apiForAll},

	{"GET /tickets", "", "", apiForAll},
	{"POST /tickets", "", `{"workspace_id":"WORKSPACE","title":"Made"}`, "403 201 201 422 422 201 403"},
	{"GET /tickets/{id}", "ticket", "", apiSeen},
	{"PATCH /tickets/{id}", "ticket", `{"version":1,"status":"done"}`, apiManaged},
	{"DELETE /tickets/{id}/sessions/{session}", "ticket", "", apiByManaging},

	{"GET /people", "", "", "403 403 403 403 403 200 403"},
	{"GET /people/{id}", "user", "", "403 403 403 403 403 200 403"},
	{"POST /people/{id}/roles", "user", `{"role_ids":["ROLE"]}`, "403 403 403 403 403 200 403"},
	{"POST /people/{id}/deactivation", "user", "", "403 403 403 403 403 200 403"},
	{"POST /people/{id}/activation", "gone", "", "403 403 403 403 403 200 403"},
	{"POST /people/{id}/token-revocation", "with token", "", "403 403 403 403 403 204 403"},
	{"POST /people/{id}/transfer", "user", `{"to":"MANAGER"}`, "403 403 403 403 403 200 403"},
	{"GET /roles", "", "", "403 403 403 403 403 200 403"},
	{"POST /roles", "", `{"name":"Made","permissions":["automations.view_own"]}`, "403 403 403 403 403 201 403"},
	{"GET /roles/{id}", "role", "", "403 403 403 403 403 200 403"},
	{"PATCH /roles/{id}", "role", `{"version":1,"name":"Changed role"}`, "403 403 403 403 403 200 403"},
	{"DELETE /roles/{id}", "role", "", "403 403 403 403 403 204 403"},
}

// apiLines are the lines that changes of configuration leave in the audit log. The other routes that are no GET start
// and end work, or are a person's own inbox.
var apiLines = map[string]string{
	"POST /automations": "automation.create", "PATCH /automations/{id}": "automation.update",
	"DELETE /automations/{id}":       "automation.delete",
	"POST /automations/{id}/enabled": "automation.disable", "POST /automations/{id}/token": "automation.regenerate",
	"POST /workflows": "workflow.create", "PATCH /workflows/{id}": "workflow.update",
	"DELETE /workflows/{id}": "workflow.delete",
	"POST /bots":             "bot.create", "PATCH /bots/{id}": "bot.update", "DELETE /bots/{id}": "bot.delete",
	"POST /tickets": "ticket.create", "PATCH /tickets/{id}": "ticket.update",
	"PATCH /workspaces/{id}": "workspace.update", "DELETE /workspaces/{id}": "workspace.remove",
	"POST /workspaces": "workspace.create", "POST /workspaces/{id}/members": "workspace.add_member",
	"DELETE /workspaces/{id}/members/{user}": "workspace.remove_member",
	"POST /automations/{id}/transfer":        "automation.transfer", "POST /workflows/{id}/copies": "workflow.create",
	"POST /sessions/{id}/pull-request":                   "session.link_pull_request",
	"DELETE /sessions/{id}/pull-requests/{pull_request}": "session.unlink_pull_request",
	"POST /people/{id}/roles":                            "user.set_roles",
	"POST /people/{id}/deactivation":                     "user.deactivate",
	"POST /people/{id}/activation":                       "user.activate",
	"POST /people/{id}/token-revocation":                 "user.revoke_tokens",
	"POST /roles":                                        "role.create", "PATCH /roles/{id}": "role.update",
	"DELETE /roles/{id}": "role.delete",
}

// tokens makes the tokens with which the routes are tried.
func (x *walk) tokens() map[string]string {
	x.t.Helper()
	tokens := map[string]string{
		"nobody": "", "unknown": account.TokenPrefix + strings.Repeat("A", 43), "session": "carillon_session_" +
			strings.Repeat("A", 43), "cookie": "",
	}
	make := func(name string, of *browser, permissions ...string) {
		token, err := x.server.Accounts.CreateToken(x.t.Context(), of.actor,
			account.TokenInput{Name: name, Days: "7", Narrowed: len(permissions) > 0, Permissions: permissions})
		check(x.t, err)
		tokens[name] = token
	}
	for _, who := range apiPeople[:len(apiPeople)-1] {
		make(who, x.who[who])
	}
	make("narrow", x.who["owner"], string(account.ViewOwn))
	make(apiFormer, x.who[apiFormer])
	make("expired", x.who["admin"])
	_, err := x.server.DB.NewUpdate().Model((*db.APIToken)(nil)).Set("expires_at = ?", time.Now()).
		Where("at.name = 'expired'").Exec(x.t.Context())
	check(x.t, err)
	// The token is left in place, so that it is the account that is looked at.
	gone := x.who["deactivated"].actor.ID
	check(x.t, db.SetDeactivated(x.t.Context(), x.server.DB, gone, time.Time{}, time.Now()))
	make("deactivated", x.who["deactivated"])
	check(x.t, db.SetDeactivated(x.t.Context(), x.server.DB, gone, time.Now(), time.Now()))
	return tokens
}

// TestEveryRouteOfTheAPIAnswersEverybodyAsExpected fails on any route of the API that the table does not name, and on
// any answer to anybody that the table does not expect.
func TestEveryRouteOfTheAPIAnswersEverybodyAsExpected(t *testing.T) {
	x := newWalk(t)
	x.bearers.Bad = middleware.NewRateLimiter(rate.Inf, 0) // they are more than one address may be
	x.server.Refusals = middleware.NewRateLimiter(rate.Inf, 0)
	tokens := x.tokens()
	routes := x.routes
	lines := map[string]bool{}
	for _, e := range apiExpectations {
		method, path, _ := strings.Cut(e.route, " ")
		pattern := method + " " + api.Prefix + path
		if lines[pattern] || !slices.Contains(routes.Patterns(), pattern) {
			t.Errorf("the table has %s twice, or it is no route", e.route)
			continue
		}
		lines[pattern] = true
		want, got := strings.Fields(e.answers), []string{}
		for _, who := range slices.Concat(apiPeople, strangers, []string{apiFormer}) {
			a := x.askAPI(who, tokens[who], method, path, e)
			if action := apiLines[e.route]; action != "" && who == "admin" {
				if line := x.lines(x.who["admin"].actor.ID)[0]; line.Action != action || line.Address != "127.0.0.1" ||
					line.Token != "admin" {
					t.Errorf("%s left the line %+v in the audit log; want %s", e.route, line, action)
				}
			}
			if a.StatusCode == http.StatusForbidden {
				// Of the same refusal of one person the first alone is written, and that was the owner's for all
				// things.
				same := who == "narrow" && e.subject == "" && e.form == ""
				line := x.lines(x.apiActor(who))[0]
				if line.Action != "permission.denied" || line.Token != who && !same {
					t.Errorf("%s left the line %+v in the audit log of a refusal", e.route, line)
				}
			}
			answered := fmt.Sprint(a.StatusCode)
			if who == apiFormer {
				if as := want[slices.Index(apiPeople, unlikeMembers[who])]; answered != as {
					t.Errorf("%s answers %s to %s; want %s, as to %s", e.route, answered, who, as, unlikeMembers[who])
				}
			} else if slices.Contains(strangers, who) {
				if answered != "401" || a.Header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s answers %s to %s; want 401 with WWW-Authenticate", e.route, answered, who)
				}
			} else {
				got = append(got, answered)
			}
			if a.StatusCode >= 400 && a.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s answers %s to %s as %s", e.route, answered, who, a.Header.Get("Content-Type"))
			}
			if a.Header.Get("Cache-Control") != "no-store" || len(a.Header.Values("Set-Cookie")) > 0 {
				t.Errorf("%s answers %s with %v; want it kept nowhere, and no cookie", e.route, who, a.Header)
			}
			if (slices.Contains(strangers, who) || who == "outsider" || who == "elsewhere" || who == apiFormer) &&
				strings.Contains(a.body, hush) {
				t.Errorf("%s tells %s, who gets %s, of what they may not see", e.route, who, answered)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s answers\n%s\nwant\n%s\nto %s", e.route, strings.Join(got, " "), strings.Join(want, " "),
				strings.Join(apiPeople, ", "))
		}
	}
	for _, pattern := range routes.Patterns() {
		if isAPIPattern(pattern) && !lines[pattern] {
			t.Errorf("the table lacks %s: decide what it answers to %s", pattern, strings.Join(apiPeople, ", "))
		}
	}
}

// apiActor is the person of a token.
func (x *walk) apiActor(who string) uuid.UUID {
	if who == "narrow" {
		who = "owner"
	}
	return x.who[who].actor.ID
}

// isAPIPattern reports whether a route takes tokens of the API. Its description is for all.
func isAPIPattern(pattern string) bool {
	_, path, ok := strings.Cut(pattern, " ")
	return ok && strings.HasPrefix(path, api.Prefix+"/") && path != api.Prefix+"/openapi.json"
}

var pathName = regexp.MustCompile(`\{[a-z_]+\}`)

func (x *walk) askAPI(who, token, method, path string, e apiExpectation) *answer {
	x.t.Helper()
	if slices.Contains(strangers, who) { // what they ask for need not be there
		path = strings.Replace(path, "{id}", uuid.NewString(), 1)
	} else if e.subject != "" {
		subject := subjects[e.subject](x)
		path = strings.Replace(path, "{id}", subject.String(), 1)
		if before, after, ok := strings.Cut(path, "{pull_request}"); ok {
			path = before + x.pullRequest(subject).String() + after
		}
		if before, after, ok := strings.Cut(path, "{session}"); ok {
			path = before + x.linked(subject).String() + after
		}
	}
	path = strings.NewReplacer("{user}", x.who["owner"].actor.ID.String()).Replace(path)
	for name := pathName.FindString(path); name != ""; name = pathName.FindString(path) { // one that is not there
		path = strings.Replace(path, name, uuid.NewString(), 1)
	}
	p := &program{site: x.site, token: token}
	if who == "cookie" {
		p.jar = x.who["admin"].client.Jar
	}
	if e.form == "" {
		return p.call(method, path, nil)
	}
	return p.call(method, path, x.apiForm(e))
}

// apiForm is the body of a request with what its words stand for.
func (x *walk) apiForm(e apiExpectation) string {
	x.t.Helper()
	form := e.form
	if before, after, ok := strings.Cut(form, "TICKET"); ok {
		form = before + fmt.Sprint(x.ticket().Number) + after
	}
	return strings.NewReplacer("WORKSPACE", x.workspace, "AUTOMATION", uuid.NewString(),
		"OWNER", x.who["owner"].actor.ID.String(), "MANAGER", x.who["manager"].actor.ID.String(),
		"ROLE", x.roleID(account.RoleMember)).Replace(form)
}
