package web_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"runtime/metrics"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"carillon/app/api"
	"carillon/app/automation"
	"carillon/app/forge"
	"carillon/app/middleware"
	"carillon/app/prompt"
	"carillon/app/spec"
	"carillon/app/web/page"
	"carillon/app/web/webtest"
	"carillon/db/dbtest"
)

// cost is what the server spent on one request.
type cost struct {
	door             string // as SECURITY.md has it
	route, text      string
	answered         string
	statements, rows int64
	logged, answer   int           // bytes
	memory           int64         // bytes that were allocated, not at once
	cpu              time.Duration // of the process, user and system; the client's is in it
}

// costs measures the requests of a site one after the other.
type costs struct {
	*webtest.Walk
	log  *webtest.SafeBuffer
	done chan cost
	list []cost
}

func measured(t *testing.T) *costs {
	c := &costs{Walk: webtest.WalkOn(t, webtest.OpenAlone(t)), log: &webtest.SafeBuffer{}, done: make(chan cost, 1)}
	c.Bearers.Bad = middleware.NewRateLimiter(rate.Inf, 0)
	c.Server.Log = slog.New(slog.NewTextHandler(c.log, nil))
	inner, work := c.HTTP.Config.Handler, dbtest.WorkOf(c.Server.DB)
	c.HTTP.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := &counted{ResponseWriter: w}
		before := cost{
			statements: work.Statements(), rows: work.Rows(), logged: len(c.log.String()), memory: allocated(),
			cpu: spent(),
		}
		inner.ServeHTTP(answer, r)
		c.done <- cost{
			statements: work.Statements() - before.statements, rows: work.Rows() - before.rows,
			logged: len(c.log.String()) - before.logged,
			memory: allocated() - before.memory, cpu: spent() - before.cpu, answer: int(answer.bytes.Load()),
			answered: fmt.Sprint(answer.status),
		}
	})
	return c
}

// took notes what the request that was just answered cost.
func (c *costs) took(door, route, text string) cost {
	c.T.Helper()
	var one cost
	select {
	case one = <-c.done:
	case <-time.After(webtest.Patience):
		c.T.Fatalf("%s was not answered", route)
	}
	one.door, one.route, one.text = door, route, text
	c.list = append(c.list, one)
	return one
}

// counted counts what is answered.
type counted struct {
	http.ResponseWriter
	status int
	bytes  atomic.Int64
}

func (w *counted) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *counted) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.bytes.Add(int64(len(b)))
	return w.ResponseWriter.Write(b)
}

func (w *counted) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// allocated is how many bytes the process has allocated so far.
func allocated() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64()) //nolint:gosec // no process allocates that much
}

// spent is how much CPU the process has taken so far.
func spent() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// costlyShapes are texts that cost the most that is known of what reads them, by how long they are to be.
var costlyShapes = []struct {
	name string
	of   func(size int) string
}{
	{"brackets", repeated("(+")},
	{"arithmetic", repeated("$((")},
	{"braces", repeated("{")},
	{"long paths in placeholders", repeated("{{" + strings.Repeat("a.", 1000) + "a}}")},
	{"paths in placeholders", repeated("{{" + strings.Repeat("a.", 31) + "a}}")},
	{"placeholders", repeated("{{a}}")},
	{"names", oneByOne(func(i int) string { return fmt.Sprintf("{{a%d}}", i) })},
	{"names that begin alike", oneByOne(func(i int) string {
		return fmt.Sprintf("{{a%s%d}}\n", strings.Repeat("a", 60), i)
	})},
	{"variables", oneByOne(func(i int) string { return fmt.Sprintf("$a%d ", i) })},
	{"words", repeated("a ")},
	{"lines", repeated("a\n")},
	{"commands", repeated(":;")},
	{"pipes", repeated("a|")},
	{"quotes", repeated("'\"")},
	{"backquotes", repeated("`")},
	{"here-documents", repeated("a <<b\n")},
	{"assignments", oneByOne(func(i int) string { return fmt.Sprintf("a%d=$b%d\n", i, i) })},
	{"conditions", repeated("if a; then b; fi\n")},
	{"find", repeated("find -exec a -exec b \\;\n")},
	{"markup", repeated("<a href='")},
	{"marks", repeated("*[_`")},
	{"accents", repeated("e\u0301")},
	{"commas", repeated("a,")},
	{"secrets", oneByOne(func(i int) string { return fmt.Sprintf("%024d\n", i) })},
}

// repeated repeats a text.
func repeated(text string) func(int) string {
	return func(size int) string { return strings.Repeat(text, max(size/len(text), 1)) }
}

// oneByOne is one text after the other.
func oneByOne(text func(i int) string) func(int) string {
	return func(size int) string {
		var b strings.Builder
		for i := 0; ; i++ {
			next := text(i)
			if b.Len()+len(next) > size {
				return b.String()
			}
			b.WriteString(next)
		}
	}
}

// The ways to ask, each of which notes what it cost.

func (c *costs) form(path, text string, values url.Values) *webtest.Answer {
	c.T.Helper()
	a := send(c.Who["admin"], http.MethodPost, path, values)
	c.took("forms", "POST "+anID.ReplaceAllString(path, "{id}"), text)
	return a
}

func (c *costs) page(path, text string) *webtest.Answer {
	c.T.Helper()
	a := c.Who["admin"].Get(path)
	route, _, _ := strings.Cut(anID.ReplaceAllString(path, "{id}"), "?")
	c.took("pages", "GET "+route, text)
	return a
}

func (c *costs) api(p *webtest.Program, method, path, text string, body any) *webtest.Answer {
	c.T.Helper()
	a := p.Call(method, path, body)
	door := "pages"
	if d := boundOf(c.T, method+" "+api.Prefix+anID.ReplaceAllString(path, "{id}")); d != nil {
		door = d.name
	}
	c.took(door, method+" "+api.Prefix+anID.ReplaceAllString(path, "{id}"), text)
	return a
}

func (c *costs) tools(token, text, tool string, args any) string {
	c.T.Helper()
	return c.rpc(token, text, tool, "tools/call", map[string]any{"name": tool, "arguments": args})
}

// rpc sends one message of MCP.
func (c *costs) rpc(token, text, route, method string, params any) string {
	c.T.Helper()
	raw, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	webtest.Check(c.T, err)
	req, err := http.NewRequest(http.MethodPost, c.HTTP.URL+"/mcp", bytes.NewReader(raw))
	webtest.Check(c.T, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Authorization", "Bearer "+token)
	a := c.Nobody().Do(req)
	c.took("MCP", route, text)
	return a.Text
}

func (c *costs) calls(token, text, body string) *webtest.Answer {
	c.T.Helper()
	req, err := http.NewRequest(http.MethodPost, c.HTTP.URL+webtest.Endpoint, strings.NewReader(body))
	webtest.Check(c.T, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Api-Authentication", token)
	a := c.Nobody().Do(req)
	c.took("HTTP trigger", "POST "+webtest.Endpoint, text)
	return a
}

// stage is what the costliest requests are about.
type stage struct {
	program    *webtest.Program
	session    *webtest.Working // at work, and may manage automations
	waiting    uuid.UUID
	hook       uuid.UUID // an HTTP Trigger with a filter
	token      string
	forges     map[forge.Kind]string // workspaces
	automation uuid.UUID
}

func (c *costs) stage() *stage {
	c.T.Helper()
	ctx, admin := c.T.Context(), c.Who["admin"]
	s := &stage{program: &webtest.Program{Site: c.Site, Token: c.Tokens()["admin"]}, forges: map[forge.Kind]string{}}
	s.session = c.Who["manager"].Agent(func(in *automation.Input) { in.MayAutomate = true })
	s.waiting = c.Waiting()
	s.automation = webtest.Subjects["automation"](c.Walk)
	in := automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Called",
		Workspace:      c.Workspace,
		Trigger:        "http",
		SessionType:    "develop",
		Provider:       "agent",
		AppendPayload:  true,
		AllowParallel:  true,
		Prompt: "{{" + strings.Repeat("a.", 31) + "a}} {{what}} {{_payload}} " + strings.Repeat("{{b.c}}",
			1000),
		Retries: 2,
	}}
	for range 20 {
		in.Filter.Conditions = append(in.Filter.Conditions, condition(strings.Repeat("a.", 31)+"a", "contains", "a"))
	}
	in.Filter.Any = true
	in.Filter.Conditions[19] = condition("what", "exists", "")
	a, token, err := c.Rules.Definitions().Create(ctx, admin.Actor, in)
	webtest.Check(c.T, err)
	s.hook, s.token = a.ID, token
	for kind, address := range map[forge.Kind]string{
		forge.GitHub: "https://github.com/Codertocat/Hello-World.git",
		forge.GitLab: "https://gitlab.com/gitlab-org/hello-world.git",
		forge.Gitea:  "https://try.gitea.io/jcitizen/my-repo.git",
		forge.Azure:  "https://dev.azure.com/fabrikam/Fabrikam/_git/Fabrikam",
	} {
		s.forges[kind] = admin.Repository("Of "+string(kind), address, kind).ID.String()
	}
	return s
}

// heaviest sends a costly text to what reads most of it, as long as each takes.
func (c *costs) heaviest(s *stage, name string, of func(size int) string) {
	c.T.Helper()
	prompt, p := of(prompt.MaxBytes), s.program
	run := url.Values{
		"name": {"Costly"}, "workspace": {c.Workspace}, "trigger": {"manual"}, "session_type": {"develop"},
		"provider": {"shell"}, "prompt": {prompt},
	}
	stale := url.Values{"version": {"0"}}
	for field, value := range run {
		stale[field] = value
	}
	c.form("/automations/placeholders", name, run)
	for _, provider := range []string{"shell", "agent"} {
		run.Set("provider", provider)
		made := c.form("/automations", name, run)
		if made.StatusCode != http.StatusSeeOther {
			continue
		}
		path := made.Header.Get("Location")
		for _, part := range []string{"", "/edit", "/settings", "/runs"} {
			c.page(path+part, name)
		}
		stale.Set("provider", provider)
		c.form(path, name, stale)
		values := url.Values{}
		for i := range 50 {
			values.Set(fmt.Sprintf("param.a%d", i), of(64<<10))
		}
		values.Set("param.a", of(64<<10))
		if started := c.form(path+"/runs", name, values); started.StatusCode == http.StatusSeeOther {
			session := started.Header.Get("Location")
			c.page(session, name)
		}
	}
	c.page("/automations", name)
	c.page("/sessions", name)
	c.page("/executions", name)

	steps := make([]map[string]any, 100)
	for i := range steps {
		steps[i] = map[string]any{"kind": "message", "label": "Step", "text": of(128 << 10)}
	}
	made := c.api(p, http.MethodPost, "/workflows", name,
		map[string]any{"name": "Costly " + name, "workspace_id": c.Workspace, "steps": steps})
	if made.StatusCode == http.StatusCreated {
		var wf struct{ ID string }
		webtest.Check(c.T, json.Unmarshal([]byte(made.Text), &wf))
		for _, path := range []string{"/workflows/" + wf.ID, "/workflows/" + wf.ID + "/edit",
			"/automations/parameters?workflow=" + wf.ID + "&provider=shell", "/workflows"} {
			c.page(path, name)
		}
		for _, provider := range []string{"shell", "agent"} {
			of := map[string]any{
				"name": "Costly", "workspace_id": c.Workspace, "provider": provider, "execution_type": "workflow",
				"workflow_id": wf.ID,
			}
			made := c.api(p, http.MethodPost, "/automations", name, of)
			if made.StatusCode != http.StatusCreated {
				continue
			}
			var a struct{ ID string }
			webtest.Check(c.T, json.Unmarshal([]byte(made.Text), &a))
			for _, part := range []string{"", "/edit", "/settings", "/runs"} {
				c.page("/automations/"+a.ID+part, name)
			}
			c.api(p, http.MethodPost, "/automations/"+a.ID+"/runs", name, nil)
		}
	}
	typed := url.Values{"name": {"Costly"}, "workspace": {c.Workspace}}
	for size := 0; size+len(url.QueryEscape(of(128<<10))) < page.MaxForm-(1<<20) &&
		len(typed["step_text"]) < 100; size += len(url.QueryEscape(of(128 << 10))) {
		typed.Add("step_kind", "message")
		typed.Add("step_text", of(128<<10))
	}
	for _, do := range []string{"preview", "add-step"} {
		typed.Set("do", do)
		c.form("/workflows", name+" "+do, typed)
	}

	c.form("/sessions/"+s.waiting.String()+"/messages", name, url.Values{"message": {prompt}})
	c.form("/tickets", name, url.Values{
		"workspace": {c.Workspace}, "title": {of(200)}, "body": {of(64 << 10)}, "labels": {of(16 << 10)},
	})
	c.page("/tickets?q="+url.QueryEscape(of(200)), name)
	c.form("/bots", name, url.Values{
		"workspace": {c.Workspace}, "name": {"Costly " + name}, "instructions": {of(64 << 10)},
		"allowed_tools": {of(1 << 20)},
	})
	c.form("/settings/toggles", name, url.Values{"edge_cases": {of(8 << 10)}, "code_review": {of(8 << 10)}})
	c.form("/settings/providers", name, url.Values{
		"name": {"Costly"}, "command": {of(2000)}, "keys": {of(1 << 20)}, "state": {of(1 << 20)},
	})
	c.form("/settings/providers/agent/models", name, url.Values{"models": {of(4 << 20)}})
	c.form("/workspaces", name, url.Values{
		"name": {"Costly"}, "url": {of(2000)}, "variables.0.name": {"A"}, "variables.0.value": {of(64 << 10)},
	})
	c.page("/automations/schedule?trigger=recurring&time_zone=Europe/Berlin&cron="+url.QueryEscape(of(500)), name)

	content := "kind: Automation\nname: Planned\nworkspace: Scratch\ntrigger: manual\nprovider: shell\nprompt: " +
		asJSON(prompt) + "\n"
	var documents strings.Builder
	for documents.Len()+len(content) < 4<<20-1000 && documents.Len() < 3<<20 {
		documents.WriteString(strings.Replace(content, "Planned", fmt.Sprint("Planned ", documents.Len()), 1) + "---\n")
	}
	for _, file := range []string{documents.String(), of(4<<20 - 1000), "prompt: " + asJSON(of(3<<20))} {
		c.api(p, http.MethodPost, "/plans", name,
			map[string]any{"files": []any{map[string]any{"name": "a.yaml", "content": file}}})
	}

	c.tools(s.session.Token, name, "create_automation", map[string]any{
		"name": "x", "prompt": prompt, "provider": "shell",
	})
	c.tools(s.session.Token, name, "create_ticket", map[string]any{
		"title": "x", "body": of(64 << 10), "labels": strings.SplitAfter(of(64<<10), "\n"),
	})
	c.tools(s.session.Token, name, "report_result", map[string]any{"outcome": "done", "summary": of(16 << 10)})

	long := of(1<<20 - 100)
	for _, body := range []string{`{"what":` + asJSON(long) + `}`, `{` + asJSON(long) + `:"x"}`,
		`{"a":{"a":{"a":` + asJSON(long) + `}}}`, long} {
		c.calls(s.token, name, body[:min(len(body), 1<<20)])
	}
}

// asJSON is a text as JSON and YAML have it.
func asJSON(text string) string {
	raw, _ := json.Marshal(text) // texts always marshal
	return string(raw)
}

func condition(field, operator, value string) spec.Condition {
	return spec.Condition{Field: field, Operator: operator, Value: value}
}

// everyRoute sends costly texts as every text of every form and of every call of the API. Shift chooses which.
func (c *costs) everyRoute(s *stage, shift int) {
	c.T.Helper()
	text := func(at, size int) string { return costlyShapes[(at+shift)%len(costlyShapes)].of(size) }
	for at, e := range expectations {
		if method, _, ok := strings.Cut(e.route, " "); !ok || method != http.MethodPost ||
			strings.Contains(e.route, "/logout") {
			continue
		}
		form := url.Values{"provider": {"shell"}, "prompt": {text(at, prompt.MaxBytes)}}
		for i, field := range strings.Fields(
			"name title body text message step_text step_label description instructions labels parameter_default " +
				"param.a success_command gate_command " +
				"success_contains stop_text filter_field filter_value cron time_zone model base_branch email reason " +
				"search allowed_tools shows variable_name variable_value keys state next back") {
			form.Set(field, text(at+i, 16<<10))
		}
		if e.form != "" {
			e.form += "&"
		}
		e.form += form.Encode()
		ask(c.Walk, "admin", e)
		c.took("forms", e.route, costlyShapes[(at+shift)%len(costlyShapes)].name)
	}
	for at, e := range webtest.APIExpectations {
		method, path, _ := strings.Cut(e.Route, " ")
		door := boundOf(c.T, method+" "+api.Prefix+path)
		var fields map[string]any
		if door == nil || json.Unmarshal([]byte(e.Form), &fields) != nil {
			continue
		}
		for name, value := range fields {
			if is, ok := value.(string); ok && is != "WORKSPACE" && name != "provider" &&
				!strings.HasSuffix(name, "_id") {
				fields[name] = text(at, 16<<10)
			}
		}
		if _, ok := fields["prompt"]; ok {
			fields["prompt"], fields["provider"] = text(at, prompt.MaxBytes), "shell"
		}
		raw, err := json.Marshal(fields)
		webtest.Check(c.T, err)
		e.Form = string(raw)
		c.AskAPI("admin", s.program.Token, method, path, e)
		c.took(door.name, e.Route, costlyShapes[(at+shift)%len(costlyShapes)].name)
	}
}

// everyArgument sends costly texts as every text of every tool, also within its lists and objects, and as their keys.
func (c *costs) everyArgument(s *stage, shift int) {
	c.T.Helper()
	var listed struct {
		Result struct {
			Tools []struct {
				Name        string
				InputSchema struct{ Properties map[string]any }
			}
		}
	}
	webtest.Check(c.T, json.Unmarshal([]byte(c.rpc(s.session.Token, "", "tools/list", "tools/list", map[string]any{})),
		&listed))
	nested := 0
	for at, tool := range listed.Result.Tools {
		properties := tool.InputSchema.Properties
		shape := costlyShapes[(at+shift)%len(costlyShapes)]
		for field, of := range properties {
			for _, value := range withText(of.(map[string]any), shape.of(16<<10)) {
				if _, plain := value.(string); !plain {
					nested++
				}
				args := map[string]any{
					"title": "x", "number": 1, "outcome": "done", "summary": "x", "body": "x",
					"automation": s.automation.String(), "name": "x",
				}
				for name := range args {
					if _, takes := properties[name]; !takes {
						delete(args, name)
					}
				}
				args[field] = value
				if told := c.tools(s.session.Token, shape.name, tool.Name, args); strings.Contains(told, "our side") {
					c.T.Errorf("%s with a costly %s answers %.300s", tool.Name, field, told)
				}
			}
		}
	}
	if nested < 10 {
		c.T.Errorf("%d nested arguments of tools were tried", nested)
	}
}

// withText are values that fit a schema, each with a text in one place.
func withText(schema map[string]any, text string) (list []any) {
	switch schema["type"] {
	case "string":
		return []any{text}
	case "array":
		items, _ := schema["items"].(map[string]any)
		for _, item := range withText(items, text) {
			list = append(list, []any{item})
		}
		for _, item := range withText(items, "a") {
			list = append(list, slices.Repeat([]any{item}, 5000))
		}
	case "object":
		properties, _ := schema["properties"].(map[string]any)
		for name, of := range properties {
			for _, value := range withText(of.(map[string]any), text) {
				list = append(list, map[string]any{name: value})
			}
		}
		if more, ok := schema["additionalProperties"].(map[string]any); ok {
			wide := map[string]any{}
			for _, value := range withText(more, "a") {
				for i := range 5000 {
					wide[fmt.Sprint("a", i)] = value
				}
				list = append(list, map[string]any{text: value}, wide)
			}
			for _, value := range withText(more, text) {
				list = append(list, map[string]any{"a": value})
			}
		}
	}
	return list
}

// everyPayload sends costly texts as every text that is read of the webhooks of every forge, signed.
func (c *costs) everyPayload(s *stage, shift int) {
	c.T.Helper()
	for at, tt := range []struct {
		kind        forge.Kind
		event, file string
	}{
		{forge.GitHub, "pull_request", "github/pull_request.opened.json"},
		{forge.GitLab, "Merge Request Hook", "gitlab/merge_request_create.json"},
		{forge.Gitea, "pull_request", "gitea/pull_request_opened.json"},
		{forge.Azure, "", "azure/git.pullrequest.created.json"},
	} {
		header := http.Header{}
		header.Set("X-GitHub-Event", tt.event)
		header.Set("X-Gitlab-Event", tt.event)
		header.Set("X-Gitea-Event", tt.event)
		header.Set("Content-Type", "application/json")
		var body any
		webtest.Check(c.T, json.Unmarshal(webtest.RecordedHook(c.T, tt.file), &body))
		reads := func() string {
			raw, err := json.Marshal(body)
			webtest.Check(c.T, err)
			event, err := forge.Parse(tt.kind, header, raw)
			return fmt.Sprint(event, err)
		}
		as, read := reads(), 0
		eachText(body, nil, func(was string, put func(any)) {
			put("another")
			if reads() != as {
				read++
				for i := range 3 {
					shape := costlyShapes[(at+read+i*7+shift)%len(costlyShapes)]
					put(shape.of(1 << 20))
					raw, err := json.Marshal(body)
					webtest.Check(c.T, err)
					c.Hook(tt.kind, s.forges[tt.kind], tt.event, webtest.HookSecret, raw)
					c.took("webhooks of forges", "POST /api/forges/"+string(tt.kind), shape.name)
				}
			}
			put(was)
		})
		if read < 4 {
			c.T.Errorf("of a webhook of %s %d texts are read", tt.kind, read)
		}
	}
}

// eachText visits every text in JSON that was read.
func eachText(value any, put func(any), visit func(was string, put func(any))) {
	switch v := value.(type) {
	case string:
		visit(v, put)
	case []any:
		for i := range v {
			eachText(v[i], func(now any) { v[i] = now }, visit)
		}
	case map[string]any:
		for name := range v {
			eachText(v[name], func(now any) { v[name] = now }, visit)
		}
	}
}

// TestCostlyTextsThroughEveryDoorCostABoundedAmountOfWork sends the costliest texts through every door. None ends the
// server and none is our fault; statements, rows, log, memory and answer of each stay within the bounds of its door,
// which SECURITY.md tells. With -v it prints the slowest. With CARILLON_DOORS=all, as by make doors, each text goes to
// what reads most of it; else two do.
func TestCostlyTextsThroughEveryDoorCostABoundedAmountOfWork(t *testing.T) {
	c := measured(t)
	s := c.stage()
	lines := func() (n int) {
		webtest.Check(t, c.Server.DB.NewRaw("SELECT count(*) FROM audit_events").Scan(t.Context(), &n))
		return n
	}
	before := lines()
	rounds, shapes := 1, costlyShapes[5:6]
	shapes = append(shapes, costlyShapes[11])
	if os.Getenv("CARILLON_DOORS") == "all" {
		rounds, shapes = len(costlyShapes), costlyShapes
	}
	if raced {
		shapes = shapes[:1]
	}
	for shift := range rounds {
		c.everyRoute(s, shift)
		c.everyArgument(s, shift)
		c.everyPayload(s, shift)
	}
	for _, shape := range shapes {
		c.heaviest(s, shape.name, shape.of)
	}
	most := map[string]cost{}
	for _, one := range c.list {
		if one.answered >= "500" {
			t.Errorf("%s is answered %s to %s", one.route, one.answered, one.text)
		}
		m := most[one.door]
		most[one.door] = cost{
			statements: max(m.statements, one.statements), rows: max(m.rows, one.rows),
			logged: max(m.logged, one.logged),
			memory: max(m.memory, one.memory), answer: max(m.answer, one.answer), cpu: max(m.cpu, one.cpu),
		}
		for _, d := range bodyBounds {
			b := d.costs
			if raced {
				b.memory *= 4
			}
			if d.name == one.door && (one.statements > b.statements || one.rows > b.rows || one.logged > b.log<<10 ||
				one.memory > b.memory<<20 || int64(one.answer) > b.answer<<20) {
				t.Errorf("%s with %s takes %d statements, writes %d rows and %d bytes of log, allocates %d KiB and "+
					"answers %d KiB; want at most %+v",
					one.route, one.text, one.statements, one.rows, one.logged, one.memory>>10, one.answer>>10, b)
			}
		}
	}
	for _, d := range bodyBounds {
		m := most[d.name]
		if m.statements == 0 && m.answer == 0 {
			t.Errorf("nothing was sent to %s", d.name)
		}
		t.Logf("%s: at most %d statements, %d rows, %d bytes of log, %d MiB allocated, %d KiB answered, %d ms of CPU",
			d.name, m.statements, m.rows, m.logged,
			m.memory>>20, m.answer>>10, m.cpu.Milliseconds())
	}
	if n := lines() - before; len(c.list) < 150 || n > 3*len(c.list) {
		t.Errorf("%d requests left %d lines in the audit log", len(c.list), n)
	}
	c.report(20)
}

// report tells what cost most.
func (c *costs) report(most int) {
	slices.SortFunc(c.list, func(a, b cost) int { return int(b.cpu - a.cpu) })
	for i, one := range c.list[:min(most, len(c.list))] {
		c.T.Logf("%2d. %s of %s: answered %s, %d ms of CPU, %d statements, %d rows, %d bytes of log, %d KiB "+
			"allocated, %d KiB answered", i+1, one.route, one.text,
			one.answered, one.cpu.Milliseconds(), one.statements, one.rows, one.logged, one.memory>>10, one.answer>>10)
	}
}
