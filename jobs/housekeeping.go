package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"carillon/app/automation"
	"carillon/app/crash"
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
		row := automation.Row{Key: session.ID.String(), About: "the worktree of the session " + session.Title}
		if err := round.Deal(ctx, row, func(ctx context.Context) error { return r.sweepWorktree(ctx, &session, now) }); err != nil {
			return err
		}
	}
	if err := r.sweepMoved(ctx, round); err != nil {
		return err
	}
	if err := r.Store.DropSpares(keepWorktreesFor); err != nil {
		r.Log.Warn("remove spare worktrees", "err", err)
	}
	return r.sweepOrphans(ctx, round)
}

// sweepWorktree removes the worktree of one closed session.
func (r *Runner) sweepWorktree(ctx context.Context, session *db.Session, now time.Time) error {
	noted := false
	// Noted first: who opens the session again meanwhile finds that its worktree is to be made anew. Who did so before keeps it.
	err := r.Store.RemoveIf(ctx, session.WorkspaceID.String(), session.ID.String(), session.Changed() || session.ChangesAt.IsZero(),
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

// sweepOrphans removes worktrees whose session is not there any more.
func (r *Runner) sweepOrphans(ctx context.Context, round *automation.Round) error {
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
		if err := r.deal(ctx, round, "workspace "+w.ID.String(), "orphaned worktrees of the workspace "+w.Name, func(ctx context.Context) error {
			return r.Store.Prune(ctx, w.ID.String(), keep)
		}); err != nil {
			return err
		}
	}
	for _, name := range names {
		if keep(name) {
			continue
		}
		if err := r.deal(ctx, round, name, "the orphaned worktree "+name, func(ctx context.Context) error {
			return r.Store.Remove(ctx, uuid.Nil.String(), name, true)
		}); err != nil {
			return err
		}
	}
	return nil
}

// deal deals with one thing in this worker's data folder, unless it rests.
func (r *Runner) deal(ctx context.Context, round *automation.Round, key, about string, deal func(ctx context.Context) error) error {
	key = r.Worker + " " + key
	if rests, err := round.Rests(ctx, key); err != nil || rests {
		return err
	}
	return round.Deal(ctx, automation.Row{Key: key, About: about}, deal)
}

// tidy packs the repositories of all workspaces, and removes those of workspaces removed long ago.
func (r *Runner) tidy(ctx context.Context) error {
	list, err := db.Workspaces(ctx, r.DB, uuid.Nil)
	if err != nil {
		return err
	}
	round := r.Rules.Round(db.TaskPack)
	for _, w := range list {
		if err := r.deal(ctx, round, w.ID.String(), "packing the repository of the workspace "+w.Name, func(ctx context.Context) error {
			err := r.Store.Tidy(ctx, w.ID.String())
			if errors.Is(err, workspace.ErrNoMirror) {
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
		if err := r.deal(ctx, round, id.String(), "the repository of a workspace that was removed", func(ctx context.Context) error {
			return r.Store.Drop(ctx, id.String())
		}); err != nil {
			return err
		}
	}
	return nil
}
