package cron

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A field is one of the five columns of an expression.
type field struct {
	name        string
	first, last int
	// names stand for first, first+1 and so on.
	names []string
	// wrap is the value after which a range that runs backwards would go on at first.
	wrap int
}

var fields = [5]field{
	{name: "minute", first: 0, last: 59, wrap: 59},
	{name: "hour", first: 0, last: 23, wrap: 23},
	{name: "day of month", first: 1, last: 31, wrap: 31},
	{name: "month", first: 1, last: 12, wrap: 12, names: []string{
		"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{name: "day of week", first: 0, last: 7, wrap: 6, names: []string{
		"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

// parse reads one field: ranges, separated by commas. Bit n of the answer is value n. The Instead
// of an error replaces this field, not the whole expression.
func (f field) parse(text string) (uint64, *SyntaxError) {
	var set uint64
	parts := strings.Split(text, ",")
	for i, part := range parts {
		bits, err := f.parseRange(part)
		if err != nil {
			if err.Instead != "" {
				parts[i] = err.Instead
				err.Instead = strings.Join(parts, ",")
			}
			return 0, err
		}
		set |= bits
	}
	return set, nil
}

func (f field) parseRange(part string) (uint64, *SyntaxError) {
	if part == "" {
		return 0, f.problem("a comma has nothing before or after it")
	}
	span, stepText, stepped := strings.Cut(part, "/")
	step := 1
	if stepped {
		n, err := f.step(part, span, stepText)
		if err != nil {
			return 0, err
		}
		step = n
	}
	if span == "*" {
		return spread(f.first, f.last, step), nil
	}
	lowText, highText, ranged := strings.Cut(span, "-")
	if ranged && (lowText == "" || highText == "") {
		return 0, f.problem("%s is not a range; write two values, such as %d-%d", quote(span), f.first, f.first+4)
	}
	low, err := f.value(lowText)
	if err != nil {
		return 0, within(part, lowText, err)
	}
	if !ranged {
		if stepped {
			instead := fmt.Sprintf("%s-%d/%s", lowText, f.wrap, stepText)
			return 0, f.instead(instead, "a step needs a range; write %s instead of %s", instead, quote(part))
		}
		return 1 << low, nil
	}
	high, err := f.value(highText)
	if err != nil {
		return 0, within(part, highText, err)
	}
	if high == 0 && low > 0 && f.last == 7 {
		high = 7 // fri-sun: Sunday ends the week as well as it begins it
	}
	if low > high {
		return 0, f.backwards(part, low, high, step, digits(lowText))
	}
	return spread(low, high, step), nil
}

// within turns the replacement of a value into that of the part that it stands in.
func within(part, value string, err *SyntaxError) *SyntaxError {
	if err.Instead != "" {
		err.Instead = strings.Replace(part, value, err.Instead, 1)
	}
	return err
}

func (f field) step(part, span, text string) (int, *SyntaxError) {
	if !digits(text) {
		return 0, f.problem("%s has no step; write a number after the slash, such as */5", quote(part))
	}
	n := number(text)
	if n == 0 {
		return 0, f.problem("%s has a step of 0; a step is 1 or more", quote(part))
	}
	if n > 999 {
		return 0, f.problem("%s has a step that is too large", quote(part))
	}
	if span == "" {
		return 0, f.instead("*"+part, "a step needs a range; write *%s instead of %s", quote(part), quote(part))
	}
	return n, nil
}

// value reads a number or a name.
func (f field) value(text string) (int, *SyntaxError) {
	if digits(text) {
		n := number(text)
		if n < f.first || n > f.last {
			return 0, f.problem("%s is not between %d and %d", quote(text), f.first, f.last)
		}
		return n, nil
	}
	for i, name := range f.names {
		if strings.EqualFold(name, text) {
			return f.first + i, nil
		}
	}
	return 0, f.foreign(text)
}

// foreign explains a value that is no number and no name.
func (f field) foreign(text string) *SyntaxError {
	upper := strings.ToUpper(text)
	if len(text) > 3 {
		for _, name := range f.names {
			if strings.HasPrefix(strings.ToLower(text), name) && letters(text) {
				return f.instead(name, "write %s instead of %s", name, quote(text))
			}
		}
	}
	switch {
	case text == "?":
		return f.instead("*", "? is a sign of Quartz; write * instead of ?")
	case strings.Contains(text, "#"):
		return f.problem("%s: the sign # of Quartz cannot be written in five fields", quote(text))
	case strings.HasSuffix(upper, "L") && digits(upper[:len(upper)-1]), upper == "L", upper == "LW":
		return f.problem("%s: the sign L (last) of Quartz cannot be written in five fields", quote(text))
	case strings.HasSuffix(upper, "W") && digits(upper[:len(upper)-1]):
		return f.problem("%s: the sign W (nearest weekday) of Quartz cannot be written in five fields", quote(text))
	case strings.Contains(text, "~"):
		return f.problem("%s: random times (~) are not supported", quote(text))
	case strings.HasPrefix(text, "*"):
		return f.problem("%s is not a value; only a step may follow a star, such as */5", quote(text))
	case len(f.names) > 0:
		return f.problem("%s is not a number between %d and %d or a name such as %s", quote(text), f.first, f.last,
			f.names[1])
	}
	return f.problem("%s is not a number between %d and %d", quote(text), f.first, f.last)
}

// backwards refuses a range such as 22-2, and writes out what it probably means, with names if it
// had some.
func (f field) backwards(part string, low, high, step int, numeric bool) *SyntaxError {
	show := strconv.Itoa
	if !numeric {
		show = func(v int) string { return f.names[v-f.first] }
	}
	span := func(low, high int) string {
		if low >= high {
			return show(low)
		}
		return show(low) + "-" + show(high)
	}
	instead := span(low, f.wrap) + "," + span(f.first, high)
	if step > 1 {
		size := f.wrap - f.first + 1
		var values []string
		for v := low; v <= high+size; v += step {
			values = append(values, show((v-f.first)%size+f.first))
		}
		instead = strings.Join(values, ",")
	}
	return f.instead(instead, "%s runs backwards; write %s instead of %s", quote(part), instead, quote(part))
}

func (f field) problem(format string, args ...any) *SyntaxError {
	return &SyntaxError{Field: f.name, Problem: fmt.Sprintf(format, args...)}
}

func (f field) instead(text, format string, args ...any) *SyntaxError {
	return &SyntaxError{Field: f.name, Problem: fmt.Sprintf(format, args...), Instead: text}
}

// spread sets the bits low, low+step and so on up to high.
func spread(low, high, step int) uint64 {
	var set uint64
	for v := low; v <= high; v += step {
		set |= 1 << v
	}
	return set
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func letters(s string) bool {
	return strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz") == ""
}

// number reads digits; what is too long for any field is as good as a large number.
func number(s string) int {
	s = strings.TrimLeft(s, "0")
	if len(s) > 6 {
		return 1_000_000
	}
	n, _ := strconv.Atoi("0" + s) // cannot fail: at most six digits
	return n
}

// quote shows a value inside a sentence: as typed when it is short and plain.
func quote(s string) string {
	const most = 30
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "…"
	}
	for _, r := range s {
		if !strconv.IsPrint(r) || r == utf8.RuneError {
			return strconv.Quote(s)
		}
	}
	return s
}
