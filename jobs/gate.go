package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/crash"
	"carillon/app/git"
	"carillon/app/transcript"
	"carillon/app/workspace"
	"carillon/db"
)

// A gate is judged before an agent begins, and takes no agent's slot. It has a worktree of its own, which is removed
// when the run has passed the gate.

// gate judges whether the run of a session may begin. If so it sets gatePassed, or else it gives the outcome with which
// the run ends.
func (w *work) gate(ctx context.Context, ws *db.Workspace, environment workspace.Environment) automation.Outcome {
	e := w.execution
	if e == nil || !e.Snapshot.Gate.Set() {
		return w.pass()
	}
	turns, err := w.turnsOfRun(ctx)
	if err != nil {
		return w.databaseFailure(ctx, "read the messages", err)
	}
	for _, t := range turns {
		if !t.StartedAt.IsZero() { // a run that has begun has passed its gate
			return w.pass()
		}
	}
	if err := w.leaveGate(ctx); err != nil { // of a worker that was lost while it judged the gate
		return w.worktreeFailure(ctx, err)
	}
	tree, err := w.worktree(ctx, ws, environment.Token)
	if err != nil {
		return w.worktreeFailure(ctx, err)
	}
	reason, err := retryValue(ctx, w, "check the gate", func(ctx context.Context) (string, error) {
		return w.Rules.Runs().GateRefuses(ctx, e.AutomationID, e.Snapshot.Gate, tree.Base)
	})
	if err != nil {
		return w.databaseFailure(ctx, "check the gate", err)
	}
	if reason == "" && e.Snapshot.Gate.Command != "" {
		env, outcome := w.prepareRun(ctx, ws, environment, w.shell(), tree)
		if outcome != nil {
			return *outcome
		}
		crash.Here(crash.GateAsked)
		failure := w.command(ctx, "Gate", e.Snapshot.Gate.Command, tree, env)
		if failure != nil && failure.Kind != agent.FailAgent {
			return w.endedOutcome(ctx, "gate", "its gate could not be checked: "+failure.Reason)
		}
		if failure != nil {
			reason = "its gate did not let it begin: " + failure.Reason
		}
	}
	if reason != "" {
		w.warn("Skipped: " + reason + ".")
		return automation.Outcome{Status: db.Skipped, Reason: w.transcript.maskText(reason), Neutral: true}
	}
	crash.Here(crash.GateJudged)
	if err := w.leaveGate(ctx); err != nil {
		return w.worktreeFailure(ctx, err)
	}
	crash.Here(crash.GateLeft)
	return w.pass()
}

// pass sets gatePassed: the run may begin.
func (w *work) pass() automation.Outcome {
	w.gatePassed = true
	return automation.Outcome{}
}

// leaveGate removes the worktree in which the gate was judged, with its branch. The run may then begin on any worker,
// with a new worktree.
func (w *work) leaveGate(ctx context.Context) error {
	if w.session.Branch == "" {
		return nil
	}
	if err := w.Store.Remove(ctx, w.session.WorkspaceID.String(), w.session.ID.String(), false); err != nil {
		return err
	}
	w.session.Branch, w.session.BaseCommit = "", ""
	return nil
}

// shell is the provider that runs the commands of gates and success checks. Its id is empty if this worker has no such
// provider.
func (r *Runner) shell() (shell agent.Provider) {
	for _, p := range r.Providers() {
		if p.Driver == agent.DriverShell {
			shell = p
		}
	}
	return shell
}

// dropWorktree removes the worktree of a session whose run was skipped at its gate.
func (r *Runner) dropWorktree(ctx context.Context, session *db.Session) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	remove, err := db.SetWorktreeRemoved(ctx, r.DB, session.ID, r.Now())
	if err == nil && !remove { // the session of a skipped iteration of a Loop is removed
		var known map[uuid.UUID]uuid.UUID
		known, err = db.KnownSessions(ctx, r.DB, []uuid.UUID{session.ID})
		_, there := known[session.ID]
		remove = err == nil && !there
	}
	if err == nil && remove {
		crash.Here(crash.TreeDropping)
		if err = r.Store.Remove(ctx, session.WorkspaceID.String(), session.ID.String(), false); err != nil {
			err = errors.Join(err, db.UndoWorktreeRemoved(ctx, r.DB, session.ID))
		}
	}
	if err != nil {
		// the sweep removes it later
		r.Log.Warn("remove the worktree of a skipped run", "session", session.ID, "err", err)
	}
}

// checkTimeout is how long the command of a gate or of a success check may take.
const checkTimeout = 10 * time.Minute

// command runs the script of a gate or of a success check in the worktree, and records it in the transcript. A script
// that ends with another exit status than 0 gives a failure of the kind agent.FailAgent.
func (w *work) command(ctx context.Context, label, script string, tree git.Worktree,
	env []string) *agent.Failure {
	shell := w.shell()
	if shell.ID == "" {
		return &agent.Failure{Kind: agent.FailStart, Reason: "the Shell provider is not available on this worker"}
	}
	id, begun := db.NewID(), w.Now()
	w.transcript.setTurn(id)
	w.transcript.add(transcript.KindTurn, transcript.Turn{
		ID: id, Kind: string(db.StepTurn), Label: label, Prompt: truncate(script),
	})
	done := w.trackProcess()
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
