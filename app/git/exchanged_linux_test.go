package git

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"carillon/app/runas"
)

// swapping exchanges two names, with the rights of a user, until it is told to stop: what a process of the user of
// agents does.
func swapping(t *testing.T, u *runas.User, a, b string) (stop func()) {
	t.Helper()
	return repeatedly(t, u, func() { _ = unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE) })
}

// repeatedly does something again and again with the rights of a user until it is told to stop.
func repeatedly(t *testing.T, u *runas.User, do func()) (stop func()) {
	t.Helper()
	var over atomic.Bool
	done := make(chan error, 1)
	go func() {
		done <- u.Do(func() error {
			for !over.Load() {
				do()
			}
			return nil
		})
	}()
	return func() { over.Store(true); <-done }
}

func racing(t *testing.T) (*runas.User, *Store) { return racingAs(t, another(t)) }

func racingAs(t *testing.T, u *runas.User) (*runas.User, *Store) {
	s := mirrored(t, u)
	s.Log = slog.New(slog.DiscardHandler)
	if _, err := s.Add(t.Context(), "w", "one", "", ""); err != nil {
		t.Fatal(err)
	}
	return u, s
}

// The server empties any folder of the machine.
func TestFolderSwappedForALinkIsNotEmptied(t *testing.T) { // packed-refs: an agent in a sandbox may write it too
	for _, other := range []bool{true, false} {
		t.Run(fmt.Sprint("another user ", other), func(t *testing.T) {
			var u *runas.User
			if other {
				u = another(t)
			}
			swapsFolder(t, u)
		})
	}
}

func swapsFolder(t *testing.T, u *runas.User) {
	_, s := racingAs(t, u)
	outside := t.TempDir()
	must(t, os.Chmod(outside, 0o700))
	precious := filepath.Join(outside, "precious")
	must(t, os.WriteFile(precious, nil, 0o600))
	m := s.layout().mirrorDir("w")
	tries := 0
	for n := 0; n < 4 && exists(precious); n++ {
		must(t, u.Do(func() error {
			_ = os.Remove(m + "/packed-refs")
			_ = os.Remove(m + "/x")
			return os.Symlink(outside, m+"/x")
		}))
		must(t, u.Do(func() error { _ = os.MkdirAll(m+"/packed-refs/in", 0o700); return nil }))
		stop := swapping(t, u, m+"/packed-refs", m+"/x")
		for range 50 {
			_, _ = s.open("w")
			tries++
			if !exists(m+"/packed-refs") || !exists(m+"/x") {
				break
			}
		}
		stop()
		_ = RemoveAll(m + "/packed-refs")
		_ = RemoveAll(m + "/x")
	}
	if !exists(precious) {
		t.Errorf("a file outside was removed by root after %d looks at the repository", tries)
	}
	t.Log(tries)
}

// The server gives any file of the machine the mode that an agent chooses.
func TestModeOfAFileOutsideIsNotChanged(t *testing.T) {
	u, s := racing(t)
	outside := filepath.Join(t.TempDir(), "shadow")
	must(t, os.WriteFile(outside, []byte("secret"), 0o600))
	m := s.layout().mirrorDir("w")
	mark := m + "/" + markSHA256
	tries := 0
	changed := func() bool { i, err := os.Stat(outside); must(t, err); return i.Mode().Perm() != 0o600 }
	for n := 0; n < 10 && !changed(); n++ {
		must(t, u.Do(func() error {
			_ = os.Remove(mark)
			_ = os.Remove(m + "/x")
			_ = os.Symlink(outside, m+"/x")
			f, err := os.Create(mark)
			if err == nil {
				err = f.Chmod(0o606)
				_ = f.Close()
			}
			return err
		}))
		stop := swapping(t, u, mark, m+"/x")
		for range 20 {
			_, _ = s.open("w")
			tries++
		}
		stop()
	}
	if changed() {
		i, _ := os.Stat(outside)
		t.Errorf("root's file of mode 0600 has mode %v after %d looks at the repository", i.Mode(), tries)
	}
	t.Log(tries)
}

// A link (or regular file of a closed mode) in place of the mark of SHA-256 refuses the repository to all.
func TestLinkInPlaceOfTheMarkHoldsNobodyUp(t *testing.T) {
	u, s := racing(t)
	if out, err := as(t, u, s.layout().mirrorDir("w"), "ln -s /x "+markSHA256); err != nil {
		t.Fatal(out, err)
	}
	if _, err := s.Add(t.Context(), "w", "two", "", ""); err != nil {
		t.Error(err)
	}
}

// The server removes links, sockets and devices anywhere, by a submodule whose refs become a link.
func TestASubmodulesReferencesAreLookedThroughWithItsUsersRights(t *testing.T) {
	for _, other := range []bool{true, false} {
		t.Run(fmt.Sprint("another user ", other), func(t *testing.T) {
			var u *runas.User
			if other {
				u = another(t)
			}
			s := mirrored(t, u)
			s.Log = slog.New(slog.DiscardHandler)
			w, err := s.Add(t.Context(), "w", "one", "", "")
			must(t, err)
			outside := t.TempDir()
			must(t, os.Chmod(outside, 0o700))
			must(t, os.Symlink("/elsewhere", outside+"/alternative"))
			if out, err := as(t, u, w.Dir, `mkdir part; cd part; git init -q; git commit -qm x --allow-empty; cd ..
git update-index --add --cacheinfo 160000,$(git -C part rev-parse HEAD),part
perl -e 'use POSIX; mkfifo("part/.git/objects/p$_", 0600) for 1..3000'`); err != nil {
				t.Fatal(out, err)
			}
			// what an agent's process does: as soon as its first pipe goes, refs becomes a link
			done := make(chan error, 1)
			go func() {
				done <- u.Do(func() error {
					git := w.Dir + "/part/.git/"
					for t.Context().Err() == nil {
						d, err := os.ReadDir(git + "objects")
						if err != nil {
							return err
						}
						if len(d) < 2990 {
							break
						}
					}
					if err := os.Rename(git+"refs", git+"refs2"); err != nil {
						return err
					}
					return os.Symlink(outside, git+"refs")
				})
			}()
			_, err = s.Changes(t.Context(), w)
			t.Log(err, <-done)
			if !exists(outside + "/alternative") {
				t.Error("a link outside was removed by the server")
			}
		})
	}
}

// An agent that knows the name of an object that it may not read commits that name, and puts a link to the object in
// place when the server's Git pushes.
func TestAPushSendsNothingThatTheUserOfAgentsMayNotRead(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	s.User, s.Log = another(t), slog.New(slog.DiscardHandler)
	must(t, os.Chmod(filepath.Dir(filepath.Dir(s.Root)), 0o711))
	w := begin(t, s, remote, "one")
	private := t.TempDir()
	git(t, private, "init", "-q")
	write(t, private, "secret.txt", "of the server alone\n")
	blob := git(t, private, "hash-object", "-w", "secret.txt")
	must(t, os.Chmod(private, 0o700))
	out, err := as(t, s.User, w.Dir, fmt.Sprintf(`
		tree=$(printf '100644 blob %[1]s\tsecret.txt\n' | git mktree --missing)
		git update-ref HEAD $(git commit-tree -m x -p HEAD $tree)`, blob))
	if err != nil {
		t.Fatal(out, err)
	}
	object := filepath.Join(private, ".git", "objects", blob[:2], blob[2:])
	link := filepath.Join(s.layout().mirrorDir("w"), "objects", blob[:2], blob[2:])
	stop := repeatedly(t, s.User, func() { // the server removes a link that it sees
		_ = os.Mkdir(filepath.Dir(link), 0o777)
		_ = os.Symlink(object, link)
	})
	err = s.Push(t.Context(), w, remote, "")
	stop()
	if err == nil {
		t.Error("a commit of an object that the user may not read was pushed")
	}
	look := exec.CommandContext(t.Context(), "git", "-C", remote.URL, "cat-file", "-e", blob)
	if look.Run() == nil {
		t.Error("the remote has the object")
	}
	must(t, os.RemoveAll(link))
	out, err = as(t, s.User, w.Dir,
		`git update-ref HEAD HEAD^; echo new > new.txt; git add new.txt; git commit -qm New`)
	if err != nil {
		t.Fatal(out, err)
	}
	must(t, s.Push(t.Context(), w, remote, "")) // what it may read goes
}
