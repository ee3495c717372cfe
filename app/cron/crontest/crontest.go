// Package crontest answers by brute force when a cron expression fires, to check package cron and
// what is built on it against. It walks through real minutes, reads the clock at each and compares
// it with the fields; it shares no code with package cron.
package crontest

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Times lists the instants, after from and up to and including to, at which a five-field expression
// fires in a zone. It is for tests: it panics on an expression that it cannot read.
//
// An expression with a star at the beginning of its minute or hour fires whenever the clock shows a
// matching minute. Any other fires when the clock first shows a matching minute, and at a jump of
// the clock if a matching minute is jumped over.
func Times(expr string, zone *time.Location, from, to time.Time) []time.Time {
	w := walk{want: read(expr), after: from.Unix(), before: to.Unix(), zone: zone, fired: -1 << 62}
	// The clock may have been put back shortly before from, so the walk begins earlier.
	w.now = from.Unix() - 3*24*3600
	w.offset = w.offsetAt(w.now)
	w.shown = w.now + w.offset - 1
	for w.now <= to.Unix() {
		w.stretch()
	}
	return w.found
}

// walk is a walk through time. Its clock is kept as the Unix seconds of a UTC clock that shows the
// same.
type walk struct {
	want          table
	zone          *time.Location
	after, before int64

	now    int64 // seconds since 1970
	offset int64 // of the zone at now
	shown  int64 // the latest time that the clock has shown
	fired  int64 // the latest instant that was found
	found  []time.Time
}

// stretch goes on by six hours, or to the next change of the offset if that comes first. No zone
// ever changed its clocks and changed them back within so short a time.
func (w *walk) stretch() {
	end := w.now + 6*3600
	next := w.offsetAt(end)
	if next != w.offset {
		for end = w.now + 1; ; end++ {
			if next = w.offsetAt(end); next != w.offset {
				break
			}
		}
	}
	wait := (60 - (w.now+w.offset)%60) % 60 // before 1970 the remainder is negative
	for t := w.now + wait; t < end; t += 60 {
		clock := t + w.offset
		if minute := (clock%3600 + 3600) % 3600 / 60; minute == 0 && !w.want.hasHour(clock) {
			t += 59 * 60 // the other minutes of an hour that is not wanted
			continue
		}
		if (w.want.star || clock > w.shown) && w.want.has(clock) {
			w.fire(t)
		}
	}
	w.shown = max(w.shown, end-1+w.offset)
	w.now = end
	if next > w.offset && !w.want.star {
		w.jump(end + next)
	}
	w.offset = next
}

// jump fires once if a minute between what the clock has shown and what it shows now was wanted.
func (w *walk) jump(clock int64) {
	for c := w.shown + 1; c < clock; c++ {
		if c%60 == 0 && w.want.has(c) {
			w.fire(w.now)
			return
		}
	}
}

func (w *walk) fire(t int64) {
	// The second of from itself is not after from, and t is a whole second.
	if t <= w.after || t > w.before || t == w.fired {
		return // fired: a minute was jumped over, and the first after it is wanted as well
	}
	w.fired = t
	w.found = append(w.found, time.Unix(t, 0).In(w.zone))
}

func (w *walk) offsetAt(t int64) int64 {
	_, offset := time.Unix(t, 0).In(w.zone).Zone()
	return int64(offset)
}

// table holds, for each field, which values it wants.
type table struct {
	minute, hour, day, month, weekday [64]bool
	dayStar, weekdayStar              bool
	star                              bool

	// date is the day, counted from 1970, for which today was worked out.
	date  int64
	today bool
}

func (w *table) has(clock int64) bool {
	date, rest := clock/86400, clock%86400
	if rest < 0 {
		date, rest = date-1, rest+86400
	}
	if !w.hour[rest/3600] || !w.minute[rest/60%60] {
		return false
	}
	if date != w.date {
		w.date = date
		at := time.Unix(clock, 0).UTC()
		day, weekday := w.day[at.Day()], w.weekday[at.Weekday()]
		w.today = day && weekday
		if !w.dayStar && !w.weekdayStar {
			w.today = day || weekday
		}
		w.today = w.today && w.month[at.Month()]
	}
	return w.today
}

func (w *table) hasHour(clock int64) bool {
	return w.hour[(clock%86400+86400)%86400/3600]
}

func read(expr string) table {
	text := strings.Fields(strings.ToLower(expr))
	if len(text) != 5 {
		panic(fmt.Sprintf("crontest: %q has not five fields", expr))
	}
	for i, name := range []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} {
		text[4] = strings.ReplaceAll(text[4], name, strconv.Itoa(i))
	}
	for i, name := range []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"} {
		text[3] = strings.ReplaceAll(text[3], name, strconv.Itoa(i+1))
	}
	w := table{
		star:        strings.HasPrefix(text[0], "*") || strings.HasPrefix(text[1], "*"),
		dayStar:     strings.HasPrefix(text[2], "*"),
		weekdayStar: strings.HasPrefix(text[4], "*"),
		date:        -1 << 40,
	}
	for v := range 60 {
		w.minute[v] = wants(text[0], v, 0, 59)
		w.hour[v] = v < 24 && wants(text[1], v, 0, 23)
		w.day[v] = v >= 1 && v <= 31 && wants(text[2], v, 1, 31)
		w.month[v] = v >= 1 && v <= 12 && wants(text[3], v, 1, 12)
		w.weekday[v] = v < 8 && wants(text[4], v, 0, 7)
	}
	w.weekday[0] = w.weekday[0] || w.weekday[7]
	return w
}

// wants tells whether a field asks for the value v.
func wants(field string, v, lowest, highest int) bool {
	for item := range strings.SplitSeq(field, ",") {
		step := 1
		if i := strings.IndexByte(item, '/'); i >= 0 {
			step = whole(item[i+1:])
			item = item[:i]
		}
		low, high := lowest, highest
		if item != "*" {
			if i := strings.IndexByte(item, '-'); i >= 0 {
				low, high = whole(item[:i]), whole(item[i+1:])
				if highest == 7 && high == 0 && low > 0 {
					high = 7 // fri-sun
				}
			} else {
				low = whole(item)
				high = low
			}
		}
		if v >= low && v <= high && (v-low)%step == 0 {
			return true
		}
	}
	return false
}

func whole(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic("crontest: " + err.Error())
	}
	return n
}
