package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/git"
	"carillon/db"
)

// judgeRun judges a run whose messages have all succeeded. It finds whether there was nothing to do and whether the
// success check is met, and then runs the review passes, which never make the run fail. begun is a review pass that a
// restart interrupted, or nil.
func (w *work) judgeRun(ctx context.Context, p agent.Provider, tree git.Worktree, env []string,
	o automation.Outcome, begun *db.Turn) automation.Outcome {
	if w.execution == nil || o.Status != db.Succeeded {
		return o
	}
	sn := w.execution.Snapshot
	if begun == nil {
		var err error
		o.NothingToDo, err = retryValuePastEnd(ctx, w, "look for a report", func(ctx context.Context) (bool, error) {
			return w.Rules.Runs().FoundNothing(ctx, w.execution, o.Answer, o.FilesChanged)
		})
		if err != nil {
			w.Log.Warn("look for a report", "session", w.session.ID, "err", err)
		}
		if o.NothingToDo {
			return o
		}
		if failed := w.checkSuccess(ctx, sn.Success, tree, env, o); failed != nil {
			return *failed
		}
	}
	if p.Driver == agent.DriverShell {
		return o
	}
	if w.runReviewPasses(ctx, p, tree, env, begun) {
		o.FilesChanged = w.noteChanges(ctx, tree)
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errCanceled):
		o.Status, o.Reason = db.Canceled, "canceled"
	case errors.Is(cause, errInterrupted): // only a review pass was interrupted: the run has succeeded
		o.Interrupted = true
	}
	return o
}

// checkSuccess gives the outcome of a run that does not meet its success check, or nil when the run meets it.
func (w *work) checkSuccess(ctx context.Context, c db.SuccessCheck, tree git.Worktree, env []string,
	o automation.Outcome) *automation.Outcome {
	fail := func(f automation.Outcome) *automation.Outcome {
		f.ExitCode, f.Answer, f.FilesChanged = o.ExitCode, o.Answer, o.FilesChanged
		return &f
	}
	unknown := ""
	if c.PullRequest {
		if unknown = w.findPullRequest(ctx); ctx.Err() != nil {
			return fail(w.endedOutcome(ctx, "success_check", "it ended before its success check"))
		}
	}
	check := func(c db.SuccessCheck) (string, error) {
		return retryValuePastEnd(ctx, w, "check its success", func(ctx context.Context) (string, error) {
			return w.Rules.Runs().Unmet(ctx, c, w.session.ID, o.Answer, o.FilesChanged)
		})
	}
	reason, err := check(c)
	if err == nil && reason != "" && unknown != "" {
		other := c
		other.PullRequest = false
		var without string
		if without, err = check(other); err == nil && without == "" { // only the pull request is missing
			return fail(w.unknownSuccess(unknown))
		}
	}
	if err != nil {
		return fail(w.internalFailure("check its success", err))
	}
	if reason == "" && c.Command != "" {
		if failure := w.command(ctx, "Success check", c.Command, tree, env); failure != nil {
			if ctx.Err() != nil {
				return fail(w.endedOutcome(ctx, "success_check", failure.Reason))
			}
			reason = fmt.Sprintf("its success check was not met: %s", failure.Reason)
		}
		o.FilesChanged = w.noteChanges(ctx, tree)
	}
	if reason == "" {
		return nil
	}
	return fail(w.failedOutcome("success_check", w.transcript.maskText(reason)))
}

// unknownSuccess is the outcome of a run whose success check could not be made. The outcome is neutral.
func (w *work) unknownSuccess(why string) automation.Outcome {
	o := w.failedOutcome(db.ErrorOutage, "its success check could not be made: "+why)
	o.Neutral, o.Tell = true, true
	return o
}

// findPullRequest asks the forge about the pull requests that the agent mentioned and for a pull request of the
// session's branch, unless the session has one. A pull request that the forge does not know counts as missing. When the
// forge could not be asked because of trouble that passes by itself, findPullRequest returns the reason.
func (w *work) findPullRequest(ctx context.Context) (unknown string) {
	known, err := retryValue(ctx, w, "look for a pull request", func(ctx context.Context) (bool, error) {
		return db.HasPullRequest(ctx, w.DB, w.session.ID)
	})
	if err != nil || known || w.Forge == nil {
		return ""
	}
	internal := func(what string, err error) string {
		w.Log.Warn(what, "session", w.session.ID, "workspace", w.session.WorkspaceID, "err", err)
		return errInternal.Error()
	}
	ws, err := retryValue(ctx, w, "read the workspace", w.readWorkspace)
	if err != nil {
		return internal("read the workspace", err)
	}
	named, err := retryValue(ctx, w, "read the pull requests", func(ctx context.Context) ([]db.PullRequest, error) {
		return db.PullRequestsOf(ctx, w.DB, []uuid.UUID{w.session.ID})
	})
	if err != nil {
		return internal("read the pull requests", err)
	}
	asking, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	access, err := accessForge(asking, w.Rules, ws, w.Forge, w.Now)
	switch {
	case err != nil:
		return internal("ask the forge", err)
	case access == nil:
		return ""
	}
	for i := range named {
		p, err := access.client.State(asking, forgePullRequest(&named[i]))
		if err != nil && forgeRecovers(err) {
			unknown = forgeProblem(err)
		}
		if err == nil {
			err = w.retryPastEnd(ctx, "note a pull request", func(ctx context.Context) error {
				return w.Rules.PullRequests().TakeAnswer(ctx, &named[i], p)
			})
		}
		if err != nil {
			w.Log.Info("ask about a pull request that the agent told of", "session", w.session.ID, "err", err)
		}
	}
	known, err = retryValue(ctx, w, "look for a pull request", func(ctx context.Context) (bool, error) {
		return db.HasPullRequest(ctx, w.DB, w.session.ID)
	})
	if err != nil || known {
		return ""
	}
	p, err := access.client.Find(asking, access.repository, w.session.Branch)
	if err != nil {
		w.warn("The forge could not be asked for a pull request. " + forgeProblem(err))
		if forgeRecovers(err) {
			unknown = forgeProblem(err)
		}
		return unknown
	}
	if p == nil {
		return unknown
	}
	err = w.retryPastEnd(ctx, "note a pull request", func(ctx context.Context) error {
		if err := db.CheckLease(ctx, w.DB, w.lease); err != nil {
			return err
		}
		return w.Rules.PullRequests().Take(ctx, ws, w.session.ID, *p, db.FoundByBranch)
	})
	if err != nil {
		return internal("note a pull request", err)
	}
	return ""
}
