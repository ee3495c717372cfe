package workspace

import (
	"context"
	"testing"

	"carillon/db"
)

func TestANewWorkspaceBeginsWithASandboxWhereOneCanBeHad(t *testing.T) {
	k := setup(t)
	if k.workspace.Sandbox || k.New(t.Context()).Sandbox {
		t.Error("there is a sandbox where none can be had")
	}
	k.Sandboxed = func(context.Context) bool { return true }
	if !k.New(t.Context()).Sandbox {
		t.Error("the form of a new workspace begins without a sandbox")
	}
	check(t, k.EnsureScratch(t.Context()))
	if w, err := db.WorkspaceByID(t.Context(), k.DB, k.workspace.ID); err != nil || w.Sandbox {
		t.Errorf("an existing workspace has got a sandbox: %v", err)
	}
	_, err := k.DB.ExecContext(t.Context(), "DELETE FROM workspaces")
	check(t, err)
	check(t, k.EnsureScratch(t.Context()))
	list, err := k.List(t.Context(), k.mira)
	if err != nil || len(list) != 1 || !list[0].Sandbox {
		t.Errorf("the first workspace of all is %+v, %v", list, err)
	}
}
