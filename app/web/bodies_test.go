package web_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"golang.org/x/time/rate"

	"carillon/app/api"
	"carillon/app/forge"
	"carillon/app/mcp"
	"carillon/app/middleware"
	"carillon/app/payload"
	"carillon/app/web/page"
	"carillon/app/web/webtest"
)

// bodyBound is what one may send to some routes at most, and what one request may cost there.
type bodyBound struct {
	name  string // as SECURITY.md has it
	most  int64  // bytes of a body
	leads func(method, path string) bool
	costs workBound
}

// workBound bounds the work of one request, whatever accepted text it brings.
type workBound struct {
	statements, rows int64 // of SQL; rows that are written
	log              int   // KiB
	memory, answer   int64 // MiB: allocated, not at once; answered
}

// bodyBounds are the routes that take text, by the bound of their body.
var bodyBounds = []bodyBound{
	{"HTTP trigger", payload.MaxBody, func(_, path string) bool {
		return strings.HasPrefix(path, webtest.Endpoint)
	}, workBound{20, 5, 4, 64, 1}},
	{"webhooks of forges", forge.MaxPayload, func(_, path string) bool {
		return strings.HasPrefix(path, "/api/forges/")
	}, workBound{30, 10, 4, 64, 1}},
	{"MCP", mcp.MaxCall, func(_, path string) bool { return path == "/mcp" }, workBound{40, 20, 4, 256, 4}},
	{"API: manifests", api.MaxManifest, func(_, path string) bool {
		return manifestPath(path)
	}, workBound{200, 100, 4, 2048, 8}},
	{"API: workflows", api.MaxWorkflow, func(_, path string) bool {
		return strings.HasPrefix(path, api.Prefix+"/workflows")
	}, workBound{30, 10, 4, 768, 32}},
	{"API: the rest", api.MaxBody, func(_, path string) bool {
		return strings.HasPrefix(path, api.Prefix+"/") && !manifestPath(path) &&
			!strings.HasPrefix(path, api.Prefix+"/workflows")
	}, workBound{40, 20, 4, 512, 4}},
	{"forms", page.MaxForm, func(_, path string) bool {
		return !strings.HasPrefix(path, "/api/") && path != "/mcp"
	}, workBound{60, 30, 4, 768, 64}},
}

func manifestPath(path string) bool {
	return path == api.Prefix+"/plans" || path == api.Prefix+"/applications"
}

// boundOf is the bound of a route's body, nil for one that reads no body.
func boundOf(t *testing.T, pattern string) *bodyBound {
	t.Helper()
	method, path, ok := strings.Cut(pattern, " ")
	if !ok {
		method, path = "", pattern
	}
	if method == http.MethodGet || method == http.MethodDelete || method == http.MethodHead {
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
	text, err := os.ReadFile("../../.github/SECURITY.md")
	webtest.Check(t, err)
	used := map[string]bool{}
	for _, pattern := range allPatterns() {
		if d := boundOf(t, pattern); d != nil {
			used[d.name] = true
		}
	}
	for _, d := range bodyBounds {
		b := d.costs
		line := fmt.Sprintf("| %s | %d MiB | %d | %d | %d KiB | %d MiB | %d MiB |", d.name, d.most>>20, b.statements,
			b.rows, b.log, b.memory, b.answer)
		if !strings.Contains(string(text), line) {
			t.Errorf("SECURITY.md lacks %s", line)
		}
		if !used[d.name] {
			t.Errorf("no route leads to %s", d.name)
		}
	}
}

func TestNoDoorTakesABodyOverItsBound(t *testing.T) {
	x := webtest.NewWalk(t)
	x.Bearers.Bad = middleware.NewRateLimiter(rate.Inf, 0)
	token := x.Tokens()["admin"]
	for _, e := range webtest.APIExpectations {
		method, path, _ := strings.Cut(e.Route, " ")
		d := boundOf(t, method+" "+api.Prefix+path)
		if d == nil || e.Form == "" {
			continue
		}
		e.Form = `{"name":"` + strings.Repeat("x", int(d.most)) + `"}`
		if a := x.AskAPI("admin", token, method, path, e); a.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s answered %d to more than %d bytes; want 413", e.Route, a.StatusCode, d.most)
		}
	}
	if answered, _ := ask(x, "admin", expectation{
		route: "POST /tickets", form: "title=" + strings.Repeat("x", page.MaxForm),
	}); answered != "413" {
		t.Errorf("a form of more than %d bytes is answered %s; want 413", page.MaxForm, answered)
	}
}
