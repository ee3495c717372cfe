package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"carillon/app/api"
	"carillon/app/middleware"
	"carillon/app/web/webtest"
)

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

// TestEveryRouteOfTheAPIAnswersEverybodyAsExpected fails on any route of the API that the table does not name, and on
// any answer to anybody that the table does not expect.
func TestEveryRouteOfTheAPIAnswersEverybodyAsExpected(t *testing.T) {
	x := webtest.NewWalk(t)
	x.Bearers.Bad = middleware.NewRateLimiter(rate.Inf, 0) // they are more than one address may be
	x.Server.Refusals = middleware.NewRateLimiter(rate.Inf, 0)
	tokens := x.Tokens()
	routes := x.Routes
	lines := map[string]bool{}
	for _, e := range webtest.APIExpectations {
		method, path, _ := strings.Cut(e.Route, " ")
		pattern := method + " " + api.Prefix + path
		if lines[pattern] || !slices.Contains(routes.Patterns(), pattern) {
			t.Errorf("the table has %s twice, or it is no route", e.Route)
			continue
		}
		lines[pattern] = true
		want, got := strings.Fields(e.Answers), []string{}
		for _, who := range slices.Concat(webtest.APIPeople, webtest.Strangers, []string{webtest.APIFormer}) {
			a := x.AskAPI(who, tokens[who], method, path, e)
			if action := apiLines[e.Route]; action != "" && who == "admin" {
				if line := x.Lines(x.Who["admin"].Actor.ID)[0]; line.Action != action || line.Address != "127.0.0.1" ||
					line.Token != "admin" {
					t.Errorf("%s left the line %+v in the audit log; want %s", e.Route, line, action)
				}
			}
			if a.StatusCode == http.StatusForbidden {
				// Of the same refusal of one person the first alone is written, and that was the owner's for all
				// things.
				same := who == "narrow" && e.Subject == "" && e.Form == ""
				line := x.Lines(apiActor(x, who))[0]
				if line.Action != "permission.denied" || line.Token != who && !same {
					t.Errorf("%s left the line %+v in the audit log of a refusal", e.Route, line)
				}
			}
			answered := fmt.Sprint(a.StatusCode)
			if who == webtest.APIFormer {
				if as := want[slices.Index(webtest.APIPeople, webtest.UnlikeMembers[who])]; answered != as {
					t.Errorf("%s answers %s to %s; want %s, as to %s", e.Route, answered, who, as,
						webtest.UnlikeMembers[who])
				}
			} else if slices.Contains(webtest.Strangers, who) {
				if answered != "401" || a.Header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s answers %s to %s; want 401 with WWW-Authenticate", e.Route, answered, who)
				}
			} else {
				got = append(got, answered)
			}
			if a.StatusCode >= 400 && a.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s answers %s to %s as %s", e.Route, answered, who, a.Header.Get("Content-Type"))
			}
			if a.Header.Get("Cache-Control") != "no-store" || len(a.Header.Values("Set-Cookie")) > 0 {
				t.Errorf("%s answers %s with %v; want it kept nowhere, and no cookie", e.Route, who, a.Header)
			}
			if (slices.Contains(webtest.Strangers,
				who) || who == "outsider" || who == "elsewhere" || who == webtest.APIFormer) &&
				strings.Contains(a.Text, webtest.Hush) {
				t.Errorf("%s tells %s, who gets %s, of what they may not see", e.Route, who, answered)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s answers\n%s\nwant\n%s\nto %s", e.Route, strings.Join(got, " "), strings.Join(want, " "),
				strings.Join(webtest.APIPeople, ", "))
		}
	}
	for _, pattern := range routes.Patterns() {
		if webtest.IsAPIPattern(pattern) && !lines[pattern] {
			t.Errorf("the table lacks %s: decide what it answers to %s", pattern, strings.Join(webtest.APIPeople, ", "))
		}
	}
}

// apiActor is the person of a token.
func apiActor(x *webtest.Walk, who string) uuid.UUID {
	if who == "narrow" {
		who = "owner"
	}
	return x.Who[who].Actor.ID
}
