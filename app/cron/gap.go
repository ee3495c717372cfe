package cron

import (
	"math/bits"
	"time"
)

// ShortestGap is the shortest elapsed time between two runs that follow each other: what the
// expression gives on ordinary days in the 400 years that the calendar takes to repeat, and what
// the changes of the clocks in this zone add to that within 40 years after the given instant. It
// is 0 for the zero Expression only. A nil zone is UTC.
func (e Expression) ShortestGap(after time.Time, zone *time.Location) time.Duration {
	if e.minute == 0 || e.hour == 0 {
		return 0
	}
	if zone == nil {
		zone = time.UTC
	}
	gap := e.ordinaryGap(after.UTC().Year())
	if after.Before(time.Time{}) || after.Unix() >= lastInstant {
		return time.Duration(gap) * time.Second
	}
	return time.Duration(e.changedGap(after.Unix(), zone, gap)) * time.Second
}

// ordinaryGap is the shortest gap in wall time, in seconds.
func (e Expression) ordinaryGap(year int) int64 {
	first, _ := e.nextMinute(0)
	shortest := int64(24 * 60)
	last := first
	for {
		of, ok := e.nextMinute(last + 1)
		if last == 24*60-1 || !ok {
			break
		}
		shortest = min(shortest, int64(of-last))
		last = of
	}
	overnight := 24*60 - last + first
	if last > first && int64(overnight) >= shortest {
		return shortest * minute // even on adjacent days
	}
	between := e.closestDays(year)
	across := (between-1)*24*60 + int64(overnight)
	if last == first {
		return across * minute
	}
	return min(shortest, across) * minute
}

// closestDays is the smallest number of days from one matching day to the next.
func (e Expression) closestDays(year int) int64 {
	const cycle = 400
	start := time.Date(year, time.January, 1, 0, 0, 0, 0, time.UTC).Unix() / day
	closest, previous := int64(cycle*366), int64(-1)
	for y := year; y <= year+cycle; y++ {
		for m := time.January; m <= time.December; m++ {
			length := daysIn(y, m)
			for days := e.daysOf(start, length, m); days != 0; days &= days - 1 {
				d := start - 1 + int64(bits.TrailingZeros32(days))
				if previous >= 0 {
					closest = min(closest, d-previous)
				}
				if closest == 1 {
					return 1
				}
				previous = d
			}
			start += int64(length)
		}
	}
	return closest
}

// changedGap shortens the gap by those between runs on both sides of a change of the clocks, and
// between a run that the change moved and its follower.
func (e Expression) changedGap(after int64, zone *time.Location, gap int64) int64 {
	limit := min(time.Unix(after, 0).UTC().AddDate(horizon, 0, 0).Unix(), lastInstant)
	s := stretchAt(zone, after)
	for s.end < limit {
		change := s.end
		before := s.offset
		s = stretchAt(zone, change)
		if s.offset == before {
			continue
		}
		t, ok := e.next(max(change-gap, after)-1, zone)
		for ok && t <= change+reach {
			follower, found := e.next(t, zone)
			if !found {
				break
			}
			gap = min(gap, follower-t)
			if t > change {
				break
			}
			t = follower
		}
	}
	return gap
}
