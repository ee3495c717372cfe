package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"carillon/app/api"
	"carillon/app/plan"
)

// printer prints plans for people.
type printer struct {
	w       io.Writer
	colours bool
}

// colours reports whether the output is a terminal and plain text was not requested.
func (p *program) colours() bool {
	f, ok := p.stdout.(*os.File)
	return ok && isTerminal(f) && p.getenv("NO_COLOR") == "" && p.getenv("TERM") != "dumb"
}

// The colours of a terminal.
const (
	green  = "32"
	yellow = "33"
	red    = "31"
	faint  = "2"
)

func (p printer) line(colour, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if p.colours && colour != "" {
		text = "\x1b[" + colour + "m" + text + "\x1b[0m"
	}
	fmt.Fprintln(p.w, text)
}

// plan prints the changes of a plan and the number of unchanged things.
func (p printer) plan(made *api.Plan) {
	for _, c := range made.Changes {
		if c.Action != plan.ActionUnchanged {
			p.change(c)
		}
	}
	n := made.Counts
	if n.Create+n.Update+n.Delete == 0 {
		p.line("", "Nothing to change: %d unchanged.", n.Unchanged)
		return
	}
	p.line("", "Plan: %d to create, %d to update, %d to delete, %d unchanged.", n.Create, n.Update, n.Delete,
		n.Unchanged)
}

func (p printer) change(c api.PlanChange) {
	where := "for all workspaces"
	if c.Workspace != "" {
		where = "in " + c.Workspace
	}
	sign, colour := "~", yellow
	switch c.Action {
	case plan.ActionCreate:
		sign, colour = "+", green
	case plan.ActionDelete:
		sign, colour = "-", red
	}
	p.line(colour, "%s %s “%s” %s", sign, c.Kind, printable(c.Name), printable(where))
	for _, f := range c.Fields {
		p.field(c.Action, f)
	}
	if c.Note != "" {
		p.line("", "    %s", c.Note)
	}
	fmt.Fprintln(p.w)
}

func (p printer) field(action string, f api.PlanField) {
	before, after := valueText(f.Before), valueText(f.After)
	switch name := printable(f.Field); {
	case strings.Contains(before+after, "\n"):
		p.line("", "    %s:", name)
		p.lines(before, after)
	case action == plan.ActionCreate:
		p.line("", "    %s: %s", name, after)
	case f.Before == nil:
		p.line("", "    %s: (nothing) → %s", name, after)
	case f.After == nil:
		p.line("", "    %s: %s → (nothing)", name, before)
	default:
		p.line("", "    %s: %s → %s", name, before, after)
	}
}

// contextLines is how many unchanged lines are printed before and after changed ones.
const contextLines = 2

// lines prints the changed lines between two texts, without their common beginning and end.
func (p printer) lines(before, after string) {
	was, is := linesOf(before), linesOf(after)
	head := 0
	for head < len(was) && head < len(is) && was[head] == is[head] {
		head++
	}
	tail := 0
	for tail < len(was)-head && tail < len(is)-head && was[len(was)-1-tail] == is[len(is)-1-tail] {
		tail++
	}
	show := func(colour, sign string, list []string) {
		for _, text := range list {
			p.line(colour, "      %s %s", sign, text)
		}
	}
	if head > contextLines {
		p.line(faint, "      …")
	}
	show("", " ", is[max(0, head-contextLines):head])
	show(red, "-", was[head:len(was)-tail])
	show(green, "+", is[head:len(is)-tail])
	show("", " ", is[len(is)-tail:min(len(is), len(is)-tail+contextLines)])
	if tail > contextLines {
		p.line(faint, "      …")
	}
}

func linesOf(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// applied prints the result of an applied plan, with new tokens, which are shown once.
func (p printer) applied(made *api.Plan) {
	n := made.Counts
	p.line("", "Applied: %d created, %d updated, %d deleted, %d unchanged.", n.Create, n.Update, n.Delete, n.Unchanged)
	for _, w := range made.Webhooks {
		p.line("", "Webhook URL of “%s”, shown this once: %s", printable(w.Name), w.URL)
	}
}

func valueText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case []any:
		list := make([]string, len(v))
		for i, item := range v {
			list[i] = valueText(item)
		}
		return "[" + strings.Join(list, ", ") + "]"
	case float64:
		return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.6f", v), "0"), ".")
	case string:
		return printable(v)
	default:
		return fmt.Sprint(v)
	}
}

// printable removes control characters from a text of a person.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}
