package cron

import (
	"fmt"
	"strings"
	"time"

	"carillon/app/form"
)

// An Occurrence is one run to come, for a preview.
type Occurrence struct {
	// At is the instant of the run, in the zone that was asked for.
	At time.Time
	// Note tells what a change of the clocks does to this run.
	Note Note
	// Wanted is the wall time that the note is about, "02:30", with its date where that is not
	// the date of At, and "02:00 and 02:30" for several. It is empty for an Ordinary run.
	Wanted string
}

// A Note says what a change of the clocks does to a run.
type Note int

const (
	// Ordinary: nothing, the run is at the time that the expression names.
	Ordinary Note = iota
	// Moved: the wanted time is skipped, so the run is at the moment of the jump.
	Moved
	// FirstOnly: the time occurs twice and the run is at the first, the only one.
	FirstOnly
	// FirstPass and SecondPass: the time occurs twice and there is a run at both.
	FirstPass
	SecondPass
	// LeftOut: wanted times since the run before this one are skipped, and have no run.
	LeftOut
)

// Upcoming lists the next n runs strictly after the given instant, fewer where Next finds no more.
// A nil zone is UTC. Its work grows with n, which should be bounded before it comes from outside.
func (e Expression) Upcoming(after time.Time, zone *time.Location, n int) []Occurrence {
	if zone == nil {
		zone = time.UTC
	}
	var list []Occurrence
	for len(list) < n {
		at := e.Next(after, zone)
		if at.IsZero() {
			break
		}
		o := Occurrence{At: at}
		if e.wildcard {
			o.Note, o.Wanted = e.noteReal(after.Unix(), at.Unix(), zone)
		} else {
			o.Note, o.Wanted = e.noteWall(at.Unix(), zone)
		}
		list = append(list, o)
		after = at
	}
	return list
}

// noteWall says what happened to a run of an expression that names times on the wall clock.
func (e Expression) noteWall(t int64, zone *time.Location) (Note, string) {
	if j, ok := jumpAt(zone, t); ok {
		// Times that the clock has shown before an earlier change have had their run.
		j.from = max(j.from, highWater(zone, t-1)+1)
		if wanted := e.wantedIn(j); len(wanted) > 0 {
			return Moved, readings(wanted, j.to)
		}
	}
	if readsAgain(zone, t) {
		return FirstOnly, reading(wallOf(zone, t), wallOf(zone, t))
	}
	return Ordinary, ""
}

// noteReal says what happened to a run of an expression that follows elapsed time, and between it
// and the run before.
func (e Expression) noteReal(previous, t int64, zone *time.Location) (Note, string) {
	wall := wallOf(zone, t)
	for s := stretchAt(zone, previous); s.end <= t; s = stretchAt(zone, s.end) {
		if j, ok := jumpAt(zone, s.end); ok {
			if wanted := e.wantedIn(j); len(wanted) > 0 {
				return LeftOut, readings(wanted, wall)
			}
		}
	}
	switch {
	case readBefore(zone, t):
		return SecondPass, reading(wall, wall)
	case readsAgain(zone, t):
		return FirstPass, reading(wall, wall)
	}
	return Ordinary, ""
}

// wantedIn lists the wall times in a jump that match. A jump is at most a day and its date line.
func (e Expression) wantedIn(j jump) []int64 {
	var list []int64
	for from := j.from; ; {
		wall, ok := e.nextWall(from, j.to)
		if !ok || wall >= j.to {
			return list
		}
		list = append(list, wall)
		from = wall + 1
	}
}

func wallOf(zone *time.Location, t int64) int64 {
	return t + stretchAt(zone, t).offset
}

// readings writes wall times as a person reads them on the day of today: "02:00 and 02:30".
func readings(walls []int64, today int64) string {
	if len(walls) > 4 {
		first, last := walls[0], walls[len(walls)-1]
		return fmt.Sprintf("%d times between %s and %s", len(walls), reading(first, today), reading(last, today))
	}
	var texts []string
	for i, wall := range walls {
		if i+1 < len(walls) && floorDivide(wall, day) == floorDivide(walls[i+1], day) {
			texts = append(texts, reading(wall, wall)) // the date follows the last of its day
			continue
		}
		texts = append(texts, reading(wall, today))
	}
	return form.List(texts, "and")
}

// reading is the time of day, with the date unless it is that of today.
func reading(wall, today int64) string {
	at := time.Unix(wall, 0).UTC()
	text := at.Format("15:04")
	if at.Second() != 0 {
		text = at.Format("15:04:05")
	}
	if floorDivide(wall, day) != floorDivide(today, day) {
		text += " on " + date(at)
	}
	return text
}

func date(at time.Time) string { return at.Format("2 January 2006") }

// Explain is the note as a sentence for a person, or nothing for an Ordinary run.
func (o Occurrence) Explain() string {
	zone := o.At.Location()
	t := o.At.Unix()
	runs := o.At.Format("15:04")
	if o.At.Second() != 0 {
		runs = o.At.Format("15:04:05")
	}
	several := strings.Contains(o.Wanted, " and ") || strings.Contains(o.Wanted, " times ")
	switch o.Note {
	case Moved:
		missing := o.Wanted + " does not exist"
		ending := "runs at " + runs
		if several {
			missing = o.Wanted + " do not exist"
			ending = "runs once, at " + runs
		}
		if strings.Contains(o.Wanted, " on ") {
			ending += " on " + date(o.At)
		} else {
			missing += " on " + date(o.At)
		}
		if j, ok := jumpAt(zone, t); ok {
			missing += fmt.Sprintf(", when the clocks go forward from %s to %s", reading(j.from, j.to),
				reading(j.to, j.from))
		}
		return missing + "; " + ending + "."
	case FirstOnly:
		return fmt.Sprintf("%s occurs twice on %s, when the clocks go back; runs the first time only.", o.Wanted,
			date(o.At))
	case FirstPass:
		return fmt.Sprintf("%s occurs twice on %s, when the clocks go back; runs both times, this is the first.",
			o.Wanted, date(o.At))
	case SecondPass:
		return fmt.Sprintf("%s occurs twice on %s, when the clocks go back; runs both times, this is the second.",
			o.Wanted, date(o.At))
	case LeftOut:
		verb := "does"
		if several {
			verb = "do"
		}
		missing := o.Wanted
		if !strings.Contains(missing, " on ") {
			missing += " on " + date(o.At)
		}
		return fmt.Sprintf("%s %s not exist, because the clocks go forward; no run then, the next is this one.",
			missing, verb)
	}
	return ""
}

// At is the instant at which the clock of a zone reads a date and time, as a form sends it:
// 2006-01-02T15:04, seconds allowed. A time that is skipped gives the moment of the jump, with the
// note Moved; one that occurs twice gives the first, with the note FirstOnly. A nil zone is UTC.
// The error is a sentence for a person.
func At(wall string, zone *time.Location) (Occurrence, error) {
	if zone == nil {
		zone = time.UTC
	}
	read, err := clockTime(wall)
	if err != nil {
		return Occurrence{}, fmt.Errorf("%s is not a date and time such as 2026-01-31T09:30", quote(wall))
	}
	w := read.Unix()
	t := firstReading(zone, w, w-reach)
	o := Occurrence{At: time.Unix(t, int64(read.Nanosecond())).In(zone).Truncate(time.Microsecond)}
	switch {
	case wallOf(zone, t) != w:
		o.At = time.Unix(t, 0).In(zone)
		o.Note, o.Wanted = Moved, reading(w, wallOf(zone, t))
	case readsAgain(zone, t):
		o.Note, o.Wanted = FirstOnly, reading(w, w)
	}
	return o, nil
}
