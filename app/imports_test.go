package main

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// layers says which of our packages each of our packages may import. One direction of flow: the program → web, jobs →
// automation → db; what is left empty knows nobody of ours. A package that the table lacks fails the test, and so
// does a line of the table for a package that is gone.
var layers = map[string]string{
	// Things of their own, which could be modules elsewhere.
	"app/crash":           "",
	"app/fault":           "",
	"app/form":            "app/fault app/spec",
	"app/jsontext":        "",
	"app/payload":         "app/fault app/form app/jsontext app/prompt app/secret app/spec db",
	"app/prompt":          "app/shell",
	"app/secret":          "app/jsontext",
	"app/shell":           "",
	"app/cron":            "app/form",
	"app/cron/crontest":   "",
	"app/forge":           "",
	"app/outbound":        "",
	"app/sso":             "",
	"app/git":             "app/agent app/crash app/outbound app/runas", // agent and outbound for its tests alone
	"app/spec":            "",
	"app/spec/spectest":   "app/spec",
	"app/manifest":        "app/spec",
	"app/runas":           "",
	"app/transcript":      "",
	"app/agent":           "app/crash app/jsontext app/runas app/shell app/transcript",
	"app/agent/agenttest": "",

	// Rows and SQL.
	"db":          "app/crash",
	"db/embedded": "",
	"db/dbtest":   "db db/embedded",

	// The rules.
	"app/account":     "app/crash app/cron app/fault app/form app/outbound app/secret db",
	"app/inbox":       "app/account app/crash app/fault db",
	"app/aside":       "app/account app/fault app/form app/inbox db",
	"app/ticket":      "app/account app/fault app/form db",
	"app/provider":    "app/account app/fault app/form app/inbox db",
	"app/budget":      "app/cron app/fault app/form app/provider app/spec db",
	"app/pullrequest": "app/account app/crash app/fault app/forge app/form app/inbox app/workspace db",
	"app/explain":     "app/cron db",
	"app/toggle":      "app/account app/fault db",
	"app/workspace":   "app/account app/crash app/fault app/forge app/form app/provider app/secret app/shell db",
	"app/automation": "app/account app/aside app/bot app/budget app/crash app/cron app/explain " +
		"app/fault app/forge app/form app/inbox app/payload app/prompt app/provider app/pullrequest app/secret " +
		"app/shell app/spec app/ticket app/toggle app/workflow app/workspace db",
	"app/bot":      "app/account app/fault app/form app/provider app/spec db",
	"app/workflow": "app/account app/fault app/form app/secret app/shell app/spec db",
	"app/plan": "app/account app/automation app/bot app/cron app/fault app/form app/manifest app/secret app/spec " +
		"app/toggle app/workflow db",

	// For tests alone: the services of the rules wired together, with people.
	"app/apptest": "app/account app/automation app/bot app/fault app/inbox app/provider app/secret app/spec " +
		"app/ticket app/workflow app/workspace db db/dbtest",

	// What is said of machines.
	"app/isolation": "db",

	// automation for its tests alone: they make a history by the rules
	"app/check": "app/automation app/cron app/runas app/git db",

	// What every request needs.
	"app/middleware": "app/account app/fault db",

	// What people see.
	"static":         "",
	"views/markdown": "",
	"views/help":     "views/markdown",
	"views":          "app/form static views/markdown",
	"views/gallery":  "views views/markdown",
	"app/api": "app/account app/agent app/automation app/bot app/fault app/form app/inbox app/jsontext " +
		"app/manifest app/middleware app/plan app/provider app/spec app/ticket app/workflow app/workspace db views",
	"app/mcp": "app/account app/automation app/fault app/jsontext app/middleware app/secret app/spec app/ticket " +
		"app/workflow app/workspace db views",
	"app/webhook": "app/automation app/fault app/forge app/middleware app/payload app/workspace db views",

	// The pages: what all share, rows as pages show them, and the packages of pages, which web puts together.
	"app/web/page": "app/account app/agent app/automation app/cron app/fault app/form app/inbox app/middleware " +
		"app/provider app/secret app/ticket app/toggle app/workflow app/workspace db views",
	"app/web/present": "app/automation app/form app/ticket app/transcript app/workflow db views",
	"app/web/signin":  "app/account app/cron app/fault app/middleware app/sso app/web/page db views",
	"app/web/runs": "app/account app/automation app/fault app/form app/git app/middleware app/pullrequest " +
		"app/toggle app/transcript app/web/page app/web/present app/workflow db views",
	"app/web/settings": "app/account app/agent app/automation app/cron app/fault app/form app/inbox app/isolation " +
		"app/middleware app/provider app/toggle app/transcript app/web/page app/web/present app/workspace db " +
		"views views/help",
	"app/web": "app/account app/agent app/automation app/bot app/budget app/check app/cron app/fault app/forge " +
		"app/form app/inbox app/middleware app/payload app/spec app/ticket app/toggle app/web/page " +
		"app/web/present app/web/runs app/web/settings app/web/signin app/workflow app/workspace db static views " +
		"views/gallery views/help views/markdown",
	"app/web/webtest": "app/account app/agent app/api app/apptest app/automation app/bot app/forge app/inbox " +
		"app/mcp app/middleware app/plan app/provider app/secret app/spec app/ticket app/toggle app/web " +
		"app/web/page app/web/signin app/webhook app/workflow app/workspace db db/dbtest",

	// What happens without a request.
	"jobs": "app/account app/agent app/aside app/automation app/crash app/fault app/forge app/form app/jsontext " +
		"app/outbound app/runas app/secret app/toggle app/transcript app/workflow app/workspace app/git db",

	// The model imports crontest alone; the rest is what its tests compare it with.
	"app/model": "app/account app/automation app/check app/cron app/cron/crontest app/fault app/forge " +
		"app/middleware app/secret app/webhook db",

	// The program, where all is connected, and the tests of the whole.
	"app":                     everything,
	"app/e2e":                 everything,
	"app/e2e/attack":          everything,
	"app/e2e/faults":          everything,
	"app/e2e/soak":            everything,
	"app/e2e/internal/stage":  "app/check app/crash db db/dbtest",
	"app/e2e/siege":           everything,
	"app/e2e/internal/report": "db/dbtest",
}

const everything = "*"

// doors are what HTTP comes through. None imports another.
var doors = []string{"app/api", "app/mcp", "app/web", "app/webhook"}

// forTests are packages that tests anywhere may use. What app/check needs knows of no rule.
var forTests = []string{
	"app/agent/agenttest", "app/apptest", "app/check", "app/cron/crontest", "app/spec/spectest", "app/web/webtest",
	"db/dbtest",
	"db/embedded",
}

const module = "carillon/"

func TestImportsFlowInOneDirection(t *testing.T) {
	t.Parallel()
	packages := ours(t)
	for _, p := range packages {
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, ok := layers[name]
		if !ok {
			t.Errorf("%s is not in the table of layers: decide what it may import", name)
			continue
		}
		may := strings.Fields(allowed)
		for _, path := range p.Imports {
			if i, is := strings.CutPrefix(path, module); is && allowed != everything && !slices.Contains(may, i) {
				t.Errorf("%s imports %s; it may import of ours: %s", name, i, orNothing(allowed))
			}
			i, _ := strings.CutPrefix(path, module)
			if (i == "db/dbtest" || i == "app/apptest") && !slices.Contains(may, i) {
				t.Errorf("%s imports %s outside of its tests", name, i)
			}
		}
	}
	for name := range layers {
		if !slices.ContainsFunc(packages, func(p listed) bool { return p.ImportPath == module+name }) {
			t.Errorf("the table of layers has %s, which is no package", name)
		}
	}
}

// Tests may wire what their package is wired with, but nothing of the layers above it.
func TestTestsImportNothingAboveWhatTheyTest(t *testing.T) {
	t.Parallel()
	for _, p := range ours(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		if layers[name] == everything {
			continue
		}
		below := reach(name)
		if slices.Contains(doors, name) { // what goes through one door is held against the others
			for _, door := range doors {
				below[door] = true
				maps.Copy(below, reach(door))
			}
		}
		for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
			i, is := strings.CutPrefix(path, module)
			if is && i != name && !below[i] && !slices.Contains(forTests, i) && !within(i, name) && !within(name, i) {
				t.Errorf("the tests of %s import %s, which is above it", name, i)
			}
		}
	}
}

// within reports whether a package lies in the folder of another.
func within(name, folder string) bool { return strings.HasPrefix(name, folder+"/") }

// reach is everything of ours that a package may come to import through others.
func reach(name string) map[string]bool {
	found := map[string]bool{}
	var walk func(string)
	walk = func(name string) {
		for _, i := range strings.Fields(layers[name]) {
			if !found[i] {
				found[i] = true
				walk(i)
			}
		}
	}
	walk(name)
	return found
}

func TestTheTableOfLayersHasNoCircle(t *testing.T) {
	t.Parallel()
	for name, allowed := range layers {
		if allowed != everything && reach(name)[name] {
			t.Errorf("%s may come to import itself", name)
		}
	}
}

// listed is what go list tells of a package.
type listed struct {
	ImportPath, Dir                    string
	Imports, TestImports, XTestImports []string
}

func ours(t *testing.T) []listed {
	t.Helper()
	text, err := exec.Command("go", "list", "-json=ImportPath,Dir,Imports,TestImports,XTestImports", module+"...").
		Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var list []listed
	for d := json.NewDecoder(strings.NewReader(string(text))); ; {
		var p listed
		if err := d.Decode(&p); err == io.EOF {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		// Go keeps the outcome of a test until something that it opened changes, and does not see what go list reads.
		if _, err := os.ReadDir(p.Dir); err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

func orNothing(allowed string) string {
	if allowed == "" {
		return "nothing"
	}
	return allowed
}
