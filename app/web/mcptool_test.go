package web

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/mcp"
)

func TestWhatToolsTakeIsDescribedPlainly(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleMember)
	c := s.tool(b.agent(func(in *automation.Input) { in.MayAutomate = true }).token)
	r, err := c.ListTools(t.Context(), nil)
	check(t, err)
	if len(r.Tools) != 14 {
		t.Errorf("there are %d tools", len(r.Tools))
	}
	for _, tool := range r.Tools {
		text, err := json.Marshal(tool.InputSchema)
		check(t, err)
		if tool.Description == "" || strings.Contains(string(text), `"type":[`) ||
			!strings.Contains(string(text), `"type":"object"`) {
			t.Errorf("%s (%s) takes %s", tool.Name, tool.Description, text)
		}
	}
}

func TestArgumentsThatDoNotFitAreSaidToTheAgent(t *testing.T) {
	s := open(t)
	c := s.tool(s.as("Mira", account.RoleMember).agent(nil).token)
	// agents write null for nothing
	s.must(c, "create_ticket", map[string]any{"title": "x", "body": nil, "labels": nil, "assignee": nil})
	if got := s.must(c, "update_ticket", map[string]any{
		"number": 1, "title": nil, "priority": "low",
	}); got["title"] != "x" || got["priority"] != "low" {
		t.Errorf("null changed the ticket to %v", got)
	}
	s.refused(c, "create_ticket", map[string]any{"title": nil}, "title is missing")
	s.refused(c, "create_ticket", map[string]any{"title": "x", "colour": "red"}, `unknown field "colour"`)
	s.refused(c, "read_ticket", map[string]any{"number": "one"}, "number is a string, which does not fit")
}

func TestAToolIsCalledWithOneRequest(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleMember)
	post := func(body string) *answer {
		req, err := http.NewRequest(http.MethodPost, s.http.URL+"/mcp", strings.NewReader(body))
		check(t, err)
		req.Header.Set("Authorization", "Bearer "+b.agent(nil).token)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		return s.nobody().do(req)
	}
	post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"create_ticket","arguments":{"title":"By curl"}}}`).expect(t, http.StatusOK, `"number":1`)
	if a := post(
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"create_ticket","arguments":{"title":"` +
			strings.Repeat("x", mcp.MaxCall) + `"}}}`); a.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a call of over %d bytes answered %d", mcp.MaxCall, a.StatusCode)
	}
	post(`{`).expect(t, http.StatusBadRequest, "")
}
