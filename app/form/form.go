// Package form reads what people type into forms, and what programs send in their place. It has the sentences that say
// what is wrong, and writes lengths and numbers as people read them.
package form

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"carillon/app/fault"
)

const unreadable = "This has characters that cannot be shown. Type it again."

// Line is a line of text without blanks around it. It notes in bad, under field, what is wrong: missing where the line
// is required and empty, control characters, and more than most characters.
func Line(bad fault.Invalid, field, missing, value string, most int, required bool) string {
	value = strings.TrimSpace(value)
	switch {
	case value == "" && required:
		bad[field] = missing
	case !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl):
		bad[field] = unreadable
	default:
		checkLength(bad, field, value, most)
	}
	return value
}

// Name is the name of something, as NameOf makes it. It notes in bad, under field, what is wrong: missing where the
// name is empty, a text that is not Readable, and more than most characters.
func Name(bad fault.Invalid, field, missing, value string, most int) string {
	value = NameOf(value)
	switch {
	case value == "":
		bad[field] = missing
	case !Readable(value):
		bad[field] = unreadable
	default:
		checkLength(bad, field, value, most)
	}
	return value
}

func checkLength(bad fault.Invalid, field, value string, most int) {
	if n := utf8.RuneCountInString(value); n > most {
		bad[field] = fmt.Sprintf("This is %d characters long. At most %d fit.", n, most)
	}
}

// Whole is a whole number from least to most. An empty text is otherwise. It notes in bad, under field, any other text.
func Whole(bad fault.Invalid, field, value string, otherwise, least, most int) int {
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

// Minutes is a length of time that is written as a number of minutes, in seconds. 0 is none. An empty text is
// otherwise. It notes in bad, under field, any other text, and a length above most.
func Minutes(bad fault.Invalid, field, value string, otherwise, most time.Duration) int {
	value = strings.TrimSpace(value)
	if value == "" {
		return int(otherwise / time.Second)
	}
	n, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(n) || n < 0 || n > most.Minutes() {
		bad[field] = fmt.Sprintf("Write a number of minutes, at most %.0f, or 0 for none.", most.Minutes())
		return int(otherwise / time.Second)
	}
	return int(math.Ceil(n * 60)) // 0 alone means none
}

// TooMany says that a list has more entries than fit. Things is what the entries are, as a plural.
func TooMany(n int, things string, most int) string {
	return fmt.Sprintf("These are %d %s. At most %d fit.", n, things, most)
}

// ID is an id as forms have it. The zero id is an empty text.
func ID(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

// Or is the text without blanks around it, and the other one where that is empty.
func Or(text, other string) string {
	if text = strings.TrimSpace(text); text != "" {
		return text
	}
	return other
}

// Seen is a set of the texts of a list. A search through the part of the list that is read so far would take the square
// of its length, before the list is known to be too long.
type Seen map[string]bool

// Add adds a text and reports whether it is new.
func (s Seen) Add(text string) bool {
	if s[text] {
		return false
	}
	s[text] = true
	return true
}

// OptionalID reads an id from a field that may be empty or nonsense: both are uuid.Nil.
func OptionalID(text string) uuid.UUID {
	parsed, err := uuid.Parse(text)
	if err != nil {
		return uuid.Nil
	}
	return parsed
}
