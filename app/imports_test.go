package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// layers says which packages of ours each package may import: main → web, jobs → automation → db. What is not in the
// table may not exist. Tests may also use the databases of db/dbtest, and what the tests of a layer above would.
var layers = map[string][]string{
	// They know nobody of ours.
	"app/cron": nil, "app/cron/crontest": nil, "app/fault": nil, "app/forge": nil, "app/outbound": nil, "app/secret": nil, "app/shell": nil,
	"app/workspace": nil, "db": nil, "db/embedded": nil, "static": nil,

	"app/agent":      {"app/shell"},
	"app/account":    {"app/cron", "app/fault", "app/outbound", "app/secret", "db"},
	"app/automation": {"app/account", "app/cron", "app/fault", "app/forge", "app/secret", "app/shell", "db"},
	"jobs":           {"app/account", "app/agent", "app/automation", "app/fault", "app/forge", "app/outbound", "app/secret", "app/workspace", "db"},
	"views":          {"static"},
	"app/web": {"app/account", "app/agent", "app/automation", "app/cron", "app/fault", "app/forge", "app/outbound", "app/secret", "app/workspace",
		"db", "static", "views"},
	"app": {"app/account", "app/agent", "app/automation", "app/fault", "app/outbound", "app/secret", "app/web", "app/workspace", "db", "db/embedded", "jobs"},

	// For tests and the Makefile alone.
	"db/dbtest":               {"db", "db/embedded"},
	"app/e2e":                 {},
	"app/e2e/internal/report": nil,
}

func TestPackagesImportOnlyTheLayersBelowThem(t *testing.T) {
	const module = "carillon/"
	command := exec.Command("go", "list", "-json=ImportPath,Imports", "carillon/...")
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	seen := map[string]bool{}
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, ok := layers[name]
		if !ok {
			t.Errorf("the package %s is not in the table of layers", name)
		}
		seen[name] = true
		for _, i := range p.Imports {
			if ours, ok := strings.CutPrefix(i, module); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s, which is not below it", name, ours)
			}
		}
	}
	for name := range layers {
		if !seen[name] {
			t.Errorf("the table of layers names %s, which does not exist", name)
		}
	}
}
