package agent

import (
	"context"
	"os/exec"
	"slices"
)

// A Confiner makes a command line that runs another one with write access to some folders alone, and without write
// access to the kept paths below them. It leaves out kept paths that do not exist.
type Confiner func(argv, writable, kept []string) []string

// NewConfiner makes a Confiner with bubblewrap, or gives nil if this machine cannot run it. A confined program can read
// everything and use the network.
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
