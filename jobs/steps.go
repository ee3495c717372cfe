package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/crash"
	"carillon/app/git"
	"carillon/app/transcript"
	"carillon/db"
)

// flow is the workflow of a run, or nothing.
type flow struct {
	values map[string]string // of its parameters, opened
}

// beginFlow opens the values of a run's workflow, and lists those to keep out of what is shown.
func (w *work) beginFlow() (secrets []string, err error) {
	if w.execution == nil || w.execution.Snapshot.ExecutionType != db.WorkflowDriven {
		return nil, nil
	}
	w.flow.values, secrets, err = w.Rules.OpenValues(w.execution)
	return secrets, err
}

// taken lists the turns of a run's steps, and where in the workflow they stand; one more place is that of the next
// step.
func (w *work) taken(ctx context.Context) ([]db.Turn, []automation.Placed, error) {
	turns, err := w.runTurns(ctx)
	if err != nil {
		return nil, nil, err
	}
	turns = slices.DeleteFunc(turns, func(t db.Turn) bool { return t.Kind != db.StepTurn })
	answers := make([]string, len(turns))
	for i, t := range turns {
		answers[i] = t.Answer
	}
	return turns, automation.Walk(w.execution.Snapshot.Steps, answers), nil
}

// nextTurn begins the session's next message: one that is queued, or the next step of a workflow. It returns nil when
// there is none.
func (w *work) nextTurn(ctx context.Context) (*db.Turn, error) {
	if w.execution == nil {
		return w.beginTurn(ctx, uuid.Nil)
	}
	turn, err := w.beginTurn(ctx, w.execution.ID)
	if turn != nil || err != nil || w.flow.values == nil {
		return turn, err
	}
	turns, placed, err := w.taken(ctx)
	if err != nil || len(placed) <= len(turns) {
		return nil, err
	}
	next := placed[len(turns)]
	return w.addTurn(ctx, &db.Turn{
		Kind: db.StepTurn, Label: next.Label(), Prompt: next.Step.Text, AuthorID: w.execution.UserID,
	})
}

// beginTurn begins the next queued message of an execution, or of people where that is zero; nil: there is none.
func (w *work) beginTurn(ctx context.Context, execution uuid.UUID) (*db.Turn, error) {
	return steadily(ctx, w, "read the next message", func(ctx context.Context) (*db.Turn, error) {
		return db.NextTurn(ctx, w.DB, w.lease, execution, w.Now())
	})
}

// addTurn adds a message of the run's own to the session's and begins it.
func (w *work) addTurn(ctx context.Context, t *db.Turn) (*db.Turn, error) {
	t.ID, t.SessionID, t.ExecutionID, t.Status, t.CreatedAt = db.NewID(), w.session.ID, w.execution.ID, db.Queued,
		w.Now()
	err := w.steady(ctx, "add a message", func(ctx context.Context) error {
		return w.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			if err := db.Hold(ctx, tx, w.lease); err != nil {
				return err
			}
			return db.AddTurn(ctx, tx, t)
		})
	})
	if err != nil {
		return nil, err
	}
	crash.Here(crash.TurnAdded)
	return w.beginTurn(ctx, w.execution.ID)
}

// step takes one step of a workflow.
func (w *work) step(ctx context.Context, p agent.Provider, tree git.Worktree, env []string,
	turn *db.Turn) automation.Outcome {
	turns, placed, err := w.taken(ctx)
	if err != nil {
		return w.stuck(ctx, "read the steps", err)
	}
	at := slices.IndexFunc(turns, func(t db.Turn) bool { return t.ID == turn.ID })
	if at < 0 || at >= len(placed) {
		return w.broken("find the step", fmt.Errorf("turn %s is at %d of %d places", turn.ID, at, len(placed)))
	}
	values, err := steadily(ctx, w, "read the values of the workflow",
		func(ctx context.Context) (map[string]string, error) {
			return w.stepValues(ctx, tree)
		})
	if err != nil {
		return w.stuck(ctx, "read the values of the workflow", err)
	}
	system, fresh := systemMessages(placed[:at], values, w.execution.Snapshot)
	w.bot.Instructions = strings.Join(system, "\n\n")
	here := placed[at]
	step := here.Step
	if step.Kind == db.MessageStep { // the other kinds use nothing
		if reason := w.overBudget(ctx, !turn.Again); reason != "" {
			return w.outOfBudget(reason)
		}
	}
	if w.turned && step.Kind == db.MessageStep {
		w.keep(ctx, tree)
	}
	w.turned = true
	var outcome automation.Outcome
	if step.Kind == db.MessageStep {
		told := *turn
		given := values
		if p.Driver == agent.DriverShell {
			told.Prompt = prelude(values) + automation.ScriptText(step.Text, values)
			given = maps.Clone(w.execution.Parameters)
			maps.Copy(given, values)
		} else {
			told.Prompt = automation.ExpandFenced(step.Text, values, w.execution.Snapshot) + step.After
			if w.session.Conversation != "" && len(fresh) > 0 {
				told.Prompt = "<system-message>\n" + strings.Join(fresh, "\n\n") + "\n</system-message>\n\n" +
					told.Prompt
			}
		}
		outcome = w.turn(ctx, p, tree, env, given, &told)
	} else {
		outcome = w.ownStep(ctx, p, tree, step, values, turn)
	}
	if outcome.Status == db.Failed || outcome.Status == db.TimedOut {
		outcome.Reason = fmt.Sprintf("step %s failed: %s", here.Label(), outcome.Reason)
	}
	return outcome
}

// stepValues are the values that a step's text is filled with.
func (w *work) stepValues(ctx context.Context, tree git.Worktree) (map[string]string, error) {
	sn := w.execution.Snapshot
	zone, err := time.LoadLocation(sn.TimeZone) // empty: UTC
	if err != nil {
		zone = time.UTC
	}
	ws, err := db.WorkspaceByID(ctx, w.DB, w.session.WorkspaceID)
	if err != nil {
		return nil, err
	}
	around := automation.Surroundings{
		At: w.execution.CreatedAt.In(zone), Session: w.session.ID.String(), Execution: w.execution.ID.String(),
		Automation: sn.Name, Workspace: ws.Name, Branch: tree.Branch,
	}
	tickets, err := db.TicketsOfSession(ctx, w.DB, w.session.ID)
	if err != nil {
		return nil, err
	}
	if len(tickets) > 0 {
		around.Ticket, around.Title = tickets[0].ID.String(), tickets[0].Title
	}
	values := automation.Automatic(around)
	for _, p := range sn.Parameters {
		values[p.Alias] = w.flow.values[p.Alias]
	}
	return values, nil
}

// systemMessages are what the steps taken tell the agent beside every message. Fresh are those since its last message:
// an agent that goes on with a conversation keeps the system prompt with which that began, so that these have to come
// with the message.
func systemMessages(placed []automation.Placed, values map[string]string, run db.Snapshot) (all, fresh []string) {
	for _, at := range placed {
		switch at.Step.Kind {
		case db.MessageStep:
			fresh = nil
		case db.SystemStep:
			if text := automation.ExpandFenced(at.Step.Text, values, run); !slices.Contains(all, text) {
				// of a loop once
				all, fresh = append(all, text), append(fresh, text)
			}
		}
	}
	return all, fresh
}

// shellName is an alias that a script may have as a variable. Names in capitals are left to the system and its
// programs.
var shellName = regexp.MustCompile(`^[a-z][A-Za-z0-9_]*$`)

// prelude lets a script read its parameters as $alias. The values come by the environment and are assigned, so what
// bash reads as code is the same for every value; the variables are the script's own, and no program that it starts
// gets them.
func prelude(values map[string]string) string {
	var b strings.Builder
	for _, alias := range slices.Sorted(maps.Keys(values)) {
		if name := strings.ReplaceAll(alias, "-", "_"); shellName.MatchString(name) {
			fmt.Fprintf(&b, `%s="${PARAM_%s}"; `, name, name)
		}
	}
	return b.String() // without a new line: messages of bash name the author's lines
}

// ownStep takes a step that needs no agent.
func (w *work) ownStep(ctx context.Context, p agent.Provider, tree git.Worktree, step db.Step,
	values map[string]string, turn *db.Turn) automation.Outcome {
	if err := w.steady(ctx, "note a step", func(ctx context.Context) error {
		return db.MarkTurnOwn(ctx, w.DB, w.lease, turn.ID)
	}); err != nil {
		return w.stuck(ctx, "note a step", err)
	}
	begun := w.Now()
	content := automation.Expand(step.Text, values)
	if step.Kind == db.SystemStep || step.Kind == db.InstructionStep { // an agent reads it as its own
		content = automation.ExpandFenced(step.Text, values, w.execution.Snapshot)
	}
	w.transcript.begin(turn.ID)
	w.transcript.add(transcript.KindTurn, transcript.Turn{
		ID: turn.ID, Kind: string(turn.Kind), Label: turn.Label, Prompt: cut(content), Author: turn.AuthorID,
	})
	done, err := w.take(ctx, p, tree, step, content)
	outcome := automation.Outcome{Status: db.Succeeded}
	if err != nil {
		outcome = automation.Outcome{Status: db.Failed, Class: "step", Reason: w.transcript.hide(err.Error())}
	} else {
		w.transcript.add(transcript.KindLog, transcript.Event{Kind: transcript.KindLog, Text: done})
	}
	if ctx.Err() != nil {
		outcome = w.ended(ctx, "step", "stopped")
	}
	w.transcript.add(transcript.KindTurnEnd, transcript.TurnEnd{
		ID: turn.ID, Status: string(outcome.Status), Reason: outcome.Reason, Seconds: w.Now().Sub(begun).Seconds(),
		Class: outcome.Class,
	})
	if left(ctx) {
		return outcome // the step comes again: each of these may be taken twice
	}
	w.endTurn(ctx, turn, outcome, done)
	return outcome
}

// take does what a step says, and tells what it did.
func (w *work) take(ctx context.Context, p agent.Provider, tree git.Worktree, step db.Step,
	content string) (string, error) {
	switch step.Kind {
	case db.ClearStep:
		w.keepConversation(ctx, "")
		return "The context is cleared: the agent knows nothing of what was said above.", nil
	case db.SystemStep:
		if p.Driver == agent.DriverShell {
			return "A script takes no system messages; nobody reads this one.", nil
		}
		return "The agent is told this with its next message, and it holds from there on.", nil
	case db.AssetStep:
		if err := git.WriteFile(tree, step.Path, []byte(content)); err != nil {
			return "", unwritten(step.Path, err)
		}
		return fmt.Sprintf("Wrote %s, %d bytes.", step.Path, len(content)), nil
	case db.InstructionStep:
		return w.instructionFile(p, tree, step, content)
	case db.CompleteStep:
		if step.OnlyUnchanged && w.changes(ctx, tree) {
			return "Files have changed, so the session stays open.", nil
		}
		return automation.Completed, nil
	}
	return "", fmt.Errorf("there is no step of the kind %q", step.Kind)
}

// unwritten is why a file could not be written, without the ids that the error has for the log.
func unwritten(path string, err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	return fmt.Errorf("%s could not be written: %w", path, err)
}

// unread is the same of a file that could not be read.
func unread(path string, err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	return fmt.Errorf("%s could not be read: %w", path, err)
}

// What lies between these lines of an instruction file is Carillon's; the rest is the repository's own.
const (
	instructionsBegin = "<!-- carillon: begin -->"
	instructionsEnd   = "<!-- carillon: end -->"
)

// instructionFile writes instructions into the file that the agent reads by itself, beside what that file says already.
func (w *work) instructionFile(p agent.Provider, tree git.Worktree, step db.Step,
	content string) (string, error) {
	path := step.Path
	if path == "" {
		path = cmp.Or(p.InstructionFile, "AGENTS.md")
	}
	old, err := git.ReadFile(tree, path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", unread(path, err)
	}
	if err := git.WriteFile(tree, path, []byte(withInstructions(string(old), content))); err != nil {
		return "", unwritten(path, err)
	}
	return fmt.Sprintf("Wrote the instructions into %s.", path), nil
}

// withInstructions is a file with Carillon's part of it replaced, or added at its end.
func withInstructions(file, content string) string {
	part := instructionsBegin + "\n" + strings.TrimSpace(content) + "\n" + instructionsEnd + "\n"
	before, rest, found := strings.Cut(file, instructionsBegin)
	_, after, closed := strings.Cut(rest, instructionsEnd)
	switch {
	case found && closed:
		return before + part + strings.TrimPrefix(after, "\n")
	case strings.TrimSpace(file) == "":
		return part
	}
	return strings.TrimRight(file, "\n") + "\n\n" + part
}

// completion says whether a step of the workflow decided what becomes of the session. It also finds the final answer
// again, of a run that went on after a restart: that of the last message.
func (w *work) completion(ctx context.Context) automation.Completion {
	if w.flow.values == nil {
		return automation.AsSet
	}
	turns, placed, err := w.taken(w.life) // also of a run that was asked to end
	if err != nil {
		w.Log.Warn("read the steps", "execution", w.execution.ID, "err", err)
		return automation.AsSet
	}
	decided := automation.AsSet
	for i, t := range turns {
		if i < len(placed) && placed[i].Step.Kind == db.MessageStep && t.Answer != "" {
			w.answer = t.Answer
		}
		if i < len(placed) && placed[i].Step.Kind == db.CompleteStep && t.Status == db.Succeeded {
			decided = automation.StaysOpen
			if t.Answer == automation.Completed {
				decided = automation.IsCompleted
			}
		}
	}
	return decided
}
