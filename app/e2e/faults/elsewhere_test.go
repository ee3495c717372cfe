package faults

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"carillon/app/agent/agenttest"
	"carillon/app/crash"
	"carillon/app/e2e/internal/stage"
)

func TestWorkGoesOnWhereverAHandOverIsCutOff(t *testing.T) {
	t.Parallel()
	needsPoints(t)
	hub := stage.ServeHub(t)
	s := newScene(t, stage.Plan{Settings: []string{"CARILLON_OUTBOUND_PRIVATE=on"}})
	app := s.make(t, "/workspaces", url.Values{
		"name": {"App"}, "url": {hub.URL + "/acme/app.git"}, "branch": {"main"}, "token": {stage.HubToken},
		"forge": {"github"}, "forge_secret": {stage.HubSecret}, "provider": {"shell"},
	})
	form := func(name, script string, more ...string) url.Values {
		f := s.v.Form(t, name, s.script(script))
		f.Set("workspace", id(app))
		for i := 0; i < len(more); i += 2 {
			f.Set(more[i], more[i+1])
		}
		return f
	}
	remote := s.make(t, "/automations", form("At the remote", "date +%N > made.txt"))
	succeeds := s.runs(remote, "succeeded")
	outage := func(t *testing.T, s *scene) func(*testing.T) {
		hub.Away.Store(true)
		proof := succeeds(t, s)
		s.Dead(t, stage.Worker)
		hub.Away.Store(false)
		return proof
	}
	s.suffer(t, []fault{
		{point: crash.MirrorMade, role: stage.Worker, play: succeeds},
		{point: crash.MirrorFetched, role: stage.Worker, again: true, play: succeeds},
		{point: crash.StatePushed, role: stage.Worker, play: succeeds},
		{point: crash.RetryWritten, role: stage.Worker, play: outage},
		{point: crash.RetryCommitted, role: stage.Worker, play: outage},
	})

	opens := s.make(t, "/automations", form("Opens a pull request", "date +%N > made.txt", "create_pr", "true"))
	opened := func(t *testing.T, s *scene) func(*testing.T) {
		proof := s.runs(opens, "succeeded")(t, s)
		return func(t *testing.T) {
			proof(t)
			var branch string
			if err := s.DB.QueryRow(t.Context(),
				"SELECT branch FROM sessions WHERE automation_id = $1 ORDER BY id DESC LIMIT 1",
				id(opens)).Scan(&branch); err != nil {
				t.Fatal(err)
			}
			if n := hub.Opened(branch); n != 1 {
				t.Errorf("%d pull requests were opened of %s", n, branch)
			}
			if n := s.Count(t, "SELECT count(*) FROM pull_requests WHERE branch = $1", branch); n != 1 {
				t.Errorf("the session has %d pull requests", n)
			}
		}
	}
	// ends closes the newest pull request, and wants its session to know.
	ends := func(t *testing.T, s *scene) func(*testing.T) {
		n := s.Count(t, "SELECT max(number)::int FROM pull_requests")
		s.sendTo(hub.URL+fmt.Sprintf("/ended/%d", n),
			url.Values{"merged": {"yes"}, "hook": {s.Web.Base + "/api/forges/github/" + id(app)}})
		return func(t *testing.T) {
			stage.Eventually(t, "the session to know that its pull request is merged", func() bool {
				s.Exec(t, "UPDATE pull_requests SET checked_at = NULL WHERE state = 'open'")
				return s.Count(t,
					"SELECT count(*) FROM pull_requests p JOIN sessions s ON s.id = p.session_id WHERE p.number = $1 "+
						"AND p.state = 'merged' AND s.status = 'done'", n) == 1
			})
		}
	}
	checks := func(t *testing.T, s *scene) func(*testing.T) {
		proof := ends(t, s)
		s.Exec(t, "UPDATE pull_requests SET checked_at = NULL, state = 'open', settled_at = NULL")
		return proof
	}
	s.suffer(t, []fault{
		{point: crash.RequestTaken, role: stage.Worker, play: opened},
		{point: crash.WorkCommitted, role: stage.Worker, play: opened},
		{point: crash.BranchPushed, role: stage.Worker, play: opened},
		{point: crash.PullRequestOpened, role: stage.Worker, play: opened},
		{point: crash.PullRequestTaken, role: stage.Worker, play: opened},
		{point: crash.PullRequestNoted, role: stage.Worker, play: opened},
		{point: crash.EventVerified, role: stage.Web, play: ends},
		{point: crash.PullRequestTaken, role: stage.Web, play: ends},
		{point: crash.PullRequestChecked, role: stage.Scheduler, play: checks},
	})

	s.handsOver(t, form)
	s.agents(t, form)
}

// handsOver lets workers die whose work others take over.
func (s *scene) handsOver(t *testing.T, form func(name, script string, more ...string) url.Values) {
	t.Helper()
	n := 0
	// dies lets a worker die in the middle of a run, and does not start it again.
	dies := func(t *testing.T, s *scene, at crash.Point) (automation string, dead *stage.Server) {
		t.Helper()
		n++
		script, started, _ := s.holds(fmt.Sprint("held ", n))
		automation = s.v.Automation(t, fmt.Sprint("Interrupted ", n), script)
		if at == "" {
			session := s.v.Run(t, automation)
			started(t)
			dead = s.workerOf(t, id(session))
			dead.Kill(t)
			return automation, dead
		}
		if at == crash.SessionsClaimed { // its script goes on by itself
			automation = s.v.Automation(t, fmt.Sprint("Resumed ", n), s.script("true"))
		}
		s.Arm(t, stage.Worker, at, 1)
		s.v.Run(t, automation)
		return automation, s.Dead(t, stage.Worker)
	}
	// begins lets it die again when it begins anew.
	begins := func(point, at crash.Point, want string) func(t *testing.T, s *scene) func(*testing.T) {
		return func(t *testing.T, s *scene) func(*testing.T) {
			s.Disarm(t, stage.Worker)
			automation, dead := dies(t, s, at)
			s.Arm(t, stage.Worker, point, 1)
			dead.Start(t)
			return func(t *testing.T) {
				if status, reason := s.outcome(t, automation, 0); status != want {
					t.Errorf("the run %s: %s; want %s", status, reason, want)
				}
			}
		}
	}
	// reaps lets a scheduler die that finds it silent.
	reaps := func(point, at crash.Point, want string) func(t *testing.T, s *scene) func(*testing.T) {
		return func(t *testing.T, s *scene) func(*testing.T) {
			s.Disarm(t, stage.Scheduler)
			automation, dead := dies(t, s, at)
			s.Arm(t, stage.Scheduler, point, 1)
			s.Exec(t, "UPDATE sessions SET lease_until = now() - interval '1 minute' WHERE status = 'in_progress' "+
				"AND worker = $1", s.nameOf(t, dead))
			s.Dead(t, stage.Scheduler)
			return func(t *testing.T) {
				if status, reason := s.outcome(t, automation, 0); status != want {
					t.Errorf("the run %s: %s; want %s", status, reason, want)
				}
				dead.Start(t)
				s.settled(t)
			}
		}
	}
	s.suffer(t, []fault{
		{point: crash.LostLocked, role: stage.Worker, play: begins(crash.LostLocked, "", "failed")},
		{point: crash.LostEnded, role: stage.Worker, play: begins(crash.LostEnded, "", "failed")},
		{point: crash.LostResumed, role: stage.Worker, play: begins(crash.LostResumed, crash.SessionsClaimed,
			"succeeded")},
		{point: crash.LostCommitted, role: stage.Worker, play: begins(crash.LostCommitted, "", "failed")},
		{point: crash.LostLocked, role: stage.Scheduler, play: reaps(crash.LostLocked, "", "failed")},
		{point: crash.LostEnded, role: stage.Scheduler, play: reaps(crash.LostEnded, "", "failed")},
		{point: crash.LostResumed, role: stage.Scheduler, play: reaps(crash.LostResumed, crash.SessionsClaimed,
			"succeeded")},
		{point: crash.LostCommitted, role: stage.Scheduler, play: reaps(crash.LostCommitted, "", "failed")},
	})

	// moves lets a session go on at another worker than that which has its files.
	moves := func(role string, point crash.Point) func(t *testing.T, s *scene) func(*testing.T) {
		return func(t *testing.T, s *scene) func(*testing.T) {
			s.Disarm(t, role)
			n++
			f := form(fmt.Sprint("Moves ", n), "echo Precious > made.txt")
			f.Del("auto_complete")
			session := s.v.Run(t, s.make(t, "/automations", f))
			s.Settle(t)
			home := s.workerOf(t, id(session))
			home.Kill(t)
			s.Exec(t, "UPDATE workers SET seen_at = now() - interval '1 hour' WHERE id = $1", s.nameOf(t, home))
			s.make(t, session+"/messages",
				url.Values{"message": {fmt.Sprintf("cat made.txt >> '%s/moved %d'", s.dir, n)}})
			// it dies when it finds that the session is elsewhere
			back := point == crash.LeftKept || point == crash.LeftRemoved
			if !back {
				s.Arm(t, role, point, 1)
			}
			s.send(session+"/relocation", nil)
			if back {
				s.Settle(t)
				s.Arm(t, role, point, 1)
				home.Start(t)
			} else if role == stage.Worker {
				s.Dead(t, role)
			}
			at := n
			return func(t *testing.T) {
				if role == stage.Web { // the person asks again
					s.make(t, session+"/relocation", nil)
				}
				if !back {
					s.Settle(t)
					home.Start(t)
				}
				s.settled(t)
				text, err := os.ReadFile(filepath.Join(s.dir, fmt.Sprint("moved ", at)))
				if err != nil || string(text) != "Precious\n" {
					t.Errorf("at the other worker the file has %q, %v", text, err)
				}
			}
		}
	}
	s.suffer(t, []fault{
		{point: crash.MoveWritten, role: stage.Web, waits: true, play: moves(stage.Web, crash.MoveWritten)},
		{point: crash.StateFetched, role: stage.Worker, play: moves(stage.Worker, crash.StateFetched)},
		{point: crash.StateRestored, role: stage.Worker, play: moves(stage.Worker, crash.StateRestored)},
		{point: crash.LeftKept, role: stage.Worker, play: moves(stage.Worker, crash.LeftKept)},
		{point: crash.LeftRemoved, role: stage.Worker, play: moves(stage.Worker, crash.LeftRemoved)},
	})
}

// agents lets workers die whose agents go on with their conversations.
func (s *scene) agents(t *testing.T, form func(name, script string, more ...string) url.Values) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	state := stage.Folder(t)
	s.make(t, "/settings/providers", url.Values{
		"name": {"Scripted"}, "command": {program + " " + agentRole + " state=" + state},
	})
	f := form("Talks", "")
	f.Set("provider", "scripted")
	f.Set("prompt", "[[say Hello]][[write made.txt|by the agent]]")
	talks := s.make(t, "/automations", f)
	goesOn := func(t *testing.T, s *scene) func(*testing.T) {
		proof := s.runs(talks, "succeeded")(t, s)
		return func(t *testing.T) {
			proof(t)
			messages, err := agenttest.Messages(state)
			if err != nil || !slices.ContainsFunc(messages, func(m string) bool {
				return strings.Contains(m, "[[say Hello]]")
			}) {
				t.Errorf("the agent got %q, %v", messages, err)
			}
		}
	}
	s.suffer(t, []fault{
		{point: crash.ConversationHeard, role: stage.Worker, play: s.runs(talks, "")},
		{point: crash.ConversationStored, role: stage.Worker, play: goesOn},
	})
}

// nameOf is the name under which a worker holds sessions.
func (s *scene) nameOf(t *testing.T, worker *stage.Server) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(worker.Data, "worker"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// workerOf is the worker that has a session.
func (s *scene) workerOf(t *testing.T, session string) *stage.Server {
	t.Helper()
	var name string
	if err := s.DB.QueryRow(t.Context(), "SELECT worker FROM sessions WHERE id = $1", session).Scan(&name); err != nil {
		t.Fatal(err)
	}
	for _, w := range s.Workers {
		if s.nameOf(t, w) == name {
			return w
		}
	}
	t.Fatalf("the session %s is at %q, which is no worker", session, name)
	return nil
}
