package faults

import (
	"testing"

	"carillon/app/crash"
	"carillon/app/e2e/internal/stage"
	"carillon/db/dbtest"
)

// Any process migrates when it starts. It may die at each migration, and at what it makes once beside them.
func TestTheNextStartGoesOnWhereAStartDied(t *testing.T) {
	t.Parallel()
	needsPoints(t)
	f := stage.Start(t, stage.Plan{Database: dbtest.Empty(t), Later: true})
	for _, tt := range []struct {
		point crash.Point
		role  string
		times int
	}{
		{point: crash.MigrationWritten, role: stage.Web, times: 1},
		{point: crash.MigrationWritten, role: stage.Web, times: 3},
		{point: crash.MigrationWritten, role: stage.Scheduler, times: 1},
		{point: crash.MigrationWritten, role: stage.Scheduler, times: 5},
		{point: crash.MigrationWritten, role: stage.Worker, times: 1},
		{point: crash.MigrationWritten, role: stage.Worker, times: 6},
		{point: crash.ScratchMade, role: stage.Web, times: 1},
		{point: crash.ScratchMade, role: stage.Scheduler, times: 1},
		{point: crash.ScratchMade, role: stage.Worker, times: 1},
		{point: crash.AdministratorMade, role: stage.Web, times: 1},
	} {
		ok := t.Run(string(tt.point)+" of the "+tt.role, func(t *testing.T) {
			f.Arm(t, tt.role, tt.point, tt.times)
			s := f.With(tt.role)[0]
			s.Launch(t)
			if dead := f.Dead(t, tt.role); dead != s {
				t.Error("another process died")
			}
		})
		if !ok {
			t.Fatal(f.Complaints())
		}
	}
	for _, s := range f.All() {
		s.Start(t)
	}
	v := stage.Visit(t, f.Web)
	v.Ends(t, v.Run(t, v.Automation(t, "First", "true")), "Succeeded")
	f.Settle(t)
	f.Check(t)
	if n := f.Count(t, "SELECT count(*) FROM workspaces"); n != 1 {
		t.Errorf("there are %d workspaces; want Scratch alone", n)
	}
	if n := f.Count(t, "SELECT count(*) FROM users"); n != 1 {
		t.Errorf("there are %d people; want the administrator alone", n)
	}
}
