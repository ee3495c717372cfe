package faults

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carillon/app/crash"
	"carillon/app/e2e/internal/stage"
)

func TestNoRunIsLostWhereverItsWorkerDies(t *testing.T) {
	t.Parallel()
	needsPoints(t)
	s := newScene(t, stage.Plan{})
	changes := s.v.Automation(t, "Changes a file", s.script("echo Changed > made.txt"))
	succeeds, fails, either := s.runs(changes, "succeeded"), s.runs(changes, "failed"), s.runs(changes, "")
	s.suffer(t, []fault{
		{point: crash.MirrorMade, role: stage.Worker, play: succeeds},
		{point: crash.SessionsClaiming, role: stage.Worker, play: succeeds},
		{point: crash.SessionsClaimed, role: stage.Worker, play: succeeds},
		{point: crash.RunOpened, role: stage.Worker, play: succeeds},
		{point: crash.TreeBranched, role: stage.Worker, play: succeeds},
		{point: crash.SpareTaken, role: stage.Worker, again: true, play: succeeds},
		{point: crash.TreeLinked, role: stage.Worker, play: succeeds},
		{point: crash.TreeFilled, role: stage.Worker, play: succeeds},
		{point: crash.TreeMade, role: stage.Worker, play: succeeds},
		{point: crash.TreeNoted, role: stage.Worker, play: succeeds},
		{point: crash.RunFolderMade, role: stage.Worker, play: succeeds},
		{point: crash.TurnBegun, role: stage.Worker, play: fails},
		{point: crash.AgentStarted, role: stage.Worker, play: fails},
		{point: crash.WordsWritten, role: stage.Worker, play: either},
		{point: crash.AgentEnded, role: stage.Worker, play: fails},
		{point: crash.UsageNoted, role: stage.Worker, play: fails},
		{point: crash.TurnEnded, role: stage.Worker, play: succeeds},
		{point: crash.ChangesNoted, role: stage.Worker, play: succeeds},
		{point: crash.StateCommitted, role: stage.Worker, play: succeeds},
		{point: crash.StateKept, role: stage.Worker, play: succeeds},
		{point: crash.WorkClosed, role: stage.Worker, play: succeeds},
		{point: crash.EndWritten, role: stage.Worker, play: succeeds},
		{point: crash.EndCommitted, role: stage.Worker, play: succeeds},
		{point: crash.SpareFilled, role: stage.Worker, play: succeeds},
	})

	form := s.v.Form(t, "Has a gate", s.script("true"))
	form.Set("gate_command", "true")
	passes := s.runs(s.make(t, "/automations", form), "succeeded")
	form = s.v.Form(t, "Has a closed gate", s.script("true"))
	form.Set("gate_command", "exit 1")
	stays := s.runs(s.make(t, "/automations", form), "skipped")
	s.suffer(t, []fault{
		{point: crash.GateAsked, role: stage.Worker, play: passes},
		{point: crash.GateJudged, role: stage.Worker, play: passes},
		{point: crash.GateLeft, role: stage.Worker, play: passes},
		{point: crash.GatePassing, role: stage.Worker, play: passes},
		{point: crash.GatePassed, role: stage.Worker, play: passes},
		{point: crash.TreeDropping, role: stage.Worker, play: stays},
	})

	steps := filepath.Join(s.dir, "steps")
	flow := s.make(t, "/workflows", url.Values{
		"name": {"Two steps"}, "step_kind": {"message", "message"},
		"step_text": {"echo one >> " + steps, "echo two >> " + steps}, "step_label": {"", ""},
		"step_path": {"", ""}, "step_marker": {"", ""}, "step_max": {"", ""},
	})
	form = s.v.Form(t, "Takes steps", "")
	form.Set("execution_type", "workflow")
	form.Set("workflow", id(flow))
	takes := s.runs(s.make(t, "/automations", form), "succeeded")
	s.suffer(t, []fault{
		{point: crash.TurnAdded, role: stage.Worker, play: func(t *testing.T, s *scene) func(*testing.T) {
			proof := takes(t, s)
			return func(t *testing.T) {
				proof(t)
				if text, err := os.ReadFile(steps); err != nil || string(text) != "one\ntwo\n" {
					t.Errorf("the steps noted %q, %v; want each once", text, err)
				}
			}
		}},
	})

	// The worker that removes a worktree could have the next run in hand, so all worktrees of earlier runs go first.
	swept := func(t *testing.T) {
		stage.Eventually(t, "the worktrees of earlier runs to go", func() bool {
			return s.Count(t,
				"SELECT count(*) FROM sessions WHERE closed_at IS NOT NULL AND worktree_removed_at IS NULL AND "+
					"worker <> '' "+
					"AND changes_at IS NOT NULL AND files_changed + commits + stashes + ignored_files = 0") == 0
		})
		s.Check(t)
	}
	swept(t)
	removes := s.runs(s.v.Automation(t, "Changes nothing", s.script("true")), "succeeded")
	plain := func(t *testing.T, s *scene) func(*testing.T) {
		proof := removes(t, s)
		return func(t *testing.T) { proof(t); swept(t) }
	}
	s.suffer(t, []fault{
		{point: crash.RemovalNoted, role: stage.Worker, play: plain},
		{point: crash.FolderRemoved, role: stage.Worker, play: plain},
		{point: crash.RemovalDone, role: stage.Worker, play: plain},
	})
}

// runs presses Run now of an automation, and wants one run of it that ended so; empty: it succeeded, or was
// interrupted.
func (s *scene) runs(automation, want string) func(t *testing.T, s *scene) func(*testing.T) {
	return func(t *testing.T, s *scene) func(*testing.T) {
		before := s.Count(t, "SELECT count(*) FROM executions WHERE automation_id = $1", id(automation))
		s.v.Run(t, automation)
		return func(t *testing.T) {
			status, reason := s.outcome(t, automation, before)
			if status != want && want != "" || status == "failed" &&
				!strings.Contains(reason, "interrupted by a restart") {
				t.Errorf("the run %s: %q; want %s", status, reason, want)
			}
		}
	}
}

// holds is a script that waits until the test lets it go on.
func (s *scene) holds(name string) (script string, started func(t *testing.T), goOn func(t *testing.T)) {
	file := filepath.Join(s.dir, name)
	script = s.script(fmt.Sprintf("touch '%[1]s.started'\nuntil [ -e '%[1]s.go' ]; do sleep 0.05; done", file))
	return script, func(t *testing.T) {
		stage.Exists(t, file+".started")
	}, func(t *testing.T) { stage.Touch(t, file+".go") }
}
