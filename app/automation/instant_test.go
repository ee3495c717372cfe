package automation_test

import (
	"testing"
	"time"

	"carillon/app/cron"
)

func TestARenameLeavesAOneTimeOverThatHadSeconds(t *testing.T) {
	k := setup(t)
	a := k.Make(oneTime("2026-06-02T09:00:30"))
	k.Tick(at("02 07:00:30"))
	k.EndRuns(success)
	if a = k.Reload(a); a.Enabled {
		t.Fatal("it is still on after its run")
	}
	berlin, err := cron.Zone(a.TimeZone)
	check(t, err)
	for range 2 { // also long after, when its time is past
		in := k.Input()
		oneTime(cron.Shown(a.RunAt, berlin))(&in)
		in.RunAtShown, in.Name, in.Version = a.RunAt, "Renamed", a.Version
		_, _, err := k.Definitions().Update(t.Context(), k.Jonas, a.ID, in)
		check(t, err)
		if a = k.Reload(a); a.Enabled || a.RunAt.Second() != 30 {
			t.Errorf("renamed, it is enabled %v and runs at %s; want it off at its time", a.Enabled, a.RunAt)
		}
		k.Clock.Add(24 * time.Hour)
	}
	k.ExpectStatuses(a, "succeeded")
}
