package api_test

import (
	"encoding/base64"
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
	"carillon/app/web/webtest"
	"carillon/app/workflow"
	"carillon/db"
)

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
	s := webtest.Open(t)
	a := (&webtest.Program{Site: s}).Call("GET", "/openapi.json", nil)
	a.Expect(t, 200, `"bearer"`)
	var doc apiDoc
	a.Into(t, &doc)
	routes := s.Routes
	var want, got []string
	for _, pattern := range routes.Patterns() {
		if webtest.IsAPIPattern(pattern) {
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
	help := s.As("Reader", account.RoleMember).Get("/help/api")
	for _, route := range want {
		if !strings.Contains(help.Text, ">"+route+"<") {
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
	for _, ref := range regexp.MustCompile(`"\$ref":"#/components/schemas/([^"]+)"`).FindAllStringSubmatch(a.Text, -1) {
		if doc.Components.Schemas[ref[1]] == nil {
			t.Errorf("it refers to %s, which is not there", ref[1])
		}
	}
}

// newAutomation makes an automation by the API.
func newAutomation(p *webtest.Program, with webtest.Fields) (made struct {
	ID         string
	Version    int
	WebhookURL string `json:"webhook_url"`
}) {
	p.T.Helper()
	body := webtest.Fields{"name": "Audit", "workspace_id": p.Workspace, "provider": "agent",
		"prompt": "Look at {{what}}."}
	maps.Copy(body, with)
	a := p.Call("POST", "/automations", body)
	a.Expect(p.T, 201, `"id"`)
	a.Into(p.T, &made)
	if a.Header.Get("Location") != p.HTTP.URL+api.Prefix+"/automations/"+made.ID {
		p.T.Errorf("it is at %s", a.Header.Get("Location"))
	}
	return made
}

// mistakes are what a problem says of each field.
func mistakes(a *webtest.Answer, t *testing.T, status int, code string) map[string]string {
	t.Helper()
	var p struct {
		Status int
		Code   string
		Errors []struct{ Field, Message string }
	}
	a.Into(t, &p)
	if a.StatusCode != status || p.Status != status || p.Code != code ||
		a.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s %s answered %d %s %.600s; want %d %s", a.Request.Method, a.Request.URL, a.StatusCode,
			a.Header.Get("Content-Type"), a.Text, status, code)
	}
	list := map[string]string{}
	for _, e := range p.Errors {
		list[e.Field] = e.Message
	}
	return list
}

func TestWhatIsWrongIsToldByTheNamesOfFields(t *testing.T) {
	s := webtest.Open(t)
	p := s.As("Owner", account.RoleManager).Program()
	made := newAutomation(p, nil)
	hook := newAutomation(p, webtest.Fields{"name": "Hook", "trigger": "http"})
	if hook.WebhookURL == "" {
		t.Error("an HTTP Trigger was made without its address")
	}
	one := "/automations/" + made.ID
	step := func(kind string, more webtest.Fields) webtest.Fields {
		f := webtest.Fields{"kind": kind}
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
		{"unknown fields", "POST", "/automations", webtest.Fields{
			"name": "A", "creator_id": made.ID, "enabled": true, "failure_streak": 0, "Prompt": "x",
		}, 422, "invalid", []string{"Prompt", "creator_id", "enabled", "failure_streak"}},
		{"an unknown field of a change", "PATCH", one, webtest.Fields{"version": 1, "id": made.ID}, 422, "invalid",
			[]string{"id"}},
		{"an unknown field within", "PATCH", one, webtest.Fields{"version": 1, "gate": webtest.Fields{"comand": "x"}},
			422, "invalid",
			[]string{"gate.comand"}},
		{"no version", "PATCH", one, webtest.Fields{"name": "B"}, 422, "invalid", []string{"version"}},
		{"null for what is needed", "PATCH", one, `{"version":null}`, 422, "invalid", []string{"version"}},
		{"a wrong type", "PATCH", one, `{"version":1,"name":5,"retries":"many"}`, 422, "invalid",
			[]string{"name", "retries"}},
		{"an unknown choice", "POST", "/automations", webtest.Fields{"trigger": "hourly", "toggles": []string{"speed"}},
			422,
			"invalid", []string{"toggles.0", "trigger"}},
		{"what rules refuse", "POST", "/automations", webtest.Fields{
			"name": "", "workspace_id": uuid.NewString(), "trigger": "recurring", "cron": "61 * * * *",
			"time_zone": "Mars", "budget": webtest.Fields{"day": webtest.Fields{"turns": 2_000_000}},
		}, 422, "invalid",
			[]string{"budget.day.turns", "cron", "name", "prompt", "provider", "time_zone", "workspace_id"}},
		{"steps", "POST", "/workflows", webtest.Fields{"name": "W", "steps": []webtest.Fields{
			step("message", webtest.Fields{"text": "x"}),
			step("loop",
				webtest.Fields{"max": 2, "steps": []webtest.Fields{step("message", webtest.Fields{"text": "y"}),
					step("message", nil)}}),
			step("asset", webtest.Fields{"path": "../x"}),
		}, "parameters": []webtest.Fields{{"alias": "1", "type": "text"}}}, 422, "invalid",
			[]string{"parameters.0.alias", "steps.1.steps.1.text", "steps.2.path"}},
		{"an unknown question", "GET", "/automations?limt=5", nil, 422, "invalid", []string{"limt"}},
		{"questions out of bounds", "GET", "/automations?limit=101&state=odd&workspace_id=x", nil, 422, "invalid",
			[]string{"limit", "state", "workspace_id"}},
		{"a foreign cursor", "GET", "/automations?cursor=" + base64.RawURLEncoding.EncodeToString([]byte(`["a"]`)), nil,
			422, "invalid", []string{"cursor"}},
		{"nonsense for a cursor", "GET", "/executions?cursor=nonsense", nil, 422, "invalid", []string{"cursor"}},
		{"a label with a comma", "POST", "/tickets", webtest.Fields{
			"workspace_id": s.Workspace, "title": "T", "labels": []string{"a", "b,c"},
		}, 422, "invalid", []string{"labels.1"}},
		{"an HTTP Trigger to switch off", "POST", "/automations/" + hook.ID + "/enabled",
			webtest.Fields{"enabled": false}, 422,
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
		{"a method that is not taken", "PUT", one, webtest.Fields{}, 405, "method_not_allowed", nil},
		{"what somebody else changed", "PATCH", one, webtest.Fields{"version": 9, "name": "B"}, 409, "stale", nil},
	} {
		got := slices.Sorted(maps.Keys(mistakes(p.Call(c.method, c.path, c.body), t, c.status, c.code)))
		if !slices.Equal(got, c.fields) {
			t.Errorf("%s: mistakes in %q; want in %q", c.name, got, c.fields)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.HTTP.URL+api.Prefix+"/automations",
		strings.NewReader("name=A"))
	webtest.Check(t, err)
	req.Header.Set("Authorization", "Bearer "+p.Token)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	mistakes(s.Nobody().Do(req), t, 415, "unsupported_media_type")

	var run struct {
		Execution string `json:"execution_id"`
		Session   string `json:"session_id"`
	}
	a := p.Call("POST", one+"/runs", webtest.Fields{"parameters": webtest.Fields{"what": "x"}})
	a.Expect(t, 201, `"session_url":"http`)
	a.Into(t, &run)
	busy := p.Call("POST", one+"/runs", nil)
	mistakes(busy, t, 409, "in_flight")
	busy.Expect(t, 409, `"execution_id":"`+run.Execution+`","session_id":"`+run.Session+`"`)
	p.Call("POST", "/executions/"+run.Execution+"/cancellation", nil).Expect(t, 200, `"status":"canceled"`)
	// over: as it is
	p.Call("POST", "/executions/"+run.Execution+"/cancellation", nil).Expect(t, 200, `"status":"canceled"`)
	p.Call("POST", "/executions/"+run.Execution+"/repetitions", nil).Expect(t, 201, `"execution_id"`)
}

func TestPagesLoseAndDoubleNothingWhileRowsAreAdded(t *testing.T) {
	s := webtest.Open(t)
	owner := s.As("Owner", account.RoleManager)
	p := owner.Program()
	add := func(kind, name string) {
		t.Helper()
		switch kind {
		case "automations":
			newAutomation(p, webtest.Fields{"name": name})
		case "workflows":
			p.Call("POST", "/workflows",
				webtest.Fields{"name": name, "steps": []webtest.Fields{{"kind": "message", "text": "x"}}}).
				Expect(t, 201, "")
		case "bots":
			p.Call("POST", "/bots", webtest.Fields{"name": name, "instructions": "x"}).Expect(t, 201, "")
		case "tickets":
			p.Call("POST", "/tickets", webtest.Fields{"workspace_id": s.Workspace, "title": name}).Expect(t, 201, "")
		case "executions", "sessions":
			a := newAutomation(p, webtest.Fields{"name": name})
			p.Call("POST", "/automations/"+a.ID+"/runs", nil).Expect(t, 201, "")
		case "inbox":
			_, err := db.InsertNotifications(t.Context(), s.Server.DB,
				[]db.Notification{{
					ID: db.NewID(), UserID: owner.Actor.ID, Kind: inbox.Skipped, Title: name, DedupKey: name,
					CreatedAt: time.Now(),
				}})
			webtest.Check(t, err)
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
			p.Call("GET", path, nil).Into(t, &page)
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
	s := webtest.Open(t)
	p := s.As("Owner", account.RoleManager).Program()
	const secret, fallback, signature = "hunter2-hunter2", "default-default", "0123456789abcdef"
	var flow, made, run struct {
		ID        string
		Version   int
		Execution string   `json:"execution_id"`
		Session   string   `json:"session_id"`
		Secret    []string `json:"secret_parameters"`
	}
	p.Call("POST", "/workflows", webtest.Fields{"name": "W",
		"steps": []webtest.Fields{{"kind": "message", "text": "Use $key and $other"}}, "parameters": []webtest.Fields{
			{"alias": "key", "type": "secret"}, {"alias": "other", "type": "secret", "default": fallback},
		}}).Into(t, &flow)
	p.Call("POST", "/automations", webtest.Fields{
		"name": "A", "workspace_id": s.Workspace, "provider": "agent", "trigger": "http", "execution_type": "workflow",
		"workflow_id": flow.ID, "parameters": webtest.Fields{"key": secret},
		"sender": "hmac", "signature_header": "X-Signature", "signature_secret": signature,
	}).Into(t, &made)
	one := "/automations/" + made.ID
	p.Call("PATCH", one, webtest.Fields{"version": 1, "name": "Renamed"}).Into(t, &made)
	p.Call("PATCH", "/workflows/"+flow.ID, webtest.Fields{"version": 1, "description": "Changed"}).Expect(t, 200,
		"Changed")
	if made.Version != 2 || !slices.Equal(made.Secret, []string{"key"}) {
		t.Errorf("after a change of its name it is %+v", made)
	}
	id := uuid.MustParse(made.ID)
	a, err := db.AutomationByID(t.Context(), s.Server.DB, id)
	webtest.Check(t, err)
	if a.SignatureSealed == nil {
		t.Error("a change of the name lost the secret of the signature")
	}
	p.Call("POST", one+"/runs", nil).Into(t, &run)
	e, err := db.ExecutionByID(t.Context(), s.Server.DB, uuid.MustParse(run.Execution))
	webtest.Check(t, err)
	if _, secrets, err := workflow.OpenValues(s.Rules.Keys, e); err != nil ||
		!slices.Equal(secrets, []string{secret, fallback}) {
		t.Errorf("it runs with %q, %v; want the secrets stored before the change", secrets, err)
	}
	_, err = s.Server.DB.NewRaw(
		"INSERT INTO workspace_variables (workspace_id, name, secret, value, sealed) VALUES (?, 'TOKEN', true, '', ?)",
		s.Workspace, s.Server.Keys.Seal(secret, "x")).Exec(t.Context())
	webtest.Check(t, err)
	for _, path := range []string{one, "/automations", "/workflows", "/workflows/" + flow.ID, "/executions",
		"/executions/" + run.Execution, "/sessions", "/sessions/" + run.Session, "/workspaces",
		"/workspaces/" + s.Workspace, "/providers"} {
		got := p.Call("GET", path, nil)
		got.Expect(t, 200, "")
		for _, hidden := range []string{secret, fallback, signature, "sealed:"} {
			if strings.Contains(got.Text, hidden) {
				t.Errorf("%s has %s", path, hidden)
			}
		}
	}
}

func TestGuessersOfTokensWaitAndOthersDoNot(t *testing.T) {
	s := webtest.Open(t)
	s.Bearers.Bad = middleware.NewRateLimiter(0, 20) // nothing comes back, however long the test takes
	good := s.As("Owner", account.RoleMember).Program()
	bad := &webtest.Program{Site: s, Token: account.TokenPrefix + strings.Repeat("A", 43)}
	for range 20 {
		mistakes(bad.Call("GET", "/me", nil), t, 401, "unauthorized")
	}
	a := bad.Call("GET", "/me", nil)
	mistakes(a, t, 429, "too_many_requests")
	if a.Header.Get("Retry-After") == "" {
		t.Error("they are not told how long to wait")
	}
	good.Call("GET", "/me", nil).Expect(t, 200, "Owner@example.com") // from the same address
}

func TestAChangeLeavesWhatItDoesNotName(t *testing.T) {
	s := webtest.Open(t)
	p := s.As("Owner", account.RoleManager).Program()
	first := p.Call("POST", "/automations", webtest.Fields{
		"name": "Once", "workspace_id": s.Workspace, "provider": "agent", "prompt": "Look at {{what}} and {{why}}.",
		"trigger": "one_time", "run_at": "2040-07-01T10:00:00+02:00",
		"time_zone": "Europe/Berlin", "parameters": webtest.Fields{"what": "a", "why": "b"},
		"toggles":         []string{"code_review"},
		"timeout_minutes": 1.5, "retries": 0,
		"gate": webtest.Fields{"branch_moved": true}, "success": webtest.Fields{"contains": "ok"},
		"budget": webtest.Fields{"run": webtest.Fields{"money": 1.25, "tokens": 1000}}, "auto_complete": false,
	})
	first.Expect(t, 201, `"run_at":"2040-07-01T08:00:00Z"`)
	var before, after map[string]any
	first.Into(t, &before)
	p.Call("PATCH", "/automations/"+before["id"].(string), webtest.Fields{
		"version": 1, "time_zone": "America/New_York", "parameters": webtest.Fields{"why": ""},
	}).Into(t, &after)
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
	s := webtest.Open(t)
	b := s.As("Jonas", account.RoleMember)
	p := b.Program()
	a, _, err := s.Rules.Definitions().Create(t.Context(), b.Actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "A",
		Workspace:      s.Workspace,
		Trigger:        "manual",
		SessionType:    "develop",
		Prompt:         "Look.",
		Provider:       "agent",
		Retries:        2,
	}})
	webtest.Check(t, err)
	run, err := s.Rules.Runs().RunNow(t.Context(), b.Actor, a.ID, nil)
	webtest.Check(t, err)
	path := "/sessions/" + run.Session.ID.String()
	if got := p.Call("GET", path, nil); got.StatusCode != 200 || strings.Contains(got.Text, "files_changed") {
		t.Errorf("before the first answer it says %s; want no number of files", got.Text)
	}
	_, err = s.Server.DB.NewRaw("UPDATE sessions SET changes_at = now() WHERE id = ?", run.Session.ID).Exec(t.Context())
	webtest.Check(t, err)
	p.Call("GET", path, nil).Expect(t, 200, `"files_changed":0`)
}

// A model is one of its provider's.
func TestTheModelOfAnotherProviderDoesNotStay(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Ada", account.RoleAdministrator)
	p, c := b.Program(), s.Tool(b.Program().Token)
	made := func(at string, with webtest.Fields) map[string]any {
		var out map[string]any
		p.Call("POST", at, with).Into(t, &out)
		return out
	}
	own := made("/automations", webtest.Fields{
		"name": "A", "workspace_id": s.Workspace, "provider": "agent", "model": "large", "prompt": "Look.",
	})
	bot := made("/bots", webtest.Fields{"name": "B", "instructions": "Be kind.", "provider": "agent", "model": "large"})
	var got map[string]any
	p.Call("PATCH", "/automations/"+own["id"].(string), webtest.Fields{"version": 1, "provider": "agent"}).Into(t, &got)
	if got["model"] != "large" {
		t.Errorf("with the same provider the model is %v; want large", got["model"])
	}
	p.Call("PATCH", "/automations/"+own["id"].(string), webtest.Fields{"version": 2, "provider": "shell"}).Into(t, &got)
	if got["provider"] != "shell" || got["model"] != "" {
		t.Errorf("by API it became %v with the model %v; want shell with none", got["provider"], got["model"])
	}
	p.Call("PATCH", "/bots/"+bot["id"].(string), webtest.Fields{"version": 1, "provider": ""}).Into(t, &got)
	if got["provider"] != "" || got["model"] != "" {
		t.Errorf("the bot has %q with the model %q; want neither", got["provider"], got["model"])
	}
	other := s.Must(c, "create_automation", map[string]any{
		"name": "C", "workspace": "Scratch", "provider": "agent", "model": "large", "prompt": "Look.",
	})["automation"].(map[string]any)
	edited := s.Must(c, "edit_automation", map[string]any{
		"automation": other["id"], "provider": "shell",
	})["automation"].(map[string]any)
	if model, there := edited["model"]; edited["provider"] != "shell" || there && model != "" {
		t.Errorf("by tool it became %v with the model %v; want shell with none", edited["provider"], model)
	}
	s.Refused(c, "edit_automation", map[string]any{
		"automation": other["id"], "parameters": map[string]string{"who": "x"},
	}, "parameters.who: ")
	s.Refused(c, "edit_automation", map[string]any{"automation": other["id"], "timeout_minutes": -1},
		"timeout_minutes: ")
}
