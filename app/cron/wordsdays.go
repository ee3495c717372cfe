package cron

import (
	"strconv"
	"strings"
	"time"

	"carillon/app/form"
)

var monthNames = [...]string{"", "January", "February", "March", "April", "May", "June", "July",
	"August", "September", "October", "November", "December"}

var weekdayNames = [...]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}

const (
	everyWeekday = 0x7f
	workdays     = 0x3e
	weekend      = 0x41
	everyMonth   = 0x1ffe
)

// days says on which days runs are: as the beginning of a sentence, "Weekdays", and as what
// follows "every 30 minutes", "on weekdays". The second is empty for every day.
func (e Expression) days() (head, tail string) {
	allDays := e.day == firstDays(31)
	allWeekdays := e.weekday == everyWeekday
	in := ""
	if e.month != everyMonth {
		in = " in " + e.months()
		if list := spans(values(uint64(e.month))); len(list) == 1 && strings.Contains(in, " to ") {
			in = " from " + e.months()
		}
	}
	switch {
	case allDays && allWeekdays, e.either && (allDays || allWeekdays):
		if in == "" {
			return "Every day", ""
		}
		return "Every day" + in, in[1:]
	case e.either:
		tail = "on " + e.dates() + ", and on " + weekdays(e.weekday) + in
	case allDays:
		list := weekdays(e.weekday) + in
		return form.Capitalize(list), "on " + list
	case allWeekdays:
		tail = "on " + e.dates()
	default:
		tail = "on " + weekdayList(e.weekday) + in + " that fall on the " +
			form.List(runs(values(uint64(e.day)), ordinal), "or")
	}
	return form.Capitalize(tail), tail
}

// dates is the days of the month: "day 1 of every month", "25 December".
func (e Expression) dates() string {
	days := values(uint64(e.day))
	last := days[len(days)-1]
	missing := false // a day that one of the months has not, at least in some years
	for m := 1; m <= 12; m++ {
		if e.month>>m&1 == 1 && last > daysIn(2001, time.Month(m)) {
			missing = true
		}
	}
	if len(days) == 1 {
		day := strconv.Itoa(last)
		switch {
		case e.month == 1<<2 && last == 29:
			return "29 February (leap years only)"
		case e.month == everyMonth && missing:
			return "day " + day + " of every month that has one"
		case e.month == everyMonth:
			return "day " + day + " of every month"
		case e.month&(e.month-1) == 0:
			return day + " " + e.months()
		}
		return "day " + day + " of " + e.months() + whereMissing(missing)
	}
	months := "every month"
	if e.month != everyMonth {
		months = e.months()
	}
	return "the " + form.List(runs(days, ordinal), "and") + " of " + months + whereMissing(missing)
}

func whereMissing(missing bool) string {
	if missing {
		return " (where there is one)"
	}
	return ""
}

func (e Expression) months() string {
	return form.List(runs(values(uint64(e.month)), func(m int) string { return monthNames[m] }), "and")
}

// weekdays names a choice of weekdays that is not all of them.
func weekdays(set uint8) string {
	switch {
	case set == workdays:
		return "weekdays"
	case set == weekend:
		return "weekends"
	}
	if rest := everyWeekday &^ set; rest&(rest-1) == 0 {
		for d, name := range weekdayNames {
			if rest>>d&1 == 1 {
				return "every day except " + name
			}
		}
	}
	return weekdayList(set)
}

// weekdayList names weekdays one by one, Sunday last.
func weekdayList(set uint8) string {
	var list []string
	for i := range weekdayNames {
		if d := (i + 1) % 7; set>>d&1 == 1 {
			list = append(list, weekdayNames[d]+"s")
		}
	}
	return form.List(list, "and")
}

func ordinal(n int) string {
	suffix := "th"
	if n/10 != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return strconv.Itoa(n) + suffix
}
