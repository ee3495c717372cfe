package views

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Took says a duration as people read it: "12 ms", "3.1 s", "4 min 12 s", "2 h 10 min", "3 d 4 h".
func Took(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second && d%time.Second >= 100*time.Millisecond:
		return fmt.Sprintf("%.1f s", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
}

// Roughly says a duration by its largest unit alone: "6 min".
func Roughly(d time.Duration) string {
	switch {
	case d > 0 && d < time.Second:
		return Took(d)
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours())/24)
}

// Ago says when something was, or will be, seen from now: "just now", "9 h ago", "in a moment", "in 7 days",
// "12 Nov". Both times are given in the reader's zone.
func Ago(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case d > -time.Minute && d < -2*time.Second: // less is the difference of two clocks
		return "in a moment"
	case d > -time.Minute && d < time.Minute:
		return "just now"
	case d < 0 && d > -7*24*time.Hour:
		return "in " + Roughly(-d+30*time.Second)
	case d > 0 && d < 7*24*time.Hour:
		return Roughly(d) + " ago"
	}
	return date(t, now)
}

// Short is Ago without the word, for narrow lists: "12 min", "4 d", "12 Nov".
func Short(t, now time.Time) string {
	if d := now.Sub(t); d >= time.Minute && d < 7*24*time.Hour {
		return Roughly(d)
	}
	return Ago(t, now)
}

// Moment says a time where someone decides something: "today 12:00", "tomorrow 02:00",
// "Fri 27 Nov 16:00". Zone stands beside it.
func Moment(t, now time.Time) string {
	switch days := daysBetween(now.In(t.Location()), t); days {
	case 0:
		return "today " + t.Format("15:04")
	case 1:
		return "tomorrow " + t.Format("15:04")
	case -1:
		return "yesterday " + t.Format("15:04")
	}
	if t.Year() == now.In(t.Location()).Year() {
		return t.Format("Mon 2 Jan 15:04")
	}
	return t.Format("Mon 2 Jan 2006 15:04")
}

// Exact is a time in full, with its zone: "Thu 19 Nov 2026, 07:30 CET".
func Exact(t time.Time) string { return t.Format("Mon 2 Jan 2006, 15:04 ") + ZoneShort(t) }

// ZoneShort is the zone's abbreviation, or its offset where there is none: "CET", "UTC+3".
func ZoneShort(t time.Time) string {
	name, offset := t.Zone()
	if name == "" || name[0] == '+' || name[0] == '-' {
		hours := fmt.Sprintf("UTC%+d", offset/3600)
		if minutes := offset % 3600 / 60; minutes != 0 {
			hours += fmt.Sprintf(":%02d", max(minutes, -minutes))
		}
		return hours
	}
	return name
}

func date(t, now time.Time) string {
	if t.Year() == now.Year() {
		return t.Format("2 Jan")
	}
	return t.Format("2 Jan 2006")
}

// daysBetween counts midnights, not spans of 24 hours.
func daysBetween(from, to time.Time) int {
	day := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC) }
	return int(day(to).Sub(day(from)).Hours() / 24)
}

func first(s string) string {
	for _, r := range s {
		return strings.ToUpper(string(r))
	}
	return ""
}

func machine(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func itoa(n int) string { return strconv.Itoa(n) }

// Bytes is a size for a person: "412 B", "3.4 KiB", "1.0 MiB".
func Bytes(n int64) string {
	switch {
	case n < 1<<10:
		return strconv.FormatInt(n, 10) + " B"
	case n < 1<<20:
		return strconv.FormatFloat(float64(n)/(1<<10), 'f', 1, 64) + " KiB"
	}
	return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MiB"
}
