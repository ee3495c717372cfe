package shell

import (
	"fmt"
	"regexp"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// inspector walks a script and checks each use of a parameter with its enclosing nodes.
type inspector struct {
	*script
	*effort
	around []syntax.Node // from the file to the node itself
	found  map[int]bool  // places of placeholders that bash expands or that are in a comment
	quoted []quoted      // texts that bash does not expand
}

// quoted is a text in which nothing expands.
type quoted struct {
	from, to int
	what     string // its name for a person
	code     *program
	how      string // what to write instead
}

// inspect finds parameters that would not expand, and those whose value would be read as code.
func (s *script) inspect(file *syntax.File) {
	in := &inspector{script: s, effort: &effort{}, found: map[int]bool{}}
	syntax.Walk(file, func(n syntax.Node) bool {
		if n == nil {
			in.around = in.around[:len(in.around)-1]
			return true
		}
		in.around = append(in.around, n)
		in.visit(n)
		return true
	})
	for _, h := range s.holes {
		if !in.found[h.at] && len(s.problems) < maxProblems {
			s.problem(h.source, in.unexpanded(h))
		}
	}
}

func (in *inspector) visit(n syntax.Node) {
	switch n := n.(type) {
	case *syntax.Comment:
		from, to := int(n.Pos().Offset()), int(n.End().Offset())
		for _, h := range in.holes[in.before(from-1):] {
			if h.at >= to {
				break
			}
			in.found[h.at] = true
		}
	case *syntax.SglQuoted:
		in.spend(len(in.around))
		q := quoted{from: int(n.Pos().Offset()), to: int(n.End().Offset()), what: "between single quotes"}
		if p, text := in.code(); text == "" {
			q.code = p
		}
		in.quoted = append(in.quoted, q)
	case *syntax.Redirect:
		if n.Hdoc != nil && hasQuotes(n.Word) {
			q := quoted{
				from: int(n.Hdoc.Pos().Offset()), to: int(n.Hdoc.End().Offset()),
				what: "in a here-document with a quoted end mark",
			}
			q.how = "write the end mark after << without quotes"
			if stmt, ok := in.above(1).(*syntax.Stmt); ok {
				q.code = in.readsCode(stmt)
			}
			in.quoted = append(in.quoted, q)
		}
	case *syntax.ParamExp:
		if n.Param != nil && strings.HasPrefix(n.Param.Value, "PARAM_") {
			in.spend(len(in.around))
			name := "$" + n.Param.Value
			at := int(n.Pos().Offset())
			if h := in.hole(n); h != nil {
				name = h.text()
				in.found[h.at] = true
				h.bare = in.isBare()
			}
			if text := in.danger(n, name, n.Param.Value); text != "" {
				in.problem(in.original(at), text)
			}
		}
	case *syntax.Lit:
		in.bare(n)
	}
}

// isBare reports whether the present expansion is outside of quotes. In a here-document nothing is split, and quotes
// would be text.
func (in *inspector) isBare() bool {
	word, ok := in.above(1).(*syntax.Word)
	if !ok {
		return false // between double quotes
	}
	r, ok := in.above(2).(*syntax.Redirect)
	return !ok || r.Hdoc != word
}

// above is the node n levels above the present one.
func (in *inspector) above(n int) syntax.Node {
	if i := len(in.around) - 1 - n; i >= 0 {
		return in.around[i]
	}
	return nil
}

func hasQuotes(w *syntax.Word) bool {
	for _, part := range w.Parts {
		switch part := part.(type) {
		case *syntax.SglQuoted, *syntax.DblQuoted:
			return true
		case *syntax.Lit:
			if strings.Contains(part.Value, `\`) {
				return true
			}
		}
	}
	return false
}

// unexpanded says why a placeholder stays as it is and what to write instead.
func (in *inspector) unexpanded(h hole) string {
	for _, q := range in.quoted {
		if h.at < q.from || h.at >= q.to {
			continue
		}
		switch {
		case q.code != nil && q.code.env != "":
			return fmt.Sprintf("%s does not expand %s: write %s there", h.text(), q.what,
				fmt.Sprintf(q.code.env, h.variable))
		case q.code != nil:
			return fmt.Sprintf("%s does not expand %s: write %s", h.text(), q.what,
				q.code.instead(h.text(), h.variable))
		case q.how != "":
			return fmt.Sprintf("%s does not expand %s: %s", h.text(), q.what, q.how)
		}
		return fmt.Sprintf(
			`%s does not expand %s: use double quotes, or write '"%s"' to leave the quotes for it; for the text itself write {'{%s}'} outside of quotes`,
			h.text(), q.what, h.text(), h.name)
	}
	before := in.source[:h.source]
	switch {
	case strings.HasSuffix(before, "$"):
		return fmt.Sprintf("write %s without the dollar sign before it", h.text())
	case strings.HasSuffix(before, `\`):
		return fmt.Sprintf("%s does not expand after a backslash: remove the backslash", h.text())
	}
	return fmt.Sprintf(`%s does not expand here: put it into a variable first, value="%s", and use "$value"`, h.text(),
		h.text())
}

var parameterName = regexp.MustCompile(`\bPARAM_\w+`)

// bare finds variables that arithmetic reads without a dollar sign.
func (in *inspector) bare(n *syntax.Lit) {
	if exp, ok := in.above(1).(*syntax.ParamExp); ok && exp.Param == n {
		return
	}
	for _, m := range parameterName.FindAllStringIndex(n.Value, -1) {
		in.spend(len(in.around))
		variable := n.Value[m[0]:m[1]]
		if text := in.arithmetic("$"+variable, variable); text != "" {
			in.problem(in.original(int(n.Pos().Offset())+m[0]), text)
		}
	}
}

// danger says how bash or another program would read a value as code at n, the present node; empty: it would not.
func (in *inspector) danger(n *syntax.ParamExp, name, variable string) string {
	if n.Excl {
		return fmt.Sprintf(
			"the value of %s would choose a variable and may hold code in its index: use case to map it to names "+
				"that you know", name)
	}
	safe := false
	if n.Exp != nil && n.Exp.Op == syntax.OtherParamOps && n.Exp.Word != nil {
		switch n.Exp.Word.Lit() {
		case "P":
			return fmt.Sprintf("@P runs commands in the value of %s: leave it out", name)
		case "Q":
			safe = true // quoted for another shell
		}
	}
	if text := in.arithmetic(name, variable); text != "" {
		return text
	}
	if text := in.assigned(name, variable); text != "" {
		return text
	}
	p, text := in.code()
	if p == nil || safe && p.shell {
		return ""
	}
	if text != "" {
		return fmt.Sprintf(text, name)
	}
	return fmt.Sprintf("the value of %s would be read as code by %s: write %s", name, p.name, p.instead(name, variable))
}

// arithmetic finds the places in which bash calculates: there a value such as a[$(command)] runs.
func (in *inspector) arithmetic(name, variable string) string {
	text := fmt.Sprintf(
		`bash runs commands in a value that it calculates with: check it first, n="{{name}}"; [[ $n =~ ^[0-9]+$ ]] || exit 1, and calculate with $n in place of %s`, name)
	text = strings.Replace(text, `"{{name}}"`, `"`+name+`"`, 1)
	for i := len(in.around) - 2; i >= 0; i-- {
		child := in.around[i+1]
		switch n := in.around[i].(type) {
		case *syntax.ArithmExp, *syntax.ArithmCmd, *syntax.LetClause, *syntax.CStyleLoop:
			return text
		case *syntax.ParamExp:
			if n.Index != nil && child == n.Index || n.Slice != nil &&
				(child == n.Slice.Offset || child == n.Slice.Length) {
				return text
			}
		case *syntax.Assign:
			if n.Index != nil && child == n.Index {
				return text
			}
		case *syntax.ArrayElem:
			if n.Index != nil && child == n.Index {
				return text
			}
		case *syntax.BinaryTest:
			switch n.Op {
			case syntax.TsEql, syntax.TsNeq, syntax.TsLeq, syntax.TsGeq, syntax.TsLss, syntax.TsGtr:
				if child == n.X || child == n.Y {
					return fmt.Sprintf(
						`[[ %s ]] calculates, and bash runs commands in a value that it calculates with: use [ "%s" %s ... ], which does not`, n.Op, name, n.Op)
				}
			}
		case *syntax.UnaryTest:
			if n.Op == syntax.TsVarSet || n.Op == syntax.TsRefVar {
				return fmt.Sprintf(
					"[[ %s ]] runs commands in the value of %s: use case to map it to names that you know", n.Op, name)
			}
		case *syntax.CmdSubst, *syntax.ProcSubst, *syntax.CallExpr:
			return "" // the output of a command is the author's responsibility
		}
	}
	return ""
}

func (in *inspector) assigned(name, variable string) string {
	for i := len(in.around) - 2; i >= 0; i-- {
		switch n := in.around[i].(type) {
		case *syntax.CmdSubst, *syntax.ProcSubst:
			return ""
		case *syntax.Assign:
			if n.Name != nil && LoadsCode(n.Name.Value) {
				return fmt.Sprintf(
					"the value of %s would decide which code runs, by the variable %s: set it to a text of your own",
					name, n.Name.Value)
			}
			decl, ok := in.around[i-1].(*syntax.DeclClause)
			if !ok {
				return ""
			}
			if n.Naked {
				return fmt.Sprintf(
					"the value of %s would name a variable and may hold code: write the variable's name, and the "+
						"value after =", name)
			}
			in.spend(len(decl.Args) / 8)
			for _, a := range decl.Args {
				if a.Naked && a.Value != nil && strings.HasPrefix(a.Value.Lit(), "-") &&
					strings.ContainsAny(a.Value.Lit(), "in") {
					return fmt.Sprintf("%s %s evaluates the value of %s: leave the option out", decl.Variant.Value,
						a.Value.Lit(), name)
				}
			}
			return ""
		}
	}
	return ""
}

// code finds the program that would read the present node as code, and a text in place of the program's usual one.
func (in *inspector) code() (*program, string) {
	for i := len(in.around) - 2; i >= 0; i-- {
		child := in.around[i+1]
		switch n := in.around[i].(type) {
		case *syntax.CallExpr:
			// printf %q quotes for the shell that reads it again.
			if name, _ := in.static(first(n.Args)); name == "printf" && len(n.Args) > 1 {
				if format, _ := in.static(n.Args[1]); strings.Contains(format, "%q") && child != n.Args[1] {
					if p, text := in.outer(i); p != nil && !p.shell {
						return p, text
					}
					return nil, ""
				}
			}
			in.spend(len(n.Args) / 8)
			for at, arg := range n.Args {
				if child == arg {
					if p, text := in.readsArgument(n.Args, at, int(in.around[len(in.around)-1].Pos().
						Offset())); p != nil {
						return p, text
					}
				}
			}
		case *syntax.Redirect:
			if i == 0 {
				continue
			}
			if stmt, ok := in.around[i-1].(*syntax.Stmt); ok && (child == n.Hdoc || n.Op == syntax.WordHdoc &&
				child == n.Word) {
				if p := in.readsCode(stmt); p != nil {
					return p, ""
				}
			}
		case *syntax.BinaryCmd:
			if (n.Op == syntax.Pipe || n.Op == syntax.PipeAll) && child == n.X {
				if p := in.readsCode(n.Y); p != nil {
					return p, ""
				}
			}
		}
	}
	return nil, ""
}

// outer continues the search one level further out.
func (in *inspector) outer(level int) (*program, string) {
	return (&inspector{script: in.script, effort: in.effort, around: in.around[:level+1]}).code()
}

func first(args []*syntax.Word) *syntax.Word {
	if len(args) == 0 {
		return nil
	}
	return args[0]
}
