package faults

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carillon/app/crash"
	"carillon/app/e2e/internal/stage"
)

// scene is a fleet with a person who works at it.
type scene struct {
	*stage.Fleet
	v    *stage.Visitor
	dir  string // in which scripts note what they did
	mark string // in the environment of all that they start
}

func newScene(t *testing.T, p stage.Plan) *scene {
	t.Helper()
	s := &scene{Fleet: stage.Start(t, p), dir: stage.Folder(t)}
	s.v, s.mark = stage.Visit(t, s.Web), "MARK="+filepath.Base(s.dir)
	return s
}

// fault is a process that dies at a point.
type fault struct {
	point crash.Point
	role  string
	times int  // at which time that it comes there; 0: the first
	again bool // it depends on which process does the work whether one comes there: else it is played again
	waits bool // until proof is asked for, something waits for a person
	// play leads to the point, and returns what has to be so when all has settled.
	play func(t *testing.T, s *scene) (proof func(t *testing.T))
}

// suffer lets each fault happen, and proves that nothing is lost by it.
func (s *scene) suffer(t *testing.T, faults []fault) {
	t.Helper()
	for _, f := range faults {
		ok := t.Run(string(f.point)+" of the "+f.role, func(t *testing.T) {
			s.Arm(t, f.role, f.point, max(1, f.times))
			proof := f.play(t, s)
			for f.again && !s.reached(t, f.role) {
				proof = f.play(t, s)
			}
			s.Dead(t, f.role).Start(t)
			s.hurry(t)
			if !f.waits {
				s.settled(t)
			}
			proof(t)
		})
		if !ok {
			t.Fatalf("what follows would begin with the rest of it.\n%s", s.Complaints())
		}
	}
}

// reached reports, when all has settled, whether somebody has come to the point.
func (s *scene) reached(t *testing.T, role string) bool {
	t.Helper()
	stage.Eventually(t, "somebody to die, or all to settle", func() bool { return s.Hit(role) || s.Left(t) == "" })
	return s.Hit(role)
}

// hurry lets the time be over that is waited before something is tried again.
func (s *scene) hurry(t *testing.T) {
	t.Helper()
	s.Exec(t, "UPDATE notice_deliveries SET next_attempt_at = now() WHERE status = 'queued' "+
		"AND next_attempt_at > now()")
	s.Exec(t, "UPDATE sessions SET queued_at = now() WHERE status = 'queued' AND queued_at > now()")
}

// settled waits until all has come to its end, and looks whether that is as it should be.
func (s *scene) settled(t *testing.T) {
	t.Helper()
	s.Settle(t)
	s.Check(t)
	for session, n := range s.ran(t) {
		if n != 1 {
			t.Errorf("the script of session %s ran %d times", session, n)
		}
	}
	stage.Eventually(t, "the processes of scripts to be gone", func() bool { return stage.Marked(t, s.mark) == 0 })
}

// script is one that notes in which session it ran, and then does what it says.
func (s *scene) script(lines string) string {
	// a worktree has the name of its session
	return fmt.Sprintf("export %s\nbasename \"$PWD\" >> '%s/ran'\n%s\n", s.mark, s.dir, lines)
}

// ran counts how often scripts ran, by their sessions.
func (s *scene) ran(t *testing.T) map[string]int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "ran"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	times := map[string]int{}
	for line := range strings.Lines(string(text)) {
		times[strings.TrimSpace(line)]++
	}
	return times
}

// send sends a form to a server that may die of it.
func (s *scene) send(path string, form url.Values) {
	if res, err := s.v.Client.PostForm(s.Web.Base+path, form); err == nil {
		_ = res.Body.Close()
	}
}

// sendTo sends a form to another server, which may not get its own answer.
func (s *scene) sendTo(address string, form url.Values) {
	if res, err := http.PostForm(address, form); err == nil {
		_ = res.Body.Close()
	}
}

// make makes a thing by a form, and returns its address.
func (s *scene) make(t *testing.T, path string, form url.Values) string {
	t.Helper()
	a := s.v.Post(t, path, form)
	if a.Status != http.StatusSeeOther {
		t.Fatalf("POST %s answered %d %s; want 303", path, a.Status, a.Said())
	}
	return a.To
}

// id is the last part of an address.
func id(address string) string { return address[strings.LastIndexByte(address, '/')+1:] }

// outcome is how the one run of an automation since the n-th ended: its status and reason.
func (s *scene) outcome(t *testing.T, automation string, n int) (status, reason string) {
	t.Helper()
	if all := s.Count(t, "SELECT count(*) FROM executions WHERE automation_id = $1", id(automation)); all != n+1 {
		t.Fatalf("there are %d runs; want %d", all, n+1)
	}
	err := s.DB.QueryRow(t.Context(),
		"SELECT status, reason FROM executions WHERE automation_id = $1 ORDER BY id DESC LIMIT 1",
		id(automation)).Scan(&status, &reason)
	if err != nil {
		t.Fatal(err)
	}
	return status, reason
}
