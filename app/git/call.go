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
	// folders are those in which Git writes beside the repository.
	folders []string
	args    []string
	env     []string
	stdin   io.ReadSeeker
	// limit is how many bytes of output are kept; 0 means 64 MiB. More output ends git.
	limit int64
	// discard keeps none of the output.
	discard bool
	// entries takes the output in place of the caller, one part that ends with NUL at a time, so that none of it is
	// held. It makes what takes the parts of one try, which keeps none of their bytes. An error of that ends git.
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

// ofAllObjects are the commands that need memory by the number of objects in the repository.
var ofAllObjects = []string{"gc", "repack", "pack-objects", "fsck"}

// asksAllObjects reports whether a call needs memory by the number of objects: a large repository is no damaged one.
func (c call) asksAllObjects() bool {
	return slices.Contains(ofAllObjects, c.command()) || slices.Contains(c.args, "--objects")
}
