package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/crash"
	"carillon/db"
)

// A gate is judged before an agent begins, and takes no agent's place. It has a worktree of its own, which goes when it
// has opened.

// gate judges whether the run of a session may begin, and notes that it has passed if so. Else it says how the run
// ends.
func (w *work) gate(ctx context.Context, ws *db.Workspace, environment automation.Environment) automation.Outcome {
	e := w.execution
	if e == nil || !e.Snapshot.Gate.Set() {
		return w.pass()
	}
	turns, err := w.runTurns(ctx)
	if err != nil {
		return w.stuck(ctx, "read the messages", err)
	}
	for _, t := range turns {
		if !t.StartedAt.IsZero() { // who has begun has passed
			return w.pass()
		}
	}
	if err := w.leaveGate(ctx); err != nil { // what a worker left that was lost while it judged
		return w.unready(ctx, err)
	}
	tree, err := w.worktree(ctx, ws, environment.Token)
	if err != nil {
		return w.unready(ctx, err)
	}
	reason, err := steadily(ctx, w, "check the gate", func(ctx context.Context) (string, error) {
		return w.Rules.GateRefuses(ctx, e.AutomationID, e.Snapshot.Gate, tree.Base)
	})
	if err != nil {
		return w.stuck(ctx, "check the gate", err)
	}
	if reason == "" && e.Snapshot.Gate.Command != "" {
		env, outcome := w.equip(ctx, ws, environment, w.shell(), tree)
		if outcome != nil {
			return *outcome
		}
		crash.Here(crash.GateAsked)
		failure := w.command(ctx, "Gate", e.Snapshot.Gate.Command, tree, env)
		if failure != nil && failure.Kind != agent.FailAgent {
			return w.ended(ctx, "gate", "its gate could not be checked: "+failure.Reason)
		}
		if failure != nil {
			reason = "its gate did not let it begin: " + failure.Reason
		}
	}
	if reason != "" {
		w.note("Skipped: " + reason + ".")
		return automation.Outcome{Status: db.Skipped, Reason: w.transcript.hide(reason), Neutral: true}
	}
	crash.Here(crash.GateJudged)
	if err := w.leaveGate(ctx); err != nil {
		return w.unready(ctx, err)
	}
	crash.Here(crash.GateLeft)
	return w.pass()
}

// pass notes that the run may begin.
func (w *work) pass() automation.Outcome {
	w.passed = true
	return automation.Outcome{}
}

// leaveGate removes the worktree in which the gate was judged, with its branch. Nothing of it is to come back, and the
// run may begin on any worker.
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

// shell is the provider by which the commands of gates and success checks run. Its id is empty where this worker has
// none.
func (r *Runner) shell() (shell agent.Provider) {
	for _, p := range r.Providers() {
		if p.Driver == agent.DriverShell {
			shell = p
		}
	}
	return shell
}

// dropWorktree removes the worktree of a session whose run did not begin: there is nothing in it to look at.
func (r *Runner) dropWorktree(ctx context.Context, session *db.Session) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	goes, err := db.SetWorktreeRemoved(ctx, r.DB, session.ID, r.Now())
	if err == nil && !goes { // of a loop, not even the session stays
		var known map[uuid.UUID]uuid.UUID
		known, err = db.KnownSessions(ctx, r.DB, []uuid.UUID{session.ID})
		_, there := known[session.ID]
		goes = err == nil && !there
	}
	if err == nil && goes {
		crash.Here(crash.TreeDropping)
		if err = r.Store.Remove(ctx, session.WorkspaceID.String(), session.ID.String(), false); err != nil {
			err = errors.Join(err, db.KeepWorktree(ctx, r.DB, session.ID))
		}
	}
	if err != nil {
		r.Log.Warn("remove the worktree of a skipped run", "session", session.ID, "err", err) // retention does it later
	}
}
