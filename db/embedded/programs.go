package embedded

import (
	"context"
	"os/exec"
	"path/filepath"
)

// Programs are those of PostgreSQL for who keeps a cluster himself, as tests do that stop a server in every way.
type Programs struct {
	Bin    string // their folder
	runner runner
}

// FindPrograms finds the programs for clusters below a folder of this user. bin is as in Find. A caller can tell
// ErrNoBinaries apart.
func FindPrograms(ctx context.Context, bin, dir string) (*Programs, error) {
	bin, err := Find(bin, 0)
	if err != nil {
		return nil, err
	}
	r, err := chooseRunner(ctx, Config{Dir: dir}, bin, filepath.Join(dir, "cluster"))
	if err != nil {
		return nil, err
	}
	return &Programs{Bin: bin, runner: r}, nil
}

// Command is a call of one of the programs, in a process group of its own that ends with this process on Linux. Root
// runs it as somebody else, since PostgreSQL refuses to be root.
func (p *Programs) Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.Bin, name), args...)
	cmd.Env = environment
	cmd.SysProcAttr = p.runner.attributes()
	cmd.SysProcAttr.Setpgid = true
	dieWithParent(cmd.SysProcAttr)
	return cmd
}

// Own gives a file or a folder to the user who runs the programs.
func (p *Programs) Own(path string) error { return p.runner.own(path) }
