// Package prompt has the texts that agents and scripts are given: placeholders, the values that fill them, and the
// marks round what came from outside. It knows neither rows nor runs.
package prompt

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"

	"carillon/app/shell"
)

// MaxBytes is the most bytes that a prompt may have, also with its placeholders filled.
const MaxBytes = 256 << 10

// placeholder is {{name}}, with blanks inside the braces allowed, and dots for a path into a nested value.
var placeholder = regexp.MustCompile(`\{\{[ \t]*([A-Za-z0-9_][A-Za-z0-9_.-]*)[ \t]*\}\}`)

// MaxParts is how many parts a dotted path has at most.
const MaxParts = 32

// Placeholders lists the names between braces in a prompt, each once, in their order. A prompt that is too long has
// none.
func Placeholders(prompt string) []string {
	if len(prompt) > MaxBytes {
		return nil
	}
	var names []string
	listed := map[string]bool{}
	for _, m := range placeholder.FindAllStringSubmatchIndex(prompt, -1) {
		if name := prompt[m[2]:m[3]]; !listed[name] {
			listed[name] = true
			names = append(names, name)
		}
	}
	return names
}

// Names lists what a prompt asks for: its placeholders, and for a script also the parameters that it reads by
// themselves.
func Names(prompt string, script bool) []string {
	if script && len(prompt) <= MaxBytes {
		if _, uses, err := shell.Compile(prompt); err == nil {
			return uses
		}
	}
	return Placeholders(prompt)
}

// Fill puts values in the place of a prompt's placeholders, in one pass: a value that holds {{x}} is not expanded
// again. A placeholder without a value stays as written. It ends early with a text that is longer than MaxBytes.
func Fill(prompt string, values *Values) string {
	var b strings.Builder
	for _, part := range values.Parts(prompt) {
		b.WriteString(part.Text)
	}
	return b.String()
}

// Part is a piece of a prompt.
type Part struct {
	Text   string
	Filled bool // the value of a placeholder
	Open   bool // a placeholder without a value, as it is written
}

// Parts splits a prompt into its text and what its placeholders stand for. With the part by which all are longer than
// MaxBytes it ends: no prompt is. Where a value stands between marks, the last part says what they mean.
func (v *Values) Parts(prompt string) []Part {
	marked := false
	var parts []Part
	from, size := 0, 0
	add := func(part Part) bool {
		if part.Text != "" || part.Filled {
			parts = append(parts, part)
		}
		size += len(part.Text)
		return size <= MaxBytes
	}
	for _, m := range placeholder.FindAllStringSubmatchIndex(prompt[:min(len(prompt), MaxBytes+1)], -1) {
		if !add(Part{Text: prompt[from:m[0]]}) {
			return parts
		}
		from = m[1]
		part := Part{Text: prompt[m[0]:m[1]], Open: true}
		if f := v.lookup(prompt[m[2]:m[3]]); f.ok {
			part = Part{Text: f.value, Filled: true}
			if v.outside[f.of] {
				part.Text = Fence(v.mark, f.value)
				marked = marked || part.Text != f.value
			}
		}
		if !add(part) {
			return parts
		}
	}
	if add(Part{Text: prompt[from:]}) && marked {
		add(Part{Text: FenceNote(v.mark)})
	}
	return parts
}

// Values finds values by their names and by paths into them. Each JSON text in them is read once, however many paths
// lead into it. It is not for use by several goroutines.
type Values struct {
	named   map[string]string
	found   map[string]found                      // by name
	objects map[string]map[string]json.RawMessage // by the path to them; nil for what is none

	mark    string          // of values from outside, in Parts
	outside map[string]bool // the names of those; nil: they have no marks
}

type found struct {
	value string
	of    string // the name of the value that it is in
	ok    bool
}

// ValuesOf looks into values. The map must not change meanwhile.
func ValuesOf(named map[string]string) *Values {
	return &Values{named: named, found: map[string]found{}, objects: map[string]map[string]json.RawMessage{}}
}

// Fenced has Parts put values of some names between marks; without a mark it does not.
func (v *Values) Fenced(mark string, outside []string) *Values {
	if v.mark = mark; mark == "" {
		return v
	}
	v.outside = make(map[string]bool, len(outside))
	for _, name := range outside {
		v.outside[name] = true
	}
	return v
}

// Lookup finds a value by its name, or by a dotted path of at most 32 parts into a value that is a JSON object.
func (v *Values) Lookup(name string) (string, bool) {
	f := v.lookup(name)
	return f.value, f.ok
}

func (v *Values) lookup(name string) found {
	if value, ok := v.named[name]; ok {
		return found{value, name, true}
	}
	f, known := v.found[name]
	if !known {
		if strings.Count(name, ".") < MaxParts {
			f = v.find(name)
		}
		v.found[name] = f
	}
	return f
}

func (v *Values) find(name string) found {
	for i := range len(name) {
		if name[i] != '.' {
			continue
		}
		text, ok := v.named[name[:i]]
		if !ok {
			continue
		}
		read := func() json.RawMessage { return json.RawMessage(text) }
		if raw := v.Descend(name[:i]+"\x00", read, name[i+1:]); raw != nil {
			return found{Text(raw), name[:i], true}
		}
	}
	return found{}
}

// Descend follows a dotted path into a JSON text, which has a name of its own; nil where it leads nowhere.
func (v *Values) Descend(at string, text func() json.RawMessage, path string) json.RawMessage {
	for {
		object, known := v.objects[at]
		if !known {
			if json.Unmarshal(text(), &object) != nil {
				object = nil
			}
			v.objects[at] = object
		}
		key, rest, more := strings.Cut(path, ".")
		raw, ok := object[key]
		if !ok || !more {
			return raw
		}
		at, path, text = at+key+".", rest, func() json.RawMessage { return raw }
	}
}

// Text is a JSON value as a placeholder shows it: a string as it is, null as nothing, everything else as compact JSON.
func Text(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil { // null leaves it empty
		return text
	}
	var compact bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		return string(raw)
	}
	return compact.String()
}

// Resolve splits names into those that values supply, with what they supply, and the others.
func Resolve(names []string, values *Values) (resolved map[string]string, unresolved []string) {
	resolved = make(map[string]string, len(names))
	unresolved = []string{}
	for _, name := range names {
		if v, ok := values.Lookup(name); ok {
			resolved[name] = v
		} else {
			unresolved = append(unresolved, name)
		}
	}
	return resolved, unresolved
}
