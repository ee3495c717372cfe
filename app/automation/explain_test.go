package automation_test

import (
	"strings"
	"testing"
)

func TestAnAutomationSaysWhyItDidNotRunAtATime(t *testing.T) {
	k := setup(t)
	a := k.Make(recurring("0 2 * * *"))
	k.Tick(at("02 02:00:00"))
	k.EndRuns(success)
	k.Tick(at("03 02:00:00")) // stays in flight
	k.Tick(at("04 02:00:00")) // skipped
	k.EndRuns(success)
	k.Restart()               // stopped, and started
	k.Tick(at("06 08:00:00")) // down on the 5th and 6th
	k.Clock.Set(at("06 09:00:00"))
	check(t, k.Definitions().SetEnabled(t.Context(), k.Jonas, a.ID, false))
	k.Clock.Set(at("08 09:00:00"))
	check(t, k.Definitions().SetEnabled(t.Context(), k.Jonas, a.ID, true))
	in := k.Input()
	recurring("30 4 * * *")(&in)
	in.Version = k.Reload(a).Version
	_, _, err := k.Definitions().Update(t.Context(), k.Jonas, a.ID, in)
	check(t, err)
	k.Clock.Set(at("10 09:00:00"))

	for _, tt := range []struct{ at, want string }{
		{"01 02:00:00", "did not exist yet"},
		{"02 02:00:00", "It did run, and succeeded"},
		{"02 03:00:00", "It was not due then: its schedule was 0 2 * * *"},
		{"04 02:00:00", "It was skipped: a run that began earlier was still in flight"},
		{"05 02:00:00", "It was missed: Carillon was not running"},
		{"06 02:00:00", "It was missed"},
		{"07 02:00:00", "The automation was off since 6 June 09:00 UTC: turned off by Jonas"},
		{"09 02:00:00", "It was not due then: its schedule was 30 4 * * *"},
		{"11 02:00:00", "still to come"},
	} {
		got, err := k.Definitions().Explain(t.Context(), k.Jonas, a.ID, at(tt.at))
		check(t, err)
		if !strings.Contains(got.Text, tt.want) {
			t.Errorf("at %s it says %q; want %q", tt.at, got.Text, tt.want)
		}
	}
}
