package git

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// work clones a remote into a folder of its own, for a test to change.
func work(t *testing.T, remote Remote) string {
	t.Helper()
	dir := t.TempDir()
	git(t, "", "clone", "-q", remote.URL, dir)
	return dir
}

// publish commits everything in a clone and sends it.
func publish(t *testing.T, dir, branch string) {
	t.Helper()
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-qm", "Something else")
	git(t, dir, "push", "-q", "origin", "HEAD:"+branch)
}

func TestARepositoryThatIsHostileFromTheStartRunsNothingAndReadsNothingOutside(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	program, mark := spring(t)
	outside := t.TempDir()
	write(t, outside, "b.txt", "s3cret\n")
	dir := work(t, remote)
	write(t, dir, ".gitattributes", "* filter=evil diff=evil merge=evil\n*.txt eol=crlf ident\n")
	write(t, dir, ".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = ext::sh -c '"+program+"'\n\tupdate = !"+
		program+"\n[submodule \"y\"]\n\tpath = y\n\turl = --upload-pack="+program+"\n")
	write(t, dir, ".lfsconfig", "[lfs]\n\turl = file://"+outside+"\n[filter \"evil\"]\n\tsmudge = "+program+"\n")
	write(t, dir, ".gitconfig", "[core]\n\tfsmonitor = "+program+"\n\thooksPath = hooks\n")
	// with HEAD, objects and refs: a bare repository within
	write(t, dir, "config", "[core]\n\tfsmonitor = "+program+"\n\tbare = true\n")
	write(t, dir, "HEAD", "ref: refs/heads/main\n")
	write(t, dir, "objects/x", "")
	write(t, dir, "refs/x", "")
	for _, hook := range []string{"hooks/post-checkout", "hooks/pre-commit", ".githooks/post-checkout",
		".husky/post-checkout"} {
		write(t, dir, hook, "#!/bin/sh\n"+program+"\n")
		must(t, os.Chmod(filepath.Join(dir, hook), 0o755))
	}
	must(t, os.Symlink(filepath.Join(outside, "b.txt"), filepath.Join(dir, "link")))
	must(t, os.Symlink(outside, filepath.Join(dir, "folder")))
	must(t, os.Symlink("../../../../../../../../etc", filepath.Join(dir, "etc")))
	must(t, os.Symlink(".git", filepath.Join(dir, "sly")))
	publish(t, dir, "main")

	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "new.txt", "new\n")
	for _, rel := range []string{"link", "folder/b.txt", "folder/new.txt", "etc/carillon-test",
		"sly/hooks/post-checkout", "sly/config"} {
		if err := WriteFile(w, rel, []byte("x")); err == nil {
			t.Errorf("%s was written", rel)
		}
	}
	must(t, os.Remove(filepath.Join(w.Dir, "link")))
	write(t, w.Dir, "link", "a file now\n")
	text, _, err := s.Diff(t.Context(), w, 1<<20)
	if err != nil || strings.Contains(text, "s3cret") || strings.Contains(text, "root:") {
		t.Errorf("got %v and\n%s", err, text)
	}
	useEverything(t, s, w, remote)
	if exists(mark) {
		ran, _ := os.ReadFile(mark)
		t.Errorf("the server ran it: %s", ran)
	}
	if got, _ := os.ReadFile(filepath.Join(outside, "b.txt")); string(got) != "s3cret\n" {
		t.Errorf("the file outside holds %q", got)
	}
	if list, err := os.ReadDir(outside); err != nil || len(list) != 1 {
		t.Errorf("outside there are %v, %v", list, err)
	}
}

// A tree with .git in it is what git itself would never write, and a server that lets pushes be looked at by nobody
// takes.
func TestATreeThatHoldsAGitFolderIsNotCheckedOut(t *testing.T) {
	t.Parallel()
	for _, name := range []string{".git", ".GIT", "git~1", ".git ", "..", ".git\u200c"} {
		t.Run(fmt.Sprintf("%q", name), func(t *testing.T) {
			t.Parallel()
			s, remote := setup(t)
			program, mark := spring(t)
			begin(t, s, remote, "s0")
			blob := hashed(t, remote.URL, "blob", "#!/bin/sh\n"+program+"\n")
			inner := hashed(t, remote.URL, "tree", "100755 post-checkout\x00"+raw(t, blob))
			folder := hashed(t, remote.URL, "tree", "40000 hooks\x00"+raw(t, inner))
			tree := hashed(t, remote.URL, "tree", "40000 "+name+"\x00"+raw(t, folder))
			commit := git(t, remote.URL, "commit-tree", "-m", "Hostile", tree)
			git(t, remote.URL, "update-ref", "refs/heads/hostile", commit)
			syncErr := s.Sync(t.Context(), "w", remote)
			if syncErr == nil {
				w, err := s.Add(t.Context(), "w", "s1", "hostile", "")
				if err == nil { // the name is harmless here
					if info, err := os.Lstat(filepath.Join(w.Dir, ".git")); err != nil || info.IsDir() {
						t.Errorf("the worktree's .git became %v, %v", info, err)
					}
					_, _ = s.Changes(t.Context(), w)
				}
			}
			if exists(filepath.Join(s.layout().root, "worktrees", "hooks")) || exists(mark) {
				t.Error("the tree wrote beside its worktree, or its hook ran")
			}
		})
	}
}

// hashed writes an object as it is, without git's own look at it.
func hashed(t *testing.T, dir, kind, text string) string {
	t.Helper()
	cmd := exec.Command("git", "hash-object", "-t", kind, "-w", "--literally", "--stdin")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(text)
	out, err := cmd.Output()
	must(t, err)
	return strings.TrimSpace(string(out))
}

// raw is the name of an object as trees hold it.
func raw(t *testing.T, sha string) string {
	t.Helper()
	var b []byte
	if _, err := fmt.Sscanf(sha, "%x", &b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestNoURLRunsAProgramOrOpensWhatIsNoRepository(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	program, mark := spring(t)
	redirect := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Location", "ext::sh -c "+program)
		rw.WriteHeader(http.StatusMovedPermanently)
	}))
	t.Cleanup(redirect.Close)
	private := filepath.Join(t.TempDir(), "private.git") // another workspace's repository under another name
	must(t, os.Symlink(s.layout().mirrorDir("w"), private))
	for _, url := range []string{
		"ext::sh -c " + program, "ext::" + program, "EXT::" + program, "fd::0", "transport::ext::sh -c " + program,
		"--upload-pack=" + program, "-u" + program, "--config=core.sshCommand=" + program, "-oProxyCommand=" + program,
		"ssh://-oProxyCommand=" + program + "/x", "ssh://-oProxyCommand=" + program + "@127.0.0.1/x",
		"-oProxyCommand=" + program + "@127.0.0.1:x", "git@-oProxyCommand=" + program + ":x",
		"git@127.0.0.1:--upload-pack=" + program, "file:///etc", "file:///etc/passwd", "/etc", "file:///proc/self",
		"file://" + s.Root, "file://" + s.layout().mirrorDir("w"), s.layout().mirrorDir("w") + "/",
		s.Root + "/../data/repos/w.git",
		private, "file://" + private, w.Dir, redirect.URL + "/x.git", "git://127.0.0.1/x", "ftp://127.0.0.1/x",
		"rsync://127.0.0.1/x",
		"https://127.0.0.1:1/x\n[core]fsmonitor=" + program, "http://127.0.0.1:1/%0d%0aX:%20y",
	} {
		r := Remote{URL: url}
		if branch, list, err := s.Probe(t.Context(), r); err == nil {
			t.Errorf("%q: has the branches %v and %q", url, list, branch)
		}
		if err := s.Sync(t.Context(), "other", r); err == nil {
			t.Errorf("%q was cloned", url)
		}
		if err := s.Push(t.Context(), w, r, ""); err == nil {
			t.Errorf("%q was pushed to", url)
		}
	}
	for _, branch := range []string{"--upload-pack=" + program, "--exec=" + program, "-x", "main\nHEAD",
		"main:refs/heads/other", "+main", "..", "main^{/x}", "@{-1}", "refs/heads/main\x00"} {
		r := Remote{URL: remote.URL, Branch: branch}
		if _, _, err := s.Probe(t.Context(), r); err == nil {
			t.Errorf("there is a branch %q", branch)
		}
		if _, err := s.Add(t.Context(), "w", "s2", branch, ""); err == nil {
			t.Errorf("a worktree begins at %q", branch)
		}
		if err := s.Push(t.Context(), w, remote, branch); err == nil && branch != "+main" {
			// to git a name like any other
			t.Errorf("%q was pushed", branch)
		}
	}
	if exists(mark) {
		ran, _ := os.ReadFile(mark)
		t.Errorf("the server ran it: %s", ran)
	}
}
