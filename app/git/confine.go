package git

import (
	"bytes"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// The server's Git writes references, and files of them all, in a repository where agents in a sandbox write too. One
// of them may put a link in place of a file after the server checked the file and before its Git uses it. Such a Git
// may therefore write in its repository alone, where the machine can confine it: through a link it then writes nowhere
// else. Where agents run as another user, it has that user's rights instead.

// writingCommands are the commands of Git that write in a repository.
var writingCommands = []string{"update-ref", "symbolic-ref", "worktree", "gc", "write-tree", "commit-tree", "mktree",
	"update-index",
	"unpack-objects"}

// withConfinement is the command line of a call, confined to the repository where the call writes.
func (g *runner) withConfinement(c call, argv []string) []string {
	if g.confine == nil || g.user != nil || c.gitDir == "" || c.asServer ||
		!slices.Contains(writingCommands, c.command()) {
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
			return argv // Git reports what is missing
		}
		writable = append(writable, real)
	}
	parts := []string{"config", "HEAD", markSHA256, "hooks", "info", "objects/info", "sessions"}
	if !c.writesNotes() {
		parts = append(parts, "refs/carillon")
	}
	for _, part := range parts {
		kept = append(kept, filepath.Join(mirror, filepath.FromSlash(part)))
	}
	return g.confine(argv, writable, kept)
}

// writesNotes reports whether a call may write Carillon's own references (refs/carillon): every call but one that moves
// references and names none of these.
func (c call) writesNotes() bool {
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
