package jobs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/automation"
	"carillon/app/workspace"
	"carillon/db"
)

// folder is where a session's worktree is, and whether it is there.
func (k *kit) folder(session uuid.UUID) (string, bool) {
	path := filepath.Join(k.runner.Data, "worktrees", session.String())
	_, err := os.Stat(path)
	return path, err == nil
}

func TestWorktreesOfClosedSessionsGoAtOnceIfCleanElseAfterSevenDays(t *testing.T) {
	k := setup(t)
	develop := func(in *automation.Input) { in.OnlyUnchanged = false }
	clean, changed, open := k.run("true", develop), k.run("echo x > new.txt", develop), k.run("echo y > new.txt", nil)
	unknown := k.run("echo z > new.txt", develop)
	for _, r := range []*automation.Run{clean, changed, open, unknown} {
		k.ended(r)
	}
	k.eventually("the sessions to be closed", func() error {
		for _, r := range []*automation.Run{clean, changed, unknown} {
			if s := k.session(r.Session.ID); s.Status != db.SessionDone {
				return fmt.Errorf("one is %s", s.Status)
			}
		}
		return nil
	})
	_, err := k.db.ExecContext(t.Context(), "UPDATE sessions SET changes_at = NULL, files_changed = 0 WHERE id = '"+
		unknown.Session.ID.String()+"'")
	check(t, err)
	expect := func(when string, want map[*automation.Run]bool) {
		t.Helper()
		for r, there := range want {
			if _, is := k.folder(r.Session.ID); is != there {
				t.Errorf("%s: the worktree of %s is there: %v; want %v", when, r.Automation, is, there)
			}
		}
	}
	check(t, k.runner.sweepWorktrees(t.Context(), time.Now()))
	expect("at once", map[*automation.Run]bool{clean: false, changed: true, open: true, unknown: true})
	check(t, k.runner.sweepWorktrees(t.Context(), time.Now().Add(8*24*time.Hour)))
	expect("after eight days", map[*automation.Run]bool{changed: false, open: true, unknown: false})

	// Opened again, a session has what its branch holds.
	check(t, k.rules.Sessions().Reply(t.Context(), k.actor, changed.Session.ID, "git log --format=%s; echo back"))
	k.eventually("the reply to be answered", func() error {
		if s := k.session(changed.Session.ID); s.Status != db.SessionWaiting {
			return fmt.Errorf("the session is %s", s.Status)
		}
		return nil
	})
	expect("after a reply", map[*automation.Run]bool{changed: true})
}

func TestAReopenedSessionDoesNotCountTheCommitsOfOthers(t *testing.T) {
	k := setup(t)
	remote := repository(t)
	ws, err := k.rules.Workspaces.Create(t.Context(), k.actor, workspace.Input{
		Name: "Shared", GitURL: remote, DefaultBranch: "main",
	})
	check(t, err)
	run := k.run("true", func(in *automation.Input) {
		in.Workspace, in.SessionType = ws.ID.String(), "chat"
	})
	k.ended(run)
	k.eventually("the session to be closed", func() error {
		if s := k.session(run.Session.ID); s.Status != db.SessionDone {
			return fmt.Errorf("it is %s", s.Status)
		}
		return nil
	})
	check(t, k.runner.sweepWorktrees(t.Context(), time.Now()))
	colleague := t.TempDir()
	for _, args := range [][]string{
		{"clone", "-q", "-b", "main", remote, colleague}, {"-C", colleague, "-c", "user.name=Ada", "-c",
			"user.email=ada@example.com", "commit", "-q", "--allow-empty", "-m", "Of a colleague"},
		{"-C", colleague, "push", "-q", "origin", "HEAD:main"},
	} {
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	check(t, k.rules.Sessions().Reply(t.Context(), k.actor, run.Session.ID, "git log -1 --format=%s"))
	k.eventually("the reply to be answered", func() error {
		if s := k.session(run.Session.ID); s.Status != db.SessionWaiting {
			return fmt.Errorf("the session is %s", s.Status)
		}
		return nil
	})
	s := k.session(run.Session.ID)
	out, err := exec.Command("git", "-C", remote, "rev-parse", "main").Output()
	check(t, err)
	if want := strings.TrimSpace(string(out)); s.BaseCommit != want {
		t.Errorf("the base is %s; want main, from which its new worktree began, %s", s.BaseCommit, want)
	}
}

func TestAWorktreeThatNoSessionHasIsRemoved(t *testing.T) {
	k := setup(t)
	mine := k.run("echo x > new.txt", nil)
	k.ended(mine)
	orphan, err := k.runner.Store.Add(t.Context(), k.workspace.String(), uuid.NewString(), "main", "")
	check(t, err)
	check(t, k.runner.sweepWorktrees(t.Context(), time.Now()))
	if _, err := os.Stat(orphan.Dir); !os.IsNotExist(err) {
		t.Errorf("the orphan is still there: %v", err)
	}
	if _, there := k.folder(mine.Session.ID); !there {
		t.Error("the worktree of a session that is open was removed")
	}
}

func TestAWorkerSweepsItsOwnFolderAlone(t *testing.T) {
	k := setup(t)
	run := k.run("true", nil)
	k.ended(run)
	k.eventually("the session to be closed", func() error {
		if s := k.session(run.Session.ID); s.Status != db.SessionDone {
			return fmt.Errorf("it is %s", s.Status)
		}
		return nil
	})
	other := &Runner{
		DB: k.db, Rules: k.rules, Store: k.runner.Store, Worker: "another", Data: k.runner.Data, Now: time.Now,
		Log: k.runner.Log,
	}
	check(t, other.sweepWorktrees(t.Context(), time.Now()))
	if s := k.session(run.Session.ID); !s.WorktreeRemovedAt.IsZero() {
		t.Error("another worker says that it removed the worktree")
	}
}

func TestHistoryKeepsTheNewestAndTheYoungAndWhatIsInFlight(t *testing.T) {
	k := setup(t)
	run := k.run("true", nil)
	k.ended(run)
	insert := func(first, n int, age, status string) {
		t.Helper()
		_, err := k.db.NewRaw(`INSERT INTO executions (id, automation_id, source, status, parallel, created_at, started_at, finished_at)
			SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, ?, 'manual', ?, true, now() - ?::interval, now() - ?::interval,
				CASE WHEN ? = 'running' THEN NULL ELSE now() END FROM generate_series(?, ?) i`,
			run.Execution.AutomationID, status, age, age, status, first, first+n-1).Exec(t.Context())
		check(t, err)
	}
	insert(100, 300, "100 days", "succeeded")
	insert(1, 1, "1000 days", "running")
	s := &Scheduler{DB: k.db, Rules: k.rules, Now: time.Now, Log: k.runner.Log}
	check(t, s.sweep(t.Context()))
	count := func(where string) (n int) {
		t.Helper()
		check(t, k.db.NewRaw("SELECT count(*) FROM executions WHERE "+where).Scan(t.Context(), &n))
		return n
	}
	if n := count("true"); n != keepExecutions+1 {
		t.Errorf("%d executions are left; want the newest %d and the one in flight", n, keepExecutions)
	}
	if count("status = 'running'") != 1 {
		t.Error("the one in flight is gone")
	}
}

// A process may die between any two steps of a removal. What a sweep that died has left, the next one removes.
func TestTheNextSweepRemovesWhatOneThatDiedHasLeft(t *testing.T) {
	k := setup(t)
	run := func() *db.Session {
		t.Helper()
		r := k.run("true", func(in *automation.Input) { in.OnlyUnchanged = false })
		k.ended(r)
		k.eventually("the session to be closed", func() error {
			if s := k.session(r.Session.ID); s.Status != db.SessionDone {
				return fmt.Errorf("it is %s", s.Status)
			}
			return nil
		})
		return k.session(r.Session.ID)
	}
	noted, branch := run(), run()
	removed := func(s *db.Session) {
		t.Helper()
		_, err := db.SetWorktreeRemoved(t.Context(), k.db, s.ID, time.Now().Add(-time.Minute))
		check(t, err)
	}
	removed(noted)
	removed(branch)
	check(t, k.runner.Store.Remove(t.Context(), k.workspace.String(), branch.ID.String(), true))
	check(t, k.runner.sweepWorktrees(t.Context(), time.Now()))
	held, err := k.runner.Store.Inventory(t.Context())
	check(t, err)
	for _, h := range held {
		if h.Session == noted.ID.String() || h.Session == branch.ID.String() {
			t.Errorf("after the sweep there is %+v", h)
		}
	}
}

// A worker that died before it noted a worktree has it still, when another has done the work.
func TestTheSweepRemovesAWorktreeThatWasNotNotedBeforeTheSessionWentElsewhere(t *testing.T) {
	k := setup(t)
	r := k.run("true", nil)
	k.ended(r)
	id := r.Session.ID.String()
	_, err := k.db.ExecContext(t.Context(), "UPDATE sessions SET worker = 'another' WHERE id = ?", id)
	check(t, err)
	check(t, k.runner.sweepWorktrees(t.Context(), time.Now()))
	if _, there := k.folder(r.Session.ID); there {
		t.Error("the worktree is still there")
	}
	changed := k.run("echo x > new.txt", nil)
	k.ended(changed)
	_, err = k.db.ExecContext(t.Context(), "UPDATE sessions SET worker = 'another' WHERE id = ?",
		changed.Session.ID.String())
	check(t, err)
	check(t, k.runner.sweepWorktrees(t.Context(), time.Now()))
	if _, there := k.folder(changed.Session.ID); !there {
		t.Error("a worktree with work in it was removed")
	}
}
