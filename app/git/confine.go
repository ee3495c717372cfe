package git

import (
	"bytes"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// The server's Git writes references, and files of them all, in a repository where agents in a sandbox write too. One
// of them may put a link in place of a file between the server's look at it and its Git's use of it. Such a Git is
// confined to what it is there for, where the machine can do that: through a link it then writes nowhere else. Where
// agents run as another user, it has that user's rights instead.

// writers are the commands of Git that write in a repository.
var writers = []string{"update-ref", "symbolic-ref", "worktree", "gc", "write-tree", "commit-tree", "mktree",
	"update-index",
	"unpack-objects"}

// confined is the command line of a call, confined where it writes.
func (g *runner) confined(c call, argv []string) []string {
	if g.confine == nil || g.user != nil || c.gitDir == "" || c.asServer || !slices.Contains(writers, c.command()) {
		return argv
	}
	// a view links to the mirror's, whose folder no agent replaces
	refs, err := filepath.EvalSymlinks(filepath.Join(c.gitDir, "refs"))
	if err != nil {
		return argv
	}
	mirror := filepath.Dir(refs)
	var writable, kept []string
	for _, dir := range append([]string{mirror, g.private("tmp")}, c.folders...) {
		real, err := filepath.EvalSymlinks(dir) // bubblewrap binds nothing behind a link
		if err != nil {
			return argv // its Git says what is not there
		}
		writable = append(writable, real)
	}
	parts := []string{"config", "HEAD", markSHA256, "hooks", "info", "objects/info", "sessions"}
	if !c.notes() {
		parts = append(parts, "refs/carillon")
	}
	for _, part := range parts {
		kept = append(kept, filepath.Join(mirror, filepath.FromSlash(part)))
	}
	return g.confine(argv, writable, kept)
}

// notes reports whether a call may write what Carillon notes: of those that move references the ones that name it.
func (c call) notes() bool {
	const notes = "refs/carillon/"
	if command := c.command(); command != "update-ref" && command != "symbolic-ref" {
		return true
	}
	if slices.ContainsFunc(c.args, func(arg string) bool { return strings.HasPrefix(arg, notes) }) {
		return true
	}
	if c.stdin == nil {
		return false
	}
	text, err := io.ReadAll(c.stdin)
	if _, seek := c.stdin.Seek(0, io.SeekStart); err != nil || seek != nil {
		return true
	}
	return bytes.Contains(text, []byte(" "+notes))
}
