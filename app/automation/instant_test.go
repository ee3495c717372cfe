package automation

import (
	"testing"
	"time"

	"carillon/app/cron"
)

func TestARenameLeavesAOneTimeOverThatHadSeconds(t *testing.T) {
	k := setup(t)
	a := k.create(oneTime("2026-06-02T09:00:30"))
	k.tick(at("02 07:00:30"))
	k.finish(success)
	if a = k.reload(a); a.Enabled {
		t.Fatal("it is still on after its run")
	}
	berlin, err := cron.Zone(a.TimeZone)
	check(t, err)
	for range 2 { // also long after, when its time is past
		in := k.input()
		oneTime(cron.Shown(a.RunAt, berlin))(&in)
		in.RunAtShown, in.Name, in.Version = a.RunAt, "Renamed", a.Version
		_, _, err := k.Definitions().Update(t.Context(), k.jonas, a.ID, in)
		check(t, err)
		if a = k.reload(a); a.Enabled || a.RunAt.Second() != 30 {
			t.Errorf("renamed, it is enabled %v and runs at %s; want it off at its time", a.Enabled, a.RunAt)
		}
		k.clock.Add(24 * time.Hour)
	}
	k.expectStatuses(a, "succeeded")
}
