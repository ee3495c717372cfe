package payload

import (
	"regexp"
	"strconv"
	"strings"
)

// jsonNumber is a number as JSON writes it: sign, whole part, fraction, exponent.
var jsonNumber = regexp.MustCompile(`^(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$`)

// sameNumber reports whether two texts are the same number, to the last digit however many there are.
func sameNumber(a, b string) bool {
	x, ok := decimalOf(a)
	if !ok {
		return false
	}
	y, ok := decimalOf(b)
	return ok && x == y
}

// decimal is a number without what can be written in several ways: digits × 10^exponent, digits without zeros at either
// end.
type decimal struct {
	negative bool
	digits   string // empty: zero
	exponent int64
}

// decimalOf reads a number. Ok is false for what is none, or has an exponent that no number in use has.
func decimalOf(text string) (decimal, bool) {
	m := jsonNumber.FindStringSubmatch(text)
	if m == nil {
		return decimal{}, false
	}
	d := decimal{negative: m[1] == "-", exponent: -int64(len(m[3]))}
	if m[4] != "" {
		e, err := strconv.ParseInt(m[4], 10, 32)
		if err != nil {
			return decimal{}, false
		}
		d.exponent += e
	}
	digits := strings.TrimLeft(m[2]+m[3], "0")
	d.digits = strings.TrimRight(digits, "0")
	if d.digits == "" {
		return decimal{}, true
	}
	d.exponent += int64(len(digits) - len(d.digits))
	return d, true
}
