package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/db"
	"carillon/db/dbtest"
)

// served is a server at work with a person who has an API token, and the environment with which commands reach it.
func served(t *testing.T, role string) environment {
	t.Helper()
	database := dbtest.URL(t)
	e := local(t, environment{"DATABASE_URL": database})
	if o := call(t, e, "correct horse battery\n", "user", "add", "-role", role, "ada@example.com",
		"Ada Lovelace"); o.status != exitOK {
		t.Fatalf("adding Ada: %+v", o)
	}
	s := start(t, e)
	return environment{"CARILLON_URL": s.base, "CARILLON_TOKEN": tokenFor(t, e, "ada@example.com")}
}

// tokenFor makes an API token of a person's, as the page for it does.
func tokenFor(t *testing.T, e environment, email string) string {
	t.Helper()
	var token string
	p := &program{getenv: e.get, stdin: strings.NewReader(""), stdout: &watched{}, stderr: &watched{}}
	err := p.withAccounts(t.Context(), func(ctx context.Context, accounts *account.Service) error {
		u, err := db.UserByEmail(ctx, accounts.DB, email)
		if err != nil {
			return err
		}
		if u, err = db.UserByID(ctx, accounts.DB, u.ID); err != nil {
			return err
		}
		token, err = accounts.CreateToken(ctx, account.ActorOf(u), account.TokenInput{Name: "test", Days: "7"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const hookFile = `kind: Automation
name: Hook
workspace: Scratch
trigger: http
provider: shell
prompt: |
  echo one
  echo two
sender: github
signature_secret: {from_env: HOOK_SECRET}
---
kind: Bot
name: Rita
workspace: Scratch
instructions: Be kind.
`

func TestApplyAndExportFromTheCommandLine(t *testing.T) {
	t.Parallel()
	e := served(t, account.RoleAdministrator)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "hook.yaml"), hookFile)
	write(t, filepath.Join(dir, "notes.txt"), "not: [read")

	// The secret comes from the caller's environment.
	oneLine(t, call(t, e, "", "apply", "-f", dir, "--dry-run"),
		"hook.yaml:10: signature_secret: The environment variable HOOK_SECRET is not set.")
	e["HOOK_SECRET"] = "a secret of some length"

	// A plan changes nothing, and without a terminal nobody is asked.
	o := call(t, e, "", "apply", "-f", dir, "--dry-run")
	for _, part := range []string{"+ Automation “Hook” in Scratch\n    trigger: http\n", "      + echo one\n",
		"    signature_secret: (secret)\n", "+ Bot “Rita” in Scratch\n",
		"Plan: 2 to create, 0 to update, 0 to delete, 0 unchanged.\n"} {
		if o.status != exitOK || !strings.Contains(o.stdout, part) {
			t.Fatalf("the plan is %+v; want %q in it", o, part)
		}
	}
	if strings.Contains(o.stdout, "\x1b") || strings.Contains(o.stdout, "a secret of") {
		t.Errorf("the plan has colours or a secret:\n%s", o.stdout)
	}
	if o := call(t, e, "", "apply", "-f", dir, "--dry-run", "--exit-code"); o.status != exitDiffers || o.stderr != "" {
		t.Errorf("with --exit-code a plan that changes something ends with %+v", o)
	}
	oneLine(t, call(t, e, "", "apply", "-f", dir), "nothing was applied", "--yes")
	if o := call(t, e, "", "export"); o.status != exitOK || o.stdout != "" {
		t.Fatalf("after plans alone the export is %+v", o)
	}

	// Applied, it shows the address of the trigger this once, and that works.
	o = call(t, e, "", "apply", "-f", dir, "--yes")
	_, address, ok := strings.Cut(o.stdout, "Webhook URL of “Hook”, shown this once: ")
	if o.status != exitOK || !ok || !strings.Contains(o.stdout,
		"Applied: 2 created, 0 updated, 0 deleted, 0 unchanged.") {
		t.Fatalf("applying: %+v", o)
	}
	res, err := stranger.Post(strings.TrimSpace(address), "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized { // known, and not signed
		t.Errorf("the address of the new trigger answers %s to a call that is not signed; want 401", res.Status)
	}

	// What is exported changes nothing, by standard input, too.
	o = call(t, e, "", "export")
	exported := o.stdout
	for _, part := range []string{"name: Hook\n", "sender: github # its secret is not exported\n",
		"  echo one\n  echo two\n", "kind: Bot\nname: Rita\n"} {
		if o.status != exitOK || !strings.Contains(exported, part) {
			t.Fatalf("the export is %+v; want %q in it", o, part)
		}
	}
	if o := call(t, e, exported, "apply", "-f", "-", "--dry-run", "--exit-code"); o.status != exitOK ||
		o.stdout != "Nothing to change: 2 unchanged.\n" {
		t.Errorf("applying the export again: %+v", o)
	}

	// Changes are shown with what was there before; what the files lack goes with --prune alone.
	changed := write(t, filepath.Join(dir, "changed.yml"), strings.NewReplacer("echo two", "echo three",
		"trigger: http", "trigger: http\nretries: 0").Replace(hookFile[:strings.Index(hookFile, "---")]))
	o = call(t, e, "", "apply", "-f", changed, "--dry-run", "--prune")
	for _, part := range []string{"~ Automation “Hook” in Scratch\n", "    retries: 2 → 0\n",
		"        echo one\n      - echo two\n      + echo three\n", "- Bot “Rita” in Scratch\n",
		"Plan: 0 to create, 1 to update, 1 to delete, 0 unchanged."} {
		if o.status != exitOK || !strings.Contains(o.stdout, part) {
			t.Errorf("the plan is %+v; want %q in it", o, part)
		}
	}
	if o := call(t, e, "", "apply", "-f", changed, "--prune", "--yes"); o.status != exitOK ||
		strings.Contains(o.stdout, "Webhook") {
		t.Errorf("applying: %+v", o)
	}
	if o := call(t, e, "", "export", "--workspace", "Scratch"); strings.Contains(o.stdout, "Rita") ||
		!strings.Contains(o.stdout, "retries: 0\n") {
		t.Errorf("the export is\n%s", o.stdout)
	}

	// Mistakes are told together, each with its place.
	wrong := write(t, filepath.Join(t.TempDir(), "wrong.yaml"),
		"kind: Automation\nname: A\nworkspace: Scratch\ntrigger: manual\nprovider: shell\nprompt: if\nretries: 99\n")
	o = call(t, e, "", "apply", "-f", wrong, "--yes")
	if o.status != exitError || !strings.HasPrefix(o.stderr, "carillon: there are 2 mistakes\n") ||
		!strings.Contains(o.stderr, wrong+":6: prompt: Line 1: ") ||
		!strings.Contains(o.stderr, wrong+":7: retries: ") {
		t.Errorf("mistakes are told so: %+v", o)
	}
	oneLine(t, call(t, e, "", "export", "--workspace", "Nowhere"),
		"workspace: This workspace does not exist, or you are not a member of it.")
}

func TestApplyRefusesWhatTheTokenMayNotDo(t *testing.T) {
	t.Parallel()
	e := served(t, account.RoleMember)
	oneLine(t, call(t, e, "kind: Bot\nname: B\ninstructions: x\n", "apply", "-f", "-", "--yes"),
		"standard input:1: You may not create bots.")
}

func TestApplySaysWhyItCannotReachAServer(t *testing.T) {
	t.Parallel()
	file := write(t, filepath.Join(t.TempDir(), "a.yaml"), "kind: Bot\nname: B\ninstructions: x\n")
	site := func(answer http.HandlerFunc) string {
		s := httptest.NewServer(answer)
		t.Cleanup(s.Close)
		return s.URL
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	problem := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	for _, tt := range []struct {
		name, server, token string
		parts               []string
	}{
		{"no token", "http://127.0.0.1:1", "", []string{"CARILLON_TOKEN is not set", "Settings, API tokens"}},
		{"nobody there", gone.URL, "x", []string{gone.URL + " cannot be reached: connection refused"}},
		{"another site", site(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("<html>"))
		}), "x", []string{"does not answer as Carillon does"}},
		{"a proxy's page", site(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no", http.StatusBadGateway)
		}), "x", []string{"502 Bad Gateway"}},
		{"sent on", site(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example.com/", http.StatusFound)
		}), "x", []string{"it sends on to elsewhere.example.com"}},
		{"an old server", site(problem(404, `{"status":404,"detail":"There is nothing at this address."}`)), "x",
			[]string{"has no /api/v1/plans: is it of an older version?"}},
		{"a bad token", site(problem(401, `{"status":401}`)), "x", []string{"the token in CARILLON_TOKEN is not good"}},
		{"stale", site(problem(409, `{"status":409,"code":"stale"}`)), "x",
			[]string{"something has changed since the plan was made"}},
		{"too many calls", site(problem(429, `{"status":429,"detail":"There were too many calls."}`)), "x",
			[]string{"There were too many calls"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := call(t, environment{"CARILLON_TOKEN": tt.token}, "", "apply", "-f", file, "--server", tt.server,
				"--yes")
			oneLine(t, o, tt.parts...)
		})
	}
	taking := write(t, filepath.Join(t.TempDir(), "a.yaml"),
		"kind: Automation\nsignature_secret: {from_env: CARILLON_TOKEN}\n")
	oneLine(t, call(t, environment{"CARILLON_TOKEN": "x"}, "", "apply", "-f", taking, "--server", gone.URL),
		"takes CARILLON_TOKEN from the environment, which no file gets")
	oneLine(t, call(t, environment{"CARILLON_TOKEN": "x"}, "", "apply", "-f", "/nonexistent.yaml", "--server",
		gone.URL), "read /nonexistent.yaml: no such file or directory")
	latin := write(t, filepath.Join(t.TempDir(), "a.yaml"), "kind: Bot\nname: B\xe9b\xe9\n")
	oneLine(t, call(t, environment{"CARILLON_TOKEN": "x"}, "", "apply", "-f", latin, "--server", gone.URL),
		"a.yaml is not UTF-8")
	oneLine(t, call(t, environment{"CARILLON_TOKEN": "x"}, "", "apply", "-f", t.TempDir(), "--server", gone.URL),
		"there is no .yaml or .yml file in")
}

func TestPlansShowNothingThatMovesACursor(t *testing.T) {
	t.Parallel()
	if got := printable("a\x1b[2Jb\u202ec\rd\n\te"); got != "a\ufffd[2Jb\ufffdc\ufffdd\n\te" {
		t.Errorf("got %q", got)
	}
}
