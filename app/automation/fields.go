package automation

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"carillon/app/account"
	"carillon/app/fault"
)

// text checks a line of text that a person typed.
func text(bad fault.Invalid, field, missing, value string, most int, required bool) string {
	if value = strings.TrimSpace(value); field == "name" {
		value = account.NameOf(value)
	}
	switch {
	case value == "" && required:
		bad[field] = missing
	case !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) || value != "" && field == "name" && !account.Readable(value):
		bad[field] = "This has characters that cannot be shown. Type it again."
	case utf8.RuneCountInString(value) > most:
		bad[field] = fmt.Sprintf("This is %d characters long. At most %d fit.", utf8.RuneCountInString(value), most)
	}
	return value
}

// number reads a whole number that may be left out.
func number(bad fault.Invalid, field, value string, otherwise, least, most int) int {
	value = strings.TrimSpace(value)
	if value == "" {
		return otherwise
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		bad[field] = fmt.Sprintf("Write a whole number from %d to %d.", max(least, 1), most)
		return otherwise
	}
	return n
}

// minutes reads a length of time in minutes, and returns seconds; 0 is none.
func minutes(bad fault.Invalid, field, value string, otherwise time.Duration) int {
	value = strings.TrimSpace(value)
	if value == "" {
		return int(otherwise / time.Second)
	}
	n, err := strconv.ParseFloat(value, 64)
	if err != nil || n < 0 || n > maxTimeout.Minutes() || n != n {
		bad[field] = fmt.Sprintf("Write a number of minutes, at most %.0f, or 0 for none.", maxTimeout.Minutes())
		return int(otherwise / time.Second)
	}
	return int(math.Ceil(n * 60)) // 0 alone means none
}

func cmpOr(a, b string) string {
	if a = strings.TrimSpace(a); a != "" {
		return a
	}
	return b
}

// onceEach tells which texts of a list that a person typed are new. To look through what is kept so far would take the square of how
// many they are, before it is known that they are too many.
type onceEach map[string]bool

// isNew reports whether a text is seen for the first time.
func (o onceEach) isNew(text string) bool {
	if o[text] {
		return false
	}
	o[text] = true
	return true
}
