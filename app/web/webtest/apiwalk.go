package webtest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/api"
	"carillon/db"
)

// APIPeople are who tries every route of the API by a token, in the order of the answers: people, without nobody, and
// narrow, a token of the owner's that is for seeing their own automations alone.
var APIPeople = []string{"viewer", "owner", "manager", "outsider", "elsewhere", "admin", "narrow"}

// APIFormer was a member of the workspace, and is answered as who never was: unlikeMembers.
const APIFormer = "former"

// Strangers are who is refused by every route, whatever it is: without a token, with one of nobody, one of a session,
// one that has expired, one of somebody deactivated, and with the cookie of an administrator.
var Strangers = []string{"nobody", "unknown", "session", "expired", "deactivated", "cookie"}

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

// APIExpectation is what a route of the API answers to each kind of program. Subject names what the {id} of its path
// stands for, and form is the body.
type APIExpectation struct{ Route, Subject, Form, Answers string }

// APIExpectations has a line for every route of the API but its description.
var APIExpectations = []APIExpectation{
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

// Tokens makes the tokens with which the routes are tried.
func (x *Walk) Tokens() map[string]string {
	x.T.Helper()
	tokens := map[string]string{
		"nobody": "", "unknown": account.TokenPrefix + strings.Repeat("A", 43), "session": "carillon_session_" +
			strings.Repeat("A", 43), "cookie": "",
	}
	make := func(name string, of *Browser, permissions ...string) {
		token, err := x.Server.Accounts.CreateToken(x.T.Context(), of.Actor,
			account.TokenInput{Name: name, Days: "7", Narrowed: len(permissions) > 0, Permissions: permissions})
		Check(x.T, err)
		tokens[name] = token
	}
	for _, who := range APIPeople[:len(APIPeople)-1] {
		make(who, x.Who[who])
	}
	make("narrow", x.Who["owner"], string(account.ViewOwn))
	make(APIFormer, x.Who[APIFormer])
	make("expired", x.Who["admin"])
	_, err := x.Server.DB.NewUpdate().Model((*db.APIToken)(nil)).Set("expires_at = ?", time.Now()).
		Where("at.name = 'expired'").Exec(x.T.Context())
	Check(x.T, err)
	// The token is left in place, so that it is the account that is looked at.
	gone := x.Who["deactivated"].Actor.ID
	Check(x.T, db.SetDeactivated(x.T.Context(), x.Server.DB, gone, time.Time{}, time.Now()))
	make("deactivated", x.Who["deactivated"])
	Check(x.T, db.SetDeactivated(x.T.Context(), x.Server.DB, gone, time.Now(), time.Now()))
	return tokens
}

// IsAPIPattern reports whether a route takes tokens of the API. Its description is for all.
func IsAPIPattern(pattern string) bool {
	_, path, ok := strings.Cut(pattern, " ")
	return ok && strings.HasPrefix(path, api.Prefix+"/") && path != api.Prefix+"/openapi.json"
}

var pathName = regexp.MustCompile(`\{[a-z_]+\}`)

// AskAPI asks a route of the API with a token, with what stands for its ids and its body.
func (x *Walk) AskAPI(who, token, method, path string, e APIExpectation) *Answer {
	x.T.Helper()
	if slices.Contains(Strangers, who) { // what they ask for need not be there
		path = strings.Replace(path, "{id}", uuid.NewString(), 1)
	} else if e.Subject != "" {
		subject := Subjects[e.Subject](x)
		path = strings.Replace(path, "{id}", subject.String(), 1)
		if before, after, ok := strings.Cut(path, "{pull_request}"); ok {
			path = before + x.PullRequest(subject).String() + after
		}
		if before, after, ok := strings.Cut(path, "{session}"); ok {
			path = before + x.Linked(subject).String() + after
		}
	}
	path = strings.NewReplacer("{user}", x.Who["owner"].Actor.ID.String()).Replace(path)
	for name := pathName.FindString(path); name != ""; name = pathName.FindString(path) { // one that is not there
		path = strings.Replace(path, name, uuid.NewString(), 1)
	}
	p := &Program{Site: x.Site, Token: token}
	if who == "cookie" {
		p.jar = x.Who["admin"].Client.Jar
	}
	if e.Form == "" {
		return p.Call(method, path, nil)
	}
	return p.Call(method, path, x.APIForm(e))
}

// APIForm is the body of a request with what its words stand for.
func (x *Walk) APIForm(e APIExpectation) string {
	x.T.Helper()
	form := e.Form
	if before, after, ok := strings.Cut(form, "TICKET"); ok {
		form = before + fmt.Sprint(x.Ticket().Number) + after
	}
	return strings.NewReplacer("WORKSPACE", x.Workspace, "AUTOMATION", uuid.NewString(),
		"OWNER", x.Who["owner"].Actor.ID.String(), "MANAGER", x.Who["manager"].Actor.ID.String(),
		"ROLE", x.RoleID(account.RoleMember)).Replace(form)
}
