package cron

import (
	"math"
	"time"
)

// Two kinds of seconds are used side by side. An instant is seconds since 1970 in UTC. A wall time
// is what the clock of the zone reads, as the seconds since 1970 of a UTC clock that reads the same.

const (
	second = 1
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour

	// reach bounds how far a change of the clocks is felt: no zone was ever more than 16 hours
	// from UTC, so wall times of instants that are two days apart are in the same order.
	reach = 2 * day
)

// A stretch is a span of instants, end not included, over which the zone keeps one offset.
type stretch struct {
	start, end int64
	offset     int64
}

// stretchAt is a stretch around the instant t. It may be shorter than the zone would allow, so
// that the neighbour has the same offset; it is never longer.
func stretchAt(zone *time.Location, t int64) stretch {
	at := time.Unix(t, 0).In(zone)
	_, offset := at.Zone()
	s := stretch{math.MinInt64 / 4, math.MaxInt64 / 4, int64(offset)}
	start, end := at.ZoneBounds()
	if !start.IsZero() {
		s.start = start.Unix()
	}
	if !end.IsZero() {
		s.end = end.Unix()
	}
	if s.end <= t {
		// Beyond the listed changes package time ends the last stretch of each year after 365
		// days, which in a leap year is before its last day.
		s.end = time.Date(at.UTC().Year()+1, time.January, 1, 0, 0, 0, 0, time.UTC).Unix()
	}
	return s
}

// highWater is the latest wall time that the clock has shown up to the instant t. It is later than
// the wall time of t itself while the clock goes through an hour a second time.
func highWater(zone *time.Location, t int64) int64 {
	s := stretchAt(zone, t)
	high := t + s.offset
	for s.start > t-reach {
		last := s.start - 1
		s = stretchAt(zone, last)
		high = max(high, last+s.offset)
	}
	return high
}

// firstReading is the first instant, not before from, at which the clock reads wall or later. For a
// wall time that is skipped it is the moment of the jump; for one that occurs twice, the first.
func firstReading(zone *time.Location, wall, from int64) int64 {
	t := max(from, wall-reach)
	for {
		s := stretchAt(zone, t)
		if at := max(t, wall-s.offset); at < s.end {
			return at
		}
		t = s.end
	}
}

// A jump is the wall times, to not included, that the clock leaves out at an instant.
type jump struct {
	at       int64
	from, to int64
}

// jumpAt is the jump that happens at the instant t, if one does.
func jumpAt(zone *time.Location, t int64) (jump, bool) {
	before, after := stretchAt(zone, t-1), stretchAt(zone, t)
	j := jump{t, t + before.offset, t + after.offset}
	return j, j.to > j.from
}

// readsAgain reports whether the clock shows the wall time of t once more after t.
func readsAgain(zone *time.Location, t int64) bool {
	s := stretchAt(zone, t)
	wall := t + s.offset
	for s.end < t+reach {
		s = stretchAt(zone, s.end)
		if at := wall - s.offset; s.start <= at && at < s.end && at > t {
			return true
		}
	}
	return false
}

// readBefore reports whether the clock has shown the wall time of t once before.
func readBefore(zone *time.Location, t int64) bool {
	s := stretchAt(zone, t)
	wall := t + s.offset
	for s.start > t-reach {
		s = stretchAt(zone, s.start-1)
		if at := wall - s.offset; s.start <= at && at < s.end && at < t {
			return true
		}
	}
	return false
}
