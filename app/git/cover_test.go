package git

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// covers is a session whose repository tracks files that a sandbox shows empty.
func covers(t *testing.T) (*Store, Worktree) {
	t.Helper()
	s, r := setup(t)
	if err := s.Sync(t.Context(), "ws", r); err != nil {
		t.Fatal(err)
	}
	w, err := s.Add(t.Context(), "ws", "s1", "", "")
	if err != nil {
		t.Fatal(err)
	}
	write(t, w.Dir, "agent.json", "{\"run\": \"x\"}\n")
	write(t, w.Dir, ".agent/hooks/start", "x\n")
	git(t, w.Dir, "add", "-A")
	git(t, w.Dir, "commit", "-qm", "configure the agent")
	return s, w
}

// emptied is what Git sees of the files in a sandbox that shows them empty.
func emptied(t *testing.T, w Worktree) (back func()) {
	t.Helper()
	aside := t.TempDir()
	file, folder := filepath.Join(w.Dir, "agent.json"), filepath.Join(w.Dir, ".agent")
	if err := errors.Join(os.Rename(file, filepath.Join(aside, "file")),
		os.Rename(folder, filepath.Join(aside, "folder")),
		os.WriteFile(file, nil, 0o600), os.Mkdir(folder, 0o700)); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(os.RemoveAll(file), os.RemoveAll(folder), os.Rename(filepath.Join(aside, "file"), file),
			os.Rename(filepath.Join(aside, "folder"), folder)); err != nil {
			t.Fatal(err)
		}
	}
}

func coverAll(t *testing.T, s *Store, w Worktree) {
	t.Helper()
	if err := s.Cover(t.Context(), w, []string{".agent", "agent.json", "absent"}); err != nil {
		t.Fatal(err)
	}
}

func TestCoveredFilesStayAsTheyAreWhateverTheAgentCommits(t *testing.T) {
	t.Parallel()
	s, w := covers(t)
	coverAll(t, s, w)
	back := emptied(t, w)
	write(t, w.Dir, "made.txt", "made\n")
	if status := git(t, w.Dir, "status", "--porcelain"); strings.TrimSpace(status) != "?? made.txt" {
		t.Errorf("the agent's Git says %q", status)
	}
	git(t, w.Dir, "add", "-A")
	git(t, w.Dir, "commit", "-qam", "all")
	git(t, w.Dir, "stash", "list")
	back()
	if err := s.Uncover(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"agent.json": "{\"run\": \"x\"}", ".agent/hooks/start": "x"} {
		if is := git(t, w.Dir, "show", "HEAD:"+file); strings.TrimSpace(is) != want {
			t.Errorf("%s was committed as %q", file, is)
		}
	}
	if status := git(t, w.Dir, "status", "--porcelain"); status != "" {
		t.Errorf("afterwards it says %q", status)
	}
	write(t, w.Dir, "agent.json", "{}\n")
	if status := git(t, w.Dir, "status", "--porcelain"); strings.TrimSpace(status) != "M agent.json" {
		t.Errorf("a change of what was covered is seen as %q", status)
	}
}

func TestAfterACrashCoveredFilesAreSeenAsTheyAreAndTheNextUseTakesTheMarksBack(t *testing.T) {
	t.Parallel()
	s, w := covers(t)
	write(t, w.Dir, "agent.json", "changed\n") // before, and not committed
	git(t, w.Dir, "update-index", "--skip-worktree", "README.md")
	coverAll(t, s, w)
	if status := git(t, w.Dir, "status", "--porcelain"); status != "" {
		t.Fatalf("covered, the agent's Git says %q", status)
	}
	after := &Store{Root: s.Root} // another process
	c, err := after.Changes(t.Context(), w)
	if err != nil || !c.Uncommitted {
		t.Fatalf("the change of a covered file is not seen: %+v, %v", c, err)
	}
	kept, err := after.Snapshot(t.Context(), w)
	if err != nil || !strings.Contains(git(t, w.Dir, "show", kept.Commit+":agent.json"), "changed") {
		t.Errorf("the snapshot lacks the change of a covered file: %v", err)
	}
	if _, err := after.Add(t.Context(), "ws", "s1", "", ""); err != nil {
		t.Fatal(err)
	}
	if status := git(t, w.Dir, "status", "--porcelain"); strings.TrimSpace(status) != "M agent.json" {
		t.Errorf("after the next use the agent's Git says %q", status)
	}
	if marked := git(t, w.Dir, "ls-files", "-t"); strings.Count(marked, "S ") != 1 ||
		!strings.Contains(marked, "S README.md") {
		t.Errorf("a mark of the agent's own is gone, or one of ours is left:\n%s", marked)
	}
	if exists(s.layout().coverFile("s1")) {
		t.Error("the note is left")
	}
}

func TestAnInterruptedCoverIsTakenBack(t *testing.T) {
	t.Parallel()
	s, w := covers(t)
	coverAll(t, s, w)
	note, err := os.ReadFile(s.layout().coverFile("s1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Uncover(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	// Noted, and not marked; of one entry that is gone by now.
	git(t, w.Dir, "rm", "-q", "--cached", ".agent/hooks/start")
	err = errors.Join(os.WriteFile(s.layout().coverFile("s1"), note, 0o600), s.Uncover(t.Context(), w))
	if err != nil {
		t.Fatal(err)
	}
	// A lock of a Git that was killed with its agent.
	write(t, s.layout().adminDir("ws", "s1"), "index.lock", "")
	coverAll(t, s, w)
	if err := s.Uncover(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	coverAll(t, s, w)
	if err := s.Remove(t.Context(), "ws", "s1", false); err != nil || exists(s.layout().coverFile("s1")) {
		t.Errorf("a session that was removed leaves its note: %v", err)
	}
}
