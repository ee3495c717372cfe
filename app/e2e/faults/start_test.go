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
		{crash.MigrationWritten, stage.Web, 1}, {crash.MigrationWritten, stage.Web, 5},
		{crash.MigrationWritten, stage.Scheduler, 1}, {crash.MigrationWritten, stage.Scheduler, 7},
		{crash.MigrationWritten, stage.Worker, 1}, {crash.MigrationWritten, stage.Worker, 9},
		{crash.ScratchMade, stage.Web, 1}, {crash.ScratchMade, stage.Scheduler, 1}, {crash.ScratchMade, stage.Worker, 1},
		{crash.AdministratorMade, stage.Web, 1},
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
