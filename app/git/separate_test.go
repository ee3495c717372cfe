package git

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatASessionConfiguresIsItsOwn(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	first, second := begin(t, s, remote, "s1"), begin(t, s, remote, "s2")
	hooks := t.TempDir()
	write(t, hooks, "pre-commit", "#!/bin/sh\nexit 1\n")
	must(t, os.Chmod(filepath.Join(hooks, "pre-commit"), 0o755))
	for _, args := range [][]string{
		{"config", "user.email", "first@example.com"}, {"config", "core.hooksPath", hooks},
		{"config", "alias.hi", "!echo hi"},
		{"remote", "add", "fork", "/elsewhere"}, {"remote", "set-url", "origin", "/somewhere"},
		{"config", "--worktree", "user.name", "First"},
	} {
		git(t, first.Dir, args...)
	}
	write(t, first.Dir, "stashed.txt", "stashed\n")
	git(t, first.Dir, "add", "stashed.txt")
	git(t, first.Dir, "stash")
	for _, w := range []Worktree{second, begin(t, s, remote, "s3")} {
		for _, key := range []string{"user.email", "user.name", "core.hooksPath", "alias.hi", "remote.fork.url"} {
			if out := tryGit(w.Dir, "config", "--local", "--get", key); out != "" {
				t.Errorf("%s has %s = %s of another session", w.Session, key, out)
			}
		}
		if got := git(t, w.Dir, "remote", "get-url", "origin"); got != remote.URL {
			t.Errorf("origin of %s is %s; want %s", w.Session, got, remote.URL)
		}
		if got := git(t, w.Dir, "stash", "list"); got != "" {
			t.Errorf("%s has on its stash: %s", w.Session, got)
		}
		git(t, w.Dir, "fetch", "-q", "origin")
		write(t, w.Dir, "x", "x")
		git(t, w.Dir, "add", "x")
		git(t, w.Dir, "commit", "-qm", "X") // no hook forbids it
	}
	again := begin(t, s, remote, "s1")
	if got := git(t, again.Dir, "config", "user.email"); got != "first@example.com" {
		t.Errorf("the session's own address became %q", got)
	}
	git(t, again.Dir, "stash", "pop")
	must(t, s.Remove(t.Context(), "w", "s1", false))
	if exists(s.layout().commonDir("w", "s1")) {
		t.Error("the session's folder is left behind")
	}
}

func TestTheOriginOfASessionHasNoSecret(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	web := serve(t, "ada:right-token")
	w := begin(t, s, Remote{URL: web.URL, Token: "ada:right-token"}, "s1")
	if got := git(t, w.Dir, "config", "--list", "--show-origin"); !strings.Contains(got,
		"remote.origin.url="+web.URL) || strings.Contains(got, "right-token") {
		t.Errorf("its configuration is\n%s", got)
	}
	must(t, s.Scratch(t.Context(), "own"))
	own, err := s.Add(t.Context(), "own", "s2", "", "")
	must(t, err)
	if got := git(t, own.Dir, "remote"); got != "" {
		t.Errorf("a repository without a remote has %q", got)
	}
}

func TestASessionOfAnEarlierVersionGetsConfigurationOfItsOwn(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	must(t, os.RemoveAll(s.layout().commonDir("w", "s1")))
	write(t, s.layout().adminDir("w", "s1"), "commondir", "../..\n")
	write(t, w.Dir, "work.txt", "work\n")
	begin(t, s, remote, "s1")
	git(t, w.Dir, "config", "user.email", "first@example.com")
	if text, _ := os.ReadFile(filepath.Join(s.layout().mirrorDir("w"), "config")); strings.Contains(string(text),
		"first@example.com") {
		t.Error("its configuration is everybody's")
	}
	expectChanges(t, s, w, "uncommitted, added work.txt +1-0")
}
