package crontest_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/app/cron"
	"carillon/app/cron/crontest"
)

// The days here were counted by hand.
func TestTimes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text, zone, from, to, want string
	}{
		{"from is left out, to is not", "0 * * * *", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z",
			"01:00Z 02:00Z"},
		{"a fraction after a run", "0 * * * *", "UTC", "2026-01-01T00:00:00.5Z", "2026-01-01T01:00:00Z", "01:00Z"},
		{"the skipped times run once", "0,30 2 * * *", "America/New_York", "2026-03-08T00:00:00-05:00",
			"2026-03-08T23:00:00-04:00", "03:00-04:00"},
		{"a skipped time and the next", "0 2,3 * * *", "America/New_York", "2026-03-08T00:00:00-05:00",
			"2026-03-08T23:00:00-04:00", "03:00-04:00"},
		{"an interval in the gap", "*/30 1-3 * * *", "America/New_York", "2026-03-08T00:00:00-05:00",
			"2026-03-08T23:00:00-04:00", "01:00-05:00 01:30-05:00 03:00-04:00 03:30-04:00"},
		{"a repeated time", "30 1 * * *", "America/New_York", "2026-11-01T00:00:00-04:00", "2026-11-01T23:00:00-05:00",
			"01:30-04:00"},
		{"a repeated time from its second pass", "30 1 * * *", "America/New_York", "2026-11-01T01:10:00-05:00",
			"2026-11-01T23:00:00-05:00", ""},
		{"an interval in both passes", "*/30 1 * * *", "America/New_York", "2026-11-01T00:00:00-04:00",
			"2026-11-01T23:00:00-05:00", "01:00-04:00 01:30-04:00 01:00-05:00 01:30-05:00"},
		{"day or weekday", "0 0 2 * sun", "UTC", "2026-01-01T00:00:00Z", "2026-01-05T00:00:00Z", "00:00Z 00:00Z"},
		{"day and weekday", "0 0 */2 * fri-sun", "UTC", "2026-01-01T00:00:00Z", "2026-01-06T00:00:00Z", "00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			zone, err := cron.Zone(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, at := range crontest.Times(c.text, zone, instant(t, c.from), instant(t, c.to)) {
				got = append(got, at.Format("15:04Z07:00"))
			}
			if !slices.Equal(got, strings.Fields(c.want)) {
				t.Errorf("got %v; want %s", got, c.want)
			}
		})
	}
}

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func BenchmarkTimesOfAYear(b *testing.B) {
	zone, err := cron.Zone("Europe/Berlin")
	if err != nil {
		b.Fatal(err)
	}
	from := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	for b.Loop() {
		crontest.Times("0 2 * * *", zone, from, from.AddDate(1, 0, 0))
	}
}
