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

// usable finds a provider, or says why it cannot be used.
func (w *work) usable(id string) (agent.Provider, string) {
	for _, known := range w.Rules.Providers() {
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

// signsIn reports whether a workspace's variables hold what a provider signs in by.
func signsIn(p agent.Provider, variables []string) bool {
	return slices.ContainsFunc(variables, func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.ContainsFunc(p.Keys, func(key string) bool {
			prefix, open := strings.CutSuffix(key, "*")
			return name == key || open && strings.HasPrefix(name, prefix)
		})
	})
}

// timeLeft is what a run's timeout leaves after the time at work of earlier attempts and before resumes.
func (w *work) timeLeft(limit time.Duration) time.Duration {
	return limit - time.Duration(w.execution.WorkedSeconds*float64(time.Second))
}

// unready is the outcome of work whose worktree could not be made.
func (w *work) unready(ctx context.Context, err error) automation.Outcome {
	switch {
	case ctx.Err() != nil:
		return w.ended(ctx, "start", err.Error())
	case git.Trouble(err):
		return w.outage(ctx, err.Error())
	case errors.Is(err, errOurs):
		return w.broken("note the worktree", err)
	}
	return w.failed("start", err.Error())
}

// outage is the outcome of work that could not begin, since something that surrounds it could not be used: the network,
// the forge, a lock in the repository, the disk. It counts for nothing, and is tried again.
func (w *work) outage(ctx context.Context, reason string) automation.Outcome {
	o := w.failed(db.ErrorOutage, reason)
	o.Neutral, o.Tell, o.FilesChanged = true, true, w.session.FilesChanged > 0
	w.plansAgain(ctx, nil, o)
	return o
}

// forget ends the conversation where somebody asked for that, and reports whether there was one.
func (w *work) forget(ctx context.Context) bool {
	goesOn, err := steadily(ctx, w, "reset context", func(ctx context.Context) (string, error) {
		return db.TakeForget(ctx, w.DB, w.lease)
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

// worked reports whether the session has changed a file, or its agent has reported anything, since a turn began: then
// an agent that says nothing has done something. Where that cannot be told it says yes.
func (w *work) worked(ctx context.Context, tree git.Worktree, since time.Time) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	c, err := w.Store.Changes(ctx, tree)
	if err != nil {
		return true
	}
	if !c.Clean { // by this turn, or by one before, whose state is kept
		if moved, err := w.Store.MovedOn(ctx, tree); err != nil || moved {
			return true
		}
	}
	n, err := db.CountReports(ctx, w.DB, w.session.ID, since)
	return err != nil || n > 0
}

// plansAgain notes a turn that failed for a moment's trouble as to be tried again, or all of the run where no turn was
// begun, or people's messages that an outage kept from the agent, and says so in the transcript.
func (w *work) plansAgain(ctx context.Context, turn *db.Turn, o automation.Outcome) bool {
	if turn != nil && isPass(turn.Kind) || o.Status != db.Failed || o.Class != agent.FailTransient &&
		o.Class != db.ErrorOutage {
		return false
	}
	if w.execution == nil && o.Class != db.ErrorOutage { // a person sees the failure, and sends the message again
		return false
	}
	o.Began, o.OwnAccount = w.began, w.account
	plan, err := surelyOf(ctx, w, "plan retry", func(ctx context.Context) (*automation.Retry, error) {
		return w.Rules.PlanRetry(ctx, w.session.ID, o)
	})
	if err != nil {
		w.Log.Warn("plan retry", "session", w.session.ID, "err", err)
	}
	if plan == nil {
		return false
	}
	w.tryAgain = true
	if turn != nil {
		w.again = turn.ID
	}
	w.transcript.add(transcript.KindRetry, transcript.Retry{Failed: plan.Failed, Allowed: plan.Allowed, At: plan.At})
	return true
}

// known is a usage to show: of a script there is none.
func known(p agent.Provider, u transcript.Usage) *transcript.Usage {
	if p.Driver == agent.DriverShell {
		return nil
	}
	return &u
}

// coverPatience is how long the index of a session may take to be changed.
const coverPatience = 5 * time.Minute

// confine prepares the sandbox that a workspace wants for its agents; nil is none. A workspace that wants one gets one,
// or its runs fail.
func (w *work) confine(ctx context.Context, ws *db.Workspace, tree git.Worktree) (*agent.Sandbox, error) {
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
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), coverPatience)
		defer cancel()
		if err := w.Store.Cover(ctx, tree, paths); err != nil {
			return nil, err
		}
		return func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), coverPatience)
			defer cancel()
			if err := w.Store.Uncover(ctx, tree); err != nil { // the next use of the worktree does it
				w.Log.Warn("take back that hidden files look unchanged", "session", tree.Session, "err", err)
			}
		}, nil
	}
	for _, m := range mounts {
		box.Repository = append(box.Repository, agent.Mount(m))
	}
	return box, nil
}
