package jobs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carillon/app/agent"
	"carillon/app/git"
	"carillon/db"
)

func TestTheRepositorysInstructionFileIsHandedToWhoDoesNotReadIt(t *testing.T) {
	t.Parallel()
	tree := git.Worktree{Dir: t.TempDir()}
	w := &work{bot: limits{Instructions: "You are kind."}}
	turn := &db.Turn{Kind: db.PromptTurn}
	claude, codex := agent.Catalogue()[1], agent.Catalogue()[2]
	if got := w.instructions(claude, tree, turn); got != "You are kind." {
		t.Errorf("without the file it is told %q", got)
	}
	for _, name := range []string{"CLAUDE.md", "AGENTS.md"} {
		check(t, os.WriteFile(filepath.Join(tree.Dir, name), []byte("Of "+name), 0o600))
	}
	for _, kind := range []db.TurnKind{db.PromptTurn, db.ReviewTurn} {
		turn.Kind = kind
		if got := w.instructions(claude, tree, turn); !strings.Contains(got, "You are kind.") ||
			!strings.Contains(got, "Of CLAUDE.md") || strings.Contains(got, "AGENTS") {
			t.Errorf("Claude Code is told %q", got)
		}
		if got := w.instructions(codex, tree, turn); got != "You are kind." { // it reads the file by itself
			t.Errorf("Codex is told %q", got)
		}
	}
}
