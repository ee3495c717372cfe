package cron

import (
	"fmt"
	"time"
)

// The layouts of a clock time as a form has it.
const (
	minuteLayout = "2006-01-02T15:04"
	secondLayout = "2006-01-02T15:04:05"
)

// Shown is an instant as a form shows it: what the clock of a zone reads, with seconds only where there are some. Two
// instants may be shown alike, in an hour that occurs twice, and parts of a second are not shown: Read, which is given
// the instant along with the text, tells them apart. A nil zone is UTC.
func Shown(at time.Time, zone *time.Location) string {
	if zone == nil {
		zone = time.UTC
	}
	at = at.In(zone)
	if at.Second() == 0 {
		return at.Format(minuteLayout)
	}
	return at.Format(secondLayout)
}

// Read is the instant that a text means in a zone, to the microsecond, as the database keeps it. Every clock time that
// was shown and comes back is read by it. The text is one of two:
//
//   - RFC 3339 with an offset. It is unambiguous, and stays what it is, whatever the zone.
//   - A clock time, as At reads it. Where shown, the instant that the form was shown for, reads the same in the zone,
//     the text was not touched, and the answer is that instant itself.
//
// A zero shown is none. The error is a sentence for a person.
func Read(text string, zone *time.Location, shown time.Time) (Occurrence, error) {
	if zone == nil {
		zone = time.UTC
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return Occurrence{At: at.In(zone).Truncate(time.Microsecond)}, nil
	}
	o, err := At(text, zone)
	if err != nil || shown.IsZero() {
		return o, err
	}
	if wall, err := clockTime(text); err == nil && wall.Nanosecond() == 0 && Shown(shown, zone) == Shown(wall, nil) {
		at := shown.In(zone).Truncate(time.Microsecond)
		if readBefore(zone, at.Unix()) {
			return Occurrence{At: at, Note: SecondPass, Wanted: o.Wanted}, nil
		}
		o.At = at
	}
	return o, nil
}

// Written is an instant as a text that Read gives the instant back for, without more than the zone: a clock time where
// that is enough, else RFC 3339.
func Written(at time.Time, zone *time.Location) string {
	text := Shown(at, zone)
	if o, err := At(text, zone); err == nil && o.At.Equal(at) {
		return text
	}
	if zone == nil {
		zone = time.UTC
	}
	return at.In(zone).Format(time.RFC3339Nano)
}

// Twice lists the two instants at which the clock of a zone reads what it reads at an instant, the first one first. It
// is empty where there is one alone.
func Twice(at time.Time, zone *time.Location) []time.Time {
	if zone == nil {
		zone = time.UTC
	}
	w := wallOf(zone, at.Unix())
	first := firstReading(zone, w, w-reach)
	if wallOf(zone, first) != w || !readsAgain(zone, first) {
		return nil
	}
	s := stretchAt(zone, first)
	for s.end < first+reach {
		s = stretchAt(zone, s.end)
		if again := w - s.offset; s.start <= again && again < s.end {
			return []time.Time{time.Unix(first, 0).In(zone), time.Unix(again, 0).In(zone)}
		}
	}
	return nil
}

// Day is the first instant of a date, 2006-01-02, in a zone, and of the day after it. A day may begin at another time
// than midnight, and last more or less than 24 hours. The error is a sentence for a person.
func Day(date string, zone *time.Location) (start, end time.Time, err error) {
	read, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return time.Time{}, time.Time{}, fmt.Errorf("%s is not a date such as 2026-01-31", quote(date))
	}
	return Midnight(read.Year(), read.Month(), read.Day(), zone), Midnight(read.Year(), read.Month(), read.Day()+1,
		zone), nil
}

// Midnight is the first instant of a date in a zone: 01:00 where the clocks go forward at midnight. Days and months
// beyond their ends are counted on, as time.Date does. A nil zone is UTC.
func Midnight(year int, month time.Month, day int, zone *time.Location) time.Time {
	if zone == nil {
		zone = time.UTC
	}
	w := time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix()
	return time.Unix(firstReading(zone, w, w-reach), 0).In(zone)
}

// clockTime reads a clock time as that of UTC.
func clockTime(text string) (time.Time, error) {
	at, err := time.Parse(minuteLayout, text)
	if err != nil {
		at, err = time.Parse(secondLayout, text)
	}
	return at, err
}
