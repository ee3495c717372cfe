package automation

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"carillon/app/provider"
	"carillon/db"
)

func TestAPromptThatIsTooLongHasNoPlaceholders(t *testing.T) {
	t.Parallel()
	prompt := strings.Repeat("{{a}}", MaxPrompt)
	for _, p := range []provider.Provider{{}, {Script: true}} {
		if names := namesIn(p, prompt); names != nil {
			t.Errorf("a prompt of %d bytes has %d", len(prompt), len(names))
		}
	}
}

// allocated is how many pieces of memory something takes.
func allocated(do func()) float64 { return testing.AllocsPerRun(1, do) }

func TestAPathOfManyPartsLeadsNowhereAndReadsNothing(t *testing.T) {
	const deep = 1000
	values := map[string]string{"a": strings.Repeat(`{"a":`, deep) + "1" + strings.Repeat("}", deep)}
	path := strings.Repeat("a.", 31) + "a"
	if _, ok := ValuesOf(values).Lookup(path); !ok {
		t.Error("a path of 32 parts leads nowhere")
	}
	if value, ok := ValuesOf(values).Lookup(path + ".a"); ok {
		t.Errorf("a path of 33 parts leads to %d bytes", len(value))
	}
	long := strings.Repeat("a.", deep) + "a"
	f := db.Filter{Conditions: slices.Repeat([]db.Condition{{Field: long, Operator: OpAbsent}}, maxConditions)}
	if n := allocated(func() { matches(f, values, values["a"]) }); n > 100 {
		t.Errorf("a filter with paths of %d parts took %v pieces of memory", deep, n)
	}
}

func TestValuesAreReadOnceHoweverManyPathsLeadIntoThem(t *testing.T) {
	var fields, names []string
	for i := range 500 {
		fields = append(fields, fmt.Sprintf(`"f%d":{"x":%d}`, i, i))
		names = append(names, fmt.Sprintf("object.f%d.x", i))
	}
	values := map[string]string{"object": "{" + strings.Join(fields, ",") + "}"}
	n := allocated(func() {
		if _, unresolved := resolve(names, ValuesOf(values)); len(unresolved) > 0 {
			t.Errorf("nothing for %q", unresolved)
		}
	})
	if n > 500*60 { // read anew for each name it would be 500 times 500
		t.Errorf("500 paths into one text took %v pieces of memory", n)
	}
}

func TestFillingEndsWhereAPromptWouldBeTooLong(t *testing.T) {
	t.Parallel()
	value := strings.Repeat("x", 1<<20)
	for _, prompt := range []string{strings.Repeat("{{a}}", MaxPrompt/5), strings.Repeat("{", MaxPrompt),
		strings.Repeat("{{", MaxPrompt/8) + strings.Repeat("{{b}}", MaxPrompt/8)} {
		values := ValuesOf(map[string]string{"a": value, "b": ""})
		if got := fill(prompt, values); len(got) > 2*MaxPrompt+len(value) {
			t.Errorf("%.10s became %d bytes", prompt, len(got))
		}
		if parts := values.Parts(prompt); len(parts) > len(prompt)/2 {
			t.Errorf("%.10s has %d parts", prompt, len(parts))
		}
	}
}

func TestAScriptIsParsedOnceHoweverManyListsShowIt(t *testing.T) {
	t.Parallel()
	s := &Service{Providers: &provider.Service{List: func() []provider.Provider {
		return []provider.Provider{{ID: "shell", Script: true}, {ID: "agent"}}
	}}}
	for range 100 {
		if names := s.Names("shell", `echo {{x}} "$PARAM_y"`); !slices.Equal(names, []string{"x", "y"}) {
			t.Errorf("got %q", names)
		}
		if names := s.Names("agent", "echo {{x}} $PARAM_y"); !slices.Equal(names, []string{"x"}) {
			t.Errorf("got %q", names)
		}
	}
	if s.scripts.parsed != 1 {
		t.Errorf("one script was parsed %d times", s.scripts.parsed)
	}
	for i := range maxScripts + 10 {
		s.scripts.of(fmt.Sprint(i), func(script string) []string { return make([]string, 50) })
	}
	if len(s.scripts.known) > maxScripts || s.scripts.names > maxScriptNames ||
		s.scripts.names != 50*len(s.scripts.known) {
		t.Errorf("%d scripts with %d names are kept", len(s.scripts.known), s.scripts.names)
	}
}
