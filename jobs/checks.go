package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/git"
	"carillon/app/transcript"
	"carillon/db"
)

// checkTimeout is how long the command of a gate or of a success check may take.
const checkTimeout = 10 * time.Minute

// budgetUsed is the cause of a context that ended since a budget is used up; its text is the reason.
type budgetUsed string

func (b budgetUsed) Error() string { return string(b) }

// outOfBudget is how a run ends whose budget is used up: not a success, and no failure of the automation.
func (w *work) outOfBudget(reason string) automation.Outcome {
	o := w.failed(db.ErrorBudget, reason)
	o.Neutral = true
	return o
}

// command runs a check's script in the worktree, in sight of the transcript. Of one that ends with another exit status
// than 0 the failure is of the kind agent.FailAgent.
func (w *work) command(ctx context.Context, label, script string, tree git.Worktree,
	env []string) *agent.Failure {
	shell := w.shell()
	if shell.ID == "" {
		return &agent.Failure{Kind: agent.FailStart, Reason: "the Shell provider is not available on this worker"}
	}
	id, begun := db.NewID(), w.Now()
	w.transcript.begin(id)
	w.transcript.add(transcript.KindTurn, transcript.Turn{
		ID: id, Kind: string(db.StepTurn), Label: label, Prompt: cut(script),
	})
	done := w.atWork()
	result, err := agent.Run(ctx, shell, agent.Turn{
		Dir: tree.Dir, Prompt: script, Env: env, RunDir: w.dir, Timeout: checkTimeout, Sandbox: w.sandbox,
		Limits: w.Limits,
	}, w.transcript.agentEvent)
	done()
	var failure *agent.Failure
	if err != nil && !errors.As(err, &failure) {
		failure = &agent.Failure{Kind: agent.FailStart, Reason: err.Error()}
	}
	w.transcript.add(transcript.KindTurnEnd, transcript.TurnEnd{
		ID: id, Status: string(db.Succeeded), Seconds: w.Now().Sub(begun).Seconds(), ExitCode: &result.ExitCode,
	})
	return failure
}

// note writes a line of the runner's own into the transcript.
func (w *work) note(text string) {
	w.transcript.add(transcript.KindWarning, transcript.Event{Kind: transcript.KindWarning, Text: text})
}

// runTurns lists the messages of the run itself, without people's replies.
func (w *work) runTurns(ctx context.Context) ([]db.Turn, error) {
	all, err := steadily(ctx, w, "read the messages", func(ctx context.Context) ([]db.Turn, error) {
		return db.TurnsOf(ctx, w.DB, w.session.ID)
	})
	list := make([]db.Turn, 0, len(all))
	for _, t := range all {
		if t.ExecutionID == w.execution.ID {
			list = append(list, t)
		}
	}
	return list, err
}

func isPass(k db.TurnKind) bool { return k == db.ReviewTurn || k == db.VerificationTurn }

// longGuide is how much of a repository's instruction file is handed to an agent, in bytes.
const longGuide = 64 << 10

// longTold is how much of instructions is handed to an agent at once, in bytes: an argument has at most 128 KiB.
const longTold = 112 << 10

// guide is the repository's instruction file, for a program that does not read it by itself as it is started.
func (w *work) guide(p agent.Provider, tree git.Worktree) string {
	if !p.Unread {
		return ""
	}
	name := cmp.Or(p.InstructionFile, "AGENTS.md")
	text, err := git.ReadFile(tree, name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return ""
	case err != nil:
		w.note(fmt.Sprintf("The agent does not get %s: %s.", name, unread(name, err)))
		return ""
	case len(text) > longGuide:
		w.note(fmt.Sprintf("The agent does not get %s: it has more than %d KiB.", name, longGuide>>10))
		return ""
	case strings.TrimSpace(string(text)) == "":
		return ""
	}
	return fmt.Sprintf("The repository's %s:\n\n%s", name, agent.Clean(string(text)))
}

// instructions is what an agent is told beside the message: by its bot, by the repository, and about how a run ends.
func (w *work) instructions(p agent.Provider, tree git.Worktree, turn *db.Turn) string {
	if p.Driver == agent.DriverShell {
		return ""
	}
	parts := []string{w.bot.Instructions, w.guide(p, tree)}
	if w.execution != nil && !isPass(turn.Kind) {
		parts = append(parts, automation.RunInstructions)
	}
	if n := len(parts[0]) + len(parts[1]); n > longTold {
		w.note(fmt.Sprintf(
			"The agent does not get the repository's instruction file: with its bot's instructions it has more than "+
				"%d KiB.",
			longTold>>10))
		parts[1] = ""
	}
	parts = slices.DeleteFunc(parts, func(part string) bool { return strings.TrimSpace(part) == "" })
	return strings.TrimSpace(strings.Join(parts, "\n\n"))
}

// limits are what a bot tells an agent and holds it to.
type limits struct {
	Instructions string
	AllowedTools []string
	ReadOnly     bool
}

// ofBot are the limits of a session's bot: those with which its run began, and for a person's message those of now.
func (w *work) ofBot(ctx context.Context) (limits, error) {
	switch {
	case w.session.Type != db.BotType:
		return limits{}, nil
	case w.execution != nil:
		sn := w.execution.Snapshot
		return limits{sn.Instructions, sn.AllowedTools, sn.ReadOnly}, nil
	}
	b, err := steadily(ctx, w, "read the bot", func(ctx context.Context) (*db.Bot, error) {
		return db.BotByID(ctx, w.DB, w.session.BotID)
	})
	if db.IsNotFound(err) {
		return limits{}, errors.New("the bot of this session was removed")
	}
	if err != nil {
		return limits{}, ourFault(err)
	}
	if !b.Enabled {
		return limits{}, fmt.Errorf("the bot %s is switched off", b.Name)
	}
	return limits{b.Instructions, b.AllowedTools, b.ReadOnly}, nil
}

// watch ends the context when the run's budget is used up while the agent is at work: minutes pass by themselves.
func (w *work) watch(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := func() { cancel(nil) }
	if w.execution == nil {
		return ctx, stop
	}
	first, err := w.allowance(ctx, false)
	if err != nil || first.Look == 0 {
		if err != nil {
			w.Log.Warn("look at the budget", "execution", w.execution.ID, "err", err)
		}
		return ctx, stop
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for look := first.Look; ; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(look):
			}
			switch a, err := w.Rules.Allowance(ctx, w.execution.ID, false); {
			case err != nil:
				look = time.Second // a database that is away comes back
			case a.Reason != "":
				cancel(budgetUsed(a.Reason))
				return
			case a.Look > 0:
				look = a.Look
			default: // the limit was taken away meanwhile; another may be set
				look = time.Minute
			}
		}
	}()
	return ctx, func() { stop(); <-done }
}

// allowance is what the run's budget leaves. A database that is away is waited for.
func (w *work) allowance(ctx context.Context, next bool) (automation.Allowance, error) {
	return steadily(ctx, w, "look at the budget", func(ctx context.Context) (automation.Allowance, error) {
		return w.Rules.Allowance(ctx, w.execution.ID, next)
	})
}

// overBudget says which limit keeps the next message from being sent, if there is a next one. When that cannot be told
// it is sent.
func (w *work) overBudget(ctx context.Context, next bool) string {
	if w.execution == nil {
		return ""
	}
	a, err := w.allowance(ctx, next)
	if err != nil {
		w.Log.Warn("look at the budget", "execution", w.execution.ID, "err", err)
	}
	return a.Reason
}

// moneyLeft is how much money the next message may cost, by the run's budget; nil is without limit.
func (w *work) moneyLeft(ctx context.Context) *float64 {
	if w.execution == nil {
		return nil
	}
	a, err := w.allowance(ctx, false)
	if err != nil {
		w.Log.Warn("look at the budget", "execution", w.execution.ID, "err", err)
	}
	return a.MostUSD
}

// spent is what the conversation that goes on has used so far, since some agents tell the sum over all of it.
func (w *work) spent(ctx context.Context) transcript.Usage {
	if w.session.Conversation == "" {
		return transcript.Usage{}
	}
	u, err := steadily(ctx, w, "read usage", func(ctx context.Context) (db.Usage, error) {
		return db.ConversationUsage(ctx, w.DB, w.session.ID, w.session.Conversation)
	})
	if err != nil {
		w.Log.Warn("read usage", "session", w.session.ID, "err", err)
	}
	return transcript.Usage{
		Known: u.Counted > 0, Input: u.TokensIn, CacheRead: u.TokensCached, Output: u.TokensOut,
		CostKnown: u.Priced > 0, CostUSD: u.CostUSD,
	}
}

// mostTokens is the most tokens that are believed of one turn: sums of them fit into a column.
const mostTokens = 1e12

// noteUsage records what the agent told of a turn, tells of limits that are reached by it, and returns the one that is
// used up. A database that is away is waited for, also by a run that was asked to end.
func (w *work) noteUsage(ctx context.Context, turn *db.Turn, conversation string, u transcript.Usage) string {
	noted := usageOf(turn, conversation, u)
	err := w.surely(ctx, "note usage", func(ctx context.Context) error {
		return db.AddUsage(ctx, w.DB, w.lease, turn.ID, noted)
	})
	if err != nil {
		w.Log.Warn("note usage", "turn", turn.ID, "err", err)
	}
	return w.overBudget(w.life, false)
}

// usageOf is what is recorded of what the agent told of a turn.
func usageOf(turn *db.Turn, conversation string, u transcript.Usage) db.TurnUsage {
	noted := db.TurnUsage{Conversation: conversation, Counted: u.Known, Priced: u.CostKnown}
	// What was told while it was at work is less than all of it: its numbers count, and it stays unknown how much it
	// was.
	tokens := func(n int64) int64 { return min(max(0, n), mostTokens) }
	noted.TokensIn, noted.TokensCached, noted.TokensOut = tokens(tokens(u.Input)+tokens(u.CacheWrite)),
		tokens(u.CacheRead), tokens(u.Output)
	if u.CostUSD > 0 && !math.IsInf(u.CostUSD, 0) {
		noted.CostUSD = min(u.CostUSD, 1e9)
	}
	if before := turn.TurnUsage; before.Counted || before.Priced ||
		before.TokensIn+before.TokensCached+before.TokensOut > 0 || before.CostUSD > 0 {
		// an attempt that failed
		noted.Counted, noted.Priced = noted.Counted || before.Counted, noted.Priced || before.Priced
		noted.TokensIn, noted.TokensCached = noted.TokensIn+before.TokensIn, noted.TokensCached+before.TokensCached
		noted.TokensOut, noted.CostUSD = noted.TokensOut+before.TokensOut, noted.CostUSD+before.CostUSD
	}
	return noted
}

// settle judges a run whose messages have all succeeded: whether there was anything to do, whether its success check is
// met, and then what its passes find, which never makes it fail. begun is a pass that a restart interrupted, or nil.
func (w *work) settle(ctx context.Context, p agent.Provider, tree git.Worktree, env []string,
	o automation.Outcome, begun *db.Turn) automation.Outcome {
	if w.execution == nil || o.Status != db.Succeeded {
		return o
	}
	sn := w.execution.Snapshot
	if begun == nil {
		var err error
		o.NothingToDo, err = surelyOf(ctx, w, "look for a report", func(ctx context.Context) (bool, error) {
			return w.Rules.FoundNothing(ctx, w.execution, o.Answer, o.FilesChanged)
		})
		if err != nil {
			w.Log.Warn("look for a report", "session", w.session.ID, "err", err)
		}
		if o.NothingToDo {
			return o
		}
		if failed := w.unmet(ctx, sn.Success, tree, env, o); failed != nil {
			return *failed
		}
	}
	if p.Driver == agent.DriverShell {
		return o
	}
	if w.passes(ctx, p, tree, env, begun) {
		o.FilesChanged = w.changes(ctx, tree)
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errCanceled):
		o.Status, o.Reason = db.Canceled, "canceled"
	case errors.Is(cause, errInterrupted): // what was interrupted is a pass; the run itself has succeeded
		o.Interrupted = true
	}
	return o
}

// unmet is how a run ends that does not meet its success check; nil: it does.
func (w *work) unmet(ctx context.Context, c db.SuccessCheck, tree git.Worktree, env []string,
	o automation.Outcome) *automation.Outcome {
	fail := func(f automation.Outcome) *automation.Outcome {
		f.ExitCode, f.Answer, f.FilesChanged = o.ExitCode, o.Answer, o.FilesChanged
		return &f
	}
	untold := ""
	if c.PullRequest {
		if untold = w.findPullRequest(ctx); ctx.Err() != nil {
			return fail(w.ended(ctx, "success_check", "it ended before its success check"))
		}
	}
	check := func(c db.SuccessCheck) (string, error) {
		return surelyOf(ctx, w, "check its success", func(ctx context.Context) (string, error) {
			return w.Rules.Unmet(ctx, c, w.session.ID, o.Answer, o.FilesChanged)
		})
	}
	reason, err := check(c)
	if err == nil && reason != "" && untold != "" {
		other := c
		other.PullRequest = false
		var without string
		if without, err = check(other); err == nil && without == "" { // the pull request alone is missing
			return fail(w.untold(untold))
		}
	}
	if err != nil {
		return fail(w.broken("check its success", err))
	}
	if reason == "" && c.Command != "" {
		if failure := w.command(ctx, "Success check", c.Command, tree, env); failure != nil {
			if ctx.Err() != nil {
				return fail(w.ended(ctx, "success_check", failure.Reason))
			}
			reason = fmt.Sprintf("its success check was not met: %s", failure.Reason)
		}
		o.FilesChanged = w.changes(ctx, tree)
	}
	if reason == "" {
		return nil
	}
	return fail(w.failed("success_check", w.transcript.hide(reason)))
}

// untold is the outcome of a run of which nobody could tell whether it meets its success check. It counts for nothing.
func (w *work) untold(why string) automation.Outcome {
	o := w.failed(db.ErrorOutage, "its success check could not be made: "+why)
	o.Neutral, o.Tell = true, true
	return o
}

// findPullRequest asks the forge about the pull requests that the agent has told of, and for one of the session's
// branch, unless one is known. What the forge does not have counts as not there. Where it could not be asked, for
// trouble that passes, it returns why.
func (w *work) findPullRequest(ctx context.Context) (untold string) {
	known, err := steadily(ctx, w, "look for a pull request", func(ctx context.Context) (bool, error) {
		return db.HasPullRequest(ctx, w.DB, w.session.ID)
	})
	if err != nil || known || w.Forge == nil {
		return ""
	}
	ours := func(what string, err error) string {
		w.Log.Warn(what, "session", w.session.ID, "workspace", w.session.WorkspaceID, "err", err)
		return errOurs.Error()
	}
	ws, err := steadily(ctx, w, "read the workspace", w.ofWorkspace)
	if err != nil {
		return ours("read the workspace", err)
	}
	named, err := steadily(ctx, w, "read the pull requests", func(ctx context.Context) ([]db.PullRequest, error) {
		return db.PullRequestsOf(ctx, w.DB, []uuid.UUID{w.session.ID})
	})
	if err != nil {
		return ours("read the pull requests", err)
	}
	asking, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client, repository, ok, err := forgeClient(asking, w.Rules, ws, w.Forge, w.Now)
	switch {
	case err != nil:
		return ours("ask the forge", err)
	case !ok:
		return ""
	}
	for i := range named {
		p, err := client.State(asking, asked(&named[i]))
		if err != nil && forgeRecovers(err) {
			untold = forgeProblem(err)
		}
		if err == nil {
			err = w.surely(ctx, "note a pull request", func(ctx context.Context) error {
				return w.Rules.CheckedPullRequest(ctx, &named[i], p)
			})
		}
		if err != nil {
			w.Log.Info("ask about a pull request that the agent told of", "session", w.session.ID, "err", err)
		}
	}
	known, err = steadily(ctx, w, "look for a pull request", func(ctx context.Context) (bool, error) {
		return db.HasPullRequest(ctx, w.DB, w.session.ID)
	})
	if err != nil || known {
		return ""
	}
	p, err := client.Find(asking, repository, w.session.Branch)
	if err != nil {
		w.note("The forge could not be asked for a pull request. " + forgeProblem(err))
		if forgeRecovers(err) {
			untold = forgeProblem(err)
		}
		return untold
	}
	if p == nil {
		return untold
	}
	err = w.surely(ctx, "note a pull request", func(ctx context.Context) error {
		if err := db.Hold(ctx, w.DB, w.lease); err != nil {
			return err
		}
		return w.Rules.TakePullRequest(ctx, ws, w.session.ID, *p, db.FoundByBranch)
	})
	if err != nil {
		return ours("note a pull request", err)
	}
	return ""
}

// passes gives the agent the messages that follow a run: Code Review and Verification. It reports whether there were
// any.
func (w *work) passes(ctx context.Context, p agent.Provider, tree git.Worktree, env []string,
	begun *db.Turn) bool {
	list, err := steadily(ctx, w, "read the passes", func(ctx context.Context) ([]automation.Pass, error) {
		return w.Rules.Passes(ctx, w.execution.Snapshot.Toggles)
	})
	if err != nil || len(list) == 0 {
		if err != nil {
			w.Log.Error("read the passes", "session", w.session.ID, "err", err)
		}
		return false
	}
	done := map[db.TurnKind]bool{}
	turns, err := w.runTurns(ctx)
	if err != nil {
		w.Log.Error("read the messages", "session", w.session.ID, "err", err)
		return false
	}
	for _, t := range turns {
		done[t.Kind] = !t.FinishedAt.IsZero()
	}
	answer := w.answer
	defer func() { w.answer = answer }() // the run's own stays its final answer
	ran := false
	for _, pass := range list {
		if done[pass.Kind] || ctx.Err() != nil {
			continue
		}
		if reason := w.overBudget(ctx, true); reason != "" {
			w.note(pass.Label + " was left out: " + reason + ".")
			continue
		}
		turn := begun
		if turn == nil || turn.Kind != pass.Kind {
			if turn, err = w.addPass(ctx, pass); err != nil {
				w.Log.Error("begin a pass", "session", w.session.ID, "pass", pass.Label, "err", err)
				continue
			}
		}
		o := w.turn(ctx, p, tree, env, nil, turn)
		ran = true
		if o.Status == db.Succeeded && pass.Kind == db.ReviewTurn {
			answer := w.answer
			err := w.surely(ctx, "note a review", func(ctx context.Context) error {
				return w.Rules.NoteReview(ctx, w.lease, w.execution.ID, answer)
			})
			if err != nil {
				w.Log.Error("note a review", "session", w.session.ID, "err", err)
			}
		}
	}
	return ran
}

// addPass adds a pass to the session's messages and begins it.
func (w *work) addPass(ctx context.Context, pass automation.Pass) (*db.Turn, error) {
	turn, err := w.addTurn(ctx, &db.Turn{Kind: pass.Kind, Label: pass.Label, Prompt: pass.Prompt})
	if err == nil && turn == nil {
		err = errors.New("it is gone")
	}
	return turn, err
}

// lastAnswer is the answer of the run's last message, for a run that goes on after a restart with its passes.
func (w *work) lastAnswer(ctx context.Context) string {
	turns, err := w.runTurns(ctx)
	if err != nil {
		w.Log.Warn("read the messages", "session", w.session.ID, "err", err)
	}
	answer := ""
	for _, t := range turns {
		if !isPass(t.Kind) && t.Status == db.Succeeded {
			answer = t.Answer
		}
	}
	return answer
}
