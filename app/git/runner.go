package git

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"carillon/app/runas"
)

// runner runs the programs of Git for a store: with an environment of the server's own, with the rights, the memory and
// the folders that a call may have, and again where a lock or a pipe was in the way.
type runner struct {
	layout
	name     string // of the program, or its path
	user     *runas.User
	judge    func(ctx context.Context, host string) ([]netip.Addr, error) // Store.Reach
	confine  func(argv, writable, kept []string) []string
	log      *slog.Logger
	locks    *locks
	memory   int64         // how many bytes of data a Git holds
	lockWait time.Duration // how long a file that another Git has locked is waited for
}

// runner is the runner with what the store is set to.
func (s *Store) runner() *runner {
	return &runner{
		layout: s.layout(), name: cmp.Or(s.Git, "git"), user: s.User, judge: s.Reach, confine: s.Confine,
		log: cmp.Or(s.Log, slog.Default()), locks: &s.locks,
		memory: cmp.Or(s.mostMemory, gitMemory), lockWait: cmp.Or(s.lockWait, lockPatience),
	}
}

// gitMemory is how many bytes of data a Git holds that looks at what an agent committed: Git reads a commit, a tree or
// a tag whole, and an agent writes them of any size. Files above core.bigFileThreshold are not held.
const gitMemory = 1 << 30

// localLimit bounds a Git that reaches no remote: what agents left in a repository may hold it up for ever. Packing the
// largest repositories takes less.
const localLimit = time.Hour

// errEndless says that a Git did not end within localLimit.
var errEndless = fmt.Errorf("it did not end within %s: %w", localLimit, context.DeadlineExceeded)

// run runs Git and returns its standard output. It ends Git and everything Git started when ctx is done. A file that
// another Git has locked is waited for; one that stays locked is ErrLocked.
func (g *runner) run(ctx context.Context, c call) ([]byte, error) {
	if !c.asServer {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, localLimit, errEndless)
		defer cancel()
	}
	for begun := time.Now(); ; {
		if c.stdin != nil {
			if _, err := c.stdin.Seek(0, io.SeekStart); err != nil {
				return nil, err
			}
		}
		out, err := g.once(ctx, c)
		if f := (*failure)(nil); errors.As(err, &f) && f.piped && ctx.Err() == nil {
			continue
		}
		held := g.lockOf(c, err)
		if held == nil {
			return out, err
		}
		if held.file != "" && g.breakLock(held.file) {
			continue
		}
		if waited := time.Since(begun); waited > g.lockWait {
			return out, held.failure(waited)
		}
		select {
		case <-ctx.Done():
			return out, errors.Join(held.failure(time.Since(begun)), ctx.Err())
		case <-time.After(lockPause):
		}
	}
}

// once runs Git once.
func (g *runner) once(ctx context.Context, c call) ([]byte, error) {
	program, err := g.program()
	if err != nil {
		return nil, err
	}
	if err := g.prepare(); err != nil {
		return nil, fmt.Errorf("prepare git: %w", diskFull(err))
	}
	argv := g.confined(c, commandLine(program, c))
	confined := argv[0] != program
	argv = g.bounded(c, argv)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = cmp.Or(c.workTree, g.private("home"))
	cmd.Env = append(g.environment(), c.env...)
	if c.stdin != nil {
		cmd.Stdin = c.stdin
	}
	out, parts, last := &head{left: cmp.Or(c.limit, outputLimit)}, &splitter{}, &tail{}
	cmd.Stdout, cmd.Stderr = out, last
	switch {
	case c.discard:
		cmd.Stdout = nil
	case c.entries != nil:
		parts.take = c.entries()
		cmd.Stdout = parts
	}
	piped, err := g.wait(ctx, c, cmd)
	switch {
	case parts.err != nil:
		return nil, parts.err
	case out.over:
		return out.buf.Bytes(), errTooMuch
	case err == nil:
		return out.buf.Bytes(), nil
	}
	f := g.failure(ctx, c, cmd, confined, last, err)
	f.piped = piped
	return out.buf.Bytes(), f
}

// commandLine is the program with the arguments of a call, and with the settings that every call has.
func commandLine(program string, c call) []string {
	argv := []string{program}
	for _, o := range overrides {
		argv = append(argv, "-c", o)
	}
	if c.gitDir != "" {
		argv = append(argv, "--git-dir="+c.gitDir)
	}
	if c.workTree != "" {
		argv = append(argv, "--work-tree="+c.workTree, "--literal-pathspecs")
	}
	return append(argv, c.args...)
}

// wait starts a Git and waits for its end. It reports whether the Git had waited for a pipe in the repository, which is
// removed by now.
func (g *runner) wait(ctx context.Context, c call, cmd *exec.Cmd) (piped bool, err error) {
	// A group of its own: git starts ssh, remote helpers and packers, which must end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	start := cmd.Start
	if (c.workTree != "" || c.gitDir != "") && !c.asServer {
		start = func() error { return g.user.Start(cmd) }
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 2 * time.Second
	if err = start(); err == nil {
		relieved := g.relieve(c, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) })
		err = cmd.Wait()
		piped = relieved()
	}
	if cmd.Process != nil && (err != nil || ctx.Err() != nil) {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	return piped, err
}

// noMemory is what Git says where memory is refused.
const noMemory = "fatal: Out of memory"

// silentEnd is all that a fetch says where the program that it gave the objects to ended without a word.
const silentEnd = "fetch-pack: invalid index-pack output"

// confinedSignal is what bubblewrap adds to the number of the signal that ended its program.
const confinedSignal = 128

// failure is the error of a Git that ended with err, with the kind by which callers know it.
func (g *runner) failure(ctx context.Context, c call, cmd *exec.Cmd, confined bool, last *tail, err error) *failure {
	f := &failure{
		command: c.command(), exit: -1, words: redact(last.words(), c.secrets),
		said: redact(cleanText(string(last.buf)), c.secrets), cause: err,
	}
	killed := wasKilled(cmd.ProcessState)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		f.exit = exit.ExitCode()
	}
	if confined && f.exit > confinedSignal && f.exit < confinedSignal+65 {
		// so bubblewrap tells that its program was killed
		f.exit, killed = -1, true
	}
	switch {
	case ctx.Err() != nil: // ended by us
		f.words, f.said, f.cause = "", "", ctx.Err()
		if errors.Is(context.Cause(ctx), errEndless) {
			f.cause = errEndless
		}
	case strings.Contains(f.said, noMemory):
		f.words = fmt.Sprintf("it needs more than %d MiB of memory", g.memory>>20)
		f.cause = errors.Join(ErrTooLarge, err)
	case saysDiskFull(f.said) || g.diskIsFull():
		f.cause = errors.Join(ErrDiskFull, err)
	case killed || strings.Contains(f.said, " died of signal ") || f.words == silentEnd:
		// git itself, or one that it had started
		f.cause = errors.Join(ErrKilled, err)
	}
	return f
}

// bounded is the command line of a call with a limit to its data. Where a system knows no such limit, there is none.
func (g *runner) bounded(c call, argv []string) []string {
	if c.gitDir == "" || c.asServer || c.asksAllObjects() {
		return argv
	}
	limit := strconv.FormatInt(g.memory>>10, 10) // in KiB
	return append([]string{"/bin/sh", "-c", `ulimit -d "$0" 2>/dev/null; exec "$@"`, limit}, argv...)
}

// leastRoom is how many bytes a disk has that is not full: what git writes at once is less.
const leastRoom = 64 << 10

// diskIsFull is whether the disk with the data folder has no room left.
func (g *runner) diskIsFull() bool {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(g.root, &disk); err != nil {
		return false
	}
	return uint64(disk.Bavail)*uint64(disk.Bsize) < leastRoom || disk.Files > 0 && disk.Ffree == 0
}
