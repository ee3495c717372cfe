package git

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestASessionGoesOnElsewhereWithAllThatItsLastTurnLeft(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "work.txt", "work\n")
	git(t, w.Dir, "add", "work.txt")
	git(t, w.Dir, "commit", "-qm", "Work")
	write(t, w.Dir, "README.md", "stashed\n")
	git(t, w.Dir, "stash")
	git(t, w.Dir, "checkout", "-qb", "mine")
	git(t, w.Dir, "commit", "-qm", "Mine", "--allow-empty")
	git(t, w.Dir, "checkout", "-q", "carillon/s1")
	write(t, w.Dir, "staged.txt", "staged\n")
	git(t, w.Dir, "add", "staged.txt")
	write(t, w.Dir, "new.txt", "new\n")
	write(t, w.Dir, "work.txt", "more work\n")
	write(t, w.Dir, "ignored.log", "x")
	status, head := git(t, w.Dir, "status", "--porcelain"), git(t, w.Dir, "rev-parse", "HEAD")
	kept, err := s.Snapshot(t.Context(), w)
	must(t, err)
	if moved, err := s.ChangedSinceSnapshot(t.Context(), w); err != nil || moved {
		t.Errorf("it moved on from its snapshot: %v, %v", moved, err)
	}
	if again, err := s.Snapshot(t.Context(), w); err != nil || again.New || !kept.New || again.Commit != kept.Commit {
		t.Errorf("the same state gave %+v and %+v, %v; want one commit", kept, again, err)
	}
	if got := strings.Join(kept.Omitted, ", "); got != "1 ignored file" {
		t.Errorf("it does not hold %q; want the ignored file alone", got)
	}
	if got := git(t, w.Dir, "status", "--porcelain"); got != status || git(t, w.Dir, "rev-parse", "HEAD") != head {
		t.Errorf("the worktree's HEAD or index moved:\n%s", got)
	}
	expect := func(s *Store, w Worktree) {
		t.Helper()
		c, err := s.Changes(t.Context(), w)
		must(t, err)
		c.Commits = nil // of one second, in any order
		if got := short(
			c); got != "uncommitted, 2 ahead (), added new.txt +1-0, added staged.txt +1-0, added work.txt +1-0" ||
			c.Stashes != 1 || len(c.Branches) != 1 {
			t.Errorf("got changes %s with %d on the stash and the branches %q", got, c.Stashes, c.Branches)
		}
	}
	expect(s, w)
	must(t, s.PushSnapshot(t.Context(), w, remote))
	must(t, s.PushSnapshot(t.Context(), w, remote))

	advance(t, remote, "main", "of-others.txt")
	other := &Store{Root: filepath.Join(t.TempDir(), "other")}
	must(t, other.Sync(t.Context(), "w", remote))
	if has, err := other.Has(t.Context(), "w", "s1"); err != nil || has {
		t.Errorf("the other worker has it: %v, %v", has, err)
	}
	moved, found, err := other.Restore(t.Context(), "w", "s1", w.Base, remote)
	if err != nil || !found || moved.Base != w.Base || moved.Branch != w.Branch {
		t.Fatalf("got %+v, %v, %v; want the session at its base %s", moved, found, err, w.Base)
	}
	expect(other, moved)
	if got := git(t, moved.Dir, "rev-parse", "HEAD"); got != head {
		t.Errorf("it stands at %s; want its last commit %s", got, head)
	}
	git(t, moved.Dir, "stash", "drop")
	if has, err := other.Has(t.Context(), "w", "s1"); err != nil || !has {
		t.Errorf("after that the other worker has it: %v, %v", has, err)
	}
	if _, found, err := other.Restore(t.Context(), "w", "s2", w.Base, remote); err != nil || found {
		t.Errorf("of a session without a snapshot: %v, %v", found, err)
	}
	must(t, s.Leave(t.Context(), "w", "s1", w.Base))
	if has, err := s.Has(t.Context(), "w", "s1"); err != nil || has || exists(w.Dir) {
		t.Errorf("the worker that the session left has it: %v, %v", has, err)
	}
	if got := git(t, s.layout().mirrorDir("w"), "show", leftRef("s1")+":new.txt"); got != "new" {
		t.Errorf("what the session left there is %q", got)
	}
	must(t, s.Leave(t.Context(), "w", "s1", w.Base))
}

func TestASnapshotIsTakenDuringAMergeAndWithoutACommit(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "README.md", "ours\n")
	git(t, w.Dir, "commit", "-qam", "Ours")
	git(t, w.Dir, "checkout", "-q", "-b", "theirs", "HEAD~1")
	write(t, w.Dir, "README.md", "theirs\n")
	git(t, w.Dir, "commit", "-qam", "Theirs")
	git(t, w.Dir, "checkout", "-q", "carillon/s1")
	tryGit(w.Dir, "merge", "-q", "theirs")
	kept, err := s.Snapshot(t.Context(), w)
	must(t, err)
	if got := git(t, w.Dir, "show", kept.Commit+":README.md"); !strings.Contains(got, "<<<<<<<") {
		t.Errorf("of the conflict it holds %q", got)
	}
	w2 := begin(t, s, remote, "s2")
	git(t, w2.Dir, "checkout", "-q", "--orphan", "blank")
	if _, err := s.Snapshot(t.Context(), w2); err != nil {
		t.Error(err)
	}
}

func TestASnapshotHoldsTheCommitsOfTheSessionsBranchThatItsWorktreeLeft(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "work.txt", "work\n")
	git(t, w.Dir, "add", "work.txt")
	git(t, w.Dir, "commit", "-qm", "Work")
	tip := git(t, w.Dir, "rev-parse", "HEAD")
	git(t, w.Dir, "checkout", "-qb", "mine", w.Base)
	git(t, w.Dir, "commit", "-qm", "Mine", "--allow-empty")
	write(t, w.Dir, "new.txt", "new\n")
	head := git(t, w.Dir, "rev-parse", "HEAD")
	_, err := s.Snapshot(t.Context(), w)
	must(t, err)
	must(t, s.PushSnapshot(t.Context(), w, remote))
	other := &Store{Root: filepath.Join(t.TempDir(), "other")}
	must(t, other.Sync(t.Context(), "w", remote))
	moved, found, err := other.Restore(t.Context(), "w", "s1", w.Base, remote)
	if err != nil || !found {
		t.Fatalf("got %v, %v; want the session", found, err)
	}
	if got := git(t, moved.Dir, "rev-parse", "HEAD", "carillon/s1", "mine"); got != head+"\n"+tip+"\n"+head {
		t.Errorf("HEAD, its branch and the other stand at\n%s\nwant\n%s\n%s\n%s", got, head, tip, head)
	}
	if got := git(t, moved.Dir, "status", "--porcelain"); got != "?? new.txt" {
		t.Errorf("its files are %q; want the new one", got)
	}
}

func TestARestoreThatIsInterruptedBeginsAnew(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "README.md", "stashed\n")
	git(t, w.Dir, "stash")
	write(t, w.Dir, "new.txt", "new\n")
	_, err := s.Snapshot(t.Context(), w)
	must(t, err)
	must(t, s.PushSnapshot(t.Context(), w, remote))
	other := &Store{Root: filepath.Join(t.TempDir(), "other")}
	must(t, other.Sync(t.Context(), "w", remote))
	real, err := exec.LookPath("git")
	must(t, err)
	for _, command := range []string{"worktree add", "read-tree --reset -u", "read-tree --reset"} {
		dir := t.TempDir()
		write(t, dir, "git", "#!/bin/sh\ncase \"$*\" in *\" "+command+" \"*) exit 9;; esac\nexec "+real+" \"$@\"\n")
		must(t, os.Chmod(filepath.Join(dir, "git"), 0o755))
		other.Git = filepath.Join(dir, "git")
		if _, _, err := other.Restore(t.Context(), "w", "s1", w.Base, remote); err == nil {
			t.Fatalf("without %s it succeeded", command)
		}
		if has, err := other.Has(t.Context(), "w", "s1"); err != nil || has {
			t.Errorf("after %s failed the worker counts as one that has the session: %v, %v", command, has, err)
		}
	}
	other.Git = ""
	moved, found, err := other.Restore(t.Context(), "w", "s1", w.Base, remote)
	if err != nil || !found || moved.Base != w.Base {
		t.Fatalf("got %+v, %v, %v; want the session", moved, found, err)
	}
	c, err := other.Changes(t.Context(), moved)
	must(t, err)
	if short(c) != "uncommitted, added new.txt +1-0" || c.Stashes != 1 {
		t.Errorf("got %s with %d on the stash; want all of it", short(c), c.Stashes)
	}
}

func TestWhatASessionLeavesBehindIsKeptWhateverItsBaseIsElsewhere(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "new.txt", "new\n")
	// it began anew elsewhere, from a commit that is not here
	must(t, s.Leave(t.Context(), "w", "s1", strings.Repeat("1", 40)))
	if got := git(t, s.layout().mirrorDir("w"), "show", leftRef("s1")+":new.txt"); got != "new" || exists(w.Dir) {
		t.Errorf("what the session left there is %q", got)
	}

	swept := begin(t, s, remote, "s2")
	write(t, swept.Dir, "work.txt", "work\n")
	git(t, swept.Dir, "add", "work.txt")
	git(t, swept.Dir, "commit", "-qm", "Work")
	must(t, s.Remove(t.Context(), "w", "s2", true)) // its branch is all that there is
	must(t, s.Leave(t.Context(), "w", "s2", swept.Base))
	if got := git(t, s.layout().mirrorDir("w"), "show", leftRef("s2")+":work.txt"); got != "work" {
		t.Errorf("of the branch of a session without a worktree it kept %q", got)
	}
}

func TestASessionIsNotLeftWhileItsStateCannotBeKept(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "new.txt", "new\n")
	write(t, s.layout().mirrorDir("w"), snapshotRef("s1")+".lock", "")
	s.lockWait = 1
	if err := s.Leave(t.Context(), "w", "s1", w.Base); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v; want ErrLocked", err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Leave(over, "w", "s1", w.Base); !Transient(err) {
		t.Errorf("got %v; want the end of the context", err)
	}
	expectChanges(t, s, w, "uncommitted, added new.txt +1-0")
}
