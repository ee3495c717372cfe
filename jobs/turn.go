package jobs

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/git"
	"carillon/app/transcript"
	"carillon/db"
)

// usableProvider finds a provider, or gives the reason for which it cannot be used.
func (w *work) usableProvider(id string) (agent.Provider, string) {
	for _, known := range w.Rules.Providers.List() {
		if known.ID == id && known.Off {
			return agent.Provider{}, fmt.Sprintf("the provider %s is switched off", known.Name)
		}
	}
	p, ok := w.provider(id)
	if !ok {
		return p, fmt.Sprintf("the provider %s is not available on this worker", id)
	}
	return p, ""
}

// holdsSignIn reports whether a workspace's variables hold the credentials of a provider.
func holdsSignIn(p agent.Provider, variables []string) bool {
	return slices.ContainsFunc(variables, func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.ContainsFunc(p.Keys, func(key string) bool {
			prefix, open := strings.CutSuffix(key, "*")
			return name == key || open && strings.HasPrefix(name, prefix)
		})
	})
}

// timeLeft is the rest of a run's timeout after the working time of earlier attempts and of the time before resumes.
func (w *work) timeLeft(limit time.Duration) time.Duration {
	return limit - time.Duration(w.execution.WorkedSeconds*float64(time.Second))
}

// worktreeFailure is the outcome of work without a worktree: it could not be made.
func (w *work) worktreeFailure(ctx context.Context, err error) automation.Outcome {
	switch {
	case ctx.Err() != nil:
		return w.endedOutcome(ctx, "start", err.Error())
	case git.Transient(err):
		return w.outage(ctx, err.Error())
	case errors.Is(err, errInternal):
		return w.internalFailure("note the worktree", err)
	}
	return w.failedOutcome("start", err.Error())
}

// outage is the outcome of work that could not begin because of the network, the forge, a lock in the repository or the
// disk. The outcome is neutral, and the work is tried again.
func (w *work) outage(ctx context.Context, reason string) automation.Outcome {
	o := w.failedOutcome(db.ErrorOutage, reason)
	o.Neutral, o.Tell, o.FilesChanged = true, true, w.session.FilesChanged > 0
	w.planRetry(ctx, nil, o)
	return o
}

// takeContextReset ends the conversation if somebody asked to reset the context. It reports whether there was a
// conversation.
func (w *work) takeContextReset(ctx context.Context) bool {
	goesOn, err := retryValue(ctx, w, "reset context", func(ctx context.Context) (string, error) {
		return db.TakeContextReset(ctx, w.DB, w.lease)
	})
	if err != nil {
		w.Log.Warn("reset context", "session", w.session.ID, "err", err)
		return false
	}
	if goesOn != "" || w.session.Conversation == "" {
		return false
	}
	w.session.Conversation = ""
	return true
}

// producedWork reports whether the session has changed a file or its agent has sent a report since a turn began. It
// decides whether an agent without an answer has done something. It is true when the answer is unknown.
func (w *work) producedWork(ctx context.Context, tree git.Worktree, since time.Time) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	c, err := w.Store.Changes(ctx, tree)
	if err != nil {
		return true
	}
	if !c.Clean { // this turn or an earlier one changed it; the state after an earlier one is saved
		if moved, err := w.Store.ChangedSinceSnapshot(ctx, tree); err != nil || moved {
			return true
		}
	}
	n, err := db.CountReports(ctx, w.DB, w.session.ID, since)
	return err != nil || n > 0
}

// planRetry plans another attempt after a transient failure: of the turn, of the whole run if no turn was begun, or of
// people's messages that an outage kept from the agent. It records the retry in the transcript and reports whether one
// is planned.
func (w *work) planRetry(ctx context.Context, turn *db.Turn, o automation.Outcome) bool {
	if turn != nil && isReviewPass(turn.Kind) || o.Status != db.Failed || o.Class != agent.FailTransient &&
		o.Class != db.ErrorOutage {
		return false
	}
	if w.execution == nil && o.Class != db.ErrorOutage { // a person sees the failure and can send the message again
		return false
	}
	o.Began, o.OwnAccount = w.began, w.ownAccount
	plan, err := retryValuePastEnd(ctx, w, "plan retry", func(ctx context.Context) (*automation.Retry, error) {
		return w.Rules.Runs().PlanRetry(ctx, w.session.ID, o)
	})
	if err != nil {
		w.Log.Warn("plan retry", "session", w.session.ID, "err", err)
	}
	if plan == nil {
		return false
	}
	w.retryPlanned = true
	if turn != nil {
		w.retryTurn = turn.ID
	}
	w.transcript.add(transcript.KindRetry, transcript.Retry{Failed: plan.Failed, Allowed: plan.Allowed, At: plan.At})
	return true
}

// shownUsage is the usage to show for a turn; nil for a script.
func shownUsage(p agent.Provider, u transcript.Usage) *transcript.Usage {
	if p.Driver == agent.DriverShell {
		return nil
	}
	return &u
}

// coverTimeout bounds a change of a session's Git index.
const coverTimeout = 5 * time.Minute

// prepareSandbox prepares the sandbox of a workspace's agents; nil: the workspace uses none. A run fails if its
// workspace uses a sandbox and none can be made.
func (w *work) prepareSandbox(ctx context.Context, ws *db.Workspace, tree git.Worktree) (*agent.Sandbox, error) {
	if !ws.Sandbox {
		return nil, nil
	}
	if err := agent.SandboxAvailable(ctx, w.Store.User); err != nil {
		return nil, fmt.Errorf(
			"this workspace runs agents in a sandbox only, and %w. Install the package bubblewrap on the worker, or "+
				"switch the sandbox off in the workspace", err)
	}
	data, err := filepath.Abs(w.Data)
	if err != nil {
		return nil, err
	}
	mounts, err := w.Store.Mounts(tree)
	if err != nil {
		return nil, fmt.Errorf("show the repository in the sandbox: %w", err)
	}
	box := &agent.Sandbox{
		Hidden: append([]string{data}, w.Hidden...), Shown: w.Shown, Home: w.Store.Home(tree.Workspace),
		Network: !ws.Offline,
		Given:   ws.ShowsPaths(),
	}
	box.Cover = func(paths []string) (func(), error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), coverTimeout)
		defer cancel()
		if err := w.Store.Cover(ctx, tree, paths); err != nil {
			return nil, err
		}
		return func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), coverTimeout)
			defer cancel()
			if err := w.Store.Uncover(ctx, tree); err != nil { // the next use of the worktree does it
				w.Log.Warn("uncover hidden files in the index", "session", tree.Session, "err", err)
			}
		}, nil
	}
	for _, m := range mounts {
		box.Repository = append(box.Repository, agent.Mount(m))
	}
	return box, nil
}
