package cron_test

import (
	"testing"
	"time"

	"carillon/app/cron"
)

func TestAnInstantThatIsShownAndReadBackDoesNotMove(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ at, zone, shown, written string }{
		{"2026-07-01T10:30:00Z", "Europe/Berlin", "2026-07-01T12:30", "2026-07-01T12:30"},
		{"2026-07-01T10:30:30Z", "Europe/Berlin", "2026-07-01T12:30:30", "2026-07-01T12:30:30"},
		{"2026-07-01T10:30:30.123456Z", "Europe/Berlin", "2026-07-01T12:30:30", "2026-07-01T12:30:30.123456+02:00"},
		{"2026-07-01T10:30:00.5Z", "Europe/Berlin", "2026-07-01T12:30", "2026-07-01T12:30:00.5+02:00"},
		{"2027-11-07T05:30:00Z", "America/New_York", "2027-11-07T01:30", "2027-11-07T01:30"},
		{"2027-11-07T06:30:00Z", "America/New_York", "2027-11-07T01:30", "2027-11-07T01:30:00-05:00"},
		{"2027-11-07T06:30:15Z", "America/New_York", "2027-11-07T01:30:15", "2027-11-07T01:30:15-05:00"},
		{"2027-03-14T07:00:00Z", "America/New_York", "2027-03-14T03:00", "2027-03-14T03:00"},
		{"2027-04-03T15:00:00Z", "Australia/Lord_Howe", "2027-04-04T01:30", "2027-04-04T01:30:00+10:30"},
		{"1890-01-01T00:00:00Z", "Europe/Berlin", "1890-01-01T00:53:28", "1890-01-01T00:53:28"},
	} {
		zone, at := zoneOf(t, c.zone), instant(t, c.at)
		if got := cron.Shown(at, zone); got != c.shown {
			t.Errorf("%s in %s is shown as %s; want %s", c.at, c.zone, got, c.shown)
		}
		if o, err := cron.Read(c.shown, zone, at); err != nil || !o.At.Equal(at) {
			t.Errorf("%s in %s, shown and read back, is %s, %v", c.at, c.zone, o.At, err)
		}
		if got := cron.Written(at, zone); got != c.written {
			t.Errorf("%s in %s is written as %s; want %s", c.at, c.zone, got, c.written)
		}
		if o, err := cron.Read(c.written, zone, time.Time{}); err != nil || !o.At.Equal(at) {
			t.Errorf("%s in %s, written and read back, is %s, %v", c.at, c.zone, o.At, err)
		}
	}
}

func TestATextThatWasTouchedMeansWhatItSays(t *testing.T) {
	t.Parallel()
	newYork := zoneOf(t, "America/New_York")
	second := instant(t, "2027-11-07T06:30:20Z")
	for _, c := range []struct {
		text string
		zone *time.Location
		want string
	}{
		{"2027-11-07T01:30", newYork, "2027-11-07T05:30:00Z"}, // the seconds were taken away
		{"2027-11-07T01:31:20", newYork, "2027-11-07T05:31:20Z"},
		{"2027-11-07T01:30:20", zoneOf(t, "Europe/Berlin"), "2027-11-07T00:30:20Z"}, // another zone was chosen
		{"2027-11-07T01:30:20-04:00", newYork, "2027-11-07T05:30:20Z"},
		{"2027-11-07T06:30:00Z", newYork, "2027-11-07T06:30:00Z"},
	} {
		if o, err := cron.Read(c.text, c.zone, second); err != nil || !o.At.Equal(instant(t, c.want)) {
			t.Errorf("%s in %s is %s, %v; want %s", c.text, c.zone, o.At.UTC(), err, c.want)
		}
	}
	o, err := cron.Read("2027-11-07T01:30:20", newYork, second)
	if err != nil || o.Note != cron.SecondPass {
		t.Errorf("the second of two has the note %d, %v; want %d", o.Note, err, cron.SecondPass)
	}
}

func TestAClockTimeThatOccursTwiceHasTwoInstants(t *testing.T) {
	t.Parallel()
	newYork := zoneOf(t, "America/New_York")
	for _, at := range []string{"2027-11-07T05:30:00Z", "2027-11-07T06:30:00Z"} {
		both := cron.Twice(instant(t, at), newYork)
		if len(both) != 2 || !both[0].Equal(instant(t, "2027-11-07T05:30:00Z")) ||
			!both[1].Equal(instant(t, "2027-11-07T06:30:00Z")) {
			t.Errorf("%s: got %v", at, both)
		}
	}
	for _, at := range []string{"2027-11-07T07:00:00Z", "2027-11-07T04:59:59Z", "2027-03-14T07:00:00Z"} {
		if both := cron.Twice(instant(t, at), newYork); both != nil {
			t.Errorf("%s occurs once, and there are %v", at, both)
		}
	}
}

func TestADayBeginsWithItsFirstInstant(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ date, zone, start, end string }{
		{"2026-07-01", "Europe/Berlin", "2026-06-30T22:00:00Z", "2026-07-01T22:00:00Z"},
		{"2026-03-29", "Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{"2026-04-24", "Africa/Cairo", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"}, // it begins at 01:00
		{"2026-10-29", "Africa/Cairo", "2026-10-28T21:00:00Z", "2026-10-29T22:00:00Z"}, // 23:00 comes twice
		{"2026-11-01", "America/Havana", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"},
		{"2026-09-06", "America/Santiago", "2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"},
		{"2026-12-31", "UTC", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"},
	} {
		start, end, err := cron.Day(c.date, zoneOf(t, c.zone))
		if err != nil || !start.Equal(instant(t, c.start)) || !end.Equal(instant(t, c.end)) {
			t.Errorf("%s in %s is from %s to %s, %v; want %s to %s", c.date, c.zone, start.UTC(), end.UTC(), err,
				c.start, c.end)
		}
	}
	if _, _, err := cron.Day("2026-02-30", nil); err == nil {
		t.Error("30 February is a day")
	}
}
