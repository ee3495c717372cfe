package web_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"
	dom "golang.org/x/net/html"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/forge"
	"carillon/app/spec"
	"carillon/app/ticket"
	"carillon/app/transcript"
	"carillon/app/web/webtest"
	"carillon/db"
)

// markup closes whatever it may stand in, makes an element and attributes that can be found, and hides the rest.
const markup = `x"'><xss-x xss-y onload=1></title></script></textarea><!--`

// escaped lists what markup has become of text: elements, attributes, handlers, comments, scripts and addresses.
func escaped(page string) (found []string, shown bool) {
	doc, err := dom.Parse(strings.NewReader(page))
	if err != nil {
		return []string{err.Error()}, false
	}
	add := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	for n := range doc.Descendants() {
		switch n.Type {
		case dom.TextNode:
			shown = shown || strings.Contains(n.Data, markup)
		case dom.CommentNode:
			if !strings.HasPrefix(n.Data, " ") || strings.Contains(n.Data, "xss") {
				add("the comment %.80q", n.Data)
			}
		case dom.ElementNode:
			if n.Data == "xss-x" {
				add("an element")
			}
			src := ""
			for _, a := range n.Attr {
				value := strings.ToLower(strings.Map(func(r rune) rune {
					if r <= ' ' {
						return -1 // as browsers read addresses
					}
					return r
				}, a.Val))
				address := slices.Contains([]string{"href", "src", "action", "formaction", "data", "srcdoc"}, a.Key) ||
					strings.HasPrefix(a.Key, "hx-")
				switch {
				case strings.HasPrefix(a.Key, "on"), strings.HasPrefix(a.Key, "xss"), a.Key == "style",
					a.Key == "srcdoc":
					add("the attribute %s of %s", a.Key, n.Data)
				case address && (strings.HasPrefix(value, "javascript:") || strings.HasPrefix(value, "vbscript:") ||
					strings.HasPrefix(value, "data:")):
					add("the address %q", a.Val)
				case strings.HasPrefix(a.Key, "hx-") && (strings.Contains(value, "//") ||
					strings.Contains(value, "js:")):
					add("%s is %q", a.Key, a.Val)
				case a.Key == "src":
					src = a.Val
				case a.Key == "id" && strings.ContainsAny(a.Val, `"'<> `):
					add("the id %q", a.Val)
				}
				shown = shown || strings.Contains(a.Val, markup)
			}
			if n.Data == "script" && (!strings.HasPrefix(src, "/static/") || n.FirstChild != nil) {
				add("a script from %q", src)
			}
			if n.Data == "iframe" || n.Data == "object" || n.Data == "embed" || n.Data == "base" {
				add("the element %s", n.Data)
			}
		}
	}
	return found, shown
}

// hostile fills a site with markup wherever people, agents and forges may write, and returns somebody who sees all of
// it.
func hostile(t *testing.T) (*webtest.Browser, *db.Session) {
	t.Helper()
	s := webtest.Open(t)
	b := s.As(markup, account.RoleAdministrator)
	b.Exec("UPDATE workspaces SET name = ?", markup) // Scratch
	w := b.Repository("A "+markup, "https://github.com/Codertocat/Hello-World.git", forge.GitHub)
	session := b.Opened(w, "loop", "changes")
	hook := func(name string) {
		body := webtest.RecordedHook(t, name)
		var v map[string]any
		webtest.Check(t, json.Unmarshal(body, &v))
		pull := v["pull_request"].(map[string]any)
		pull["title"], pull["body"] = markup, markup
		body, err := json.Marshal(v)
		webtest.Check(t, err)
		b.Hook(forge.GitHub, w.ID.String(), "pull_request", webtest.HookSecret, body).Expect(t, 200, "")
	}
	hook("github/pull_request.closed_unmerged.json") // tells the creator
	token := create(b, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "H " + markup,
		Workspace:      w.ID.String(),
		Trigger:        "http",
		SessionType:    "develop",
		Provider:       "agent",
		Prompt:         markup + " {{what}} {{nothing}}",
		AllowParallel:  true,
		Retries:        2,
	}})
	req, err := http.NewRequest(http.MethodPost, b.HTTP.URL+"/api/automations/http-trigger?q="+markup[:1],
		strings.NewReader(`{"what":`+quoted(markup)+`}`))
	webtest.Check(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Api-Authentication", token)
	req.Header.Set("X-Said", markup)
	s.Nobody().Do(req).Expect(t, 200, "")
	tell(s, w)
	ticket, err := b.Server.Tickets.Create(t.Context(), b.Actor, ticket.Input{
		Workspace: w.ID.String(), Title: markup[:min(len(markup), 200)], Body: markup, Assignee: b.Actor.ID.String(),
	})
	webtest.Check(t, err)
	webtest.Check(t, b.Server.Tickets.Link(t.Context(), b.Actor, session.ID, ticket.Number))
	b.Exec("UPDATE tickets SET labels = ARRAY[?], claimed_by = ?, created_session = ?, status = 'in_progress'", markup,
		session.ID, session.ID)
	b.Exec("INSERT INTO session_reports (id, session_id, ticket_id, outcome, summary, created_at) VALUES (?, ?, ?, "+
		"'done', ?, now())", db.NewID(), session.ID, ticket.ID, markup)

	// What forges, agents and workers write of their own.
	b.Exec("UPDATE pull_requests SET title = ?, problem = ?, url = 'javascript:alert(1)//xss', state = 'open'", markup,
		markup)
	b.Exec("UPDATE notifications SET title = ?, body = ?, link = 'javascript:alert(1)//xss'", markup, markup)
	b.Exec("UPDATE executions SET reason = ?, answer = ?", markup, markup)
	b.Exec("UPDATE turns SET label = ?, reason = ?, answer = ?", markup, markup, markup)
	b.Exec("UPDATE sessions SET title = ?, branch = ?, model = ?, base_branch = ?, pr_error = ?", markup, markup,
		markup, markup, markup)
	b.Exec("UPDATE automations SET disabled_reason = ?, model = ?, base_branch = ?, stop_text = CASE trigger WHEN "+
		"'loop' THEN ? ELSE '' END", markup, markup, markup, markup)
	b.Exec("UPDATE logins SET user_agent = ?, address = ?", markup, markup)
	b.Exec("UPDATE users SET name = ?", markup)
	webtest.Check(b.T, db.InsertWorkflow(b.T.Context(), b.Server.DB,
		&db.Workflow{ID: db.NewID(), Name: markup, Description: markup, Version: 1, CreatedAt: time.Now(),
			UpdatedAt: time.Now(),
			Steps: []db.Step{{Kind: db.MessageStep, Label: markup, Text: markup},
				{Kind: db.AssetStep, Path: markup, Text: markup}},
			Parameters: []db.Parameter{{Alias: "x", Label: markup, Type: db.TextParameter, Default: markup}}}))
	webtest.Check(b.T, db.InsertBot(b.T.Context(), b.Server.DB, &db.Bot{
		ID: db.NewID(), Name: markup, Instructions: markup, Model: markup, AllowedTools: []string{markup},
		Enabled: true, Version: 1, CreatedAt: time.Now(), UpdatedAt: time.Now(),
	}))
	webtest.Check(b.T, db.AddAudit(b.T.Context(), b.Server.DB, db.AuditEvent{
		ID: db.NewID(), At: time.Now(), ActorID: b.Actor.ID, Action: markup, SubjectKind: markup, SubjectID: b.Actor.ID,
		SubjectName: markup, Reason: markup, Address: markup,
		Before: map[string]any{markup: markup}, After: map[string]any{markup: []string{markup, "x"}},
	}))
	webtest.Check(b.T, db.InsertRole(b.T.Context(), b.Server.DB,
		&db.Role{ID: db.NewID(), Name: markup, Permissions: []string{markup}, CreatedAt: time.Now(), Version: 1}))
	b.Post("/settings/providers", "name", markup, "command", "mine '"+strings.ReplaceAll(markup, "'", "")+"'", "keys",
		"MY_KEY").Expect(t, 303, "")
	b.Exec("INSERT INTO provider_trials (provider, requested_by, requested_at, worker, started_at, finished_at, "+
		"error_class, reason, answer) VALUES ('agent', ?, now(), ?, now(), now(), 'agent', ?, ?)", b.Actor.ID, markup,
		markup, markup)
	b.Exec("INSERT INTO provider_pauses (provider, since, until, failed_at, failures, error_class, reason) VALUES "+
		"('agent', now(), now() + interval '1 hour', now(), 1, 'auth', ?)", markup)
	b.Exec("INSERT INTO user_identities (issuer, subject, user_id, email, created_at, used_at) VALUES (?, ?, ?, ?, "+
		"now(), now())", markup, markup, b.Actor.ID, markup)
	return b, b.Reload(session.ID)
}

func quoted(text string) string {
	var b strings.Builder
	lines := json.NewEncoder(&b)
	lines.SetEscapeHTML(false) // as a caller writes it who means harm
	_ = lines.Encode(text)     // a string
	return strings.TrimSpace(b.String())
}

// create makes an automation and returns its token, if it has one.
func create(b *webtest.Browser, in automation.Input) string {
	b.T.Helper()
	_, token, err := b.Rules.Definitions().Create(b.T.Context(), b.Actor, in)
	webtest.Check(b.T, err)
	return token
}

// tell writes into every queued session all kinds of events that an agent can cause, with markup in all of their texts,
// and a diff whose names and lines have it.
func tell(s *webtest.Site, w *db.Workspace) {
	s.T.Helper()
	ctx := s.T.Context()
	var list []db.Session
	webtest.Check(s.T, s.Server.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
		list, err = db.ClaimSessions(ctx, tx, "test", 10, time.Now(), time.Now().Add(time.Minute))
		return err
	}))
	if len(list) == 0 {
		s.T.Fatal("nothing was queued")
	}
	for _, session := range list {
		turns, err := db.TurnsOf(ctx, s.Server.DB, session.ID)
		webtest.Check(s.T, err)
		lease := db.Lease{Session: session.ID, Worker: "test", Fence: session.Fence}
		var rows []db.SessionEvent
		seq := session.LastSeq
		for _, e := range []transcript.Event{
			{
				Kind: transcript.KindText, ID: markup, Text: markup + "\n\n# " + markup +
					"\n\n[a](javascript:alert(1)) ![b](javascript:alert(2)) <javascript:alert(3)> `" + markup +
					"`\n```" + markup + "\n" + markup + "\n```\n",
			},
			{Kind: transcript.KindThought, Text: markup},
			{Kind: transcript.KindPlan, Plan: []transcript.Step{{Text: markup, State: "completed"},
				{Text: markup, State: markup}}},
			{Kind: transcript.KindPermission, Text: markup}, {Kind: transcript.KindWarning, Text: markup},
			{Kind: transcript.KindLog, Text: markup},
			{
				Kind: transcript.KindOutput, Stream: "stdout", Text: markup + "\x1b[31m" + markup +
					"\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07\x1b]1337;File=inline=1:" + markup + "\x07\n",
			},
			{Kind: transcript.KindOutput, Stream: "stderr", Text: markup},
			{Kind: transcript.KindTool, ID: markup, Done: true, Tool: &transcript.Tool{Name: markup, Kind: markup,
				Title: markup, Result: markup,
				Edits: []transcript.Edit{{Path: markup, Action: markup, Old: markup, New: markup + markup}}}},
		} {
			body, err := json.Marshal(e)
			webtest.Check(s.T, err)
			seq++
			rows = append(rows, db.SessionEvent{
				SessionID: session.ID, Seq: seq, TurnID: turns[0].ID, At: time.Now(), Kind: e.Kind, Body: body,
			})
		}
		webtest.Check(s.T, s.Server.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			return db.AppendEvents(ctx, tx, lease, rows)
		}))
		name := strings.ReplaceAll(markup, `"`, "")
		diff := "diff --git a/" + name + " b/" + name + "\nnew file mode 100644\n--- /dev/null\n+++ b/" + name +
			"\n@@ -0,0 +1,2 @@ " + markup + "\n+" + markup + "\n+<script>alert(1)</script>\n"
		webtest.Check(s.T,
			db.SetChanges(ctx, s.Server.DB, lease, db.ChangeSummary{Files: 1, Added: 2, Diff: diff}, time.Now()))
		webtest.Check(s.T, s.Rules.Runs().Finish(ctx, lease, automation.Outcome{
			Status: db.Failed, Reason: markup, Answer: markup, FilesChanged: true,
		}))
	}
}

// pages are the addresses of every page that a sign-in sees, for the rows that there are. What stands for a name in
// braces is by the part of the address before it, which is a table's name but for those that are named here.
func pages(b *webtest.Browser) []string {
	b.T.Helper()
	tables := map[string]string{"inbox": "notifications", "deliveries": "webhook_deliveries"}
	routes := b.Routes
	var list []string
	for _, pattern := range routes.Patterns() {
		path, ok := strings.CutPrefix(pattern, "GET ")
		path = strings.ReplaceAll(path, "{$}", "")
		if !ok || slices.ContainsFunc([]string{"/static/", "/api/", "/login/", "/healthz", "/readyz", "/setup",
			"/gallery"}, func(not string) bool {
			return strings.HasPrefix(path, not)
		}) ||
			strings.HasSuffix(path, "/stream") || strings.Contains(path, "{token}") ||
			strings.Contains(path, "{format}") {
			continue
		}
		paths := []string{""}
		for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
			standing := []string{part}
			if strings.HasPrefix(part, "{") {
				of := paths[0][strings.LastIndex(paths[0], "/")+1:]
				standing = nil
				if part == "{provider}" { // kept in the settings
					for _, provider := range b.Server.Providers() {
						standing = append(standing, provider.ID)
					}
				} else if b.Server.DB.NewRaw("SELECT id FROM ? LIMIT 12", bun.Ident(cmp.Or(tables[of], of))).
					Scan(b.T.Context(), &standing) != nil {
					b.T.Logf("no rows stand for %s of %s", part, path)
				}
			}
			var longer []string
			for _, p := range paths {
				for _, id := range standing {
					longer = append(longer, p+"/"+id)
				}
			}
			if paths = longer; len(paths) == 0 {
				break
			}
		}
		list = append(list, paths...)
	}
	return list
}

func TestMarkupOfOthersStaysTextOnEveryPage(t *testing.T) {
	b, session := hostile(t)
	list := pages(b)
	list = append(list, "/automations?q="+`%22%3E%3Cxss-x%3E`, "/sessions?q=%22%3E%3Cxss-x%3E",
		"/executions?q=%22%3E%3Cxss-x%3E&status=%22%3E%3Cxss-x%3E",
		"/inbox?kind=%22%3E%3Cxss-x%3E", "/login?next=%2F%22%3E%3Cxss-x%3E", "/%22%3E%3Cxss-x%3E",
		"/sessions/%22%3E%3Cxss-x%3E")
	shown := map[string]bool{}
	for _, path := range list {
		for _, part := range []string{"", "partial"} {
			req, err := http.NewRequest(http.MethodGet, b.HTTP.URL+path, nil)
			webtest.Check(t, err)
			if part != "" {
				req.Header.Set("HX-Request", "true")
				req.Header.Set("HX-Request-Type", part)
			}
			got := b.Do(req)
			if got.StatusCode >= 500 {
				t.Errorf("%s answered %d %.300s", path, got.StatusCode, got.Text)
			}
			if !strings.HasPrefix(got.Header.Get("Content-Type"), "text/html") {
				continue
			}
			found, has := escaped(got.Text)
			if len(found) > 0 {
				t.Errorf("on %s %s there is %s", part, path, strings.Join(slices.Compact(found), ", "))
			}
			if has {
				shown[path] = true
			}
		}
	}
	// What shows none of it would prove nothing.
	for _, path := range list {
		if strings.Contains(path, "/deliveries/") && shown[path] {
			shown["a delivery"] = true
		}
	}
	for _, path := range []string{
		"a delivery", "/", "/automations", "/executions", "/sessions", "/inbox", "/workspaces", "/settings/profile",
		"/automations/new",
		"/tickets", "/settings/providers", "/settings/users", "/settings/roles", "/settings/audit",
		"/sessions/" + session.ID.String(),
	} {
		if !shown[path] {
			t.Errorf("%s does not show what others wrote, so nothing was proved", path)
		}
	}
	count := map[string]int{}
	for path := range shown {
		_, path, _ = strings.Cut(path, "/")
		part, _, _ := strings.Cut(path, "/")
		count[part]++
	}
	t.Logf("%d pages, of which %d show it: %v", len(list), len(shown), count)
}

func TestTheLookoutForMarkupSeesIt(t *testing.T) {
	t.Parallel()
	for _, page := range []string{
		"<p>" + markup, `<p title="` + markup + `">`, "<p title=" + markup + ">", "<title>" + markup,
		"<textarea>" + markup, "<script src='/static/app.js'>" + markup,
		`<a href="javascript:alert(1)">`, `<a href=" java` + "\n" + `script:alert(1)">`,
		`<form action="data:text/html,x">`, `<p onclick=x>`, `<p style=x>`, `<script>x</script>`,
		`<script src="//evil.example">`, `<iframe>`, `<p hx-get="https://evil.example">`, `<!--x-->`, `<p id="a b">`,
	} {
		if found, _ := escaped(page); len(found) == 0 {
			t.Errorf("in %s nothing is found", page)
		}
	}
}

// streamed reads a session's stream until it has said what is awaited.
func streamed(b *webtest.Browser, session *db.Session, awaited string) string {
	b.T.Helper()
	ctx, cancel := context.WithTimeout(b.T.Context(), webtest.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.HTTP.URL+"/sessions/"+session.ID.String()+"/stream",
		nil)
	webtest.Check(b.T, err)
	res, err := b.Client.Do(req)
	webtest.Check(b.T, err)
	defer res.Body.Close() //nolint:errcheck // read as far as it is needed
	var said strings.Builder
	for buffer := make([]byte, 4096); !strings.Contains(said.String(), awaited); {
		n, err := res.Body.Read(buffer)
		said.Write(buffer[:n])
		if err != nil {
			b.T.Fatalf("the stream ended with %v before %q; it said %.2000s", err, awaited, said.String())
		}
	}
	return said.String()
}

func TestMarkupOfAnAgentStaysTextInTheStream(t *testing.T) {
	b, session := hostile(t)
	var data strings.Builder
	var last string
	webtest.Check(t, b.Server.DB.NewRaw("SELECT id FROM sessions WHERE last_seq > 5 LIMIT 1").Scan(t.Context(), &last))
	webtest.Check(t, session.ID.UnmarshalText([]byte(last)))
	for line := range strings.Lines(streamed(b, session, "tool-")) {
		if text, ok := strings.CutPrefix(line, "data: "); ok {
			data.WriteString(text)
		}
	}
	found, shown := escaped(data.String())
	if len(found) > 0 || !shown {
		t.Errorf("the stream has %s, and shows what was written: %v", strings.Join(found, ", "), shown)
	}
}

func TestALineBreakOfAnAgentMakesNoEventOfTheStream(t *testing.T) {
	b := webtest.Open(t).As("Mira", account.RoleAdministrator)
	path := b.Started()
	b.Work(`one\rid: 999\revent: injected\rdata: two\r\n\r\nevent: injected\ndata: the end`,
		automation.Outcome{Status: db.Succeeded}, nil)
	session := &db.Session{}
	webtest.Check(t, session.ID.UnmarshalText([]byte(strings.TrimPrefix(path, "/sessions/"))))
	said := streamed(b, session, "the end")
	for line := range strings.SplitSeq(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(said), "\n") {
		// as the standard reads lines
		if line == "event: injected" || line == "id: 999" {
			t.Errorf("the agent's text made the line %q of the stream", line)
		}
	}
}

func TestALineBreakMakesNoHeader(t *testing.T) {
	b := webtest.Open(t).As("Mira", account.RoleAdministrator)
	list, err := b.Rules.Workspaces.List(t.Context(), b.Actor)
	webtest.Check(t, err)
	for _, evil := range []string{
		"/a\r\nSet-Cookie: evil=1", "/a\nSet-Cookie: evil=1", "/a\rSet-Cookie: evil=1", "/a?b=\r\n\r\n<script>",
		"/a\u560d\u560aSet-Cookie: evil=1", "/a%0d%0aSet-Cookie: evil=1",
	} {
		for _, part := range []string{"", "partial"} {
			for path, form := range map[string]url.Values{
				"/preferences/theme":     {"theme": {"dark"}, "back": {evil}},
				"/preferences/workspace": {"workspace": {list[0].ID.String()}, "back": {evil}},
				"/login":                 {"email": {"x"}, "password": {"y"}, "next": {evil}},
			} {
				req, err := http.NewRequest(http.MethodPost, b.HTTP.URL+path, strings.NewReader(form.Encode()))
				webtest.Check(t, err)
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				req.Header.Set("HX-Request", "true")
				req.Header.Set("HX-Request-Type", part)
				got := b.Do(req)
				for name, values := range got.Header {
					for _, v := range values {
						if strings.ContainsAny(v, "\r\n") || strings.EqualFold(name, "Set-Cookie") &&
							strings.HasPrefix(v, "evil") {
							t.Errorf("%s with %q answered the header %s: %q", path, evil, name, v)
						}
					}
				}
			}
		}
		got := b.Get("/login?next=" + url.QueryEscape(evil))
		if to := got.Header.Get("Location"); strings.ContainsAny(to, "\r\n") || got.Header.Get("Set-Cookie") != "" &&
			strings.HasPrefix(got.Header.Get("Set-Cookie"), "evil") {
			t.Errorf("signed in, next=%q leads to %q", evil, to)
		}
	}
}
