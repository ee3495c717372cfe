package web_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"carillon/app/web/webtest"
)

// untilWaiting waits until some statement of the database waits for a lock, or none does.
func untilWaiting(x *webtest.Walk, want bool) {
	x.T.Helper()
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var n int
		webtest.Check(x.T, x.Server.DB.NewRaw(
			"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").
			Scan(x.T.Context(), &n))
		if (n > 0) == want {
			return
		}
	}
	x.T.Fatalf("waited for ten minutes for statements to wait: %t", want)
}

// TestWhatAPersonAsksForEndsWhenTheyLeave holds what pages and calls read, and sees that the statement of who has gone
// is given up.
func TestWhatAPersonAsksForEndsWhenTheyLeave(t *testing.T) {
	x := webtest.NewWalk(t)
	token := x.Tokens()["admin"]
	session := x.Who["owner"].Agent(nil)
	tx, err := x.Server.DB.BeginTx(t.Context(), nil)
	webtest.Check(t, err)
	defer tx.Rollback() //nolint:errcheck // it changed nothing
	_, err = tx.ExecContext(t.Context(),
		"LOCK TABLE tickets, automations, executions, workflows, bots, workspaces, notifications, session_events IN "+
			"ACCESS EXCLUSIVE MODE")
	webtest.Check(t, err)
	for _, route := range []string{
		"GET /tickets", "GET /automations", "GET /executions", "GET /sessions", "GET /workflows", "GET /bots",
		"GET /workspaces", "GET /inbox",
		"POST /tickets", "POST /automations", "GET /api/v1/automations", "GET /api/v1/tickets", "GET /api/v1/export",
		"POST /api/v1/tickets", "POST /mcp",
	} {
		method, path, _ := strings.Cut(route, " ")
		ctx, leave := context.WithCancel(t.Context())
		body := url.Values{"workspace": {x.Workspace}, "title": {"x"}, "name": {"x"}}.Encode()
		kind := "application/x-www-form-urlencoded"
		client, bearer := x.Who["admin"].Client, ""
		switch {
		case path == "/mcp":
			body, kind, client, bearer = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_tickets","arguments":{}}}`, "application/json", http.DefaultClient, session.Token
		case strings.HasPrefix(path, "/api/"):
			body, kind, client, bearer = `{"workspace_id":"`+x.Workspace+`","title":"x"}`, "application/json",
				http.DefaultClient, token
		}
		if method == http.MethodGet {
			body = ""
		}
		req, err := http.NewRequestWithContext(ctx, method, x.HTTP.URL+path, strings.NewReader(body))
		webtest.Check(t, err)
		req.Header.Set("Content-Type", kind)
		req.Header.Set("Accept", "application/json, text/event-stream, text/html")
		if bearer != "" {
			req.Header.Set("Authorization", "Bearer "+bearer)
		}
		left := make(chan struct{})
		go func() {
			defer close(left)
			if res, err := client.Do(req); err == nil {
				t.Errorf("%s was answered %d, though what it reads is held", route, res.StatusCode)
				_ = res.Body.Close()
			}
		}()
		untilWaiting(x, true)
		leave()
		<-left
		untilWaiting(x, false)
	}
}

// propertiesOf are the arguments of a tool of a type, or all.
func propertiesOf(t *testing.T, schema any, kind string) map[string]bool {
	t.Helper()
	raw, err := json.Marshal(schema)
	webtest.Check(t, err)
	var takes struct {
		Properties map[string]struct{ Type string }
	}
	webtest.Check(t, json.Unmarshal(raw, &takes))
	list := map[string]bool{}
	for name, p := range takes.Properties {
		if kind == "" || p.Type == kind {
			list[name] = true
		}
	}
	return list
}
