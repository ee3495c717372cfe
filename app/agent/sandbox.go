package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Sandbox runs the child under bubblewrap: the file system read-only, /tmp empty, other processes
// out of sight. The worktree (unless Turn.ReadOnly) and Turn.RunDir are writable.
type Sandbox struct {
	Writable []string // further folders: the bare repository of the worktree, the agent's home
	Hidden   []string // folders and files that the child must not read: the server's data
	Network  bool     // agents need it to reach their model
}

// SandboxAvailable tells why a sandbox cannot be had here; nil if it can. It starts bubblewrap once:
// containers often have the program and forbid what it does.
func SandboxAvailable(ctx context.Context) error {
	path, err := exec.LookPath("bwrap")
	if err != nil {
		return errors.New("bubblewrap (bwrap) is not installed")
	}
	truth, err := exec.LookPath("true")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	argv, err := (&Sandbox{}).wrap([]string{truth}, "/")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Env = []string{}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("bubblewrap does not work here: %w: %s", err, strings.TrimSpace(Clean(string(out))))
	}
	return nil
}

// wrap is the command line that runs argv inside.
func (s *Sandbox) wrap(argv []string, dir string) ([]string, error) {
	bwrap, err := exec.LookPath("bwrap")
	if err != nil {
		return nil, &Failure{Kind: FailStart, Reason: "the sandbox: bubblewrap (bwrap) is not installed",
			Fix: "Install the package bubblewrap, or switch the sandbox off.", Cause: err}
	}
	out := []string{bwrap, "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"}
	for _, path := range s.Hidden {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("the sandbox: %w", err)
		case info.IsDir():
			out = append(out, "--tmpfs", path)
		default:
			out = append(out, "--ro-bind", "/dev/null", path)
		}
	}
	if dir != "/" {
		out = append(out, "--ro-bind", dir, dir) // it may lie below /tmp or something hidden
	}
	for _, path := range s.Writable {
		out = append(out, "--bind", path, path)
	}
	out = append(out, "--chdir", dir, "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--new-session")
	if !s.Network {
		out = append(out, "--unshare-net")
	}
	return append(append(out, "--"), argv...), nil
}
