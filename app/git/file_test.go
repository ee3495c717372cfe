package git

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAFileIsWrittenOnlyWithinTheWorktree(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	write(t, outside, "target.txt", "untouched")
	dir := t.TempDir()
	write(t, dir, ".git", "gitdir: elsewhere")
	write(t, dir, "real/file.txt", "old")
	must(t, os.Chmod(filepath.Join(dir, "real/file.txt"), 0o755))
	for link, target := range map[string]string{
		"out": outside, "out.txt": filepath.Join(outside, "target.txt"), "nowhere": filepath.Join(outside, "nothing"),
		"in": "real",
		"up": "..", "sly": ".git", "loop": "loop", "in.txt": "real/file.txt",
	} {
		must(t, os.Symlink(target, filepath.Join(dir, link)))
	}
	pipe(t, filepath.Join(dir, "pipe"))
	w := Worktree{Session: "s1", Dir: dir}
	for _, rel := range []string{"a.txt", "new/folder/a.txt", "real/file.txt", "in/b.txt", "in.txt", "./c.txt",
		"x/../d.txt", ".gitignore", ".github/x.yml"} {
		if err := WriteFile(w, rel, []byte(rel)); err != nil {
			t.Errorf("%s: %v", rel, err)
		} else if got, _ := os.ReadFile(filepath.Join(dir, rel)); string(got) != rel {
			t.Errorf("%s holds %q", rel, got)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "real/file.txt")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("the mode became %v, %v", info.Mode(), err)
	}
	for _, rel := range []string{
		"", "..", "../x", "a/../../x", "/etc/x", ".", "out/x", "out.txt", "nowhere", "nowhere/x", "up/x", "sly", "loop",
		"loop/x",
		".git", ".git/config", ".GIT/config", ".git /x", "a/.git/hooks/x", "git~1/x", "a\x00b", "pipe", "real",
		"real/file.txt/x",
	} {
		if err := WriteFile(w, rel, []byte("x")); err == nil {
			t.Errorf("%q was written", rel)
		} else if rel != "real/file.txt/x" && rel != "loop" && rel != "loop/x" && !errors.Is(err, ErrOutside) {
			t.Errorf("%q: got %v; want ErrOutside", rel, err)
		}
	}
	if got, _ := os.ReadFile(filepath.Join(outside, "target.txt")); string(got) != "untouched" {
		t.Errorf("the file outside holds %q", got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".carillon-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A former step or an agent leaves whatever it wants where the server reads.
func TestWhatAnAgentLeftIsReadWithinABoundAndNeverWaitedFor(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	write(t, outside, "secret.txt", "of the server")
	dir := t.TempDir()
	write(t, dir, "plain.txt", "text")
	write(t, dir, "exact.txt", strings.Repeat("x", MaxRead))
	write(t, dir, "large.txt", strings.Repeat("x", MaxRead+1))
	write(t, dir, "endless.txt", "")
	must(t, os.Truncate(filepath.Join(dir, "endless.txt"), 1<<40))
	pipe(t, filepath.Join(dir, "pipe"))
	for link, target := range map[string]string{
		"in.txt": "plain.txt", "out.txt": filepath.Join(outside, "secret.txt"), "zero": "/dev/zero", "to-pipe": "pipe",
		"to-endless": "endless.txt", "out": outside,
	} {
		must(t, os.Symlink(target, filepath.Join(dir, link)))
	}
	w := Worktree{Session: "s1", Dir: dir}
	for rel, size := range map[string]int{"plain.txt": 4, "in.txt": 4, "exact.txt": MaxRead} {
		if text, err := ReadFile(w, rel); err != nil || len(text) != size {
			t.Errorf("%s: %d bytes, %v", rel, len(text), err)
		}
	}
	for rel, want := range map[string]error{
		"large.txt": ErrLarge, "endless.txt": ErrLarge, "to-endless": ErrLarge, "pipe": ErrOutside,
		"to-pipe": ErrOutside, ".": ErrOutside,
		"out.txt": ErrOutside, "zero": ErrOutside, "out/secret.txt": ErrOutside, "../x": ErrOutside,
		".git/config": ErrOutside, "none.txt": os.ErrNotExist,
	} {
		if text, err := ReadFile(w, rel); !errors.Is(err, want) {
			t.Errorf("%s: %d bytes, %v; want %v", rel, len(text), err, want)
		}
	}
}

func TestAnIndexWithoutEndIsNotCopied(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "index")
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, os.Truncate(path, 1<<40))
	s, _ := setup(t)
	if to, err := s.runner().copyIndex(path); err == nil {
		t.Errorf("it was copied to %s", to)
	}
}
