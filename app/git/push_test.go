package git

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPushSendsTheTokenAndLeavesItNowhere(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	web := serve(t, "ada:right-token")
	remote := Remote{URL: web.URL, Token: "ada:right-token"}
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "work.txt", "work\n")
	sha, err := s.Commit(t.Context(), w, "Work\n\nIn detail.", "Ada", "ada@example.com")
	if err != nil {
		t.Fatal(err)
	}
	if got := git(t, w.Dir, "status", "--porcelain"); got != "" {
		t.Errorf("after the commit the agent's git sees %q", got)
	}
	must(t, s.Push(t.Context(), w, remote, ""))
	if got := git(t, web.Dir, "log", "-1", "--format=%H %an %cn %s", "carillon/s1"); got != sha+" Ada Carillon Work" {
		t.Errorf("the remote has %q", got)
	}
	err = s.Push(t.Context(), w, Remote{URL: web.URL, Token: "ada:wrong-token"}, "other")
	if !errors.Is(err, ErrCredentials) || strings.Contains(err.Error(), "wrong-token") {
		t.Errorf("with a wrong token: got %v; want ErrCredentials", err)
	}
	must(t, filepath.WalkDir(s.Root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if data, _ := os.ReadFile(path); strings.Contains(string(data), "token") ||
			strings.Contains(string(data), remote.basic()) {
			t.Errorf("the token is in %s", path)
		}
		return nil
	}))
}

func TestATokenIsNeverAnArgument(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	git, err := exec.LookPath("git")
	must(t, err)
	dir := t.TempDir()
	write(t, dir, "git", "#!/bin/sh\nprintf '%s\\n' \"$@\" >>'"+dir+"/arguments'\nexec '"+git+"' \"$@\"\n")
	must(t, os.Chmod(filepath.Join(dir, "git"), 0o755))
	s.Git = filepath.Join(dir, "git")
	web := serve(t, "ada:right-token")
	remote := Remote{URL: web.URL, Token: "ada:right-token"}
	w := begin(t, s, remote, "s1")
	must(t, s.Push(t.Context(), w, remote, ""))
	said, err := os.ReadFile(filepath.Join(dir, "arguments"))
	must(t, err)
	for _, secret := range []string{"right-token", remote.basic()} {
		if strings.Contains(string(said), secret) {
			t.Errorf("an argument holds the token")
		}
	}
	if !strings.Contains(string(said), "push") {
		t.Error("the push was not seen")
	}
}

func TestPushNeverOverwrites(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "work.txt", "work\n")
	if _, err := s.Commit(t.Context(), w, "Work", "", ""); err != nil {
		t.Fatal(err)
	}
	advance(t, remote, "main", "upstream.txt")
	before := git(t, remote.URL, "rev-parse", "main")
	if err := s.Push(t.Context(), w, remote, "main"); !errors.Is(err, ErrRejected) {
		t.Errorf("got %v; want ErrRejected", err)
	}
	if got := git(t, remote.URL, "rev-parse", "main"); got != before {
		t.Error("main was overwritten")
	}
	for range 2 {
		must(t, s.Push(t.Context(), w, remote, ""))
	}
	for _, bad := range []string{"-x", "a:b", "a b"} {
		if err := s.Push(t.Context(), w, remote, bad); err == nil {
			t.Errorf("%q was taken for a branch", bad)
		}
	}
}

func TestARulesOfThePathsRepositoryHoldForAPush(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, remote.URL, "hooks/pre-receive", "#!/bin/sh\necho 'not on Fridays' >&2\nexit 1\n")
	must(t, os.Chmod(filepath.Join(remote.URL, "hooks/pre-receive"), 0o755))
	if err := s.Push(t.Context(), w, remote, ""); !errors.Is(err, ErrRejected) ||
		!strings.Contains(err.Error(), "not on Fridays") {
		t.Errorf("got %v; want ErrRejected with the remote's words", err)
	}
}

func TestWhatWasKeptOfARemovedSessionCanBePushed(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "work.txt", "work\n")
	sha, err := s.Commit(t.Context(), w, "Work", "", "")
	must(t, err)
	must(t, s.Remove(t.Context(), "w", "s1", true))
	must(t, s.Push(t.Context(), w, remote, "kept"))
	if got := git(t, remote.URL, "rev-parse", "kept"); got != sha {
		t.Errorf("got %s; want %s", got, sha)
	}
}

func TestCommitTakesAllAndNothingTwice(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	if sha, err := s.Commit(t.Context(), w, "Nothing", "", ""); err != nil || sha != w.Base {
		t.Errorf("without changes: got %s, %v; want the base", sha, err)
	}
	write(t, w.Dir, "new.txt", "new\n")
	write(t, w.Dir, "staged.txt", "staged\n")
	write(t, w.Dir, "run.sh", "#!/bin/sh\n")
	must(t, os.Chmod(filepath.Join(w.Dir, "run.sh"), 0o755))
	git(t, w.Dir, "add", "staged.txt")
	must(t, os.Remove(filepath.Join(w.Dir, "docs/b.txt")))
	write(t, w.Dir, "ignored.log", "x")
	first, err := s.Commit(t.Context(), w, "All", "A\n<B>", "")
	must(t, err)
	again, err := s.Commit(t.Context(), w, "Again", "", "")
	if err != nil || again != first {
		t.Errorf("a second time: got %s, %v; want %s", again, err, first)
	}
	expectChanges(t, s, w,
		"1 ahead (All), deleted docs/b.txt +0-1, added new.txt +1-0, added run.sh +1-0, added staged.txt +1-0")
	if got := git(t, w.Dir, "ls-tree", "HEAD", "run.sh"); !strings.HasPrefix(got, "100755") {
		t.Errorf("the program became %q", got)
	}
	git(t, w.Dir, "checkout", "-q", "--orphan", "blank")
	if sha, err := s.Commit(t.Context(), w, "Root", "", ""); err != nil ||
		git(t, w.Dir, "log", "--format=%s", sha) != "Root" {
		t.Errorf("on a branch without a commit: %v", err)
	}
}

func TestACancelEndsGitAndAllItStarted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "git", "#!/bin/sh\ntrap '' TERM\n(trap '' TERM; echo $$ >'"+dir+"/child'; exec sleep 1000) &\nwait\n")
	must(t, os.Chmod(filepath.Join(dir, "git"), 0o755))
	s := &Store{Root: t.TempDir(), Git: filepath.Join(dir, "git")}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for end := time.Now().Add(patience); time.Now().Before(end) && !exists(filepath.Join(dir, "child")); {
			time.Sleep(5 * time.Millisecond)
		}
	}()
	if _, err := s.Version(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want canceled", err)
	}
	out, _ := exec.Command("ps", "-eo", "args").Output()
	if strings.Contains(string(out), dir) {
		t.Errorf("still running:\n%s", out)
	}
}

// tryGit runs git where its failure is part of the test.
func tryGit(dir string, args ...string) string {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada",
		"GIT_COMMITTER_EMAIL=ada@example.com")
	out, _ := cmd.CombinedOutput()
	return strings.TrimSpace(string(out))
}
