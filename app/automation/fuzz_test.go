package automation

import (
	"strings"
	"testing"
	"unicode/utf8"

	"carillon/db"
)

// FuzzCall reads calls as senders make them. What is accepted can be kept in a row, and fills a prompt in one pass.
func FuzzCall(f *testing.F) {
	f.Add("a=1&a=2;b", "application/json", []byte(`{"a": {"b": [1, "x"]}, "c": "\u0000"}`),
		"Look at {{a.b.0}} and {{c}}.")
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
		resolved, unresolved := resolve(names, ValuesOf(values))
		if len(resolved)+len(unresolved) != len(names) {
			t.Errorf("of %q %d are resolved and %d are not", names, len(resolved), len(unresolved))
		}
		filled := fill(prompt, ValuesOf(resolved))
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

// FuzzWorkflow fills in the texts of steps, and walks through them with answers as agents write them.
func FuzzWorkflow(f *testing.F) {
	f.Add("Mend $depth of ${depth-2} with $token and $$x.", "depth", "$token", "depth-2", "a\n$depth", "all FINE now",
		"FINE", uint8(3))
	f.Add("${", "a", "", "", "x", "", "", uint8(0))
	f.Add("$a$aa${aa}", "a", "1", "aa", "2", "completed", "x", uint8(255))
	f.Fuzz(func(t *testing.T, text, one, first, other, second, answer, marker string, rounds uint8) {
		values := map[string]string{one: first, other: second}
		filled := Expand(text, values)
		if !strings.Contains(text, "$") && filled != text {
			t.Errorf("%q became %q without an alias", text, filled)
		}
		if plain := Expand(text, nil); plain != text {
			t.Errorf("%q became %q without values", text, plain)
		}
		if limit := (len(text) + 1) * (1 + len(first) + len(second)); len(filled) > limit {
			t.Errorf("%q became %d bytes", text, len(filled))
		}
		if _, again := Expand(text, values), ScriptText(text, values); !utf8.ValidString(again) &&
			utf8.ValidString(text) {
			t.Errorf("%q is the script %q", text, again)
		}
		loop := db.Step{
			Kind: db.LoopStep, Marker: marker, Max: int(rounds), Steps: []db.Step{{Kind: db.MessageStep, Text: text},
				{Kind: db.CompleteStep}},
		}
		w := walk{answers: []string{answer, answer, answer, answer}}
		w.all([]db.Step{loop, {Kind: db.MessageStep}}, nil, 0)
		if len(w.list) > len(w.answers)+1 {
			t.Errorf("%d steps are begun with %d answers", len(w.list), len(w.answers))
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
		values, payload, problem := readParameters(Call{ContentType: "application/json", Body: body})
		if problem != "" {
			return
		}
		c := db.Condition{Field: field, Operator: operator, Value: value}
		one, why := matches(db.Filter{Any: any, Conditions: []db.Condition{c}}, values, payload)
		if one == (why != "") {
			t.Errorf("it matches %t because %q", one, why)
		}
		both, _ := matches(db.Filter{Any: any, Conditions: []db.Condition{c, c}}, values, payload)
		if both != one {
			t.Errorf("a condition that is there twice gives %t; once it gives %t", both, one)
		}
	})
}
