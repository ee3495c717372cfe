package jobs

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"carillon/app/automation"
	"carillon/app/crash"
	"carillon/app/git"
	"carillon/db"
)

// How often a worker keeps house, in its own data folder.
const (
	sweepEvery = 10 * time.Minute
	tidyEvery  = 24 * time.Hour
)

// keepHouse removes worktrees that are over and packs repositories until ctx is over.
func (r *Runner) keepHouse(ctx context.Context) {
	sweep, tidy := time.NewTicker(crash.Every(sweepEvery)), time.NewTicker(tidyEvery)
	defer sweep.Stop()
	defer tidy.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			err = r.sweepWorktrees(ctx, r.Now())
		case <-tidy.C:
			err = r.tidy(ctx)
		}
		if err != nil && ctx.Err() == nil {
			r.Log.Error("keep house", "err", err)
		}
	}
}

// sweepWorktrees removes the worktrees of closed sessions: at once when they are clean, else after a while. Branches
// with commits stay.
func (r *Runner) sweepWorktrees(ctx context.Context, now time.Time) error {
	list, err := db.SessionsToSweep(ctx, r.DB, r.Worker, r.Now(), now.Add(-keepWorktreesFor), 200)
	if err != nil {
		return err
	}
	round := r.Rules.Round(db.TaskWorktrees)
	for _, session := range list {
		row := automation.Row{
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
		r.Log.Warn("remove repositories that were not made to their end", "err", err)
	}
	return r.sweepOrphans(ctx, round)
}

// sweepWorktree removes the worktree of one closed session.
func (r *Runner) sweepWorktree(ctx context.Context, session *db.Session, now time.Time) error {
	noted := false
	// Noted first: who opens the session again meanwhile finds that its worktree is to be made anew. Who did so before
	// keeps it.
	err := r.Store.RemoveIf(ctx, session.WorkspaceID.String(), session.ID.String(), session.Changed() ||
		session.ChangesAt.IsZero(),
		func(ctx context.Context) (goes bool, err error) {
			ctx, cancel := context.WithTimeout(ctx, tryWithin)
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
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), tryWithin)
	defer cancel()
	return errors.Join(err, db.KeepWorktree(noting, r.DB, session.ID))
}

// sweepOrphans removes what this worker has of sessions of which it needs nothing any more: those that are not there
// any more, those whose removal a process began that died, and those that went on elsewhere before anything was noted
// here.
func (r *Runner) sweepOrphans(ctx context.Context, round *automation.Round) error {
	// of a repository that cannot be read the others' sessions are dealt with all the same
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
		case h.Folder: // nobody's
			if err := r.deal(ctx, round, automation.Row{Key: h.Session, About: "the orphaned worktree " + h.Session},
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
			continue // what is kept
		}
		row := automation.Row{Key: u.ID.String(), About: "the orphaned worktree " + h.Session}
		if err := r.deal(ctx, round, row, func(ctx context.Context) error { return r.letGo(ctx, u, h) }); err != nil {
			return errors.Join(err, unread)
		}
	}
	return unread
}

// letGo removes what is here of a session, if nothing of it is needed still when nobody else works on it.
func (r *Runner) letGo(ctx context.Context, u db.Unneeded, h git.Holding) error {
	where := cmp.Or(h.Workspace, uuid.Nil.String())
	still := func(ctx context.Context) (bool, error) {
		list, err := db.UnneededOf(ctx, r.DB, r.Worker, []uuid.UUID{u.ID}, r.Now())
		return len(list) > 0, err
	}
	unused, err := r.Store.Unused(ctx, where, h.Session)
	switch {
	case err != nil:
		return err
	case u.Elsewhere && !unused: // it is not known how it came here, so it stays
		return nil
	case u.Elsewhere:
		return r.Store.LeaveIf(ctx, where, h.Session, u.BaseCommit, still)
	}
	return r.Store.RemoveIf(ctx, where, h.Session, u.Keeps || u.WorkspaceID == uuid.Nil && !unused, still)
}

// deal deals with one thing in this worker's data folder, unless it rests.
func (r *Runner) deal(ctx context.Context, round *automation.Round, row automation.Row,
	deal func(ctx context.Context) error) error {
	row.Key = r.Worker + " " + row.Key
	if rests, err := round.Rests(ctx, row.Key); err != nil || rests {
		return err
	}
	return round.Deal(ctx, row, deal)
}

// tidy packs the repositories of all workspaces, and removes those of workspaces removed long ago.
func (r *Runner) tidy(ctx context.Context) error {
	list, err := db.Workspaces(ctx, r.DB, uuid.Nil)
	if err != nil {
		return err
	}
	round := r.Rules.Round(db.TaskPack)
	for _, w := range list {
		row := automation.Row{
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
		if err := r.deal(ctx, round, automation.Row{
			Key: id.String(), About: "the repository of a workspace that was removed",
		}, func(ctx context.Context) error {
			return r.Store.Drop(ctx, id.String())
		}); err != nil {
			return err
		}
	}
	return nil
}
