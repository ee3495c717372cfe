package faults

import (
	"strings"
	"testing"

	"carillon/app/crash"
	"carillon/app/e2e/internal/stage"
)

func TestNoRunIsLostWhereverAProcessDies(t *testing.T) {
	needsPoints(t)
	s := newScene(t, stage.Plan{})
	changes := s.v.Automation(t, "Changes a file", s.script("echo Changed > made.txt"))
	// run presses Run now, and wants a run that ended so.
	run := func(want string) func(t *testing.T, s *scene) func(*testing.T) {
		return func(t *testing.T, s *scene) func(*testing.T) {
			before := s.Count(t, "SELECT count(*) FROM executions WHERE automation_id = $1", id(changes))
			s.v.Run(t, changes)
			return func(t *testing.T) {
				status, reason := s.outcome(t, changes, before)
				if status != want && want != "" || status == "failed" && !strings.Contains(reason, "interrupted by a restart") {
					t.Errorf("the run %s: %q; want %s", status, reason, want)
				}
			}
		}
	}
	succeeds, fails, either := run("succeeded"), run("failed"), run("")
	s.suffer(t, []fault{
		{crash.MirrorMade, stage.Worker, 0, succeeds},
		{crash.SessionsClaiming, stage.Worker, 0, succeeds},
		{crash.SessionsClaimed, stage.Worker, 0, succeeds},
		{crash.RunOpened, stage.Worker, 0, succeeds},
		{crash.TreeBranched, stage.Worker, 0, succeeds},
		{crash.SpareTaken, stage.Worker, 0, succeeds},
		{crash.TreeLinked, stage.Worker, 0, succeeds},
		{crash.TreeFilled, stage.Worker, 0, succeeds},
		{crash.TreeMade, stage.Worker, 0, succeeds},
		{crash.TreeNoted, stage.Worker, 0, succeeds},
		{crash.RunFolderMade, stage.Worker, 0, succeeds},
		{crash.TurnBegun, stage.Worker, 0, fails},
		{crash.AgentStarted, stage.Worker, 0, fails},
		{crash.WordsWritten, stage.Worker, 0, either},
		{crash.AgentEnded, stage.Worker, 0, fails},
		{crash.UsageNoted, stage.Worker, 0, fails},
		{crash.TurnEnded, stage.Worker, 0, succeeds},
		{crash.ChangesNoted, stage.Worker, 0, succeeds},
		{crash.StateCommitted, stage.Worker, 0, succeeds},
		{crash.StateKept, stage.Worker, 0, succeeds},
		{crash.WorkClosed, stage.Worker, 0, succeeds},
		{crash.EndWritten, stage.Worker, 0, succeeds},
		{crash.EndCommitted, stage.Worker, 0, succeeds},
		{crash.SpareFilled, stage.Worker, 0, succeeds},
	})
}
