package git

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"

	"carillon/app/runas"
)

// A view is a Git folder whose configuration belongs to the server; objects, branches and worktrees are links to those
// of the mirror. So filters, diff drivers, URL rewrites, credential helpers and the like that somebody set in the
// mirror are not even read.

// sharedParts are the parts of a mirror that its view links to.
var sharedParts = []string{"objects", "refs", "packed-refs", "shallow", "worktrees"}

// prepareView makes the repository's view, or repairs it, and removes files from the mirror that would block or mislead
// the server's Git.
func (repo *repository) prepareView() error {
	if err := repo.makeView(nil, repo.view, repo.mirror); err != nil {
		return err
	}
	return repo.grantRepository()
}

// makeView makes the view of a repository that belongs to a user, whose files it reads and writes with the user's
// rights alone.
func (g *runner) makeView(user *runas.User, view, mirror string) error {
	if err := os.MkdirAll(view, 0o700); err != nil {
		return err
	}
	sha256 := false
	err := user.Do(func() error {
		sha256 = usesSHA256(mirror)
		c := g.cleaner(mirror)
		return errors.Join(c.cleanShared(), c.cleanReferences())
	})
	if err != nil {
		return err
	}
	for _, part := range sharedParts {
		target, err := filepath.Rel(view, filepath.Join(mirror, part))
		if err != nil {
			return err
		}
		if err := linkAtomic(filepath.Join(view, part), target); err != nil {
			return err
		}
	}
	if err := writeAtomic(filepath.Join(view, "config"), configOf(sha256)); err != nil {
		return err
	}
	return writeAtomic(filepath.Join(view, "HEAD"), noHead)
}

// noHead is the HEAD of mirrors and views. It never becomes a branch: only worktrees have a HEAD that is used.
const noHead = "ref: refs/heads/carillon-has-no-head\n"

// markSHA256 is a file that marks a mirror whose object ids are SHA-256.
const markSHA256 = "carillon-sha256"

// usesSHA256 reports whether the object ids of a mirror are SHA-256. The mark alone is no proof: where it is missing,
// an agent can make it, but in a sandbox it cannot write the mirror's configuration.
func usesSHA256(mirror string) bool {
	if !exists(filepath.Join(mirror, markSHA256)) {
		return false
	}
	config, err := readSmall(filepath.Join(mirror, "config"))
	return err != nil || formatSHA256.Match(config)
}

var formatSHA256 = regexp.MustCompile(`(?im)^\s*objectformat\s*=\s*sha256\s*$`)

// configOf is the configuration of a view, and the first configuration of a mirror.
func configOf(sha256 bool) string {
	const core = "\tbare = true\n\tlogAllRefUpdates = false\n"
	if sha256 {
		return "[core]\n\trepositoryformatversion = 1\n" + core + "[extensions]\n\tobjectFormat = sha256\n"
	}
	return "[core]\n\trepositoryformatversion = 0\n" + core
}
