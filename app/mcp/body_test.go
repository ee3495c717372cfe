package mcp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/app/api"
	"carillon/app/automation"
	"carillon/app/web/webtest"
)

// message asks the tools with a body as it is.
func message(s *webtest.Site, token, version, body string) *webtest.Answer {
	s.T.Helper()
	req, err := http.NewRequest(http.MethodPost, s.HTTP.URL+"/mcp", strings.NewReader(body))
	webtest.Check(s.T, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Authorization", "Bearer "+token)
	if version != "" {
		req.Header.Set("Mcp-Protocol-Version", version)
	}
	return s.Nobody().Do(req)
}

// A list of messages in one body would be thousands of calls, which the library answers all at once.
func TestARequestToTheToolsIsOneCall(t *testing.T) {
	s := webtest.Open(t)
	mira := s.As("Mira", account.RoleMember)
	one := func(id int) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call",`+
			`"params":{"name":"create_ticket","arguments":{"title":"x"}}}`, id)
	}
	many := make([]string, 100)
	for i := range many {
		many[i] = one(i + 1)
	}
	for who, token := range map[string]string{"a person": mira.NewToken(), "a session": mira.Agent(nil).Token} {
		for _, version := range []string{"", "2024-11-05", "2025-03-26", "2025-06-18"} {
			for _, body := range []string{"[" + one(1) + "]", " \r\n\t[" + strings.Join(many, ",") + "]", "[]"} {
				message(s, token, version, body).Expect(t, http.StatusBadRequest, "one message")
			}
		}
		if n := countTickets(s); n > 0 {
			t.Errorf("%s made %d tickets by lists of messages", who, n)
		}
	}
	message(s, mira.NewToken(), "2025-03-26", one(1)).Expect(t, http.StatusOK, `\"number\":1`)
}

// countTickets is how many there are.
func countTickets(s *webtest.Site) (n int) {
	s.T.Helper()
	webtest.Check(s.T, s.Server.DB.NewRaw("SELECT count(*) FROM tickets").Scan(s.T.Context(), &n))
	return n
}

// A body may take as long to come as the server waits for it.
func TestATokenThatEndsWhileTheBodyComesChangesNothing(t *testing.T) {
	s := webtest.Open(t)
	person := s.Bearers.Person
	asked := make(chan struct{}, 10)
	s.Bearers.Person = func(ctx context.Context, token string) (account.Actor, error) {
		a, err := person(ctx, token)
		asked <- struct{}{}
		return a, err
	}
	for i, door := range []string{"/api/v1/tickets", "/mcp"} {
		mira := s.As(fmt.Sprint("Mira", i), account.RoleMember)
		body, rest := io.Pipe()
		req, err := http.NewRequest(http.MethodPost, s.HTTP.URL+door, body)
		webtest.Check(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		req.Header.Set("Authorization", "Bearer "+mira.NewToken())
		done := make(chan *webtest.Answer)
		go func() { done <- s.Nobody().Do(req) }()
		<-asked
		webtest.Check(t, s.Server.Accounts.Deactivate(t.Context(), nil, mira.Actor.ID))
		_, err = io.WriteString(rest, map[string]string{
			"/api/v1/tickets": `{"workspace_id":"` + s.Workspace + `","title":"Late"}`,
			"/mcp": `{"jsonrpc":"2.0","id":1,"method":"tools/call",` +
				`"params":{"name":"create_ticket","arguments":{"title":"Late"}}}`,
		}[door])
		webtest.Check(t, err)
		webtest.Check(t, rest.Close())
		(<-done).Expect(t, http.StatusUnauthorized, "not good any more")
		if n := countTickets(s); n > 0 {
			t.Errorf("%s made a ticket", door)
		}
	}
}

// The same of a session whose turn ends meanwhile.
func TestASessionThatEndsWhileTheBodyComesChangesNothing(t *testing.T) {
	s := webtest.Open(t)
	mira := s.As("Mira", account.RoleMember)
	session := mira.Agent(nil)
	body, rest := io.Pipe()
	req, err := http.NewRequest(http.MethodPost, s.HTTP.URL+"/mcp", body)
	webtest.Check(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Authorization", "Bearer "+session.Token)
	done := make(chan *webtest.Answer)
	go func() { done <- s.Nobody().Do(req) }()
	_, err = io.WriteString(rest, `{"jsonrpc":"2.0",`)
	webtest.Check(t, err)
	webtest.Check(t, s.Rules.Runs().Finish(t.Context(), session.Lease, automation.Outcome{Status: "succeeded"}))
	_, err = io.WriteString(rest, `"id":1,"method":"tools/call",`+
		`"params":{"name":"create_ticket","arguments":{"title":"Late"}}}`)
	webtest.Check(t, err)
	webtest.Check(t, rest.Close())
	(<-done).Expect(t, http.StatusUnauthorized, "not good any more")
	if n := countTickets(s); n > 0 {
		t.Error("it made a ticket")
	}
}

// The library of the API finds fault with each value by itself, and tools may too. Nobody needs a permission for it.
func TestABodyOfVeryManyValuesIsRefusedBeforeItIsLookedThrough(t *testing.T) {
	s := webtest.Open(t)
	program := s.As("Mira", account.RoleMember).Program(account.ViewOwn)
	many := func(before, value, after string, size int) string {
		return before + strings.Repeat(value, (size-len(before)-len(after)-1)/len(value)) + after
	}
	for path, body := range map[string]string{
		"/tickets":   many(`{"title":"x","labels":[`, "0,", "0]}", api.MaxBody),
		"/workflows": many(`{"name":"x","steps":[`, "{},", "0]}", api.MaxWorkflow),
		"/plans":     many(`{"files":[`, "0,", "0]}", api.MaxManifest),
	} {
		program.Call(http.MethodPost, path, body).Expect(t, http.StatusBadRequest, "has more than 20000 values")
	}
	message(s, program.Token, "", many(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{`+
		`"name":"create_automation","arguments":{"filter":{"conditions":[`, "{},", "0]}}}}", 2<<20)).
		Expect(t, http.StatusBadRequest, "a call has at most 20000 values")
	wrong := program.Call(http.MethodPost, "/workflows", many(`{"name":"x","steps":[`, "0,", "0]}", 20_000))
	wrong.Expect(t, http.StatusUnprocessableEntity, "These are the first 100 mistakes.")
	if n := strings.Count(wrong.Text, `"field"`); n != 100 {
		t.Errorf("it tells %d mistakes", n)
	}
}
