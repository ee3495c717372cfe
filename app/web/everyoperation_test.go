package web

import (
	"slices"
	"strings"
	"testing"
)

// sameByAPI says, for what a person does on a page, which operation of the API does it.
var sameByAPI = map[string]string{
	"/automations":                    "POST /automations",
	"/automations/{id}":               "PATCH /automations/{id}",
	"/automations/{id}/deletion":      "DELETE /automations/{id}",
	"/automations/{id}/enabled":       "POST /automations/{id}/enabled",
	"/automations/{id}/runs":          "POST /automations/{id}/runs",
	"/automations/{id}/token":         "POST /automations/{id}/token",
	"/bots":                           "POST /bots",
	"/bots/{id}":                      "PATCH /bots/{id}",
	"/bots/{id}/deletion":             "DELETE /bots/{id}",
	"/executions/{id}/cancellation":   "POST /executions/{id}/cancellation",
	"/executions/{id}/repetitions":    "POST /executions/{id}/repetitions",
	"/inbox/reading":                  "POST /inbox/reading",
	"/inbox/{id}/reading":             "POST /inbox/{id}/reading",
	"/sessions/{id}/completion":       "POST /sessions/{id}/completion",
	"/sessions/{id}/messages":         "POST /sessions/{id}/messages",
	"/sessions/{id}/reopening":        "POST /sessions/{id}/reopening",
	"/sessions/{id}/stop":             "POST /sessions/{id}/stop",
	"/tickets":                        "POST /tickets",
	"/tickets/{id}":                   "PATCH /tickets/{id}",
	"/tickets/{id}/status":            "PATCH /tickets/{id}",
	"/workflows":                      "POST /workflows",
	"/workflows/{id}":                 "PATCH /workflows/{id}",
	"/workflows/{id}/deletion":        "DELETE /workflows/{id}",
}
