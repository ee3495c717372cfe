package git

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// inspection is the state of a worktree at one moment, with an index of the server's own that also has the new files.
type inspection struct {
	repo            *repository
	w               Worktree
	ownFolders      []string // the worktree, and what is the session's own of the repository
	index           string
	head, branchTip string
	changed         []string // changed since the index
	untracked       []string
	large           []FileChange // changed files of more than maxFileSize, which are in neither list
	unreadable      []FileChange // changed files that nobody may read, which are in neither list
	nested          []string     // folders that are repositories of their own
	conflicts       map[string]bool
	more            int
	uncommitted     bool
	ignored         int
	submodules      []string          // whose files were edited
	stashes         []string          // commits on the stash, newest first
	branches        map[string]string // branches that the agent made, and their commits
}

// close removes the index of the inspection.
func (in *inspection) close() {
	removeIndex(in.index)
}

// git runs Git on the worktree with the inspection's index.
func (in *inspection) git(ctx context.Context, stdin io.ReadSeeker, args ...string) ([]byte, error) {
	return in.repo.run(ctx, in.call(stdin, args...))
}

// call is a call of Git on the worktree with the inspection's index.
func (in *inspection) call(stdin io.ReadSeeker, args ...string) call {
	return call{
		gitDir: in.repo.view, workTree: in.w.Dir, stdin: stdin, args: args,
		env: []string{"GIT_INDEX_FILE=" + in.index},
	}
}

// inspect reads the state of a worktree. The caller closes the inspection. Errors to tell apart: ErrNoWorktree,
// ErrNoMirror.
func (s *Store) inspect(ctx context.Context, w Worktree) (*inspection, error) {
	if err := checkID(w.Workspace, w.Session); err != nil {
		return nil, err
	}
	if !isSHA(w.Base) {
		return nil, fmt.Errorf("%q is not a commit to start from", w.Base)
	}
	repo, err := s.open(w.Workspace)
	if err != nil {
		return nil, err
	}
	if err := repo.cleaner(repo.mirror).cleanObjects(true); err != nil {
		return nil, err
	}
	return repo.inspect(ctx, w)
}

// inspect reads the state of a worktree of the repository.
func (repo *repository) inspect(ctx context.Context, w Worktree) (*inspection, error) {
	if !isFolder(w.Dir) || !isFolder(repo.adminDir(w.Workspace, w.Session)) {
		return nil, ErrNoWorktree
	}
	found, err := repo.resolve(ctx, "worktrees/"+w.Session+"/HEAD", "refs/heads/"+w.Branch, w.Base)
	if err != nil {
		return nil, err
	}
	if found[2] == "" {
		return nil, fmt.Errorf("its base commit %s is gone", w.Base)
	}
	in := &inspection{repo: repo, w: w, head: found[0], branchTip: found[1], conflicts: map[string]bool{}}
	in.ownFolders = []string{w.Dir, repo.adminDir(w.Workspace, w.Session), repo.commonDir(w.Workspace, w.Session)}
	if in.index, err = repo.copyIndex(repo.indexFile(w)); err != nil {
		return nil, diskFull(err)
	}
	if err := in.collect(ctx); err != nil {
		in.close()
		return nil, err
	}
	return in, nil
}

// collect reads files, commits, stash and branches.
func (in *inspection) collect(ctx context.Context) error {
	err := in.uncoverIndex(ctx)
	if err == nil {
		err = in.listFiles(ctx)
	}
	if f := (*failure)(nil); errors.As(err, &f) && ctx.Err() == nil {
		// The copy cannot replace some indexes, such as a split one. Without the copy only speed is lost.
		in.close()
		if _, err = in.git(ctx, nil, "read-tree", "--reset", cmp.Or(in.head, in.w.Base)); err == nil {
			err = in.listFiles(ctx)
		}
	}
	if err != nil {
		return err
	}
	if err := in.updateIndex(ctx); err != nil {
		return err
	}
	if in.stashes, err = in.repo.stashCommits(ctx, in.w); err != nil {
		return err
	}
	in.branches, err = in.repo.agentBranches(ctx, in.w)
	return err
}

// uncoverIndex makes the inspection see covered files as they are.
func (in *inspection) uncoverIndex(ctx context.Context) error {
	c, err := in.repo.readCover(in.w.Session)
	if err != nil || len(c.Entries) == 0 || !exists(in.index) {
		return err
	}
	_, err = in.repo.uncoverIndex(ctx, in.w, in.index, c)
	return err
}

// maxNameBytes is the most bytes of names of changed files and submodules that one inspection holds.
const maxNameBytes = 64 << 20

// listFiles compares files, index and HEAD. One call of Git lists the entries of the index, the files that differ from
// it and the new files. The list is read entry by entry, since a large repository has many, and unchanged ones are
// dropped.
func (in *inspection) listFiles(ctx context.Context) error {
	exclude := filepath.Join(in.repo.commonDir(in.w.Workspace, in.w.Session), "info", "exclude")
	var submodules []string
	both, doing := errgroup.WithContext(ctx)
	both.Go(func() error {
		c := in.call(nil, "-c", "core.excludesFile="+exclude, "ls-files", "-z", "-t", "--stage", "--modified",
			"--others", "--exclude-standard")
		c.entries = func() func([]byte) error {
			in.changed, in.untracked, in.nested, in.more, submodules = nil, nil, nil, 0, nil
			clear(in.conflicts)
			return in.parseEntries(&submodules)
		}
		_, err := in.repo.run(doing, c)
		return err
	})
	both.Go(func() error { return in.countIgnored(doing, exclude) })
	err := both.Wait()
	if err != nil {
		return err
	}
	if in.submodules, err = in.editedSubmodules(ctx, submodules); err != nil {
		return err
	}
	in.uncommitted = len(in.changed)+len(in.untracked)+len(in.nested)+len(in.conflicts)+len(in.submodules) > 0
	if !in.uncommitted {
		_, err = in.git(ctx, nil, "diff-index", "--quiet", "--cached", "--ignore-submodules=dirty",
			cmp.Or(in.head, emptyTree(in.w.Base)), "--")
		var f *failure
		if errors.As(err, &f) && f.exit == 1 {
			in.uncommitted, err = true, nil
		}
	}
	return err
}

// parseEntries returns a function that reads the list of Git, entry by entry: "? path" is new, "C mode object
// stage\tpath" differs from the index, and every other tag is an entry of the index itself. Submodules are added to
// their list.
func (in *inspection) parseEntries(submodules *[]string) func([]byte) error {
	left, last := maxNameBytes, ""
	spend := func(path []byte) error {
		if left -= len(path); left < 0 {
			return fmt.Errorf("the names of the changed files have more than %d MiB", maxNameBytes>>20)
		}
		return nil
	}
	keep := func(list *[]string, path []byte) error {
		*list = append(*list, string(path))
		return spend(path)
	}
	return func(entry []byte) error {
		tag, rest, _ := bytes.Cut(entry, []byte(" "))
		if string(tag) == "?" {
			switch {
			case bytes.HasSuffix(rest, []byte("/")):
				return keep(&in.nested, rest)
			case len(in.untracked) == maxFiles:
				in.more++
				return nil
			}
			return keep(&in.untracked, rest)
		}
		meta, path, ok := bytes.Cut(rest, []byte("\t"))
		switch {
		case !ok:
			return fmt.Errorf("git listed %q", cleanText(string(entry)))
		case string(tag) == "C" && string(path) == last: // each stage of a conflict is listed
			return nil
		case string(tag) == "C":
			last = string(path)
			return keep(&in.changed, path)
		case !bytes.HasSuffix(meta, []byte(" 0")):
			in.conflicts[string(path)] = true
			return spend(path)
		case bytes.HasPrefix(meta, []byte("160000 ")):
			return keep(submodules, path)
		}
		return nil
	}
}

// updateIndex adds the new files to the index, so that a diff shows them, and resolves conflicts there. It leaves out
// paths that are no longer a file or a link, since reading a pipe would wait for a writer, and files that are too
// large.
func (in *inspection) updateIndex(ctx context.Context) error {
	var edit, unread strings.Builder
	err := in.repo.user.Do(func() error { // a file that the user of agents may not read its Git cannot read either
		in.classify(&edit, &unread)
		return nil
	})
	if err != nil {
		return err
	}
	if edit.Len() > 0 {
		if _, err := in.git(ctx, strings.NewReader(edit.String()), "update-index", "-z", "--index-info"); err != nil {
			return err
		}
	}
	if unread.Len() > 0 { // Git takes them as unchanged
		_, err := in.git(ctx, strings.NewReader(unread.String()), "update-index", "--assume-unchanged", "-z", "--stdin")
		return err
	}
	return nil
}

// classify writes the edits of the index, and the files that Git must not read.
func (in *inspection) classify(edit, unread *strings.Builder) {
	add := func(path string) {
		fmt.Fprintf(edit, "100644 %s\t%s\x00", emptyBlob(in.w.Base), path)
	}
	drop := func(path string) {
		fmt.Fprintf(edit, "0 %s\t%s\x00", zeroID(in.w.Base), path)
	}
	in.large, in.unreadable = nil, nil
	in.untracked = slices.DeleteFunc(in.untracked, func(path string) bool {
		list := in.skippedList(path)
		if list == nil {
			add(path)
			return false
		}
		*list = append(*list, FileChange{Path: cleanText(path), Status: Added, Binary: true})
		return true
	})
	for path := range in.conflicts {
		drop(path)
		if in.hasFile(path) && in.skippedList(path) == nil {
			add(path)
		}
	}
	kept := in.changed[:0]
	for _, path := range in.changed {
		list := in.skippedList(path)
		switch {
		case list != nil:
			*list = append(*list, FileChange{Path: cleanText(path), Status: Modified, Binary: true})
			if !in.conflicts[path] {
				unread.WriteString(path + "\x00")
			}
		case in.hasFile(path):
			kept = append(kept, path)
		case !in.conflicts[path]:
			drop(path)
		}
	}
	in.changed = kept
}

// skippedList is the list for a file that is not read, because it is too large or nobody may read it; nil where the
// file is read.
func (in *inspection) skippedList(path string) *[]FileChange {
	path = filepath.Join(in.w.Dir, path)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrPermission): // of a folder that nobody may read
		return &in.unreadable
	case err != nil || !info.Mode().IsRegular():
		return nil
	case info.Size() > maxFileSize:
		return &in.large
	case info.Mode().Perm()&0o400 != 0 && in.repo.user.Owns(info):
		return nil
	}
	f, err := openRegular(path)
	if err != nil {
		return &in.unreadable
	}
	f.Close()
	return nil
}

// hasFile is whether there is a file, a link or a folder at the path, and no link on the way to it.
func (in *inspection) hasFile(path string) bool {
	for i := range len(path) {
		if path[i] == '/' {
			if info, err := os.Lstat(filepath.Join(in.w.Dir, path[:i])); err != nil || !info.IsDir() {
				return false
			}
		}
	}
	info, err := os.Lstat(filepath.Join(in.w.Dir, path))
	return err == nil && (info.IsDir() || info.Mode().IsRegular() || info.Mode()&os.ModeSymlink != 0)
}

// countIgnored counts the ignored files, by the session's own rules at exclude and the rules of the worktree.
func (in *inspection) countIgnored(ctx context.Context, exclude string) error {
	c := in.call(nil, "-c", "core.excludesFile="+exclude, "ls-files", "-z", "--others", "--ignored",
		"--exclude-standard", "--directory", "--no-empty-directory")
	c.limit = 1 << 20
	out, err := in.repo.run(ctx, c)
	if err != nil && !errors.Is(err, errOutputLimit) {
		return err
	}
	in.ignored = 0
	for range splitNUL(out) {
		in.ignored++
	}
	return nil
}
