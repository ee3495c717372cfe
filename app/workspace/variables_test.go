package workspace

import (
	"fmt"
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/db"
)

// What a variable makes every run of a workspace load is worth as much as a script.
func TestVariablesThatSteerProgramsAreSetByWhoMayRunCommands(t *testing.T) {
	k := setup(t)
	boss, manager := k.holding("Boss", account.ManageWorkspaces, account.UseShell),
		k.holding("Manager", account.ManageWorkspaces)
	save := func(who account.Actor, variables ...Variable) error {
		d, err := k.Find(t.Context(), who, k.workspace.ID)
		check(t, err)
		return k.Update(t.Context(), who, k.workspace.ID, Input{
			Name: d.Name, GitURL: d.GitURL, DefaultBranch: d.DefaultBranch, Version: d.Version, Variables: variables,
		})
	}
	check(t, db.AddMember(t.Context(), k.DB, k.workspace.ID, boss.ID))
	check(t, db.AddMember(t.Context(), k.DB, k.workspace.ID, manager.ID))
	refused := func(err error) bool {
		bad, is := err.(fault.Invalid)
		return is && strings.Contains(bad["variables.0"], "shell.use")
	}
	node := Variable{Name: "NODE_OPTIONS", Value: "--require ./x.js"}
	for _, v := range []Variable{node, {Name: "ANTHROPIC_BASE_URL", Value: "https://example.com"},
		{Name: "GIT_SSH_COMMAND", Value: "x", Secret: true}} {
		if err := save(manager, v); !refused(err) {
			t.Errorf("who may not run commands set %s: %v", v.Name, err)
		}
	}
	check(t, save(manager, Variable{Name: "STAGE", Value: "test"},
		Variable{Name: "ANTHROPIC_API_KEY", Value: "k", Secret: true}))
	check(t, save(boss, node, Variable{Name: "GIT_SSH_COMMAND", Value: "ssh -v", Secret: true}))
	check(t, save(manager, node, Variable{Name: "GIT_SSH_COMMAND", Secret: true})) // as they are
	node.Value = "--require ./y.js"
	if err := save(manager, node, Variable{Name: "GIT_SSH_COMMAND", Secret: true}); !refused(err) {
		t.Errorf("who may not run commands changed NODE_OPTIONS: %v", err)
	}
	if err := save(boss, Variable{Name: "LD_PRELOAD", Value: "x"}); err == nil {
		t.Error("LD_PRELOAD was set")
	}
	check(t, save(manager))
}

func TestPathsOfTheMachineAreGivenToAWorkspaceByWhoMayChangeTheSettings(t *testing.T) {
	k := setup(t)
	k.Conceals = func(path string) string {
		if strings.HasPrefix(path, "/data") {
			return "sandboxes hide it"
		}
		return ""
	}
	boss, manager := k.holding("Boss", account.ManageWorkspaces, account.ManageSettings),
		k.holding("Manager", account.ManageWorkspaces)
	check(t, db.AddMember(t.Context(), k.DB, k.workspace.ID, boss.ID))
	check(t, db.AddMember(t.Context(), k.DB, k.workspace.ID, manager.ID))
	save := func(who account.Actor, paths string) (string, error) {
		d, err := k.Find(t.Context(), who, k.workspace.ID)
		check(t, err)
		err = k.Update(t.Context(), who, k.workspace.ID, Input{
			Name: d.Name, GitURL: d.GitURL, DefaultBranch: d.DefaultBranch, Version: d.Version, Shows: paths,
		})
		d, readErr := k.Find(t.Context(), who, k.workspace.ID)
		check(t, readErr)
		return d.Shows, err
	}
	for _, wrong := range []string{
		".npmrc", "~", "~/..", "~/../other", "/", "/opt/..", "~other/x", "/data/secret", "/opt/../data", "/a\x00b",
		"/" + strings.Repeat("x", 600),
		strings.Repeat("/a\n", 1) + strings.Join(manyPaths(31), "\n"),
	} {
		if _, err := save(boss, wrong); err == nil || err.(fault.Invalid)["shows"] == "" {
			t.Errorf("%.40q was taken: %v", wrong, err)
		}
	}
	if _, err := save(manager, "~/.npmrc"); err == nil || !strings.Contains(err.(fault.Invalid)["shows"], "settings") {
		t.Errorf("who may not change the settings gave a path: %v", err)
	}
	const kept = "~/.npmrc\n/opt/my tools"
	if is, err := save(boss, " ~/.npmrc \n\n/opt/./my tools/\n~/.npmrc\n"); err != nil || is != kept {
		t.Errorf("the paths are %q, %v; want %q", is, err, kept)
	}
	for _, typed := range []string{"", kept} { // as others' forms bring it
		if is, err := save(manager, typed); err != nil || is != kept {
			t.Errorf("another who saves %q leaves %q, %v", typed, is, err)
		}
	}
	events, err := db.AuditEvents(t.Context(), k.DB, db.AuditFilter{Action: "workspace.update", Limit: 10})
	check(t, err)
	if len(events) == 0 || !strings.Contains(fmt.Sprint(events), "my tools") {
		t.Errorf("the audit log has %v", events)
	}
	if is, err := save(boss, ""); err != nil || is != "" {
		t.Errorf("taken back they are %q, %v", is, err)
	}
}

func manyPaths(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("/opt/%d", i)
	}
	return list
}

func TestAWorkspaceHasABoundedNumberOfVariables(t *testing.T) {
	k := setup(t)
	variables := make([]Variable, mostVariables+1)
	for i := range variables {
		variables[i] = Variable{Name: fmt.Sprint("A", i), Value: "x"}
	}
	_, err := k.Create(t.Context(), k.mira,
		Input{Name: "Many", GitURL: "https://git.example.com/a/b.git", Variables: variables})
	wantInvalid(t, err, fmt.Sprintf("variables.%d", mostVariables))
}
