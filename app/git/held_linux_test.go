package git

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carillon/app/runas"
)

func TestTheEnvironmentOfTheServerStaysItsOwn(t *testing.T) {
	u := *another(t)
	u.Home = t.TempDir()
	must(t, errors.Join(os.Chmod(u.Home, 0o777), os.Chmod(filepath.Dir(u.Home), 0o711)))
	t.Setenv("CARILLON_SECRET_KEY", "the key of the server")
	git, seen := filepath.Join(u.Home, "git"), filepath.Join(u.Home, "seen")
	must(t, os.WriteFile(git, []byte("#!/bin/sh\nenv >> "+seen+"\n"), 0o755))
	s := &Store{Root: t.TempDir(), User: &u, Git: git}
	s.Env(t.Context(), false)
	if text, err := os.ReadFile(seen); err != nil || strings.Contains(string(text), "the key of the server") {
		t.Errorf("a process of the user of agents has the environment %q, %v", text, err)
	}
}

// RestoreHead runs a Git as root by a configuration that an agent wrote, and waits for a pipe, without an end.
func TestRootsGitReadsNoConfigurationOfAnAgent(t *testing.T) {
	s, remote := setup(t)
	u := another(t)
	s.User, s.Log = u, slog.New(slog.DiscardHandler)
	must(t, os.Chmod(filepath.Dir(filepath.Dir(s.Root)), 0o711))
	begin(t, s, remote, "one")
	if out, err := as(t, u, s.layout().mirrorDir("w"),
		`d=$(mktemp -d); mkdir $d/objects $d/refs; mkfifo $d/config; echo $d > commondir`); err != nil {
		t.Fatal(out, err)
	}
	must(t, s.Sync(t.Context(), "w", remote))
}

// A pipe in place of a single object.
func TestAPipeInPlaceOfAnObjectHoldsNobodyUp(t *testing.T) {
	for _, other := range []bool{true, false} {
		t.Run(fmt.Sprint("another user ", other), func(t *testing.T) {
			s, remote := setup(t)
			var u *runas.User
			if other {
				u = another(t)
			}
			s.User, s.Log = u, slog.New(slog.DiscardHandler)
			must(t, os.Chmod(filepath.Dir(filepath.Dir(s.Root)), 0o711))
			w := begin(t, s, remote, "one")
			o := filepath.Join(s.layout().mirrorDir("w"), "objects", w.Base[:2], w.Base[2:])
			if out, err := as(t, u, "/", "rm -f "+o+"; mkfifo "+o); err != nil {
				t.Fatal(out, err)
			}
			t.Log(s.Sync(t.Context(), "w", remote)) // it ends
		})
	}
}

// The agent holds the pipe open itself, so that who reads there learns of no end.
func TestAPipeThatItsMakerHoldsOpenHoldsNobodyUp(t *testing.T) {
	s, remote := setup(t)
	u := another(t)
	s.User, s.Log = u, slog.New(slog.DiscardHandler)
	must(t, os.Chmod(filepath.Dir(filepath.Dir(s.Root)), 0o711))
	begin(t, s, remote, "one")
	o := filepath.Join(s.layout().adminDir("w", "one"), "HEAD")
	advance(t, remote, "main", "more.txt")
	if out, err := as(t, u, "/", "rm -f "+o+"; mkfifo "+o+"; (exec 3<>"+o+
		" >/dev/null 2>&1; sleep 600) >/dev/null 2>&1 </dev/null &"); err != nil {
		t.Fatal(out, err)
	}
	t.Log(s.Sync(t.Context(), "w", remote)) // it ends
}

// A pipe in place of the copy of an index.
func TestAPipeInPlaceOfTheCopyOfAnIndexHoldsNoCommitUp(t *testing.T) {
	s, remote := setup(t)
	u := another(t)
	s.User, s.Log = u, slog.New(slog.DiscardHandler)
	must(t, os.Chmod(filepath.Dir(filepath.Dir(s.Root)), 0o711))
	w := begin(t, s, remote, "one")
	write(t, w.Dir, "new", "x")
	_ = meddle(t, s, "update-ref", `cd `+s.layout().private("tmp")+`; for i in index-*; do rm -f $i; mkfifo $i; done`)
	_, err := s.Commit(t.Context(), w, "x", "a", "a@b") // it ends
	t.Log(err)
}

// Mounts makes a folder of branches that is root's own.
func TestMountsLeaveTheFolderOfBranchesToItsUser(t *testing.T) {
	u := another(t)
	s := mirrored(t, u)
	w, err := s.Add(t.Context(), "w", "one", "", "")
	must(t, err)
	if out, err := as(t, u, w.Dir, "git pack-refs --all --prune"); err != nil {
		t.Fatal(out, err)
	}
	_, err = s.Mounts(w)
	must(t, err)
	if _, err := s.Add(t.Context(), "w", "two", "", ""); err != nil {
		t.Errorf("no further session: %v", err)
	}
	if out, err := as(t, u, w.Dir, "echo x > f; git add f; git commit -qm x"); err != nil {
		t.Error(out, err)
	}
}

// Root's Git reads objects through a link and pushes them.
func TestPushOfAStateReadsThroughNoLink(t *testing.T) {
	s, remote := setup(t)
	u := another(t)
	s.User, s.Log = u, slog.New(slog.DiscardHandler)
	must(t, os.Chmod(filepath.Dir(filepath.Dir(s.Root)), 0o711))
	w := begin(t, s, remote, "one")
	private := t.TempDir()
	must(t, os.Chmod(private, 0o700))
	tree := ""
	if out, err := as(t, nil, private, "git init -q; echo top-secret > key; git add key; git write-tree"); err != nil {
		t.Fatal(out, err)
	} else {
		tree = strings.TrimSpace(out)
	}
	blob := git(t, private, "rev-parse", tree+":key")
	m := s.layout().mirrorDir("w")
	out, err := as(t, u, w.Dir,
		fmt.Sprintf(`c=$(printf 'tree %s\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n' | git hash-object -t commit -w --literally --stdin)
git update-ref --no-deref HEAD $c; echo x > new; git symbolic-ref HEAD`, tree))
	t.Log(out, err)
	kept, err := s.Snapshot(t.Context(), w)
	t.Log(kept, err)
	if out, err := as(t, u, "/",
		fmt.Sprintf(`for o in %s %s; do ln -s %s/.git/objects/${o:0:2}/${o:2} %s/objects/${o:0:2}/${o:2}; done`, tree,
			blob, private, m)); err != nil {
		t.Fatal(out, err)
	}
	err = s.PushSnapshot(t.Context(), w, remote)
	t.Log(err)
	if out, err := as(t, nil, remote.URL, "git cat-file -p "+blob); err == nil {
		t.Errorf("the remote has what only root may read: %s", out)
	}
}

// A Git that packs obeys a configuration that an agent wrote, without the limits of a run.
func TestPackingObeysNoConfigurationOfAnAgent(t *testing.T) {
	s, remote := setup(t)
	u := another(t)
	s.User, s.Log = u, slog.New(slog.DiscardHandler)
	must(t, os.Chmod(filepath.Dir(filepath.Dir(s.Root)), 0o711))
	begin(t, s, remote, "one")
	said := filepath.Join(t.TempDir(), "said")
	must(t, os.Chmod(filepath.Dir(said), 0o777))
	must(t, os.Chmod(filepath.Dir(filepath.Dir(said)), 0o711))
	_ = meddle(t, s, "gc",
		`cd `+s.layout().private("views", ".tidy-w")+`; d=$(mktemp -d); chmod 755 $d; ln -s $M/objects $M/refs $M/worktrees $d/
printf '[core]\nrepositoryformatversion=1\nbare=true\n[extensions]\npartialclone=x\n[remote "x"]\npromisor=true\nurl='$d/nowhere'\nuploadpack='$d/evil'\n' > $d/config
printf '#!/bin/sh\ngrep -E "NoNewPrivs|Uid" /proc/self/status > `+said+`; false\n' > $d/evil; chmod 755 $d/evil
printf 'ref: refs/heads/x\n' > $d/HEAD; ( echo $d > commondir ) 2>/dev/null; echo 1111111111111111111111111111111111111111 > $M/refs/heads/missing`)
	err := s.tidy(t.Context(), "w", "gc", "--quiet")
	t.Log(err)
	if text, err := os.ReadFile(said); err == nil {
		t.Errorf("a command of an agent ran beside the watch over runs: %s", text)
	}
}
