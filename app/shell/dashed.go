package shell

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Dashed writes a script anew in which names with dashes are read as what they are: ${rel-name} is the variable
// rel_name, where rel-name is one of names, and not what bash means by it, which is rel with a value to fall back on.
// $rel-name is the same. What is quoted stays. A script that cannot be read stays as it is.
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
