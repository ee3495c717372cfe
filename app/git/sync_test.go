package git

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestSyncFollowsTheRemote(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	sync := func() {
		t.Helper()
		if err := s.Sync(t.Context(), "w", remote); err != nil {
			t.Fatal(err)
		}
	}
	sync()
	before, err := s.Head(t.Context(), "w", "")
	if err != nil {
		t.Fatal(err)
	}
	if now, err := s.Head(t.Context(), "w", "main"); err != nil || now != before {
		t.Errorf("main is at %s, %v before anything happened; want %s", now, err, before)
	}
	advance(t, remote, "main", "more.txt")
	git(t, remote.URL, "branch", "fresh", "main")
	git(t, remote.URL, "branch", "-D", "develop")
	git(t, remote.URL, "symbolic-ref", "HEAD", "refs/heads/fresh")
	sync()
	if now, err := s.Head(t.Context(), "w", "main"); err != nil || now == before {
		t.Errorf("main is at %s, %v after a push to the remote; want another commit", now, err)
	}
	if _, err := s.Head(t.Context(), "w", "fresh"); err != nil {
		t.Error(err)
	}
	var missing *NoBranch
	if _, err := s.Head(t.Context(), "w", "develop"); !errors.As(err, &missing) {
		t.Errorf("a branch deleted at the remote: got %v; want NoBranch", err)
	}
	got := git(t, s.layout().mirrorDir("w"), "symbolic-ref", "refs/remotes/origin/HEAD")
	if got != "refs/remotes/origin/fresh" {
		t.Errorf("the default branch is %s; want fresh", got)
	}
	// A rewritten branch is taken as it is.
	git(t, remote.URL, "update-ref", "refs/heads/main", before)
	sync()
	if got, err := s.Head(t.Context(), "w", "main"); got != before {
		t.Errorf("after a rewrite main is %s, %v; want %s", got, err, before)
	}
	// A branch makes way for a folder of branches.
	git(t, remote.URL, "branch", "-M", "fresh", "fresh/one")
	sync()
	if _, err := s.Head(t.Context(), "w", "fresh/one"); err != nil {
		t.Error(err)
	}
}

func TestSyncNeverTouchesTheBranchesOfSessions(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "work.txt", "work")
	sha, err := s.Commit(t.Context(), w, "Work", "", "")
	if err != nil {
		t.Fatal(err)
	}
	// The remote has a branch of the same name, and later not.
	git(t, remote.URL, "branch", "carillon/s1", "main")
	advance(t, remote, "main", "more.txt")
	for range 2 {
		if err := s.Sync(t.Context(), "w", remote); err != nil {
			t.Fatal(err)
		}
		if got := git(t, s.layout().mirrorDir("w"), "rev-parse", "refs/heads/carillon/s1"); got != sha {
			t.Errorf("the session's branch is at %s; want %s", got, sha)
		}
		git(t, remote.URL, "update-ref", "-d", "refs/heads/carillon/s1")
	}
	expectChanges(t, s, w, "1 ahead (Work), added work.txt +1-0")
}

func TestAWorkspaceCanBePointedAtAnotherRepository(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	must(t, s.Scratch(t.Context(), "w"))
	first, err := s.Add(t.Context(), "w", "s1", "", "")
	must(t, err)
	w := begin(t, s, remote, "s2")
	if w.Base != git(t, remote.URL, "rev-parse", "main") {
		t.Errorf("the second session starts from %s; want the remote's main", w.Base)
	}
	_, other := setup(t)
	git(t, other.URL, "branch", "-m", "develop", "next")
	advance(t, other, "main", "other.txt")
	must(t, s.Sync(t.Context(), "w", other))
	var missing *NoBranch
	if _, err := s.Head(t.Context(), "w", "develop"); !errors.As(err, &missing) {
		t.Errorf("a branch of the former remote: got %v; want NoBranch", err)
	}
	if got, err := s.Head(t.Context(), "w", "main"); err != nil || got != git(t, other.URL, "rev-parse", "main") {
		t.Errorf("main is %s, %v; want the other remote's", got, err)
	}
	expectChanges(t, s, first, "clean")
	expectChanges(t, s, w, "clean")
}

func TestOneSyncRunsAtATime(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	other := &Store{Root: s.Root} // as another process would have
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			store := s
			if i%2 == 1 {
				store = other
			}
			if err := store.Sync(t.Context(), "w", remote); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if left, _ := filepath.Glob(filepath.Join(s.Root, "repos", ".new-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	unlock, err := s.runner().lock(t.Context(), "sync-w")
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // nothing is awaited before
	defer cancel()
	for _, store := range []*Store{s, other} {
		if err := store.Sync(ctx, "w", remote); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while one runs: got %v; want to wait until the deadline", err)
		}
	}
}

func TestAnEmptyRemoteGivesAnEmptyWorktree(t *testing.T) {
	t.Parallel()
	s := &Store{Root: t.TempDir()}
	dir := filepath.Join(t.TempDir(), "empty.git")
	git(t, "", "init", "-q", "--bare", "-b", "main", dir)
	remote := Remote{URL: dir, Branch: "main"}
	standard, branches, err := s.Probe(t.Context(), remote)
	if err != nil || standard != "" || len(branches) != 0 {
		t.Errorf("got %q of %q, %v", standard, branches, err)
	}
	w := begin(t, s, remote, "s1")
	expectChanges(t, s, w, "clean")
	write(t, w.Dir, "first.txt", "first\n")
	if _, err := s.Commit(t.Context(), w, "First", "", ""); err != nil {
		t.Fatal(err)
	}
	expectChanges(t, s, w, "1 ahead (First), added first.txt +1-0")
	if err := s.Push(t.Context(), w, remote, "main"); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(t.Context(), "w", remote); err != nil {
		t.Fatal(err)
	}
	w2, err := s.Add(t.Context(), "w", "s2", "main", "")
	if err != nil || !exists(filepath.Join(w2.Dir, "first.txt")) {
		t.Errorf("after the first push: %v", err)
	}
}

func TestARepositoryWithSHA256Works(t *testing.T) {
	t.Parallel()
	s := &Store{Root: t.TempDir()}
	dir := filepath.Join(t.TempDir(), "long.git")
	git(t, "", "init", "-q", "--bare", "-b", "main", "--object-format=sha256", dir)
	git(t, dir, "update-ref", "refs/heads/main", git(t, dir, "commit-tree", "-m", "Begin", git(t, dir, "mktree")))
	w := begin(t, s, Remote{URL: dir}, "s1")
	write(t, w.Dir, "a.txt", "a\n")
	expectChanges(t, s, w, "uncommitted, added a.txt +1-0")
	if sha, err := s.Commit(t.Context(), w, "Add a", "", ""); err != nil || len(sha) != 64 {
		t.Errorf("got %q, %v", sha, err)
	}
	expectChanges(t, s, w, "1 ahead (Add a), added a.txt +1-0")
	if err := s.Remove(t.Context(), "w", "s1", false); err != nil {
		t.Error(err)
	}
}

func TestARemoteWhoseHeadIsOnNoBranch(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	main := git(t, remote.URL, "rev-parse", "main")
	loose := git(t, remote.URL, "commit-tree", "-p", main, "-m", "Loose", main+"^{tree}")
	git(t, remote.URL, "update-ref", "--no-deref", "HEAD", loose)
	standard, _, err := s.Probe(t.Context(), remote)
	if err != nil || standard != "" {
		t.Errorf("got the default branch %q, %v; want none", standard, err)
	}
	w, err := s.Add(t.Context(), "w", "s1", "", "")
	if !errors.Is(err, ErrNoMirror) {
		t.Errorf("before the first sync: got %v; want ErrNoMirror", err)
	}
	if err := s.Sync(t.Context(), "w", remote); err != nil {
		t.Fatal(err)
	}
	if w, err = s.Add(t.Context(), "w", "s1", "", ""); err != nil || w.Base != loose {
		t.Errorf("got base %s, %v; want %s", w.Base, err, loose)
	}
	git(t, remote.URL, "symbolic-ref", "HEAD", "refs/heads/develop")
	if err := s.Sync(t.Context(), "w", remote); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Head(t.Context(), "w", ""); got != main {
		t.Errorf("back on a branch: got %s, %v; want %s", got, err, main)
	}
}

func TestAnInterruptedCloneLeavesNothingAndTheNextSucceeds(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	reached, freed := make(chan struct{}, 1), atomic.Bool{}
	web := serveThrough(t, "", func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			if !freed.Load() && bytes.Contains(body, []byte("command=fetch")) {
				reached <- struct{}{}
				<-r.Context().Done() // the pack never comes
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		<-reached
		cancel()
	}()
	err := s.Sync(ctx, "w", Remote{URL: web.URL})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v; want canceled", err)
	}
	if exists(s.layout().mirrorDir("w")) {
		t.Error("half a mirror is in place")
	}
	// A server that was killed cleans nothing up.
	freed.Store(true)
	write(t, filepath.Join(s.Root, "repos", ".new-w.git-123"), "HEAD", "half")
	if err := s.Sync(t.Context(), "w", Remote{URL: web.URL}); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(s.Root, "repos", ".new-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestADamagedMirrorIsMendedAndKeepsTheSessions(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, mirror string){
		"HEAD is gone": func(t *testing.T, mirror string) {
			must(t, os.Remove(filepath.Join(mirror, "HEAD")))
		},
		"the configuration is rubbish": func(t *testing.T, mirror string) { write(t, mirror, "config", "[rubbish") },
		"HEAD is rubbish":              func(t *testing.T, mirror string) { write(t, mirror, "HEAD", "rubbish") },
		"the references are rubbish": func(t *testing.T, mirror string) {
			write(t, mirror, "packed-refs", "rubbish\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, remote := setup(t)
			w := begin(t, s, remote, "s1")
			write(t, w.Dir, "work.txt", "work\n")
			if _, err := s.Commit(t.Context(), w, "Work", "", ""); err != nil {
				t.Fatal(err)
			}
			write(t, w.Dir, "more.txt", "more\n")
			damage(t, s.layout().mirrorDir("w"))
			advance(t, remote, "main", "upstream.txt")
			if err := s.Sync(t.Context(), "w", remote); err != nil {
				t.Fatal(err)
			}
			expectChanges(t, s, w, "uncommitted, 1 ahead (Work), added more.txt +1-0, added work.txt +1-0")
			git(t, w.Dir, "status")
			if _, err := s.Add(t.Context(), "w", "s2", "main", ""); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestObjectsThatAreGoneAreFetchedAgain(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "more.txt", "more\n")
	// Everything that the mirror stored, as after a disk's failure.
	must(t, filepath.WalkDir(filepath.Join(s.layout().mirrorDir("w"), "objects"),
		func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				return os.Remove(path)
			}
			return err
		}))
	if err := s.Sync(t.Context(), "w", remote); err != nil {
		t.Fatal(err)
	}
	expectChanges(t, s, w, "uncommitted, added more.txt +1-0")
}

func TestALockThatAKilledGitLeftIsBroken(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	if err := s.Sync(t.Context(), "w", remote); err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(s.layout().mirrorDir("w"), "refs/remotes/origin/main.lock")
	write(t, filepath.Dir(lock), "main.lock", "")
	old := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(lock, old, old))
	advance(t, remote, "main", "more.txt")
	if err := s.Sync(t.Context(), "w", remote); err != nil {
		t.Error(err)
	}
}

func TestGitThatCannotWriteWithoutAWordOfTheDiskNamesAFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(disk, syscall.MNT_DETACH)) })
	_, remote := setup(t)
	s := &Store{Root: filepath.Join(disk, "data")}
	must(t, s.Sync(t.Context(), "w", remote))
	repo, err := s.open("w")
	must(t, err)
	at := func(args ...string) error {
		_, err := repo.git(t.Context(), args...)
		return err
	}
	must(t, at("update-ref", "refs/heads/here", "refs/remotes/origin/main"))
	must(t, at("config", "a.b", "c"))
	fill(t, filepath.Join(disk, "filler"))
	for _, args := range [][]string{
		{"update-ref", "refs/heads/there", "refs/remotes/origin/main"},
		{"symbolic-ref", "refs/there", "refs/heads/main"},
		{"commit-tree", "-m", "x", "refs/remotes/origin/main^{tree}"},
		{"pack-refs", "--all"}, {"read-tree", "refs/remotes/origin/main"}, {"config", "a.b", "d"},
	} {
		if err := at(args...); !errors.Is(err, ErrDiskFull) || !Transient(err) {
			t.Errorf("%v: got %v; want ErrDiskFull", args, err)
		}
	}
	for _, said := range []string{"fatal: cannot update ref 'refs/heads/q': couldn't write '/data/q.lock'",
		"fatal: sha1 file 'index.lock' write error. Out of diskspace"} {
		if !reportsDiskFull(said) {
			t.Errorf("%q does not tell of it once there is room again", said)
		}
	}
}

func TestAFullDiskIsNamedAndForgottenWhenThereIsRoom(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(disk, syscall.MNT_DETACH)) })
	_, remote := setup(t)
	s := &Store{Root: filepath.Join(disk, "data")}
	filler := filepath.Join(disk, "filler")
	fill(t, filler)
	if err := s.Sync(t.Context(), "w", remote); !errors.Is(err, ErrDiskFull) {
		t.Errorf("sync: got %v; want ErrDiskFull", err)
	}
	must(t, os.Remove(filler))
	if err := s.Sync(t.Context(), "w", remote); err != nil {
		t.Fatal(err)
	}
	fill(t, filler)
	if _, err := s.Add(t.Context(), "w", "s1", "main", ""); !errors.Is(err, ErrDiskFull) {
		t.Errorf("add: got %v; want ErrDiskFull", err)
	}
	must(t, os.Remove(filler))
	w, err := s.Add(t.Context(), "w", "s1", "main", "")
	if err != nil {
		t.Fatal(err)
	}
	expectChanges(t, s, w, "clean")
	write(t, w.Dir, "x", strings.Repeat("x", 5000))
	fill(t, filler)
	if _, err := s.Commit(t.Context(), w, "x", "", ""); !errors.Is(err, ErrDiskFull) {
		t.Errorf("commit: got %v; want ErrDiskFull", err)
	}
	if err := WriteFile(w, "asset", make([]byte, 9000)); !errors.Is(err, ErrDiskFull) {
		t.Errorf("write: got %v; want ErrDiskFull", err)
	}
	must(t, os.Remove(filler))
	if _, err := s.Commit(t.Context(), w, "x", "", ""); err != nil {
		t.Error(err)
	}
}

func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// begin syncs and adds a worktree at the default branch.
func begin(t testing.TB, s *Store, remote Remote, session string) Worktree {
	t.Helper()
	if err := s.Sync(t.Context(), "w", remote); err != nil {
		t.Fatal(err)
	}
	w, err := s.Add(t.Context(), "w", session, "", "")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// advance puts a commit on a branch of the remote.
func advance(t testing.TB, remote Remote, branch, file string) {
	t.Helper()
	work := t.TempDir()
	git(t, "", "clone", "-q", "-b", branch, remote.URL, work)
	write(t, work, file, "from the remote\n")
	git(t, work, "add", "-A")
	git(t, work, "commit", "-qm", "Add "+file)
	git(t, work, "push", "-q", "origin", branch)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
