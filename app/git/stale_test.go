package git

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// lockedFiles are those that a fetch of a new commit, a branch that is gone and another default branch write.
var lockedFiles = []string{"refs/remotes/origin/main.lock", "packed-refs.lock", "refs/remotes/origin/HEAD.lock"}

// upstream changes the remote so that the next sync writes all references.
func upstream(t *testing.T, s *Store, remote Remote) {
	t.Helper()
	git(t, s.layout().mirrorDir("w"), "pack-refs", "--all")
	advance(t, remote, "main", "upstream.txt")
	git(t, remote.URL, "branch", "fresh", "main")
	git(t, remote.URL, "branch", "-D", "develop")
	git(t, remote.URL, "symbolic-ref", "HEAD", "refs/heads/fresh")
}

func TestALockThatNobodyHoldsIsRemovedWhicheverFileItIsFor(t *testing.T) {
	t.Parallel()
	for _, name := range lockedFiles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, remote := setup(t)
			begin(t, s, remote, "s1")
			upstream(t, s, remote)
			lock := filepath.Join(s.layout().mirrorDir("w"), name)
			write(t, s.layout().mirrorDir("w"), name, "")
			old := time.Now().Add(-time.Hour)
			must(t, os.Chtimes(lock, old, old))
			must(t, s.Sync(t.Context(), "w", remote))
			if exists(lock) {
				t.Error("the lock is still there")
			}
		})
	}
}

func TestALockThatIsHeldIsWaitedForAndThenNamed(t *testing.T) {
	t.Parallel()
	for _, name := range append(lockedFiles, "refs/heads/carillon/s2.lock") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, remote := setup(t)
			w := begin(t, s, remote, "s1")
			upstream(t, s, remote)
			write(t, w.Dir, "staged.txt", "staged\n")
			git(t, w.Dir, "add", "staged.txt")
			git(t, w.Dir, "stash")
			git(t, w.Dir, "stash", "apply", "--index")
			lock := filepath.Join(s.layout().mirrorDir("w"), name)
			write(t, s.layout().mirrorDir("w"), name, "")
			s.lockWait = time.Millisecond
			err := s.Sync(t.Context(), "w", remote)
			if err == nil {
				_, err = s.Add(t.Context(), "w", "s2", "main", "")
			}
			if !errors.Is(err, ErrLocked) || !Transient(err) ||
				!strings.Contains(text(err), filepath.Base(lock)+" was not released") {
				t.Fatalf("got %v; want ErrLocked that names %s", err, lock)
			}
			if !exists(lock) {
				t.Error("a lock of this moment was removed")
			}
			// What the session staged and put on the stash is there as before.
			git(t, w.Dir, "fsck", "--strict")
			git(t, w.Dir, "commit", "-qm", "Staged")
			git(t, w.Dir, "stash", "show", "--include-untracked")
			s.lockWait = 10 * time.Minute
			done := make(chan error, 1)
			go func() {
				err := s.Sync(t.Context(), "w", remote)
				if err == nil {
					_, err = s.Add(t.Context(), "w", "s2", "main", "")
				}
				done <- err
			}()
			must(t, os.Remove(lock))
			if err := <-done; err != nil {
				t.Errorf("when the lock was released: %v", err)
			}
		})
	}
}

func TestALockStaysWhileAGitThatMayHoldItIsAtWork(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/comm"); err != nil {
		t.Skip("this system does not tell of processes")
	}
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	holder := exec.Command("git", "cat-file", "--batch")
	holder.Dir = w.Dir
	in, err := holder.StdinPipe()
	must(t, err)
	must(t, holder.Start())
	t.Cleanup(func() { _ = holder.Wait() })
	t.Cleanup(func() { _ = in.Close() })
	lock := filepath.Join(s.layout().mirrorDir("w"), "packed-refs.lock")
	write(t, s.layout().mirrorDir("w"), "packed-refs.lock", "")
	old := time.Now().Add(-staleLockAge)
	must(t, os.Chtimes(lock, old, old))
	if !s.runner().removeStaleLock(lock) {
		t.Error("a lock older than every git at work stays")
	}
	if s.runner().gitRunningSince(time.Now().Add(time.Hour)) != true {
		t.Error("a git in a worktree is not seen")
	}
	if (&Store{Root: t.TempDir()}).runner().gitRunningSince(time.Now().Add(time.Hour)) {
		t.Error("a git of another data folder counts")
	}
}

func TestAFileOutsideOfTheRepositoriesThatARemoteNamesAsALockStays(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	outside := filepath.Join(t.TempDir(), "yarn.lock")
	old := time.Now().Add(-time.Hour)
	for _, lock := range []string{outside, filepath.Join(w.Dir, "Cargo.lock")} {
		must(t, os.WriteFile(lock, []byte("mine\n"), 0o600))
		must(t, os.Chtimes(lock, old, old))
		write(t, remote.URL, "hooks/pre-receive", "#!/bin/sh\nprintf \"error: Unable to create '"+lock+
			"': File exists.\\n\" >&2\nexit 1\n")
		must(t, os.Chmod(filepath.Join(remote.URL, "hooks/pre-receive"), 0o755))
		if err := s.Push(t.Context(), w, remote, ""); !errors.Is(err, ErrRejected) {
			t.Errorf("got %v; want ErrRejected", err)
		}
		if !exists(lock) {
			t.Errorf("%s, which is no lock of ours, was removed", lock)
		}
		said := "error: Unable to create '" + lock + "': File exists.\n"
		if s.runner().lockConflict(call{args: []string{"fetch"}}, &failure{stderr: said}) != nil {
			t.Errorf("%s counts as a lock of ours", lock)
		}
	}
}

func TestAReferenceThatAnAgentMovesDuringAFetchIsFetchedAgain(t *testing.T) {
	t.Parallel()
	s := &Store{Root: t.TempDir()}
	f := &failure{stderr: "error: cannot lock ref 'refs/remotes/origin/main': is at " +
		"1111111111111111111111111111111111111111 but expected 2222222222222222222222222222222222222222\n"}
	if s.runner().lockConflict(call{args: []string{"-c", "x=y", "fetch"}}, f) == nil {
		t.Error("a fetch is not tried again")
	}
	if s.runner().lockConflict(call{args: []string{"update-ref"}}, f) != nil {
		t.Error("an update that names what it expects is tried again")
	}
	if looksDamaged(s.runner().lockConflict(call{args: []string{"fetch"}}, f).timeout(time.Second)) {
		t.Error("it counts as damage")
	}
}

func TestGitsMessagesAreToldAsWholeSentences(t *testing.T) {
	t.Parallel()
	const advice = "\n\nAnother git process seems to be running in this repository, e.g.\nan editor opened by 'git " +
		"commit'. Please make sure all processes\n" +
		"are terminated then try again. If it still fails, a git process\nmay have crashed in this repository " +
		"earlier:\nremove the file manually to continue.\n"
	for _, tt := range []struct{ said, want string }{
		{"fatal: Unable to create '/d/packed-refs.lock': File exists." + advice,
			"Unable to create '/d/packed-refs.lock': File exists."},
		{"git@forge.example: Permission denied (publickey).\r\nfatal: Could not read from remote " +
			"repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.\n",
			"git@forge.example: Permission denied (publickey)."},
		{"fatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand " +
			"the repository exists.\n", "Could not read from remote repository."},
		{"error: one that is wrapped\nover two lines\nfatal: the end\n", "one that is wrapped over two lines; the end"},
		{"hint: do this\nwarning: and that\nremote: You shall not pass.\nremote: Ask Ada.\nTo /x\n ! [remote " +
			"rejected] main -> main (no)\nerror: failed to push some refs to '/x'\n",
			"You shall not pass.; Ask Ada.; ! [remote rejected] main -> main (no)"},
		{"error: a\nerror: b\nerror: b\nerror: c\nfatal: d\n", "b; c; d"},
	} {
		last := &tailBuffer{}
		_, _ = last.Write([]byte(tt.said))
		if got := last.message(); got != tt.want {
			t.Errorf("%q became\n%q; want\n%q", tt.said, got, tt.want)
		}
	}
}
