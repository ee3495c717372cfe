package jobs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/db"
)

// seen writes that a kit's worker was seen at a time.
func (k *kit) seen(at time.Time) {
	k.t.Helper()
	check(k.t, db.SaveWorker(k.t.Context(), k.db, &db.Worker{
		ID: k.runner.Worker, Name: "forge-" + k.runner.Worker, SeenAt: at, Slots: k.runner.Max,
	}))
}

// answered waits until a session's replies are answered.
func (k *kit) answered(session uuid.UUID) *db.Session {
	k.t.Helper()
	var s *db.Session
	k.eventually("the reply to be answered", func() error {
		if s = k.session(session); s.Status != db.SessionWaiting {
			return fmt.Errorf("the session is %s on %q", s.Status, s.Worker)
		}
		return nil
	})
	return s
}

func TestASessionWaitsForItsWorkerAndGoesOnElsewhereWhenThatIsGivenUp(t *testing.T) {
	t.Parallel()
	k, g := prepare(t), newGitea(t)
	k.on(g)
	k.seen(time.Now())
	k.start()
	run := k.run("echo work > work.txt; echo x > notes.log; echo '*.log' > .gitignore", nil)
	k.ended(run)
	id := run.Session.ID
	if s := k.session(id); s.FilesChanged != 2 || s.IgnoredFiles != 1 || s.Branch == "" {
		t.Fatalf("the run changed %d files and left %d ignored ones", s.FilesChanged, s.IgnoredFiles)
	}
	k.stop()
	other := k.beside("other")
	other.seen(time.Now())
	k.seen(time.Now().Add(-db.WorkerSilence - time.Minute))
	other.start()
	check(t, k.rules.Sessions().Reply(t.Context(), k.actor, id, "cat work.txt; ls"))
	// the other is at work, and leaves it
	other.ended(other.run("true", func(in *automation.Input) { in.Name = "Beside" }))
	if s := k.session(id); s.Status != db.SessionQueued || s.Worker != "test" {
		t.Fatalf("while its worker is silent the session is %s on %q", s.Status, s.Worker)
	}
	if err := k.rules.Sessions().GiveUpWorker(t.Context(), account.Actor{ID: k.actor.ID}, id); err == nil {
		t.Error("somebody without permissions gave the worker up")
	}
	check(t, k.rules.Sessions().GiveUpWorker(t.Context(), k.actor, id))
	s := other.answered(id)
	if s.Worker != "other" || s.FilesChanged != 2 || !strings.Contains(other.transcript(id), "work.txt") {
		t.Errorf("on %q the session has %d files; want both on the other worker", s.Worker, s.FilesChanged)
	}
	if !strings.Contains(s.NotSaved, "forge-test") || !strings.Contains(s.NotSaved, "1 ignored file") {
		t.Errorf("of what was lost it says %q", s.NotSaved)
	}
	var invalid fault.Invalid
	if err := k.rules.Sessions().GiveUpWorker(t.Context(), k.actor, id); !errors.As(err, &invalid) {
		t.Errorf("a session that waits for nobody was given up: %v", err)
	}
	// The worker comes back.
	if _, there := k.folder(id); !there {
		t.Fatal("the former worktree is gone before its worker came back")
	}
	check(t, k.runner.sweepWorktrees(t.Context(), time.Now()))
	if _, there := k.folder(id); there {
		t.Error("the former worktree is still there")
	}
	if s := k.session(id); !s.WorktreeRemovedAt.IsZero() {
		t.Error("the session counts as one without a worktree")
	}
}

func TestASessionWhoseWorkerIsGoneIsNeverTakenForOneWithoutChanges(t *testing.T) {
	k := setup(t)
	run := k.run("echo work > work.txt", nil)
	k.ended(run)
	k.stop()
	k.seen(time.Now().Add(-db.WorkerGone - time.Minute))
	other := k.beside("other")
	other.seen(time.Now())
	check(t, k.rules.Sessions().Reply(t.Context(), k.actor, run.Session.ID, "true"))
	other.start()
	s := other.answered(run.Session.ID)
	if s.Worker != "other" || !strings.Contains(s.NotSaved,
		"was not saved: 1 changed file, since the workspace has no remote repository") {
		t.Errorf("on %q it says %q", s.Worker, s.NotSaved)
	}
}

func TestAWorkerThatComesBackInTimeHasItsSessionsAsTheyWere(t *testing.T) {
	k := setup(t)
	run := k.run("echo work > work.txt", nil)
	k.ended(run)
	k.stop()
	k.seen(time.Now().Add(-db.WorkerSilence - time.Minute))
	check(t, k.rules.Sessions().Reply(t.Context(), k.actor, run.Session.ID, "echo more > more.txt"))
	check(t, k.rules.Sessions().GiveUpWorker(t.Context(), k.actor, run.Session.ID))
	k.start()
	if s := k.answered(run.Session.ID); s.Worker != "test" || s.FilesChanged != 2 || s.NotSaved != "" {
		t.Errorf("on %q it has %d files and says %q; want both files and no loss", s.Worker, s.FilesChanged, s.NotSaved)
	}
}

func TestARepositoryWithoutRemoteThatIsDamagedIsMended(t *testing.T) {
	k := setup(t)
	for what, damage := range map[string]string{
		"a line that cannot be read": `echo 'no reference' >> "$(git rev-parse --git-path packed-refs)"`,
		"a reference to nothing":     `echo 1111111111111111111111111111111111111111 > "$(git rev-parse --git-path refs/heads/broken)"`,
		"a reference of rubbish":     `echo rubbish > "$(git rev-parse --git-path refs/heads/rubbish)"`,
	} {
		run := k.run("echo work > work.txt; "+damage, func(in *automation.Input) { in.Name = what })
		if e, s := k.ended(run), k.session(run.Session.ID); e.Status != db.Succeeded || s.FilesChanged != 1 ||
			s.Status != db.SessionWaiting {
			t.Errorf("%s: the run %s (%s), the session is %s with %d files; want it open with one", what, e.Status,
				e.Reason, s.Status, s.FilesChanged)
		}
		check(t, k.rules.Sessions().Reply(t.Context(), k.actor, run.Session.ID, "echo more > more.txt"))
		if s := k.answered(run.Session.ID); s.FilesChanged != 2 {
			t.Errorf("%s: after a reply the session has %d files; want both", what, s.FilesChanged)
		}
		if e := k.ended(k.run("true", func(in *automation.Input) {
			in.Name = "After " + what
		})); e.Status != db.Succeeded {
			t.Errorf("%s: the next run %s: %s", what, e.Status, e.Reason)
		}
	}
}

func TestAWorkerThatLostASessionLeavesItsStateAtTheRemoteAlone(t *testing.T) {
	t.Parallel()
	k, g := prepare(t), newGitea(t)
	k.on(g)
	k.start()
	dir := t.TempDir()
	run := k.run("echo old > file.txt; touch "+dir+"/begun; sleep 1000", nil)
	k.eventually("the script to run", func() error { _, err := os.Stat(dir + "/begun"); return err })
	_, err := k.db.NewRaw("UPDATE sessions SET fence = fence + 1, worker = 'another' WHERE id = ?", run.Session.ID).
		Exec(t.Context())
	check(t, err)
	k.runner.CheckStopRequests()
	k.eventually("the run to be given up", func() error {
		k.runner.mu.Lock()
		defer k.runner.mu.Unlock()
		if n := len(k.runner.runs); n > 0 {
			return fmt.Errorf("%d are at work", n)
		}
		return nil
	})
	if refs := g.git(g.bare, "for-each-ref", "refs/carillon"); refs != "" {
		t.Errorf("the remote has %s; want what the other worker puts there", refs)
	}
}

func TestAStateThatCouldNotBePushedIsPushedAfterALaterTurn(t *testing.T) {
	k, g := forgeKit(t)
	hook := filepath.Join(g.bare, "hooks", "pre-receive")
	check(t, os.MkdirAll(filepath.Dir(hook), 0o700))
	check(t, os.WriteFile(hook, []byte("#!/bin/sh\nexit 1\n"), 0o700))
	run := k.run("echo work > work.txt", gate)
	k.ended(run)
	if refs := g.git(g.bare, "for-each-ref", "refs/carillon"); refs != "" {
		t.Fatalf("the remote took %s", refs)
	}
	check(t, os.Remove(hook))
	check(t, k.rules.Sessions().Reply(t.Context(), k.actor, run.Session.ID, "true"))
	k.answered(run.Session.ID)
	if refs := g.git(g.bare, "for-each-ref", "refs/carillon"); !strings.Contains(refs, run.Session.ID.String()) {
		t.Errorf("the remote has %q; want the state that it did not take before", refs)
	}
}
