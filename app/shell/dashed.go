package shell

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Dashed rewrites a script in which names may contain dashes: if rel-name is one of names, ${rel-name} and $rel-name
// become the variable rel_name, and not rel with a default value as in bash. Quoted text and scripts that cannot be
// parsed are unchanged.
func Dashed(script string, names []string) string {
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !strings.Contains(n, "-") })
	if len(names) == 0 {
		return script
	}
	slices.SortFunc(names, func(a, b string) int { return len(b) - len(a) }) // the longest first
	file, err := parse(script)
	if err != nil {
		return script
	}
	type place struct {
		from, to int
		name     string
	}
	var places []place
	syntax.Walk(file, func(n syntax.Node) bool {
		p, ok := n.(*syntax.ParamExp)
		if !ok || p.Param == nil {
			return true
		}
		from, to := int(p.Pos().Offset()), int(p.End().Offset())
		if from < 0 || to > len(script) || from >= to {
			return true
		}
		for _, name := range names {
			switch {
			case p.Short && script[from:to] == "$"+p.Param.Value && strings.HasPrefix(script[from+1:], name) &&
				strings.HasPrefix(name, p.Param.Value+"-"):
				places = append(places, place{from, from + 1 + len(name), name})
				return true
			case !p.Short && script[from:to] == "${"+name+"}":
				places = append(places, place{from, to, name})
				return false
			}
		}
		return true
	})
	var b strings.Builder
	at := 0
	for _, p := range places {
		if p.from < at {
			continue
		}
		b.WriteString(script[at:p.from])
		b.WriteString("${" + strings.ReplaceAll(p.name, "-", "_") + "}")
		at = p.to
	}
	return b.String() + script[at:]
}
