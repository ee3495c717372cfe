package cron_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/app/cron"
	"carillon/app/cron/crontest"
)

func TestUpcomingExplainsWhatAChangeOfTheClocksDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text, zone, after string
		want                    []string // time, and the explanation if there is one
	}{
		{"a skipped time moves", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{
			"2026-03-29T03:00:00+02:00 02:30 does not exist on 29 March 2026, when the clocks go forward from 02:00 " +
				"to 03:00; runs at 03:00.",
			"2026-03-30T02:30:00+02:00"}},
		{"several skipped times run once", "0,30 2 * * *", "America/New_York", "2026-03-08T00:00:00Z", []string{
			"2026-03-08T03:00:00-04:00 02:00 and 02:30 do not exist on 8 March 2026, when the clocks go forward from " +
				"02:00 to 03:00; runs once, at 03:00.",
			"2026-03-09T02:00:00-04:00"}},
		{"many skipped times are counted", "0-59 2 * * *", "America/New_York", "2026-03-08T00:00:00Z", []string{
			"2026-03-08T03:00:00-04:00 60 times between 02:00 and 02:59 do not exist on 8 March 2026, when the " +
				"clocks go forward from 02:00 to 03:00; runs once, at 03:00."}},
		{"a time that exists stays", "0 3 * * *", "America/New_York", "2026-03-08T00:00:00Z", []string{
			"2026-03-08T03:00:00-04:00"}},
		{"half an hour is skipped", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", []string{
			"2026-10-04T02:30:00+11:00 02:15 does not exist on 4 October 2026, when the clocks go forward from 02:00 " +
				"to 02:30; runs at 02:30."}},
		{"midnight is skipped", "0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z", []string{
			"2026-04-24T01:00:00+03:00 00:00 does not exist on 24 April 2026, when the clocks go forward from 00:00 " +
				"to 01:00; runs at 01:00."}},
		{"a day is skipped", "0 9,12 * * *", "Pacific/Apia", "2011-12-30T00:00:00Z", []string{
			"2011-12-31T00:00:00+14:00 09:00 and 12:00 on 30 December 2011 do not exist, when the clocks go forward " +
				"from 00:00 on 30 December 2011 to 00:00 on 31 December 2011; runs once, at 00:00 on 31 December 2011.",
			"2011-12-31T09:00:00+14:00"}},
		{"a repeated time runs first", "30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", []string{
			"2026-11-01T01:30:00-04:00 01:30 occurs twice on 1 November 2026, when the clocks go back; runs the " +
				"first time only.",
			"2026-11-02T01:30:00-05:00"}},
		{"an interval runs in both passes", "*/30 * * * *", "America/New_York", "2026-11-01T04:45:00Z", []string{
			"2026-11-01T01:00:00-04:00 01:00 occurs twice on 1 November 2026, when the clocks go back; runs both " +
				"times, this is the first.",
			"2026-11-01T01:30:00-04:00 01:30 occurs twice on 1 November 2026, when the clocks go back; runs both " +
				"times, this is the first.",
			"2026-11-01T01:00:00-05:00 01:00 occurs twice on 1 November 2026, when the clocks go back; runs both " +
				"times, this is the second.",
			"2026-11-01T01:30:00-05:00 01:30 occurs twice on 1 November 2026, when the clocks go back; runs both " +
				"times, this is the second.",
			"2026-11-01T02:00:00-05:00"}},
		{"an interval leaves the gap out", "*/30 * * * *", "America/New_York", "2026-03-08T06:00:00Z", []string{
			"2026-03-08T01:30:00-05:00",
			"2026-03-08T03:00:00-04:00 02:00 and 02:30 on 8 March 2026 do not exist, because the clocks go forward; " +
				"no run then, the next is this one.",
			"2026-03-08T03:30:00-04:00"}},
		{"an interval of one hour leaves the day out", "*/15 2 * * *", "America/New_York", "2026-03-07T12:00:00Z",
			[]string{
				"2026-03-09T02:00:00-04:00 02:00, 02:15, 02:30 and 02:45 on 8 March 2026 do not exist, because the " +
					"clocks go forward; no run then, the next is this one."}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, o := range parse(t, c.text).Upcoming(instant(t, c.after), zoneOf(t, c.zone), len(c.want)) {
				got = append(got, strings.TrimSpace(o.At.Format(time.RFC3339)+" "+o.Explain()))
				if (o.Note == cron.Ordinary) != (o.Wanted == "") || (o.Note == cron.Ordinary) != (o.Explain() == "") {
					t.Errorf("note %d, wanted %q, explained %q; want all or none", o.Note, o.Wanted, o.Explain())
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestUpcomingListsWhatThereIs(t *testing.T) {
	t.Parallel()
	from := instant(t, "9997-06-01T00:00:00Z")
	if got := parse(t, "0 0 1 1 *").Upcoming(from, nil, 10); len(got) != 2 {
		t.Errorf("got %d runs before the year 10000; want 2", len(got))
	}
	if got := parse(t, "* * * * *").Upcoming(from, nil, -1); got != nil {
		t.Errorf("got %v; want none", got)
	}
	if got := (cron.Occurrence{Note: cron.Moved}).Explain(); got == "" {
		t.Error("an empty occurrence explains nothing")
	}
}

func TestAtResolvesADateAndTimeInAZone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		wall, zone, want string
		note             cron.Note
		explained        string
	}{
		{"2026-07-01T12:30", "Europe/Berlin", "2026-07-01T12:30:00+02:00", cron.Ordinary, ""},
		{"2026-07-01T12:30:15", "Asia/Kathmandu", "2026-07-01T12:30:15+05:45", cron.Ordinary, ""},
		{"2026-03-29T02:30", "Europe/Berlin", "2026-03-29T03:00:00+02:00", cron.Moved,
			"02:30 does not exist on 29 March 2026, when the clocks go forward from 02:00 to 03:00; runs at 03:00."},
		{"2026-03-29T02:00", "Europe/Berlin", "2026-03-29T03:00:00+02:00", cron.Moved,
			"02:00 does not exist on 29 March 2026, when the clocks go forward from 02:00 to 03:00; runs at 03:00."},
		{"2026-03-29T03:00", "Europe/Berlin", "2026-03-29T03:00:00+02:00", cron.Ordinary, ""},
		{"2026-10-25T02:30", "Europe/Berlin", "2026-10-25T02:30:00+02:00", cron.FirstOnly,
			"02:30 occurs twice on 25 October 2026, when the clocks go back; runs the first time only."},
		{"2026-10-25T03:00", "Europe/Berlin", "2026-10-25T03:00:00+01:00", cron.Ordinary, ""},
		{"2011-12-30T10:00", "Pacific/Apia", "2011-12-31T00:00:00+14:00", cron.Moved,
			"10:00 on 30 December 2011 does not exist, when the clocks go forward from 00:00 on 30 December 2011 to " +
				"00:00 on 31 December 2011; runs at 00:00 on 31 December 2011."},
		{"9999-12-31T23:59", "UTC", "9999-12-31T23:59:00Z", cron.Ordinary, ""},
	} {
		got, err := cron.At(c.wall, zoneOf(t, c.zone))
		if err != nil || got.At.Format(time.RFC3339) != c.want || got.Note != c.note || got.Explain() != c.explained {
			t.Errorf("%s in %s: got %v, note %d, %q, %v; want %s, %d, %q", c.wall, c.zone, got.At, got.Note,
				got.Explain(), err, c.want, c.note, c.explained)
		}
	}
	for _, wall := range []string{"", "tomorrow", "2026-02-30T10:00", "2026-01-01", "2026-01-01 10:00",
		"2026-01-01T10:00Z", "12026-01-01T10:00", strings.Repeat("9", 500)} {
		if got, err := cron.At(wall, nil); err == nil ||
			!strings.Contains(err.Error(), "is not a date and time such as") {
			t.Errorf("%q: got %v, %v; want an error", wall, got, err)
		}
	}
}

func TestShortestGap(t *testing.T) {
	t.Parallel()
	from := instant(t, "2026-01-01T00:00:00Z")
	for _, c := range []struct {
		text, zone string
		want       time.Duration
	}{
		{"* * * * *", "UTC", time.Minute},
		{"0,1 * * * *", "UTC", time.Minute},
		{"59,0 * * * *", "UTC", time.Minute},
		{"59,0 */2 * * *", "UTC", 59 * time.Minute},
		{"*/7 * * * *", "UTC", 4 * time.Minute},
		{"0 2 * * *", "UTC", 24 * time.Hour},
		{"0 2 * * *", "Europe/Berlin", 23 * time.Hour},
		{"58 23,0 * * *", "UTC", time.Hour},
		{"0,59 0,23 * * *", "UTC", time.Minute},             // 23:59 and midnight
		{"0,59 0,23 * * 1", "UTC", 59 * time.Minute},        // not the next day
		{"0,59 0,23 * * 1,3-4", "UTC", time.Minute},         // Wednesday, Thursday
		{"0,59 0,23 1,31 * *", "UTC", time.Minute},          // the 31st, the 1st
		{"0 0 1 1 *", "UTC", 365 * 24 * time.Hour},          //
		{"0 0 29 2 *", "UTC", (4*365 + 1) * 24 * time.Hour}, //
		{"0 0 28,29 2 *", "UTC", 24 * time.Hour},
		{"45,0 1,3 * * *", "UTC", 45 * time.Minute},
		{"45,0 1,3 * * *", "Europe/Berlin", 15 * time.Minute},
		{"45,0 0,1,3 * * *", "Africa/Cairo", 15 * time.Minute},
		{"*/45 1,3 * * *", "America/New_York", 15 * time.Minute}, // 01:45 and 03:00 in March
		{"*/58 1 * * *", "America/New_York", 2 * time.Minute},    // 01:58 and 01:00 in November
		{"2,50 2,3 * * *", "Europe/Berlin", 2 * time.Minute},     // 03:00 for 02:02, and 03:02
	} {
		if got := parse(t, c.text).ShortestGap(from, zoneOf(t, c.zone)); got != c.want {
			t.Errorf("%q in %s: got %v; want %v", c.text, c.zone, got, c.want)
		}
	}
	if got := (cron.Expression{}).ShortestGap(from, nil); got != 0 {
		t.Errorf("zero Expression: got %v", got)
	}
}

func TestNoGapIsShorterThanTheShortest(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(4, 4))
	from := instant(t, "2026-02-20T00:00:00Z")
	for range 100 {
		e, err := cron.Parse(randomExpression(random))
		if err != nil {
			continue
		}
		zone := zoneOf(t, zones[random.IntN(len(zones))])
		shortest := e.ShortestGap(from, zone)
		runs := crontest.Times(e.String(), zone, from, from.AddDate(0, 2, 0))
		for i := 1; i < len(runs); i++ {
			if gap := runs[i].Sub(runs[i-1]); gap < shortest {
				t.Errorf("%q in %s: %v to %v is %v; the shortest gap is said to be %v", e, zone, runs[i-1], runs[i],
					gap, shortest)
				break
			}
		}
	}
}
