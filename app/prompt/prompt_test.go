package prompt

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestAPromptThatIsTooLongHasNoPlaceholders(t *testing.T) {
	t.Parallel()
	prompt := strings.Repeat("{{a}}", MaxBytes)
	for _, script := range []bool{false, true} {
		if names := Names(prompt, script); names != nil {
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
	if n := allocated(func() { ValuesOf(values).Lookup(long) }); n > 10 {
		t.Errorf("a path of %d parts took %v pieces of memory", deep, n)
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
		if _, unresolved := Resolve(names, ValuesOf(values)); len(unresolved) > 0 {
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
	for _, prompt := range []string{strings.Repeat("{{a}}", MaxBytes/5), strings.Repeat("{", MaxBytes),
		strings.Repeat("{{", MaxBytes/8) + strings.Repeat("{{b}}", MaxBytes/8)} {
		values := ValuesOf(map[string]string{"a": value, "b": ""})
		if got := Fill(prompt, values); len(got) > 2*MaxBytes+len(value) {
			t.Errorf("%.10s became %d bytes", prompt, len(got))
		}
		if parts := values.Parts(prompt); len(parts) > len(prompt)/2 {
			t.Errorf("%.10s has %d parts", prompt, len(parts))
		}
	}
}

func TestAScriptIsParsedOnceHoweverManyListsShowIt(t *testing.T) {
	t.Parallel()
	var s ScriptNames
	for range 100 {
		if names := s.Of(`echo {{x}} "$PARAM_y"`); !slices.Equal(names, []string{"x", "y"}) {
			t.Errorf("got %q", names)
		}
	}
	if s.parsed != 1 {
		t.Errorf("one script was parsed %d times", s.parsed)
	}
	var uses strings.Builder
	for i := range 50 {
		fmt.Fprintf(&uses, " {{a%d}}", i)
	}
	for i := range maxScriptNames/50 + 10 {
		s.Of(fmt.Sprint("echo ", i, uses.String()))
	}
	if len(s.known) > maxScripts || s.names > maxScriptNames || s.names != 50*len(s.known) {
		t.Errorf("%d scripts with %d names are kept", len(s.known), s.names)
	}
}

func TestPlaceholdersShowValuesAsTheyAre(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"text": "a b", "object": `{"n": 1.50, "list": [1, "x"], "deep": {"yes": true, "none": null}}`,
	}
	for name, want := range map[string]string{
		"text": "a b", "object.n": "1.50", "object.list": `[1,"x"]`, "object.deep.yes": "true", "object.deep.none": "",
		"object.deep": `{"yes":true,"none":null}`,
	} {
		if got, ok := ValuesOf(values).Lookup(name); !ok || got != want {
			t.Errorf("{{%s}} is %q, %t; want %q", name, got, ok, want)
		}
	}
	for _, name := range []string{"nothing", "text.x", "object.missing", "object.n.x"} {
		if got, ok := ValuesOf(values).Lookup(name); ok {
			t.Errorf("{{%s}} is %q; want it unresolved", name, got)
		}
	}
}
