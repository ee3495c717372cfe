package git

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carillon/app/agent"
	"carillon/app/runas"
)

// meddle makes the store's Git one that runs a script before the first call of a command, with the rights of that call:
// what an agent does while the server is at work. M is the mirror of the workspace w, O a folder that the user of
// agents cannot use.
func meddle(t *testing.T, s *Store, command, script string) (outside string) {
	t.Helper()
	real, err := exec.LookPath("git")
	must(t, err)
	dir, outside := s.layout().private("tmp", "meddle"), t.TempDir() // the former can be written by each Git
	must(t, errors.Join(os.Mkdir(dir, 0o777), os.Chmod(dir, 0o777), os.Chmod(outside, 0o700)))
	s.Git = filepath.Join(dir, "git")
	text := fmt.Sprintf(`#!/bin/bash
if [[ " $* " == *" %s "* ]] && mkdir '%s/once' 2>/dev/null; then
	M='%s' O='%s'
	( %s ) >'%s/said' 2>&1
fi
exec '%s' "$@"
`, command, dir, s.layout().mirrorDir("w"), outside, script, dir, real)
	must(t, os.WriteFile(s.Git, []byte(text), 0o755))
	t.Cleanup(func() {
		if said, _ := os.ReadFile(filepath.Join(dir, "said")); len(said) > 0 || !exists(filepath.Join(dir, "once")) {
			t.Errorf("the script before git %s said %q, it ran: %t", command, said, exists(filepath.Join(dir, "once")))
		}
	})
	return outside
}

// untouched expects that nothing was made in a folder.
func untouched(t *testing.T, outside string) {
	t.Helper()
	list, err := os.ReadDir(outside)
	if err != nil || len(list) > 0 {
		t.Errorf("outside of the repository there is %v, %v", list, err)
	}
}

func TestALinkThatAnotherUserPutsInTheWayOfAGitLeadsToNothingOfTheServer(t *testing.T) {
	t.Parallel()
	linksInTheWay(t, func(t *testing.T, s *Store) { s.User = another(t) })
}

// The user is the server's own: the agent is one in a sandbox.
func TestALinkThatAnAgentPutsInTheWayOfAGitLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	linksInTheWay(t, func(t *testing.T, s *Store) {
		confine := agent.NewConfiner(t.Context())
		if confine == nil {
			t.Skip("needs bubblewrap, which does not work here")
		}
		s.Confine = confine
	})
}

func linksInTheWay(t *testing.T, as func(t *testing.T, s *Store)) {
	ofRemote := func(t *testing.T) (*Store, Remote) {
		s, remote := setup(t)
		s.Log = slog.New(slog.DiscardHandler)
		as(t, s)
		must(t, os.Chmod(filepath.Dir(filepath.Dir(s.Root)), 0o711))
		publishBranch(t, remote, "sub/branch")
		must(t, s.Sync(t.Context(), "w", remote))
		return s, remote
	}
	t.Run("a new branch", func(t *testing.T) {
		t.Parallel()
		s, _ := ofRemote(t)
		_, err := s.Add(t.Context(), "w", "one", "", "")
		must(t, err)
		outside := meddle(t, s, "update-ref", `cd $M/refs/heads; mv carillon other; ln -s $O carillon`)
		_, _ = s.Add(t.Context(), "w", "two", "", "")
		untouched(t, outside)
	})
	t.Run("packing", func(t *testing.T) {
		t.Parallel()
		s, _ := ofRemote(t)
		outside := meddle(t, s, "gc", `cd $M; rm -f packed-refs; ln -s $O/packed packed-refs`)
		_ = s.tidy(t.Context(), "w", "gc", "--quiet")
		untouched(t, outside)
	})
	t.Run("a fetch", func(t *testing.T) {
		t.Parallel()
		s, remote := ofRemote(t)
		publishBranch(t, remote, "sub/another")
		outside := meddle(t, s, "update-ref", `cd $M/refs/remotes/origin; mv sub other; ln -s $O sub`)
		_ = s.Sync(t.Context(), "w", remote)
		untouched(t, outside)
	})
	t.Run("the removal of a branch", func(t *testing.T) {
		t.Parallel()
		s, _ := ofRemote(t)
		_, err := s.Add(t.Context(), "w", "one", "", "")
		must(t, err)
		must(t, s.tidy(t.Context(), "w", "gc", "--quiet"))
		outside := meddle(t, s, "update-ref", `cd $M; cp packed-refs p; rm packed-refs; ln -s $O/packed packed-refs`)
		_ = s.Remove(t.Context(), "w", "one", false)
		untouched(t, outside)
	})
}

// publishBranch gives the remote a branch with a commit of its own.
func publishBranch(t *testing.T, remote Remote, name string) {
	t.Helper()
	tree := git(t, remote.URL, "rev-parse", "main^{tree}")
	commit := git(t, remote.URL, "-c", "user.name=a", "-c", "user.email=a@b", "commit-tree", "-m", name, tree)
	git(t, remote.URL, "update-ref", "refs/heads/"+name, commit)
}

func TestOnlyAGitThatReachesRemotesHasTheRightsOfTheServer(t *testing.T) {
	t.Parallel()
	s, remote := setup(t)
	s.User, s.Log = another(t), slog.New(slog.DiscardHandler)
	must(t, os.Chmod(filepath.Dir(filepath.Dir(s.Root)), 0o711))
	real, err := exec.LookPath("git")
	must(t, err)
	dir := t.TempDir()
	must(t, errors.Join(os.Chmod(dir, 0o777), os.Chmod(filepath.Dir(dir), 0o711)))
	log := filepath.Join(dir, "calls")
	must(t, errors.Join(os.WriteFile(log, nil, 0o666), os.Chmod(log, 0o666)))
	s.Git = filepath.Join(dir, "git")
	must(t, os.WriteFile(s.Git, fmt.Appendf(nil, "#!/bin/bash\necho \"$EUID $*\" >> '%s'\nexec '%s' \"$@\"\n", log,
		real), 0o755))
	ctx := t.Context()
	w := begin(t, s, remote, "s1")
	write(t, w.Dir, "work.txt", "work\n")
	_, err = s.Snapshot(ctx, w)
	must(t, err)
	must(t, s.PushSnapshot(ctx, w, remote))
	must(t, s.Spare(ctx, "w", ""))
	_, err = s.Changes(ctx, w)
	must(t, err)
	_, err = s.Commit(ctx, w, "Work", "a", "a@b")
	must(t, err)
	must(t, s.Push(ctx, w, remote, "work"))
	advance(t, remote, "main", "more.txt")
	must(t, s.Sync(ctx, "w", remote))
	must(t, s.tidy(ctx, "w", "gc", "--quiet"))
	must(t, s.Leave(ctx, "w", "s1", w.Base))
	back, found, err := s.Restore(ctx, "w", "s1", w.Base, remote)
	if must(t, err); !found || back.Session == "" {
		t.Error("the session was not restored")
	}
	if err := s.Repair(ctx, "w", remote); !errors.Is(err, ErrDamaged) {
		t.Errorf("mending a sound repository: %v", err)
	}
	must(t, s.Remove(ctx, "w", "s1", false))
	_, err = s.Inventory(ctx)
	must(t, err)
	calls, err := os.ReadFile(log)
	must(t, err)
	mine, theirs := 0, 0
	for line := range strings.Lines(string(calls)) {
		uid, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		if uid != "0" {
			theirs++
			continue
		}
		mine++
		if strings.Contains(args, "--git-dir=") &&
			!strings.Contains(args, "--git-dir="+s.layout().private("exchanges")) &&
			!strings.HasSuffix(args, "rev-parse --git-dir") {
			t.Errorf("with the rights of the server ran git %s", args)
		}
	}
	if mine == 0 || theirs == 0 {
		t.Errorf("%d calls had the rights of the server, %d those of the user", mine, theirs)
	}
}

// What is found in the place of Git's own files holds nobody up, whoever put it there.
func TestWhatAnAgentPutsInTheRepositoryHoldsUpNoOtherSession(t *testing.T) {
	t.Parallel()
	deep := `perl -e 'for (1..1500) { mkdir "d"; chdir "d" }'`
	for what, script := range map[string]string{
		"a pipe as packed references":         `rm -f $M/packed-refs; mkfifo $M/packed-refs`,
		"a link as packed references":         `rm -f $M/packed-refs; ln -s /x $M/packed-refs`,
		"a folder as packed references":       `rm -f $M/packed-refs; mkdir $M/packed-refs`,
		"a pipe as shallow commits":           `mkfifo $M/shallow`,
		"a pipe as the folder's name":         `rm $M/worktrees/one/gitdir; mkfifo $M/worktrees/one/gitdir`,
		"a pipe as a session's HEAD":          `rm $M/worktrees/one/HEAD; mkfifo $M/worktrees/one/HEAD`,
		"a pipe as what sessions have":        `rm $M/worktrees/one/commondir; mkfifo $M/worktrees/one/commondir`,
		"a pipe as an index of packs":         `mkfifo $M/objects/pack/multi-pack-index`,
		"a link among objects":                `ln -s /x $M/objects/zz`,
		"a pipe among objects":                `mkfifo $M/objects/zz`,
		"a closed folder among objects":       `mkdir $M/objects/zz; chmod 0 $M/objects/zz`,
		"a pipe as the branch to be made":     `mkfifo $M/refs/heads/carillon/two`,
		"folders in one another":              `cd $M/refs/heads; ` + deep,
		"folders in one another in its place": `cd $M/worktrees/one; ` + deep,
		"another place of what is common":     `echo /nonexistent > $M/commondir`,
		"a pipe as what is common":            `mkfifo $M/commondir`,
	} {
		for _, other := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, another user %t", what, other), func(t *testing.T) {
				t.Parallel()
				var u *runas.User
				if other {
					u = another(t)
				}
				s, remote := setup(t)
				s.User, s.Log = u, slog.New(slog.DiscardHandler)
				must(t, os.Chmod(filepath.Dir(filepath.Dir(s.Root)), 0o711))
				w := begin(t, s, remote, "one")
				must(t, s.Sync(t.Context(), "v", remote))
				_, err := s.Add(t.Context(), "v", "three", "", "")
				must(t, err)
				if out, err := as(t, u, w.Dir, "M="+s.layout().mirrorDir("w")+"; "+script); err != nil {
					t.Fatal(out, err)
				}
				advance(t, remote, "main", "more.txt")
				must(t, s.Sync(t.Context(), "w", remote))
				_, err = s.Add(t.Context(), "w", "two", "", "")
				must(t, err)
				held, err := s.Inventory(t.Context())
				must(t, err)
				if len(held) != 3 {
					t.Errorf("held are %+v; want three sessions", held)
				}
				if _, err := s.Leftovers(time.Now()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
