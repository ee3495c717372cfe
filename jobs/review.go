package jobs

import (
	"context"
	"slices"

	"carillon/app/agent"
	"carillon/app/git"
	"carillon/db"
)

// reviewTools are what Claude Code may use in a review without asking: it looks at what was changed, and reports what
// it finds.
var reviewTools = []string{"Bash(git diff:*)", "Bash(git log:*)", "Bash(git show:*)", "Bash(git status:*)",
	"mcp__carillon"}

// reviewDiff is how much of the diff is given to the reviewer that may not run git, in bytes.
const reviewDiff = 64 << 10

// reviewsReadOnly reports whether a message is a review by an agent. It changes nothing: by the provider's own means,
// or in the sandbox; agent.Run refuses it where there is neither.
func reviewsReadOnly(p agent.Provider, turn *db.Turn) bool {
	return turn.Kind == db.ReviewTurn && p.Driver != agent.DriverShell
}

// limitsOf are what holds the agent in a message: its bot's limits, and in a review that it changes nothing.
func (w *work) limitsOf(p agent.Provider, turn *db.Turn) limits {
	l := w.bot
	if reviewsReadOnly(p, turn) && !l.ReadOnly {
		l.ReadOnly = true
		if p.Driver == agent.DriverClaude {
			l.AllowedTools = slices.Concat(l.AllowedTools, reviewTools)
		}
	}
	return l
}

// prompt is what the agent is told. In a mode that changes nothing most agents run no commands, not even git's, so a
// reviewer is given the diff.
func (w *work) prompt(ctx context.Context, p agent.Provider, tree git.Worktree, turn *db.Turn) string {
	if p.Driver != agent.DriverACP || !reviewsReadOnly(p, turn) {
		return turn.Prompt
	}
	diff, cut, err := w.Store.Diff(ctx, tree, reviewDiff)
	if err != nil || diff == "" {
		return turn.Prompt
	}
	text := turn.Prompt + "\n\nThis is the diff:\n\n" + diff
	if cut {
		text += "\n\nThe diff goes on; read the files for the rest."
	}
	return text
}
