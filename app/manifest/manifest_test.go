package manifest

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"carillon/app/spec"
)

func TestMistakesNameFileLineAndField(t *testing.T) {
	t.Parallel()
	const head = "kind: Automation\nname: A\n"
	for _, tt := range []struct{ name, text, want string }{
		{"unknown field", head + "tirgger: manual\n",
			`a.yaml:3: tirgger: There is no such field. Did you mean trigger?`},
		{"other spelling", head + "timeZone: UTC\n",
			`a.yaml:3: timeZone: There is no such field. Did you mean time_zone?`},
		{"unknown field within another", head + "budget:\n  day:\n    dollars: 3\n",
			`a.yaml:5: budget.day.dollars: There is no such field.`},
		{"number for a text", head + "model: 4\n",
			`a.yaml:3: model: Expected text; put it in quotes, and this is "4".`},
		{"text for a number", head + "retries: two\n",
			`a.yaml:3: retries: Expected a whole number, and this is "two".`},
		{"fraction for a whole number", head + "retries: 1.5\n",
			`a.yaml:3: retries: Expected a whole number, and this is "1.5".`},
		{"infinity", head + "timeout_minutes: .inf\n",
			`a.yaml:3: timeout_minutes: Expected a number, and this is ".inf".`},
		{"text for a switch", head + "auto_complete: maybe\n",
			`a.yaml:3: auto_complete: Expected true or false, and this is "maybe".`},
		{"text for a list", head + "toggles: code_review\n",
			`a.yaml:3: toggles: Expected a list, and this is "code_review".`},
		{"a sign that no column holds", head + `prompt: "a\0b"` + "\n",
			`a.yaml:3: prompt: This text has the sign U+0000, which cannot be stored.`},
		{"list for fields", head + "gate: [x]\n",
			`a.yaml:3: gate: Expected fields with their values, and this is a list.`},
		{"field twice", head + "name: B\n", `a.yaml:3: name: This field is there twice.`},
		{"alias", head + "prompt: &p x\nmodel: *p\n",
			"a.yaml:3: prompt: Anchors and aliases are not read here. Write the value out.\na.yaml:4: model: Anchors " +
				"and aliases"},
		{"merge", head + "<<: {prompt: x}\n", `a.yaml:3: Expected the name of a field.`},
		{"tag", head + "prompt: !!binary aGk=\n", `a.yaml:3: prompt: Tags such as !!binary are not read here.`},
		{"odd secret", head + "signature_secret: {env: X}\n",
			`a.yaml:3: signature_secret: Expected a text, or {from_env: NAME} for one from the environment.`},
		{"odd variable", head + "signature_secret: {from_env: 'A B'}\n",
			`a.yaml:3: signature_secret: "A B" is no name of an environment variable.`},
		{"no kind", "name: A\n", `a.yaml:1: kind: Say what this is: Automation, Workflow or Bot.`},
		{"other kind", "---\nkind: Robot\n",
			`a.yaml:2: kind: There is no kind "Robot". Write Automation, Workflow or Bot.`},
		{"no fields", "- a\n", `a.yaml:1: A document is fields with their values`},
		{"no YAML", head + "prompt: \"x\n",
			`a.yaml:4: This is not YAML: found unexpected end of stream while scanning a quoted scalar, which begins in line 3.`},
		{"not text", "kind: Bot\nname: \xff\n", `This is not YAML: `},
		{"the second document", head + "---\n" + head + "x: 1\n", `a.yaml:6: x: There is no such field.`},
		{"all at once", head + "x: 1\ny: 2\n---\nz: 1\n",
			"a.yaml:3: x: There is no such field.\na.yaml:4: y: There is no such field.\na.yaml:6: kind: Say"},
		{"a step", "kind: Workflow\nname: W\nsteps:\n  - kind: loop\n    steps:\n      - txt: x\n",
			`a.yaml:6: steps[0].steps[0].txt: There is no such field. Did you mean text?`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Read([]File{{"a.yaml", tt.text}}, nil)
			var mistakes Mistakes
			if !errors.As(err, &mistakes) || !strings.HasPrefix(err.Error(), tt.want) &&
				!strings.Contains(err.Error(), tt.want) {
				t.Errorf("got\n%v\nwant\n%s", err, tt.want)
			}
		})
	}
}

func TestHostileFilesEndSoon(t *testing.T) {
	t.Parallel()
	bomb := "kind: Automation\nname: A\nprompt: &a [x,x,x,x,x,x,x,x,x]\n"
	for i := range 20 {
		bomb += fmt.Sprintf("k%d: &a%d [*a%d,*a%d,*a%d,*a%d]\n", i, i+1, i, i, i, i)
	}
	for name, text := range map[string]string{
		"aliases of aliases": strings.Replace(bomb, "&a [", "&a0 [", 1),
		"deep nesting":       "kind: Workflow\nsteps: " + strings.Repeat("[", 200_000),
		"deep steps": "kind: Workflow\nsteps: " + strings.Repeat("[{steps: ", 3000) + "x" + strings.Repeat("}]",
			3000),
		"too large":          "kind: Automation\nprompt: " + strings.Repeat("x", MaxSize),
		"too many documents": strings.Repeat("kind: Bot\n---\n", MaxDocuments+1),
		"too many mistakes":  "kind: Bot\n" + strings.Repeat("a: 1\n", 10_000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Read([]File{{"a.yaml", text}}, nil)
			var mistakes Mistakes
			if !errors.As(err, &mistakes) || len(mistakes) > maxMistakes+1 {
				t.Errorf("got %d mistakes; want some, and not more than %d", len(mistakes), maxMistakes)
			}
		})
	}
}

func TestTextsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	texts := []string{
		"true", "123", "-5", "0", "007", "-0", "1e3", "99999999999999999999", "~", "null", "", "a\nb", "a\nb\n",
		" lead\nx", "x  \ny", "tab\t\nx", "\n\nx\n\n\n", "# c", "- a", ": x", "x: y", "’\u0085x", "\u2028", "{{a}}",
		"&a", "*x", "!x", "%x", "@x", "`x", "a #b", "\x07", "<<", "2026-12-24T18:00", "0 2 * * *", "\ufeffx", "---\nx",
		"x\n---\ny\n", strings.Repeat("word ", 60), "\"'", "é🎉\n",
	}
	var list []*Document
	for _, text := range texts {
		a := &spec.Automation{
			Name: text, Prompt: text + "\n" + text, Parameters: map[string]string{text: text}, Toggles: []string{text},
		}
		list = append(list, &Document{Kind: KindAutomation, Spec: a})
	}
	written, err := Write(list, nil)
	if err != nil {
		t.Fatal(err)
	}
	read, err := Read([]File{{"a.yaml", string(written)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range read {
		got, want := d.Spec.(*spec.Automation), list[i].Spec.(*spec.Automation)
		if got.Name != want.Name || got.Prompt != want.Prompt || !reflect.DeepEqual(got.Toggles, want.Toggles) ||
			!reflect.DeepEqual(got.Parameters, want.Parameters) {
			t.Errorf("%q came back as %q, %q, %q, %q", texts[i], got.Name, got.Prompt, got.Toggles, got.Parameters)
		}
	}
}

func TestValuesComeFromTheEnvironmentOfTheCaller(t *testing.T) {
	t.Parallel()
	f := File{"a.yaml", `kind: Automation
name: Audit
workspace: Scratch
trigger: http
signature_secret: {from_env: HOOK_SECRET}
parameters: {count: 3, on: true, token: {from_env: TOKEN}, other: {from_env: EMPTY}}
filter: {conditions: [{field: a.b, value: {from_env: VALUE}}]}
`}
	if got, want := Variables(f), []string{"HOOK_SECRET", "TOKEN", "EMPTY", "VALUE"}; !reflect.DeepEqual(got, want) {
		t.Errorf("variables are %q; want %q", got, want)
	}
	read, err := Read([]File{f}, map[string]string{"HOOK_SECRET": "s", "EMPTY": "", "VALUE": "v"})
	if err != nil {
		t.Fatal(err)
	}
	a := read[0].Spec.(*spec.Automation)
	if a.SignatureSecret != "s" || a.Parameters["count"] != "3" || a.Parameters["on"] != "true" ||
		a.Filter.Conditions[0].Value != "v" {
		t.Errorf("read was %+v", a)
	}
	want := []Fault{{"parameters.token", "The environment variable TOKEN is not set."},
		{"parameters.other", "The environment variable EMPTY is empty."}}
	if !reflect.DeepEqual(read[0].Faults, want) {
		t.Errorf("faults are %+v; want %+v", read[0].Faults, want)
	}
}

func TestDefaultsAreLeftOutAndWhatIsNotWrittenIsNoted(t *testing.T) {
	t.Parallel()
	a := spec.Usual(reflect.TypeFor[spec.Automation]()).Addr().Interface().(*spec.Automation)
	a.Name = "Audit"
	a.Workspace = "Scratch"
	a.Trigger = "http"
	a.Prompt = "Look.\nReport."
	a.Sender = "github"
	a.AutoComplete = false
	written, err := Write([]*Document{{Kind: KindAutomation, Spec: a}},
		[]map[string]string{{"sender": "its secret is not exported"}})
	if err != nil {
		t.Fatal(err)
	}
	want := `kind: Automation
name: Audit
workspace: Scratch
trigger: http
sender: github # its secret is not exported
prompt: |-
  Look.
  Report.
auto_complete: false
`
	if string(written) != want {
		t.Errorf("got\n%s\nwant\n%s", written, want)
	}
}

func TestTheExampleOfTheManualCanBeRead(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../views/help/files.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, ok := strings.Cut(string(text), "```yaml\n")
	example, _, closed := strings.Cut(example, "```")
	list, err := Read([]File{{"files.md", example}}, nil)
	if !ok || !closed || err != nil || len(list) != 2 {
		t.Errorf("read %d documents, %v", len(list), err)
	}
}

// The parser looks ahead to the end of a line, which took gigabytes for a line of four mebibytes.
func TestALineOfSignsIsRefusedBeforeItIsParsed(t *testing.T) {
	t.Parallel()
	for _, sign := range []string{"{{a}}", "[", "&a ", "!a ", "\"", "a: ", "'"} {
		text := "kind: Bot\nname: " + strings.Repeat(sign, (MaxSize-100)/len(sign))
		_, err := Read([]File{{"a.yaml", text}}, nil)
		if err == nil || !strings.Contains(err.Error(), "a.yaml:2: This line has over 500000 signs") {
			t.Errorf("%q again and again: %.200v", sign, err)
		}
	}
	longest := "kind: Automation\nname: A\nprompt: " + strconv.Quote(strings.Repeat("{\"", 128<<10)) + "\n"
	if _, err := Read([]File{{"a.yaml", longest}}, nil); err != nil && strings.Contains(err.Error(), "signs") {
		t.Errorf("the longest prompt in one line: %.200v", err)
	}
}
