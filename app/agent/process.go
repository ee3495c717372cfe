package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"carillon/app/crash"
	"carillon/app/runas"
)

// command is a program to start.
type command struct {
	argv  []string // argv[0] is looked up in PATH unless it has a slash
	dir   string
	env   []string
	stdin io.Reader // nil: closed
	// pipeIn gives the child a pipe, process.stdin, for a dialogue.
	pipeIn  bool
	grace   time.Duration
	sandbox *Sandbox
	bounds  bounds
	user    *runas.User // user of the process; nil: the server's user
	// a folder that is locked until all descendants of the child have ended, even if this process dies before
	hold string
}

// process is a child under its shim.
type process struct {
	stdin          *os.File // pipe for a dialogue
	stdout, stderr *os.File
	cmd            *exec.Cmd
	life, report   *os.File
	stopping       sync.Once
	grace          time.Duration
}

// start starts a program under a shim. The caller must read stdout and stderr to their end and then call wait.
func start(c command) (*process, error) {
	if !shimReady.Load() {
		return nil, errors.New("agent.MaybeShim was not called at the start of this program")
	}
	path, err := exec.LookPath(c.argv[0])
	if err != nil {
		return nil, err
	}
	argv := append([]string{path}, c.argv[1:]...)
	if c.sandbox != nil {
		c.sandbox.user = c.user
		if argv, err = c.sandbox.wrap(argv, c.dir); err != nil {
			return nil, err
		}
	}
	self, err := selfPath()
	if err != nil {
		return nil, err
	}
	if !c.user.Runs(path) {
		return nil, &Failure{Kind: FailStart,
			Reason: fmt.Sprintf("the user %s, as whom agents and scripts run, may not run %s",
				c.user.Name, path),
			Fix: "Install the program where every user can read and run it."}
	}
	c.bounds.Grace, c.bounds.User = c.grace.Milliseconds(), c.user
	limits, err := json.Marshal(c.bounds)
	if err != nil {
		return nil, err
	}
	p := &process{grace: c.grace, cmd: &exec.Cmd{
		Path: self,
		Args: append([]string{shimName, string(limits)}, argv...),
		Dir:  c.dir,
		Env:  c.env,
		// A session of its own: no terminal to ask for a password on, no Ctrl-C meant for the server.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}}
	var theirs []*os.File
	pipe := func(childReads bool) (ours, child *os.File) {
		r, w, e := os.Pipe()
		if e != nil {
			err = errors.Join(err, e)
			return nil, nil
		}
		ours, child = r, w
		if childReads {
			ours, child = w, r
		}
		theirs = append(theirs, child)
		return ours, child
	}
	var childOut, childErr, childLife, childReport *os.File
	p.stdout, childOut = pipe(false)
	p.stderr, childErr = pipe(false)
	p.life, childLife = pipe(true)
	p.report, childReport = pipe(false)
	p.cmd.Stdout, p.cmd.Stderr = childOut, childErr
	p.cmd.ExtraFiles = []*os.File{childLife, childReport}
	if c.hold != "" {
		held, e := lockFolder(c.hold)
		if e == nil {
			theirs, p.cmd.ExtraFiles = append(theirs, held), append(p.cmd.ExtraFiles, held)
		}
		err = errors.Join(err, e)
	}
	switch {
	case c.pipeIn:
		var childIn *os.File
		p.stdin, childIn = pipe(true)
		p.cmd.Stdin = childIn
	case c.stdin != nil:
		p.cmd.Stdin = c.stdin
	}
	if err == nil {
		err = p.cmd.Start()
	}
	for _, f := range theirs {
		f.Close()
	}
	if err != nil {
		p.close()
		return nil, err
	}
	crash.Here(crash.AgentStarted)
	return p, nil
}

// lockFolder opens a folder with a shared lock. The lock belongs to the open file, so child processes that inherit the
// file keep it.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}

// Ended reports whether all processes have ended that were started with a folder as RunDir, also by a process that has
// died since.
func Ended(runDir string) (bool, error) {
	f, err := os.Open(runDir)
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // closing releases the lock
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// stop asks the shim to end the child and all its descendants.
func (p *process) stop() {
	p.stopping.Do(func() {
		p.life.Close()
		// The shim ends by itself; this is for a shim that was stopped by a debugger or the kernel.
		time.AfterFunc(p.grace+20*time.Second, func() { _ = p.cmd.Process.Kill() })
	})
}

// wait returns when the shim and all its descendants have ended. The caller closes drained when it has read both
// outputs to their end.
func (p *process) wait(drained <-chan struct{}) ending {
	var e ending
	if err := json.NewDecoder(p.report).Decode(&e); err != nil {
		e = ending{Exit: -1, Start: "the process that watches over it was killed"}
	}
	// Only a process that the kernel cannot end may still have the pipes.
	timer := time.AfterFunc(2*time.Second, func() {
		p.stdout.Close()
		p.stderr.Close()
	})
	<-drained
	timer.Stop()
	_ = p.cmd.Wait() // the shim's own status is not needed
	p.close()
	return e
}

func (p *process) close() {
	for _, f := range []*os.File{p.stdin, p.stdout, p.stderr, p.report} {
		if f != nil {
			f.Close()
		}
	}
	if p.life != nil {
		p.stopping.Do(func() { p.life.Close() })
	}
}

// startFailure is the failure of a program that does not start, with a hint what to do.
func (r *run) startFailure(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	f = &Failure{Kind: FailStart, Reason: fmt.Sprintf("cannot start %s: %v", r.Command[0], err), Cause: err}
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		f.Reason = fmt.Sprintf("%s is not installed: no program %s was found", r.Name, r.Command[0])
		f.Fix = strings.TrimSpace(r.Install)
	}
	return f
}

// capture runs a program to its end and returns the start of its output.
func capture(ctx context.Context, c command) (string, ending, error) {
	p, err := start(c)
	if err != nil {
		return "", ending{}, err
	}
	defer context.AfterFunc(ctx, p.stop)()
	var out []byte
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		var wg sync.WaitGroup
		wg.Go(func() {
			out, _ = io.ReadAll(io.LimitReader(p.stdout, 64<<10))
			_, _ = io.Copy(io.Discard, p.stdout)
		})
		wg.Go(func() { _, _ = io.Copy(io.Discard, p.stderr) })
		wg.Wait()
	}()
	end := p.wait(drained)
	return Clean(string(out)), end, nil
}
