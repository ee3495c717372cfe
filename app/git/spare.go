package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"carillon/app/crash"
)

// Writing ten thousand files takes most of the time between a start and its agent. So each workspace has a spare: a
// folder with the files of its base branch and the index that describes them, written while nobody waits. Add takes it
// by two renames and writes only what has changed since.

// spareFiles and spareIndex are a spare's parts. The index comes last: with it the spare is whole.
const (
	spareFiles = "files"
	spareIndex = "index"
)

func (s *Store) spare(workspaceID string) string { return s.own("spares", workspaceID) }

// Spare makes the files of a base branch ready for the next Add, if there is no spare yet. An empty base is the
// workspace's default branch. It may be called at any time and beside Add.
func (s *Store) Spare(ctx context.Context, workspaceID, base string) error {
	if err := checkID(workspaceID); err != nil {
		return err
	}
	if err := s.makeSpare(ctx, workspaceID, base); err != nil {
		return fmt.Errorf("make a spare worktree of workspace %s: %w", workspaceID, err)
	}
	return nil
}

func (s *Store) makeSpare(ctx context.Context, workspaceID, base string) error {
	unlock, err := s.lock(ctx, "spare-"+workspaceID)
	if err != nil {
		return err
	}
	defer unlock()
	dir := s.spare(workspaceID)
	if exists(filepath.Join(dir, spareIndex)) && isFolder(filepath.Join(dir, spareFiles)) {
		return nil
	}
	view, err := s.view(workspaceID)
	if err != nil {
		return err
	}
	commit, err := s.head(ctx, workspaceID, view, base)
	if err != nil {
		return err
	}
	if err := removeAll(dir); err != nil { // the rest of one that was taken, or interrupted
		return err
	}
	files, index := filepath.Join(dir, spareFiles), filepath.Join(dir, spareIndex)
	if err := os.MkdirAll(files, 0o700); err != nil {
		return diskFull(err)
	}
	if err := s.User.Own(dir); err != nil {
		return err
	}
	made := index + ".new"
	_, err = s.git(ctx, call{
		gitDir: view, workTree: files, args: []string{"read-tree", "--reset", "-u", commit},
		env: []string{"GIT_INDEX_FILE=" + made},
	})
	if err == nil {
		crash.Here(crash.SpareFilled)
		// Files as old as their index are suspect to Git, which would read them all again.
		now := time.Now().Add(time.Second)
		err = s.User.Do(func() error { return errors.Join(os.Chtimes(made, now, now), os.Rename(made, index)) })
	}
	if err != nil {
		return errors.Join(err, removeAll(dir))
	}
	return nil
}

// takeSpare puts the spare, if there is one, in the place of a worktree's empty folder.
func (s *Store) takeSpare(w Worktree) error {
	dir, index := s.spare(w.Workspace), filepath.Join(s.admin(w.Workspace, w.Session), "index")
	// Whoever has the index has the spare.
	if err := s.User.Do(func() error { return os.Rename(filepath.Join(dir, spareIndex), index) }); err != nil {
		return nil //nolint:nilerr // there is none, or it is not whole
	}
	crash.Here(crash.SpareTaken)
	err := removeAll(w.Dir)
	if err == nil {
		err = os.Rename(filepath.Join(dir, spareFiles), w.Dir)
	}
	switch {
	case err == nil && isFolder(w.Dir):
		return s.repairLink(w)
	case err == nil: // an agent put something else in its place
		if err := os.Remove(w.Dir); err != nil {
			return err
		}
	}
	// Without its files the index would hide that they are missing; every file is written, as without a spare.
	return errors.Join(s.User.Do(func() error { return os.Remove(index) }), os.MkdirAll(w.Dir, 0o700), s.repairLink(w))
}

// DropSpares removes the spares that nobody took for a while.
func (s *Store) DropSpares(unused time.Duration) error {
	names, err := folders(s.own("spares"))
	if err != nil {
		return fmt.Errorf("drop spare worktrees: %w", err)
	}
	var failed []error
	for _, name := range names {
		if info, err := os.Stat(s.spare(name)); err == nil && time.Since(info.ModTime()) > unused {
			failed = append(failed, removeAll(s.spare(name)))
		}
	}
	return errors.Join(failed...)
}
