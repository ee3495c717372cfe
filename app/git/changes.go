package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
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
	maxFiles   = 5000
	maxCommits = 200
	// inspectTimeout bounds the reading of a worktree: an agent can leave files that make it wait, such as a pipe in
	// place of .gitignore.
	inspectTimeout = 2 * time.Minute
	// maxFileSize is the most bytes of a changed file that is read. A file of a terabyte costs its agent one call.
	maxFileSize = 1 << 30
)

// Changes lists the session's changes since its base: commits, the index, the files, and new files that are not
// ignored. It reads neither configuration nor programs of the repository and writes nothing there. Errors to tell
// apart: ErrNoWorktree, ErrNoMirror.
func (s *Store) Changes(ctx context.Context, w Worktree) (Changes, error) {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	in, err := s.inspect(ctx, w)
	if err != nil {
		return Changes{}, fmt.Errorf("list the changes: %w", asDamaged(err))
	}
	defer in.close()

	c := Changes{
		Head: in.head, Uncommitted: in.uncommitted, Ignored: in.ignored, Stashes: len(in.stashes),
		Branches: slices.Sorted(maps.Keys(in.branches)),
	}
	if in.head != w.Base || in.branchTip != w.Base || len(in.branches) > 0 {
		if c.Commits, c.Ahead, err = in.commitsAhead(ctx); err != nil {
			return Changes{}, fmt.Errorf("list the commits: %w", asDamaged(err))
		}
	}
	if c.Uncommitted || in.head != w.Base {
		if err := in.addFiles(ctx, &c); err != nil {
			return Changes{}, fmt.Errorf("list the changes: %w", asDamaged(err))
		}
	}
	c.Clean = !c.Uncommitted && c.Ahead == 0 && len(c.Files) == 0 && c.Stashes == 0
	return c, nil
}

// addFiles adds the changed files to c.
func (in *inspection) addFiles(ctx context.Context, c *Changes) error {
	out, err := in.git(ctx, nil, append(diffArgs, "--raw", "--numstat", "-z", in.w.Base, "--")...)
	if err != nil {
		return err
	}
	at := map[string]bool{}
	var more int
	c.Files, more = parseRawDiff(out, in.conflicts)
	for i := range c.Files {
		at[c.Files[i].Path] = true
	}
	c.More += more
	for _, f := range slices.Concat(in.large, in.unreadable) {
		if !at[f.Path] {
			c.Files = append(c.Files, f)
		}
	}
	for _, path := range in.nested {
		c.Files = append(c.Files, FileChange{Path: cleanText(path), Status: Added})
	}
	for _, path := range in.submodules {
		if !at[cleanText(path)] {
			c.Files = append(c.Files, FileChange{Path: cleanText(path), Status: Modified})
		}
	}
	c.More += in.more
	return nil
}

// parseRawDiff reads what Git's diff with --raw, --numstat and -z lists: up to maxFiles files, and how many more there
// are. Names may be any bytes but NUL.
func parseRawDiff(out []byte, conflicts map[string]bool) (list []FileChange, more int) {
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
			if len(list) == maxFiles {
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

// unpublishedTips are the tips of branches that the agent made and that neither the base nor the remote has. A branch
// of others that the agent only checked out is not its work.
func (in *inspection) unpublishedTips(ctx context.Context) ([]string, error) {
	if len(in.branches) == 0 {
		return nil, nil
	}
	args := append([]string{"rev-list"}, slices.Sorted(maps.Values(in.branches))...)
	out, err := in.repo.run(ctx, call{
		gitDir: in.repo.view, args: append(args, "--not", in.w.Base, "--glob="+origin+"*", "--"), limit: 1 << 20,
	})
	if err != nil && !errors.Is(err, errOutputLimit) {
		return nil, err
	}
	own := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		own[strings.TrimSpace(line)] = true
	}
	var tips []string
	for _, sha := range in.branches {
		if own[sha] {
			tips = append(tips, sha)
		}
	}
	return tips, nil
}

// commitsAhead lists the commits that the base does not have: of HEAD, of the session's branch and of the branches that
// the agent made.
func (in *inspection) commitsAhead(ctx context.Context) ([]Commit, int, error) {
	var tips []string
	for _, sha := range []string{in.head, in.branchTip} {
		if sha != "" {
			tips = append(tips, sha)
		}
	}
	made, err := in.unpublishedTips(ctx)
	if err != nil {
		return nil, 0, err
	}
	tips = append(tips, made...)
	if len(tips) == 0 {
		return nil, 0, nil
	}
	revs := append(tips, "^"+in.w.Base, "--")
	out, err := in.repo.git(ctx, append([]string{"rev-list", "--count"}, revs...)...)
	if err != nil {
		return nil, 0, err
	}
	count, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil || count == 0 {
		return nil, 0, err
	}
	out, err = in.repo.git(ctx, append([]string{"log", "-z", "--no-show-signature", "--no-notes", "--encoding=UTF-8",
		"--format=%H%x09%ct%x09%an%x09%s", "--max-count=" + strconv.Itoa(maxCommits)}, revs...)...)
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
