package git

import (
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"carillon/app/agent"
)

func confinedStore(t *testing.T, root string) (*Store, Remote) {
	s, remote := setup(t)
	s.Log = slog.New(slog.DiscardHandler)
	if root != "" {
		s.Root = root
	}
	s.Confine = agent.NewConfiner(t.Context())
	if s.Confine == nil {
		t.Skip("no bubblewrap")
	}
	return s, remote
}

// A confined Git writes nothing of another session.
func TestConfinedGitWritesNothingOfAnotherSession(t *testing.T) {
	t.Run("the log", func(t *testing.T) {
		s, remote := confinedStore(t, "")
		begin(t, s, remote, "two")
		config := filepath.Join(s.layout().commonDir("w", "two"), "config")
		was, err := os.ReadFile(config)
		must(t, err)
		w, err := s.Add(t.Context(), "w", "one", "", "")
		must(t, err)
		write(t, w.Dir, "new", "x")
		_ = meddle(t, s, "update-ref",
			`cd $M/worktrees/one; rm -rf logs; mkdir logs; ln -s ../../../sessions/two/config logs/HEAD`)
		_, err = s.Commit(t.Context(), w, "x", "a", "a@b")
		t.Log(err)
		is, err := os.ReadFile(config)
		if err != nil || string(is) != string(was) {
			t.Errorf("the configuration of another session is %q, %v", is, err)
		}
	})
}

// What writes objects writes them in the repository alone.
func TestObjectsAreWrittenInTheRepositoryAlone(t *testing.T) {
	s, remote := confinedStore(t, "")
	w := begin(t, s, remote, "one")
	must(t, os.MkdirAll(w.Dir+"/dir", 0o755))
	write(t, w.Dir, "dir/new", "x")
	for _, command := range []string{"update-index"} {
		outside := meddle(t, s, command,
			`cd $M/objects; for i in {0..9}{{0..9},{a..f}} {a..f}{{0..9},{a..f}}; do [ -e $i ] || ln -s $O $i; done`)
		_, err := s.Commit(t.Context(), w, "x", "a", "a@b")
		t.Log(err)
		untouched(t, outside)
	}
}

// Claim 3: it works.
func TestConfinedGitWorks(t *testing.T) {
	shm, err := os.MkdirTemp("/dev/shm", "zz-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(shm) })
	real, link := t.TempDir(), filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(real, link))
	inner := t.TempDir()
	must(t, os.Symlink(t.TempDir(), inner+"/repos"))
	must(t, os.Symlink(t.TempDir(), inner+"/worktrees"))
	for what, root := range map[string]string{"shm": shm + "/data", "behind a link": link,
		"below a link": link + "/data", "spaces": t.TempDir() + "/my data ü 'x'", "linked parts": inner,
		"relative": "zz-relative", "sha256": ""} {
		t.Run(what, func(t *testing.T) {
			if what == "relative" {
				t.Chdir(t.TempDir())
			}
			s, remote := confinedStore(t, root)
			if what == "sha256" {
				must(t, os.RemoveAll(remote.URL))
				work := t.TempDir()
				git(t, "", "init", "-q", "--object-format=sha256", "-b", "main", work)
				write(t, work, "a", "x")
				git(t, work, "add", "-A")
				git(t, work, "commit", "-qm", "x")
				git(t, "", "clone", "-q", "--bare", work, remote.URL)
			}
			w := begin(t, s, remote, "one")
			write(t, w.Dir, "new", "x")
			ctx := t.Context()
			_, err := s.Commit(ctx, w, "x", "a", "a@b")
			must(t, err)
			_, err = s.Snapshot(ctx, w)
			must(t, err)
			must(t, s.PushSnapshot(ctx, w, remote))
			must(t, s.tidy(ctx, "w", "gc", "--quiet"))
			must(t, s.Spare(ctx, "w", ""))
			_, err = s.Add(ctx, "w", "two", "", "")
			must(t, err)
			must(t, s.Leave(ctx, "w", "one", w.Base))
			_, found, err := s.Restore(ctx, "w", "one", w.Base, remote)
			if err != nil || !found {
				t.Error(found, err)
			}
			advance(t, remote, "main", "more.txt")
			must(t, s.Sync(ctx, "w", remote))
			must(t, s.Remove(ctx, "w", "one", false))
		})
	}
}

// A folder among references that becomes a pipe between the look and the reading.
func TestAFolderThatBecomesAPipeHoldsNobodyUp(t *testing.T) {
	u, s := racing(t)
	m := s.layout().mirrorDir("w")
	if out, err := as(t, u, m+"/refs/heads",
		`mkdir a; mkfifo b; echo; for i in $(seq 1 30); do mkdir c$i; done`); err != nil {
		t.Fatal(out, err)
	}
	stop := swapping(t, u, m+"/refs/heads/a", m+"/refs/heads/b")
	defer stop()
	for range 300 {
		must(t, s.runner().cleaner(m).cleanReferences())
		must(t, u.Do(func() error { // the pipe was removed
			for _, p := range []string{"a", "b"} {
				if !exists(m + "/refs/heads/" + p) {
					_ = syscall.Mkfifo(m+"/refs/heads/"+p, 0o600)
				}
			}
			return nil
		}))
	}
}

// Through a link in place of a session's place the server reads what only it may.
func TestTheBranchOfAPrivateRepositoryIsNotTold(t *testing.T) {
	u, s := racing(t)
	private := t.TempDir()
	must(t, os.Chmod(private, 0o700))
	must(t, os.WriteFile(private+"/HEAD", []byte("ref: refs/heads/secret-plan\n"), 0o600))
	if out, err := as(t, u, s.layout().mirrorDir("w")+"/worktrees", "mv one two; ln -s "+private+" one"); err != nil {
		t.Fatal(out, err)
	}
	if name := s.HeadBranch(s.Worktree("w", "one", "", "")); name != "" {
		t.Errorf("the branch is %q", name)
	}
}

// A branch, which an agent in a sandbox may make, has the inventory take a session of another workspace for one of its
// own: what sweeps worktrees of sessions that went on elsewhere then removes that one's folder without the look that
// would keep it.
func TestASessionOfAnotherWorkspaceStaysThere(t *testing.T) {
	s, remote := setup(t)
	begin(t, s, remote, "one") // of w
	must(t, s.Sync(t.Context(), "a", remote))
	_, err := s.Add(t.Context(), "a", "three", "", "")
	must(t, err)
	if out, err := as(t, nil, s.layout().worktreeDir("three"), "git branch carillon/one"); err != nil {
		t.Fatal(out, err)
	}
	held, err := s.Inventory(t.Context())
	must(t, err)
	for _, h := range held {
		if h.Session == "one" && h.Workspace != "w" {
			t.Errorf("the session of w is held as %+v", h)
			t.Log(s.Leave(t.Context(), h.Workspace, "one", ""), exists(s.layout().worktreeDir("one")))
		}
	}
}

func TestAConfinedGitMovesNoBaseOfAnotherSession(t *testing.T) {
	t.Run("its base", func(t *testing.T) {
		s, remote := confinedStore(t, "")
		publishBranch(t, remote, "sub/branch")
		w := begin(t, s, remote, "two")
		publishBranch(t, remote, "sub/two")
		_ = meddle(t, s, "update-ref", `cd $M/refs/remotes/origin; mv sub other; ln -s ../../carillon/base sub`)
		t.Log(s.Sync(t.Context(), "w", remote))
		base := git(t, s.layout().mirrorDir("w"), "rev-parse", "refs/carillon/base/two")
		if base != w.Base {
			t.Errorf("the base of another session is %s", base)
		}
	})
	t.Run("through the HEAD of one", func(t *testing.T) {
		s, remote := confinedStore(t, "")
		w := begin(t, s, remote, "two")
		one, err := s.Add(t.Context(), "w", "one", "", "")
		must(t, err)
		write(t, one.Dir, "new", "x")
		_ = meddle(t, s, "update-ref", `echo 'ref: refs/carillon/base/two' > $M/worktrees/one/HEAD`)
		_, err = s.Commit(t.Context(), one, "x", "a", "a@b")
		t.Log(err)
		if base := git(t, s.layout().mirrorDir("w"), "rev-parse", "refs/carillon/base/two"); base != w.Base {
			t.Errorf("the base of another session is %s", base)
		}
	})
}

func TestAFetchWritesObjectsInTheRepositoryAlone(t *testing.T) {
	s, remote := confinedStore(t, "")
	begin(t, s, remote, "one")
	advance(t, remote, "main", "more.txt")
	outside := meddle(t, s, "fetch",
		`cd $M/objects; for i in {0..9}{{0..9},{a..f}} {a..f}{{0..9},{a..f}}; do [ -e $i ] || ln -s $O $i; done`)
	t.Log(s.Sync(t.Context(), "w", remote))
	untouched(t, outside)
	must(t, s.Sync(t.Context(), "w", remote)) // the links are gone
}
