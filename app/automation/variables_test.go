package automation

import (
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/db"
)

// What a variable makes every run of a workspace load is worth as much as a script.
func TestVariablesThatSteerProgramsAreSetByWhoMayRunCommands(t *testing.T) {
	k := setup(t)
	boss, manager := k.holding("Boss", account.ManageWorkspaces, account.UseShell), k.holding("Manager", account.ManageWorkspaces)
	save := func(who account.Actor, variables ...VariableInput) error {
		d, err := k.Workspace(t.Context(), who, k.workspace.ID)
		check(t, err)
		return k.UpdateWorkspace(t.Context(), who, k.workspace.ID, WorkspaceInput{
			Name: d.Name, GitURL: d.GitURL, DefaultBranch: d.DefaultBranch, Version: d.Version, Variables: variables,
		})
	}
	check(t, db.AddMember(t.Context(), k.DB, k.workspace.ID, boss.ID))
	check(t, db.AddMember(t.Context(), k.DB, k.workspace.ID, manager.ID))
	refused := func(err error) bool {
		bad, is := err.(fault.Invalid)
		return is && strings.Contains(bad["variables.0"], "shell.use")
	}
	node := VariableInput{Name: "NODE_OPTIONS", Value: "--require ./x.js"}
	for _, v := range []VariableInput{node, {Name: "ANTHROPIC_BASE_URL", Value: "https://example.com"}, {Name: "GIT_SSH_COMMAND", Value: "x", Secret: true}} {
		if err := save(manager, v); !refused(err) {
			t.Errorf("who may not run commands set %s: %v", v.Name, err)
		}
	}
	check(t, save(manager, VariableInput{Name: "STAGE", Value: "test"}, VariableInput{Name: "ANTHROPIC_API_KEY", Value: "k", Secret: true}))
	check(t, save(boss, node, VariableInput{Name: "GIT_SSH_COMMAND", Value: "ssh -v", Secret: true}))
	check(t, save(manager, node, VariableInput{Name: "GIT_SSH_COMMAND", Secret: true})) // as they are
	node.Value = "--require ./y.js"
	if err := save(manager, node, VariableInput{Name: "GIT_SSH_COMMAND", Secret: true}); !refused(err) {
		t.Errorf("who may not run commands changed NODE_OPTIONS: %v", err)
	}
	if err := save(boss, VariableInput{Name: "LD_PRELOAD", Value: "x"}); err == nil {
		t.Error("LD_PRELOAD was set")
	}
	check(t, save(manager))
}
