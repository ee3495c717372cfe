package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"carillon/app/workspace"
	"carillon/db"
)

// How often a worker keeps house, in its own data folder.
const (
	sweepEvery = 10 * time.Minute
	tidyEvery  = 24 * time.Hour
)

// keepHouse removes worktrees that are over and packs repositories until ctx is over.
func (r *Runner) keepHouse(ctx context.Context) {
	sweep, tidy := time.NewTicker(sweepEvery), time.NewTicker(tidyEvery)
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
	list, err := db.SessionsToSweep(ctx, r.DB, r.Worker, now.Add(-keepWorktreesFor), 200)
	if err != nil {
		return err
	}
	for _, session := range list {
		// Noted first: who opens the session again meanwhile finds that its worktree is to be made anew.
		goes, err := db.SetWorktreeRemoved(ctx, r.DB, session.ID, now)
		if err != nil {
			return err
		}
		if !goes {
			continue
		}
		if err := r.Store.Remove(ctx, session.WorkspaceID.String(), session.ID.String(), session.FilesChanged > 0 || session.ChangesAt.IsZero()); err != nil {
			r.Log.Warn("remove worktree", "session", session.ID, "err", err)
			if err := db.KeepWorktree(ctx, r.DB, session.ID); err != nil {
				return err
			}
		}
	}
	if err := r.Store.DropSpares(keepWorktreesFor); err != nil {
		r.Log.Warn("remove spare worktrees", "err", err)
	}
	return r.sweepOrphans(ctx)
}

// sweepOrphans removes worktrees whose session is not there any more.
func (r *Runner) sweepOrphans(ctx context.Context) error {
	names, err := r.Store.Worktrees()
	if err != nil || len(names) == 0 {
		return err
	}
	var ids []uuid.UUID
	for _, name := range names {
		if id, err := uuid.Parse(name); err == nil {
			ids = append(ids, id)
		}
	}
	known, err := db.KnownSessions(ctx, r.DB, ids)
	if err != nil || len(known) == len(names) {
		return err
	}
	// A session that nobody knows has no workspace to name: each is asked to let go of what is not its own.
	list, err := db.Workspaces(ctx, r.DB, uuid.Nil)
	if err != nil {
		return err
	}
	keep := func(session string) bool {
		id, err := uuid.Parse(session)
		_, ok := known[id]
		return err == nil && ok
	}
	for _, w := range list {
		if err := r.Store.Prune(ctx, w.ID.String(), keep); err != nil {
			r.Log.Warn("prune worktrees", "workspace", w.ID, "err", err)
		}
	}
	for _, name := range names {
		if keep(name) {
			continue
		}
		if err := r.Store.Remove(ctx, uuid.Nil.String(), name, true); err != nil {
			r.Log.Warn("remove orphan worktree", "session", name, "err", err)
		}
	}
	return nil
}

// tidy packs the repositories of all workspaces, and removes those of workspaces removed long ago.
func (r *Runner) tidy(ctx context.Context) error {
	list, err := db.Workspaces(ctx, r.DB, uuid.Nil)
	if err != nil {
		return err
	}
	for _, w := range list {
		if err := r.Store.Tidy(ctx, w.ID.String()); err != nil && !errors.Is(err, workspace.ErrNoMirror) {
			r.Log.Warn("pack the repository", "workspace", w.ID, "err", err)
		}
	}
	gone, err := db.RemovedWorkspaces(ctx, r.DB, r.Now().Add(-keepExecutionsFor))
	if err != nil {
		return err
	}
	for _, id := range gone {
		if err := r.Store.Drop(ctx, id.String()); err != nil {
			r.Log.Warn("remove the repository", "workspace", id, "err", err)
		}
	}
	return nil
}
