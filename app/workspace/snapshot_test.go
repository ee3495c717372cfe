package workspace

import (
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
	if again, err := s.Snapshot(t.Context(), w); err != nil || again.New || !kept.New || again.Commit != kept.Commit {
		t.Errorf("the same state gave %+v and %+v, %v; want one commit", kept, again, err)
	}
	if got := strings.Join(kept.Left, ", "); got != "1 ignored file" {
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
		if got := short(c); got != "uncommitted, 2 ahead (), added new.txt +1-0, added staged.txt +1-0, added work.txt +1-0" || c.Stashes != 1 || len(c.Branches) != 1 {
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
	if got := git(t, s.mirror("w"), "show", leftRef("s1")+":new.txt"); got != "new" {
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
