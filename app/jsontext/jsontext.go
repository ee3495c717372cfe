// Package jsontext rewrites the values of a JSON text that others wrote, and leaves the rest as it is written.
package jsontext

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deeply arrays and objects may be nested. PostgreSQL reads JSON by recursion and gives up far beyond
// it.
const maxDepth = 1000

// Rewrite replaces the strings and the names of members of a JSON text by what text makes of them, decoded, and numbers
// by what number makes of them, as they are written; a number of which it makes something becomes a string. ok is false
// for what is not JSON, or is nested more deeply than a database takes; then there is no result.
func Rewrite(raw []byte, text func(string) string, number func(string) (string, bool)) (out []byte, ok bool) {
	if !json.Valid(raw) {
		return nil, false
	}
	var b bytes.Buffer
	depth, copied := 0, 0
	replace := func(from, to int, with string) {
		b.Write(raw[copied:from])
		b.Write(encoded(with))
		copied = to
	}
	for i := 0; i < len(raw); {
		switch c := raw[i]; {
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return nil, false
			}
			i++
		case c == '}' || c == ']':
			depth--
			i++
		case c == '"':
			end := stringEnd(raw, i)
			value, exact := decoded(raw[i:end])
			if changed := text(value); changed != value || !exact {
				replace(i, end, changed)
			}
			i = end
		case c == '-' || c >= '0' && c <= '9':
			end := i + 1
			for end < len(raw) && strings.IndexByte("+-.eE0123456789", raw[end]) >= 0 {
				end++
			}
			if changed, ok := number(string(raw[i:end])); ok {
				replace(i, end, changed)
			}
			i = end
		default:
			i++
		}
	}
	if copied == 0 {
		return raw, true
	}
	b.Write(raw[copied:])
	return b.Bytes(), true
}

// Storable makes of a JSON text what a jsonb column of PostgreSQL takes: without NUL and halves of surrogate pairs,
// which become the replacement character, and with numbers out of the range of its type numeric as strings. ok is as
// that of Rewrite.
func Storable(raw []byte) (out []byte, ok bool) {
	return Rewrite(raw, func(s string) string { return strings.ReplaceAll(s, "\x00", "\uFFFD") }, outOfRange)
}

// outOfRange finds a number that may not fit into PostgreSQL's numeric: 131,072 digits before the point and 16,383
// behind it. The bounds here are narrower, so that digits and exponent may each use all of theirs.
func outOfRange(number string) (string, bool) {
	const digits, most = 1000, 10_000
	mantissa, exponent, found := strings.Cut(strings.ToLower(number), "e")
	if !found {
		return number, len(mantissa) > digits
	}
	n, err := strconv.Atoi(exponent)
	return number, err != nil || n > most || n < -most || len(mantissa) > digits
}

// stringEnd is the place behind a string literal of valid JSON.
func stringEnd(raw []byte, at int) int {
	for i := at + 1; ; i++ {
		switch raw[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// decoded is the value of a string literal. exact is false where the literal may hold what no text has: half a
// surrogate pair, or bytes that are not UTF-8.
func decoded(literal []byte) (value string, exact bool) {
	within := literal[1 : len(literal)-1]
	if bytes.IndexByte(within, '\\') < 0 && utf8.Valid(within) {
		return string(within), true
	}
	_ = json.Unmarshal(literal, &value) // valid, so it cannot fail
	return value, utf8.Valid(within) && !bytes.Contains(within, []byte(`\ud`)) && !bytes.Contains(within, []byte(`\uD`))
}

func encoded(text string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a string always encodes
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
