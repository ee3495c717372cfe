package cron

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"carillon/app/form"
)

// Words is the expression in English, exact enough to tell it from every expression that fires at
// other times: "Every day at 02:00", "Every 15 minutes between 09:00 and 17:59 on weekdays". What
// has no short form is written out as a list.
func (e Expression) Words() string {
	if e.minute == 0 {
		return "Never"
	}
	times, repeated := e.times()
	head, tail := e.days()
	if !repeated {
		if strings.Contains(head, ",") {
			head += ","
		}
		return head + " at " + times
	}
	if tail != "" {
		if strings.Contains(times+tail, ",") {
			times += ","
		}
		times += " " + tail
	}
	return form.Capitalize(times)
}

// times says at which times of a matching day runs are. It is a list, "02:00 and 14:00", or when
// repeated a phrase that stands for itself, "every 30 minutes".
func (e Expression) times() (text string, repeated bool) {
	hours, minutes := values(uint64(e.hour)), values(e.minute)
	if len(hours) < 24 && len(hours)*len(minutes) <= 4 && !(len(minutes) == 1 && even(hours, 24) && len(hours) > 3) {
		return form.List(e.clock(), "and"), false
	}
	if len(minutes) == 1 {
		return e.hourly(hours, minutes[0])
	}
	every := "at minutes " + form.List(runs(minutes, strconv.Itoa), "and")
	of := " of every hour"
	if even(minutes, 60) && minutes[0] == 0 {
		every, of = "every "+strconv.Itoa(60/len(minutes))+" minutes", ""
		if len(minutes) == 60 {
			every = "every minute"
		}
	}
	if len(hours) == 24 {
		return every + of, true
	}
	if blocks := spans(hours); len(blocks) <= 3 {
		var between []string
		for _, b := range blocks {
			between = append(between, fmt.Sprintf("between %02d:00 and %02d:59", b[0], b[1]))
		}
		return every + of + " " + strings.Join(between, ", and "), true
	}
	during := form.List(texts(hours, func(h int) string { return fmt.Sprintf("%02d", h) }), "and")
	if of != "" {
		return every + " of the hours " + during, true
	}
	return every + " during the hours " + during, true
}

// hourly is times for a single minute and more than a handful of hours.
func (e Expression) hourly(hours []int, m int) (string, bool) {
	if len(hours) == 24 {
		if m == 0 {
			return "every hour", true
		}
		return fmt.Sprintf("every hour at minute %d", m), true
	}
	clock := e.clock()
	step := hours[1] - hours[0]
	for i := range hours[1:] {
		if hours[i+1]-hours[i] != step {
			return form.List(clock, "and"), false
		}
	}
	switch {
	case step == 1:
		return fmt.Sprintf("every hour from %s to %s", clock[0], clock[len(clock)-1]), true
	case len(hours) == 4 && even(hours, 24):
		return fmt.Sprintf("every %d hours, at %s", step, form.List(clock, "and")), true
	}
	return fmt.Sprintf("every %d hours from %s to %s", step, clock[0], clock[len(clock)-1]), true
}

// clock lists the times of a matching day.
func (e Expression) clock() []string {
	var list []string
	for _, h := range values(uint64(e.hour)) {
		for _, m := range values(e.minute) {
			list = append(list, fmt.Sprintf("%02d:%02d", h, m))
		}
	}
	return list
}

// even reports whether the values go round a circle of the given size in equal steps.
func even(list []int, size int) bool {
	step := size / len(list)
	if step*len(list) != size {
		return false
	}
	for i, v := range list {
		if v != list[0]+i*step {
			return false
		}
	}
	return true
}

// values lists the bits that are set; runs that are three long or more can be shortened by runs.
func values(set uint64) []int {
	var list []int
	for ; set != 0; set &= set - 1 {
		list = append(list, bits.TrailingZeros64(set))
	}
	return list
}

// spans groups values into unbroken ranges.
func spans(list []int) [][2]int {
	var out [][2]int
	for _, v := range list {
		if n := len(out); n > 0 && out[n-1][1] == v-1 {
			out[n-1][1] = v
			continue
		}
		out = append(out, [2]int{v, v})
	}
	return out
}

// runs writes values, three and more in a row as "1 to 5".
func runs(list []int, text func(int) string) []string {
	var out []string
	for _, s := range spans(list) {
		if s[1]-s[0] >= 2 {
			out = append(out, text(s[0])+" to "+text(s[1]))
			continue
		}
		for v := s[0]; v <= s[1]; v++ {
			out = append(out, text(v))
		}
	}
	return out
}

func texts(list []int, text func(int) string) []string {
	var out []string
	for _, v := range list {
		out = append(out, text(v))
	}
	return out
}

func numbers(set uint64) []string { return texts(values(set), strconv.Itoa) }
