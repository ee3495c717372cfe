package git

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// killer is a git that is killed in the calls for which there is an order. It counts the calls of each command.
type killer struct{ dir string }

// The moments of a call at which it is killed: before it does anything; at its first write to a file, when what it has
// locked stays locked; and after all, so that who called it does not learn that it is done.
var moments = []string{"before", "write", "after"}

// reads are the commands that write nothing.
var reads = []string{
	"version", "rev-parse", "for-each-ref", "cat-file", "ls-files", "ls-remote", "rev-list", "merge-base",
	"check-ref-format", "check-attr", "diff", "diff-index",
	"diff-tree", "log", "show-ref", "fsck", "status", "var", "",
}

func newKiller(t *testing.T) *killer {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash to kill git with")
	}
	real, err := exec.LookPath("git")
	must(t, err)
	k := &killer{dir: t.TempDir()}
	must(t, os.WriteFile(filepath.Join(k.dir, "git"), fmt.Appendf(nil, `#!%s
name= skip=
for word; do
	case $word in
	-c | -C) skip=1 ;;
	-*) ;;
	*)
		if [ -n "$skip" ]; then skip=; continue; fi
		if [ "$name" = worktree ]; then name=$name-$word; break; fi
		name=$word
		[ "$name" = worktree ] || break ;;
	esac
done
n=1
until mkdir "%[2]s/$name.$n" 2>/dev/null; do n=$((n + 1)); done
read -r order moment 2>/dev/null <"%[2]s/order"
if [ "$order" = "$name.$n" ]; then
	echo >"%[2]s/order"
	case $moment in
	before) kill -KILL $$ ;;
	write) ulimit -c 0; ulimit -f 0 ;;
	after) '%[3]s' "$@"; kill -KILL $$ ;;
	esac
fi
exec '%[3]s' "$@"
`, bash, k.dir, real), 0o755))
	return k
}

// order orders that a call is killed at a moment.
func (k *killer) order(t *testing.T, call, moment string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(k.dir, "order"), []byte(call+" "+moment+"\n"), 0o600))
}

// calls are those that were made and may write, as COMMAND.N.
func (k *killer) calls(t *testing.T) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(k.dir)
	must(t, err)
	for _, e := range entries {
		if name, _, _ := strings.Cut(e.Name(), "."); e.IsDir() && !slices.Contains(reads, name) {
			list = append(list, e.Name())
		}
	}
	return list
}

// liveOn lets a session live from the clone of its repository until nothing is left of it. What fails is tried again,
// as whoever calls a Store does. Its work is there all the time.
func liveOn(t *testing.T, k *killer) {
	t.Helper()
	s, remote := setup(t)
	s.Git, s.Log, s.lockWait = filepath.Join(k.dir, "git"), slog.New(slog.DiscardHandler), time.Millisecond
	const session = "01a22a51-7ad7-7f3d-bacc-360e8a7d3369"
	again := func(what string, do func() error) {
		t.Helper()
		var err error
		for range 4 {
			if err = do(); err == nil {
				return
			}
			if !Transient(err) {
				t.Errorf("%s met no trouble of the machine: %v", what, err)
			}
			age(t, s.layout().root) // a minute passes
			if errors.Is(err, ErrDamaged) {
				err = errors.Join(err, s.Repair(t.Context(), "w", remote))
			}
		}
		t.Fatalf("%s does not succeed any more: %v", what, err)
	}
	var w Worktree
	at := func() {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(w.Dir, "work.txt"))
		if err != nil || string(text) != "first\nsecond\n" {
			t.Fatalf("the work is %q, %v", text, err)
		}
	}
	again("the clone", func() error { return s.Sync(t.Context(), "w", remote) })
	again("the worktree", func() (err error) { w, err = s.Add(t.Context(), "w", session, "main", ""); return err })
	write(t, w.Dir, "work.txt", "first\n")
	git(t, w.Dir, "add", "work.txt")
	git(t, w.Dir, "commit", "-qm", "Work")
	write(t, w.Dir, "work.txt", "first\nsecond\n")
	again("the snapshot", func() error { _, err := s.Snapshot(t.Context(), w); return err })
	at()
	again("the push of the snapshot", func() error { return s.PushSnapshot(t.Context(), w, remote) })
	advance(t, remote, "main", "more.txt")
	again("the fetch", func() error { return s.Sync(t.Context(), "w", remote) })
	again("a spare worktree", func() error { return s.Spare(t.Context(), "w", "main") })
	again("the commit", func() error { _, err := s.Commit(t.Context(), w, "All of it", "", ""); return err })
	at()
	again("the push", func() error { return s.Push(t.Context(), w, remote, "work") })
	if got := git(t, remote.URL, "show", "work:work.txt"); got != "first\nsecond" {
		t.Fatalf("the remote has %q", got)
	}
	again("the packing", func() error { return s.tidy(t.Context(), "w", "gc", "--quiet") })
	at()
	// It goes on elsewhere, and comes back.
	again("leaving", func() error { return s.Leave(t.Context(), "w", session, w.Base) })
	again("coming back", func() error {
		back, found, err := s.Restore(t.Context(), "w", session, w.Base, remote)
		if err == nil && !found {
			return errors.New("the remote has no snapshot")
		}
		w = back
		return err
	})
	at()
	again("the removal", func() error { return s.Remove(t.Context(), "w", session, false) })
	if _, err := os.Stat(w.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the worktree is still there: %v", err)
	}
	again("the removal of what nobody knows", func() error {
		held, err := s.Inventory(t.Context())
		for _, h := range held {
			err = errors.Join(err, s.Remove(t.Context(), "w", h.Session, true))
		}
		return err
	})
	age(t, s.layout().root)
	again("the packing at the end", func() error { return s.Tidy(t.Context(), "w") })
	refs := git(t, s.layout().mirrorDir("w"), "for-each-ref", "--format=%(refname)", "refs/heads/carillon/")
	if refs != "" {
		t.Errorf("branches of nobody stay: %s", refs)
	}
	git(t, s.layout().mirrorDir("w"), "fsck", "--no-dangling", "--strict")
	must(t, filepath.WalkDir(s.layout().root, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".lock") {
			t.Errorf("%s stays locked", path)
		}
		return err
	}))
}

func TestALockThatNoGitMeetsAgainIsRemovedByPacking(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	s.Log = slog.New(slog.DiscardHandler)
	must(t, s.Sync(t.Context(), "w", remote))
	w, err := s.Add(t.Context(), "w", "s1", "main", "")
	must(t, err)
	locks := []string{
		filepath.Join(s.layout().mirrorDir("w"), "refs", "heads", "carillon", "gone.lock"),
		filepath.Join(s.layout().mirrorDir("w"), "packed-refs.lock"),
		filepath.Join(s.layout().adminDir("w", "s1"), "index.lock"),
		filepath.Join(s.layout().viewDir("w"), "HEAD.lock"),
	}
	for _, lock := range locks {
		write(t, filepath.Dir(lock), filepath.Base(lock), "")
	}
	mine := filepath.Join(w.Dir, "yarn.lock")
	write(t, w.Dir, "yarn.lock", "mine\n")
	young := filepath.Join(s.layout().mirrorDir("w"), "refs", "heads", "carillon", "young.lock")
	age(t, s.layout().root)
	write(t, filepath.Dir(young), filepath.Base(young), "")
	must(t, s.Tidy(t.Context(), "w"))
	for _, lock := range locks {
		if _, err := os.Stat(lock); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s stays: %v", lock, err)
		}
	}
	for _, path := range []string{mine, young} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

// age makes all locks older, as when time passes.
func age(t *testing.T, dir string) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && isLock(path) {
			err = os.Chtimes(path, old, old)
		}
		return err
	}))
}

// With CARILLON_SIEGE, each call is killed at each moment. Else it is the first one of each command, and not before it
// does anything, which is as if it failed.
func TestGitThatIsKilledInAnyCommandThatWritesLosesNoWorkAndLeavesNoLock(t *testing.T) {
	t.Parallel()
	first := newKiller(t)
	liveOn(t, first)
	calls := first.calls(t)
	if len(calls) < 15 {
		t.Fatalf("only %d calls write: %v", len(calls), calls)
	}
	for _, call := range calls {
		for _, moment := range moments {
			if os.Getenv("CARILLON_SIEGE") == "" && (moment == "before" || !strings.HasSuffix(call, ".1")) {
				continue
			}
			t.Run(call+" "+moment, func(t *testing.T) {
				t.Parallel()
				k := newKiller(t)
				k.order(t, call, moment)
				liveOn(t, k)
				if left, err := os.ReadFile(filepath.Join(k.dir, "order")); err != nil ||
					strings.TrimSpace(string(left)) != "" {
					t.Errorf("the call was not made: %q, %v", left, err)
				}
			})
		}
	}
}

func TestPackedReferencesThatAKilledGitWasWritingKeepNobodyFromWritingThem(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	s.Log, s.lockWait = slog.New(slog.DiscardHandler), time.Millisecond
	begin(t, s, remote, "s1")
	must(t, s.tidy(t.Context(), "w", "gc", "--quiet"))
	left := filepath.Join(s.layout().mirrorDir("w"), "packed-refs.new")
	write(t, filepath.Dir(left), filepath.Base(left), "half")
	if err := s.Remove(t.Context(), "w", "s1", false); !errors.Is(err, ErrLocked) {
		t.Errorf("a young one gives %v; want ErrLocked", err)
	}
	age(t, s.layout().root)
	must(t, s.Remove(t.Context(), "w", "s1", false))
	if exists(left) {
		t.Error("what a killed Git left stays")
	}
}
