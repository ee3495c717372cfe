package git

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
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

// failure is a git command that did not succeed.
type failure struct {
	command string
	exit    int    // -1 when it did not exit by itself
	words   string // for a person
	said    string // all of it that was kept
	cause   error
	piped   bool // it had waited for a pipe in the repository, which is gone
}

func (f *failure) Error() string {
	if f.words == "" {
		return fmt.Sprintf("git %s: %v", f.command, f.cause)
	}
	return fmt.Sprintf("git %s: %s", f.command, f.words)
}

func (f *failure) Unwrap() error { return f.cause }

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

// silentEnd is all that a fetch says where the program that it gave the objects to ended without a word.
const silentEnd = "fetch-pack: invalid index-pack output"

// confinedSignal is what bubblewrap adds to the number of the signal that ended its program.
const confinedSignal = 128

// gitMemory is how many bytes of data a Git holds that looks at what an agent committed: Git reads a commit, a tree or
// a tag whole, and an agent writes them of any size. Files above core.bigFileThreshold are not held.
const gitMemory = 1 << 30

// noMemory is what Git says where memory is refused.
const noMemory = "fatal: Out of memory"

// ofAllObjects are the commands that need memory by the number of objects in the repository.
var ofAllObjects = []string{"gc", "repack", "pack-objects", "fsck"}

// asksAllObjects reports whether a call needs memory by the number of objects: a large repository is no damaged one.
func (c call) asksAllObjects() bool {
	return slices.Contains(ofAllObjects, c.command()) || slices.Contains(c.args, "--objects")
}

// bounded is the command line of a call with a limit to its data. Where a system knows no such limit, there is none.
func (s *Store) bounded(c call, argv []string) []string {
	if c.gitDir == "" || c.asServer || c.asksAllObjects() {
		return argv
	}
	limit := strconv.FormatInt(s.memory()>>10, 10) // in KiB
	return append([]string{"/bin/sh", "-c", `ulimit -d "$0" 2>/dev/null; exec "$@"`, limit}, argv...)
}

func (s *Store) memory() int64 { return cmp.Or(s.mostMemory, gitMemory) }

// errTooMuch says that there was more output than the call's limit; what fits is returned with it.
var errTooMuch = errors.New("more output than the limit")

// Version is the version of the git program, "2.39.5". It is an error when there is none, or one too old.
func (s *Store) Version(ctx context.Context) (string, error) {
	out, err := s.git(ctx, call{args: []string{"version"}})
	if err != nil {
		return "", err
	}
	found := regexp.MustCompile(`(\d+)\.(\d+)[0-9.]*`).FindStringSubmatch(string(out))
	if found == nil {
		return "", fmt.Errorf("git gave no version: %q", out)
	}
	major, _ := strconv.Atoi(found[1])
	minor, _ := strconv.Atoi(found[2])
	if major < 2 || major == 2 && minor < 31 {
		return found[0], fmt.Errorf("git %s is too old: Carillon needs Git 2.31 or newer", found[0])
	}
	return strings.TrimRight(found[0], "."), nil
}

// overrides wins over every configuration file that a command reads, those of a worktree included.
var overrides = []string{
	"core.hooksPath=/dev/null",
	"core.fsmonitor=false",
	"core.untrackedCache=false",
	"core.quotePath=false",
	"core.bigFileThreshold=16m", // larger files are shown as binary instead of being held in memory
	"credential.helper=",
	"gc.auto=0",
	"maintenance.auto=false",
	"protocol.ext.allow=never",
	"safe.directory=*",
	"submodule.recurse=false",
	"http.lowSpeedLimit=1000",
	"http.lowSpeedTime=60",
}

// sshCommand never asks: a host seen for the first time is trusted and remembered, a changed one is refused.
const sshCommand = "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o ConnectTimeout=15 -o " +
	"ServerAliveInterval=15 -o ServerAliveCountMax=4"

// localLimit bounds a Git that reaches no remote: what agents left in a repository may hold it up for ever. Packing the
// largest repositories takes less.
const localLimit = time.Hour

// errEndless says that a Git did not end within localLimit.
var errEndless = fmt.Errorf("it did not end within %s: %w", localLimit, context.DeadlineExceeded)

// git runs git and returns its standard output. It ends git and everything git started when ctx is done. A file that
// another git has locked is waited for; one that stays locked is ErrLocked.
func (s *Store) git(ctx context.Context, c call) ([]byte, error) {
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
		out, err := s.once(ctx, c)
		if f := (*failure)(nil); errors.As(err, &f) && f.piped && ctx.Err() == nil {
			continue
		}
		held := s.lockOf(c, err)
		if held == nil {
			return out, err
		}
		if held.file != "" && s.breakLock(held.file) {
			continue
		}
		if waited := time.Since(begun); waited > s.lockPatience() {
			return out, held.failure(waited)
		}
		select {
		case <-ctx.Done():
			return out, errors.Join(held.failure(time.Since(begun)), ctx.Err())
		case <-time.After(lockPause):
		}
	}
}

// once runs git once.
func (s *Store) once(ctx context.Context, c call) ([]byte, error) {
	program, err := s.program()
	if err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		return nil, fmt.Errorf("prepare git: %w", diskFull(err))
	}
	var args []string
	for _, o := range overrides {
		args = append(args, "-c", o)
	}
	if c.gitDir != "" {
		args = append(args, "--git-dir="+c.gitDir)
	}
	if c.workTree != "" {
		args = append(args, "--work-tree="+c.workTree, "--literal-pathspecs")
	}
	args = append(args, c.args...)

	limit := c.limit
	if limit == 0 {
		limit = 64 << 20
	}
	out := &head{left: limit}
	last := &tail{}
	argv := s.confined(c, append([]string{program}, args...))
	confined := argv[0] != program
	argv = s.bounded(c, argv)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = cmp.Or(c.workTree, s.own("home"))
	cmd.Env = append(s.environment(), c.env...)
	if c.stdin != nil {
		cmd.Stdin = c.stdin
	}
	cmd.Stdout, cmd.Stderr = out, last
	parts := &splitter{}
	switch {
	case c.discard:
		cmd.Stdout = nil
	case c.entries != nil:
		parts.take = c.entries()
		cmd.Stdout = parts
	}
	// A group of its own: git starts ssh, remote helpers and packers, which must end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	start := cmd.Start
	if (c.workTree != "" || c.gitDir != "") && !c.asServer {
		start = func() error { return s.User.Start(cmd) }
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 2 * time.Second

	piped := false
	if err = start(); err == nil {
		relieved := s.relieve(c, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) })
		err = cmd.Wait()
		piped = relieved()
	}
	if cmd.Process != nil && (err != nil || ctx.Err() != nil) {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	switch {
	case parts.err != nil:
		return nil, parts.err
	case out.over:
		return out.buf.Bytes(), errTooMuch
	case err == nil:
		return out.buf.Bytes(), nil
	}
	killed := wasKilled(cmd.ProcessState)
	f := &failure{
		command: c.command(), exit: -1, words: redact(last.words(), c.secrets),
		said: redact(cleanText(string(last.buf)), c.secrets), cause: err,
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		f.exit = exit.ExitCode()
	}
	if confined && f.exit > confinedSignal && f.exit < confinedSignal+65 {
		// so bubblewrap tells that its program was killed
		f.exit, killed = -1, true
	}
	f.piped = piped
	if ctx.Err() != nil {
		f.words, f.said, f.cause = "", "", ctx.Err()
		if errors.Is(context.Cause(ctx), errEndless) {
			f.cause = errEndless
		}
	}
	switch {
	case ctx.Err() != nil: // ended by us
	case strings.Contains(f.said, noMemory):
		f.words, f.cause = fmt.Sprintf("it needs more than %d MiB of memory", s.memory()>>20),
			errors.Join(ErrTooLarge, err)
	case saysDiskFull(f.said) || s.diskIsFull():
		f.cause = errors.Join(ErrDiskFull, err)
	case killed || strings.Contains(f.said, " died of signal ") || f.words == silentEnd:
		// git itself, or one that it had started
		f.cause = errors.Join(ErrKilled, err)
	}
	return out.buf.Bytes(), f
}

func (s *Store) program() (string, error) {
	name := s.Git
	if name == "" {
		name = "git"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("find git: %w", err)
	}
	return filepath.Abs(path)
}

// protectedConfig is what git reads as the person's own configuration. Only there, and not in -c, does the
// upload-pack that git starts for a path find that it may read another person's repository.
const protectedConfig = "[safe]\n\tdirectory = *\n[protocol \"ext\"]\n\tallow = never\n[gc]\n\tauto = 0\n"

func (s *Store) prepare() error {
	for _, dir := range []string{s.own("home"), s.own("tmp"), s.own("empty"), filepath.Join(s.root(), "repos"),
		filepath.Join(s.root(), "worktrees")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return errors.Join(writeOnce(s.own("home", ".gitconfig"), protectedConfig), s.letIn())
}

// writeOnce makes the file hold exactly the text, for all to see at once. A link or pipe in its place is
// replaced; a folder is an error.
func writeOnce(path, text string) error {
	if was, err := readSmall(path); err == nil && string(was) == text {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// mostSmall is how much readSmall reads, in bytes.
const mostSmall = 64 << 10

// readSmall reads a file that an agent can replace: never through a link, never waiting, at most 64 KiB.
func readSmall(path string) ([]byte, error) {
	f, err := openPlain(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, mostSmall))
}

// readTheirs is readSmall with the rights of the user of agents, who may replace the folders on the way too.
func (s *Store) readTheirs(path string) (text []byte, err error) {
	err = s.User.Do(func() (err error) {
		text, err = readSmall(path)
		return err
	})
	return text, err
}

// readBelow reads a file below a root as readSmall does.
func readBelow(root *os.Root, name string, most int64) ([]byte, error) {
	if info, err := root.Lstat(name); err != nil || !info.Mode().IsRegular() {
		return nil, cmp.Or(err, fmt.Errorf("%s is not a file", name))
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, cmp.Or(err, fmt.Errorf("%s is not a file", name))
	}
	return io.ReadAll(io.LimitReader(f, most))
}

// openPlain opens a file for reading that is neither link nor pipe.
func openPlain(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, cmp.Or(err, fmt.Errorf("%s is not a file", path))
	}
	return f, nil
}

// passed are the variables of the server that its git needs to reach a remote.
var passed = []string{
	"PATH", "TMPDIR", "TZ", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH",
	"CURL_CA_BUNDLE",
	"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
}

func (s *Store) environment() []string {
	env := []string{
		"HOME=" + s.own("home"), // ssh finds keys and known hosts by the user's record, not by HOME
		"LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=" + s.own("home", ".gitconfig"),
		"GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_ASKPASS=true",
		"SSH_ASKPASS_REQUIRE=never",
		"GIT_SSH_COMMAND=" + sshCommand,
		"GIT_SSH_VARIANT=ssh",
		"GIT_ALLOW_PROTOCOL=https:http:ssh:file",
		"GIT_LFS_SKIP_SMUDGE=1",
		"GIT_OPTIONAL_LOCKS=0",
		"GIT_NO_REPLACE_OBJECTS=1",
		"GIT_EDITOR=true",
		"GIT_PAGER=cat",
		"GIT_AUTHOR_NAME=Carillon", "GIT_AUTHOR_EMAIL=carillon@localhost",
		"GIT_COMMITTER_NAME=Carillon", "GIT_COMMITTER_EMAIL=carillon@localhost",
	}
	for _, name := range passed {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// wasKilled is whether a process was ended by a signal.
func wasKilled(state *os.ProcessState) bool {
	if state == nil {
		return false
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled()
}

// saysDiskFull is whether git says that a file could not be written, which it names no cause for in many places: it
// opens a file that it may not write to before it writes.
func saysDiskFull(said string) bool {
	return slices.ContainsFunc([]string{
		"No space left on device", "Disk quota exceeded", "Out of diskspace", "couldn't write '",
		"failed to write new configuration file", "unable to write loose object file",
	}, func(words string) bool { return strings.Contains(said, words) })
}

// leastRoom is how many bytes a disk has that is not full: what git writes at once is less.
const leastRoom = 64 << 10

// diskIsFull is whether the disk with the data folder has no room left.
func (s *Store) diskIsFull() bool {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(s.root(), &disk); err != nil {
		return false
	}
	return uint64(disk.Bavail)*uint64(disk.Bsize) < leastRoom || disk.Files > 0 && disk.Ffree == 0
}

// diskFull gives an error that comes from a full disk the name by which callers know it.
func diskFull(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}

// head keeps the first bytes written to it and refuses the rest.
type head struct {
	buf  bytes.Buffer
	left int64
	over bool
}

func (h *head) Write(p []byte) (int, error) {
	if int64(len(p)) > h.left {
		h.buf.Write(p[:h.left])
		h.left, h.over = 0, true
		return 0, errTooMuch
	}
	h.left -= int64(len(p))
	return h.buf.Write(p)
}

// splitter hands over what is written to it, part by part: each ends with NUL.
type splitter struct {
	take func([]byte) error
	rest []byte // of a part whose end was not written yet
	err  error
}

// longestPart is the most bytes of a part that a splitter waits for the end of.
const longestPart = 1 << 20

func (s *splitter) Write(p []byte) (int, error) {
	written := len(p)
	for s.err == nil {
		part, rest, ended := bytes.Cut(p, []byte{0})
		if !ended {
			break
		}
		if len(s.rest) > 0 {
			part = append(s.rest, part...)
			s.rest = s.rest[:0]
		}
		s.err, p = s.take(part), rest
	}
	if s.rest = append(s.rest, p...); s.err == nil && len(s.rest) > longestPart {
		s.err = errTooMuch
	}
	if s.err != nil {
		return 0, s.err
	}
	return written, nil
}

// tail keeps the last bytes written to it.
type tail struct {
	buf []byte
	cut bool // the beginning is gone
}

func (t *tail) Write(p []byte) (int, error) {
	const most = 8 << 10
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*most {
		t.buf, t.cut = append(t.buf[:0], t.buf[len(t.buf)-most:]...), true
	}
	return len(p), nil
}

// mostMessages is how many of git's messages a failure tells.
const mostMessages = 3

// words are git's last messages for a person, each whole, in one line and without git's prefixes. Git wraps a message
// over several lines, and may follow it with a paragraph of advice for a terminal, which is left out.
func (t *tail) words() string {
	text := cleanText(string(t.buf))
	if t.cut { // it begins within a line
		_, text, _ = strings.Cut(text, "\n")
	}
	var messages []string
	wraps, advice := false, false // the next line may go on with the last message, or is advice
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r", "\n"), "\n") {
		indented := strings.HasPrefix(line, " ")
		line = strings.TrimSpace(strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, line))
		if line == "" {
			advice, wraps = wraps, false
			continue
		}
		said, prefixed := message(line)
		switch {
		case prefixed:
			advice = false
		case advice:
			continue
		}
		switch goesOn := wraps && !prefixed && !indented; {
		case said == "" || strings.HasPrefix(said, "To ") || strings.HasPrefix(said, "failed to push some refs"):
			wraps = false
		case len(messages) > 0 && said == "Could not read from remote repository.":
			wraps = true // ssh has said why
		case goesOn:
			messages[len(messages)-1] += " " + said
		default:
			messages, wraps = append(messages, said), prefixed && !strings.HasPrefix(line, "remote: ")
		}
	}
	messages = slices.Compact(messages)
	if len(messages) > mostMessages {
		messages = messages[len(messages)-mostMessages:]
	}
	words := strings.Join(messages, "; ")
	if r := []rune(words); len(r) > 600 {
		words = string(r[:600]) + "…"
	}
	return words
}

// message is a line without the prefix by which git begins a message, and whether it had one. Of a hint or a warning
// nothing is left.
func message(line string) (said string, prefixed bool) {
	for _, prefix := range []string{"hint: ", "warning: "} {
		if strings.HasPrefix(line, prefix) {
			return "", true
		}
	}
	for _, prefix := range []string{"remote: ", "fatal: ", "error: ", "ERROR: "} {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			line, prefixed = strings.TrimSpace(rest), true
		}
	}
	return line, prefixed
}

// cleanText is text that a database takes: valid UTF-8 without NUL.
func cleanText(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

func redact(text string, secrets []string) string {
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "•••")
		}
	}
	return text
}
