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

// Writing ten thousand files takes most of the time between a start and its agent. So each workspace has a spare
// worktree, made in advance: a folder with the files of its base branch and their index. Add takes it by two renames
// and writes only what has changed since.

// spareFiles and spareIndex are a spare's parts. The index is written last: a spare with an index is complete.
const (
	spareFiles = "files"
	spareIndex = "index"
)

// Spare makes the files of a base branch ready for the next Add, if there is no spare yet. An empty base is the
// workspace's default branch. It may be called at any time and beside Add.
func (s *Store) Spare(ctx context.Context, workspaceID, base string) error {
	if err := checkID(workspaceID); err != nil {
		return err
	}
	unlock, err := s.runner().lock(ctx, "spare-"+workspaceID)
	if err != nil {
		return fmt.Errorf("make a spare worktree of workspace %s: %w", workspaceID, err)
	}
	defer unlock()
	if s.layout().hasSpare(workspaceID) {
		return nil
	}
	repo, err := s.open(workspaceID)
	if err == nil {
		err = repo.makeSpare(ctx, base)
	}
	if err != nil {
		return fmt.Errorf("make a spare worktree of workspace %s: %w", workspaceID, err)
	}
	return nil
}

// hasSpare reports whether a workspace has a complete spare.
func (l layout) hasSpare(workspaceID string) bool {
	dir := l.spareDir(workspaceID)
	return exists(filepath.Join(dir, spareIndex)) && isFolder(filepath.Join(dir, spareFiles))
}

// makeSpare makes the files of a base branch and their index.
func (repo *repository) makeSpare(ctx context.Context, base string) error {
	dir := repo.spareDir(repo.id)
	commit, err := repo.branchCommit(ctx, base)
	if err != nil {
		return err
	}
	if err := removeAll(dir); err != nil { // the rest of a spare that was taken, or of one that was interrupted
		return err
	}
	files, index := filepath.Join(dir, spareFiles), filepath.Join(dir, spareIndex)
	if err := os.MkdirAll(files, 0o700); err != nil {
		return diskFull(err)
	}
	if err := repo.user.Own(dir); err != nil {
		return err
	}
	written := index + ".new"
	_, err = repo.run(ctx, call{
		gitDir: repo.view, workTree: files, args: []string{"read-tree", "--reset", "-u", commit},
		env: []string{"GIT_INDEX_FILE=" + written},
	})
	if err == nil {
		crash.Here(crash.SpareFilled)
		// Git reads files again that are as old as their index.
		now := time.Now().Add(time.Second)
		err = repo.user.Do(func() error {
			return errors.Join(os.Chtimes(written, now, now), os.Rename(written, index))
		})
	}
	if err != nil {
		return errors.Join(err, removeAll(dir))
	}
	return nil
}

// takeSpare puts the spare, if there is one, in the place of a worktree's empty folder.
func (repo *repository) takeSpare(w Worktree) error {
	dir, index := repo.spareDir(repo.id), repo.indexFile(w)
	// The Add that moves the index has the spare.
	if err := repo.user.Do(func() error { return os.Rename(filepath.Join(dir, spareIndex), index) }); err != nil {
		return nil //nolint:nilerr // there is none, or it is not whole
	}
	crash.Here(crash.SpareTaken)
	err := removeAll(w.Dir)
	if err == nil {
		err = os.Rename(filepath.Join(dir, spareFiles), w.Dir)
	}
	switch {
	case err == nil && isFolder(w.Dir):
		return repo.repairLink(w)
	case err == nil: // an agent put something else in its place
		if err := os.Remove(w.Dir); err != nil {
			return err
		}
	}
	// Without its files the index would hide that they are missing; every file is written, as without a spare.
	return errors.Join(repo.user.Do(func() error { return os.Remove(index) }), os.MkdirAll(w.Dir, 0o700),
		repo.repairLink(w))
}

// DropSpares removes the spares that nobody took for a while.
func (s *Store) DropSpares(unused time.Duration) error {
	paths := s.layout()
	names, err := folders(paths.private("spares"))
	if err != nil {
		return fmt.Errorf("drop spare worktrees: %w", err)
	}
	var failed []error
	for _, name := range names {
		if info, err := os.Stat(paths.spareDir(name)); err == nil && time.Since(info.ModTime()) > unused {
			failed = append(failed, removeAll(paths.spareDir(name)))
		}
	}
	return errors.Join(failed...)
}
