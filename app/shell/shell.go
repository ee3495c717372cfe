// Package shell makes bash scripts from scripts with placeholders. It knows nothing of who runs them.
//
// A value never becomes code: {{name}} turns into the variable ${PARAM_name} before bash reads the script, so the bytes
// that bash reads are the same for every value. A placeholder outside of quotes is put into quotes, so that its value
// is one word, or a part of one, letter for letter. Check refuses placeholders in places where a variable does not
// expand, or where its value would be read as code after all.
package shell

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"mvdan.cc/sh/v3/syntax"
)

// Problem is a problem of a script, as the end of a sentence for its author. Line and Column count from 1, columns in
// characters.
type Problem struct {
	Line, Column int
	Text         string
}

// Invalid is the error of a script that cannot be used, with its problems.
type Invalid []Problem

func (v Invalid) Error() string {
	first := fmt.Sprintf("line %d: %s", v[0].Line, v[0].Text)
	if len(v) > 1 {
		return fmt.Sprintf("%s (and %d more)", first, len(v)-1)
	}
	return first
}

// Variable is the variable that holds a parameter's value: PARAM_ and the name, with an underscore
// for every byte that a variable's name cannot have. pull_request.title is PARAM_pull_request_title.
func Variable(name string) string {
	b := []byte("PARAM_" + name)
	for i, c := range b {
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			b[i] = '_'
		}
	}
	return string(b)
}

// Check returns the problems of a script, in the order of the script; none if it can be used.
func Check(script string) []Problem {
	s := read(script)
	return s.problems
}

// Compile returns the script for bash, and the names of the parameters that it uses, each once, in their order: those
// of placeholders, and x for a variable PARAM_x that the script reads itself. Two names are the same parameter if they
// have the same Variable. The error is an Invalid.
func Compile(script string) (compiled string, uses []string, err error) {
	s := read(script)
	if len(s.problems) > 0 {
		return "", nil, Invalid(s.problems)
	}
	return s.quoted, s.uses, nil
}

// placeholder is a name of letters, digits and _ . - between two pairs of braces. It leaves alone
// what other programs mean by braces: {{.Names}}, {{json .}}.
var placeholder = regexp.MustCompile(`\{\{[ \t]*([A-Za-z0-9_][A-Za-z0-9_.-]*)[ \t]*\}\}`)

// hole is a placeholder in a script.
type hole struct {
	name, variable string
	source, length int  // in the source
	at             int  // of ${PARAM_name} in the compiled script
	bare           bool // bash would split its value into words and expand them as patterns
}

func (h *hole) text() string { return "{{" + h.name + "}}" }

func (h *hole) end() int { return h.at + len(h.variable) + len("${}") }

// script is a script being read.
type script struct {
	source, compiled string
	quoted           string // the script for bash: compiled, with bare placeholders in quotes
	holes            []hole
	uses             []string
	problems         []Problem
}

func read(source string) *script {
	s := &script{source: strings.ReplaceAll(source, "\r\n", "\n")} // line ends of forms in browsers
	if len(s.source) <= MaxScript {
		s.fill()
	}
	if s.outOfBounds() {
		return s
	}
	if at := strings.IndexFunc(s.source, func(r rune) bool { return r == 0 }); at >= 0 {
		s.problem(at, "a NUL byte: bash cannot read it")
	}
	if !utf8.ValidString(s.source) {
		s.problem(len(s.source)-len(strings.TrimLeftFunc(s.source, func(r rune) bool {
			return r != utf8.RuneError
		})), "not UTF-8 text")
	}
	if len(s.problems) > 0 {
		return s
	}
	file, err := parse(s.compiled, syntax.KeepComments(true))
	if err != nil {
		s.syntaxError(err)
		return s
	}
	s.collect(file)
	if !within(func() { s.inspect(file) }) {
		s.problem(0, tooMuch)
	}
	s.quote()
	slices.SortStableFunc(s.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return s
}

// fill replaces the placeholders by variables.
func (s *script) fill() {
	var b strings.Builder
	from := 0
	names := map[string]string{}
	for _, m := range placeholder.FindAllStringSubmatchIndex(s.source, -1) {
		b.WriteString(s.source[from:m[0]])
		h := hole{name: s.source[m[2]:m[3]], source: m[0], length: m[1] - m[0], at: b.Len()}
		h.variable = Variable(h.name)
		fmt.Fprintf(&b, "${%s}", h.variable)
		from = m[1]
		s.holes = append(s.holes, h)
		if other, ok := names[h.variable]; ok && other != h.name {
			s.problem(h.source, fmt.Sprintf("%s and {{%s}} would be the same variable, %s: rename one of them",
				h.text(), other, h.variable))
		} else {
			names[h.variable] = h.name
		}
	}
	b.WriteString(s.source[from:])
	s.compiled = b.String()
}

// quote puts each placeholder outside of quotes into quotes, so that its value is one word.
func (s *script) quote() {
	var b strings.Builder
	from := 0
	for _, h := range s.holes {
		if h.bare {
			b.WriteString(s.compiled[from:h.at] + `"` + s.compiled[h.at:h.end()] + `"`)
			from = h.end()
		}
	}
	b.WriteString(s.compiled[from:])
	s.quoted = b.String()
}

func (s *script) syntaxError(err error) {
	var parse syntax.ParseError
	var lang syntax.LangError
	at, text := 0, err.Error()
	switch {
	case errors.As(err, &parse):
		at, text = int(parse.Pos.Offset()), parse.Text
	case errors.As(err, &lang):
		at, text = int(lang.Pos.Offset()), fmt.Sprintf("%s: not a feature of bash", lang.Feature)
	}
	text = s.inSource(text)
	s.problem(s.original(at), "syntax error: "+text)
}

// variableText is ${PARAM_name} in a message of the parser.
var variableText = regexp.MustCompile(`\$\{(PARAM_\w+)\}`)

// inSource writes the placeholders in a message in the author's form.
func (s *script) inSource(text string) string {
	return variableText.ReplaceAllStringFunc(text, func(variable string) string {
		if i := slices.IndexFunc(s.holes, func(h hole) bool { return "${"+h.variable+"}" == variable }); i >= 0 {
			return s.holes[i].text()
		}
		return variable
	})
}

// before is how many holes begin at a place of the compiled script or before it.
func (s *script) before(at int) int {
	return sort.Search(len(s.holes), func(i int) bool { return s.holes[i].at > at })
}

// original gives the place in the source for a place in the compiled script.
func (s *script) original(at int) int {
	i := s.before(at)
	if i == 0 {
		return at
	}
	if h := s.holes[i-1]; at >= h.end() {
		return h.source + h.length + at - h.end()
	}
	return s.holes[i-1].source
}

// problem records a problem at a place in the source, up to maxProblems.
func (s *script) problem(at int, text string) {
	if len(s.problems) >= maxProblems {
		return
	}
	before := s.source[:min(at, len(s.source))]
	line := before[strings.LastIndexByte(before, '\n')+1:]
	p := Problem{Line: strings.Count(before, "\n") + 1, Column: utf8.RuneCountInString(line) + 1, Text: text}
	if !slices.Contains(s.problems, p) {
		s.problems = append(s.problems, p)
	}
}

// collect lists the variables that the script uses and does not set.
func (s *script) collect(file *syntax.File) {
	type use struct {
		at   int
		name string
	}
	var all []use
	set := map[string]bool{}
	read := func(variable string, pos syntax.Pos) {
		if name, ok := strings.CutPrefix(variable, "PARAM_"); ok && name != "" {
			all = append(all, use{int(pos.Offset()), name})
		}
	}
	mentioned := func(text string, pos syntax.Pos) {
		for _, variable := range parameterName.FindAllString(text, -1) {
			read(variable, pos)
		}
	}
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.SglQuoted: // code for another program, which reads its environment
			mentioned(n.Value, n.Pos())
		case *syntax.Lit:
			mentioned(n.Value, n.Pos())
		case *syntax.Assign:
			if n.Name != nil && (n.Value != nil || n.Array != nil) {
				set[n.Name.Value] = true
			}
		case *syntax.ForClause:
			if iter, ok := n.Loop.(*syntax.WordIter); ok && iter.Name != nil {
				set[iter.Name.Value] = true
			}
		}
		return true
	})
	for _, h := range s.holes {
		all = append(all, use{h.at, h.name})
	}
	slices.SortFunc(all, func(a, b use) int { return cmp.Compare(a.at, b.at) })
	known, written := map[string]bool{}, map[string]bool{}
	for _, h := range s.holes {
		known[h.variable] = true // the name in the placeholder has priority
		written[h.name] = true
	}
	listed := map[string]bool{}
	for _, u := range all {
		v := Variable(u.name)
		direct := !written[u.name]
		if listed[v] || direct && (known[v] || set[v]) {
			continue
		}
		listed[v] = true
		s.uses = append(s.uses, u.name)
	}
}

// hole finds the placeholder of a variable; nil: the author wrote the variable.
func (s *script) hole(n *syntax.ParamExp) *hole {
	at := int(n.Pos().Offset())
	if i := s.before(at); i > 0 && s.holes[i-1].at == at {
		return &s.holes[i-1]
	}
	return nil
}
