package mcp_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/mcp"
	"carillon/app/web/webtest"
)

func TestWhatToolsTakeIsDescribedPlainly(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleMember)
	c := s.Tool(b.Agent(func(in *automation.Input) { in.MayAutomate = true }).Token)
	r, err := c.ListTools(t.Context(), nil)
	webtest.Check(t, err)
	if len(r.Tools) != 14 {
		t.Errorf("there are %d tools", len(r.Tools))
	}
	for _, tool := range r.Tools {
		text, err := json.Marshal(tool.InputSchema)
		webtest.Check(t, err)
		if tool.Description == "" || strings.Contains(string(text), `"type":[`) ||
			!strings.Contains(string(text), `"type":"object"`) {
			t.Errorf("%s (%s) takes %s", tool.Name, tool.Description, text)
		}
	}
}

func TestArgumentsThatDoNotFitAreSaidToTheAgent(t *testing.T) {
	s := webtest.Open(t)
	c := s.Tool(s.As("Mira", account.RoleMember).Agent(nil).Token)
	// agents write null for nothing
	s.Must(c, "create_ticket", map[string]any{"title": "x", "body": nil, "labels": nil, "assignee": nil})
	if got := s.Must(c, "update_ticket", map[string]any{
		"number": 1, "title": nil, "priority": "low",
	}); got["title"] != "x" || got["priority"] != "low" {
		t.Errorf("null changed the ticket to %v", got)
	}
	s.Refused(c, "create_ticket", map[string]any{"title": nil}, "title is missing")
	s.Refused(c, "create_ticket", map[string]any{"title": "x", "colour": "red"}, `unknown field "colour"`)
	s.Refused(c, "read_ticket", map[string]any{"number": "one"}, "number is a string, which does not fit")
}

func TestAToolIsCalledWithOneRequest(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleMember)
	post := func(body string) *webtest.Answer {
		req, err := http.NewRequest(http.MethodPost, s.HTTP.URL+"/mcp", strings.NewReader(body))
		webtest.Check(t, err)
		req.Header.Set("Authorization", "Bearer "+b.Agent(nil).Token)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		return s.Nobody().Do(req)
	}
	post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"create_ticket","arguments":{"title":"By curl"}}}`).Expect(t, http.StatusOK, `"number":1`)
	if a := post(
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"create_ticket","arguments":{"title":"` +
			strings.Repeat("x", mcp.MaxCall) + `"}}}`); a.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a call of over %d bytes answered %d", mcp.MaxCall, a.StatusCode)
	}
	post(`{`).Expect(t, http.StatusBadRequest, "")
}
