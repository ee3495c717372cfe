package git

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestCommittedWorkCountsAsFileChanges(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		do   [][]string // git's arguments, or write and a file
		want string
	}{
		{"nothing", nil, "clean"},
		{"an ignored file", [][]string{{"write", "x.log"}}, "clean"},
		{"a new file", [][]string{{"write", "x"}}, "uncommitted, added x +1-0"},
		{"a staged file", [][]string{{"write", "x"}, {"add", "x"}}, "uncommitted, added x +1-0"},
		{"a commit", [][]string{{"write", "x"}, {"add", "x"}, {"commit", "-qm", "X"}}, "1 ahead (X), added x +1-0"},
		{"a commit on top of a commit", [][]string{{"commit", "-qm", "A", "--allow-empty"},
			{"commit", "-qm", "B", "--allow-empty"}}, "2 ahead (B; A)"},
		{"staged and undone in the folder", [][]string{{"write", "README.md"}, {"add", "README.md"},
			{"restore", "--source=HEAD", "--worktree", "README.md"}}, "uncommitted"},
		{"a deleted file", [][]string{{"rm", "-q", "README.md"}}, "uncommitted, deleted README.md +0-3"},
		{"a file with a new mode", [][]string{{"update-index", "--chmod=+x", "README.md"}, {"checkout", "README.md"}},
			"uncommitted, modified README.md +0-0"},
		{"a branch of its own", [][]string{{"checkout", "-qb", "mine"}, {"commit", "-qm", "A", "--allow-empty"}},
			"1 ahead (A)"},
		{"a commit left on the session's branch", [][]string{{"commit", "-qm", "A", "--allow-empty"},
			{"checkout", "-q", "--detach", "HEAD~1"}}, "1 ahead (A)"},
		{"back behind the base", [][]string{{"checkout", "-q", "--orphan", "blank"}}, "uncommitted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, remote := setup(t)
			w := begin(t, s, remote, "s1")
			for _, args := range tt.do {
				if args[0] == "write" {
					write(t, w.Dir, args[1], "line\n")
				} else {
					git(t, w.Dir, args...)
				}
			}
			expectChanges(t, s, w, tt.want)
		})
	}
}

func TestWhateverASessionKeepsIsAChange(t *testing.T) {
	t.Parallel()
	_, remote := setup(t)
	_, part := setup(t)
	dir := t.TempDir()
	git(t, "", "clone", "-q", remote.URL, dir)
	git(t, dir, "-c", "protocol.file.allow=always", "submodule", "add", "-q", part.URL, "part")
	git(t, dir, "commit", "-qm", "Add a submodule")
	git(t, dir, "push", "-q")
	fill := []string{"-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init"}
	for _, tt := range []struct {
		name string
		do   [][]string // git's arguments, or write and a file
		want Changes    // without lists of files and commits
	}{
		{"nothing", nil, Changes{Clean: true}},
		{"a submodule that was filled", [][]string{fill}, Changes{Clean: true}},
		{"a file in a submodule", [][]string{fill, {"write", "part/README.md"}}, Changes{Uncommitted: true}},
		{"a new file in a submodule", [][]string{fill, {"write", "part/new.txt"}}, Changes{Uncommitted: true}},
		{"a staged file in a submodule", [][]string{fill, {"write", "part/new.txt"}, {"-C", "part", "add", "."}},
			Changes{Uncommitted: true}},
		{"a stash", [][]string{{"write", "README.md"}, {"stash"}}, Changes{Stashes: 1}},
		{"ignored files", [][]string{{"write", "a.log"}, {"write", "b.log"}}, Changes{Clean: true, Ignored: 2}},
		{"commits whose net change is empty", [][]string{{"write", "x"}, {"add", "x"}, {"commit", "-qm", "X"},
			{"revert", "--no-edit", "HEAD"}}, Changes{Ahead: 2}},
		{"a commit on a branch that the agent made and left",
			[][]string{{"checkout", "-qb", "mine"}, {"commit", "-qm", "A", "--allow-empty"}, {"checkout", "-q", "-"}},
			Changes{Ahead: 1, Branches: []string{"mine"}}},
		{"a branch of the remote that the agent looked at",
			[][]string{{"checkout", "-q", "develop"}, {"checkout", "-q", "-"}},
			Changes{Clean: true, Branches: []string{"develop"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, remote := &Store{Root: filepath.Join(t.TempDir(), "data")}, remote
			w := begin(t, s, remote, "s1")
			for _, args := range tt.do {
				if args[0] == "write" {
					write(t, w.Dir, args[1], "line\n")
				} else {
					git(t, w.Dir, args...)
				}
			}
			c, err := s.Changes(t.Context(), w)
			must(t, err)
			got := Changes{
				Stashes: c.Stashes, Ignored: c.Ignored, Branches: c.Branches, Ahead: c.Ahead,
				Uncommitted: c.Uncommitted, Clean: c.Clean,
			}
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", tt.want) {
				t.Errorf("got %+v; want %+v", got, tt.want)
			}
		})
	}
}

func TestOddNamesAreShownAsTheyAre(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	names := []string{" lead", "a\tb", "a\nb", "a\"b", "-x", ":(top)y", "ü.txt", "{{name}}", "sub/a b"}
	for _, name := range names {
		write(t, w.Dir, name, "x\n")
	}
	write(t, w.Dir, "bad\xff", "x\n")
	c, err := s.Changes(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, f := range c.Files {
		got[f.Path] = f.Status == Added && f.Additions == 1
	}
	for _, name := range append(names, "bad\uFFFD") {
		if !got[name] {
			t.Errorf("%q is missing or wrong in %v", name, c.Files)
		}
	}
	text, _, err := s.Diff(t.Context(), w, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	files, err := ParseDiff(text)
	if err != nil || len(files) != len(names)+1 {
		t.Fatalf("read %d files, %v", len(files), err)
	}
	for _, f := range files {
		if !got[f.Path] && !strings.HasPrefix(f.Path, "bad") {
			t.Errorf("the diff names %q", f.Path)
		}
	}
	if _, err := s.Commit(t.Context(), w, "Odd", "", ""); err != nil {
		t.Error(err)
	}
	if got := git(t, w.Dir, "status", "--porcelain"); got != "" {
		t.Errorf("after the commit the agent's git sees %q", got)
	}
}

func TestAnUnfinishedMergeIsShownAndNotCommitted(t *testing.T) {
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
	c, err := s.Changes(t.Context(), w)
	must(t, err)
	c.Commits = nil // of one second, in any order
	if got := short(c); got != "uncommitted, 2 ahead (), conflicted README.md +5-3" {
		t.Errorf("got changes %s", got)
	}
	if _, err := s.Commit(t.Context(), w, "x", "", ""); err == nil ||
		!strings.Contains(err.Error(), "unsettled conflicts") {
		t.Errorf("got %v; want ErrConflicts", err)
	}
	text, _, err := s.Diff(t.Context(), w, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if files, err := ParseDiff(text); err != nil || len(files) != 1 {
		t.Errorf("read %v, %v of\n%s", files, err, text)
	}
	write(t, w.Dir, "README.md", "both\n")
	git(t, w.Dir, "add", "README.md")
	sha, err := s.Commit(t.Context(), w, "Merge", "Ada", "ada@example.com")
	if err != nil {
		t.Fatal(err)
	}
	if got := git(t, w.Dir, "log", "-1", "--format=%an <%ae> %cn %p %s", sha); strings.Count(got, " ") != 5 ||
		!strings.HasPrefix(got, "Ada <ada@example.com> Carillon ") {
		t.Errorf("the merge is %q; want two parents", got)
	}
	if got := git(t, w.Dir, "status"); strings.Contains(got, "merging") || strings.Contains(got, "unmerged") {
		t.Errorf("the agent's git sees %q", got)
	}
}

func TestADiffIsBoundedCleanAndEndsWithAWholeLine(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "a.txt", strings.Repeat("a line of text\n", 100_000))
	write(t, w.Dir, "latin1.txt", "Gr\xfc\xdfe\n")
	write(t, w.Dir, "late.txt", strings.Repeat("text\n", 3000)+"\x00\n") // NUL beyond where Git looks
	write(t, w.Dir, "z.bin", "\x00\x01\x02")
	text, truncated, err := s.Diff(t.Context(), w, 10_000)
	if err != nil || !truncated || len(text) > 10_000 || len(text) < 9_900 || !strings.HasSuffix(text, "\n") {
		t.Errorf("got %d bytes, truncated %v, %v", len(text), truncated, err)
	}
	files, err := ParseDiff(text)
	if err != nil || len(files) != 1 || !files[0].Truncated || files[0].Additions < 500 {
		t.Errorf("got %d files, %v", len(files), err)
	}
	text, truncated, err = s.Diff(t.Context(), w, 10<<20)
	if err != nil || truncated || strings.ContainsRune(text, 0) || strings.ToValidUTF8(text, "") != text {
		t.Errorf("got %d bytes, truncated %v, %v", len(text), truncated, err)
	}
	if files, err = ParseDiff(text); err != nil || len(files) != 4 || !files[3].Binary || files[3].Path != "z.bin" {
		t.Errorf("got %d files, %v", len(files), err)
	}
	for _, n := range []int{0, 1, 2, 20} {
		if text, truncated, err := s.Diff(t.Context(), w, n); err != nil || !truncated || len(text) > n {
			t.Errorf("at most %d: got %q, %v, %v", n, text, truncated, err)
		}
	}
}

func TestTooManyNewFilesAreCounted(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	must(t, os.Mkdir(filepath.Join(w.Dir, "many"), 0o755))
	for i := range maxFiles + 7 {
		must(t, os.WriteFile(filepath.Join(w.Dir, "many", fmt.Sprint(i)), nil, 0o644))
	}
	c, err := s.Changes(t.Context(), w)
	if err != nil || c.Clean || len(c.Files) != maxFiles || c.More != 7 {
		t.Errorf("got %d files and %d more, %v", len(c.Files), c.More, err)
	}
}

// Git would read a file as long as it has a name.
func TestAFileOfATerabyteIsListedAndNotRead(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	const terabyte = 1 << 40
	write(t, w.Dir, "new", "")
	must(t, os.Truncate(filepath.Join(w.Dir, "new"), terabyte))
	must(t, os.Truncate(filepath.Join(w.Dir, "README.md"), terabyte))
	git(t, w.Dir, "rm", "-q", "docs/b.txt") // which could have been renamed to what is new
	write(t, w.Dir, "small", "small\n")
	expectChanges(t, s, w,
		"uncommitted, deleted docs/b.txt +0-1, added small +1-0, added new +0-0 binary, modified README.md +0-0 binary")
	text, truncated, err := s.Diff(t.Context(), w, 1<<20)
	if err != nil || truncated || !strings.Contains(text, "+small") {
		t.Errorf("the diff is %v, %v\n%s", truncated, err, text)
	}
	kept, err := s.Snapshot(t.Context(), w)
	if err != nil || !slices.Contains(kept.Omitted, "2 changed files of more than 1 GiB") {
		t.Errorf("the snapshot leaves out %q, %v", kept.Omitted, err)
	}
	if _, err := s.Commit(t.Context(), w, "All", "", ""); err == nil ||
		!strings.Contains(err.Error(), "has more than 1 GiB") {
		t.Errorf("Commit says %v", err)
	}
}

func TestFilesThatTheSessionsOwnListExcludesAreNoChanges(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, "/", git(t, w.Dir, "rev-parse", "--path-format=absolute", "--git-path", "info/exclude"), ".agent/\n")
	write(t, w.Dir, ".agent/state", "x")
	expectChanges(t, s, w, "clean")
}

func TestAChangeOfTheSameSizeWithinTheSameMomentIsSeen(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	for i := range 20 {
		write(t, w.Dir, "x", "aaaa\n")
		git(t, w.Dir, "add", "x")
		write(t, w.Dir, "x", "bbbb\n")
		text, _, err := s.Diff(t.Context(), w, 1<<20)
		if err != nil || !strings.Contains(text, "+bbbb") {
			t.Fatalf("round %d: %v\n%s", i, err, text)
		}
	}
}

func TestABaseThatIsGoneOrNoCommitIsAnError(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	for _, base := range []string{"", "main", "--output=x", strings.Repeat("0", 40), strings.Repeat("a", 40)} {
		w.Base = base
		if _, err := s.Changes(t.Context(), w); err == nil {
			t.Errorf("%q was taken for a base", base)
		}
	}
	if _, err := s.Changes(t.Context(), s.Worktree("none", "s1", "", strings.Repeat("a", 40))); err == nil {
		t.Error("a workspace without a repository has changes")
	}
}

func pipe(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	must(t, syscall.Mkfifo(path, 0o600))
}

func TestALargeRepositoryIsLookedAtPartByPart(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	work := t.TempDir()
	git(t, "", "clone", "-q", remote.URL, work)
	folder := strings.Repeat(strings.Repeat("d", 200)+"/", 14)
	var entries strings.Builder
	for i := range 24_000 {
		fmt.Fprintf(&entries, "100644 %s\t%sf%d\x00", emptyBlob(strings.Repeat("0", 40)), folder, i)
	}
	if entries.Len() <= 64<<20 {
		t.Fatalf("the list has %d bytes alone", entries.Len())
	}
	git(t, work, "hash-object", "-w", "--stdin")
	add := exec.Command("git", "-C", work, "update-index", "-z", "--index-info")
	add.Stdin = strings.NewReader(entries.String())
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	git(t, work, "commit", "-qm", "Add many files with long names")
	git(t, work, "push", "-q")
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, folder+"f7", "changed")
	write(t, w.Dir, "new.txt", "new")
	c, err := s.Changes(t.Context(), w)
	if err != nil || len(c.Files) != 2 || c.Files[0].Path != folder+"f7" || c.Files[1].Path != "new.txt" {
		t.Errorf("got %v, %v", c.Files, err)
	}
}

func TestPartsOfOutputAreHandedOverHoweverTheyArrive(t *testing.T) {
	t.Parallel()
	for size := 1; size <= 9; size++ {
		var got []string
		parts := &splitter{take: func(part []byte) error {
			got = append(got, string(part))
			return nil
		}}
		for text := range slices.Chunk([]byte("one\x00\x00three and more\x00rest"), size) {
			if n, err := parts.Write(text); n != len(text) || err != nil {
				t.Fatal(n, err)
			}
		}
		if !slices.Equal(got, []string{"one", "", "three and more"}) {
			t.Errorf("in writes of %d bytes: %q", size, got)
		}
	}
	endless := &splitter{take: func([]byte) error { return nil }}
	if _, err := endless.Write(make([]byte, 10)); err != nil {
		t.Error(err)
	}
	if _, err := endless.Write(bytes.Repeat([]byte("a"), maxPart+1)); !errors.Is(err, errOutputLimit) {
		t.Errorf("a part without end: %v", err)
	}
}
