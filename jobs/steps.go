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
	"carillon/app/workflow"
	"carillon/db"
)

// openedWorkflow is the workflow of a run; without values the run has none.
type openedWorkflow struct {
	values map[string]string // of its parameters, with secrets decrypted
}

// openWorkflow reads the values of a run's workflow, and lists the secret ones, which must be masked.
func (w *work) openWorkflow() (secrets []string, err error) {
	if w.execution == nil || w.execution.Snapshot.ExecutionType != db.WorkflowDriven {
		return nil, nil
	}
	w.workflow.values, secrets, err = workflow.OpenValues(w.Rules.Keys, w.execution)
	return secrets, err
}

// takenSteps lists the turns of a run's steps and the places of these steps in the workflow. If there is a next step,
// the list of places has one more element.
func (w *work) takenSteps(ctx context.Context) ([]db.Turn, []workflow.Placed, error) {
	turns, err := w.turnsOfRun(ctx)
	if err != nil {
		return nil, nil, err
	}
	turns = slices.DeleteFunc(turns, func(t db.Turn) bool { return t.Kind != db.StepTurn })
	answers := make([]string, len(turns))
	for i, t := range turns {
		answers[i] = t.Answer
	}
	return turns, workflow.Walk(w.execution.Snapshot.Steps, answers), nil
}

// nextTurn begins the session's next turn: a queued one, or the next step of a workflow. It returns nil when there is
// none.
func (w *work) nextTurn(ctx context.Context) (*db.Turn, error) {
	if w.execution == nil {
		return w.beginTurn(ctx, uuid.Nil)
	}
	turn, err := w.beginTurn(ctx, w.execution.ID)
	if turn != nil || err != nil || w.workflow.values == nil {
		return turn, err
	}
	turns, placed, err := w.takenSteps(ctx)
	if err != nil || len(placed) <= len(turns) {
		return nil, err
	}
	next := placed[len(turns)]
	return w.addTurn(ctx, &db.Turn{
		Kind: db.StepTurn, Label: next.Label(), Prompt: next.Step.Text, AuthorID: w.execution.UserID,
	})
}

// beginTurn begins the next queued turn of an execution, or of people's replies if execution is zero. It returns nil
// when there is none.
func (w *work) beginTurn(ctx context.Context, execution uuid.UUID) (*db.Turn, error) {
	return retryValue(ctx, w, "read the next message", func(ctx context.Context) (*db.Turn, error) {
		return db.NextTurn(ctx, w.DB, w.lease, execution, w.Now())
	})
}

// addTurn adds a turn of the run to the session and begins it.
func (w *work) addTurn(ctx context.Context, t *db.Turn) (*db.Turn, error) {
	t.ID = db.NewID()
	t.SessionID = w.session.ID
	t.ExecutionID = w.execution.ID
	t.Status = db.Queued
	t.CreatedAt = w.Now()
	err := w.retry(ctx, "add a message", func(ctx context.Context) error {
		return w.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			if err := db.CheckLease(ctx, tx, w.lease); err != nil {
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

// runStep runs one step of a workflow.
func (w *work) runStep(ctx context.Context, p agent.Provider, tree git.Worktree, env []string,
	turn *db.Turn) automation.Outcome {
	turns, placed, err := w.takenSteps(ctx)
	if err != nil {
		return w.databaseFailure(ctx, "read the steps", err)
	}
	at := slices.IndexFunc(turns, func(t db.Turn) bool { return t.ID == turn.ID })
	if at < 0 || at >= len(placed) {
		return w.internalFailure("find the step", fmt.Errorf("turn %s is at %d of %d places", turn.ID, at, len(placed)))
	}
	values, err := retryValue(ctx, w, "read the values of the workflow",
		func(ctx context.Context) (map[string]string, error) {
			return w.stepValues(ctx, tree)
		})
	if err != nil {
		return w.databaseFailure(ctx, "read the values of the workflow", err)
	}
	system, fresh := systemMessages(placed[:at], values, w.execution.Snapshot)
	w.bot.Instructions = strings.Join(system, "\n\n")
	here := placed[at]
	step := here.Step
	if step.Kind == db.MessageStep { // the other kinds use no budget
		if reason := w.overBudget(ctx, !turn.Again); reason != "" {
			return w.budgetOutcome(reason)
		}
	}
	if w.turnBegun && step.Kind == db.MessageStep {
		w.saveState(ctx, tree)
	}
	w.turnBegun = true
	var outcome automation.Outcome
	if step.Kind == db.MessageStep {
		sent := *turn
		stepParameters := values
		if p.Driver == agent.DriverShell {
			sent.Prompt = prelude(values) + workflow.ScriptText(step.Text, values)
			stepParameters = maps.Clone(w.execution.Parameters)
			maps.Copy(stepParameters, values)
		} else {
			sent.Prompt = automation.ExpandFenced(step.Text, values, w.execution.Snapshot) + step.After
			if w.session.Conversation != "" && len(fresh) > 0 {
				sent.Prompt = "<system-message>\n" + strings.Join(fresh, "\n\n") + "\n</system-message>\n\n" +
					sent.Prompt
			}
		}
		outcome = w.runTurn(ctx, p, tree, env, stepParameters, &sent)
	} else {
		outcome = w.runOwnStep(ctx, p, tree, step, values, turn)
	}
	if outcome.Status == db.Failed || outcome.Status == db.TimedOut {
		outcome.Reason = fmt.Sprintf("step %s failed: %s", here.Label(), outcome.Reason)
	}
	return outcome
}

// stepValues gives the values for the placeholders in a step's text.
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
	surroundings := workflow.Surroundings{
		At: w.execution.CreatedAt.In(zone), Session: w.session.ID.String(), Execution: w.execution.ID.String(),
		Automation: sn.Name, Workspace: ws.Name, Branch: tree.Branch,
	}
	tickets, err := db.TicketsOfSession(ctx, w.DB, w.session.ID)
	if err != nil {
		return nil, err
	}
	if len(tickets) > 0 {
		surroundings.Ticket, surroundings.Title = tickets[0].ID.String(), tickets[0].Title
	}
	values := workflow.Automatic(surroundings)
	for _, p := range sn.Parameters {
		values[p.Alias] = w.workflow.values[p.Alias]
	}
	return values, nil
}

// systemMessages gives the system messages of the steps so far. fresh has those since the last message: an agent that
// continues a conversation keeps the system prompt with which the conversation began, so that fresh ones are sent with
// the message.
func systemMessages(placed []workflow.Placed, values map[string]string, run db.Snapshot) (all, fresh []string) {
	for _, at := range placed {
		switch at.Step.Kind {
		case db.MessageStep:
			fresh = nil
		case db.SystemStep:
			if text := automation.ExpandFenced(at.Step.Text, values, run); !slices.Contains(all, text) {
				// a step that is repeated counts once
				all, fresh = append(all, text), append(fresh, text)
			}
		}
	}
	return all, fresh
}

// shellName matches an alias that becomes a variable of a script. Names in capitals belong to the system and its
// programs.
var shellName = regexp.MustCompile(`^[a-z][A-Za-z0-9_]*$`)

// prelude is code that lets a script read its parameters as $alias. It assigns values from the environment, so that no
// value is parsed as code. The variables are not exported to programs that the script starts.
func prelude(values map[string]string) string {
	var b strings.Builder
	for _, alias := range slices.Sorted(maps.Keys(values)) {
		if name := strings.ReplaceAll(alias, "-", "_"); shellName.MatchString(name) {
			fmt.Fprintf(&b, `%s="${PARAM_%s}"; `, name, name)
		}
	}
	return b.String() // without a line break, so that bash reports the line numbers of the author's script
}

// runOwnStep runs a step that needs no agent.
func (w *work) runOwnStep(ctx context.Context, p agent.Provider, tree git.Worktree, step db.Step,
	values map[string]string, turn *db.Turn) automation.Outcome {
	if err := w.retry(ctx, "note a step", func(ctx context.Context) error {
		return db.MarkTurnOwn(ctx, w.DB, w.lease, turn.ID)
	}); err != nil {
		return w.databaseFailure(ctx, "note a step", err)
	}
	begun := w.Now()
	content := workflow.Expand(step.Text, values)
	if step.Kind == db.SystemStep || step.Kind == db.InstructionStep { // the agent reads this text as instructions
		content = automation.ExpandFenced(step.Text, values, w.execution.Snapshot)
	}
	w.transcript.setTurn(turn.ID)
	w.transcript.add(transcript.KindTurn, transcript.Turn{
		ID: turn.ID, Kind: string(turn.Kind), Label: turn.Label, Prompt: truncate(content), Author: turn.AuthorID,
	})
	done, err := w.performStep(ctx, p, tree, step, content)
	outcome := automation.Outcome{Status: db.Succeeded}
	if err != nil {
		outcome = automation.Outcome{Status: db.Failed, Class: "step", Reason: w.transcript.maskText(err.Error())}
	} else {
		w.transcript.add(transcript.KindLog, transcript.Event{Kind: transcript.KindLog, Text: done})
	}
	if ctx.Err() != nil {
		outcome = w.endedOutcome(ctx, "step", "stopped")
	}
	w.transcript.add(transcript.KindTurnEnd, transcript.TurnEnd{
		ID: turn.ID, Status: string(outcome.Status), Reason: outcome.Reason, Seconds: w.Now().Sub(begun).Seconds(),
		Class: outcome.Class,
	})
	if handedOver(ctx) {
		return outcome // the step is run again; each of these steps may be run twice
	}
	w.endTurn(ctx, turn, outcome, done)
	return outcome
}

// performStep performs a step without an agent, and returns a sentence that says what was done.
func (w *work) performStep(ctx context.Context, p agent.Provider, tree git.Worktree, step db.Step,
	content string) (string, error) {
	switch step.Kind {
	case db.ClearStep:
		w.setConversation(ctx, "")
		return "The context is cleared: the agent knows nothing of what was said above.", nil
	case db.SystemStep:
		if p.Driver == agent.DriverShell {
			return "A script takes no system messages; nobody reads this one.", nil
		}
		return "The agent is told this with its next message, and it holds from there on.", nil
	case db.AssetStep:
		if err := git.WriteFile(tree, step.Path, []byte(content)); err != nil {
			return "", writeFailure(step.Path, err)
		}
		return fmt.Sprintf("Wrote %s, %d bytes.", step.Path, len(content)), nil
	case db.InstructionStep:
		return w.instructionFile(p, tree, step, content)
	case db.CompleteStep:
		if step.OnlyUnchanged && w.noteChanges(ctx, tree) {
			return "Files have changed, so the session stays open.", nil
		}
		return workflow.Completed, nil
	}
	return "", fmt.Errorf("there is no step of the kind %q", step.Kind)
}

// writeFailure says that a file could not be written, and why. It leaves out the ids that the error has for the log.
func writeFailure(path string, err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	return fmt.Errorf("%s could not be written: %w", path, err)
}

// readFailure says that a file could not be read, and why.
func readFailure(path string, err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	return fmt.Errorf("%s could not be read: %w", path, err)
}

// The lines between which an instruction file has Carillon's part. The rest of the file belongs to the repository.
const (
	instructionsBegin = "<!-- carillon: begin -->"
	instructionsEnd   = "<!-- carillon: end -->"
)

// instructionFile writes instructions into the file that the agent reads by itself, and keeps the file's other content.
func (w *work) instructionFile(p agent.Provider, tree git.Worktree, step db.Step,
	content string) (string, error) {
	path := step.Path
	if path == "" {
		path = cmp.Or(p.InstructionFile, "AGENTS.md")
	}
	old, err := git.ReadFile(tree, path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", readFailure(path, err)
	}
	if err := git.WriteFile(tree, path, []byte(withInstructions(string(old), content))); err != nil {
		return "", writeFailure(path, err)
	}
	return fmt.Sprintf("Wrote the instructions into %s.", path), nil
}

// withInstructions replaces Carillon's part of a file, or appends the part.
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

// completion says whether a step of the workflow decided if the session is completed. It also sets the final answer of
// a run that continued after a restart: the answer of its last message.
func (w *work) completion(ctx context.Context) automation.Completion {
	if w.workflow.values == nil {
		return automation.AsSet
	}
	turns, placed, err := w.takenSteps(w.life) // also for a run that was asked to stop
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
			if t.Answer == workflow.Completed {
				decided = automation.IsCompleted
			}
		}
	}
	return decided
}
