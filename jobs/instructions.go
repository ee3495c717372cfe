package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/git"
	"carillon/db"
)

// maxInstructionFile is the largest instruction file of a repository that is given to an agent, in bytes.
const maxInstructionFile = 64 << 10

// maxInstructions bounds all instructions that one agent gets, in bytes. Linux takes at most 128 KiB in one argument of
// a program.
const maxInstructions = 112 << 10

// repositoryInstructions reads the repository's instruction file for an agent that does not read this file by itself.
func (w *work) repositoryInstructions(p agent.Provider, tree git.Worktree) string {
	if !p.Unread {
		return ""
	}
	name := cmp.Or(p.InstructionFile, "AGENTS.md")
	text, err := git.ReadFile(tree, name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return ""
	case err != nil:
		w.warn(fmt.Sprintf("The agent does not get %s: %s.", name, readFailure(name, err)))
		return ""
	case len(text) > maxInstructionFile:
		w.warn(fmt.Sprintf("The agent does not get %s: it has more than %d KiB.", name, maxInstructionFile>>10))
		return ""
	case strings.TrimSpace(string(text)) == "":
		return ""
	}
	return fmt.Sprintf("The repository's %s:\n\n%s", name, agent.Clean(string(text)))
}

// instructions gives what an agent gets beside the message: the instructions of its bot, those of the repository, and
// those about how a run ends.
func (w *work) instructions(p agent.Provider, tree git.Worktree, turn *db.Turn) string {
	if p.Driver == agent.DriverShell {
		return ""
	}
	parts := []string{w.bot.Instructions, w.repositoryInstructions(p, tree)}
	if w.execution != nil && !isReviewPass(turn.Kind) {
		parts = append(parts, automation.RunInstructions)
	}
	if n := len(parts[0]) + len(parts[1]); n > maxInstructions {
		w.warn(fmt.Sprintf(
			"The agent does not get the repository's instruction file: with its bot's instructions it has more than "+
				"%d KiB.",
			maxInstructions>>10))
		parts[1] = ""
	}
	parts = slices.DeleteFunc(parts, func(part string) bool { return strings.TrimSpace(part) == "" })
	return strings.TrimSpace(strings.Join(parts, "\n\n"))
}

// limits are a bot's instructions for an agent, and what the agent may do.
type limits struct {
	Instructions string
	AllowedTools []string
	ReadOnly     bool
}

// limitsOfBot gives the limits of a session's bot. A run has the limits of its snapshot. A person's message has the
// limits that the bot has now.
func (w *work) limitsOfBot(ctx context.Context) (limits, error) {
	switch {
	case w.session.Type != db.BotType:
		return limits{}, nil
	case w.execution != nil:
		sn := w.execution.Snapshot
		return limits{sn.Instructions, sn.AllowedTools, sn.ReadOnly}, nil
	}
	b, err := retryValue(ctx, w, "read the bot", func(ctx context.Context) (*db.Bot, error) {
		return db.BotByID(ctx, w.DB, w.session.BotID)
	})
	if db.IsNotFound(err) {
		return limits{}, errors.New("the bot of this session was removed")
	}
	if err != nil {
		return limits{}, asInternal(err)
	}
	if !b.Enabled {
		return limits{}, fmt.Errorf("the bot %s is switched off", b.Name)
	}
	return limits{b.Instructions, b.AllowedTools, b.ReadOnly}, nil
}
