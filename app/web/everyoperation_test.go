package web_test

import (
	"slices"
	"strings"
	"testing"

	"carillon/app/api"
)

// sameByAPI names, for what a person does on a page, the operation of the API that does it.
var sameByAPI = map[string]string{
	"/automations":               "POST /automations",
	"/automations/bulk":          "POST /automations/bulk",
	"/automations/{id}":          "PATCH /automations/{id}",
	"/automations/{id}/deletion": "DELETE /automations/{id}",
	"/automations/{id}/deliveries/{delivery}/replays": "POST /automations/{id}/deliveries/{delivery}/replays",
	"/automations/{id}/enabled":                       "POST /automations/{id}/enabled",
	"/automations/{id}/runs":                          "POST /automations/{id}/runs",
	"/automations/{id}/token":                         "POST /automations/{id}/token",
	"/automations/{id}/transfer":                      "POST /automations/{id}/transfer",
	"/bots":                                           "POST /bots",
	"/bots/{id}":                                      "PATCH /bots/{id}",
	"/bots/{id}/deletion":                             "DELETE /bots/{id}",
	"/executions/{id}/cancellation":                   "POST /executions/{id}/cancellation",
	"/executions/{id}/repetitions":                    "POST /executions/{id}/repetitions",
	"/inbox/reading":                                  "POST /inbox/reading",
	"/inbox/{id}/dismissal":                           "POST /inbox/{id}/dismissal",
	"/inbox/{id}/reading":                             "POST /inbox/{id}/reading",
	"/inbox/{id}/star":                                "POST /inbox/{id}/star",
	"/sessions/{id}/completion":                       "POST /sessions/{id}/completion",
	"/sessions/{id}/context":                          "POST /sessions/{id}/context",
	"/sessions/{id}/interruption":                     "POST /sessions/{id}/interruption",
	"/sessions/{id}/messages":                         "POST /sessions/{id}/messages",
	"/sessions/{id}/messages/{message}/withdrawal":    "DELETE /sessions/{id}/messages/{message}",
	"/sessions/{id}/pull-request":                     "POST /sessions/{id}/pull-request",
	"/sessions/{id}/pull-request-removal":             "DELETE /sessions/{id}/pull-requests/{pull_request}",
	"/sessions/{id}/pull-requests":                    "POST /sessions/{id}/pull-requests",
	"/sessions/{id}/relocation":                       "POST /sessions/{id}/relocation",
	"/sessions/{id}/reopening":                        "POST /sessions/{id}/reopening",
	"/sessions/{id}/stop":                             "POST /sessions/{id}/stop",
	"/sessions/{id}/tickets":                          "POST /sessions/{id}/tickets",
	"/settings/roles":                                 "POST /roles",
	"/settings/roles/{id}":                            "PATCH /roles/{id}",
	"/settings/roles/{id}/deletion":                   "DELETE /roles/{id}",
	"/settings/users/{id}/activation":                 "POST /people/{id}/activation",
	"/settings/users/{id}/deactivation":               "POST /people/{id}/deactivation",
	"/settings/users/{id}/memberships":                "POST /workspaces/{id}/members",
	"/settings/users/{id}/roles":                      "POST /people/{id}/roles",
	"/settings/users/{id}/token-revocation":           "POST /people/{id}/token-revocation",
	"/settings/users/{id}/transfer":                   "POST /people/{id}/transfer",
	"/tickets":                                        "POST /tickets",
	"/tickets/{id}":                                   "PATCH /tickets/{id}",
	"/tickets/{id}/status":                            "PATCH /tickets/{id}",
	"/tickets/{id}/unlinking":                         "DELETE /tickets/{id}/sessions/{session}",
	"/workflows":                                      "POST /workflows",
	"/workflows/{id}":                                 "PATCH /workflows/{id}",
	"/workflows/{id}/copies":                          "POST /workflows/{id}/copies",
	"/workflows/{id}/deletion":                        "DELETE /workflows/{id}",
	"/workspaces":                                     "POST /workspaces",
	"/workspaces/{id}":                                "PATCH /workspaces/{id}",
	"/workspaces/{id}/check":                          "POST /workspaces/{id}/check",
	"/workspaces/{id}/deletion":                       "DELETE /workspaces/{id}",
	"/workspaces/{id}/members":                        "POST /workspaces/{id}/members",
	"/workspaces/{id}/removal":                        "DELETE /workspaces/{id}/members/{user}",
}

// Why some things are done on a page alone.
const (
	signedIn     = "it gives or takes access to an account, so its person or an administrator signs in for it"
	installation = "it is a setting of the installation, which an administrator looks at when it is changed"
	byThePage    = "it helps to fill in a form, or sets how pages look"
)

// byPageAlone says of the other things that a person does on a page why the API has no operation for them.
var byPageAlone = map[string]string{
	"/automations/placeholders":                 byThePage,
	"/automations/{id}/budget/{limit}":          "it is a shortcut; PATCH /automations/{id} changes a budget",
	"/automations/{id}/offer":                   "a person accepts on the page, signed in, never by a token",
	"/automations/{id}/trial":                   byThePage,
	"/join/{token}":                             signedIn,
	"/login":                                    signedIn,
	"/logout":                                   signedIn,
	"/preferences/theme":                        byThePage,
	"/preferences/workspace":                    byThePage,
	"/settings/profile":                         signedIn,
	"/settings/profile/notices":                 signedIn,
	"/settings/profile/password":                signedIn,
	"/settings/profile/sign-outs":               signedIn,
	"/settings/profile/sign-outs/{id}":          signedIn,
	"/settings/profile/webhook-secret":          signedIn,
	"/settings/providers":                       installation,
	"/settings/providers/{provider}":            installation,
	"/settings/providers/{provider}/deletion":   installation,
	"/settings/providers/{provider}/enabled":    installation,
	"/settings/providers/{provider}/models":     installation,
	"/settings/providers/{provider}/resumption": installation,
	"/settings/providers/{provider}/trial":      installation,
	"/settings/toggles":                         installation,
	"/settings/toggles/{key}/reset":             installation,
	"/settings/tokens":                          signedIn,
	"/settings/tokens/{id}/revocation":          signedIn,
	"/settings/users":                           signedIn,
	"/settings/users/{id}":                      signedIn,
	"/settings/users/{id}/address":              signedIn,
	"/settings/users/{id}/invitation":           signedIn,
	"/settings/users/{id}/reset":                signedIn,
	"/settings/users/{id}/unlinking":            signedIn,
	"/setup":                                    signedIn,
}

// TestWhatAPageCanDoTheAPICan fails on a route of a page that changes something where neither the API has an operation
// for it nor a reason is given here.
func TestWhatAPageCanDoTheAPICan(t *testing.T) {
	routes := allPatterns()
	pages := map[string]bool{}
	for _, route := range routes {
		path, changes := strings.CutPrefix(route, "POST ")
		if !changes || strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, "/mcp") {
			continue
		}
		pages[path] = true
		operation, reason := sameByAPI[path], byPageAlone[path]
		method, address, _ := strings.Cut(operation, " ")
		switch {
		case operation == "" && reason == "":
			t.Errorf("the API does not do what POST %s does: add an operation, or say here why not", path)
		case operation != "" && reason != "":
			t.Errorf("POST %s has an operation of the API, and a reason to have none", path)
		case operation != "" && !slices.Contains(routes, method+" "+api.Prefix+address):
			t.Errorf("the API has no %s, which is said to do what POST %s does", operation, path)
		}
	}
	for _, list := range []map[string]string{sameByAPI, byPageAlone} {
		for path := range list {
			if !pages[path] {
				t.Errorf("there is no POST %s", path)
			}
		}
	}
}
