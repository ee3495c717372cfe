package webtest

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/uptrace/bun"

	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/db"
)

// Working is a session at work, as its worker sees it, with the token of its turn.
type Working struct {
	Session db.Session
	Lease   db.Lease
	Token   string
	Own     *db.Automation
}

// Agent starts an automation of a person's, begins its turn, and gives it a token.
func (b *Browser) Agent(change func(*automation.Input)) *Working {
	b.T.Helper()
	ctx := b.T.Context()
	in := automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Nightly audit",
		Workspace:      b.Workspace,
		Trigger:        "manual",
		SessionType:    "develop",
		Prompt:         "Audit {{what}}.",
		Provider:       "agent",
		Retries:        2,
	}}
	if change != nil {
		change(&in)
	}
	a, _, err := b.Rules.Definitions().Create(ctx, b.Actor, in)
	Check(b.T, err)
	run, err := b.Rules.Runs().RunNow(ctx, b.Actor, a.ID, map[string]string{"what": "all"})
	Check(b.T, err)
	x := &Working{Own: a, Token: automation.NewSessionToken()}
	x.Lease = b.Claim(run)
	claimed, err := db.SessionByID(ctx, b.Server.DB, run.Session.ID)
	Check(b.T, err)
	x.Session = *claimed
	turn, err := db.NextTurn(ctx, b.Server.DB, x.Lease, run.Execution.ID, time.Now())
	Check(b.T, err)
	Check(b.T, b.Rules.Agents().IssueToken(ctx, x.Lease, turn.ID, x.Token))
	return x
}

// Claim takes a run's session as a worker would.
func (b *Browser) Claim(run *automation.Run) db.Lease {
	b.T.Helper()
	lease := db.Lease{Session: run.Session.ID, Worker: "test"}
	Check(b.T, b.Server.DB.RunInTx(b.T.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		list, err := db.ClaimSessions(ctx, tx, lease.Worker, 100, time.Now(), time.Now().Add(time.Minute))
		for _, session := range list {
			if session.ID == run.Session.ID {
				lease.Fence = session.Fence
			}
		}
		return err
	}))
	return lease
}

// bearing sends a token, and a header that a page of a browser would send.
type bearing struct{ token, origin string }

func (t bearing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if t.token != "" {
		r.Header.Set("Authorization", "Bearer "+t.token)
	}
	if t.origin != "" {
		r.Header.Set("Origin", t.origin)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// Connect opens a session of MCP with a token.
func (s *Site) Connect(token, origin string) (*mcp.ClientSession, error) {
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	return client.Connect(s.T.Context(), &mcp.StreamableClientTransport{
		Endpoint: s.HTTP.URL + "/mcp", HTTPClient: &http.Client{Transport: bearing{token, origin}},
		DisableStandaloneSSE: true, MaxRetries: -1,
	}, nil)
}

// Tool is a client of a token, connected.
func (s *Site) Tool(token string) *mcp.ClientSession {
	s.T.Helper()
	c, err := s.Connect(token, "")
	Check(s.T, err)
	s.T.Cleanup(func() { _ = c.Close() })
	return c
}

// Call calls a tool and returns its result as text, and whether it is an error.
func (s *Site) Call(c *mcp.ClientSession, name string, args map[string]any) (string, bool) {
	s.T.Helper()
	if args == nil {
		args = map[string]any{}
	}
	r, err := c.CallTool(s.T.Context(), &mcp.CallToolParams{Name: name, Arguments: args})
	if err != nil {
		return err.Error(), true
	}
	var b strings.Builder
	for _, content := range r.Content {
		if t, ok := content.(*mcp.TextContent); ok {
			b.WriteString(t.Text)
		}
	}
	return b.String(), r.IsError
}

// Must calls a tool that is to succeed, and reads its result.
func (s *Site) Must(c *mcp.ClientSession, name string, args map[string]any) map[string]any {
	s.T.Helper()
	text, failed := s.Call(c, name, args)
	var out map[string]any
	if err := json.Unmarshal([]byte(text), &out); failed || err != nil {
		s.T.Fatalf("%s answered %s (%v)", name, text, err)
	}
	return out
}

// Refused calls a tool that is to fail with a text.
func (s *Site) Refused(c *mcp.ClientSession, name string, args map[string]any, want string) {
	s.T.Helper()
	if text, failed := s.Call(c, name, args); !failed || !strings.Contains(text, want) {
		s.T.Errorf("%s answered %s; want an error with %q", name, text, want)
	}
}

// ToolNames are the names of the tools that a session of MCP offers.
func ToolNames(t *testing.T, c *mcp.ClientSession) []string {
	t.Helper()
	r, err := c.ListTools(t.Context(), nil)
	Check(t, err)
	var names []string
	for _, tool := range r.Tools {
		names = append(names, tool.Name)
	}
	slices.Sort(names)
	return names
}
