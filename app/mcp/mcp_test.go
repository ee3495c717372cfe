package mcp_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/middleware"
	"carillon/app/spec"
	"carillon/app/ticket"
	"carillon/app/web/webtest"
	"carillon/app/workspace"
	"carillon/db"
)

func TestASessionCreatesReadsAndFinishesTicketsThroughMCP(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleMember)
	c := s.Tool(b.Agent(nil).Token)
	made := s.Must(c, "create_ticket", map[string]any{
		"title": "undici: high-severity advisory", "body": "Upgrade to 6.21.1.", "priority": "high",
		"labels": []string{"security"}, "assignee": "Mira@example.com",
	})
	if made["number"] != 1.0 || made["status"] != "open" || made["assignee"] != "Mira@example.com" ||
		made["workspace"] != "Scratch" {
		t.Errorf("the ticket is %v", made)
	}
	b.Get(strings.TrimPrefix(made["url"].(string), s.HTTP.URL)).Expect(t, http.StatusOK, "Created by a session of Mira")
	s.Must(c, "create_ticket", map[string]any{"title": "Lesser", "priority": "low"})
	if list := s.Must(c, "list_tickets", map[string]any{"queue": true, "limit": 1}); len(
		list["tickets"].([]any)) != 1 || list["next"] == "" {
		t.Errorf("the list is %v", list)
	}
	claimed := s.Must(c, "claim_next_ticket", nil)
	if claimed["found"] != true || claimed["ticket"].(map[string]any)["number"] != 1.0 {
		t.Errorf("claimed %v", claimed)
	}
	if read := s.Must(c, "read_ticket", map[string]any{"number": 1}); read["body"] != "Upgrade to 6.21.1." ||
		read["status"] != "in_progress" {
		t.Errorf("read %v", read)
	}
	s.Must(c, "report_result", map[string]any{"outcome": "done", "summary": "Upgraded."})
	if updated := s.Must(c, "update_ticket", map[string]any{
		"number": 1, "status": "done", "assignee": "", "labels": []string{},
	}); updated["status"] != "done" || updated["assignee"] != nil || len(updated["labels"].([]any)) != 0 {
		t.Errorf("updated %v", updated)
	}
	if next := s.Must(c, "claim_next_ticket", nil); next["ticket"].(map[string]any)["title"] != "Lesser" {
		t.Errorf("then claimed %v", next)
	}
	s.Must(c, "update_ticket", map[string]any{"number": 2, "status": "canceled"})
	if none := s.Must(c, "claim_next_ticket", nil); none["found"] != false {
		t.Errorf("of an empty queue it claimed %v", none)
	}
	s.Must(c, "send_inbox_message", map[string]any{"title": "One upgrade done", "body": "See #1."})
	b.Get("/inbox").Expect(t, http.StatusOK, "One upgrade done")
	s.Refused(c, "create_ticket", map[string]any{"title": " ", "priority": "huge"}, "priority: Choose one of urgent")
	s.Refused(c, "create_ticket", map[string]any{"title": "x", "assignee": "eve@example.com"},
		"No member of this workspace")
	s.Refused(c, "read_ticket", map[string]any{"number": 99}, "no ticket #99")
}

// longestAnswer is how much of a past run's answer a list has, in bytes.
const longestAnswer = 4 << 10

func TestASessionReadsItsAutomationAndPastRunsThroughMCP(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleMember)
	first := b.Agent(nil)
	webtest.Check(t, s.Rules.Runs().Finish(t.Context(), first.Lease,
		automation.Outcome{Status: db.Succeeded, Answer: strings.Repeat("é", longestAnswer)}))
	_, err := s.Rules.Runs().RunNow(t.Context(), b.Actor, first.Own.ID, nil)
	webtest.Check(t, err)
	other := b.Agent(func(in *automation.Input) { in.Name = "Other" })
	c := s.Tool(other.Token)
	if own := s.Must(c, "read_automation", nil); own["name"] != "Other" || own["prompt"] != "Audit {{what}}." {
		t.Errorf("read %v", own)
	}
	runs := s.Must(c, "list_past_runs", map[string]any{"automation": first.Own.ID.String(), "limit": 1})
	list := runs["runs"].([]any)
	if len(list) != 1 || runs["next"] == nil || list[0].(map[string]any)["status"] == "succeeded" {
		t.Errorf("the newest run is %v", runs)
	}
	older := s.Must(c, "list_past_runs", map[string]any{"automation": first.Own.ID.String(), "before": runs["next"]})
	run := older["runs"].([]any)[0].(map[string]any)
	if answer := run["answer"].(string); run["status"] != "succeeded" || len(answer) > longestAnswer+3 ||
		!strings.HasSuffix(answer, "…") {
		t.Errorf("the run before is %.300v", run)
	}
}

func TestATokenThatOpensNothingIsRefusedAtMCP(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleMember)
	x := b.Agent(nil)
	for name, token := range map[string]string{
		"none": "", "unknown": automation.NewSessionToken(), "of no kind": "abc",
	} {
		if _, err := s.Connect(token, ""); err == nil {
			t.Errorf("a client with a token %s connected", name)
		}
	}
	c := s.Tool(x.Token)
	s.Must(c, "list_tickets", nil)
	webtest.Check(t, s.Rules.Runs().Finish(t.Context(), x.Lease, automation.Outcome{Status: db.Succeeded}))
	if text, failed := s.Call(c, "list_tickets", nil); !failed {
		t.Errorf("the token of an ended session got %s", text)
	}
	if _, err := s.Connect(x.Token, ""); err == nil {
		t.Error("a client connected with the token of an ended session")
	}
	req, err := http.NewRequest(http.MethodPost, s.HTTP.URL+"/mcp",
		strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
	webtest.Check(t, err)
	a := b.Do(req) // with the cookie of someone signed in
	if a.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") ||
		!strings.Contains(a.Text, `"error":"no token`) {
		t.Errorf("a cookie alone got %d %s", a.StatusCode, a.Text)
	}
}

func TestBadTokensAtMCPSlowTheirAddressDownAndGoodOnesGoOn(t *testing.T) {
	s := webtest.Open(t)
	s.Bearers.Bad = middleware.NewRateLimiter(0, 20) // nothing comes back, however long the test takes
	b := s.As("Mira", account.RoleMember)
	x := b.Agent(nil)
	status := func(token string) int {
		req, err := http.NewRequest(http.MethodPost, s.HTTP.URL+"/mcp",
			strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
		webtest.Check(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		return s.Nobody().Do(req).StatusCode
	}
	for i := 0; status("bad") != http.StatusTooManyRequests; i++ {
		if i > 50 {
			t.Fatal("bad tokens are tried without end")
		}
	}
	if got := status(x.Token); got != http.StatusOK {
		t.Errorf("a good token from the same address got %d", got)
	}
}

func TestPagesOfOtherSitesAreNotAnsweredAtMCP(t *testing.T) {
	s := webtest.Open(t)
	x := s.As("Mira", account.RoleMember).Agent(nil)
	for origin, want := range map[string]bool{
		"https://evil.example": false, "null": false, strings.Replace(s.HTTP.URL, "127.0.0.1", "localhost", 1): false,
		s.HTTP.URL: true,
	} {
		c, err := s.Connect(x.Token, origin)
		if (err == nil) != want {
			t.Errorf("from %s: %v; want it answered: %v", origin, err, want)
		}
		if err == nil {
			_ = c.Close()
		}
	}
}

func TestTicketsOfOtherWorkspacesAreNotFoundThroughMCP(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleAdministrator)
	w, err := s.Rules.Workspaces.Create(t.Context(), b.Actor,
		workspace.Input{Name: "Elsewhere", GitURL: "https://example.com/x.git"})
	webtest.Check(t, err)
	for _, title := range []string{"One", "Two"} {
		_, err = s.Server.Tickets.Create(t.Context(), b.Actor, ticket.Input{
			Workspace: w.ID.String(), Title: title,
		})
		webtest.Check(t, err)
	}
	b.Ticket("title", "Ours")
	c := s.Tool(b.Agent(nil).Token) // its owner is an administrator, who sees all
	s.Refused(c, "read_ticket", map[string]any{"number": 2}, "no ticket #2")
	s.Refused(c, "read_ticket", map[string]any{"number": 2, "workspace": "Elsewhere"}, "nothing like this")
	s.Refused(c, "update_ticket", map[string]any{"number": 2, "workspace": w.ID.String(), "status": "done"},
		"nothing like this")
	s.Refused(c, "create_ticket", map[string]any{"title": "x", "workspace": w.ID.String()}, "nothing like this")
	if list := s.Must(c, "list_tickets", nil)["tickets"].([]any); len(list) != 1 ||
		list[0].(map[string]any)["title"] != "Ours" {
		t.Errorf("it lists %v", list)
	}
	if claimed := s.Must(c, "claim_next_ticket", nil); claimed["ticket"].(map[string]any)["title"] != "Ours" {
		t.Errorf("it claimed %v", claimed)
	}
}

func TestASessionManagesAutomationsThroughMCPOnlyWhereItsAutomationAllowsIt(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleMember)
	target, _, err := s.Rules.Definitions().Create(t.Context(), b.Actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Target",
		Workspace:      b.Workspace,
		Trigger:        "manual",
		SessionType:    "chat",
		Prompt:         "x",
		Provider:       "agent",
		Retries:        2,
	}})
	webtest.Check(t, err)
	managing := []string{"create_automation", "edit_automation", "enable_automation", "list_automations",
		"run_automation"}

	plain := s.Tool(b.Agent(nil).Token)
	for _, name := range managing {
		if slices.Contains(webtest.ToolNames(t, plain), name) {
			t.Errorf("a session that may not has the tool %s", name)
		}
		s.Refused(plain, name, map[string]any{"automation": target.ID.String(), "name": "x"}, "may not do that")
	}
	list, err := db.Executions(t.Context(), s.Server.DB,
		db.ExecutionFilter{Automation: target.ID, Access: db.Access{All: true, Everywhere: true}, Limit: 10})
	webtest.Check(t, err)
	if len(list) != 0 {
		t.Fatal("a session that may not ran an automation")
	}

	x := b.Agent(func(in *automation.Input) { in.Name, in.MayAutomate = "Manager", true })
	c := s.Tool(x.Token)
	ran := s.Must(c, "run_automation", map[string]any{"automation": target.ID.String()})
	if ran["session_url"] == "" {
		t.Errorf("it ran %v", ran)
	}
	s.Refused(c, "run_automation", map[string]any{"automation": target.ID.String()}, "already in flight")
	made := s.Must(c, "create_automation", map[string]any{
		"name": "Made by a session", "trigger": "recurring", "cron": "0 2 * * *", "time_zone": "Europe/Berlin",
		"prompt": "Audit {{what}}.", "provider": "agent", "parameters": map[string]string{"what": "all"},
	})["automation"].(map[string]any)
	if made["when"] != "Every day at 02:00" || made["next_run_at"] == nil {
		t.Errorf("it made %v", made)
	}
	edited := s.Must(c, "edit_automation", map[string]any{
		"automation": made["id"], "cron": "0 3 * * *",
	})["automation"].(map[string]any)
	if edited["when"] != "Every day at 03:00" || edited["name"] != "Made by a session" ||
		edited["time_zone"] != "Europe/Berlin" {
		t.Errorf("it edited %v", edited)
	}
	s.Refused(c, "create_automation", map[string]any{
		"name": "x", "provider": "agent", "prompt": "y", "trigger": "recurring", "cron": "@daily",
	}, "cron: ")
	if list := s.Must(c, "list_automations", map[string]any{"search": "session"})["automations"].([]any); len(
		list) != 1 {
		t.Errorf("it lists %v", list)
	}

	// Taken back while it runs, it is refused from the next call on.
	_, err = s.Server.DB.NewRaw("UPDATE automations SET may_automate = false WHERE id = ?", x.Own.ID).Exec(t.Context())
	webtest.Check(t, err)
	s.Refused(c, "edit_automation", map[string]any{"automation": made["id"], "cron": "0 4 * * *"}, "may not do that")
}

func TestPeoplesTokensReachWhatTheirOwnersReachThroughMCP(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleMember)
	s.Bearers.Person = func(_ context.Context, token string) (account.Actor, error) {
		if token != "hers" {
			return account.Actor{}, fault.ErrNotFound
		}
		return b.Actor, nil
	}
	if _, err := s.Connect("another", ""); err == nil {
		t.Error("an unknown token connected")
	}
	c := s.Tool("hers")
	if names := strings.Join(webtest.ToolNames(t, c),
		" "); names != "create_automation create_ticket edit_automation enable_automation list_automations "+
		"list_past_runs list_tickets read_automation read_ticket run_automation update_ticket" {
		t.Errorf("a person has the tools %s", names)
	}
	// she has one workspace
	made := s.Must(c, "create_automation", map[string]any{
		"name": "Hook", "trigger": "http", "prompt": "x", "provider": "agent",
	})
	if !strings.Contains(made["webhook_url"].(string), "/api/automations/http-trigger/") {
		t.Errorf("it made %v", made)
	}
	s.Must(c, "create_ticket", map[string]any{"title": "By hand", "workspace": "scratch"})
	b.Get("/tickets").Expect(t, http.StatusOK, "By hand")

	lena := s.As("Lena", account.RoleMember)
	hers, _, err := s.Rules.Definitions().Create(t.Context(), lena.Actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Lena's",
		Workspace:      b.Workspace,
		Trigger:        "manual",
		SessionType:    "chat",
		Prompt:         "x",
		Provider:       "agent",
		Retries:        2,
	}})
	webtest.Check(t, err)
	s.Refused(c, "run_automation", map[string]any{"automation": hers.ID.String()}, "nothing like this")
	s.Refused(c, "read_automation", nil, "Give the id")
	_, err = s.Server.DB.NewRaw("UPDATE roles SET permissions = '{automations.view_all}' WHERE key = ?",
		account.RoleMember).Exec(t.Context())
	webtest.Check(t, err)
	u, err := db.UserByID(t.Context(), s.Server.DB, b.Actor.ID)
	webtest.Check(t, err)
	b.Actor = account.ActorOf(u)
	s.Must(c, "read_automation", map[string]any{"automation": hers.ID.String()})
	for tool, args := range map[string]map[string]any{
		"run_automation": {"automation": hers.ID.String()}, "edit_automation": {
			"automation": hers.ID.String(), "name": "x",
		},
		"create_automation": {"name": "x", "prompt": "y", "provider": "agent"}, "create_ticket": {"title": "x"},
	} {
		s.Refused(c, tool, args, "you may not do that")
	}
}

func TestEveryRefusedCallOfASessionIsInItsTranscriptAndInTheAuditLog(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleMember)
	theirs, _, err := s.Rules.Definitions().Create(t.Context(), s.As("Lee", account.RoleMember).Actor,
		automation.Input{Automation: spec.Automation{
			TimeoutMinutes: 360,
			Name:           "Target",
			Workspace:      b.Workspace,
			Trigger:        "manual",
			SessionType:    "chat",
			Prompt:         "x",
			Provider:       "agent",
			Retries:        2,
		}})
	webtest.Check(t, err)
	plain, managing := b.Agent(nil), b.Agent(func(in *automation.Input) { in.Name, in.MayAutomate = "Manager", true })
	c := s.Tool(plain.Token)
	for range 2 {
		s.Refused(c, "run_automation", map[string]any{"automation": theirs.ID.String()}, "may not do that")
	}
	s.Refused(s.Tool(managing.Token), "edit_automation", map[string]any{
		"automation": theirs.ID.String(), "name": "Mine",
	}, "may not be seen")
	for _, tt := range []struct {
		session uuid.UUID
		want    string
	}{
		{plain.Session.ID,
			"2 calls of the tool run_automation were refused: lacks the permission for the tool run_automation."},
		{managing.Session.ID, "A call of the tool edit_automation was refused: may not see the automation."},
	} {
		texts, err := s.Rules.Agents().RefusedCalls(t.Context(), tt.session)
		webtest.Check(t, err)
		if len(texts) != 1 || texts[0].Text() != tt.want {
			t.Errorf("the transcript gets %v; want %q", texts, tt.want)
		}
	}
	var reasons []string
	webtest.Check(t,
		s.Server.DB.NewRaw("SELECT reason FROM audit_events WHERE action = 'permission.denied' ORDER BY id").
			Scan(t.Context(), &reasons))
	if got := strings.Join(reasons, "; "); strings.Count(got, "run_automation") != 2 ||
		!strings.Contains(got, "may not see the automation") {
		t.Errorf("the audit log has %q", got)
	}
}
