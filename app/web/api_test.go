package web

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/api"
	"carillon/app/automation"
	"carillon/app/inbox"
	"carillon/app/middleware"
	"carillon/app/spec"
	"carillon/app/workflow"
	"carillon/db"
)

// program is a client of the API with a token.
type program struct {
	*site
	token string
	jar   http.CookieJar
}

// program makes a token of a person's and gives it to a program.
func (b *browser) program(permissions ...account.Permission) *program {
	b.t.Helper()
	return &program{site: b.site, token: b.newToken(permissions...)}
}

// call asks the API, with a body unless it is nil: a text as it is, else as JSON.
func (p *program) call(method, path string, body any) *answer {
	p.t.Helper()
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		var err error
		text, err = json.Marshal(body)
		check(p.t, err)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.http.URL+api.Prefix+path, bytes.NewReader(text))
	check(p.t, err)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if p.token != "" {
		req.Header.Set("Authorization", "Bearer "+p.token)
	}
	res, err := (&http.Client{Jar: p.jar}).Do(req)
	check(p.t, err)
	defer res.Body.Close() //nolint:errcheck // read to its end below
	read, err := io.ReadAll(res.Body)
	check(p.t, err)
	return &answer{res, string(read)}
}

// into reads an answer.
func (a *answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("%s answered %d %.600s: %v", a.Request.URL, a.StatusCode, a.body, err)
	}
}

type fields map[string]any

// apiDoc is the description of the API as clients read it.
type apiDoc struct {
	OpenAPI string
	Paths   map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Summary     string
		Parameters  []struct{ Name, In string }
		Responses   map[string]struct{ Content map[string]any }
	}
	Components struct{ Schemas map[string]any }
}

func TestTheDescriptionOfTheAPIHasItsRoutesAndNoOthers(t *testing.T) {
	s := open(t)
	a := (&program{site: s}).call("GET", "/openapi.json", nil)
	a.expect(t, 200, `"bearer"`)
	var doc apiDoc
	a.into(t, &doc)
	routes := s.routes
	var want, got []string
	for _, pattern := range routes.Patterns() {
		if isAPIPattern(pattern) {
			want = append(want, strings.Replace(pattern, " "+api.Prefix, " ", 1))
		}
	}
	names := map[string]bool{}
	for path, methods := range doc.Paths {
		for method, o := range methods {
			got = append(got, strings.ToUpper(method)+" "+path)
			if names[o.OperationID] || o.OperationID == "" || o.Summary == "" {
				t.Errorf("%s %s is called %q, and is said to %q", method, path, o.OperationID, o.Summary)
			}
			names[o.OperationID] = true
			for _, status := range []string{"401", "403", "422", "429", "500"} {
				if _, ok := o.Responses[status].Content["application/problem+json"]; !ok {
					t.Errorf("%s %s is not said to answer %s", method, path, status)
				}
			}
			named := slices.ContainsFunc(o.Parameters, func(p struct{ Name, In string }) bool {
				return p.Name == "id" && p.In == "path"
			})
			if named != strings.Contains(path, "{id}") {
				t.Errorf("%s %s takes %v", method, path, o.Parameters)
			}
		}
	}
	help := s.as("Reader", account.RoleMember).get("/help/api")
	for _, route := range want {
		if !strings.Contains(help.body, ">"+route+"<") {
			t.Errorf("the help lacks %s", route)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("it describes\n%q\nwant\n%q", got, want)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("it is of OpenAPI %s", doc.OpenAPI)
	}
	for _, ref := range regexp.MustCompile(`"\$ref":"#/components/schemas/([^"]+)"`).FindAllStringSubmatch(a.body, -1) {
		if doc.Components.Schemas[ref[1]] == nil {
			t.Errorf("it refers to %s, which is not there", ref[1])
		}
	}
}

// automation makes an automation by the API.
func (p *program) automation(with fields) (made struct {
	ID         string
	Version    int
	WebhookURL string `json:"webhook_url"`
}) {
	p.t.Helper()
	body := fields{"name": "Audit", "workspace_id": p.workspace, "provider": "agent", "prompt": "Look at {{what}}."}
	maps.Copy(body, with)
	a := p.call("POST", "/automations", body)
	a.expect(p.t, 201, `"id"`)
	a.into(p.t, &made)
	if a.Header.Get("Location") != p.http.URL+api.Prefix+"/automations/"+made.ID {
		p.t.Errorf("it is at %s", a.Header.Get("Location"))
	}
	return made
}

// mistakes are what a problem says of each field.
func (a *answer) mistakes(t *testing.T, status int, code string) map[string]string {
	t.Helper()
	var p struct {
		Status int
		Code   string
		Errors []struct{ Field, Message string }
	}
	a.into(t, &p)
	if a.StatusCode != status || p.Status != status || p.Code != code ||
		a.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s %s answered %d %s %.600s; want %d %s", a.Request.Method, a.Request.URL, a.StatusCode,
			a.Header.Get("Content-Type"), a.body, status, code)
	}
	list := map[string]string{}
	for _, e := range p.Errors {
		list[e.Field] = e.Message
	}
	return list
}

func TestWhatIsWrongIsToldByTheNamesOfFields(t *testing.T) {
	s := open(t)
	p := s.as("Owner", account.RoleManager).program()
	made := p.automation(nil)
	hook := p.automation(fields{"name": "Hook", "trigger": "http"})
	if hook.WebhookURL == "" {
		t.Error("an HTTP Trigger was made without its address")
	}
	one := "/automations/" + made.ID
	step := func(kind string, more fields) fields {
		f := fields{"kind": kind}
		maps.Copy(f, more)
		return f
	}
	for _, c := range []struct {
		name, method, path string
		body               any
		status             int
		code               string
		fields             []string
	}{
		{"unknown fields", "POST", "/automations", fields{
			"name": "A", "creator_id": made.ID, "enabled": true, "failure_streak": 0, "Prompt": "x",
		}, 422, "invalid", []string{"Prompt", "creator_id", "enabled", "failure_streak"}},
		{"an unknown field of a change", "PATCH", one, fields{"version": 1, "id": made.ID}, 422, "invalid",
			[]string{"id"}},
		{"an unknown field within", "PATCH", one, fields{"version": 1, "gate": fields{"comand": "x"}}, 422, "invalid",
			[]string{"gate.comand"}},
		{"no version", "PATCH", one, fields{"name": "B"}, 422, "invalid", []string{"version"}},
		{"null for what is needed", "PATCH", one, `{"version":null}`, 422, "invalid", []string{"version"}},
		{"a wrong type", "PATCH", one, `{"version":1,"name":5,"retries":"many"}`, 422, "invalid",
			[]string{"name", "retries"}},
		{"an unknown choice", "POST", "/automations", fields{"trigger": "hourly", "toggles": []string{"speed"}}, 422,
			"invalid", []string{"toggles.0", "trigger"}},
		{"what rules refuse", "POST", "/automations", fields{
			"name": "", "workspace_id": uuid.NewString(), "trigger": "recurring", "cron": "61 * * * *",
			"time_zone": "Mars", "budget": fields{"day": fields{"turns": 2_000_000}},
		}, 422, "invalid",
			[]string{"budget.day.turns", "cron", "name", "prompt", "provider", "time_zone", "workspace_id"}},
		{"steps", "POST", "/workflows", fields{"name": "W", "steps": []fields{
			step("message", fields{"text": "x"}),
			step("loop", fields{"max": 2, "steps": []fields{step("message", fields{"text": "y"}),
				step("message", nil)}}),
			step("asset", fields{"path": "../x"}),
		}, "parameters": []fields{{"alias": "1", "type": "text"}}}, 422, "invalid",
			[]string{"parameters.0.alias", "steps.1.steps.1.text", "steps.2.path"}},
		{"an unknown question", "GET", "/automations?limt=5", nil, 422, "invalid", []string{"limt"}},
		{"questions out of bounds", "GET", "/automations?limit=101&state=odd&workspace_id=x", nil, 422, "invalid",
			[]string{"limit", "state", "workspace_id"}},
		{"a foreign cursor", "GET", "/automations?cursor=" + base64.RawURLEncoding.EncodeToString([]byte(`["a"]`)), nil,
			422, "invalid", []string{"cursor"}},
		{"nonsense for a cursor", "GET", "/executions?cursor=nonsense", nil, 422, "invalid", []string{"cursor"}},
		{"a label with a comma", "POST", "/tickets", fields{
			"workspace_id": s.workspace, "title": "T", "labels": []string{"a", "b,c"},
		}, 422, "invalid", []string{"labels.1"}},
		{"an HTTP Trigger to switch off", "POST", "/automations/" + hook.ID + "/enabled", fields{"enabled": false}, 422,
			"invalid", []string{"enabled"}},
		{"a token of what has none", "POST", one + "/token", nil, 422, "invalid", []string{"token"}},
		{"half a body", "POST", "/automations", `{"name":`, 400, "bad_request", nil},
		{"two bodies", "POST", "/automations", `{} {}`, 400, "bad_request", nil},
		{"no body", "POST", "/automations", "", 400, "bad_request", nil},
		{"a list for a body", "POST", "/automations", "[]", 422, "invalid", []string{""}},
		{"a sign that no column holds", "POST", "/automations", `{"name":"a\u0000b"}`, 400, "bad_request", nil},
		{"bytes that are no text", "POST", "/automations", "{\"name\":\"a\xff\"}", 400, "bad_request", nil},
		{"a query that is no text", "GET", "/automations?search=%ff", nil, 400, "bad_request", nil},
		{"a body too long", "POST", "/automations", `{"prompt":"` + strings.Repeat("x", api.MaxBody) + `"}`, 413,
			"too_large", nil},
		{"an address that is nothing", "GET", "/nothing", nil, 404, "not_found", nil},
		{"a method that is not taken", "PUT", one, fields{}, 405, "method_not_allowed", nil},
		{"what somebody else changed", "PATCH", one, fields{"version": 9, "name": "B"}, 409, "stale", nil},
	} {
		got := slices.Sorted(maps.Keys(p.call(c.method, c.path, c.body).mistakes(t, c.status, c.code)))
		if !slices.Equal(got, c.fields) {
			t.Errorf("%s: mistakes in %q; want in %q", c.name, got, c.fields)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.http.URL+api.Prefix+"/automations",
		strings.NewReader("name=A"))
	check(t, err)
	req.Header.Set("Authorization", "Bearer "+p.token)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	s.nobody().do(req).mistakes(t, 415, "unsupported_media_type")

	var run struct {
		Execution string `json:"execution_id"`
		Session   string `json:"session_id"`
	}
	a := p.call("POST", one+"/runs", fields{"parameters": fields{"what": "x"}})
	a.expect(t, 201, `"session_url":"http`)
	a.into(t, &run)
	busy := p.call("POST", one+"/runs", nil)
	busy.mistakes(t, 409, "in_flight")
	busy.expect(t, 409, `"execution_id":"`+run.Execution+`","session_id":"`+run.Session+`"`)
	p.call("POST", "/executions/"+run.Execution+"/cancellation", nil).expect(t, 200, `"status":"canceled"`)
	// over: as it is
	p.call("POST", "/executions/"+run.Execution+"/cancellation", nil).expect(t, 200, `"status":"canceled"`)
	p.call("POST", "/executions/"+run.Execution+"/repetitions", nil).expect(t, 201, `"execution_id"`)
}

func TestPagesLoseAndDoubleNothingWhileRowsAreAdded(t *testing.T) {
	s := open(t)
	owner := s.as("Owner", account.RoleManager)
	p := owner.program()
	add := func(kind, name string) {
		t.Helper()
		switch kind {
		case "automations":
			p.automation(fields{"name": name})
		case "workflows":
			p.call("POST", "/workflows", fields{"name": name, "steps": []fields{{"kind": "message", "text": "x"}}}).
				expect(t, 201, "")
		case "bots":
			p.call("POST", "/bots", fields{"name": name, "instructions": "x"}).expect(t, 201, "")
		case "tickets":
			p.call("POST", "/tickets", fields{"workspace_id": s.workspace, "title": name}).expect(t, 201, "")
		case "executions", "sessions":
			a := p.automation(fields{"name": name})
			p.call("POST", "/automations/"+a.ID+"/runs", nil).expect(t, 201, "")
		case "inbox":
			_, err := db.InsertNotifications(t.Context(), s.server.DB,
				[]db.Notification{{
					ID: db.NewID(), UserID: owner.actor.ID, Kind: inbox.Skipped, Title: name, DedupKey: name,
					CreatedAt: time.Now(),
				}})
			check(t, err)
		}
	}
	for _, kind := range []string{"automations", "workflows", "bots", "tickets", "executions", "sessions", "inbox"} {
		for i := range 5 { // names alike but for their case, as lists by name have them side by side
			add(kind, []string{"b", "B", "a", "c", "B"}[i]+strings.Repeat(" ", i%2)+kind[:i%3+1])
		}
		var before []string
		read := func(cursor string, limit string) (ids []string, next string) {
			t.Helper()
			var page struct {
				Items      []struct{ ID string }
				NextCursor string `json:"next_cursor"`
			}
			path := "/" + kind + "?limit=" + limit
			if cursor != "" {
				path += "&cursor=" + cursor
			}
			p.call("GET", path, nil).into(t, &page)
			for _, item := range page.Items {
				ids = append(ids, item.ID)
			}
			return ids, page.NextCursor
		}
		before, _ = read("", "100")
		seen, ids, next := []string{}, []string(nil), ""
		for i := 0; i == 0 || next != ""; i++ {
			if ids, next = read(next, "2"); len(ids) > 2 {
				t.Fatalf("a page of %s has %d items", kind, len(ids))
			}
			seen = append(seen, ids...)
			if i < 2 {
				add(kind, "B "+kind+strings.Repeat("x", i))
			}
		}
		known := slices.DeleteFunc(slices.Clone(seen), func(id string) bool { return !slices.Contains(before, id) })
		if !slices.Equal(known, before) || len(slices.Compact(slices.Sorted(slices.Values(seen)))) != len(seen) {
			t.Errorf("the pages of %s have %q; want %q, each once", kind, seen, before)
		}
	}
}

// What is secret can be written, is kept by a change of something else, and never comes out.
func TestSecretsDoNotComeOut(t *testing.T) {
	s := open(t)
	p := s.as("Owner", account.RoleManager).program()
	const secret, fallback, signature = "hunter2-hunter2", "default-default", "0123456789abcdef"
	var flow, made, run struct {
		ID        string
		Version   int
		Execution string   `json:"execution_id"`
		Session   string   `json:"session_id"`
		Secret    []string `json:"secret_parameters"`
	}
	p.call("POST", "/workflows", fields{"name": "W",
		"steps": []fields{{"kind": "message", "text": "Use $key and $other"}}, "parameters": []fields{
			{"alias": "key", "type": "secret"}, {"alias": "other", "type": "secret", "default": fallback},
		}}).into(t, &flow)
	p.call("POST", "/automations", fields{
		"name": "A", "workspace_id": s.workspace, "provider": "agent", "trigger": "http", "execution_type": "workflow",
		"workflow_id": flow.ID, "parameters": fields{"key": secret},
		"sender": "hmac", "signature_header": "X-Signature", "signature_secret": signature,
	}).into(t, &made)
	one := "/automations/" + made.ID
	p.call("PATCH", one, fields{"version": 1, "name": "Renamed"}).into(t, &made)
	p.call("PATCH", "/workflows/"+flow.ID, fields{"version": 1, "description": "Changed"}).expect(t, 200, "Changed")
	if made.Version != 2 || !slices.Equal(made.Secret, []string{"key"}) {
		t.Errorf("after a change of its name it is %+v", made)
	}
	id := uuid.MustParse(made.ID)
	a, err := db.AutomationByID(t.Context(), s.server.DB, id)
	check(t, err)
	if a.SignatureSealed == nil {
		t.Error("a change of the name lost the secret of the signature")
	}
	p.call("POST", one+"/runs", nil).into(t, &run)
	e, err := db.ExecutionByID(t.Context(), s.server.DB, uuid.MustParse(run.Execution))
	check(t, err)
	if _, secrets, err := workflow.OpenValues(s.rules.Keys, e); err != nil ||
		!slices.Equal(secrets, []string{secret, fallback}) {
		t.Errorf("it runs with %q, %v; want the secrets stored before the change", secrets, err)
	}
	_, err = s.server.DB.NewRaw(
		"INSERT INTO workspace_variables (workspace_id, name, secret, value, sealed) VALUES (?, 'TOKEN', true, '', ?)",
		s.workspace, s.server.Keys.Seal(secret, "x")).Exec(t.Context())
	check(t, err)
	for _, path := range []string{one, "/automations", "/workflows", "/workflows/" + flow.ID, "/executions",
		"/executions/" + run.Execution, "/sessions", "/sessions/" + run.Session, "/workspaces",
		"/workspaces/" + s.workspace, "/providers"} {
		got := p.call("GET", path, nil)
		got.expect(t, 200, "")
		for _, hidden := range []string{secret, fallback, signature, "sealed:"} {
			if strings.Contains(got.body, hidden) {
				t.Errorf("%s has %s", path, hidden)
			}
		}
	}
}

func TestGuessersOfTokensWaitAndOthersDoNot(t *testing.T) {
	s := open(t)
	s.bearers.Bad = middleware.NewRateLimiter(0, 20) // nothing comes back, however long the test takes
	good := s.as("Owner", account.RoleMember).program()
	bad := &program{site: s, token: account.TokenPrefix + strings.Repeat("A", 43)}
	for range 20 {
		bad.call("GET", "/me", nil).mistakes(t, 401, "unauthorized")
	}
	a := bad.call("GET", "/me", nil)
	a.mistakes(t, 429, "too_many_requests")
	if a.Header.Get("Retry-After") == "" {
		t.Error("they are not told how long to wait")
	}
	good.call("GET", "/me", nil).expect(t, 200, "Owner@example.com") // from the same address
}

func TestAChangeLeavesWhatItDoesNotName(t *testing.T) {
	s := open(t)
	p := s.as("Owner", account.RoleManager).program()
	first := p.call("POST", "/automations", fields{
		"name": "Once", "workspace_id": s.workspace, "provider": "agent", "prompt": "Look at {{what}} and {{why}}.",
		"trigger": "one_time", "run_at": "2040-07-01T10:00:00+02:00",
		"time_zone": "Europe/Berlin", "parameters": fields{"what": "a", "why": "b"}, "toggles": []string{"code_review"},
		"timeout_minutes": 1.5, "retries": 0,
		"gate": fields{"branch_moved": true}, "success": fields{"contains": "ok"},
		"budget": fields{"run": fields{"money": 1.25, "tokens": 1000}}, "auto_complete": false,
	})
	first.expect(t, 201, `"run_at":"2040-07-01T08:00:00Z"`)
	var before, after map[string]any
	first.into(t, &before)
	p.call("PATCH", "/automations/"+before["id"].(string), fields{
		"version": 1, "time_zone": "America/New_York", "parameters": fields{"why": ""},
	}).into(t, &after)
	for _, changed := range []string{"version", "updated_at", "time_zone", "parameters", "when"} {
		delete(before, changed)
		if changed != "parameters" && changed != "time_zone" {
			delete(after, changed)
		}
	}
	if after["time_zone"] != "America/New_York" ||
		!reflect.DeepEqual(after["parameters"], map[string]any{"what": "a"}) {
		t.Errorf("the change made it %v in %v", after["parameters"], after["time_zone"])
	}
	delete(after, "time_zone")
	delete(after, "parameters")
	if !reflect.DeepEqual(before, after) {
		t.Errorf("it was\n%v\nand became\n%v", before, after)
	}
}

func TestWhatASessionChangedIsAbsentUntilItIsKnown(t *testing.T) {
	s := open(t)
	b := s.as("Jonas", account.RoleMember)
	p := b.program()
	a, _, err := s.rules.Definitions().Create(t.Context(), b.actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "A",
		Workspace:      s.workspace,
		Trigger:        "manual",
		SessionType:    "develop",
		Prompt:         "Look.",
		Provider:       "agent",
		Retries:        2,
	}})
	check(t, err)
	run, err := s.rules.Runs().RunNow(t.Context(), b.actor, a.ID, nil)
	check(t, err)
	path := "/sessions/" + run.Session.ID.String()
	if got := p.call("GET", path, nil); got.StatusCode != 200 || strings.Contains(got.body, "files_changed") {
		t.Errorf("before the first answer it says %s; want no number of files", got.body)
	}
	_, err = s.server.DB.NewRaw("UPDATE sessions SET changes_at = now() WHERE id = ?", run.Session.ID).Exec(t.Context())
	check(t, err)
	p.call("GET", path, nil).expect(t, 200, `"files_changed":0`)
}

// A model is one of its provider's.
func TestTheModelOfAnotherProviderDoesNotStay(t *testing.T) {
	s := open(t)
	b := s.as("Ada", account.RoleAdministrator)
	p, c := b.program(), s.tool(b.program().token)
	made := func(at string, with fields) map[string]any {
		var out map[string]any
		p.call("POST", at, with).into(t, &out)
		return out
	}
	own := made("/automations", fields{
		"name": "A", "workspace_id": s.workspace, "provider": "agent", "model": "large", "prompt": "Look.",
	})
	bot := made("/bots", fields{"name": "B", "instructions": "Be kind.", "provider": "agent", "model": "large"})
	var got map[string]any
	p.call("PATCH", "/automations/"+own["id"].(string), fields{"version": 1, "provider": "agent"}).into(t, &got)
	if got["model"] != "large" {
		t.Errorf("with the same provider the model is %v; want large", got["model"])
	}
	p.call("PATCH", "/automations/"+own["id"].(string), fields{"version": 2, "provider": "shell"}).into(t, &got)
	if got["provider"] != "shell" || got["model"] != "" {
		t.Errorf("by API it became %v with the model %v; want shell with none", got["provider"], got["model"])
	}
	p.call("PATCH", "/bots/"+bot["id"].(string), fields{"version": 1, "provider": ""}).into(t, &got)
	if got["provider"] != "" || got["model"] != "" {
		t.Errorf("the bot has %q with the model %q; want neither", got["provider"], got["model"])
	}
	other := s.must(c, "create_automation", map[string]any{
		"name": "C", "workspace": "Scratch", "provider": "agent", "model": "large", "prompt": "Look.",
	})["automation"].(map[string]any)
	edited := s.must(c, "edit_automation", map[string]any{
		"automation": other["id"], "provider": "shell",
	})["automation"].(map[string]any)
	if model, there := edited["model"]; edited["provider"] != "shell" || there && model != "" {
		t.Errorf("by tool it became %v with the model %v; want shell with none", edited["provider"], model)
	}
	s.refused(c, "edit_automation", map[string]any{
		"automation": other["id"], "parameters": map[string]string{"who": "x"},
	}, "parameters.who: ")
	s.refused(c, "edit_automation", map[string]any{"automation": other["id"], "timeout_minutes": -1},
		"timeout_minutes: ")
}
