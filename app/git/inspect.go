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

// look is a worktree as it stands at one moment, with an index of the server's own that also has the new files.
type look struct {
	repo        *repository
	w           Worktree
	folders     []string // the worktree, and what is the session's own of the repository
	index       string
	head, tip   string
	changed     []string // changed since the index
	untracked   []string
	large       []FileChange // changed files of more than mostOfFile, which are in neither list
	closed      []FileChange // changed files that their program let nobody read, which are in neither list
	nested      []string     // folders that are repositories of their own
	conflicts   map[string]bool
	more        int
	uncommitted bool
	ignored     int
	submodules  []string          // whose files were edited
	stashed     []string          // commits on the stash, newest first
	made        map[string]string // branches that the agent made, and their commits
}

// close removes the index of the look.
func (l *look) close() {
	removeIndex(l.index)
}

// git runs git on the worktree with the look's own index.
func (l *look) git(ctx context.Context, stdin io.ReadSeeker, args ...string) ([]byte, error) {
	return l.repo.run(ctx, l.call(stdin, args...))
}

// call is a call of Git on the worktree with the look's own index.
func (l *look) call(stdin io.ReadSeeker, args ...string) call {
	return call{
		gitDir: l.repo.view, workTree: l.w.Dir, stdin: stdin, args: args,
		env: []string{"GIT_INDEX_FILE=" + l.index},
	}
}

// look inspects a worktree. Errors to tell apart: ErrNoWorktree, ErrNoMirror.
func (s *Store) look(ctx context.Context, w Worktree) (*look, error) {
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
	if err := repo.cleaner(repo.mirror).objects(true); err != nil {
		return nil, err
	}
	return repo.look(ctx, w)
}

// look inspects a worktree of the repository.
func (repo *repository) look(ctx context.Context, w Worktree) (*look, error) {
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
	l := &look{repo: repo, w: w, head: found[0], tip: found[1], conflicts: map[string]bool{}}
	l.folders = []string{w.Dir, repo.adminDir(w.Workspace, w.Session), repo.commonDir(w.Workspace, w.Session)}
	if l.index, err = repo.copyIndex(repo.indexFile(w)); err != nil {
		return nil, diskFull(err)
	}
	if err := l.fill(ctx); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// fill looks at files, commits, stash and branches.
func (l *look) fill(ctx context.Context) error {
	err := l.uncover(ctx)
	if err == nil {
		err = l.read(ctx)
	}
	if f := (*failure)(nil); errors.As(err, &f) && ctx.Err() == nil {
		// An index that the copy cannot stand for, such as a split one: without it only speed is lost.
		l.close()
		if _, err = l.git(ctx, nil, "read-tree", "--reset", cmp.Or(l.head, l.w.Base)); err == nil {
			err = l.read(ctx)
		}
	}
	if err != nil {
		return err
	}
	if err := l.include(ctx); err != nil {
		return err
	}
	if l.stashed, err = l.repo.stashes(ctx, l.w); err != nil {
		return err
	}
	l.made, err = l.repo.madeBranches(ctx, l.w)
	return err
}

// uncover has the look see covered files as they are.
func (l *look) uncover(ctx context.Context) error {
	c, err := l.repo.covered(l.w.Session)
	if err != nil || len(c.Entries) == 0 || !exists(l.index) {
		return err
	}
	_, err = l.repo.uncoverIn(ctx, l.w, l.index, c)
	return err
}

// mostNamed is the most bytes of names of changed files and submodules that one look holds.
const mostNamed = 64 << 20

// read compares files, index and HEAD. One call of Git lists what is in the index, what differs from it and what is
// new: the index of a large repository is read part by part, and no part that is as it was is kept.
func (l *look) read(ctx context.Context) error {
	exclude := filepath.Join(l.repo.commonDir(l.w.Workspace, l.w.Session), "info", "exclude")
	var submodules []string
	both, doing := errgroup.WithContext(ctx)
	both.Go(func() error {
		c := l.call(nil, "-c", "core.excludesFile="+exclude, "ls-files", "-z", "-t", "--stage", "--modified",
			"--others", "--exclude-standard")
		c.entries = func() func([]byte) error {
			l.changed, l.untracked, l.nested, l.more, submodules = nil, nil, nil, 0, nil
			clear(l.conflicts)
			return l.entry(&submodules)
		}
		_, err := l.repo.run(doing, c)
		return err
	})
	both.Go(func() error { return l.readIgnored(doing, exclude) })
	err := both.Wait()
	if err != nil {
		return err
	}
	if l.submodules, err = l.editedSubmodules(ctx, submodules); err != nil {
		return err
	}
	l.uncommitted = len(l.changed)+len(l.untracked)+len(l.nested)+len(l.conflicts)+len(l.submodules) > 0
	if !l.uncommitted {
		_, err = l.git(ctx, nil, "diff-index", "--quiet", "--cached", "--ignore-submodules=dirty",
			cmp.Or(l.head, emptyTree(l.w.Base)), "--")
		var f *failure
		if errors.As(err, &f) && f.exit == 1 {
			l.uncommitted, err = true, nil
		}
	}
	return err
}

// entry takes what Git lists of a worktree, entry by entry: "? path" is new, "C mode object stage\tpath" differs from
// the index, and every other tag is an entry of the index itself. Submodules are added to their list.
func (l *look) entry(submodules *[]string) func([]byte) error {
	left, last := mostNamed, ""
	spend := func(path []byte) error {
		if left -= len(path); left < 0 {
			return fmt.Errorf("the names of the changed files have more than %d MiB", mostNamed>>20)
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
				return keep(&l.nested, rest)
			case len(l.untracked) == mostFiles:
				l.more++
				return nil
			}
			return keep(&l.untracked, rest)
		}
		meta, path, ok := bytes.Cut(rest, []byte("\t"))
		switch {
		case !ok:
			return fmt.Errorf("git listed %q", cleanText(string(entry)))
		case string(tag) == "C" && string(path) == last: // each stage of a conflict is listed
			return nil
		case string(tag) == "C":
			last = string(path)
			return keep(&l.changed, path)
		case !bytes.HasSuffix(meta, []byte(" 0")):
			l.conflicts[string(path)] = true
			return spend(path)
		case bytes.HasPrefix(meta, []byte("160000 ")):
			return keep(submodules, path)
		}
		return nil
	}
}

// include takes the new files into the index, so that a diff shows them, and settles conflicts there. What the
// folder no longer has as a file or link of its own is left out: reading a pipe would wait for a writer. So is what is
// too large.
func (l *look) include(ctx context.Context) error {
	var edit, unread strings.Builder
	err := l.repo.user.Do(func() error { // what the user of agents may not read the Git of that user cannot either
		l.sort(&edit, &unread)
		return nil
	})
	if err != nil {
		return err
	}
	if edit.Len() > 0 {
		if _, err := l.git(ctx, strings.NewReader(edit.String()), "update-index", "-z", "--index-info"); err != nil {
			return err
		}
	}
	if unread.Len() > 0 { // Git takes them for what the index says of them
		_, err := l.git(ctx, strings.NewReader(unread.String()), "update-index", "--assume-unchanged", "-z", "--stdin")
		return err
	}
	return nil
}

// sort writes what is to be edited in the index, and which of its files are not read.
func (l *look) sort(edit, unread *strings.Builder) {
	add := func(path string) {
		fmt.Fprintf(edit, "100644 %s\t%s\x00", emptyBlob(l.w.Base), path)
	}
	drop := func(path string) {
		fmt.Fprintf(edit, "0 %s\t%s\x00", zero(l.w.Base), path)
	}
	l.large, l.closed = nil, nil
	l.untracked = slices.DeleteFunc(l.untracked, func(path string) bool {
		list := l.unread(path)
		if list == nil {
			add(path)
			return false
		}
		*list = append(*list, FileChange{Path: cleanText(path), Status: Added, Binary: true})
		return true
	})
	for path := range l.conflicts {
		drop(path)
		if l.has(path) && l.unread(path) == nil {
			add(path)
		}
	}
	kept := l.changed[:0]
	for _, path := range l.changed {
		list := l.unread(path)
		switch {
		case list != nil:
			*list = append(*list, FileChange{Path: cleanText(path), Status: Modified, Binary: true})
			if !l.conflicts[path] {
				unread.WriteString(path + "\x00")
			}
		case l.has(path):
			kept = append(kept, path)
		case !l.conflicts[path]:
			drop(path)
		}
	}
	l.changed = kept
}

// unread is the list to which a file belongs that is not read: it has too many bytes, or its program let nobody read
// it. Nil: it is read.
func (l *look) unread(path string) *[]FileChange {
	path = filepath.Join(l.w.Dir, path)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrPermission): // of a folder that nobody may look into
		return &l.closed
	case err != nil || !info.Mode().IsRegular():
		return nil
	case info.Size() > mostOfFile:
		return &l.large
	case info.Mode().Perm()&0o400 != 0 && l.repo.user.Owns(info):
		return nil
	}
	f, err := openPlain(path)
	if err != nil {
		return &l.closed
	}
	f.Close()
	return nil
}

// has is whether there is a file, a link or a folder at the path, and no link on the way to it.
func (l *look) has(path string) bool {
	for i := range len(path) {
		if path[i] == '/' {
			if info, err := os.Lstat(filepath.Join(l.w.Dir, path[:i])); err != nil || !info.IsDir() {
				return false
			}
		}
	}
	info, err := os.Lstat(filepath.Join(l.w.Dir, path))
	return err == nil && (info.IsDir() || info.Mode().IsRegular() || info.Mode()&os.ModeSymlink != 0)
}

// readIgnored counts what is ignored, by the session's own list at exclude and those of the repository.
func (l *look) readIgnored(ctx context.Context, exclude string) error {
	c := l.call(nil, "-c", "core.excludesFile="+exclude, "ls-files", "-z", "--others", "--ignored",
		"--exclude-standard", "--directory", "--no-empty-directory")
	c.limit = 1 << 20
	out, err := l.repo.run(ctx, c)
	if err != nil && !errors.Is(err, errTooMuch) {
		return err
	}
	l.ignored = 0
	for range splitNUL(out) {
		l.ignored++
	}
	return nil
}
