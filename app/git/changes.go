package git

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Changes is what a session did to its files since its base.
type Changes struct {
	// Files are the changed files, committed or not, in the order of their paths.
	Files []FileChange
	// More is how many changed files are not listed, because they are too many.
	More int
	// Commits are the newest commits that the base does not have, newest first.
	Commits []Commit
	// Ahead is how many commits there are that the base does not have.
	Ahead int
	// Uncommitted is whether the worktree holds changes that are in no commit.
	Uncommitted bool
	// Stashes is how many entries the session has on its stash.
	Stashes int
	// Ignored is how many ignored files there are, a folder of them counted as one. They are no change.
	Ignored int
	// Branches are those that the agent made beside the session's own.
	Branches []string
	// Clean is whether there is no change: nothing uncommitted, no commit ahead of the base, nothing on the stash.
	Clean bool
	// Head is the commit that the worktree stands at; empty on a branch without a commit.
	Head string
}

// FileChange is one changed file.
type FileChange struct {
	// Path is the path now; of a deleted file, the path that it had. A nested repository ends with a slash.
	Path string
	// Old is the former path of a renamed file.
	Old    string
	Status Status
	// Additions and Deletions count lines; both are 0 for a binary file.
	Additions, Deletions int
	Binary               bool
}

// Status is what happened to a file.
type Status string

const (
	Added      Status = "added"
	Modified   Status = "modified"
	Deleted    Status = "deleted"
	Renamed    Status = "renamed"
	Retyped    Status = "retyped"    // a file became a link, or the like
	Conflicted Status = "conflicted" // a merge left it unresolved
)

// Commit is one commit of a session.
type Commit struct {
	SHA, Subject, Author string
	At                   time.Time
}

const (
	mostFiles   = 5000
	mostCommits = 200
	// An agent can leave things behind that make reading wait, such as a pipe in place of .gitignore.
	mostReading = 2 * time.Minute
	// mostOfFile is the most bytes of a changed file that is read. A file of a terabyte costs its agent one call.
	mostOfFile = 1 << 30
)

// Changes looks at what the session changed since its base: commits, the index, the files, and new files that
// are not ignored. It reads neither configuration nor programs of the repository and writes nothing there.
// Errors to tell apart: ErrNoWorktree, ErrNoMirror.
func (s *Store) Changes(ctx context.Context, w Worktree) (Changes, error) {
	ctx, cancel := context.WithTimeout(ctx, mostReading)
	defer cancel()
	look, err := s.look(ctx, w)
	if err != nil {
		return Changes{}, fmt.Errorf("list the changes: %w", orDamaged(err))
	}
	defer look.close()

	c := Changes{
		Head: look.head, Uncommitted: look.uncommitted, Ignored: look.ignored, Stashes: len(look.stashed),
		Branches: slices.Sorted(maps.Keys(look.made)),
	}
	if look.head != w.Base || look.tip != w.Base || len(look.made) > 0 {
		if c.Commits, c.Ahead, err = s.ahead(ctx, look, w.Base); err != nil {
			return Changes{}, fmt.Errorf("list the commits: %w", orDamaged(err))
		}
	}
	if c.Uncommitted || look.head != w.Base {
		if err := s.files(ctx, look, w.Base, &c); err != nil {
			return Changes{}, fmt.Errorf("list the changes: %w", orDamaged(err))
		}
	}
	c.Clean = !c.Uncommitted && c.Ahead == 0 && len(c.Files) == 0 && c.Stashes == 0
	return c, nil
}

// look is a worktree as it stands at one moment, with an index of the server's own that also has the new files.
type look struct {
	store       *Store
	view, dir   string
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

func (l *look) close() {
	_ = os.Remove(l.index)
	_ = os.Remove(l.index + ".lock")
}

// git runs git on the worktree with the look's own index.
func (l *look) git(ctx context.Context, stdin io.ReadSeeker, args ...string) ([]byte, error) {
	return l.store.git(ctx, l.call(stdin, args...))
}

func (l *look) call(stdin io.ReadSeeker, args ...string) call {
	return call{
		gitDir: l.view, workTree: l.dir, stdin: stdin, args: args,
		env: []string{"GIT_INDEX_FILE=" + l.index},
	}
}

func (s *Store) look(ctx context.Context, w Worktree) (*look, error) {
	if err := checkID(w.Workspace, w.Session); err != nil {
		return nil, err
	}
	if !isSHA(w.Base) {
		return nil, fmt.Errorf("%q is not a commit to start from", w.Base)
	}
	view, err := s.view(w.Workspace)
	if err != nil {
		return nil, err
	}
	if err := s.ownObjects(s.mirror(w.Workspace), true); err != nil {
		return nil, err
	}
	if !isFolder(w.Dir) || !isFolder(s.admin(w.Workspace, w.Session)) {
		return nil, ErrNoWorktree
	}
	found, err := s.resolve(ctx, view, "worktrees/"+w.Session+"/HEAD", "refs/heads/"+w.Branch, w.Base)
	if err != nil {
		return nil, err
	}
	if found[2] == "" {
		return nil, fmt.Errorf("its base commit %s is gone", w.Base)
	}
	l := &look{store: s, view: view, dir: w.Dir, head: found[0], tip: found[1], conflicts: map[string]bool{}}
	l.folders = []string{w.Dir, s.admin(w.Workspace, w.Session), s.common(w.Workspace, w.Session)}
	if l.index, err = s.copyIndex(filepath.Join(s.admin(w.Workspace, w.Session), "index")); err != nil {
		return nil, diskFull(err)
	}
	if err = l.uncover(ctx, w); err == nil {
		err = l.read(ctx, w)
	}
	if f := (*failure)(nil); errors.As(err, &f) && ctx.Err() == nil {
		// An index that the copy cannot stand for, such as a split one: without it only speed is lost.
		start := l.head
		if start == "" {
			start = w.Base
		}
		l.close()
		if _, err = l.git(ctx, nil, "read-tree", "--reset", start); err == nil {
			err = l.read(ctx, w)
		}
	}
	if err == nil {
		err = l.include(ctx, w)
	}
	if err == nil {
		l.stashed, err = s.stashes(ctx, view, w)
	}
	if err == nil {
		l.made, err = s.madeBranches(ctx, view, w)
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// uncover has the look see covered files as they are.
func (l *look) uncover(ctx context.Context, w Worktree) error {
	c, err := l.store.covered(w.Session)
	if err != nil || len(c.Entries) == 0 || !exists(l.index) {
		return err
	}
	_, err = l.store.uncover(ctx, l.view, w, l.index, c)
	return err
}

// maxIndex is the most bytes of an index: that of a million files has less than 200 MiB.
const maxIndex = 512 << 20

// copyIndex copies the agent's index: with it git knows which files did not change without reading them.
func (s *Store) copyIndex(path string) (string, error) {
	if err := s.prepare(); err != nil {
		return "", err
	}
	copied := ""
	err := s.User.Do(func() (err error) {
		copied, err = s.copyIndexOnce(path)
		return err
	})
	return copied, err
}

func (s *Store) copyIndexOnce(path string) (string, error) {
	to, err := os.CreateTemp(s.own("tmp"), "index-*")
	if err != nil {
		return "", err
	}
	defer to.Close()
	from, err := openPlain(path)
	if err != nil {
		// No index is an empty one; that is how git sees a missing file.
		return to.Name(), os.Remove(to.Name())
	}
	defer from.Close()
	info, err := from.Stat()
	if err == nil && info.Size() > maxIndex {
		err = fmt.Errorf("the index of the worktree has %d MiB: at most %d are read", info.Size()>>20, maxIndex>>20)
	}
	if err == nil {
		_, err = io.Copy(to, io.LimitReader(from, maxIndex)) // it may grow meanwhile
	}
	// The age of an index tells git which entries changed too shortly before it to be trusted.
	if err == nil {
		err = os.Chtimes(to.Name(), info.ModTime(), info.ModTime())
	}
	if err != nil {
		_ = os.Remove(to.Name())
		return "", err
	}
	return to.Name(), nil
}

// mostNamed is the most bytes of names of changed files and submodules that one look holds.
const mostNamed = 64 << 20

// read compares files, index and HEAD. One call of Git lists what is in the index, what differs from it and what is
// new: the index of a large repository is read part by part, and no part that is as it was is kept.
func (l *look) read(ctx context.Context, w Worktree) error {
	exclude := filepath.Join(l.store.common(w.Workspace, w.Session), "info", "exclude")
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
		_, err := l.store.git(doing, c)
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
			cmp.Or(l.head, emptyTree(w.Base)), "--")
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
func (l *look) include(ctx context.Context, w Worktree) error {
	var edit, unread strings.Builder
	err := l.store.User.Do(func() error { // what the user of agents may not read the Git of that user cannot either
		l.sort(w, &edit, &unread)
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
func (l *look) sort(w Worktree, edit, unread *strings.Builder) {
	add := func(path string) {
		fmt.Fprintf(edit, "100644 %s\t%s\x00", emptyBlob(w.Base), path)
	}
	drop := func(path string) {
		fmt.Fprintf(edit, "0 %s\t%s\x00", zero(w.Base), path)
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
	path = filepath.Join(l.dir, path)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrPermission): // of a folder that nobody may look into
		return &l.closed
	case err != nil || !info.Mode().IsRegular():
		return nil
	case info.Size() > mostOfFile:
		return &l.large
	case info.Mode().Perm()&0o400 != 0 && l.store.User.Owns(info):
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
			if info, err := os.Lstat(filepath.Join(l.dir, path[:i])); err != nil || !info.IsDir() {
				return false
			}
		}
	}
	info, err := os.Lstat(filepath.Join(l.dir, path))
	return err == nil && (info.IsDir() || info.Mode().IsRegular() || info.Mode()&os.ModeSymlink != 0)
}

// files fills in the changed files.
func (s *Store) files(ctx context.Context, l *look, base string, c *Changes) error {
	out, err := l.git(ctx, nil, append(diffArgs, "--raw", "--numstat", "-z", base, "--")...)
	if err != nil {
		return err
	}
	at := map[string]bool{}
	var more int
	c.Files, more = readFiles(out, l.conflicts)
	for i := range c.Files {
		at[c.Files[i].Path] = true
	}
	c.More += more
	for _, f := range slices.Concat(l.large, l.closed) {
		if !at[f.Path] {
			c.Files = append(c.Files, f)
		}
	}
	for _, path := range l.nested {
		c.Files = append(c.Files, FileChange{Path: cleanText(path), Status: Added})
	}
	for _, path := range l.submodules {
		if !at[cleanText(path)] {
			c.Files = append(c.Files, FileChange{Path: cleanText(path), Status: Modified})
		}
	}
	c.More += l.more
	return nil
}

// readFiles reads what Git's diff with --raw, --numstat and -z lists: up to mostFiles files, and how many more there
// are. Names may be any bytes but NUL.
func readFiles(out []byte, conflicts map[string]bool) (list []FileChange, more int) {
	fields := bytes.Split(bytes.TrimSuffix(out, []byte{0}), []byte{0})
	at := map[string]int{}
	next := func() string {
		if len(fields) == 0 {
			return ""
		}
		f := string(fields[0])
		fields = fields[1:]
		return f
	}
	for len(fields) > 0 {
		line := next()
		if raw, ok := strings.CutPrefix(line, ":"); ok {
			path := next()
			f := FileChange{Status: statusOf(raw[strings.LastIndexByte(raw, ' ')+1:]), Path: cleanText(path)}
			if f.Status == Renamed {
				path = next()
				f.Old, f.Path = f.Path, cleanText(path)
			}
			if conflicts[path] {
				f.Status = Conflicted
			}
			if len(list) == mostFiles {
				more++
				continue
			}
			at[f.Path] = len(list)
			list = append(list, f)
			continue
		}
		part := strings.SplitN(line, "\t", 3)
		if len(part) != 3 {
			continue
		}
		path := part[2]
		if path == "" {
			_, path = next(), next()
		}
		if i, ok := at[cleanText(path)]; ok {
			f := &list[i]
			f.Binary = part[0] == "-"
			f.Additions, _ = strconv.Atoi(part[0])
			f.Deletions, _ = strconv.Atoi(part[1])
		}
	}
	return list, more
}

// readIgnored counts what is ignored, by the session's own list at exclude and those of the repository.
func (l *look) readIgnored(ctx context.Context, exclude string) error {
	c := l.call(nil, "-c", "core.excludesFile="+exclude, "ls-files", "-z", "--others", "--ignored",
		"--exclude-standard", "--directory", "--no-empty-directory")
	c.limit = 1 << 20
	out, err := l.store.git(ctx, c)
	if err != nil && !errors.Is(err, errTooMuch) {
		return err
	}
	l.ignored = 0
	for range splitNUL(out) {
		l.ignored++
	}
	return nil
}

// editedSubmodules are those of the submodules at paths whose files differ from their own commit. The server's Git
// looks at them through a view, as at everything that an agent can configure. One that cannot be looked at counts as
// edited.
func (l *look) editedSubmodules(ctx context.Context, paths []string) ([]string, error) {
	var edited []string
	for _, path := range paths {
		dir := filepath.Join(l.dir, path)
		if !exists(filepath.Join(dir, ".git")) || !l.has(path) {
			continue // it was never filled
		}
		if clean, err := l.cleanSubmodule(ctx, dir); err != nil && ctx.Err() != nil {
			return nil, err
		} else if err != nil || !clean {
			edited = append(edited, path)
		}
	}
	return edited, nil
}

// submoduleOf is the Git folder of a submodule. It is one of the session's own: its files are for nobody else.
func (l *look) submoduleOf(dir string) (string, error) {
	gitDir := filepath.Join(dir, ".git")
	if text, err := readSmall(gitDir); err == nil {
		at, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "gitdir: ")
		if !ok {
			return "", fmt.Errorf("%s names no Git folder", gitDir)
		}
		if gitDir = at; !filepath.IsAbs(at) {
			gitDir = filepath.Join(dir, at)
		}
	}
	gitDir, err := filepath.EvalSymlinks(gitDir)
	if err != nil {
		return "", err
	}
	for _, own := range l.folders {
		if own, err = filepath.EvalSymlinks(own); err == nil &&
			strings.HasPrefix(gitDir, own+string(filepath.Separator)) {
			return gitDir, nil
		}
	}
	return "", fmt.Errorf("%s is outside of the session's folders", gitDir)
}

// cleanSubmodule is whether the files of a submodule are those of its commit, with none that is new and not ignored.
func (l *look) cleanSubmodule(ctx context.Context, dir string) (bool, error) {
	s := l.store
	var gitDir string
	var head []byte
	err := s.User.Do(func() (err error) {
		if gitDir, err = l.submoduleOf(dir); err == nil {
			head, err = readSmall(filepath.Join(gitDir, "HEAD"))
		}
		return err
	})
	if err != nil {
		return false, err
	}
	name := fmt.Sprintf(".submodule-%x", sha256.Sum256([]byte(dir)))[:40]
	view, err := s.viewAs(s.User, name, gitDir)
	if err != nil {
		return false, err
	}
	defer func() { _ = removeAll(s.own("views", name)) }()
	if err := errors.Join(writeOnce(filepath.Join(view, "HEAD"), string(head)), s.showView(view)); err != nil {
		return false, err
	}
	index, err := s.copyIndex(filepath.Join(gitDir, "index"))
	if err != nil {
		return false, err
	}
	defer os.Remove(index)
	ask := func(args ...string) ([]byte, error) {
		return s.git(ctx, call{
			gitDir: view, workTree: dir, args: args, env: []string{"GIT_INDEX_FILE=" + index}, limit: 1 << 20,
		})
	}
	out, err := ask("-c", "core.excludesFile="+filepath.Join(gitDir, "info", "exclude"), "ls-files", "-z", "--modified",
		"--others", "--exclude-standard")
	if err != nil || len(out) > 0 {
		return false, err
	}
	_, err = ask("diff-index", "--quiet", "--cached", "--ignore-submodules=dirty", "HEAD", "--")
	var f *failure
	if errors.As(err, &f) && f.exit == 1 {
		return false, nil
	}
	return err == nil, err
}

// diffArgs make git compare as the server wants, whatever the repository wishes for. The state inside a
// submodule is not asked for: git would run with the configuration found there.
var diffArgs = []string{"diff", "--no-color", "--no-ext-diff", "--no-textconv", "--ignore-submodules=dirty",
	"--submodule=short",
	"--find-renames", "--src-prefix=a/", "--dst-prefix=b/"}

func statusOf(letter string) Status {
	switch letter[:min(1, len(letter))] {
	case "A":
		return Added
	case "D":
		return Deleted
	case "R":
		return Renamed
	case "T":
		return Retyped
	case "U":
		return Conflicted
	}
	return Modified
}

// unpublished are the commits of branches that the agent made, of those alone that neither the base nor the remote has:
// a branch of others that it looked at is no work of its own.
func (s *Store) unpublished(ctx context.Context, l *look, base string) ([]string, error) {
	if len(l.made) == 0 {
		return nil, nil
	}
	args := append([]string{"rev-list"}, slices.Sorted(maps.Values(l.made))...)
	out, err := s.git(ctx, call{
		gitDir: l.view, args: append(args, "--not", base, "--glob="+origin+"*", "--"), limit: 1 << 20,
	})
	if err != nil && !errors.Is(err, errTooMuch) {
		return nil, err
	}
	own := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		own[strings.TrimSpace(line)] = true
	}
	var tips []string
	for _, sha := range l.made {
		if own[sha] {
			tips = append(tips, sha)
		}
	}
	return tips, nil
}

// ahead lists the commits of HEAD, of the session's branch and of those that the agent made that the base does not
// have.
func (s *Store) ahead(ctx context.Context, l *look, base string) ([]Commit, int, error) {
	var tips []string
	for _, sha := range []string{l.head, l.tip} {
		if sha != "" {
			tips = append(tips, sha)
		}
	}
	made, err := s.unpublished(ctx, l, base)
	if err != nil {
		return nil, 0, err
	}
	tips = append(tips, made...)
	if len(tips) == 0 {
		return nil, 0, nil
	}
	revs := append(tips, "^"+base, "--")
	out, err := s.git(ctx, call{gitDir: l.view, args: append([]string{"rev-list", "--count"}, revs...)})
	if err != nil {
		return nil, 0, err
	}
	count, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil || count == 0 {
		return nil, 0, err
	}
	out, err = s.git(ctx,
		call{gitDir: l.view, args: append([]string{"log", "-z", "--no-show-signature", "--no-notes", "--encoding=UTF-8",
			"--format=%H%x09%ct%x09%an%x09%s", "--max-count=" + strconv.Itoa(mostCommits)}, revs...)})
	if err != nil {
		return nil, 0, err
	}
	var commits []Commit
	for line := range splitNUL(out) {
		part := strings.SplitN(cleanText(line), "\t", 4)
		if len(part) != 4 {
			continue
		}
		seconds, _ := strconv.ParseInt(part[1], 10, 64)
		commits = append(commits, Commit{
			SHA: part[0], At: time.Unix(seconds, 0).UTC(), Author: part[2], Subject: part[3],
		})
	}
	return commits, count, nil
}
