package web

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/middleware"
	"carillon/app/spec"
	"carillon/app/ticket"
	"carillon/app/workspace"
	"carillon/db"
)

// working is a session at work, as its worker sees it, with the token of its turn.
type working struct {
	session db.Session
	lease   db.Lease
	token   string
	own     *db.Automation
}

// agent starts an automation of a person's, begins its turn, and gives it a token.
func (b *browser) agent(change func(*automation.Input)) *working {
	b.t.Helper()
	ctx := b.t.Context()
	in := automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Nightly audit",
		Workspace:      b.workspace,
		Trigger:        "manual",
		SessionType:    "develop",
		Prompt:         "Audit {{what}}.",
		Provider:       "agent",
		Retries:        2,
	}}
	if change != nil {
		change(&in)
	}
	a, _, err := b.rules.Definitions().Create(ctx, b.actor, in)
	check(b.t, err)
	run, err := b.rules.Runs().RunNow(ctx, b.actor, a.ID, map[string]string{"what": "all"})
	check(b.t, err)
	x := &working{own: a, token: automation.NewSessionToken()}
	x.lease = b.claim(run)
	claimed, err := db.SessionByID(ctx, b.server.DB, run.Session.ID)
	check(b.t, err)
	x.session = *claimed
	turn, err := db.NextTurn(ctx, b.server.DB, x.lease, run.Execution.ID, time.Now())
	check(b.t, err)
	check(b.t, b.rules.Agents().IssueToken(ctx, x.lease, turn.ID, x.token))
	return x
}

// claim takes a run's session as a worker would.
func (b *browser) claim(run *automation.Run) db.Lease {
	b.t.Helper()
	lease := db.Lease{Session: run.Session.ID, Worker: "test"}
	check(b.t, b.server.DB.RunInTx(b.t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
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

func (s *site) connect(token, origin string) (*mcp.ClientSession, error) {
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	return client.Connect(s.t.Context(), &mcp.StreamableClientTransport{
		Endpoint: s.http.URL + "/mcp", HTTPClient: &http.Client{Transport: bearing{token, origin}},
		DisableStandaloneSSE: true, MaxRetries: -1,
	}, nil)
}

// tool is a client of a token, connected.
func (s *site) tool(token string) *mcp.ClientSession {
	s.t.Helper()
	c, err := s.connect(token, "")
	check(s.t, err)
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// call calls a tool and returns its result as text, and whether it is an error.
func (s *site) call(c *mcp.ClientSession, name string, args map[string]any) (string, bool) {
	s.t.Helper()
	if args == nil {
		args = map[string]any{}
	}
	r, err := c.CallTool(s.t.Context(), &mcp.CallToolParams{Name: name, Arguments: args})
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

// must calls a tool that is to succeed, and reads its result.
func (s *site) must(c *mcp.ClientSession, name string, args map[string]any) map[string]any {
	s.t.Helper()
	text, failed := s.call(c, name, args)
	var out map[string]any
	if err := json.Unmarshal([]byte(text), &out); failed || err != nil {
		s.t.Fatalf("%s answered %s (%v)", name, text, err)
	}
	return out
}

// refused calls a tool that is to fail with a text.
func (s *site) refused(c *mcp.ClientSession, name string, args map[string]any, want string) {
	s.t.Helper()
	if text, failed := s.call(c, name, args); !failed || !strings.Contains(text, want) {
		s.t.Errorf("%s answered %s; want an error with %q", name, text, want)
	}
}

func toolNames(t *testing.T, c *mcp.ClientSession) []string {
	t.Helper()
	r, err := c.ListTools(t.Context(), nil)
	check(t, err)
	var names []string
	for _, tool := range r.Tools {
		names = append(names, tool.Name)
	}
	slices.Sort(names)
	return names
}

func TestASessionCreatesReadsAndFinishesTicketsThroughMCP(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleMember)
	c := s.tool(b.agent(nil).token)
	made := s.must(c, "create_ticket", map[string]any{
		"title": "undici: high-severity advisory", "body": "Upgrade to 6.21.1.", "priority": "high",
		"labels": []string{"security"}, "assignee": "Mira@example.com",
	})
	if made["number"] != 1.0 || made["status"] != "open" || made["assignee"] != "Mira@example.com" ||
		made["workspace"] != "Scratch" {
		t.Errorf("the ticket is %v", made)
	}
	b.get(strings.TrimPrefix(made["url"].(string), s.http.URL)).expect(t, http.StatusOK, "Created by a session of Mira")
	s.must(c, "create_ticket", map[string]any{"title": "Lesser", "priority": "low"})
	if list := s.must(c, "list_tickets", map[string]any{"queue": true, "limit": 1}); len(
		list["tickets"].([]any)) != 1 || list["next"] == "" {
		t.Errorf("the list is %v", list)
	}
	claimed := s.must(c, "claim_next_ticket", nil)
	if claimed["found"] != true || claimed["ticket"].(map[string]any)["number"] != 1.0 {
		t.Errorf("claimed %v", claimed)
	}
	if read := s.must(c, "read_ticket", map[string]any{"number": 1}); read["body"] != "Upgrade to 6.21.1." ||
		read["status"] != "in_progress" {
		t.Errorf("read %v", read)
	}
	s.must(c, "report_result", map[string]any{"outcome": "done", "summary": "Upgraded."})
	if updated := s.must(c, "update_ticket", map[string]any{
		"number": 1, "status": "done", "assignee": "", "labels": []string{},
	}); updated["status"] != "done" || updated["assignee"] != nil || len(updated["labels"].([]any)) != 0 {
		t.Errorf("updated %v", updated)
	}
	if next := s.must(c, "claim_next_ticket", nil); next["ticket"].(map[string]any)["title"] != "Lesser" {
		t.Errorf("then claimed %v", next)
	}
	s.must(c, "update_ticket", map[string]any{"number": 2, "status": "canceled"})
	if none := s.must(c, "claim_next_ticket", nil); none["found"] != false {
		t.Errorf("of an empty queue it claimed %v", none)
	}
	s.must(c, "send_inbox_message", map[string]any{"title": "One upgrade done", "body": "See #1."})
	b.get("/inbox").expect(t, http.StatusOK, "One upgrade done")
	s.refused(c, "create_ticket", map[string]any{"title": " ", "priority": "huge"}, "priority: Choose one of urgent")
	s.refused(c, "create_ticket", map[string]any{"title": "x", "assignee": "eve@example.com"},
		"No member of this workspace")
	s.refused(c, "read_ticket", map[string]any{"number": 99}, "no ticket #99")
}

// longestAnswer is how much of a past run's answer a list has, in bytes.
const longestAnswer = 4 << 10

func TestASessionReadsItsAutomationAndPastRunsThroughMCP(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleMember)
	first := b.agent(nil)
	check(t, s.rules.Runs().Finish(t.Context(), first.lease,
		automation.Outcome{Status: db.Succeeded, Answer: strings.Repeat("é", longestAnswer)}))
	_, err := s.rules.Runs().RunNow(t.Context(), b.actor, first.own.ID, nil)
	check(t, err)
	other := b.agent(func(in *automation.Input) { in.Name = "Other" })
	c := s.tool(other.token)
	if own := s.must(c, "read_automation", nil); own["name"] != "Other" || own["prompt"] != "Audit {{what}}." {
		t.Errorf("read %v", own)
	}
	runs := s.must(c, "list_past_runs", map[string]any{"automation": first.own.ID.String(), "limit": 1})
	list := runs["runs"].([]any)
	if len(list) != 1 || runs["next"] == nil || list[0].(map[string]any)["status"] == "succeeded" {
		t.Errorf("the newest run is %v", runs)
	}
	older := s.must(c, "list_past_runs", map[string]any{"automation": first.own.ID.String(), "before": runs["next"]})
	run := older["runs"].([]any)[0].(map[string]any)
	if answer := run["answer"].(string); run["status"] != "succeeded" || len(answer) > longestAnswer+3 ||
		!strings.HasSuffix(answer, "…") {
		t.Errorf("the run before is %.300v", run)
	}
}

func TestATokenThatOpensNothingIsRefusedAtMCP(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleMember)
	x := b.agent(nil)
	for name, token := range map[string]string{
		"none": "", "unknown": automation.NewSessionToken(), "of no kind": "abc",
	} {
		if _, err := s.connect(token, ""); err == nil {
			t.Errorf("a client with a token %s connected", name)
		}
	}
	c := s.tool(x.token)
	s.must(c, "list_tickets", nil)
	check(t, s.rules.Runs().Finish(t.Context(), x.lease, automation.Outcome{Status: db.Succeeded}))
	if text, failed := s.call(c, "list_tickets", nil); !failed {
		t.Errorf("the token of an ended session got %s", text)
	}
	if _, err := s.connect(x.token, ""); err == nil {
		t.Error("a client connected with the token of an ended session")
	}
	req, err := http.NewRequest(http.MethodPost, s.http.URL+"/mcp",
		strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
	check(t, err)
	a := b.do(req) // with the cookie of someone signed in
	if a.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") ||
		!strings.Contains(a.body, `"error":"no token`) {
		t.Errorf("a cookie alone got %d %s", a.StatusCode, a.body)
	}
}

func TestBadTokensAtMCPSlowTheirAddressDownAndGoodOnesGoOn(t *testing.T) {
	s := open(t)
	s.bearers.Bad = middleware.NewRateLimiter(0, 20) // nothing comes back, however long the test takes
	b := s.as("Mira", account.RoleMember)
	x := b.agent(nil)
	status := func(token string) int {
		req, err := http.NewRequest(http.MethodPost, s.http.URL+"/mcp",
			strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
		check(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		return s.nobody().do(req).StatusCode
	}
	for i := 0; status("bad") != http.StatusTooManyRequests; i++ {
		if i > 50 {
			t.Fatal("bad tokens are tried without end")
		}
	}
	if got := status(x.token); got != http.StatusOK {
		t.Errorf("a good token from the same address got %d", got)
	}
}

func TestPagesOfOtherSitesAreNotAnsweredAtMCP(t *testing.T) {
	s := open(t)
	x := s.as("Mira", account.RoleMember).agent(nil)
	for origin, want := range map[string]bool{
		"https://evil.example": false, "null": false, strings.Replace(s.http.URL, "127.0.0.1", "localhost", 1): false,
		s.http.URL: true,
	} {
		c, err := s.connect(x.token, origin)
		if (err == nil) != want {
			t.Errorf("from %s: %v; want it answered: %v", origin, err, want)
		}
		if err == nil {
			_ = c.Close()
		}
	}
}

func TestTicketsOfOtherWorkspacesAreNotFoundThroughMCP(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleAdministrator)
	w, err := s.rules.Workspaces.Create(t.Context(), b.actor,
		workspace.Input{Name: "Elsewhere", GitURL: "https://example.com/x.git"})
	check(t, err)
	for _, title := range []string{"One", "Two"} {
		_, err = s.server.Tickets.Create(t.Context(), b.actor, ticket.Input{
			Workspace: w.ID.String(), Title: title,
		})
		check(t, err)
	}
	b.ticket("title", "Ours")
	c := s.tool(b.agent(nil).token) // its owner is an administrator, who sees all
	s.refused(c, "read_ticket", map[string]any{"number": 2}, "no ticket #2")
	s.refused(c, "read_ticket", map[string]any{"number": 2, "workspace": "Elsewhere"}, "nothing like this")
	s.refused(c, "update_ticket", map[string]any{"number": 2, "workspace": w.ID.String(), "status": "done"},
		"nothing like this")
	s.refused(c, "create_ticket", map[string]any{"title": "x", "workspace": w.ID.String()}, "nothing like this")
	if list := s.must(c, "list_tickets", nil)["tickets"].([]any); len(list) != 1 ||
		list[0].(map[string]any)["title"] != "Ours" {
		t.Errorf("it lists %v", list)
	}
	if claimed := s.must(c, "claim_next_ticket", nil); claimed["ticket"].(map[string]any)["title"] != "Ours" {
		t.Errorf("it claimed %v", claimed)
	}
}

func TestASessionManagesAutomationsThroughMCPOnlyWhereItsAutomationAllowsIt(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleMember)
	target, _, err := s.rules.Definitions().Create(t.Context(), b.actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Target",
		Workspace:      b.workspace,
		Trigger:        "manual",
		SessionType:    "chat",
		Prompt:         "x",
		Provider:       "agent",
		Retries:        2,
	}})
	check(t, err)
	managing := []string{"create_automation", "edit_automation", "enable_automation", "list_automations",
		"run_automation"}

	plain := s.tool(b.agent(nil).token)
	for _, name := range managing {
		if slices.Contains(toolNames(t, plain), name) {
			t.Errorf("a session that may not has the tool %s", name)
		}
		s.refused(plain, name, map[string]any{"automation": target.ID.String(), "name": "x"}, "may not do that")
	}
	list, err := db.Executions(t.Context(), s.server.DB,
		db.ExecutionFilter{Automation: target.ID, Access: db.Access{All: true, Everywhere: true}, Limit: 10})
	check(t, err)
	if len(list) != 0 {
		t.Fatal("a session that may not ran an automation")
	}

	x := b.agent(func(in *automation.Input) { in.Name, in.MayAutomate = "Manager", true })
	c := s.tool(x.token)
	ran := s.must(c, "run_automation", map[string]any{"automation": target.ID.String()})
	if ran["session_url"] == "" {
		t.Errorf("it ran %v", ran)
	}
	s.refused(c, "run_automation", map[string]any{"automation": target.ID.String()}, "already in flight")
	made := s.must(c, "create_automation", map[string]any{
		"name": "Made by a session", "trigger": "recurring", "cron": "0 2 * * *", "time_zone": "Europe/Berlin",
		"prompt": "Audit {{what}}.", "provider": "agent", "parameters": map[string]string{"what": "all"},
	})["automation"].(map[string]any)
	if made["when"] != "Every day at 02:00" || made["next_run_at"] == nil {
		t.Errorf("it made %v", made)
	}
	edited := s.must(c, "edit_automation", map[string]any{
		"automation": made["id"], "cron": "0 3 * * *",
	})["automation"].(map[string]any)
	if edited["when"] != "Every day at 03:00" || edited["name"] != "Made by a session" ||
		edited["time_zone"] != "Europe/Berlin" {
		t.Errorf("it edited %v", edited)
	}
	s.refused(c, "create_automation", map[string]any{
		"name": "x", "provider": "agent", "prompt": "y", "trigger": "recurring", "cron": "@daily",
	}, "cron: ")
	if list := s.must(c, "list_automations", map[string]any{"search": "session"})["automations"].([]any); len(
		list) != 1 {
		t.Errorf("it lists %v", list)
	}

	// Taken back while it runs, it is refused from the next call on.
	_, err = s.server.DB.NewRaw("UPDATE automations SET may_automate = false WHERE id = ?", x.own.ID).Exec(t.Context())
	check(t, err)
	s.refused(c, "edit_automation", map[string]any{"automation": made["id"], "cron": "0 4 * * *"}, "may not do that")
}

func TestPeoplesTokensReachWhatTheirOwnersReachThroughMCP(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleMember)
	s.bearers.Person = func(_ context.Context, token string) (account.Actor, error) {
		if token != "hers" {
			return account.Actor{}, fault.ErrNotFound
		}
		return b.actor, nil
	}
	if _, err := s.connect("another", ""); err == nil {
		t.Error("an unknown token connected")
	}
	c := s.tool("hers")
	if names := strings.Join(toolNames(t, c),
		" "); names != "create_automation create_ticket edit_automation enable_automation list_automations "+
		"list_past_runs list_tickets read_automation read_ticket run_automation update_ticket" {
		t.Errorf("a person has the tools %s", names)
	}
	// she has one workspace
	made := s.must(c, "create_automation", map[string]any{
		"name": "Hook", "trigger": "http", "prompt": "x", "provider": "agent",
	})
	if !strings.Contains(made["webhook_url"].(string), "/api/automations/http-trigger/") {
		t.Errorf("it made %v", made)
	}
	s.must(c, "create_ticket", map[string]any{"title": "By hand", "workspace": "scratch"})
	b.get("/tickets").expect(t, http.StatusOK, "By hand")

	lena := s.as("Lena", account.RoleMember)
	hers, _, err := s.rules.Definitions().Create(t.Context(), lena.actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Lena's",
		Workspace:      b.workspace,
		Trigger:        "manual",
		SessionType:    "chat",
		Prompt:         "x",
		Provider:       "agent",
		Retries:        2,
	}})
	check(t, err)
	s.refused(c, "run_automation", map[string]any{"automation": hers.ID.String()}, "nothing like this")
	s.refused(c, "read_automation", nil, "Give the id")
	_, err = s.server.DB.NewRaw("UPDATE roles SET permissions = '{automations.view_all}' WHERE key = ?",
		account.RoleMember).Exec(t.Context())
	check(t, err)
	u, err := db.UserByID(t.Context(), s.server.DB, b.actor.ID)
	check(t, err)
	b.actor = account.ActorOf(u)
	s.must(c, "read_automation", map[string]any{"automation": hers.ID.String()})
	for tool, args := range map[string]map[string]any{
		"run_automation": {"automation": hers.ID.String()}, "edit_automation": {
			"automation": hers.ID.String(), "name": "x",
		},
		"create_automation": {"name": "x", "prompt": "y", "provider": "agent"}, "create_ticket": {"title": "x"},
	} {
		s.refused(c, tool, args, "you may not do that")
	}
}

func TestEveryRefusedCallOfASessionIsInItsTranscriptAndInTheAuditLog(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleMember)
	theirs, _, err := s.rules.Definitions().Create(t.Context(), s.as("Lee", account.RoleMember).actor,
		automation.Input{Automation: spec.Automation{
			TimeoutMinutes: 360,
			Name:           "Target",
			Workspace:      b.workspace,
			Trigger:        "manual",
			SessionType:    "chat",
			Prompt:         "x",
			Provider:       "agent",
			Retries:        2,
		}})
	check(t, err)
	plain, managing := b.agent(nil), b.agent(func(in *automation.Input) { in.Name, in.MayAutomate = "Manager", true })
	c := s.tool(plain.token)
	for range 2 {
		s.refused(c, "run_automation", map[string]any{"automation": theirs.ID.String()}, "may not do that")
	}
	s.refused(s.tool(managing.token), "edit_automation", map[string]any{
		"automation": theirs.ID.String(), "name": "Mine",
	}, "may not be seen")
	for _, tt := range []struct {
		session uuid.UUID
		want    string
	}{
		{plain.session.ID,
			"2 calls of the tool run_automation were refused: lacks the permission for the tool run_automation."},
		{managing.session.ID, "A call of the tool edit_automation was refused: may not see the automation."},
	} {
		texts, err := s.rules.Agents().RefusedCalls(t.Context(), tt.session)
		check(t, err)
		if len(texts) != 1 || texts[0].Text() != tt.want {
			t.Errorf("the transcript gets %v; want %q", texts, tt.want)
		}
	}
	var reasons []string
	check(t, s.server.DB.NewRaw("SELECT reason FROM audit_events WHERE action = 'permission.denied' ORDER BY id").
		Scan(t.Context(), &reasons))
	if got := strings.Join(reasons, "; "); strings.Count(got, "run_automation") != 2 ||
		!strings.Contains(got, "may not see the automation") {
		t.Errorf("the audit log has %q", got)
	}
}
