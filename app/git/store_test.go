package git

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestWorktreeStartsCleanAndShowsWhatASessionChanged(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	if err := s.Sync(t.Context(), "w", remote); err != nil {
		t.Fatal(err)
	}
	w, err := s.Add(t.Context(), "w", "s1", "main", "")
	if err != nil {
		t.Fatal(err)
	}
	if w.Branch != "carillon/s1" || w.Base != git(t, remote.URL, "rev-parse", "main") {
		t.Errorf("got %+v; want the branch carillon/s1 at main", w)
	}
	expectChanges(t, s, w, "clean")

	write(t, w.Dir, "new file.txt", "one\ntwo\n")
	write(t, w.Dir, "docs/b.txt", "changed\n")
	write(t, w.Dir, "ignored.log", "x")
	write(t, w.Dir, "bild.png", "\x89PNG\x00\x01")
	expectChanges(t, s, w, "uncommitted, added bild.png +0-0 binary, modified docs/b.txt +1-1, added new file.txt +2-0")

	git(t, w.Dir, "add", "-A")
	git(t, w.Dir, "mv", "README.md", "READ.md")
	git(t, w.Dir, "commit", "-qm", "Change things")
	expectChanges(t, s, w,
		"1 ahead (Change things), renamed READ.md (README.md) +0-0, added bild.png +0-0 binary, modified docs/b.txt "+
			"+1-1, added new file.txt +2-0")

	text, truncated, err := s.Diff(t.Context(), w, 1<<20)
	if err != nil || truncated {
		t.Fatal(truncated, err)
	}
	files, err := ParseDiff(text)
	if err != nil || len(files) != 4 {
		t.Fatalf("got %d files, %v of\n%s", len(files), err, text)
	}
}

// setup gives a store and a remote with a few files on main, and the branch develop beside it.
func setup(t testing.TB) (*Store, Remote) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "payments-api.git")
	must(t, os.CopyFS(dir, os.DirFS(payments(t))))
	return &Store{Root: filepath.Join(t.TempDir(), "data")}, Remote{URL: dir}
}

var (
	pattern     string // the folder with the remote that setup copies
	patternOnce sync.Once
)

// patience bounds each wait for what has to happen. It is long because a test must not fail on a slow or busy machine.
const patience = 10 * time.Minute

func TestMain(m *testing.M) {
	code := m.Run()
	if pattern != "" {
		_ = os.RemoveAll(pattern)
	}
	os.Exit(code)
}

func payments(t testing.TB) string {
	t.Helper()
	patternOnce.Do(func() {
		made, err := os.MkdirTemp("", "payments-*")
		must(t, err)
		dir, work := filepath.Join(made, "remote"), filepath.Join(made, "work")
		git(t, "", "init", "-q", "--bare", "-b", "main", dir)
		git(t, "", "clone", "-q", dir, work)
		git(t, work, "checkout", "-q", "-B", "main")
		write(t, work, "README.md", "# Payments\n\nHow to pay.\n")
		write(t, work, "docs/b.txt", "b\n")
		write(t, work, ".gitignore", "*.log\n")
		git(t, work, "add", "-A")
		git(t, work, "commit", "-qm", "Begin")
		git(t, work, "push", "-q", "origin", "main", "main:develop")
		pattern = made
	})
	return filepath.Join(pattern, "remote")
}

// git runs git as a person or an agent would, with the repository's own configuration.
func git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=Ada",
		"GIT_AUTHOR_EMAIL=ada@example.com",
		"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com", "GIT_ALLOW_PROTOCOL=file:http")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// expectChanges compares the changes, written in short, with what they should be.
func expectChanges(t testing.TB, s *Store, w Worktree, want string) {
	t.Helper()
	c, err := s.Changes(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	if got := short(c); got != want {
		t.Errorf("got changes\n  %s; want\n  %s", got, want)
	}
}

func short(c Changes) string {
	var parts []string
	if c.Clean {
		parts = append(parts, "clean")
	}
	if c.Uncommitted {
		parts = append(parts, "uncommitted")
	}
	if c.Ahead > 0 {
		var subjects []string
		for _, commit := range c.Commits {
			subjects = append(subjects, commit.Subject)
		}
		parts = append(parts, strconv.Itoa(c.Ahead)+" ahead ("+strings.Join(subjects, "; ")+")")
	}
	for _, f := range c.Files {
		text := string(f.Status) + " " + f.Path
		if f.Old != "" {
			text += " (" + f.Old + ")"
		}
		text += " +" + strconv.Itoa(f.Additions) + "-" + strconv.Itoa(f.Deletions)
		if f.Binary {
			text += " binary"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

func TestAViewThatSeveralMakeAtOnceIsWholeForEach(t *testing.T) {
	t.Parallel()
	s := &Store{Root: t.TempDir()}
	must(t, s.Scratch(t.Context(), "w"))
	for range 200 {
		must(t, os.RemoveAll(s.layout().private("views", "w")))
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				repo, err := s.open("w")
				if err != nil {
					t.Error(err)
					return
				}
				for _, part := range []string{"objects", "refs", "config", "HEAD"} {
					if _, err := os.Stat(filepath.Join(repo.view, part)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		if t.Failed() {
			return
		}
	}
}
