package agent

import (
	"context"
	"os/exec"
	"slices"
)

// A Confiner makes the command line that runs another one so that it can write in some folders alone, and not in what
// is kept below them. What is kept and not there is left out.
type Confiner func(argv, writable, kept []string) []string

// NewConfiner finds out whether this machine can confine what a program writes, by bubblewrap; nil: it cannot.
// Everything is read as without it, and the network stays.
func NewConfiner(ctx context.Context) Confiner {
	can, err := sandboxAbility(ctx, nil)
	if err != nil {
		return nil
	}
	bwrap, err := exec.LookPath("bwrap")
	if err != nil {
		return nil
	}
	return func(argv, writable, kept []string) []string {
		out := slices.Concat([]string{bwrap}, can.users, []string{"--cap-drop", "ALL", "--die-with-parent", "--ro-bind",
			"/", "/",
			"--dev-bind", "/dev", "/dev", "--ro-bind-try", "/dev/shm", "/dev/shm"})
		for _, path := range writable {
			out = append(out, "--bind", path, path)
		}
		for _, path := range kept {
			out = append(out, "--ro-bind-try", path, path)
		}
		return append(append(out, "--"), argv...)
	}
}
