package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"carillon/app/automation"
	"carillon/app/crash"
	"carillon/app/form"
	"carillon/app/git"
	"carillon/app/transcript"
	"carillon/db"
)

// A session goes on where its files are. When that worker is gone another takes it, from what the last turn left at the
// remote.

// pushTime bounds bringing what a turn left to the remote.
const pushTime = time.Minute

// place makes the session's worktree, finds it again, or brings it here from where it was. A repository that is damaged
// is mended, and it is tried once more.
func (w *work) place(ctx context.Context, ws *db.Workspace,
	remote git.Remote) (tree git.Worktree, err error) {
	err = w.mending(ctx, func() (err error) {
		tree, err = w.placeOnce(ctx, ws, remote)
		return err
	})
	return tree, err
}

// mending does a step with the session's repository, and once more when that was damaged and could be mended.
func (w *work) mending(ctx context.Context, step func() error) error {
	err := step()
	if !errors.Is(err, git.ErrDamaged) {
		return err
	}
	if mend := w.Store.Mend(ctx, w.session.WorkspaceID.String(), w.remote); mend != nil {
		return mend
	}
	return step()
}

func (w *work) placeOnce(ctx context.Context, ws *db.Workspace, remote git.Remote) (git.Worktree, error) {
	id, s := ws.ID.String(), w.session
	if err := w.leaveFormer(ctx, id); err != nil {
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
		// it exists; a remote that is away does not keep a person from writing on
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
		return w.bringHere(ctx, ws, remote, base)
	}
	return w.Store.Add(ctx, id, s.ID.String(), base, "")
}

// leaveFormer lets go of what is here of the session from before it was taken away from this worker, where another had
// it since.
func (w *work) leaveFormer(ctx context.Context, workspaceID string) error {
	move, err := steadily(ctx, w, "find the session's move", func(ctx context.Context) (*db.SessionMove, error) {
		return db.MoveFrom(ctx, w.DB, w.session.ID, w.Worker)
	})
	if err != nil || move == nil {
		return ourFault(err)
	}
	if w.session.Fence > move.Fence+1 {
		if err := w.Store.Leave(ctx, workspaceID, w.session.ID.String(), w.session.BaseCommit); err != nil {
			return err
		}
	}
	return ourFault(w.steady(ctx, "forget the session's move", func(ctx context.Context) error {
		return db.ForgetMove(ctx, w.DB, w.session.ID, w.Worker)
	}))
}

// bringHere makes the worktree of a session whose files are on a worker that is gone, and says what was not saved.
func (w *work) bringHere(ctx context.Context, ws *db.Workspace, remote git.Remote,
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
	move, err := steadily(ctx, w, "find the session's move", func(ctx context.Context) (*db.SessionMove, error) {
		return db.LatestMove(ctx, w.DB, s.ID)
	})
	if err != nil {
		return git.Worktree{}, ourFault(err)
	}
	s.NotSaved = notSaved(s, move, found, lacks(ws, remote))
	w.note(s.NotSaved)
	return tree, ourFault(w.steady(ctx, "note what was not saved", func(ctx context.Context) error {
		return db.SetNotSaved(ctx, w.DB, w.lease, s.NotSaved)
	}))
}

// lacks is why the remote of a workspace has no copy of a session.
func lacks(ws *db.Workspace, remote git.Remote) string {
	switch {
	case ws.GitURL == "":
		return "the workspace has no remote repository"
	case remote.Token == "":
		return "the workspace has no access token with which it could be pushed"
	}
	return "the remote repository has no copy of it"
}

// notSaved says what a session lost when it moved here. why is the reason for which the remote has nothing of it, where
// found is false.
func notSaved(s *db.Session, move *db.SessionMove, found bool, why string) string {
	from := "another worker"
	if move != nil && move.Name != "" {
		from = "the worker " + move.Name
	}
	if move != nil && !move.SeenAt.IsZero() {
		from += ", which was last seen on " + move.SeenAt.UTC().Format("2 January 2006, 15:04 MST") + ","
	}
	var b strings.Builder
	fmt.Fprintf(&b, "The session moved here from %s ", strings.TrimSuffix(from, ","))
	switch had := hadChanged(s); {
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

// hadChanged is what a session had changed as of its last turn, as a part of a sentence.
func hadChanged(s *db.Session) string {
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

// keep keeps the state of the worktree as a turn left it, here and at the remote. That it could not be kept fails no
// run. Where another worker has the session, the state at the remote is that worker's.
func (w *work) keep(ctx context.Context, tree git.Worktree) {
	if errors.Is(context.Cause(w.life), errLeaseLost) {
		return
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*pushTime)
	defer cancel()
	kept, err := w.Store.Snapshot(limited, tree)
	if err != nil {
		w.Log.Warn("keep the state of a session", "session", w.session.ID, "err", err)
		return
	}
	if kept.Pushed || w.remote.URL == "" || w.remote.Token == "" {
		return
	}
	limited, cancel = context.WithTimeout(context.WithoutCancel(ctx), pushTime)
	defer cancel()
	defer context.AfterFunc(w.life, func() {
		if errors.Is(context.Cause(w.life), errLeaseLost) {
			cancel()
			return
		}
		time.AfterFunc(pushTime/6, cancel) // the server stops
	})()
	if err := w.Store.PushSnapshot(limited, tree, w.remote); err != nil {
		w.Log.Info("push the state of a session", "session", w.session.ID, "err", err)
		if !w.unpushed {
			w.unpushed = true
			w.transcript.add(transcript.KindLog, transcript.Event{
				Kind: transcript.KindLog,
				Text: "What this turn left is kept on this worker alone. It could not be pushed to the remote: " +
					err.Error(),
			})
		}
	}
}

// sweepMoved removes the worktrees of sessions that were taken away from this worker while it was silent and that are
// elsewhere now. What they hold stays in the repository, as a commit that no branch names.
func (r *Runner) sweepMoved(ctx context.Context, round *automation.Round) error {
	list, err := db.MovesFrom(ctx, r.DB, r.Worker, r.Now(), 200)
	if err != nil {
		return err
	}
	for _, session := range list {
		row := automation.Row{
			Key: "moved " + session.ID.String(), About: "the worktree of a session that moved, " + session.Title,
			Workspace: session.WorkspaceID,
		}
		if err := r.deal(ctx, round, row, func(ctx context.Context) error {
			if err := r.Store.Leave(ctx, session.WorkspaceID.String(), session.ID.String(),
				session.BaseCommit); err != nil {
				return err
			}
			crash.Here(crash.LeftRemoved)
			return db.ForgetMove(ctx, r.DB, session.ID, r.Worker)
		}); err != nil {
			return err
		}
	}
	return nil
}
