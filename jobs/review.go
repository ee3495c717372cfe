package jobs

import (
	"context"
	"slices"

	"carillon/app/agent"
	"carillon/app/git"
	"carillon/db"
)

// reviewTools are the tools that Claude Code may use in a review without asking. They read the changes and report
// findings.
var reviewTools = []string{"Bash(git diff:*)", "Bash(git log:*)", "Bash(git show:*)", "Bash(git status:*)",
	"mcp__carillon"}

// reviewDiff bounds the diff that a reviewer gets that may not run git, in bytes.
const reviewDiff = 64 << 10

// reviewsReadOnly reports whether a turn is a review by an agent, which must change nothing. The provider's own mode or
// the sandbox ensures that; agent.Run refuses the turn if there is neither.
func reviewsReadOnly(p agent.Provider, turn *db.Turn) bool {
	return turn.Kind == db.ReviewTurn && p.Driver != agent.DriverShell
}

// turnLimits are the limits of the agent in one turn: those of its bot, and in a review read-only access.
func (w *work) turnLimits(p agent.Provider, turn *db.Turn) limits {
	l := w.bot
	if reviewsReadOnly(p, turn) && !l.ReadOnly {
		l.ReadOnly = true
		if p.Driver == agent.DriverClaude {
			l.AllowedTools = slices.Concat(l.AllowedTools, reviewTools)
		}
	}
	return l
}

// prompt is the text that the agent gets. Most agents run no command in a read-only mode, not even git, so a reviewer
// gets the diff with the prompt.
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
