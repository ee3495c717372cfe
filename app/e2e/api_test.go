package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"carillon/app/e2e/internal/stage"
)

var apiToken = regexp.MustCompile(`carillon_api_[A-Za-z0-9_-]{43}`)

// A program goes the whole way with a token that a person made on its page: it makes an automation, runs it, asks until
// the run is over, and reads what it said.
func TestAProgramMakesRunsAndReadsWithATokenOfAPerson(t *testing.T) {
	t.Parallel()
	s := stage.Serve(t, slices.Concat(stage.AsAdministrator, []string{stage.OnDatabase(t)})...)
	v := stage.Visit(t, s)
	token := apiToken.FindString(v.Post(t, "/settings/tokens", url.Values{
		"name": {"Script"}, "days": {"90"}, "scope": {"all"},
	}).First(stage.With("id", "token")).Attr("value"))
	if token == "" {
		t.Fatal("the page after making a token does not show it")
	}
	call := func(method, path string, status int, body, into any) {
		t.Helper()
		var text []byte
		if body != nil {
			var err error
			if text, err = json.Marshal(body); err != nil {
				t.Fatal(err)
			}
		}
		req, err := http.NewRequestWithContext(t.Context(), method, s.Base+"/api/v1"+path, bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close() //nolint:errcheck // read below
		var answer json.RawMessage
		if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != status {
			t.Fatalf("%s %s answered %d %s, %v; want %d", method, path, res.StatusCode, answer, err, status)
		}
		if err := json.Unmarshal(answer, into); err != nil {
			t.Fatal(err)
		}
	}
	type object = map[string]any
	var workspaces struct{ Items []struct{ ID, Name string } }
	call("GET", "/workspaces", 200, nil, &workspaces)
	var automation struct{ ID string }
	call("POST", "/automations", 201, object{
		"name": "Greet", "workspace_id": workspaces.Items[0].ID, "provider": "shell", "prompt": "echo Hello, {{who}}",
		"parameters": object{"who": "nobody"},
	}, &automation)
	var run struct {
		ExecutionID string `json:"execution_id"`
		SessionID   string `json:"session_id"`
	}
	call("POST", "/automations/"+automation.ID+"/runs", 201, object{"parameters": object{"who": "world"}}, &run)
	var execution struct{ Status, Reason string }
	stage.Eventually(t, "the run to end", func() bool {
		call("GET", "/executions/"+run.ExecutionID, 200, nil, &execution)
		return execution.Status != "queued" && execution.Status != "running"
	})
	if execution.Status != "succeeded" {
		t.Errorf("the run ended as %s: %s", execution.Status, execution.Reason)
	}
	var events struct {
		Items []struct {
			Number int64
			Kind   string
			Body   json.RawMessage
		}
		NextCursor string `json:"next_cursor"`
	}
	said, cursor := "", ""
	for { // two at a time
		call("GET", "/sessions/"+run.SessionID+"/events?limit=2"+cursor, 200, nil, &events)
		for _, e := range events.Items {
			if e.Kind == "output" {
				said += string(e.Body)
			}
		}
		if events.NextCursor == "" {
			break
		}
		cursor, events.NextCursor = "&cursor="+events.NextCursor, ""
	}
	if !strings.Contains(said, "Hello, world") {
		t.Errorf("the transcript says %s; want what the script wrote", said)
	}
	if strings.Contains(s.Log.String(), token) {
		t.Error("the log has the token")
	}
}
