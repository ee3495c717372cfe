package check

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"carillon/app/git"
	"carillon/app/runas"
	"carillon/db"
)

// Folder is the data folder of a worker.
type Folder struct {
	Root   string
	Worker string // name in the worker's leases
	// User is the user that agents run as; nil: the server's user.
	User *runas.User
	// Settled bounds the time of the last change of files that are checked. Newer files may be in use.
	Settled time.Time
}

// LeftoverAge is how long files of a dead process may stay in a folder. A worker removes them more often.
const LeftoverAge = time.Hour

// WorkerOf finds the folder of a worker. It returns nil if no worker uses the folder.
func WorkerOf(root string) (*Folder, error) {
	text, err := os.ReadFile(filepath.Join(root, "worker"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	id, err := uuid.Parse(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, nil // the folder is being created
	}
	return &Folder{Root: root, Worker: id.String()}, nil
}

const leftPromise, leftSentence = "left-behind",
	"A worker keeps no worktree, branch or folder of what is over, and no lock of a process that is gone."

// Look finds files in the folder that are left of removed sessions and of dead processes. It changes nothing.
func (f *Folder) Look(ctx context.Context, d *db.DB) (Result, error) {
	r := Result{Promise: leftPromise, Sentence: leftSentence}
	find := func() error {
		store := &git.Store{Root: f.Root, User: f.User}
		held, err := store.Inventory(ctx)
		if err != nil {
			return err
		}
		if err := f.sessions(ctx, d, held, &r); err != nil {
			return err
		}
		if err := f.runs(ctx, d, &r); err != nil {
			return err
		}
		left, err := store.Leftovers(f.Settled)
		for _, l := range left {
			r.Breaches = append(r.Breaches, db.Breach{Kind: "file", What: l.Path + " " + l.What})
		}
		return err
	}
	err := find()
	if len(r.Breaches) > maxBreaches {
		r.Breaches, r.More = r.Breaches[:maxBreaches], true
	}
	if err != nil {
		return r, fmt.Errorf("%s: %w", r.Promise, err)
	}
	return r, nil
}

// sessions finds worktrees and branches of sessions that this worker does not need.
func (f *Folder) sessions(ctx context.Context, d *db.DB, held []git.Holding, r *Result) error {
	var ids []uuid.UUID
	byID := map[uuid.UUID]git.Holding{}
	for _, h := range held {
		if id, err := uuid.Parse(h.Session); err == nil {
			byID[id], ids = h, append(ids, id)
		}
	}
	list, err := db.UnneededOf(ctx, d, f.Worker, ids, f.Settled)
	if err != nil {
		return err
	}
	for _, u := range list {
		h := byID[u.ID]
		kept := u.Keeps || u.Elsewhere || u.WorkspaceID == uuid.Nil // a branch may stay
		here := filepath.Join(f.Root, "worktrees", h.Session)
		if !h.Folder { // its entry in the repository, after the Git that made it was killed
			here = filepath.Join(f.Root, "repos", u.WorkspaceID.String()+".git", "worktrees", h.Session)
		}
		if kept && !h.Folder && !h.Place || (u.WorkspaceID == uuid.Nil || u.Elsewhere) && f.tooRecent(here) {
			continue
		}
		var has []string
		for what, there := range map[string]bool{
			"a worktree": h.Folder, "a place for one in the repository": h.Place, "a branch": h.Branch && !kept,
		} {
			if there {
				has = append(has, what)
			}
		}
		slices.Sort(has)
		over := "its worktree is noted as removed"
		switch {
		case u.WorkspaceID == uuid.Nil:
			over = "nobody knows the session"
		case u.Elsewhere:
			over = "another worker has the session"
		}
		r.Breaches = append(r.Breaches, db.Breach{
			Kind: "session", ID: u.ID, What: "has " + strings.Join(has, " and ") + " here, and " + over,
		})
	}
	return nil
}

// runs finds folders of runs that belong to no session at work.
func (f *Folder) runs(ctx context.Context, d *db.DB, r *Result) error {
	entries, err := os.ReadDir(filepath.Join(f.Root, "runs"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(entries) == 0 {
		return nil
	}
	working, err := db.SessionsAtWork(ctx, d, f.Worker)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(f.Root, "runs", e.Name())
		at := min(len(e.Name()), len(uuid.UUID{}.String()))
		session, _ := uuid.Parse(e.Name()[:at]) // a trial has no session
		if !f.tooRecent(path) && !slices.Contains(working, session) {
			r.Breaches = append(r.Breaches, db.Breach{
				Kind: "file", What: path + " is the folder of a run that is over",
			})
		}
	}
	return nil
}

// tooRecent reports whether a file was changed too recently to be checked, or was removed.
func (f *Folder) tooRecent(path string) bool {
	info, err := os.Lstat(path)
	return err != nil || !info.ModTime().Before(f.Settled)
}
