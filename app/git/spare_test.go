package git

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// listing is every file of a worktree with its text.
func listing(t *testing.T, w Worktree) map[string]string {
	t.Helper()
	files := map[string]string{}
	must(t, filepath.WalkDir(w.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == ".git" {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(w.Dir, path)
		files[name] = string(text)
		return err
	}))
	return files
}

func expectSame(t *testing.T, s *Store, w, other Worktree) {
	t.Helper()
	got, want := listing(t, w), listing(t, other)
	if len(got) != len(want) {
		t.Errorf("%d files; want %d", len(got), len(want))
	}
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s holds %q; want %q", name, got[name], text)
		}
	}
	expectChanges(t, s, w, "clean")
	if text := git(t, w.Dir, "status", "--porcelain"); text != "" {
		t.Errorf("git status says %s", text)
	}
}

func TestAWorktreeFromASpareIsLikeAnyOther(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	plain := begin(t, s, remote, "plain")
	must(t, s.Spare(t.Context(), "w", ""))
	taken, err := s.Add(t.Context(), "w", "taken", "main", "")
	must(t, err)
	expectSame(t, s, taken, plain)
	if exists(s.layout().spareDir("w") + "/" + spareIndex) {
		t.Error("the spare is still there; want it taken")
	}
	next, err := s.Add(t.Context(), "w", "next", "main", "")
	must(t, err)
	expectSame(t, s, next, plain)

	write(t, taken.Dir, "docs/b.txt", "changed\n")
	expectChanges(t, s, taken, "uncommitted, modified docs/b.txt +1-1")
	expectChanges(t, s, next, "clean")
}

func TestASpareThatIsBehindIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	must(t, s.Sync(t.Context(), "w", remote))
	must(t, s.Spare(t.Context(), "w", "main"))
	advance(t, remote, "main", "later.txt")
	must(t, s.Sync(t.Context(), "w", remote))
	w, err := s.Add(t.Context(), "w", "s1", "main", "")
	must(t, err)
	if w.Base != git(t, remote.URL, "rev-parse", "main") {
		t.Errorf("it starts at %s, which is not the newest commit", w.Base)
	}
	expectSame(t, s, w, begin(t, s, remote, "plain"))
}

func TestASpareServesAnotherBranchToo(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	advance(t, remote, "develop", "only-there.txt")
	must(t, s.Sync(t.Context(), "w", remote))
	must(t, s.Spare(t.Context(), "w", "main"))
	w, err := s.Add(t.Context(), "w", "s1", "develop", "")
	must(t, err)
	plain, err := s.Add(t.Context(), "w", "s2", "develop", "")
	must(t, err)
	expectSame(t, s, w, plain)
}

func TestAHalfMadeSpareIsNotTaken(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	plain := begin(t, s, remote, "plain")
	must(t, s.Spare(t.Context(), "w", ""))
	for part, session := range map[string]string{spareIndex: "s1", spareFiles: "s2"} {
		must(t, s.Spare(t.Context(), "w", ""))
		must(t, os.RemoveAll(filepath.Join(s.layout().spareDir("w"), part)))
		w, err := s.Add(t.Context(), "w", session, "main", "")
		must(t, err)
		expectSame(t, s, w, plain)
	}
}

func TestAFileThatWasChangedInASpareIsWrittenAgain(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	plain := begin(t, s, remote, "plain")
	must(t, s.Spare(t.Context(), "w", ""))
	path := filepath.Join(s.layout().spareDir("w"), spareFiles, "docs", "b.txt")
	was, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, append([]byte("evil "), was...), 0o600))
	w, err := s.Add(t.Context(), "w", "s1", "main", "")
	must(t, err)
	expectSame(t, s, w, plain)
}

func TestSparesThatNobodyTakesGo(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	must(t, s.Sync(t.Context(), "w", remote))
	must(t, s.Spare(t.Context(), "w", ""))
	must(t, s.DropSpares(time.Hour))
	if !exists(s.layout().spareDir("w")) {
		t.Error("a spare of now was removed")
	}
	must(t, s.DropSpares(0))
	if exists(s.layout().spareDir("w")) {
		t.Error("an old spare was kept")
	}
	must(t, s.Spare(t.Context(), "w", ""))
	must(t, s.Drop(t.Context(), "w"))
	if exists(s.layout().spareDir("w")) {
		t.Error("the spare outlived its workspace")
	}
}
