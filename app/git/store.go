// Package git is Git for sessions: it mirrors a workspace's repository, gives every session a worktree and a branch of
// its own, and lists what an agent changed there. It knows nothing of automations or agents: it is given ids and a
// remote, and it hands back folders, changes and errors.
//
// A coding agent works in a worktree and can write everything that its Git reads, the repository's
// configuration included. So the server's own Git never reads that configuration: it works through a view
// (view.go), a Git folder of its own that shares the objects, branches and worktrees of the mirror.
//
// Store has the operations that other packages call. A runner runs the programs of Git, a repository is the repository
// of one workspace, an inspection is the state of a worktree, a layout has the paths, and a cleaner removes what an
// agent must not leave in a repository.
package git

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"carillon/app/runas"
)

// Store keeps the mirrors and worktrees of all workspaces under one folder. Its zero value with Root set is
// ready; it must not be copied. Several processes on one machine may share a Root.
type Store struct {
	// Root is the data folder. Beneath it: repos/<workspace>.git (mirrors), worktrees/<session>, homes/<workspace>
	// (what sandboxes keep), git (what the server alone reads and writes: views, locks, the settings of its Git).
	Root string
	// Git is the git program, 2.31 or newer. Empty: the one found on the PATH.
	Git string
	// Reach checks the host of a remote before Git connects to it, and returns the addresses to which Git may connect;
	// nil: any.
	Reach func(ctx context.Context, host string) ([]netip.Addr, error)
	// User is the user of agents, where that is not the server's own user: it owns the worktrees, and Git has its
	// rights where it reads and writes their files. nil: the server's own user.
	User *runas.User
	// Confine returns a command line that runs another one so that it can write in some folders alone, and not in the
	// kept paths below them. nil: the machine cannot confine a program, or need not.
	Confine func(argv, writable, kept []string) []string
	// Log gets a line for each repair of a repository; nil is slog's default.
	Log *slog.Logger

	locks       locks
	memoryLimit int64         // how many bytes of data a Git holds; 0: defaultMemoryLimit
	lockWait    time.Duration // how long a file that another Git has locked is waited for; 0: defaultLockWait
}

// Worktree is the folder and branch of one session. Keep Branch and Base with the session: Changes and Diff use these
// values and none from the repository, where an agent can write.
type Worktree struct {
	Workspace, Session string
	// Dir is the absolute path of the folder.
	Dir string
	// Branch is the session's branch, without refs/heads/.
	Branch string
	// Base is the commit that the session started from.
	Base string

	user *runas.User // whose files these are; nil: the server's own
}

var (
	// ErrNoMirror says that the workspace has no repository here: neither Sync nor Scratch made one yet.
	ErrNoMirror = errors.New("the workspace has no repository yet")
	// ErrNoWorktree says that the session has no worktree, or no longer one.
	ErrNoWorktree = errors.New("the session has no worktree")
	// ErrDiskFull says that the disk with the data folder has no room left.
	ErrDiskFull = errors.New("the disk is full")
	// ErrLocked says that another Git holds a lock in the repository. The error's text names the file.
	ErrLocked = errors.New("a file of the repository is locked")
	// ErrTooLarge says that Git would need more memory than it may have for what is in the repository.
	ErrTooLarge = errors.New("an object of the repository is too large")
	// ErrKilled says that a Git was killed from outside, as by a system that has no memory left.
	ErrKilled = errors.New("a Git was killed")
	// ErrDamaged says that objects or references of the repository are missing or broken. Repair may help.
	ErrDamaged = errors.New("the repository is damaged")
)

// Transient reports whether an error comes from the machine, its disk or the network, and not from the request: the
// same call may succeed later. It is one of ErrLocked, ErrUnreachable, ErrDiskFull, ErrKilled, ErrDamaged and an end of
// the context.
func Transient(err error) bool {
	for _, kind := range []error{ErrLocked, ErrUnreachable, ErrDiskFull, ErrKilled, ErrDamaged, context.Canceled,
		context.DeadlineExceeded} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// Version is the version of the git program, "2.39.5". It is an error when there is none, or one too old.
func (s *Store) Version(ctx context.Context) (string, error) {
	out, err := s.runner().run(ctx, call{args: []string{"version"}})
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

// Worktree is the worktree of a session, by its stored branch and base. An empty branch is SessionBranch.
func (s *Store) Worktree(workspaceID, sessionID, branch, base string) Worktree {
	if branch == "" {
		branch = SessionBranch(sessionID)
	}
	return Worktree{
		Workspace: workspaceID, Session: sessionID,
		Dir: s.layout().worktreeDir(sessionID), Branch: branch, Base: base, user: s.User,
	}
}

// SessionBranch is the name of the branch that a session gets unless it is given another.
func SessionBranch(sessionID string) string { return "carillon/" + sessionID }

var idForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// checkID refuses an id that cannot be the name of a folder and a part of a branch's name.
func checkID(ids ...string) error {
	for _, id := range ids {
		if !idForm.MatchString(id) || strings.Contains(id, "..") || strings.HasSuffix(id, ".") ||
			strings.HasSuffix(id, ".lock") {
			return fmt.Errorf("%q cannot be an id", id)
		}
	}
	return nil
}
