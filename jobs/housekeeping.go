package jobs

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"carillon/app/aside"
	"carillon/app/crash"
	"carillon/app/git"
	"carillon/db"
)

// How often a worker cleans its own data folder.
const (
	sweepEvery = 10 * time.Minute
	packEvery  = 24 * time.Hour
)

// runHousekeeping removes worktrees that are not needed any more, and packs repositories, until ctx ends.
func (r *Runner) runHousekeeping(ctx context.Context) {
	sweep, pack := time.NewTicker(crash.Every(sweepEvery)), time.NewTicker(packEvery)
	defer sweep.Stop()
	defer pack.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			err = r.sweepWorktrees(ctx, r.Now())
		case <-pack.C:
			err = r.packRepositories(ctx)
		}
		if err != nil && ctx.Err() == nil {
			r.Log.Error("clean the data folder", "err", err)
		}
	}
}

// sweepWorktrees removes the worktrees of closed sessions: at once when they are clean, and otherwise after
// keepWorktreesFor. Branches with commits stay.
func (r *Runner) sweepWorktrees(ctx context.Context, now time.Time) error {
	list, err := db.SessionsToSweep(ctx, r.DB, r.Worker, r.Now(), now.Add(-keepWorktreesFor), 200)
	if err != nil {
		return err
	}
	round := r.Rules.Round(db.TaskWorktrees)
	for _, session := range list {
		row := aside.Row{
			Key: session.ID.String(), About: "the worktree of the session " + session.Title,
			Workspace: session.WorkspaceID,
		}
		if err := round.Deal(ctx, row, func(ctx context.Context) error {
			return r.sweepWorktree(ctx, &session, now)
		}); err != nil {
			return err
		}
	}
	if err := r.sweepMoved(ctx, round); err != nil {
		return err
	}
	if err := r.Store.DropSpares(keepWorktreesFor); err != nil {
		r.Log.Warn("remove spare worktrees", "err", err)
	}
	if err := r.Store.SweepUnfinished(ctx); err != nil && ctx.Err() == nil {
		r.Log.Warn("remove unfinished repositories", "err", err)
	}
	return r.sweepOrphans(ctx, round)
}

// sweepWorktree removes the worktree of one closed session.
func (r *Runner) sweepWorktree(ctx context.Context, session *db.Session, now time.Time) error {
	noted := false
	// The removal is recorded first: a session that is opened again meanwhile gets a new worktree. A session that was
	// opened again before keeps its worktree.
	err := r.Store.RemoveIf(ctx, session.WorkspaceID.String(), session.ID.String(), session.Changed() ||
		session.ChangesAt.IsZero(),
		func(ctx context.Context) (goes bool, err error) {
			ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
			defer cancel()
			if noted, err = db.SetWorktreeRemoved(ctx, r.DB, session.ID, now); noted {
				crash.Here(crash.RemovalNoted)
			}
			return noted, err
		})
	if err == nil {
		crash.Here(crash.RemovalDone)
	}
	if err == nil || !noted {
		return err
	}
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
	defer cancel()
	return errors.Join(err, db.UndoWorktreeRemoved(noting, r.DB, session.ID))
}

// sweepOrphans removes worktrees and branches that this worker does not need any more: of sessions that were removed,
// of sessions whose removal was interrupted by the end of a process, and of sessions that continued on another worker
// before anything was recorded here.
func (r *Runner) sweepOrphans(ctx context.Context, round *aside.Round) error {
	// a repository that cannot be read does not stop the sweep of the others
	held, unread := r.Store.Inventory(ctx)
	if len(held) == 0 {
		return unread
	}
	byID, ids := make(map[uuid.UUID]git.Holding, len(held)), make([]uuid.UUID, 0, len(held))
	for _, h := range held {
		id, err := uuid.Parse(h.Session)
		switch {
		case err == nil:
			byID[id], ids = h, append(ids, id)
		case h.Folder: // of no session
			if err := r.deal(ctx, round, aside.Row{Key: h.Session, About: "the orphaned worktree " + h.Session},
				func(ctx context.Context) error {
					return r.Store.Remove(ctx, uuid.Nil.String(), h.Session, true)
				}); err != nil {
				return err
			}
		}
	}
	list, err := db.UnneededOf(ctx, r.DB, r.Worker, ids, r.Now())
	if err != nil {
		return errors.Join(err, unread)
	}
	for _, u := range list {
		h := byID[u.ID]
		if !h.Folder && !h.Place && (u.Keeps || u.WorkspaceID == uuid.Nil) {
			continue // a branch that is kept
		}
		row := aside.Row{Key: u.ID.String(), About: "the orphaned worktree " + h.Session}
		if err := r.deal(ctx, round, row, func(ctx context.Context) error {
			return r.removeUnneeded(ctx, u, h)
		}); err != nil {
			return errors.Join(err, unread)
		}
	}
	return unread
}

// removeUnneeded removes a session's worktree and branch here. It asks the database again under the session's lock
// whether they are unneeded.
func (r *Runner) removeUnneeded(ctx context.Context, u db.Unneeded, h git.Holding) error {
	where := cmp.Or(h.Workspace, uuid.Nil.String())
	unneeded := func(ctx context.Context) (bool, error) {
		list, err := db.UnneededOf(ctx, r.DB, r.Worker, []uuid.UUID{u.ID}, r.Now())
		return len(list) > 0, err
	}
	unused, err := r.Store.Unused(ctx, where, h.Session)
	switch {
	case err != nil:
		return err
	case u.Elsewhere && !unused: // its origin is unknown, so it stays
		return nil
	case u.Elsewhere:
		return r.Store.LeaveIf(ctx, where, h.Session, u.BaseCommit, unneeded)
	}
	return r.Store.RemoveIf(ctx, where, h.Session, u.Keeps || u.WorkspaceID == uuid.Nil && !unused, unneeded)
}

// deal processes one row of this worker's data folder, unless the row rests.
func (r *Runner) deal(ctx context.Context, round *aside.Round, row aside.Row,
	deal func(ctx context.Context) error) error {
	row.Key = r.Worker + " " + row.Key
	if rests, err := round.Rests(ctx, row.Key); err != nil || rests {
		return err
	}
	return round.Deal(ctx, row, deal)
}

// packRepositories packs the repositories of all workspaces, and removes those of workspaces that were removed long
// ago.
func (r *Runner) packRepositories(ctx context.Context) error {
	list, err := db.Workspaces(ctx, r.DB, uuid.Nil)
	if err != nil {
		return err
	}
	round := r.Rules.Round(db.TaskPack)
	for _, w := range list {
		row := aside.Row{
			Key: w.ID.String(), About: "packing the repository of the workspace " + w.Name, Workspace: w.ID,
		}
		if err := r.deal(ctx, round, row, func(ctx context.Context) error {
			err := r.Store.Tidy(ctx, w.ID.String())
			if errors.Is(err, git.ErrNoMirror) {
				return nil
			}
			return err
		}); err != nil {
			return err
		}
	}
	gone, err := db.RemovedWorkspaces(ctx, r.DB, r.Now().Add(-keepExecutionsFor))
	if err != nil {
		return err
	}
	for _, id := range gone {
		if err := r.deal(ctx, round, aside.Row{
			Key: id.String(), About: "the repository of a workspace that was removed",
		}, func(ctx context.Context) error {
			return r.Store.Drop(ctx, id.String())
		}); err != nil {
			return err
		}
	}
	return nil
}
