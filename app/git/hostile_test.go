package git

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// spring writes a program that leaves a mark when it runs, and returns both paths. It passes its input on, as a
// filter must.
func spring(t *testing.T) (program, mark string) {
	t.Helper()
	dir := t.TempDir()
	program, mark = filepath.Join(dir, "spring"), filepath.Join(dir, "mark")
	write(t, dir, "spring", "#!/bin/sh\necho \"$0 $@\" >>'"+mark+"'\nexec cat\n")
	must(t, os.Chmod(program, 0o755))
	return program, mark
}

// useEverything has the store do all it can with a session's worktree.
func useEverything(t *testing.T, s *Store, w Worktree, remote Remote) {
	t.Helper()
	if _, err := s.Changes(t.Context(), w); err != nil {
		t.Error(err)
	}
	if _, _, err := s.Diff(t.Context(), w, 1<<20); err != nil {
		t.Error(err)
	}
	if _, err := s.Commit(t.Context(), w, "Commit all", "", ""); err != nil {
		t.Error(err)
	}
	if err := s.Push(t.Context(), w, remote, ""); err != nil {
		t.Error(err)
	}
	advance(t, remote, "main", "upstream.txt")
	if err := s.Sync(t.Context(), "w", remote); err != nil {
		t.Error(err)
	}
	if _, err := s.Add(t.Context(), "w", "s9", "main", ""); err != nil {
		t.Error(err)
	}
	if _, err := s.Changes(t.Context(), w); err != nil {
		t.Error(err)
	}
	if err := s.Remove(t.Context(), "w", "s9", false); err != nil {
		t.Error(err)
	}
}

func TestNothingThatAnAgentConfiguredIsRunByTheServer(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	program, mark := spring(t)
	write(t, w.Dir, ".gitattributes", "* filter=evil diff=evil merge=evil\n")
	write(t, w.Dir, "README.md", "changed\n")
	write(t, w.Dir, "new.txt", "new\n")
	var config strings.Builder
	for _, key := range []string{
		`filter "evil".clean`, `filter "evil".smudge`, `filter "evil".process`, `diff "evil".textconv`,
		`diff "evil".command`, `merge "evil".driver`,
		"diff.external", "core.fsmonitor", "core.sshCommand", "core.askPass", "core.editor", "core.pager",
		"core.alternateRefsCommand",
		"credential.helper", "pager.diff", "pager.log", "gpg.program", "sequence.editor", "gc.recentObjectsHook",
		`remote "origin".uploadpack`, `remote "origin".receivepack`, "uploadpack.packObjectsHook", "trailer.x.command",
		"alias.diff",
	} {
		at := strings.LastIndexByte(key, '.')
		fmt.Fprintf(&config, "[%s]\n\t%s = %s %s\n", key[:at], key[at+1:], program, strings.ReplaceAll(key, `"`, ""))
	}
	config.WriteString(
		"[filter \"evil\"]\n\trequired = true\n[commit]\n\tgpgSign = true\n[log]\n\tshowSignature = true\n")
	for _, dir := range []string{s.layout().mirrorDir("w"), s.layout().commonDir("w", "s1")} {
		was, err := os.ReadFile(filepath.Join(dir, "config"))
		must(t, err)
		write(t, dir, "config", string(was)+config.String())
	}
	useEverything(t, s, w, remote)
	if exists(mark) {
		ran, _ := os.ReadFile(mark)
		t.Errorf("the server ran it: %s", ran)
	}
	tryGit(w.Dir, "diff")
	if !exists(mark) {
		t.Error("an agent's git does not run it either, so nothing was proved")
	}
}

func TestNoHookIsRunByTheServer(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	program, mark := spring(t)
	hooks := t.TempDir()
	git(t, w.Dir, "config", "core.hooksPath", hooks)
	for _, dir := range []string{hooks, filepath.Join(s.layout().mirrorDir("w"), "hooks"),
		filepath.Join(s.layout().private("views", "w"), "hooks")} {
		must(t, os.MkdirAll(dir, 0o755))
		for _, hook := range []string{"pre-commit", "commit-msg", "post-commit", "pre-push", "post-checkout",
			"reference-transaction", "post-index-change", "pre-auto-gc", "post-rewrite", "fsmonitor-watchman"} {
			must(t, os.Symlink(program, filepath.Join(dir, hook)))
		}
	}
	write(t, w.Dir, "new.txt", "new\n")
	useEverything(t, s, w, remote)
	if exists(mark) {
		ran, _ := os.ReadFile(mark)
		t.Errorf("the server ran it: %s", ran)
	}
}

func TestATokenDoesNotFollowAnAgentsRewriteOfTheURL(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	web := serve(t, "ada:right-token")
	thief := serve(t, "")
	remote := Remote{URL: web.URL, Token: "ada:right-token"}
	w := begin(t, s, remote, "s1")
	git(t, w.Dir, "config", "url."+thief.URL+".insteadOf", web.URL)
	git(t, w.Dir, "config", "url."+thief.URL+".pushInsteadOf", web.URL)
	git(t, w.Dir, "config", "http.proxy", strings.TrimSuffix(thief.URL, "/payments-api.git"))
	write(t, w.Dir, "new.txt", "new\n")
	if _, err := s.Commit(t.Context(), w, "New", "", ""); err != nil {
		t.Fatal(err)
	}
	must(t, s.Push(t.Context(), w, remote, ""))
	if got := git(t, web.Dir, "branch", "--list", "carillon/*"); got != "carillon/s1" {
		t.Errorf("the remote got %q", got)
	}
	if got := git(t, thief.Dir, "branch", "--list", "carillon/*"); got != "" {
		t.Errorf("the thief got %q", got)
	}
}

func TestALinkIsShownAsALinkAndItsTargetNeverRead(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	outside := t.TempDir()
	write(t, outside, "b.txt", "s3cret\n")
	must(t, os.Symlink(filepath.Join(outside, "b.txt"), filepath.Join(w.Dir, "link")))
	must(t, os.Symlink(outside, filepath.Join(w.Dir, "folder")))
	must(t, os.Remove(filepath.Join(w.Dir, "README.md")))
	must(t, os.Symlink(filepath.Join(outside, "b.txt"), filepath.Join(w.Dir, "README.md")))
	must(t, os.RemoveAll(filepath.Join(w.Dir, "docs")))
	must(t, os.Symlink(outside, filepath.Join(w.Dir, "docs"))) // docs/b.txt is a file of the base
	text, _, err := s.Diff(t.Context(), w, 1<<20)
	if err != nil || strings.Contains(text, "s3cret") || !strings.Contains(text, "+"+outside) {
		t.Errorf("got %v and\n%s", err, text)
	}
	expectChanges(t, s, w,
		"uncommitted, retyped README.md +1-3, added docs +1-0, deleted docs/b.txt +0-1, added folder +1-0, added "+
			"link +1-0")
	if _, err := s.Commit(t.Context(), w, "Link", "", ""); err != nil {
		t.Fatal(err)
	}
	if tree := git(t, w.Dir, "ls-tree", "-r", "HEAD"); strings.Count(tree, "120000") != 4 {
		t.Errorf("committed was\n%s", tree)
	}
}

func TestTheServerWritesThroughNoLinkOfAnAgents(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"packed-refs", "objects", "refs", "worktrees", "shallow"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			s, remote := setup(t)
			w := begin(t, s, remote, "s1")
			outside := filepath.Join(t.TempDir(), "outside")
			path := filepath.Join(s.layout().mirrorDir("w"), part)
			if exists(path) {
				must(t, os.Rename(path, outside))
			}
			must(t, os.Symlink(outside, path))
			_, err := s.Changes(t.Context(), w)
			if file := part == "packed-refs" || part == "shallow"; file && exists(path) {
				t.Errorf("got %v, and the link is there", err)
			} else if !file && (err == nil || !strings.Contains(err.Error(), "is a link")) {
				t.Errorf("got %v; want a refusal", err)
			}
		})
	}
}

func TestAFolderThatPointsElsewhereIsStillTheSessionsOwn(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	program, mark := spring(t)
	elsewhere := t.TempDir()
	git(t, elsewhere, "init", "-q")
	git(t, elsewhere, "config", "core.fsmonitor", program)
	git(t, elsewhere, "config", "diff.external", program)
	write(t, w.Dir, ".git", "gitdir: "+filepath.Join(elsewhere, ".git")+"\n")
	write(t, w.Dir, "new.txt", "new\n")
	expectChanges(t, s, w, "uncommitted, added new.txt +1-0")
	must(t, os.Remove(filepath.Join(w.Dir, ".git")))
	must(t, os.Rename(filepath.Join(elsewhere, ".git"), filepath.Join(w.Dir, ".git")))
	expectChanges(t, s, w, "uncommitted, added new.txt +1-0")
	if exists(mark) {
		t.Error("the server ran what the other repository configured")
	}
}

func TestNestedRepositoriesAreNamedAndNotEntered(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	program, mark := spring(t)
	for _, name := range []string{"empty", "full"} {
		dir := filepath.Join(w.Dir, name)
		git(t, "", "init", "-q", dir)
		git(t, dir, "config", "core.fsmonitor", program)
		write(t, dir, "inner.txt", "inner")
	}
	git(t, filepath.Join(w.Dir, "full"), "-c", "core.fsmonitor=false", "add", "-A")
	git(t, filepath.Join(w.Dir, "full"), "-c", "core.fsmonitor=false", "commit", "-qm", "Inner")
	must(t, removeMark(mark))
	expectChanges(t, s, w, "uncommitted, added empty/ +0-0, added full/ +0-0")
	if sha, err := s.Commit(t.Context(), w, "Nothing", "", ""); err != nil || sha != w.Base {
		t.Errorf("with nothing else to commit: got %s, %v; want the base", sha, err)
	}
	write(t, w.Dir, "new.txt", "new\n")
	if _, err := s.Commit(t.Context(), w, "New", "", ""); err != nil {
		t.Fatal(err)
	}
	expectChanges(t, s, w, "uncommitted, 1 ahead (New), added new.txt +1-0, added empty/ +0-0, added full/ +0-0")
	if exists(mark) {
		t.Error("the server ran what the nested repository configured")
	}
}

func removeMark(mark string) error {
	if err := os.Remove(mark); !os.IsNotExist(err) {
		return err
	}
	return nil
}

func TestThingsThatAreNoFilesDoNotHoldTheServer(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	must(t, os.Remove(filepath.Join(w.Dir, "README.md")))
	pipe(t, filepath.Join(w.Dir, "README.md"))
	pipe(t, filepath.Join(w.Dir, "pipe"))
	write(t, w.Dir, "new.txt", "new\n")
	expectChanges(t, s, w, "uncommitted, deleted README.md +0-3, added new.txt +1-0")
	if _, _, err := s.Diff(t.Context(), w, 1<<20); err != nil {
		t.Error(err)
	}
	for _, name := range []string{filepath.Join(s.layout().adminDir("w", "s1"), "index"),
		filepath.Join(s.layout().adminDir("w", "s1"), "MERGE_HEAD"), filepath.Join(w.Dir, ".git")} {
		_ = os.Remove(name)
		pipe(t, name)
	}
	if _, err := s.Changes(t.Context(), w); err != nil {
		t.Error(err)
	}
	if _, err := s.Commit(t.Context(), w, "x", "", ""); err != nil {
		t.Error(err)
	}
	begin(t, s, remote, "s1")
}

func TestAnIndexThatCannotBeReadCostsOnlySpeed(t *testing.T) {
	t.Parallel()
	for name, index := range map[string]string{
		"rubbish": "rubbish", "empty": "", "cut off": "DIRC\x00\x00\x00\x02\x00\x00\xff\xff",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, remote := setup(t)
			w := begin(t, s, remote, "s1")
			write(t, w.Dir, "new.txt", "new\n")
			write(t, s.layout().adminDir("w", "s1"), "index", index)
			expectChanges(t, s, w, "uncommitted, added new.txt +1-0")
		})
	}
	t.Run("split", func(t *testing.T) {
		t.Parallel()
		s, remote := setup(t)
		w := begin(t, s, remote, "s1")
		git(t, w.Dir, "update-index", "--split-index")
		write(t, w.Dir, "new.txt", "new\n")
		git(t, w.Dir, "add", "new.txt")
		expectChanges(t, s, w, "uncommitted, added new.txt +1-0")
	})
}

func TestLookingLeavesTheAgentsIndexAndFoldersAlone(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "staged.txt", "staged\n")
	git(t, w.Dir, "add", "staged.txt")
	write(t, w.Dir, "new.txt", "new\n")
	before := git(t, w.Dir, "status", "--porcelain")
	index, err := os.ReadFile(filepath.Join(s.layout().adminDir("w", "s1"), "index"))
	must(t, err)
	write(t, s.layout().adminDir("w", "s1"), "index.lock", "") // the agent's git is at work
	expectChanges(t, s, w, "uncommitted, added new.txt +1-0, added staged.txt +1-0")
	if _, _, err := s.Diff(t.Context(), w, 1<<20); err != nil {
		t.Error(err)
	}
	must(t, os.Remove(filepath.Join(s.layout().adminDir("w", "s1"), "index.lock")))
	after, err := os.ReadFile(filepath.Join(s.layout().adminDir("w", "s1"), "index"))
	if err != nil || string(after) != string(index) {
		t.Errorf("the index changed, %v", err)
	}
	if got := git(t, w.Dir, "status", "--porcelain"); got != before {
		t.Errorf("the status was %q and is %q", before, got)
	}
	if left, _ := os.ReadDir(s.layout().private("tmp")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestObjectsOfAnotherRepositoryAreNotShown(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	other := t.TempDir()
	git(t, other, "init", "-q")
	write(t, other, "secret.txt", "s3cret\n")
	blob := git(t, other, "hash-object", "-w", "secret.txt")
	foreign := filepath.Join(other, ".git", "objects")
	stage := func() { // an entry of the session's index that names the other's object
		entry := "100644," + blob + ",stolen.txt"
		git(t, w.Dir, "update-index", "--add", "--info-only", "--cacheinfo", entry)
		git(t, w.Dir, "update-index", "--skip-worktree", "stolen.txt") // else the missing file counts
	}
	objects := filepath.Join(s.layout().mirrorDir("w"), "objects")
	must(t, os.MkdirAll(filepath.Join(objects, "info"), 0o700))
	for what, lay := range map[string]func() (path string){
		"a list of other repositories": func() string {
			write(t, filepath.Join(objects, "info"), "alternates", foreign+"\n")
			return filepath.Join(objects, "info", "alternates")
		},
		"a link in place of a folder": func() string {
			path := filepath.Join(objects, blob[:2])
			must(t, os.RemoveAll(path))
			must(t, os.Symlink(filepath.Join(foreign, blob[:2]), path))
			return path
		},
		"a link in place of an object": func() string {
			must(t, os.MkdirAll(filepath.Join(objects, blob[:2]), 0o700))
			path := filepath.Join(objects, blob[:2], blob[2:])
			must(t, os.Symlink(filepath.Join(foreign, blob[:2], blob[2:]), path))
			return path
		},
	} {
		path := lay()
		stage()
		text, _, err := s.Diff(t.Context(), w, 1<<20)
		if strings.Contains(string(text), "s3cret") {
			t.Errorf("%s: shown: %s, %v", what, text, err)
		}
		if _, err := s.Commit(t.Context(), w, "Steal", "", ""); err == nil {
			if got := tryGit(w.Dir, "show", "HEAD:stolen.txt"); strings.Contains(got, "s3cret") {
				t.Errorf("%s: committed", what)
			}
		}
		_ = os.RemoveAll(path)
		_ = tryGit(w.Dir, "reset", "-q", "--hard", w.Base)
	}
}

func TestTheServerWritesNoReferenceThroughALink(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"refs/heads", "refs/remotes/origin", "refs/remotes/origin/deep", "refs/tags"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			s, remote := setup(t)
			w := begin(t, s, remote, "s1")
			outside := t.TempDir()
			path := filepath.Join(s.layout().mirrorDir("w"), part)
			if exists(path) {
				must(t, os.Rename(path, path+"-moved"))
			}
			must(t, os.Symlink(outside, path))
			git(t, remote.URL, "branch", "secret", "main")
			git(t, remote.URL, "branch", "deep/secret", "main")
			git(t, remote.URL, "tag", "secret", "main")
			_ = s.Sync(t.Context(), "w", remote) // a repository without its branches may be refused
			_, _ = s.Add(t.Context(), "w", "s2", "main", "")
			_, _ = s.Changes(t.Context(), w)
			if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
				t.Errorf("written was %v, %v", left, err)
			}
		})
	}
}

func TestTheServerAddsToNoLogThroughALink(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"logs", "logs/HEAD"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			s, remote := setup(t)
			w := begin(t, s, remote, "s1")
			outside := t.TempDir()
			write(t, outside, "HEAD", "")
			path := filepath.Join(s.layout().adminDir("w", "s1"), part)
			must(t, os.RemoveAll(path))
			must(t, os.MkdirAll(filepath.Dir(path), 0o700))
			target := outside
			if part == "logs/HEAD" {
				target = filepath.Join(outside, "HEAD")
			}
			must(t, os.Symlink(target, path))
			write(t, w.Dir, "new.txt", "new\n")
			if _, err := s.Commit(t.Context(), w, "New", "", ""); err != nil {
				t.Error(err)
			}
			if text, err := os.ReadFile(filepath.Join(outside, "HEAD")); err != nil || len(text) > 0 {
				t.Errorf("added was %q, %v", text, err)
			}
		})
	}
}

func TestAnAgentDoesNotSayHowObjectsAreNamed(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "new.txt", "new\n")
	write(t, s.layout().mirrorDir("w"), markSHA256, "")
	expectChanges(t, s, w, "uncommitted, added new.txt +1-0")
	begin(t, s, remote, "s2")
}

func TestAPipeInPlaceOfAFileOfRulesHoldsNobody(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	pipe(t, filepath.Join(w.Dir, ".gitignore"))
	must(t, os.Mkdir(filepath.Join(w.Dir, "inner"), 0o755))
	pipe(t, filepath.Join(w.Dir, "inner", ".gitattributes"))
	pipe(t, filepath.Join(w.Dir, "inner", ".gitignore"))
	write(t, w.Dir, "inner/new.txt", "new\n")
	expectChanges(t, s, w, "uncommitted, deleted .gitignore +0-1, added inner/new.txt +1-0")
}

func TestFilesThatNobodyMayReadAreNamed(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "README.md", "changed\n")
	write(t, w.Dir, "new.txt", "new\n")
	write(t, w.Dir, "closed/inner.txt", "new\n")
	write(t, w.Dir, "fine.txt", "new\n")
	for _, name := range []string{"README.md", "new.txt", "closed", "docs"} {
		path := filepath.Join(w.Dir, name)
		must(t, os.Chmod(path, 0))
		t.Cleanup(func() { _ = os.Chmod(path, 0o700) })
	}
	c, err := s.Changes(t.Context(), w)
	must(t, err)
	named := map[string]bool{}
	for _, f := range c.Files {
		named[f.Path] = true
	}
	if !named["README.md"] || !named["new.txt"] || !named["fine.txt"] {
		t.Errorf("named are %v", named)
	}
	if _, _, err := s.Diff(t.Context(), w, 1<<20); err != nil {
		t.Error(err)
	}
	if _, err := s.Snapshot(t.Context(), w); err != nil {
		t.Error(err)
	}
	if _, err := s.Commit(t.Context(), w, "New", "", ""); os.Geteuid() != 0 && (err == nil ||
		!strings.Contains(err.Error(), "may be read by nobody")) {
		t.Errorf("the commit: %v", err)
	}
	must(t, s.Remove(t.Context(), "w", "s1", true))
	if exists(w.Dir) {
		t.Error("the worktree is still there")
	}
}
