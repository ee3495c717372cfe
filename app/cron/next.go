package cron

import (
	"math/bits"
	"time"
)

const (
	// horizon is how many years ahead a run is looked for. The rarest expression, 29 February on
	// one weekday, has to wait 40 years around 2100.
	horizon = 40

	// lastInstant is the end of the year 9999, the last that RFC 3339 can write.
	lastInstant = 253402300799
)

// Next is the first instant strictly after the given one at which the expression fires in the
// zone, or the zero time when there is none within 40 years (which for an expression that Parse
// accepted means that the clocks of this zone leave out each of its times) or before the year
// 10000. A nil zone is UTC; the answer is in the zone.
//
// An expression whose minute and hour both begin with something else than a star names times on
// the wall clock: each fires at the first instant at which the clock reads it or a later time. So
// a time that is skipped fires at the moment of the jump, several such times fire once together,
// and a time that occurs twice fires the first time only. An expression with a star there follows
// elapsed time: it fires in every real minute that matches, never in a gap and in both passes of a
// repeated hour.
func (e Expression) Next(after time.Time, zone *time.Location) time.Time {
	if zone == nil {
		zone = time.UTC
	}
	if after.Before(time.Time{}) || after.Unix() >= lastInstant {
		return time.Time{}
	}
	t, ok := e.next(after.Unix(), zone)
	if !ok {
		return time.Time{}
	}
	return time.Unix(t, 0).In(zone)
}

// next is Next in whole seconds: a run is on a whole second, so the fraction of after is nothing
// that could lie between.
func (e Expression) next(after int64, zone *time.Location) (int64, bool) {
	limit := min(time.Unix(after, 0).UTC().AddDate(horizon, 0, 1).Unix(), lastInstant)
	if e.wildcard {
		return e.nextReal(after, limit, zone)
	}
	wall, ok := e.nextWall(highWater(zone, after)+1, limit+reach)
	if !ok {
		return 0, false
	}
	t := firstReading(zone, wall, after+1)
	return t, t <= limit
}

// nextReal is the first instant after the given one, and not after limit, whose wall time matches.
func (e Expression) nextReal(after, limit int64, zone *time.Location) (int64, bool) {
	for t := after + 1; t <= limit; {
		s := stretchAt(zone, t)
		wall, ok := e.nextWall(t+s.offset, limit+reach)
		if !ok {
			wall = limit + 2*reach
		}
		if at := wall - s.offset; at < s.end {
			return at, at <= limit
		}
		// An instant beyond this stretch may read an earlier wall time again, but not if it is
		// far enough away: then nothing matches until shortly before wall.
		if s.end >= t+reach {
			t = max(s.end, wall-reach)
		} else {
			t = s.end
		}
	}
	return 0, false
}

// nextWall is the first matching wall time that is not before from. It looks at no day after the
// one of until.
func (e Expression) nextWall(from, until int64) (int64, bool) {
	minutes := floorDivide(from+minute-1, minute)
	date := floorDivide(minutes, 24*60)
	if of, ok := e.nextMinute(int(minutes - date*24*60)); ok {
		if d, ok := e.nextDay(date, date); ok {
			return d*day + int64(of)*minute, true
		}
	}
	of, ok := e.nextMinute(0)
	if !ok {
		return 0, false
	}
	d, ok := e.nextDay(date+1, floorDivide(until, day))
	return d*day + int64(of)*minute, ok
}

// nextMinute is the first matching minute of a day, counted from midnight, not before from.
func (e Expression) nextMinute(from int) (int, bool) {
	h := from / 60
	if e.hour>>h&1 == 1 {
		if rest := e.minute >> (from % 60); rest != 0 {
			return from + bits.TrailingZeros64(rest), true
		}
	}
	rest := e.hour >> (h + 1)
	if rest == 0 || e.minute == 0 {
		return 0, false
	}
	h += 1 + bits.TrailingZeros32(rest)
	return h*60 + bits.TrailingZeros64(e.minute), true
}

// nextDay is the first matching day, counted from 1 January 1970, from first to last.
func (e Expression) nextDay(first, last int64) (int64, bool) {
	year, month, from := time.Unix(first*day, 0).UTC().Date()
	for start := first - int64(from) + 1; start <= last; {
		length := daysIn(year, month)
		if rest := e.daysOf(start, length, month) >> from; rest != 0 {
			d := start + int64(from+bits.TrailingZeros32(rest)) - 1
			return d, d <= last
		}
		start += int64(length)
		from = 1
		if month++; month > time.December {
			month = time.January
			year++
		}
	}
	return 0, false
}

// daysOf has bit n set when day n of a month matches. The month begins on the day start, counted
// from 1 January 1970.
func (e Expression) daysOf(start int64, length int, month time.Month) uint32 {
	if e.month>>month&1 == 0 {
		return 0
	}
	const thursday = 4 // 1 January 1970
	first := uint(((start+thursday)%7 + 7) % 7)
	week := uint64(e.weekday)
	week = (week>>first | week<<(7-first)) & 0x7f // bit 0 is the weekday of the first
	weeks := week | week<<7 | week<<14 | week<<21 | week<<28
	byWeekday := uint32(weeks << 1)
	days := e.day & byWeekday
	if e.either {
		days = e.day | byWeekday
	}
	return days & firstDays(length)
}

func daysIn(year int, month time.Month) int {
	if month == time.February && (year%4 != 0 || year%100 == 0 && year%400 != 0) {
		return 28
	}
	return longest(int(month))
}

// floorDivide rounds down, as days and minutes before 1970 need.
func floorDivide(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
