package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"carillon/app/aside"
	"carillon/app/crash"
	"carillon/app/form"
	"carillon/app/git"
	"carillon/app/transcript"
	"carillon/db"
)

// A session continues on the worker that has its files. When this worker is gone, another takes the session over, with
// the state that the last turn pushed to the remote.

// pushTimeout bounds the push of a turn's state to the remote.
const pushTimeout = time.Minute

// ensureWorktree gives the session's worktree: a new one, the existing one, or one restored from the remote. It repairs
// a damaged repository and tries again once.
func (w *work) ensureWorktree(ctx context.Context, ws *db.Workspace,
	remote git.Remote) (tree git.Worktree, err error) {
	err = w.withRepair(ctx, func() (err error) {
		tree, err = w.tryEnsureWorktree(ctx, ws, remote)
		return err
	})
	return tree, err
}

// withRepair runs a step with the session's repository. If the repository is damaged and can be repaired, it runs the
// step again once.
func (w *work) withRepair(ctx context.Context, step func() error) error {
	err := step()
	if !errors.Is(err, git.ErrDamaged) {
		return err
	}
	if repairErr := w.Store.Repair(ctx, w.session.WorkspaceID.String(), w.remote); repairErr != nil {
		return repairErr
	}
	return step()
}

func (w *work) tryEnsureWorktree(ctx context.Context, ws *db.Workspace, remote git.Remote) (git.Worktree, error) {
	id, s := ws.ID.String(), w.session
	if err := w.dropFormerWorktree(ctx, id); err != nil {
		return git.Worktree{}, err
	}
	elsewhere := false
	if s.HasWork() {
		has, err := w.Store.Has(ctx, id, s.ID.String())
		if err != nil {
			return git.Worktree{}, err
		}
		elsewhere = !has
	}
	var err error
	switch {
	case !elsewhere && s.Branch != "" && s.WorktreeRemovedAt.IsZero():
		// the worktree exists, and is used without a fetch: the remote may be unreachable
	case ws.GitURL == "":
		err = w.Store.Scratch(ctx, id)
	default:
		err = w.Store.Sync(ctx, id, remote)
	}
	if err != nil {
		return git.Worktree{}, err
	}
	base := s.BaseBranch
	if base == "" {
		base = ws.DefaultBranch
	}
	if elsewhere {
		return w.restoreWorktree(ctx, ws, remote, base)
	}
	return w.Store.Add(ctx, id, s.ID.String(), base, "")
}

// dropFormerWorktree removes this worker's former worktree of the session if another worker had the session since.
func (w *work) dropFormerWorktree(ctx context.Context, workspaceID string) error {
	move, err := retryValue(ctx, w, "find the session's move", func(ctx context.Context) (*db.SessionMove, error) {
		return db.MoveFrom(ctx, w.DB, w.session.ID, w.Worker)
	})
	if err != nil || move == nil {
		return asInternal(err)
	}
	if w.session.Fence > move.Fence+1 {
		if err := w.Store.Leave(ctx, workspaceID, w.session.ID.String(), w.session.BaseCommit); err != nil {
			return err
		}
	}
	return asInternal(w.retry(ctx, "forget the session's move", func(ctx context.Context) error {
		return db.DeleteMove(ctx, w.DB, w.session.ID, w.Worker)
	}))
}

// restoreWorktree makes the worktree of a session whose files are on a worker that is gone, and records what was not
// saved.
func (w *work) restoreWorktree(ctx context.Context, ws *db.Workspace, remote git.Remote,
	base string) (git.Worktree, error) {
	id, s := ws.ID.String(), w.session
	tree, found, err := w.Store.Restore(ctx, id, s.ID.String(), s.BaseCommit, remote)
	if err == nil && !found {
		tree, err = w.Store.Add(ctx, id, s.ID.String(), base, "")
	}
	if err != nil {
		return git.Worktree{}, err
	}
	crash.Here(crash.StateRestored)
	move, err := retryValue(ctx, w, "find the session's move", func(ctx context.Context) (*db.SessionMove, error) {
		return db.LatestMove(ctx, w.DB, s.ID)
	})
	if err != nil {
		return git.Worktree{}, asInternal(err)
	}
	s.NotSaved = notSavedText(s, move, found, missingCopyReason(ws, remote))
	w.warn(s.NotSaved)
	return tree, asInternal(w.retry(ctx, "note what was not saved", func(ctx context.Context) error {
		return db.SetNotSaved(ctx, w.DB, w.lease, s.NotSaved)
	}))
}

// missingCopyReason says why the remote of a workspace has no copy of a session.
func missingCopyReason(ws *db.Workspace, remote git.Remote) string {
	switch {
	case ws.GitURL == "":
		return "the workspace has no remote repository"
	case remote.Token == "":
		return "the workspace has no access token with which it could be pushed"
	}
	return "the remote repository has no copy of it"
}

// notSavedText says what a session lost when it moved to this worker. why is the reason for which the remote has no
// copy of the session; it is used when found is false.
func notSavedText(s *db.Session, move *db.SessionMove, found bool, why string) string {
	from := "another worker"
	if move != nil && move.Name != "" {
		from = "the worker " + move.Name
	}
	if move != nil && !move.SeenAt.IsZero() {
		from += ", which was last seen on " + move.SeenAt.UTC().Format("2 January 2006, 15:04 MST") + ","
	}
	var b strings.Builder
	fmt.Fprintf(&b, "The session moved here from %s ", strings.TrimSuffix(from, ","))
	switch had := formerChanges(s); {
	case found:
		fmt.Fprintf(&b,
			"and goes on from what its last finished turn left there. What was changed after that was not saved")
		if s.IgnoredFiles > 0 {
			fmt.Fprintf(&b, ", nor %s", form.Count(s.IgnoredFiles, "ignored file"))
		}
		b.WriteString(".")
	case had != "":
		fmt.Fprintf(&b, "and goes on in a new worktree. What it had changed there was not saved: %s, since %s.", had,
			why)
	case s.ChangesAt.IsZero():
		fmt.Fprintf(&b,
			"and goes on in a new worktree. What it had changed there is not known and was not saved, since %s.", why)
	default:
		b.WriteString("and goes on in a new worktree: it had changed nothing when its last turn ended.")
	}
	return b.String()
}

// formerChanges lists what a session had changed as of its last turn, as a part of a sentence.
func formerChanges(s *db.Session) string {
	var list []string
	for _, c := range []struct {
		n    int
		what string
	}{{s.FilesChanged, "changed file"}, {s.Commits, "commit"}, {s.Stashes, "stash entry"}} {
		if c.n > 0 {
			list = append(list, form.Count(c.n, c.what))
		}
	}
	return strings.Join(list, ", ")
}

// saveState saves the state of the worktree after a turn, here and at the remote. A failure does not fail the run. When
// another worker has the session, nothing is saved, since the state at the remote is that worker's.
func (w *work) saveState(ctx context.Context, tree git.Worktree) {
	if errors.Is(context.Cause(w.life), errLeaseLost) {
		return
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*pushTimeout)
	defer cancel()
	kept, err := w.Store.Snapshot(limited, tree)
	if err != nil {
		w.Log.Warn("save the state of a session", "session", w.session.ID, "err", err)
		return
	}
	if kept.Pushed || w.remote.URL == "" || w.remote.Token == "" {
		return
	}
	limited, cancel = context.WithTimeout(context.WithoutCancel(ctx), pushTimeout)
	defer cancel()
	defer context.AfterFunc(w.life, func() {
		if errors.Is(context.Cause(w.life), errLeaseLost) {
			cancel()
			return
		}
		time.AfterFunc(pushTimeout/6, cancel) // the server stops
	})()
	if err := w.Store.PushSnapshot(limited, tree, w.remote); err != nil {
		w.Log.Info("push the state of a session", "session", w.session.ID, "err", err)
		if !w.pushFailureNoted {
			w.pushFailureNoted = true
			w.transcript.add(transcript.KindLog, transcript.Event{
				Kind: transcript.KindLog,
				Text: "What this turn left is kept on this worker alone. It could not be pushed to the remote: " +
					err.Error(),
			})
		}
	}
}

// sweepMoved removes the worktrees of sessions that another worker took over while this one was silent. Their content
// stays in the repository, as a commit that no branch names.
func (r *Runner) sweepMoved(ctx context.Context, round *aside.Round) error {
	list, err := db.MovesFrom(ctx, r.DB, r.Worker, r.Now(), 200)
	if err != nil {
		return err
	}
	for _, session := range list {
		row := aside.Row{
			Key: "moved " + session.ID.String(), About: "the worktree of a session that moved, " + session.Title,
			Workspace: session.WorkspaceID,
		}
		if err := r.deal(ctx, round, row, func(ctx context.Context) error {
			if err := r.Store.Leave(ctx, session.WorkspaceID.String(), session.ID.String(),
				session.BaseCommit); err != nil {
				return err
			}
			crash.Here(crash.LeftRemoved)
			return db.DeleteMove(ctx, r.DB, session.ID, r.Worker)
		}); err != nil {
			return err
		}
	}
	return nil
}
