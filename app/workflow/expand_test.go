package workflow

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"carillon/db"
)

func TestExpandTakesTheLongestAliasInOnePass(t *testing.T) {
	values := map[string]string{"date": "D", "datetime": "DT", "a": "$b", "b": "B", "session-id": "S", "empty": ""}
	for text, want := range map[string]string{
		"$date $datetime ${date}time": "D DT Dtime", "$a ${b}": "$b B",
		"$session-id/$none ${none} $": "S/$none ${none} $", "[$empty]": "[]", "$$b": "$B",
	} {
		if got := Expand(text, values); got != want {
			t.Errorf("%q became %q; want %q", text, got, want)
		}
	}
}

func TestExpansionOfATextEndsAtItsBound(t *testing.T) {
	t.Parallel()
	const long = 128 << 10
	value := strings.Repeat("x", 1<<20)
	values := map[string]string{"a": value}
	if got := Expand(strings.Repeat("$a", long), values); len(got) > maxExpanded+len(value)+2*long {
		t.Errorf("it became %d bytes", len(got))
	}
}

// slowExpand is what Expand does, by trying each name at each place.
func slowExpand(text string, values map[string]string) string {
	names := slices.SortedFunc(maps.Keys(values), func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	var b strings.Builder
next:
	for text != "" {
		if text[0] == '$' {
			for _, name := range names {
				for _, form := range []string{"$" + name, "${" + name + "}"} {
					if strings.HasPrefix(text, form) {
						b.WriteString(values[name])
						text = text[len(form):]
						continue next
					}
				}
			}
		}
		b.WriteByte(text[0])
		text = text[1:]
	}
	return b.String()
}

func FuzzExpand(f *testing.F) {
	f.Add("$a $ab ${ab} ${abc} ${a $ba$", "a", "ab", "b")
	f.Add("$${a}${", "$", "a", "{")
	f.Fuzz(func(t *testing.T, text, a, b, c string) {
		values := map[string]string{}
		for _, name := range []string{a, b, c, a + b, a + b + c} {
			if name != "" && !strings.ContainsAny(name, "{}") {
				values[name] = "<" + name + ">"
			}
		}
		if got, want := Expand(text, values), slowExpand(text, values); got != want {
			t.Errorf("%q with %q became %q; want %q", text, values, got, want)
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
