package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestTwentySessionsGetTheirWorktreesAtOnce(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	if err := s.Sync(t.Context(), "w", remote); err != nil {
		t.Fatal(err)
	}
	other := &Store{Root: s.Root} // as another process would have
	trees := make([]Worktree, 20)
	var all sync.WaitGroup
	for i := range trees {
		all.Go(func() {
			store := s
			if i%2 == 1 {
				store = other
			}
			w, err := store.Add(t.Context(), "w", fmt.Sprintf("s%d", i), "main", "")
			if err != nil {
				t.Error(err)
			}
			trees[i] = w
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	for i, w := range trees {
		if got := git(t, w.Dir, "status", "--porcelain", "--branch"); got != fmt.Sprintf("## carillon/s%d", i) {
			t.Errorf("the agent's git sees %q", got)
		}
	}
	expectChanges(t, s, trees[7], "clean")
}

func TestAnAgentsGitWorksInAWorktree(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	for _, args := range [][]string{
		{"fsck"}, {"log", "origin/main"}, {"worktree", "list"}, {"stash", "list"},
		{"commit", "-q", "--allow-empty", "-m", "Nothing"}, {"rebase", "-q", "origin/main"},
		{"merge", "-q", "origin/develop"}, {"gc", "-q"},
	} {
		git(t, w.Dir, args...)
	}
	if got, want := git(t, w.Dir, "rev-parse", "--absolute-git-dir"), s.layout().adminDir("w", "s1"); got != want {
		t.Errorf("its Git folder is %s; want %s", got, want)
	}
	expectChanges(t, s, w, "1 ahead (Nothing)")
}

func TestABaseIsABranchOfTheRemoteAndNeverOneThatAnAgentLeft(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	git(t, w.Dir, "branch", "release")
	git(t, w.Dir, "branch", "-f", "develop", git(t, w.Dir, "commit-tree", "-m", "An agent's", "HEAD^{tree}"))
	for _, base := range []string{"release", "carillon/s1"} {
		var missing *NoBranch
		if _, err := s.Add(t.Context(), "w", "s2", base, ""); !errors.As(err, &missing) {
			t.Errorf("a session began at %s, which the remote does not have: %v", base, err)
		}
	}
	got, err := s.Add(t.Context(), "w", "s3", "develop", "")
	if want := git(t, remote.URL, "rev-parse", "develop"); err != nil || got.Base != want {
		t.Errorf("the base is %s, %v; want the remote's develop, %s", got.Base, err, want)
	}
	must(t, s.Scratch(t.Context(), "own"))
	own, err := s.Add(t.Context(), "own", "s4", "", "")
	must(t, err)
	git(t, own.Dir, "update-ref", "refs/remotes/origin/main", git(t, own.Dir, "commit-tree", "-m", "An agent's",
		"HEAD^{tree}"))
	if again, err := s.Add(t.Context(), "own", "s5", "main", ""); err != nil || again.Base != own.Base {
		t.Errorf("in a repository without a remote the base is %s, %v; want %s", again.Base, err, own.Base)
	}
}

func TestTheBaseIsTheCommitThatTheWorktreeBeganFrom(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	first := begin(t, s, remote, "s1")
	advance(t, remote, "main", "of-others.txt")
	must(t, s.Sync(t.Context(), "w", remote))
	if again := begin(t, s, remote, "s1"); again.Base != first.Base {
		t.Errorf("after a fetch of others the base is %s; want %s", again.Base, first.Base)
	}
	write(t, first.Dir, "work.txt", "work\n")
	git(t, first.Dir, "add", "work.txt")
	git(t, first.Dir, "commit", "-qm", "Work")
	must(t, s.Remove(t.Context(), "w", "s1", true))
	if again := begin(t, s, remote, "s1"); again.Base != first.Base {
		t.Errorf("of a worktree that came back with its branch the base is %s; want %s", again.Base, first.Base)
	}
	git(t, s.layout().mirrorDir("w"), "update-ref", "-d", baseRef("s1"))
	must(t, s.Remove(t.Context(), "w", "s1", true))
	again := begin(t, s, remote, "s1")
	if again.Base != first.Base {
		t.Errorf("of a branch whose base was forgotten it is %s; want where it left main, %s", again.Base, first.Base)
	}
	expectChanges(t, s, again, "1 ahead (Work), added work.txt +1-0")
	must(t, s.Remove(t.Context(), "w", "s1", false))
	again = begin(t, s, remote, "s1")
	if want := git(t, remote.URL, "rev-parse", "main"); again.Base != want {
		t.Errorf("made anew without its branch it begins at %s; want main, %s", again.Base, want)
	}
	expectChanges(t, s, again, "clean")
}

func TestAScratchWorkspaceIsAnEmptyRepositoryWhoseWorkLivesInBranches(t *testing.T) {
	t.Parallel()
	s := &Store{Root: t.TempDir()}
	for range 2 {
		if err := s.Scratch(t.Context(), "scratch"); err != nil {
			t.Fatal(err)
		}
	}
	if got := git(t, s.layout().mirrorDir("scratch"), "log", "--format=%an %s",
		"main"); got != "Carillon Start an empty repository" {
		t.Errorf("main holds %q", got)
	}
	w, err := s.Add(t.Context(), "scratch", "s1", "", "")
	if err != nil {
		t.Fatal(err)
	}
	write(t, w.Dir, "idea.md", "An idea.\n")
	if _, err := s.Commit(t.Context(), w, "Have an idea", "", ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), "scratch", "s1", true); err != nil {
		t.Fatal(err)
	}
	w, err = s.Add(t.Context(), "scratch", "s2", "carillon/s1", "")
	if err != nil || !exists(filepath.Join(w.Dir, "idea.md")) {
		t.Errorf("a session that goes on with another's branch: %v", err)
	}
	var missing *NoBranch
	if _, err = s.Add(t.Context(), "scratch", "s3", "mian", ""); !errors.As(err, &missing) || missing.Near != "main" {
		t.Errorf("got %v; want NoBranch near main", err)
	}
	if exists(s.layout().worktreeDir("s3")) {
		t.Error("a failed Add left a folder")
	}
}

func TestASessionKeepsItsWorktreeOverARestart(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "work.txt", "work\n")
	git(t, w.Dir, "add", "work.txt")
	git(t, w.Dir, "commit", "-qm", "Work")
	write(t, w.Dir, "more.txt", "more\n")
	advance(t, remote, "main", "upstream.txt")

	lock := filepath.Join(s.layout().adminDir("w", "s1"), "index.lock") // of an agent that was killed
	write(t, filepath.Dir(lock), "index.lock", "")
	old := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(lock, old, old))

	again := begin(t, &Store{Root: s.Root}, remote, "s1")
	if again != w {
		t.Errorf("got %+v; want %+v", again, w)
	}
	git(t, w.Dir, "add", "--refresh", "work.txt")
	expectChanges(t, s, w, "uncommitted, 1 ahead (Work), added more.txt +1-0, added work.txt +1-0")
}

func TestALostFolderComesBackAsOfTheLastCommit(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "work.txt", "work\n")
	git(t, w.Dir, "add", "work.txt")
	git(t, w.Dir, "commit", "-qm", "Work")
	must(t, os.RemoveAll(w.Dir))
	if _, err := s.Changes(t.Context(), w); !errors.Is(err, ErrNoWorktree) {
		t.Errorf("got %v; want ErrNoWorktree", err)
	}
	again := begin(t, s, remote, "s1")
	if again != w {
		t.Errorf("got %+v; want %+v", again, w)
	}
	expectChanges(t, s, w, "1 ahead (Work), added work.txt +1-0")
}

func TestAFolderWhoseRepositoryForgotItIsLinkedAgain(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "work.txt", "work\n")
	must(t, os.RemoveAll(s.layout().adminDir("w", "s1")))
	begin(t, s, remote, "s1")
	expectChanges(t, s, w, "uncommitted, added work.txt +1-0")
	git(t, w.Dir, "add", "work.txt")
	git(t, w.Dir, "commit", "-qm", "Work")
}

func TestADataFolderCanBeMoved(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "work.txt", "work\n")
	moved := filepath.Join(t.TempDir(), "elsewhere")
	must(t, os.Rename(s.Root, moved))
	s2 := &Store{Root: moved}
	w = begin(t, s2, remote, "s1")
	expectChanges(t, s2, w, "uncommitted, added work.txt +1-0")
	if got := git(t, w.Dir, "status", "--porcelain"); got != "?? work.txt" {
		t.Errorf("the agent's git sees %q", got)
	}
}

func TestAnInterruptedAddStartsAgain(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	// As after a crash while the files were written: the mark that comes last is missing.
	git(t, s.layout().mirrorDir("w"), "update-ref", "-d", baseRef("s1"))
	must(t, os.Remove(filepath.Join(w.Dir, "README.md")))
	must(t, os.Remove(filepath.Join(s.layout().adminDir("w", "s1"), "index")))
	write(t, s.layout().adminDir("w", "s1"), "index.lock", "")
	begin(t, s, remote, "s1")
	expectChanges(t, s, w, "clean")
}

func TestASessionCanHaveABranchOfAnotherName(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	must(t, s.Sync(t.Context(), "w", remote))
	w, err := s.Add(t.Context(), "w", "s1", "develop", "fix/the-thing")
	if err != nil || w.Branch != "fix/the-thing" {
		t.Fatal(w, err)
	}
	if again, err := s.Add(t.Context(), "w", "s1", "", ""); err != nil || again != w {
		t.Errorf("again: got %+v, %v; want %+v", again, err, w)
	}
	for _, bad := range []string{"-x", "a..b", "a b", "refs/../x", "x.lock", "@{-1}", "a~1"} {
		if _, err := s.Add(t.Context(), "w", "s2", "main", bad); err == nil ||
			!strings.Contains(err.Error(), "cannot be the name of a branch") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
	must(t, s.Remove(t.Context(), "w", "s1", false))
	if refs := git(t, s.layout().mirrorDir("w"), "for-each-ref", "refs/heads", "refs/carillon"); refs != "" {
		t.Errorf("left behind: %s", refs)
	}
}

func TestIdsBecomeNoOtherPaths(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	for _, id := range []string{"", ".", "..", "../x", "a/b", "-x", ".hidden", "a..b", "x.lock", "a\nb", "a b",
		strings.Repeat("x", 101)} {
		_, err := s.Add(t.Context(), "w", id, "main", "")
		for _, err := range []error{
			err, s.Sync(t.Context(), id, Remote{URL: "/x"}), s.Scratch(t.Context(), id),
			s.Remove(t.Context(), "w", id, false), s.Remove(t.Context(), id, "s", false), s.Drop(t.Context(), id),
		} {
			if err == nil {
				t.Errorf("%q was taken for an id", id)
			}
		}
	}
}

func TestRemoveTakesFolderAndBranchAndMayBeRepeated(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "locked/file", "x")
	must(t, os.Chmod(filepath.Join(w.Dir, "locked"), 0o500)) // as Go's module cache is
	for range 2 {
		must(t, s.Remove(t.Context(), "w", "s1", false))
	}
	must(t, s.Remove(t.Context(), "no-such-workspace", "s1", false))
	if exists(w.Dir) || exists(s.layout().adminDir("w", "s1")) {
		t.Error("the folder is still there")
	}
	if refs := git(t, s.layout().mirrorDir("w"), "for-each-ref", "refs/heads", "refs/carillon"); refs != "" {
		t.Errorf("left behind: %s", refs)
	}
	begin(t, s, remote, "s1")
}

func TestWhetherAWorktreeGoesIsAskedWhileNobodyCanMakeIt(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	must(t, s.RemoveIf(t.Context(), "w", "s1", false, func(context.Context) (bool, error) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Add(ended, "w", "s2", w.Base, ""); !errors.Is(err, context.Canceled) {
			t.Errorf("a worktree is made meanwhile: %v", err)
		}
		return false, nil
	}))
	if !exists(w.Dir) {
		t.Error("it is gone, though its session was opened again")
	}
	why := errors.New("the database is away")
	if err := s.RemoveIf(t.Context(), "w", "s1", false, func(context.Context) (bool, error) {
		return true, why
	}); !errors.Is(err, why) || !exists(w.Dir) {
		t.Errorf("got %v; want it kept while nobody knows", err)
	}
}

func TestRemoveFollowsNoLinkOutOfTheWorktree(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	outside := t.TempDir()
	write(t, outside, "keep.txt", "keep")
	must(t, os.Symlink(outside, filepath.Join(w.Dir, "link")))
	must(t, s.Remove(t.Context(), "w", "s1", false))
	if !exists(filepath.Join(outside, "keep.txt")) {
		t.Error("a file outside is gone")
	}
}

func TestInventoryListsWhatThereIsOfSessions(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	for _, id := range []string{"s1", "s2", "s3"} {
		begin(t, s, remote, id)
	}
	changed := begin(t, s, remote, "s4")
	write(t, changed.Dir, "new.txt", "new")
	_, err := s.Snapshot(t.Context(), changed)
	must(t, err)
	must(t, s.Remove(t.Context(), "w", "s2", true))
	must(t, s.Remove(t.Context(), "w", "s3", false))
	must(t, os.MkdirAll(s.layout().worktreeDir("s5"), 0o700))
	list, err := s.Inventory(t.Context())
	must(t, err)
	want := map[string]Holding{
		"s1": {"w", "s1", true, true, true}, "s2": {"w", "s2", false, false, true}, "s4": {"w", "s4", true, true, true},
		"s5": {"", "s5", true, false, false},
	}
	for _, h := range list {
		if h != want[h.Session] {
			t.Errorf("there is %+v; want %+v", h, want[h.Session])
		}
		delete(want, h.Session)
	}
	for id := range want {
		t.Errorf("%s is not in the inventory", id)
	}
	for id, unused := range map[string]bool{"s1": true, "s2": true, "s3": true, "s4": false} {
		if got, err := s.Unused(t.Context(), "w", id); err != nil || got != unused {
			t.Errorf("%s is unused: %v, %v; want %v", id, got, err, unused)
		}
	}
}

func TestLeftoversAreLocksAndHalfMadeRepositoriesFromBeforeATime(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	begin(t, s, remote, "s1")
	lock, half := filepath.Join(s.layout().mirrorDir("w"), "refs", "heads", "main.lock"),
		filepath.Join(s.layout().root, "repos", ".new-w.git-1")
	must(t, os.WriteFile(lock, nil, 0o600))
	must(t, os.Mkdir(half, 0o700))
	if list, err := s.Leftovers(time.Now().Add(-time.Minute)); err != nil || len(list) > 0 {
		t.Errorf("left over are %v, %v; want none that old", list, err)
	}
	list, err := s.Leftovers(time.Now().Add(time.Minute))
	must(t, err)
	var paths []string
	for _, l := range list {
		paths = append(paths, l.Path)
	}
	slices.Sort(paths)
	if want := []string{half, lock}; !slices.Equal(paths, want) {
		t.Errorf("left over are %v; want %v", paths, want)
	}
}

func TestDropLeavesNothingOfAWorkspaceAndAllOfTheOthers(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	begin(t, s, remote, "s1")
	must(t, s.Scratch(t.Context(), "other"))
	if _, err := s.Add(t.Context(), "other", "s2", "", ""); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		must(t, s.Drop(t.Context(), "w"))
	}
	left, err := s.Worktrees()
	if err != nil || strings.Join(left, " ") != "s2" || exists(s.layout().mirrorDir("w")) ||
		!exists(s.layout().mirrorDir("other")) {
		t.Errorf("left %q, %v", left, err)
	}
}

func TestTidyKeepsWhatAnyWorktreeUses(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "staged.txt", "staged alone\n")
	git(t, w.Dir, "add", "staged.txt")
	w2 := begin(t, s, remote, "s2")
	git(t, w2.Dir, "checkout", "-q", "--detach")
	write(t, w2.Dir, "detached.txt", "on no branch\n")
	git(t, w2.Dir, "add", "-A")
	git(t, w2.Dir, "commit", "-qm", "On no branch")
	advance(t, remote, "main", "upstream.txt")
	must(t, s.Sync(t.Context(), "w", remote))
	must(t, s.tidy(t.Context(), "w", "gc", "--quiet", "--prune=now")) // harder than Tidy ever is
	must(t, s.Tidy(t.Context(), "w"))
	for _, w := range []Worktree{w, w2} {
		git(t, w.Dir, "fsck", "--strict", "--no-dangling")
	}
	if got := git(t, w.Dir, "show", ":staged.txt"); got != "staged alone" {
		t.Errorf("what was staged is %q", got)
	}
	expectChanges(t, s, w2, "1 ahead (On no branch), added detached.txt +1-0")
	must(t, s.Sync(t.Context(), "w", remote))
	if _, err := s.Add(t.Context(), "w", "s3", "", ""); err != nil {
		t.Error(err)
	}
}

func TestSubmodulesAndLargeFilesAreLeftToTheSession(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	_, part := setup(t)
	work := t.TempDir()
	git(t, "", "clone", "-q", remote.URL, work)
	git(t, work, "-c", "protocol.file.allow=always", "submodule", "add", "-q", part.URL, "part")
	pointer := "version https://git-lfs.github.com/spec/v1\noid sha256:" + strings.Repeat("0", 64) + "\nsize 12\n"
	write(t, work, "big.bin", pointer)
	write(t, work, ".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
	git(t, work, "add", "-A")
	git(t, work, "commit", "-qm", "Add a submodule and a large file")
	git(t, work, "push", "-q")

	w := begin(t, s, remote, "s1")
	expectChanges(t, s, w, "clean")
	if got, _ := os.ReadFile(filepath.Join(w.Dir, "big.bin")); string(got) != pointer {
		t.Errorf("the large file is %q; want its pointer", got)
	}
	git(t, w.Dir, "-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init")
	expectChanges(t, s, w, "clean")
	git(t, filepath.Join(w.Dir, "part"), "commit", "-q", "--allow-empty", "-m", "Go on")
	expectChanges(t, s, w, "uncommitted, modified part +1-1")
	if _, err := s.Commit(t.Context(), w, "Move the submodule", "", ""); err != nil {
		t.Error(err)
	}
	write(t, w.Dir, "big.bin", "its contents")
	if _, err := s.Commit(t.Context(), w, "x", "", ""); !errors.Is(err, ErrLargeFiles) {
		t.Errorf("got %v; want ErrLargeFiles", err)
	}
	must(t, s.Remove(t.Context(), "w", "s1", false))
}

func TestAgentsGetANameForCommitsWhereTheMachineHasNone(t *testing.T) {
	s := &Store{Root: t.TempDir()}
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	config := filepath.Join(t.TempDir(), "gitconfig")
	t.Setenv("GIT_CONFIG_GLOBAL", config)
	if env := strings.Join(s.Env(t.Context(), false), " "); !strings.Contains(env, "GIT_AUTHOR_NAME=Carillon") ||
		!strings.Contains(env, "GIT_COMMITTER_EMAIL=") {
		t.Errorf("without a name: %s", env)
	}
	write(t, filepath.Dir(config), "gitconfig", "[user]\n\tname = Ada\n\temail = ada@example.com\n")
	if env := strings.Join(s.Env(t.Context(), false), " "); strings.Contains(env, "GIT_AUTHOR") ||
		!strings.Contains(env, "GIT_TERMINAL_PROMPT=0") {
		t.Errorf("with a name: %s", env)
	}
	if env := strings.Join(s.Env(t.Context(), true), " "); !strings.Contains(env, "GIT_AUTHOR_NAME=Ada ") ||
		!strings.Contains(env, "GIT_COMMITTER_EMAIL=ada@example.com") {
		t.Errorf("in a sandbox, which does not show what gives the name: %s", env)
	}
}

func TestAGitThatIsTooOldOrMissingIsSaidSo(t *testing.T) {
	t.Parallel()
	s := &Store{Root: t.TempDir()}
	if v, err := s.Version(t.Context()); err != nil || !strings.HasPrefix(v, "2.") {
		t.Errorf("got %q, %v", v, err)
	}
	old := filepath.Join(t.TempDir(), "git")
	must(t, os.WriteFile(old, []byte("#!/bin/sh\necho git version 2.20.1\n"), 0o755))
	// Another test may have started a process while the file was open, which then counts as busy.
	v, err := (&Store{Root: s.Root, Git: old}).Version(t.Context())
	for errors.Is(err, syscall.ETXTBSY) {
		v, err = (&Store{Root: s.Root, Git: old}).Version(t.Context())
	}
	if err == nil || v != "2.20.1" {
		t.Errorf("got %q, %v; want an error", v, err)
	}
	if _, err := (&Store{Root: s.Root, Git: "no-such-git"}).Version(t.Context()); err == nil {
		t.Error("a missing git is no error")
	}
}

// BenchmarkAdd makes a worktree of 10,000 files.
func BenchmarkAdd(b *testing.B) {
	s, remote := manyFiles(b, 10_000)
	must(b, s.Sync(b.Context(), "w", remote))
	i := 0
	for b.Loop() {
		i++
		if _, err := s.Add(b.Context(), "w", fmt.Sprintf("s%d", i), "main", ""); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAddSpare makes a worktree of 10,000 files with a spare at hand.
func BenchmarkAddSpare(b *testing.B) {
	s, remote := manyFiles(b, 10_000)
	must(b, s.Sync(b.Context(), "w", remote))
	i := 0
	for b.Loop() {
		b.StopTimer()
		must(b, s.Spare(b.Context(), "w", "main"))
		b.StartTimer()
		i++
		if _, err := s.Add(b.Context(), "w", fmt.Sprintf("s%d", i), "main", ""); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkChanges looks at a worktree of 10,000 files, one of them changed and one new.
func BenchmarkChanges(b *testing.B) {
	s, remote := manyFiles(b, 10_000)
	w := begin(b, s, remote, "s1")
	write(b, w.Dir, "d0/f0.txt", "changed")
	write(b, w.Dir, "new.txt", "new")
	for b.Loop() {
		if c, err := s.Changes(b.Context(), w); err != nil || len(c.Files) != 2 {
			b.Fatal(c, err)
		}
	}
}

func manyFiles(b *testing.B, n int) (*Store, Remote) {
	s, remote := setup(b)
	work := b.TempDir()
	git(b, "", "clone", "-q", remote.URL, work)
	for i := range n {
		write(b, work, fmt.Sprintf("d%d/f%d.txt", i%100, i), fmt.Sprintf("file %d\n", i))
	}
	git(b, work, "add", "-A")
	git(b, work, "commit", "-qm", "Add many files")
	git(b, work, "push", "-q")
	return s, remote
}
