package payload

import (
	"strings"
	"testing"
	"unicode/utf8"

	"carillon/app/form"
	"carillon/app/prompt"
	"carillon/db"
)

// FuzzCall reads calls as senders make them. What is accepted can be kept in a row, and fills a prompt in one pass.
func FuzzCall(f *testing.F) {
	f.Add("a=1&a=2;b", "application/json", []byte(`{"a": {"b": [1, "x"]}, "c": "\u0000"}`),
		"Look at {{a.b.0}} and {{c}}.")
	f.Add("", "application/x-www-form-urlencoded", []byte("payload=%7B%22a%22%3A1%7D"), "{{a}}{{ a }}{{payload}}")
	f.Add("%zz", "multipart/form-data; boundary=x", []byte("--x\r\n"), "{{}}{{{a}}}")
	f.Add("", "text/plain", []byte("\xef\xbb\xbf{}"), "{{a}}")
	f.Fuzz(func(t *testing.T, query, kind string, body []byte, text string) {
		values, whole, problem := Read(Call{Query: query, ContentType: kind, Body: body})
		if problem != "" {
			if values != nil || whole != "" {
				t.Errorf("it is refused (%s), and has %v", problem, values)
			}
			return
		}
		for name, value := range values {
			if !form.Storable(name) || !form.Storable(value) {
				t.Errorf("the parameter %q is %q, which no row takes", name, value)
			}
		}
		if !utf8.ValidString(text) {
			return
		}
		names := prompt.Placeholders(text)
		resolved, unresolved := prompt.Resolve(names, prompt.ValuesOf(values))
		if len(resolved)+len(unresolved) != len(names) {
			t.Errorf("of %q %d are resolved and %d are not", names, len(resolved), len(unresolved))
		}
		filled := prompt.Fill(text, prompt.ValuesOf(resolved))
		if len(names) == 0 && filled != text {
			t.Errorf("%q became %q without a placeholder", text, filled)
		}
		for _, name := range unresolved {
			if !strings.Contains(filled, name) {
				t.Errorf("%q became %q, which lost the unresolved %q", text, filled, name)
			}
		}
	})
}

// FuzzFilter looks for the fields of a filter in payloads as senders make them.
func FuzzFilter(f *testing.F) {
	f.Add("action", OpEquals, "opened", []byte(`{"action":"opened","a":{"b":[1,null]}}`), true)
	f.Add("a.b.0", OpContains, "1", []byte(`{"a":{"b":[1,null]}}`), false)
	f.Add("..", OpAbsent, "", []byte(`{"":{"":{"":1}}}`), false)
	f.Add("x", "matches", "(", []byte(`{"x":"("}`), true)
	f.Fuzz(func(t *testing.T, field, operator, value string, body []byte, any bool) {
		values, whole, problem := Read(Call{ContentType: "application/json", Body: body})
		if problem != "" {
			return
		}
		c := db.Condition{Field: field, Operator: operator, Value: value}
		one, why := Matches(db.Filter{Any: any, Conditions: []db.Condition{c}}, values, whole)
		if one == (why != "") {
			t.Errorf("it matches %t because %q", one, why)
		}
		both, _ := Matches(db.Filter{Any: any, Conditions: []db.Condition{c, c}}, values, whole)
		if both != one {
			t.Errorf("a condition that is there twice gives %t; once it gives %t", both, one)
		}
	})
}
