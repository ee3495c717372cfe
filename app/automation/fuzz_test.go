package automation

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzCall reads calls as senders make them. What is accepted can be kept in a row, and fills a prompt in one pass.
func FuzzCall(f *testing.F) {
	f.Add("a=1&a=2;b", "application/json", []byte(`{"a": {"b": [1, "x"]}, "c": "\u0000"}`), "Look at {{a.b.0}} and {{c}}.")
	f.Add("", "application/x-www-form-urlencoded", []byte("payload=%7B%22a%22%3A1%7D"), "{{a}}{{ a }}{{payload}}")
	f.Add("%zz", "multipart/form-data; boundary=x", []byte("--x\r\n"), "{{}}{{{a}}}")
	f.Add("", "text/plain", []byte("\xef\xbb\xbf{}"), "{{a}}")
	f.Fuzz(func(t *testing.T, query, kind string, body []byte, prompt string) {
		values, payload, problem := readParameters(Call{Query: query, ContentType: kind, Body: body})
		if problem != "" {
			if values != nil || payload != "" {
				t.Errorf("it is refused (%s), and has %v", problem, values)
			}
			return
		}
		for name, value := range values {
			if !storable(name) || !storable(value) {
				t.Errorf("the parameter %q is %q, which no row takes", name, value)
			}
		}
		if !utf8.ValidString(prompt) {
			return
		}
		names := Placeholders(prompt)
		resolved, unresolved := resolve(names, values)
		if len(resolved)+len(unresolved) != len(names) {
			t.Errorf("of %q %d are resolved and %d are not", names, len(resolved), len(unresolved))
		}
		filled := fill(prompt, resolved)
		if len(names) == 0 && filled != prompt {
			t.Errorf("%q became %q without a placeholder", prompt, filled)
		}
		for _, name := range unresolved {
			if !strings.Contains(filled, name) {
				t.Errorf("%q became %q, which lost the unresolved %q", prompt, filled, name)
			}
		}
	})
}
