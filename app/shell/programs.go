package shell

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// program is a program that reads an argument or its standard input as code.
type program struct {
	name  string
	shell bool // its code is shell code, so that quoting for a shell helps
	// flags come before a code argument; a flag of one letter also at the end of a group: -lc.
	flags []string
	// values are flags whose next argument is a plain value; a number is how many.
	values map[string]int
	// first says that the first operand is code, unless a flag had it.
	first bool
	// all says that every operand after the first skip ones is code.
	all  bool
	skip int
	// file says that the first operand is a file of code, and without one standard input is.
	file bool
	// stdin says that standard input is code, if no argument is.
	stdin bool
	// env is the code by which it reads an environment variable, with %s for the name.
	env string
	// hint says what to write instead, with %s for the placeholder, if env does not apply.
	hint string
}

// instead says what to write in place of a placeholder in the program's code.
func (p *program) instead(placeholder, variable string) string {
	switch {
	case p.hint != "":
		return strings.NewReplacer("%s", placeholder, "PARAM_name", variable).Replace(p.hint)
	case p.shell:
		return fmt.Sprintf(`"$%s" there, with single quotes around the code so that it reaches %s as it is`, variable,
			p.name)
	}
	return fmt.Sprintf("%s there, with single quotes around the code", fmt.Sprintf(p.env, variable))
}

func one(flags ...string) map[string]int {
	m := map[string]int{}
	for _, f := range flags {
		m[f] = 1
	}
	return m
}

var (
	shellCode = program{shell: true, flags: []string{"-c"}, values: one("-o", "+o", "-O", "+O", "--rcfile",
		"--init-file"), file: true, env: `"$%s"`}
	again = program{shell: true, all: true, hint: "the command itself, without it"}

	programs = map[string]program{
		"bash": shellCode, "sh": shellCode, "dash": shellCode, "zsh": shellCode, "ksh": shellCode, "ash": shellCode,
		"fish":     shellCode,
		"eval":     again,
		"trap":     {shell: true, first: true, env: `"$%s"`},
		"alias":    {shell: true, all: true, env: `"$%s"`},
		"source":   {shell: true, first: true, hint: "the file's name, or use case to map %s to names that you know"},
		".":        {shell: true, first: true, hint: "the file's name, or use case to map %s to names that you know"},
		"su":       {shell: true, flags: []string{"-c", "--command"}, values: one("-s", "--shell"), env: `"$%s"`},
		"runuser":  {shell: true, flags: []string{"-c", "--command"}, values: one("-s", "--shell", "-u"), env: `"$%s"`},
		"script":   {shell: true, flags: []string{"-c", "--command"}, env: `"$%s"`},
		"flock":    {shell: true, flags: []string{"-c", "--command"}, env: `"$%s"`},
		"watch":    {shell: true, all: true, values: one("-n", "--interval"), env: `"$%s"`},
		"parallel": {shell: true, all: true, env: `"$%s"`},
		"at":       {shell: true, stdin: true, env: `"$%s"`},
		"batch":    {shell: true, stdin: true, env: `"$%s"`},
		"crontab":  {shell: true, stdin: true, env: `"$%s"`},
		"ssh": {shell: true, all: true, skip: 1, stdin: true,
			hint: "${PARAM_name@Q} in place of %s, which quotes it for the other shell",
			values: one("-B", "-b", "-c", "-D", "-E", "-e", "-F", "-I", "-i", "-J", "-L", "-l", "-m", "-O", "-o", "-p",
				"-Q", "-R", "-S", "-W", "-w")},

		"python": {flags: []string{"-c"}, values: one("-m", "-W", "-X"), file: true, env: `os.environ["%s"]`},
		"perl":   {flags: []string{"-e", "-E"}, values: one("-I", "-M", "-m"), file: true, env: `$ENV{%s}`},
		"ruby":   {flags: []string{"-e"}, values: one("-I", "-r"), file: true, env: `ENV["%s"]`},
		"node": {
			flags: []string{"-e", "--eval", "-p", "--print", "-pe"}, values: one("-r", "--require", "--import"),
			file: true, env: "process.env.%s",
		},
		"bun":     {flags: []string{"-e", "--eval", "-p", "--print"}, env: "process.env.%s"},
		"deno":    {flags: []string{"eval"}, env: `Deno.env.get("%s")`},
		"php":     {flags: []string{"-r", "-B", "-R", "-E"}, values: one("-d", "-c"), file: true, env: `getenv("%s")`},
		"lua":     {flags: []string{"-e"}, values: one("-l"), file: true, env: `os.getenv("%s")`},
		"rscript": {flags: []string{"-e"}, file: true, env: `Sys.getenv("%s")`},
		"tclsh":   {file: true, env: "$env(%s)"},
		"expect":  {flags: []string{"-c"}, file: true, env: "$env(%s)"},
		"awk": {first: true, flags: []string{"-e", "--source"}, env: `ENVIRON["%s"]`,
			values: one("-F", "-v", "-f", "--file", "--assign", "--field-separator")},
		"sed": {first: true, flags: []string{"-e", "--expression"}, values: one("-f", "--file", "-l"), env: "",
			hint: `another way: sed runs commands in a text to insert; use ${text//old/"%s"} of bash, or awk with ENVIRON`},
		"jq": {first: true, env: "env.%s", values: map[string]int{
			"--arg": 2, "--argjson": 2, "--slurpfile": 2, "--rawfile": 2, "--indent": 1, "-f": 1, "--from-file": 1,
			"-L": 1,
		}},
		"make": {all: true, values: one("-C", "--directory", "-f", "--file", "-j", "-l", "-o", "-W"),
			hint: `"$$PARAM_name" in the recipe in place of %s: make runs $(shell ...) in the variables that it is given`},
		"psql": {flags: []string{"-c", "--command"}, stdin: true,
			hint: `it as a variable: psql -v value="%s" <<< "select :'value'"`,
			values: one("-d", "-h", "-p", "-U", "-v", "-f", "-o", "-L", "-F", "-R", "-T", "-P", "--set", "--variable",
				"--file")},
		"mysql": {
			flags: []string{"-e", "--execute"}, stdin: true,
			hint: "a prepared statement in a program, which gets %s from its environment",
		},
		"sqlite3": {
			all: true, skip: 1, stdin: true,
			hint: `it as a parameter: sqlite3 -cmd with .parameter, or a program that gets %s from its environment`,
		},
	}

	aliases = map[string]string{"nodejs": "node", "gawk": "awk", "mawk": "awk", "nawk": "awk", "gsed": "sed",
		"gmake":   "make",
		"mariadb": "mysql", "rbash": "bash", "pypy": "python", "luajit": "lua", "Rscript": "rscript"}

	// wrappers run the command that is their operand. The flags listed take a value.
	wrappers = map[string]map[string]int{
		"sudo": one("-u", "-g", "-h", "-p", "-C", "-D", "-R", "-T", "-r", "-t"), "doas": one("-u", "-C"),
		"env": one("-u", "-C", "--unset", "--chdir"), "nohup": nil, "nice": one("-n"), "ionice": one("-c", "-n"),
		"time":    one("-f", "-o"),
		"timeout": one("-k", "-s", "--kill-after", "--signal"), "exec": one("-a"), "command": nil, "builtin": nil,
		"setsid": nil,
		"xargs":  one("-I", "-n", "-P", "-L", "-d", "-E", "-a", "-s"), "stdbuf": one("-i", "-o", "-e"),
		"strace": one("-e", "-o", "-p"),
		"chroot": nil, "unbuffer": nil, "busybox": nil, "caffeinate": nil,
	}

	// named are builtins that take names of variables, in whose index bash runs commands.
	named = map[string]map[string]int{"read": one("-p", "-d", "-n", "-N", "-t", "-u", "-i"), "unset": nil,
		"getopts": nil,
		"mapfile": one("-d", "-n", "-O", "-s", "-t", "-u"), "readarray": one("-d", "-n", "-O", "-s", "-t", "-u")}
)

// find is the program of a command's name.
func find(name string) *program {
	name = path.Base(name)
	if alias, ok := aliases[name]; ok {
		name = alias
	}
	if p, ok := programs[name]; ok {
		p.name = name
		return &p
	}
	if p, ok := programs[strings.TrimRight(name, "0123456789.")]; ok {
		p.name = name
		return &p
	}
	return nil
}

// unwrap skips sudo, env and similar programs. It returns the place of the command itself.
func (e *effort) unwrap(args []*syntax.Word) int {
	at := 0
	for at < len(args) {
		name, whole := e.static(args[at])
		values, ok := wrappers[path.Base(name)]
		if !whole || !ok {
			break
		}
		next := e.skipFlags(args, at+1, values)
		for next < len(args) && path.Base(name) == "env" {
			if text, _ := e.static(args[next]); !strings.Contains(text, "=") {
				break
			}
			next++
		}
		if path.Base(name) == "timeout" || path.Base(name) == "chroot" {
			next++
		}
		at = next
	}
	return min(at, len(args))
}

func (e *effort) skipFlags(args []*syntax.Word, at int, values map[string]int) int {
	for at < len(args) {
		text, _ := e.static(args[at])
		if text == "--" {
			return at + 1
		}
		if len(text) < 2 || text[0] != '-' {
			return at
		}
		at += 1 + values[text]
	}
	return at
}

// readsArgument finds the program that reads args[at] as code. place is the place of the parameter.
func (e *effort) readsArgument(args []*syntax.Word, at, place int) (*program, string) {
	start := e.unwrap(args)
	if at == start && at < len(args) && place <= firstTextPart(args[at]) {
		return &program{name: "bash", shell: false},
			"the value of %s would choose the command that runs: use case to map it to commands that you know"
	}
	if start >= len(args) || at <= start {
		return nil, ""
	}
	name, _ := e.static(args[start])
	if p, text := e.builtin(path.Base(name), args[start+1:], at-start-1); p != nil {
		return p, text
	}
	if p := find(name); p != nil {
		code, _ := p.arguments(e, args[start+1:])
		if slices.Contains(code, at-start-1) {
			return p, ""
		}
	}
	// find -exec, docker exec, kubectl exec --: an interpreter with its flag among the arguments.
	for i := start + 1; i < at; i++ {
		name, whole := e.static(args[i])
		if slices.Contains([]string{"-exec", "-execdir", "-ok", "-okdir"}, name) {
			return e.readsArgument(args[i+1:], at-i-1, place)
		}
		p := find(name)
		if !whole || p == nil || len(p.flags) == 0 || strings.HasPrefix(name, "-") {
			continue
		}
		inner := *p
		inner.first, inner.all, inner.file = false, false, false
		if code, _ := inner.arguments(e, args[i+1:]); slices.Contains(code, at-i-1) {
			return p, ""
		}
	}
	return nil, ""
}

// firstTextPart is the place of a word's first part that is not a quotation mark.
func firstTextPart(w *syntax.Word) int {
	if len(w.Parts) > 0 {
		if q, ok := w.Parts[0].(*syntax.DblQuoted); ok && len(q.Parts) > 0 {
			return int(q.Parts[0].Pos().Offset())
		}
	}
	return int(w.Pos().Offset())
}

// builtin recognizes builtins that evaluate the index in a variable's name.
func (e *effort) builtin(name string, args []*syntax.Word, at int) (*program, string) {
	const text = "the value of %s would name a variable and may hold code: use case to map it to names that you know"
	p := &program{name: name}
	if values, ok := named[name]; ok {
		operands := e.skipFlags(args, 0, values)
		if at >= operands {
			return p, text
		}
	}
	if at > 0 {
		before, _ := e.static(args[at-1])
		if before == "-v" && (name == "printf" || name == "test" || name == "[") {
			return p, text
		}
	}
	return nil, ""
}

// readsCode finds the program of a statement that reads its standard input as code.
func (e *effort) readsCode(stmt *syntax.Stmt) *program {
	if stmt == nil {
		return nil
	}
	e.spend(1)
	switch cmd := stmt.Cmd.(type) {
	case *syntax.BinaryCmd:
		return e.readsCode(cmd.X)
	case *syntax.TimeClause:
		return e.readsCode(cmd.Stmt)
	case *syntax.CallExpr:
		start := e.unwrap(cmd.Args)
		if start >= len(cmd.Args) {
			return nil
		}
		name, _ := e.static(cmd.Args[start])
		if path.Base(e.cmdName(cmd)) == "xargs" {
			return nil // its input is arguments
		}
		if p := find(name); p != nil {
			if _, stdin := p.arguments(e, cmd.Args[start+1:]); stdin {
				return p
			}
		}
		// docker exec -i box bash, ssh host sh -s
		for i := len(cmd.Args) - 1; i > start; i-- {
			last, _ := e.static(cmd.Args[i])
			if p := find(last); p != nil && p.shell && p.file {
				return p
			}
			if last != "-s" && last != "-" && last != "-l" {
				break
			}
		}
	}
	return nil
}

func (e *effort) cmdName(cmd *syntax.CallExpr) string {
	name, _ := e.static(first(cmd.Args))
	return name
}

// arguments tells which arguments are code, and whether standard input is.
func (p *program) arguments(e *effort, args []*syntax.Word) (code []int, stdin bool) {
	had := false
	operand := 0
	ended := false
	for i := 0; i < len(args); i++ {
		text, whole := e.static(args[i])
		if !ended && whole && text == "--" {
			ended = true
			continue
		}
		if !ended && len(text) > 1 && (text[0] == '-' || text[0] == '+' && p.values[text] > 0) ||
			slices.Contains(p.flags, text) {
			flag, _, joined := strings.Cut(text, "=")
			switch {
			case joined && slices.Contains(p.flags, flag):
				code, had = append(code, i), true
			case p.flagged(text):
				code, had = append(code, i+1), true
				i++
			case slices.ContainsFunc(p.flags, func(f string) bool {
				return len(f) == 2 && len(text) > 2 && strings.HasPrefix(text, f)
			}):
				code, had = append(code, i), true // -e'code'
			case p.shell && p.file && len(text) > 2 && text[1] != '-' && strings.HasSuffix(text, "o"):
				i++ // -euo pipefail
			case (text == "-f" || text == "--file" || text == "--from-file") && p.first:
				had = true
				i++
			default:
				i += p.values[text]
			}
			continue
		}
		switch {
		case p.all && operand >= p.skip:
			// A goal of make is no code, only a variable is.
			if p.name != "make" || text == "" || strings.Contains(text, "=") {
				code, had = append(code, i), true
			}
		case operand == 0 && p.first && !had:
			code = append(code, i)
		case operand == 0 && p.file && !had && text != "-":
			// A script's name may end with a value, but not begin with one.
			if text == "" {
				code = append(code, i)
			}
			return code, false
		case p.file && text != "-":
			return code, !had
		}
		operand++
	}
	return code, (p.stdin || p.file) && !had
}

// flagged reports whether a code argument follows.
func (p *program) flagged(text string) bool {
	if slices.Contains(p.flags, text) {
		return true
	}
	if len(text) < 3 || text[0] != '-' || text[1] == '-' || !p.file && !p.first {
		return false
	}
	return slices.ContainsFunc(p.flags, func(f string) bool {
		return len(f) == 2 && f[0] == '-' && (text[len(text)-1] == f[1] || p.file && p.shell &&
			strings.Contains(text, f[1:]))
	})
}

// static is the constant beginning of a word's text; whole reports whether all of it is constant.
func (e *effort) static(w *syntax.Word) (text string, whole bool) {
	if w == nil {
		e.spend(1)
		return "", true
	}
	e.spend(1 + len(w.Parts))
	var b strings.Builder
	whole = literal(&b, w.Parts)
	e.spend(b.Len() / 64)
	return b.String(), whole
}

func literal(b *strings.Builder, parts []syntax.WordPart) bool {
	for _, part := range parts {
		switch part := part.(type) {
		case *syntax.Lit:
			b.WriteString(strings.ReplaceAll(part.Value, `\`, ""))
		case *syntax.SglQuoted:
			b.WriteString(part.Value)
		case *syntax.DblQuoted:
			if !literal(b, part.Parts) {
				return false
			}
		default:
			return false
		}
	}
	return true
}
