package git

import (
	"io"
	"slices"
)

// call is one run of git.
type call struct {
	// gitDir is the repository, usually a view; empty for a command that needs none.
	gitDir string
	// workTree is the folder whose files are compared with the index. Git runs there, else in the server's own
	// folder, where no repository is found by accident.
	workTree string
	// asServer runs Git with the rights of the server: it reaches remotes with keys and tokens, which no process of the
	// user of agents may see. Every other call on a repository has the rights of that user, where there is one: what
	// the user put there, such as a link, leads to nothing that the user itself could not reach.
	asServer bool
	// folders are the folders besides the repository in which Git writes.
	folders []string
	args    []string
	env     []string
	stdin   io.ReadSeeker
	// limit is how many bytes of output are kept; 0 means 64 MiB. More output ends git.
	limit int64
	// discard keeps none of the output.
	discard bool
	// entries makes, for each try, a function that gets the output in place of the caller, one part that ends with NUL
	// at a time. The function must not keep the bytes. An error that it returns ends Git.
	entries func() func(entry []byte) error
	// secrets never appear in an error.
	secrets []string
}

// command is the name of the command, after the settings that may stand before it.
func (c call) command() string {
	for i := 0; i < len(c.args); i++ {
		if c.args[i] == "-c" {
			i++
		} else {
			return c.args[i]
		}
	}
	return ""
}

// objectCommands are the commands whose need of memory grows with the number of objects in the repository.
var objectCommands = []string{"gc", "repack", "pack-objects", "fsck"}

// readsAllObjects reports whether the memory that a call needs grows with the number of objects in the repository.
func (c call) readsAllObjects() bool {
	return slices.Contains(objectCommands, c.command()) || slices.Contains(c.args, "--objects")
}
