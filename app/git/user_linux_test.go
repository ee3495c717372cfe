package git

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"carillon/app/runas"
)

// another is a user of this machine whom the test's worktrees belong to.
func another(t *testing.T) *runas.User {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, which alone may start programs as another user")
	}
	u, err := runas.LookUp("nobody")
	if err != nil {
		t.Skip("needs the user nobody: ", err)
	}
	return u
}

// as runs a script in a folder as a user and returns what it printed.
func as(t *testing.T, u *runas.User, dir, script string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-ec", script)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b"}
	if u != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: u.Credential()}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// mirrored is a store with a repository of one commit.
func mirrored(t *testing.T, u *runas.User) *Store {
	t.Helper()
	s := &Store{Root: filepath.Join(t.TempDir(), "data"), User: u}
	if err := os.Chmod(filepath.Dir(filepath.Dir(s.Root)), 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.Root, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Scratch(t.Context(), "w"); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAnotherUserCommitsInItsWorktreeAndTheServerTakesItOver(t *testing.T) {
	t.Parallel()
	u := another(t)
	s := mirrored(t, u)
	ctx := t.Context()
	for _, spare := range []bool{false, true} {
		id := map[bool]string{false: "one", true: "two"}[spare]
		if spare {
			if err := s.Spare(ctx, "w", ""); err != nil {
				t.Fatal(err)
			}
		}
		w, err := s.Add(ctx, "w", id, "", "")
		if err != nil {
			t.Fatal(err)
		}
		if err := WriteFile(w, "given/by.server", []byte("x\n")); err != nil {
			t.Fatal(err)
		}
		out, err := as(t, u, w.Dir,
			`git status --short; echo more >> given/by.server; echo a > file; git add -A; git commit -qm one
git branch other; git pack-refs --all; git branch -D other; git stash list; echo b > file; git stash -q; git stash pop -q; git log --format=%s -1`)
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		changes, err := s.Changes(ctx, w)
		if err != nil || changes.Ahead != 1 || len(changes.Files) == 0 {
			t.Fatalf("the changes are %+v, %v; want one commit and the files", changes, err)
		}
		if diff, _, err := s.Diff(ctx, w, 1<<20); err != nil || !strings.Contains(diff, "+b") {
			t.Errorf("the diff is %q, %v", diff, err)
		}
		kept, err := s.Snapshot(ctx, w)
		if err != nil || kept.Commit == "" {
			t.Errorf("the snapshot is %+v, %v", kept, err)
		}
		if again, err := s.Add(ctx, "w", id, "", ""); err != nil || again.Base != w.Base {
			t.Errorf("found again it is %+v, %v", again, err)
		}
		if out, err := as(t, u, w.Dir, `git commit -qam two; git checkout -qb third-`+id+
			`; echo c > file; git commit -qam three`); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	if err := s.Remove(ctx, "w", "one", false); err != nil || exists(s.layout().worktreeDir("one")) {
		t.Errorf("removed: %v", err)
	}
}

func TestAnotherUserReachesNothingElseInTheDataFolder(t *testing.T) {
	t.Parallel()
	u := another(t)
	s := mirrored(t, u)
	if err := os.WriteFile(filepath.Join(s.Root, "secret"), []byte("key"), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := s.Add(t.Context(), "w", "one", "", "")
	if err != nil {
		t.Fatal(err)
	}
	out, _ := as(t, u, w.Dir, `D=`+s.Root+` M=`+s.layout().mirrorDir("w")+`
ls $D && echo BAD; cat $D/secret && echo BAD; ls $D/git $D/git/home $D/worktrees $D/runs && echo BAD
echo x >> $M/config && echo BAD; echo x > $M/hooks/post-checkout && echo BAD; mv $M/hooks $M/h && echo BAD; mv $M/objects $M/o && echo BAD
rmdir $M/refs/carillon && echo BAD; mv $M/refs/heads $M/refs/h && echo BAD; mv $M/worktrees $M/w && echo BAD; mv $M/sessions $M/x && echo BAD
ls $D/git/exchanges $D/git/exchanges/w && echo BAD; echo x > $M/objects/info/alternates && echo BAD; echo x > $D/git/views/w/config && echo BAD
mv $M/objects/00 $M/objects/000 && echo BAD; echo x > $D/git/empty/.netrc && echo BAD; ls $D/git/empty && echo BAD; echo y > $M/config.x && rm $M/config.x; true`)
	for line := range strings.Lines(out) {
		if strings.TrimSpace(line) == "BAD" {
			t.Errorf("something was let through:\n%s", out)
			break
		}
	}
}

func TestAFileThatItsUserMayNotReadHoldsUpNoLook(t *testing.T) {
	t.Parallel()
	u := another(t)
	s := mirrored(t, u)
	w, err := s.Add(t.Context(), "w", "one", "", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.Dir, "of-the-server"), []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := as(t, u, w.Dir,
		`echo x > closed; chmod 0 closed; mkdir dir; echo x > dir/y; chmod 0 dir; echo x > seen`); err != nil {
		t.Fatal(out, err)
	}
	changes, err := s.Changes(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]bool{}
	for _, f := range changes.Files {
		at[f.Path] = f.Binary
	}
	if seen, ok := at["seen"]; !ok || seen || !at["closed"] || !at["of-the-server"] {
		t.Errorf("the changes are %+v; want the file that can be read, and those that cannot as such", changes.Files)
	}
}

func TestASubmoduleOpensNoOtherRepositoryToAnotherUser(t *testing.T) {
	t.Parallel()
	u := another(t)
	s := mirrored(t, u)
	ctx := t.Context()
	w, err := s.Add(ctx, "w", "one", "", "")
	if err != nil {
		t.Fatal(err)
	}
	closed := filepath.Join(s.Root, "closed")
	for _, part := range []string{"objects", "refs"} {
		if err := os.MkdirAll(filepath.Join(closed, part), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(closed, "HEAD"), []byte("ref: refs/heads/main\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	view := s.layout().private("views", "w")
	for _, gitDir := range []string{closed, view} {
		if out, err := as(t, u, w.Dir, `rm -rf part; mkdir part; echo "gitdir: `+gitDir+`" > part/.git
git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),part`); err != nil {
			t.Fatal(out, err)
		}
		if _, err := s.Changes(ctx, w); err != nil {
			t.Error(err)
		}
		if out, err := as(t, u, w.Dir, `echo x > `+gitDir+`/planted`); err == nil {
			t.Errorf("the user writes in %s: %s", gitDir, out)
		}
	}
	if exists(filepath.Join(closed, "worktrees")) {
		t.Error("something was made in a folder that is not the session's")
	}
}

func TestALockOfAGitOfAnotherUserThatIsAtWorkStays(t *testing.T) {
	t.Parallel()
	u := another(t)
	s := mirrored(t, u)
	w, err := s.Add(t.Context(), "w", "one", "", "")
	if err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(s.layout().mirrorDir("w"), "packed-refs.lock")
	old := time.Now().Add(-10 * time.Minute)
	if err := errors.Join(os.WriteFile(lock, nil, 0o644), os.Chtimes(lock, old, old)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "git", "hash-object", "--stdin")
	cmd.Dir, cmd.SysProcAttr = w.Dir, &syscall.SysProcAttr{Credential: u.Credential()}
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now().Add(time.Hour) // of a lock that is younger than the Git
	if !s.runner().gitRunningSince(began) {
		t.Error("a Git of the user of agents is not seen")
	}
	_ = stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if s.runner().gitRunningSince(began) {
		t.Error("a Git is seen that has ended")
	}
	if !s.runner().removeStaleLock(lock) {
		t.Error("the lock stays after it")
	}
}

func TestTheServersGitReadsThroughNoLinkOfAnotherUser(t *testing.T) {
	t.Parallel()
	u := another(t)
	s := mirrored(t, u)
	closed := t.TempDir()
	if err := os.WriteFile(filepath.Join(closed, "secret"), []byte("the key of the server\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := s.Add(t.Context(), "w", "one", "", "")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := as(t, u, w.Dir, `ln -s `+closed+` dir; ln -s `+closed+`/secret file; ln -s `+closed+
		`/secret .gitignore`); err != nil {
		t.Fatal(out, err)
	}
	for _, path := range []string{"dir/secret", "file"} {
		if text, err := ReadFile(w, path); err == nil {
			t.Errorf("%s was read: %q", path, text)
		}
	}
	if err := WriteFile(w, "dir/new", []byte("x")); err == nil {
		t.Error("something was written through a link")
	}
	if diff, _, err := s.Diff(t.Context(), w, 1<<20); err != nil || strings.Contains(diff, "the key of the server") {
		t.Errorf("the diff is %q, %v", diff, err)
	}
}

func TestWorktreesAreHandedOverWhenTheSettingChanges(t *testing.T) {
	t.Parallel()
	u := another(t)
	s := mirrored(t, nil)
	ctx := t.Context()
	commit := func(as_ *runas.User, w Worktree) {
		t.Helper()
		if out, err := as(t, as_, w.Dir,
			`echo x >> file; mkdir -p dir; echo y >> dir/file; git add -A; git commit -qm x; git status --short`); err != nil {
			t.Fatalf("as %+v: %v: %s", as_, err, out)
		}
		if changes, err := s.Changes(ctx, w); err != nil || len(changes.Files) != 2 {
			t.Fatalf("as %+v the changes are %+v, %v", as_, changes, err)
		}
	}
	outside := filepath.Join(filepath.Dir(s.Root), "outside")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for i, user := range []*runas.User{nil, u, nil, u} {
		s.User = user
		w, err := s.Add(ctx, "w", "one", "", "")
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := os.Link(outside, filepath.Join(w.Dir, ".git-linked")); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(w.Dir, ".git-linked")); err != nil {
				t.Fatal(err)
			}
		}
		commit(user, w)
	}
	if u.Belongs(outside) {
		t.Error("a file outside of the worktree was handed over")
	}
}

func TestACommitMovesNothingThatIsNoBranch(t *testing.T) {
	t.Parallel()
	s := mirrored(t, nil)
	ctx := t.Context()
	one, err := s.Add(ctx, "w", "one", "", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Add(ctx, "w", "two", "", ""); err != nil {
		t.Fatal(err)
	}
	if out, err := as(t, nil, one.Dir, "echo 'ref: refs/carillon/base/two' > "+s.layout().adminDir("w", "one")+
		"/HEAD; echo x > new"); err != nil {
		t.Fatal(out, err)
	}
	if sha, err := s.Commit(ctx, one, "x", "a", "a@b"); err == nil {
		t.Errorf("it was committed as %s through what Carillon notes", sha)
	}
	again, err := s.Add(ctx, "w", "two", "", "")
	if err != nil || again.Base != one.Base {
		t.Errorf("the base of the other session is %s, %v; want %s", again.Base, err, one.Base)
	}
}

func TestALinkInPlaceOfAPreparedWorktreeIsNotTaken(t *testing.T) {
	t.Parallel()
	u := another(t)
	s := mirrored(t, u)
	ctx := t.Context()
	if err := s.Spare(ctx, "w", ""); err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	if out, err := as(t, u, "/", "cd "+s.layout().spareDir("w")+"; mv "+spareFiles+" f2; ln -s "+outside+" "+
		spareFiles); err != nil {
		t.Fatal(out, err)
	}
	w, err := s.Add(ctx, "w", "one", "", "")
	if err != nil || !isFolder(w.Dir) {
		t.Errorf("the worktree is a folder: %t, %v", isFolder(w.Dir), err)
	}
	if names, err := os.ReadDir(outside); err != nil || len(names) > 0 {
		t.Errorf("outside are %v, %v", names, err)
	}
}
