package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/app/e2e/internal/stage"
)

// browser unpacks the browser once, before scripts need it at the same time, and says what is missing.
var browser = sync.OnceValue(func() error {
	if _, err := exec.LookPath("node"); err != nil {
		return fmt.Errorf("the browser tests need Node 20 or newer, and there is none: see https://nodejs.org/")
	}
	if _, err := os.Stat("../../node_modules/playwright-core"); err != nil {
		return fmt.Errorf("the browser tests need the npm package playwright-core: run npm ci, or make test")
	}
	if out, err := exec.Command("node", "browser.mjs").CombinedOutput(); err != nil {
		return fmt.Errorf("%s", strings.TrimSpace(string(out)))
	}
	return nil
})

// script runs a *.test.mjs against a server, with more variables for its environment. What it prints is shown when it
// fails.
func script(t testing.TB, s *stage.Server, name string, env ...string) {
	t.Helper()
	t.Logf("%s", node(t, s, name+".test.mjs", env...))
}

// node runs a file of this folder with the packages of the browser tests and returns what it printed.
func node(t testing.TB, s *stage.Server, file string, env ...string) string {
	t.Helper()
	if err := browser(); err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(file, ".")
	// The script itself says at which step it waited in vain; this is for one that does not end even so.
	ctx, cancel := context.WithTimeout(t.Context(), 3*stage.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", file)
	cmd.WaitDelay = time.Second // its browser may hold its output open
	cmd.Env = append(os.Environ(), "BASE="+s.Base, "SCENARIO="+name, "FAILED="+failed(t))
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		log := filepath.Join(failed(t), name+".log")
		if err := os.WriteFile(log, []byte(s.Log.String()), 0o644); err != nil {
			t.Error(err)
		}
		t.Fatalf("%s: %v\n%s\nThe server's log is %s. It noted:\n%s", file, err, out, log, s.Complaints())
	}
	return string(out)
}

// failed is the folder in which pictures and logs of what failed stay after the tests.
func failed(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../../tmp/e2e")
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestScriptsAllRun(t *testing.T) {
	t.Parallel()
	var source []byte
	for _, name := range []string{"browser_test.go", "forms_test.go", "long_test.go", "patterns_test.go",
		"providers_test.go", "signon_test.go"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, text...)
	}
	files, err := filepath.Glob("*.test.mjs")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %v, %v; want the scripts of this folder", files, err)
	}
	for _, f := range files {
		if name := strings.TrimSuffix(f, ".test.mjs"); !strings.Contains(string(source),
			fmt.Sprintf("script(t, s, %q", name)) {
			t.Errorf("no test here runs %s", f)
		}
	}
}

func TestPeopleSignInAndOut(t *testing.T) {
	t.Parallel()
	s := stage.ServePlain(t, stage.OnDatabase(t))
	script(t, s, "signin", "SETUP="+s.Setup(t))
}

// TestWholeWay drives the program from its first start to the history of a run, on the embedded database as it starts
// by itself.
func TestWholeWay(t *testing.T) {
	t.Parallel()
	s := stage.Serve(t)
	gates := stage.Folder(t)
	script(t, s, "whole", "SETUP="+s.Setup(t), "REPOSITORY="+stage.Repository(t), "GATES="+gates)
}

func TestItWorksWithoutJavaScript(t *testing.T) {
	t.Parallel()
	s := stage.ServePlain(t, slices.Concat(stage.AsAdministrator, []string{stage.OnDatabase(t)})...)
	script(t, s, "nojs", "GATES="+stage.Folder(t))
}

func TestTicketsAndTemplatesInABrowser(t *testing.T) {
	t.Parallel()
	s := stage.ServePlain(t, slices.Concat(stage.AsAdministrator, []string{stage.OnDatabase(t)})...)
	script(t, s, "tickets", "CALL_TOOL="+callTool)
}

func TestWhatARunHasToPassInABrowser(t *testing.T) {
	t.Parallel()
	s := stage.ServePlain(t, slices.Concat(stage.AsAdministrator, []string{stage.OnDatabase(t)})...)
	script(t, s, "quality")
}
