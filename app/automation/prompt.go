package automation

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"carillon/app/shell"
)

// placeholder is {{name}}, with blanks inside the braces allowed, and dots for a path into a nested value.
var placeholder = regexp.MustCompile(`\{\{[ \t]*([A-Za-z0-9_][A-Za-z0-9_.-]*)[ \t]*\}\}`)

// Placeholders lists the names between braces in a prompt, each once, in their order.
func Placeholders(prompt string) []string {
	var names []string
	for _, m := range placeholder.FindAllStringSubmatch(prompt, -1) {
		if !slices.Contains(names, m[1]) {
			names = append(names, m[1])
		}
	}
	return names
}

// Names lists what a prompt asks for: its placeholders, and for a script also the parameters that it reads by
// themselves.
func (p Provider) Names(prompt string) []string {
	if p.Script {
		if _, uses, err := shell.Compile(prompt); err == nil {
			return uses
		}
	}
	return Placeholders(prompt)
}

// fill puts values in the place of a prompt's placeholders, in one pass: a value that holds {{x}} is not expanded
// again. A placeholder without a value stays as written.
func fill(prompt string, values map[string]string) string {
	return placeholder.ReplaceAllStringFunc(prompt, func(hole string) string {
		name := placeholder.FindStringSubmatch(hole)[1]
		if v, ok := Lookup(values, name); ok {
			return v
		}
		return hole
	})
}

// Lookup finds a value by its name, or by a dotted path into a value that is a JSON object or array.
func Lookup(values map[string]string, name string) (string, bool) {
	if v, ok := values[name]; ok {
		return v, true
	}
	for i := range name {
		if name[i] != '.' {
			continue
		}
		if text, ok := values[name[:i]]; ok {
			if v, ok := descend(text, name[i+1:]); ok {
				return v, true
			}
		}
	}
	return "", false
}

// descend follows a dotted path into a JSON text.
func descend(text, path string) (string, bool) {
	raw := json.RawMessage(text)
	for key := range strings.SplitSeq(path, ".") {
		var object map[string]json.RawMessage
		if json.Unmarshal(raw, &object) != nil {
			return "", false
		}
		next, ok := object[key]
		if !ok {
			return "", false
		}
		raw = next
	}
	return Text(raw), true
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

// resolve splits names into those that values supply, with what they supply, and the others.
func resolve(names []string, values map[string]string) (resolved map[string]string, unresolved []string) {
	resolved = make(map[string]string, len(names))
	unresolved = []string{}
	for _, name := range names {
		if v, ok := Lookup(values, name); ok {
			resolved[name] = v
		} else {
			unresolved = append(unresolved, name)
		}
	}
	return resolved, unresolved
}
