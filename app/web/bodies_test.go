package web

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"golang.org/x/time/rate"

	"carillon/app/automation"
	"carillon/app/forge"
)

// bodyBound is what one may send to some routes at most.
type bodyBound struct {
	name  string // as SECURITY.md has it
	most  int64  // bytes of a body
	leads func(method, path string) bool
}

// bodyBounds are the routes that take text, by the bound of their body.
var bodyBounds = []bodyBound{
	{"HTTP trigger", automation.MaxBody, func(_, path string) bool { return strings.HasPrefix(path, triggerPath) }},
	{"webhooks of forges", forge.MaxPayload, func(_, path string) bool { return strings.HasPrefix(path, "/api/forges/") }},
	{"MCP", maxCall, func(_, path string) bool { return path == "/mcp" }},
	{"API: manifests", maxAPIManifest, func(_, path string) bool { return manifestPath(path) }},
	{"API: workflows", maxAPIWorkflow, func(_, path string) bool { return strings.HasPrefix(path, apiPrefix+"/workflows") }},
	{"API: the rest", maxAPIBody, func(_, path string) bool {
		return strings.HasPrefix(path, apiPrefix+"/") && !manifestPath(path) && !strings.HasPrefix(path, apiPrefix+"/workflows")
	}},
	{"forms", maxForm, func(_, path string) bool { return !strings.HasPrefix(path, "/api/") && path != "/mcp" }},
}

func manifestPath(path string) bool {
	return path == apiPrefix+"/plans" || path == apiPrefix+"/applications"
}

// boundOf is the bound of a route's body, nil for one that reads no body.
func boundOf(t *testing.T, pattern string) *bodyBound {
	t.Helper()
	method, path, ok := strings.Cut(pattern, " ")
	if !ok {
		method, path = "", pattern
	}
	if path == "/api/" || method == http.MethodGet || method == http.MethodDelete || method == http.MethodHead {
		return nil
	}
	var found *bodyBound
	for i, d := range bodyBounds {
		if d.leads(method, path) {
			if found != nil {
				t.Errorf("%s leads to %s and %s", pattern, found.name, d.name)
			}
			found = &bodyBounds[i]
		}
	}
	if found == nil {
		t.Errorf("%s has no bound: decide one", pattern)
	}
	return found
}

func TestEveryDoorHasABoundThatIsWrittenDown(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../SECURITY.md")
	check(t, err)
	used := map[string]bool{}
	for _, pattern := range Routes() {
		if d := boundOf(t, pattern); d != nil {
			used[d.name] = true
		}
	}
	for _, d := range bodyBounds {
		if line := fmt.Sprintf("| %s | %d MiB |", d.name, d.most>>20); !strings.Contains(string(text), line) {
			t.Errorf("SECURITY.md lacks %s", line)
		}
		if !used[d.name] {
			t.Errorf("no route leads to %s", d.name)
		}
	}
}

func TestNoDoorTakesABodyOverItsBound(t *testing.T) {
	x := newWalk(t)
	x.server.strangers = newLimits(rate.Inf, 0)
	token := x.tokens()["admin"]
	for _, e := range apiExpectations {
		method, path, _ := strings.Cut(e.route, " ")
		d := boundOf(t, method+" "+apiPrefix+path)
		if d == nil || e.form == "" {
			continue
		}
		e.form = `{"name":"` + strings.Repeat("x", int(d.most)) + `"}`
		if a := x.askAPI("admin", token, method, path, e); a.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s answered %d to more than %d bytes; want 413", e.route, a.StatusCode, d.most)
		}
	}
	if answered, _ := x.ask("admin", expectation{route: "POST /tickets", form: "title=" + strings.Repeat("x", maxForm)}); answered != "413" {
		t.Errorf("a form of more than %d bytes is answered %s; want 413", maxForm, answered)
	}
}

// costly are texts that cost the most that is known of what reads them.
func costly(size int) []string {
	path := "{{" + strings.Repeat("a.", 1000) + "a}}"
	return []string{
		strings.Repeat("(+", size/2), strings.Repeat("$((", size/3), strings.Repeat("{", size), strings.Repeat(path, size/len(path)), strings.Repeat("{{a}}", size/5),
	}
}

// TestCostlyTextsThroughEveryDoorAreAnswered sends them as every text of every form and of every call of the API. None ends the
// server, none is our fault, and none fills the log, the audit log or the answer.
func TestCostlyTextsThroughEveryDoorAreAnswered(t *testing.T) {
	x := newWalk(t)
	x.server.strangers = newLimits(rate.Inf, 0)
	log := &safeBuffer{}
	x.server.Log = slog.New(slog.NewTextHandler(log, nil))
	token, admin := x.tokens()["admin"], x.who["admin"].actor.ID
	lines := func() (n int) {
		check(t, x.server.DB.NewRaw("SELECT count(*) FROM audit_events WHERE actor_id = ?", admin).Scan(t.Context(), &n))
		return n
	}
	requests, logged, before := 0, 0, lines()
	done := func(route, answered string, sent, got int) {
		requests++
		if answered >= "500" && answered < "600" {
			t.Errorf("%s is answered %s", route, answered)
		}
		if got > 10*sent+1<<20 {
			t.Errorf("%s answers %d bytes to %d", route, got, sent)
		}
		if all := len(log.String()); all-logged > 8<<10 {
			t.Errorf("%s writes %d bytes of log", route, all-logged)
			logged = all
		} else {
			logged = all
		}
	}
	texts, prompts := costly(16<<10), costly(automation.MaxPrompt)
	for at, e := range expectations {
		if method, _, ok := strings.Cut(e.route, " "); ok && method != http.MethodPost || strings.Contains(e.route, "/logout") || e.route == "/mcp" || strings.HasPrefix(e.route, "/api/") {
			continue
		}
		form := url.Values{"provider": {"shell"}, "prompt": {prompts[at%len(prompts)]}}
		for i, field := range strings.Fields("name title body text message step_text step_label description instructions labels parameter_default param.a success_command gate_command " +
			"success_contains stop_text filter_field filter_value cron time_zone model base_branch email reason search allowed_tools next back") {
			form.Set(field, texts[(at+i)%len(texts)])
		}
		if e.form != "" {
			e.form += "&"
		}
		e.form += form.Encode()
		answered, body := x.ask("admin", e)
		done(e.route, answered, len(e.form), len(body))
	}
	for at, e := range apiExpectations {
		method, path, _ := strings.Cut(e.route, " ")
		var fields map[string]any
		if json.Unmarshal([]byte(e.form), &fields) != nil {
			continue
		}
		for name, value := range fields {
			if text, ok := value.(string); ok && text != "WORKSPACE" && name != "provider" && !strings.HasSuffix(name, "_id") {
				fields[name] = texts[at%len(texts)]
			}
		}
		if _, ok := fields["prompt"]; ok {
			fields["prompt"], fields["provider"] = prompts[at%len(prompts)], "shell"
		}
		raw, err := json.Marshal(fields)
		check(t, err)
		e.form = string(raw)
		a := x.askAPI("admin", token, method, path, e)
		done(e.route, fmt.Sprint(a.StatusCode), len(e.form), len(a.body))
	}
	if n := lines() - before; requests < 80 || n > 3*requests {
		t.Errorf("%d requests left %d lines in the audit log", requests, n)
	}
}
