package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"carillon/app/runas"
)

// view makes sure that the workspace's view exists and returns it. A view is a Git folder whose configuration
// belongs to the server; objects, branches and worktrees are links to those of the mirror. So filters, diff
// drivers, URL rewrites, credential helpers and the like that somebody set in the mirror are not even read.
func (s *Store) view(workspaceID string) (string, error) {
	if err := checkID(workspaceID); err != nil {
		return "", err
	}
	mirror := s.mirror(workspaceID)
	if !exists(mirror) {
		return "", ErrNoMirror
	}
	view, err := s.viewOf(workspaceID, mirror)
	if err != nil {
		return "", fmt.Errorf("prepare the repository: %w", diskFull(err))
	}
	return view, nil
}

// shared is what a view has in common with its mirror.
var shared = []string{"objects", "refs", "packed-refs", "shallow", "worktrees"}

// viewOf makes the view of the repository at mirror. Name is the workspace's id, or a temporary one.
func (s *Store) viewOf(name, mirror string) (string, error) {
	view, err := s.viewAs(nil, name, mirror)
	if err != nil {
		return "", err
	}
	return view, s.share(view, mirror)
}

// viewAs makes the view of a repository whose files a user has, and touches those with that user's rights alone.
func (s *Store) viewAs(user *runas.User, name, mirror string) (string, error) {
	view := s.own("views", name)
	if err := os.MkdirAll(view, 0o700); err != nil {
		return "", err
	}
	sha256 := false
	err := user.Do(func() error {
		sha256 = ofSHA256(mirror)
		return errors.Join(s.settle(mirror), s.ownReferences(mirror))
	})
	if err != nil {
		return "", err
	}
	for _, part := range shared {
		target, err := filepath.Rel(view, filepath.Join(mirror, part))
		if err != nil {
			return "", err
		}
		if err := linkOnce(filepath.Join(view, part), target); err != nil {
			return "", err
		}
	}
	if err := writeOnce(filepath.Join(view, "config"), configOf(sha256)); err != nil {
		return "", err
	}
	return view, writeOnce(filepath.Join(view, "HEAD"), noHead)
}

// settle sees to it that a repository can be viewed: what a view has in common with it is there and its own. What an
// agent put in the place of a file of Git, such as a link or a pipe, is removed: it would hold up or mislead each Git
// from then on.
func (s *Store) settle(mirror string) error {
	// Git removes the folder of the worktrees with the last of them; the link to it must not lead nowhere.
	if err := os.MkdirAll(filepath.Join(mirror, "worktrees"), 0o700); err != nil {
		return err
	}
	for _, part := range []string{"objects", "refs", "worktrees"} {
		// Through a link of an agent's making the server would write where the agent cannot.
		if info, err := os.Lstat(filepath.Join(mirror, part)); err == nil && info.Mode()&os.ModeSymlink != 0 {
			return fmt.Errorf("%s in the repository is a link, which Carillon did not make", part)
		}
	}
	for _, part := range []string{"packed-refs", "shallow"} {
		info, err := os.Lstat(filepath.Join(mirror, part))
		if err != nil || info.Mode().IsRegular() {
			continue
		}
		if err := removeAll(filepath.Join(mirror, part)); err != nil {
			return err
		}
		s.foreign(mirror, part)
	}
	return s.ownObjects(mirror, false)
}

// foreign tells in the log that something was removed from a repository which an agent had put there.
func (s *Store) foreign(mirror, what string) {
	s.log().Warn("removed from the repository what neither Git nor Carillon makes", "what", what, "repository",
		filepath.Base(mirror))
}

// noHead is the HEAD of mirrors and views. It never becomes a branch: what has a HEAD are the worktrees.
const noHead = "ref: refs/heads/carillon-has-no-head\n"

// markSHA256 is the file by which Carillon notes that the names of a mirror's objects are SHA-256.
const markSHA256 = "carillon-sha256"

// ofSHA256 reports whether the names of a mirror's objects are SHA-256. The mark alone does not say so: where there is
// none, an agent can make it, but in a sandbox it cannot write the mirror's configuration.
func ofSHA256(mirror string) bool {
	if !exists(filepath.Join(mirror, markSHA256)) {
		return false
	}
	config, err := readSmall(filepath.Join(mirror, "config"))
	return err != nil || formatSHA256.Match(config)
}

var formatSHA256 = regexp.MustCompile(`(?im)^\s*objectformat\s*=\s*sha256\s*$`)

// configOf is the whole configuration of a view, and the first one of a mirror.
func configOf(sha256 bool) string {
	const core = "\tbare = true\n\tlogAllRefUpdates = false\n"
	if sha256 {
		return "[core]\n\trepositoryformatversion = 1\n" + core + "[extensions]\n\tobjectFormat = sha256\n"
	}
	return "[core]\n\trepositoryformatversion = 0\n" + core
}

// resolve looks names up in one go and returns the commits that they stand for, empty where there is none.
func (s *Store) resolve(ctx context.Context, view string, names ...string) ([]string, error) {
	var in strings.Builder
	for _, name := range names {
		if strings.ContainsAny(name, "\n\x00") {
			return nil, fmt.Errorf("%q cannot be a name in Git", name)
		}
		fmt.Fprintf(&in, "%s^{commit}\n", name)
	}
	out, err := s.git(ctx, call{
		gitDir: view, args: []string{"cat-file", "--batch-check=%(objectname) %(objecttype)"},
		stdin: strings.NewReader(in.String()),
	})
	if err != nil {
		return nil, err
	}
	commits := make([]string, len(names))
	for i, line := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		if sha, ok := strings.CutSuffix(line, " commit"); ok && i < len(commits) && isSHA(sha) {
			commits[i] = sha
		}
	}
	return commits, nil
}

func isSHA(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

// zero is the id that means "no object", as long as the repository's ids are.
func zero(sha string) string { return strings.Repeat("0", len(sha)) }

// emptyBlob is the id of an empty file.
func emptyBlob(sha string) string {
	if len(sha) == 64 {
		return "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813"
	}
	return "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
}
