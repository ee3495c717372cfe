package git

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Git locks a file by a lock file beside it. A Git that is killed leaves its lock file behind: a stale lock.

const (
	// staleLockAge is the age from which on a lock is stale that no running Git can hold. Git holds the locks of
	// references for moments.
	staleLockAge = time.Minute
	// lockRetryPause is the time between two tries at a locked file.
	lockRetryPause = 200 * time.Millisecond
	// defaultLockWait is how long a file that another Git has locked is waited for.
	defaultLockWait = 10 * time.Second
)

// lockConflict is a lock that a Git could not get.
type lockConflict struct {
	cause *failure
	file  string // the lock file; empty: a reference that another Git moved meanwhile
}

var (
	lockExists       = regexp.MustCompile(`Unable to create '([^']+\.lock)': File exists`)
	packedRefsExists = regexp.MustCompile(`unable to create file (.+/packed-refs\.new): File exists`)
	refMoved         = regexp.MustCompile(`cannot lock ref '[^']+': is at [0-9a-f]+ but expected [0-9a-f]+`)
)

// lockConflict is the lock on which a call failed; nil where it failed on none. A reference that another Git moved
// meanwhile counts for a fetch alone, since its next try reads the reference again; a call that names the value that it
// expects is not tried again. A remote can write Git's messages, so a lock file counts only in the folders where the
// server's own Git makes some.
func (g *runner) lockConflict(c call, err error) *lockConflict {
	var f *failure
	if !errors.As(err, &f) {
		return nil
	}
	if found := packedRefsExists.FindStringSubmatch(f.stderr); found != nil {
		if file := filepath.Clean(found[1]); g.inServerFolders(file) {
			return &lockConflict{cause: f, file: file}
		}
	}
	if found := lockExists.FindStringSubmatch(f.stderr); found != nil {
		file := resolveLinks(strings.TrimSuffix(filepath.Clean(found[1]), ".lock")) + ".lock"
		if g.inServerFolders(file) {
			return &lockConflict{cause: f, file: file}
		}
		return nil
	}
	if c.command() == "fetch" && refMoved.MatchString(f.stderr) {
		return &lockConflict{cause: f}
	}
	return nil
}

// inServerFolders reports whether a path is in a folder where the server's Git writes: a mirror or the server's own
// folder. A file of a worktree may be named like a lock and is none.
func (g *runner) inServerFolders(path string) bool {
	return slices.ContainsFunc(g.serverFolders(), func(dir string) bool {
		rel, err := filepath.Rel(dir, path)
		return err == nil && filepath.IsLocal(rel)
	})
}

// serverFolders are the folders in which the server's Git writes, with links followed and without.
func (g *runner) serverFolders() []string {
	var list []string
	for _, dir := range []string{filepath.Join(g.root, "repos"), g.private()} {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			list = append(list, real)
			if real != dir {
				list = append(list, dir)
			}
		}
	}
	return list
}

// resolveLinks follows the links of a path in a view. Git's messages have the path of the view, and it locks the file
// behind the links.
func resolveLinks(path string) string {
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(dir, filepath.Base(path))
	}
	if target, err := os.Readlink(path); err == nil {
		path = filepath.Join(filepath.Dir(path), target)
	}
	return path
}

// timeout is the error of a lock that was not released in time.
func (h *lockConflict) timeout(waited time.Duration) error {
	f := *h.cause
	f.cause = errors.Join(ErrLocked, h.cause.cause)
	if h.file != "" {
		f.message = fmt.Sprintf(
			"the lock file %s was not released within %s. It is removed by itself when it is older than %s and no "+
				"Git is "+
				"at work in the data folder", h.file, waited.Round(time.Second), staleLockAge)
	}
	return &f
}

// isLock reports whether a file of that name makes other Gits fail: a lock, or packed-refs.new, which Git never
// overwrites.
func isLock(path string) bool {
	return strings.HasSuffix(path, ".lock") || filepath.Base(path) == "packed-refs.new"
}

// removeStaleLock removes a stale lock and reports whether it did. A lock stays that a running Git may hold, one that
// started before the lock was made. Nothing is removed outside of the folders in which the server's Git writes.
func (g *runner) removeStaleLock(lock string) bool {
	root, name := g.openServerFolder(lock)
	if root == nil {
		return false
	}
	defer root.Close()
	info, err := root.Lstat(name)
	if errors.Is(err, os.ErrNotExist) {
		return false // it was released: the next try comes after a pause
	}
	if err != nil || !info.Mode().IsRegular() || time.Since(info.ModTime()) < staleLockAge ||
		g.gitRunningSince(info.ModTime()) {
		return false
	}
	if now, err := root.Lstat(name); err != nil || !os.SameFile(info, now) || !now.ModTime().Equal(info.ModTime()) {
		return false // another one by now
	}
	if err := root.Remove(name); err != nil {
		return false
	}
	g.log.Warn("removed a lock that a Git which was killed had left", "file", lock, "since", info.ModTime())
	return true
}

// openServerFolder opens the one of serverFolders that a path is in, and returns the rest of the path.
func (g *runner) openServerFolder(path string) (*os.Root, string) {
	for _, dir := range g.serverFolders() {
		if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
			if root, err := os.OpenRoot(dir); err == nil {
				return root, rel
			}
		}
	}
	return nil, ""
}

// removeStaleLocks removes the stale locks of the repository, also those that no later call has met.
func (repo *repository) removeStaleLocks() {
	tops := []string{repo.view, repo.exchangeDir(repo.id)}
	for _, part := range sharedParts {
		if dir, err := filepath.EvalSymlinks(filepath.Join(repo.view, part)); err == nil && part != "objects" {
			tops = append(tops, dir, filepath.Dir(dir))
		}
	}
	for _, top := range tops {
		whole := filepath.Base(top) == "refs" || top == repo.exchangeDir(repo.id)
		_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error { // a file may go meanwhile
			switch {
			case err != nil:
			case entry.IsDir() && !whole && path != top && filepath.Base(top) != "worktrees":
				return fs.SkipDir
			case isLock(path) && entry.Type().IsRegular() && repo.inServerFolders(path):
				repo.removeStaleLock(path)
			}
			return nil
		})
	}
}

// gitRunningSince reports whether a Git is at work in the data folder that started before a time. It is false where the
// system has no /proc.
func (g *runner) gitRunningSince(at time.Time) bool {
	list, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return false
	}
	booted := bootTime()
	for _, process := range list {
		name, err := os.ReadFile(filepath.Join(process, "comm"))
		if err != nil || !bytes.HasPrefix(name, []byte("git")) {
			continue
		}
		if info, err := os.Stat(process); err != nil || !g.ownProcess(info) {
			continue
		}
		if began, ok := processBegan(process, booted); ok && began.After(at.Add(time.Second)) {
			continue
		}
		if g.usesDataFolder(process) {
			return true
		}
	}
	return false
}

// usesDataFolder reports whether a process runs in the data folder or has it in its arguments. It is true for a process
// that cannot be read.
func (g *runner) usesDataFolder(process string) bool {
	dir, err := os.Readlink(filepath.Join(process, "cwd"))
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	if err != nil || dir == g.root || strings.HasPrefix(dir, g.root+string(filepath.Separator)) {
		return true
	}
	arguments, err := os.ReadFile(filepath.Join(process, "cmdline"))
	return err == nil && bytes.Contains(arguments, []byte(g.root))
}

// ownProcess reports whether a process belongs to this user or to the user of agents: both write in repositories.
func (g *runner) ownProcess(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (int(stat.Uid) == os.Geteuid() || g.user != nil && int(stat.Uid) == g.user.UID)
}

// bootTime is when the system started; zero where that is not known.
func bootTime() time.Time {
	text, _ := os.ReadFile("/proc/stat")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "btime "); ok {
			if seconds, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 64); err == nil {
				return time.Unix(seconds, 0)
			}
		}
	}
	return time.Time{}
}

// ticks is how many clock ticks /proc counts in a second.
const ticks = 100

// processBegan is when a process started: the 22nd field of /proc/<pid>/stat.
func processBegan(process string, booted time.Time) (time.Time, bool) {
	text, err := os.ReadFile(filepath.Join(process, "stat"))
	if err != nil || booted.IsZero() {
		return time.Time{}, false
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name before may hold spaces
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return time.Time{}, false
	}
	n, err := strconv.ParseInt(fields[19], 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	return booted.Add(time.Duration(n) * time.Second / ticks), true
}
