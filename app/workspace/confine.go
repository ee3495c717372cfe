package workspace

import (
	"path/filepath"
	"slices"
)

// The server's Git writes references, and files of them all, in a repository where agents in a sandbox write too. One of them may
// put a link in place of a file between the server's look at it and its Git's use of it. Such a Git is confined to what it is
// there for, where the machine can do that: through a link it then writes nowhere else. Where agents run as another user, it has
// that user's rights instead.

// writers are the commands of Git that write something else in a repository than objects.
var writers = []string{"update-ref", "symbolic-ref", "worktree", "gc"}

// confined is the command line of a call, confined where it writes.
func (s *Store) confined(c call, argv []string) []string {
	if s.Confine == nil || s.User != nil || c.gitDir == "" || c.asServer || !slices.Contains(writers, c.command()) {
		return argv
	}
	refs, err := filepath.EvalSymlinks(filepath.Join(c.gitDir, "refs")) // a view links to the mirror's, whose folder no agent replaces
	if err != nil {
		return argv
	}
	mirror := filepath.Dir(refs)
	writable := append([]string{mirror, s.own("tmp")}, c.folders...)
	var kept []string
	for _, part := range []string{"config", "HEAD", markSHA256, "hooks", "info", "objects/info"} {
		kept = append(kept, filepath.Join(mirror, filepath.FromSlash(part)))
	}
	return s.Confine(argv, writable, kept)
}
