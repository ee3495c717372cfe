package git

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// A sandbox may show tracked files empty: they are covered. To the agent's Git they would look changed, and a commit of
// all changes would empty them. So while files are covered, their entries in the session's index are marked as files
// that the worktree does not have (skip-worktree), and Git commits the contents that it had. The server first writes in
// a file of its own which entries it marks. After a crash the next use of the worktree removes the marks, and until
// then the session's changes show the files as they are.

// cover is the server's record of the marked entries of a session.
type cover struct {
	Paths   []string // files and folders that were to be covered
	Entries []string // of the index, that were marked
}

// readCover reads the record of a session; it is empty where no entry is marked.
func (l layout) readCover(sessionID string) (cover, error) {
	var c cover
	text, err := os.ReadFile(l.coverFile(sessionID))
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		err = fmt.Errorf("read which files of the session are covered: %w", err)
	}
	return c, err
}

// Cover makes the session's Git treat tracked files as unchanged until Uncover, whatever a sandbox shows in their
// place. Paths are files and folders, relative to the worktree. No process of the session may be at work.
func (s *Store) Cover(ctx context.Context, w Worktree, paths []string) error {
	if err := s.Uncover(ctx, w); err != nil {
		return err
	}
	repo, err := s.open(w.Workspace)
	if err != nil {
		return fmt.Errorf("cover files: %w", err)
	}
	return repo.cover(ctx, w, paths)
}

func (repo *repository) cover(ctx context.Context, w Worktree, paths []string) error {
	index, err := repo.copyIndex(repo.indexFile(w))
	if err != nil {
		return fmt.Errorf("cover files: %w", diskFull(err))
	}
	defer removeIndex(index)
	if !exists(index) {
		return nil
	}
	c := cover{Paths: paths}
	if c.Entries, err = repo.taggedEntries(ctx, w, index, "H", paths); err != nil || len(c.Entries) == 0 {
		return err
	}
	note, err := json.Marshal(c)
	if err == nil {
		err = errors.Join(os.MkdirAll(repo.private("covered"), 0o700),
			writeAtomic(repo.coverFile(w.Session), string(note)))
	}
	if err != nil {
		return fmt.Errorf("cover files: %w", diskFull(err))
	}
	if err := repo.setSkipWorktree(ctx, w, index, "--skip-worktree", c.Entries); err != nil {
		return err
	}
	return repo.putIndex(index, w)
}

// Uncover removes the marks of Cover. It is no error where there are none. No process of the session may be at work.
func (s *Store) Uncover(ctx context.Context, w Worktree) error {
	c, err := s.layout().readCover(w.Session)
	if err != nil || len(c.Entries) == 0 {
		return errors.Join(err, removeIfExists(s.layout().coverFile(w.Session)))
	}
	repo, err := s.open(w.Workspace)
	if err != nil {
		return fmt.Errorf("uncover files: %w", err)
	}
	return repo.uncover(ctx, w)
}

func (repo *repository) uncover(ctx context.Context, w Worktree) error {
	c, err := repo.readCover(w.Session)
	if err != nil || len(c.Entries) == 0 {
		return errors.Join(err, removeIfExists(repo.coverFile(w.Session)))
	}
	index, err := repo.copyIndex(repo.indexFile(w))
	if err != nil {
		return fmt.Errorf("uncover files: %w", diskFull(err))
	}
	defer removeIndex(index)
	if exists(index) {
		changed, err := repo.uncoverIndex(ctx, w, index, c)
		if err == nil && changed {
			err = repo.putIndex(index, w)
		}
		if err != nil {
			return err
		}
	}
	return removeIfExists(repo.coverFile(w.Session))
}

// uncoverIndex removes the marks in a copy of the session's index, and reports whether there were any.
func (repo *repository) uncoverIndex(ctx context.Context, w Worktree, index string, c cover) (bool, error) {
	marked, err := repo.taggedEntries(ctx, w, index, "S", c.Paths)
	if err != nil {
		return false, err
	}
	ours := make(map[string]bool, len(c.Entries))
	for _, entry := range c.Entries {
		ours[entry] = true
	}
	marked = slices.DeleteFunc(marked, func(entry string) bool { return !ours[entry] }) // others are the agent's own
	if len(marked) == 0 {
		return false, nil
	}
	return true, repo.setSkipWorktree(ctx, w, index, "--no-skip-worktree", marked)
}

// taggedEntries lists the entries of an index below some paths that Git has a tag for: H for usual ones, S for marked
// ones.
func (repo *repository) taggedEntries(ctx context.Context, w Worktree, index, tag string,
	paths []string) ([]string, error) {
	out, err := repo.run(ctx, call{
		gitDir: repo.view, workTree: w.Dir, args: append([]string{"ls-files", "-z", "-t", "--"}, paths...),
		env: []string{"GIT_INDEX_FILE=" + index},
	})
	if err != nil {
		return nil, fmt.Errorf("list covered files: %w", err)
	}
	var list []string
	for entry := range splitNUL(out) {
		if is, path, _ := strings.Cut(entry, " "); is == tag {
			list = append(list, path)
		}
	}
	return list, nil
}

// setSkipWorktree marks entries of an index, or removes their marks, by an option of git update-index.
func (repo *repository) setSkipWorktree(ctx context.Context, w Worktree, index, option string, entries []string) error {
	_, err := repo.run(ctx, call{
		gitDir: repo.view, workTree: w.Dir, args: []string{"update-index", option, "-z", "--stdin"},
		env:   []string{"GIT_INDEX_FILE=" + index},
		stdin: strings.NewReader(strings.Join(entries, "\x00") + "\x00"),
	})
	if err != nil {
		return fmt.Errorf("mark covered files: %w", err)
	}
	return nil
}
