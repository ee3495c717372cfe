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

// runner runs Git: in an environment of the server's own, with the rights, memory and folders that a call may have. It
// runs a call again that failed on a lock or a pipe.
type runner struct {
	layout
	program     string // name or path
	user        *runas.User
	reach       func(ctx context.Context, host string) ([]netip.Addr, error) // Store.Reach
	confine     func(argv, writable, kept []string) []string
	log         *slog.Logger
	locks       *locks
	memoryLimit int64         // how many bytes of data a Git holds
	lockWait    time.Duration // how long a file that another Git has locked is waited for
}

// runner returns a runner with the settings of the store.
func (s *Store) runner() *runner {
	return &runner{
		layout: s.layout(), program: cmp.Or(s.Git, "git"), user: s.User, reach: s.Reach, confine: s.Confine,
		log: cmp.Or(s.Log, slog.Default()), locks: &s.locks,
		memoryLimit: cmp.Or(s.memoryLimit, defaultMemoryLimit), lockWait: cmp.Or(s.lockWait, defaultLockWait),
	}
}

// defaultMemoryLimit is how many bytes of data a Git may hold that reads what an agent committed: Git reads a commit, a
// tree or a tag whole, and an agent writes them of any size. Files above core.bigFileThreshold are not held.
const defaultMemoryLimit = 1 << 30

// localTimeout bounds a Git that reaches no remote: files that agents left in a repository may make it wait for ever.
// Packing the largest repositories takes less time.
const localTimeout = time.Hour

// errLocalTimeout says that a Git did not end within localTimeout.
var errLocalTimeout = fmt.Errorf("it did not end within %s: %w", localTimeout, context.DeadlineExceeded)

// run runs Git and returns its standard output. It ends Git and everything Git started when ctx is done. A file that
// another Git has locked is waited for; one that stays locked is ErrLocked.
func (g *runner) run(ctx context.Context, c call) ([]byte, error) {
	if !c.asServer {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, localTimeout, errLocalTimeout)
		defer cancel()
	}
	for start := time.Now(); ; {
		if c.stdin != nil {
			if _, err := c.stdin.Seek(0, io.SeekStart); err != nil {
				return nil, err
			}
		}
		out, err := g.once(ctx, c)
		if f := (*failure)(nil); errors.As(err, &f) && f.pipeRemoved && ctx.Err() == nil {
			continue
		}
		conflict := g.lockConflict(c, err)
		if conflict == nil {
			return out, err
		}
		if conflict.file != "" && g.removeStaleLock(conflict.file) {
			continue
		}
		if waited := time.Since(start); waited > g.lockWait {
			return out, conflict.timeout(waited)
		}
		select {
		case <-ctx.Done():
			return out, errors.Join(conflict.timeout(time.Since(start)), ctx.Err())
		case <-time.After(lockRetryPause):
		}
	}
}

// once runs Git once and returns its standard output. The error is a *failure where Git did not succeed.
func (g *runner) once(ctx context.Context, c call) ([]byte, error) {
	program, err := g.findProgram()
	if err != nil {
		return nil, err
	}
	if err := g.prepare(); err != nil {
		return nil, fmt.Errorf("prepare git: %w", diskFull(err))
	}
	argv := g.withConfinement(c, commandLine(program, c))
	confined := argv[0] != program
	argv = g.withMemoryLimit(c, argv)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = cmp.Or(c.workTree, g.private("home"))
	cmd.Env = append(g.environment(), c.env...)
	if c.stdin != nil {
		cmd.Stdin = c.stdin
	}
	out, entries, stderr := &limitedBuffer{room: cmp.Or(c.limit, outputLimit)}, &splitter{}, &tailBuffer{}
	cmd.Stdout, cmd.Stderr = out, stderr
	switch {
	case c.discard:
		cmd.Stdout = nil
	case c.entries != nil:
		entries.take = c.entries()
		cmd.Stdout = entries
	}
	pipeRemoved, err := g.execute(ctx, c, cmd)
	switch {
	case entries.err != nil:
		return nil, entries.err
	case out.exceeded:
		return out.buf.Bytes(), errOutputLimit
	case err == nil:
		return out.buf.Bytes(), nil
	}
	f := g.newFailure(ctx, c, cmd, confined, stderr, err)
	f.pipeRemoved = pipeRemoved
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

// execute starts a Git and waits for its end. It reports whether the Git had waited for a pipe in the repository, which
// was removed.
func (g *runner) execute(ctx context.Context, c call, cmd *exec.Cmd) (pipeRemoved bool, err error) {
	// A group of its own: git starts ssh, remote helpers and packers, which must end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	start := cmd.Start
	if (c.workTree != "" || c.gitDir != "") && !c.asServer {
		start = func() error { return g.user.Start(cmd) }
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 2 * time.Second
	if err = start(); err == nil {
		stop := g.unblockPipes(c, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) })
		err = cmd.Wait()
		pipeRemoved = stop()
	}
	if cmd.Process != nil && (err != nil || ctx.Err() != nil) {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	return pipeRemoved, err
}

// outOfMemory is Git's message where memory is refused.
const outOfMemory = "fatal: Out of memory"

// indexPackDied is the only message of a fetch whose git index-pack ended without a message.
const indexPackDied = "fetch-pack: invalid index-pack output"

// sandboxSignal is added by bubblewrap to the number of the signal that ended its program, and is then its exit code.
const sandboxSignal = 128

// newFailure is the error of a Git that ended with err. It wraps the kind of error that callers can tell apart.
func (g *runner) newFailure(ctx context.Context, c call, cmd *exec.Cmd, confined bool, stderr *tailBuffer,
	err error) *failure {
	f := &failure{
		command: c.command(), exit: -1, message: redact(stderr.message(), c.secrets),
		stderr: redact(cleanText(string(stderr.buf)), c.secrets), cause: err,
	}
	killed := wasKilled(cmd.ProcessState)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		f.exit = exit.ExitCode()
	}
	if confined && f.exit > sandboxSignal && f.exit < sandboxSignal+65 {
		// bubblewrap's program was killed
		f.exit, killed = -1, true
	}
	switch {
	case ctx.Err() != nil: // ended by us
		f.message, f.stderr, f.cause = "", "", ctx.Err()
		if errors.Is(context.Cause(ctx), errLocalTimeout) {
			f.cause = errLocalTimeout
		}
	case strings.Contains(f.stderr, outOfMemory):
		f.message = fmt.Sprintf("it needs more than %d MiB of memory", g.memoryLimit>>20)
		f.cause = errors.Join(ErrTooLarge, err)
	case reportsDiskFull(f.stderr) || g.diskIsFull():
		f.cause = errors.Join(ErrDiskFull, err)
	case killed || strings.Contains(f.stderr, " died of signal ") || f.message == indexPackDied:
		// git itself, or one that it had started
		f.cause = errors.Join(ErrKilled, err)
	}
	return f
}

// withMemoryLimit is the command line of a call with a limit to its data, where the system has such a limit.
func (g *runner) withMemoryLimit(c call, argv []string) []string {
	if c.gitDir == "" || c.asServer || c.readsAllObjects() {
		return argv
	}
	limit := strconv.FormatInt(g.memoryLimit>>10, 10) // in KiB
	return append([]string{"/bin/sh", "-c", `ulimit -d "$0" 2>/dev/null; exec "$@"`, limit}, argv...)
}

// minFreeBytes is how many free bytes a disk has that is not full. Git writes less at once.
const minFreeBytes = 64 << 10

// diskIsFull is whether the disk with the data folder has no room left.
func (g *runner) diskIsFull() bool {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(g.root, &disk); err != nil {
		return false
	}
	return uint64(disk.Bavail)*uint64(disk.Bsize) < minFreeBytes || disk.Files > 0 && disk.Ffree == 0
}
