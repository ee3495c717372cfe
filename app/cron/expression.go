// Package cron reads five-field cron expressions and tells when they fire in an IANA time zone,
// what they mean in English, and what a change of the clocks does to them. It knows nothing of
// automations: it is given a text, a zone and an instant, and hands back instants and sentences.
//
// The dialect is that of crontab(5): numbers, names, ranges, steps and lists; 0 and 7 are both
// Sunday; day of month and day of week are alternatives when both are restricted. Macros, seconds,
// time zone prefixes and the signs of Quartz are refused, with the five-field form to write instead
// where there is one.
package cron

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"carillon/app/form"
)

// An Expression is a parsed five-field cron expression. It is a plain value: comparable, safe to
// copy and to use from several goroutines. The zero Expression never fires.
type Expression struct {
	text string

	// Bit n is set when the value n is chosen. Sunday is bit 0 of weekday alone.
	minute  uint64
	hour    uint32
	day     uint32
	month   uint16
	weekday uint8

	// wildcard: the minute or the hour begins with a star, so runs follow elapsed time and not
	// the times on the wall clock.
	wildcard bool
	// either: neither day of month nor day of week begins with a star, so one of them is enough.
	either bool
}

// ErrNever is the error of an expression that is well-formed and never fires in any year, such as
// the 31st of February.
var ErrNever = errors.New("this schedule never runs")

// A SyntaxError says why a text is not a five-field cron expression, in words for the person who
// typed it.
type SyntaxError struct {
	// Field is "minute", "hour", "day of month", "month" or "day of week"; empty when the
	// trouble is the expression as a whole.
	Field string
	// Problem is what is wrong, with the value: "61 is not between 0 and 59".
	Problem string
	// Instead is a whole expression that says what was probably meant and that Parse accepts;
	// empty when there is none.
	Instead string
}

// Error is the sentence to show beside the field: "minute: 61 is not between 0 and 59".
func (e *SyntaxError) Error() string {
	if e.Field == "" {
		return e.Problem
	}
	return e.Field + ": " + e.Problem
}

// maxLength bounds the work on a text from outside. The longest useful expression, every field
// written out as a list, has some 400 characters.
const maxLength = 500

// Parse reads a five-field expression. The error is a *SyntaxError, or one that is ErrNever when
// the expression could never fire; both read as sentences for a person.
func Parse(s string) (Expression, error) {
	if len(s) > maxLength {
		return Expression{}, &SyntaxError{Problem: fmt.Sprintf("an expression has at most %d characters", maxLength)}
	}
	texts := strings.Fields(s)
	if err := refuse(texts); err != nil {
		return Expression{}, err
	}
	var chosen [5]uint64
	for i, f := range fields {
		set, err := f.parse(texts[i])
		if err != nil {
			return Expression{}, correct(err, texts, i)
		}
		chosen[i] = set
	}
	e := Expression{
		text:     strings.Join(texts, " "),
		minute:   chosen[0],
		hour:     uint32(chosen[1]),
		day:      uint32(chosen[2]),
		month:    uint16(chosen[3]),
		weekday:  uint8(chosen[4]&0x7f | chosen[4]>>7),
		wildcard: texts[0][0] == '*' || texts[1][0] == '*',
		either:   texts[2][0] != '*' && texts[4][0] != '*',
	}
	if err := e.never(); err != nil {
		return Expression{}, err
	}
	return e, nil
}

// Typed is Parse for what a person types now. It also refuses a step beyond its field: */61 names the same minute as 0,
// and not every 61st. Expressions with one are stored from before and go on as they did, so Parse takes them.
func Typed(s string) (Expression, error) {
	e, err := Parse(s)
	if err != nil {
		return Expression{}, err
	}
	texts := strings.Fields(s)
	for i, f := range fields {
		parts := strings.Split(texts[i], ",")
		for j, part := range parts {
			span, step, stepped := strings.Cut(part, "/")
			if !stepped || number(step) <= f.wrap-f.first {
				continue
			}
			only, _, _ := strings.Cut(span, "-")
			if only == "*" {
				only = strconv.Itoa(f.first)
			}
			parts[j] = only
			instead := f.instead(strings.Join(parts, ","), "%s steps beyond %d, so it would mean %s alone; write %s",
				quote(part), f.wrap, only, only)
			return Expression{}, correct(instead, texts, i)
		}
	}
	return e, nil
}

// correct turns the replacement of one field into a whole expression, if that one is right.
func correct(err *SyntaxError, texts []string, i int) *SyntaxError {
	if err.Instead != "" {
		fixed := append([]string(nil), texts...)
		fixed[i] = err.Instead
		err.Instead = valid(strings.Join(fixed, " "))
	}
	return err
}

// valid is the text if it is an expression, else nothing. Each correction takes one refused sign
// away, so corrections of corrections end.
func valid(s string) string {
	if _, err := Parse(s); err != nil {
		var syntax *SyntaxError
		if errors.As(err, &syntax) {
			return syntax.Instead
		}
		return ""
	}
	return s
}

// never reports an expression whose days exist in none of its months. Every date that exists, 29
// February too, falls on each weekday in some year, so the weekday cannot rule out the rest.
func (e Expression) never() error {
	if e.either {
		return nil
	}
	var months []string
	for m := 1; m <= 12; m++ {
		if e.month>>m&1 == 0 {
			continue
		}
		if e.day&firstDays(longest(m)) != 0 {
			return nil
		}
		months = append(months, monthNames[m])
	}
	days := form.List(numbers(uint64(e.day)), "or")
	if len(months) == 1 {
		return fmt.Errorf("%w: %s has no day %s", ErrNever, months[0], days)
	}
	return fmt.Errorf("%w: none of %s has a day %s", ErrNever, form.List(months, "and"), days)
}

// String is the text of the expression as it was written, with single spaces between the fields.
func (e Expression) String() string { return e.text }

// firstDays has bits 1 to n set.
func firstDays(n int) uint32 { return 1<<(n+1) - 2 }

// longest is the number of days that month m can have.
func longest(m int) int {
	switch m {
	case 2:
		return 29
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}
