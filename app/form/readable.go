package form

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Readable reports whether a text can be a name: one line that shows something, and shows it in the order in which it
// is written. Signs that turn the direction of writing make one name look like another, and turn what stands behind it
// too.
func Readable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, misleads) && strings.ContainsFunc(text, visible)
}

// NameOf is a name as it was typed or pasted, without blanks around it and without the marks of direction that come
// along with pasted Arabic and Hebrew: those show nothing. Signs that turn what stands behind them stay, for Readable
// to refuse.
func NameOf(typed string) string {
	return strings.TrimSpace(directionMarks.Replace(typed))
}

// Storable reports whether the database can store a text: UTF-8 without the byte 0.
func Storable(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }

var directionMarks = strings.NewReplacer("\u200e", "", "\u200f", "", "\u061c", "")

// Plain shows what a text hides: signs that control something or turn the direction of writing, tabs excepted, are
// written as their numbers, ⟨U+202E⟩. So code and file names on a page look like what they are.
func Plain(text string) string {
	if !strings.ContainsFunc(text, hides) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if hides(r) {
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func hides(r rune) bool { return misleads(r) && r != '\t' }

// misleads reports whether a rune ends a line, controls something, or turns the direction of writing.
func misleads(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

// visible reports whether a rune by itself leaves a mark on the page.
func visible(r rune) bool {
	return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) && !strings.ContainsRune(blank, r)
}

// blank are the letters and symbols that show nothing: the fillers of Hangul, and the empty ones of Braille and of
// musical notation.
const blank = "\u115f\u1160\u3164\uffa0\u2800\U0001d159"
