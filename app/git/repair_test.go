package git

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAWorktreeThatNamesWhatIsMissingIsSetAsideAlone(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	sound, broken := begin(t, s, remote, "s1"), begin(t, s, remote, "s2")
	write(t, sound.Dir, "staged.txt", "staged\n")
	git(t, sound.Dir, "add", "staged.txt")
	git(t, sound.Dir, "checkout", "-q", "--detach")
	git(t, sound.Dir, "commit", "-qm", "On no branch")
	write(t, sound.Dir, "stashed.txt", "stashed\n")
	git(t, sound.Dir, "add", "stashed.txt")
	git(t, sound.Dir, "stash")
	head := git(t, sound.Dir, "rev-parse", "HEAD")
	write(t, broken.Dir, "work.txt", "work\n")
	write(t, s.layout().adminDir("w", "s2"), "HEAD", strings.Repeat("1", 40)+"\n")
	advance(t, remote, "main", "upstream.txt")
	for range 2 {
		must(t, s.Sync(t.Context(), "w", remote))
	}
	if got := git(t, sound.Dir, "rev-parse", "HEAD"); got != head {
		t.Errorf("the other worktree stands at %s; want %s", got, head)
	}
	git(t, sound.Dir, "stash", "show")
	git(t, sound.Dir, "fsck")
	if exists(s.layout().adminDir("w", "s2")) {
		t.Error("the place of the worktree is still in the way")
	}
	again := begin(t, s, remote, "s2")
	expectChanges(t, s, again, "uncommitted, added work.txt +1-0")
	git(t, again.Dir, "status")
}

func TestABranchThatNamesWhatIsMissingIsSetAsideAlone(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	sound, broken := begin(t, s, remote, "s1"), begin(t, s, remote, "s2")
	for _, w := range []Worktree{sound, broken} {
		write(t, w.Dir, "work.txt", "of "+w.Session+"\n")
		git(t, w.Dir, "add", "work.txt")
		git(t, w.Dir, "commit", "-qm", "Work")
	}
	blob := git(t, broken.Dir, "rev-parse", "HEAD:work.txt")
	must(t, os.Remove(filepath.Join(s.layout().mirrorDir("w"), "objects", blob[:2], blob[2:])))
	advance(t, remote, "main", "upstream.txt")
	must(t, s.Sync(t.Context(), "w", remote))
	must(t, s.Repair(t.Context(), "w", remote))
	expectChanges(t, s, sound, "1 ahead (Work), added work.txt +1-0")
	if again := begin(t, s, remote, "s2"); again.Base != broken.Base {
		t.Errorf("the base is %s; want %s", again.Base, broken.Base)
	}
	expectChanges(t, s, broken, "uncommitted, added work.txt +1-0")
	if text := setAside(t, s, "refs"); !strings.Contains(text, "refs/heads/carillon/s2 ") {
		t.Errorf("kept aside was %q", text)
	}
}

func TestObjectsOfTheRemoteThatAreBrokenAreMendedBesideWhatIsThere(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "work.txt", "work\n")
	git(t, w.Dir, "add", "work.txt")
	git(t, w.Dir, "stash")
	blob := git(t, w.Dir, "rev-parse", "origin/main:README.md")
	path := filepath.Join(s.layout().mirrorDir("w"), "objects", blob[:2], blob[2:])
	must(t, os.Chmod(path, 0o600))
	must(t, os.WriteFile(path, []byte("rubbish"), 0o600))
	if _, err := s.Add(t.Context(), "w", "s2", "", ""); !Transient(err) {
		t.Fatalf("got %v; want ErrDamaged", err)
	}
	must(t, s.Repair(t.Context(), "w", remote))
	if _, err := s.Add(t.Context(), "w", "s2", "", ""); err != nil {
		t.Error(err)
	}
	git(t, w.Dir, "stash", "pop")
}

func TestWhatGitCallsDamageIsNoneUntilFsckFindsIt(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	begin(t, s, remote, "s1")
	cause := &failure{
		command: "fetch", exit: 1, message: "the packfile is corrupt", stderr: "error: the packfile is corrupt",
	}
	refs, err := s.runner().listRemote(t.Context(), remote)
	must(t, err)
	repo, err := s.open("w")
	must(t, err)
	if err := repo.repair(t.Context(), remote, refs, cause); err != cause {
		t.Errorf("got %v; want the failure as it was", err)
	}
	if packs, _ := filepath.Glob(filepath.Join(s.layout().mirrorDir("w"), "objects", "pack", "*")); len(packs) > 0 {
		t.Errorf("a sound repository was mended: %q", packs)
	}
}

// setAside is what was set aside of a kind in the workspace w.
func setAside(t *testing.T, s *Store, kind string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.layout().mirrorDir("w"), asideDir, kind+"-*"))
	must(t, err)
	var all strings.Builder
	for _, path := range files {
		text, err := os.ReadFile(path)
		must(t, err)
		all.Write(text)
	}
	return all.String()
}

func TestWhatIsSetAsideGoesThroughNoLinkOfAnAgents(t *testing.T) {
	t.Parallel()
	for _, planted := range []string{asideDir, asideDir + "/refs", asideDir + "/packed-refs"} {
		t.Run(planted, func(t *testing.T) {
			t.Parallel()
			s, remote := setup(t)
			begin(t, s, remote, "s1")
			outside := t.TempDir()
			link := filepath.Join(s.layout().mirrorDir("w"), planted)
			must(t, os.MkdirAll(filepath.Dir(link), 0o700))
			target := outside
			if planted != asideDir {
				target = filepath.Join(outside, "file")
			}
			must(t, os.Symlink(target, link))
			write(t, s.layout().mirrorDir("w"), "refs/heads/evil", "rubbish\n")
			write(t, s.layout().mirrorDir("w"), "packed-refs", "rubbish\n")
			must(t, s.Repair(t.Context(), "w", remote))
			if aside := setAside(t, s, "refs") + setAside(t, s, "packed-refs"); strings.Count(aside, "rubbish") != 2 {
				t.Errorf("set aside is %q; want both", aside)
			}
			if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
				t.Errorf("outside there is %v, %v; want nothing", left, err)
			}
		})
	}
}

func TestAPipeInPlaceOfReferencesHoldsNoMending(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	begin(t, s, remote, "s1")
	pipe(t, filepath.Join(s.layout().mirrorDir("w"), "packed-refs"))
	repo := s.runner().repository("w", s.layout().mirrorDir("w"))
	if _, err := repo.repairReferences(t.Context()); err == nil {
		t.Error("a pipe was read as references")
	}
}
