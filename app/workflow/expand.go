package workflow

import (
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"carillon/app/shell"
)

// maxExpanded is the length from which Expand leaves a text as it is written.
const maxExpanded = 4 << 20

// Expand puts values in place of $alias and ${alias} in a text, the longest alias first, in one pass: a value that
// holds $alias is not expanded again. What names no value stays as written, and so does what comes after 4 MiB of text.
func Expand(text string, values map[string]string) string {
	if strings.IndexByte(text, '$') < 0 {
		return text
	}
	names := aliasesOf(values)
	var b strings.Builder
	brace := -1 // the next closing brace, where it has been looked for
	for at := 0; at < len(text); {
		next := strings.IndexByte(text[at:], '$')
		if next < 0 || b.Len() > maxExpanded {
			b.WriteString(text[at:])
			break
		}
		b.WriteString(text[at : at+next])
		at += next
		value, length := "$", 1
		if name, ok := names.longest(text[at+1:]); ok {
			value, length = values[name], 1+len(name)
		}
		if strings.HasPrefix(text[at+1:], "{") {
			if brace < at && brace < len(text) {
				if brace = strings.IndexByte(text[at:], '}') + at; brace < at {
					brace = len(text)
				}
			}
			if brace < len(text) {
				name := text[at+2 : brace]
				if given, ok := values[name]; ok && len(name) >= length-1 {
					value, length = given, len(name)+len("${}")
				}
			}
		}
		b.WriteString(value)
		at += length
	}
	return b.String()
}

// aliases finds the longest of many names with which a text begins.
type aliases struct {
	names   []string // in their order
	shorter []int    // for each the place of the longest other one with which it begins, or -1
}

func aliasesOf(values map[string]string) aliases {
	a := aliases{names: slices.Sorted(maps.Keys(values)), shorter: make([]int, len(values))}
	for i, name := range a.names {
		before := i - 1
		for before >= 0 && !strings.HasPrefix(name, a.names[before]) {
			before = a.shorter[before]
		}
		a.shorter[i] = before
	}
	return a
}

func (a aliases) longest(text string) (name string, ok bool) {
	// Each name with which the text begins is one with which the last name that is not behind the text begins, or is
	// that itself.
	at := sort.Search(len(a.names), func(i int) bool { return a.names[i] > text }) - 1
	if at < 0 {
		return "", false
	}
	same := 0
	for last := a.names[at]; same < len(last) && same < len(text) && last[same] == text[same]; {
		same++
	}
	for at >= 0 && len(a.names[at]) > same {
		at = a.shorter[at]
	}
	if at < 0 {
		return "", false
	}
	return a.names[at], true
}

// ScriptText is a step's text as bash is to read it, which has $alias and ${alias} as variables: an alias with a dash,
// which bash would read as another one with a value to fall back on, is written with an underscore.
func ScriptText(text string, values map[string]string) string {
	return shell.Dashed(text, slices.Collect(maps.Keys(values)))
}

// automatic are the aliases that every run has by itself.
var automatic = []string{"date", "time", "datetime", "timestamp", "year", "month", "day", "session-id",
	"automation-name", "execution-id", "workspace-name", "branch", "ticket-id", "ticket-title"}

// AutomaticAliases lists the aliases that every run has by itself.
func AutomaticAliases() []string { return slices.Clone(automatic) }

// Surroundings are what the automatic values of a run are made of.
type Surroundings struct {
	At                                           time.Time // when the run was fired, in its zone
	Session, Execution                           string    // ids
	Automation, Workspace, Branch, Ticket, Title string
}

// Automatic are the values that every run has by itself.
func Automatic(s Surroundings) map[string]string {
	return map[string]string{
		"date": s.At.Format("2006-01-02"), "time": s.At.Format("15:04"), "datetime": s.At.Format("2006-01-02 15:04"),
		"timestamp": strconv.FormatInt(s.At.Unix(), 10),
		"year":      s.At.Format("2006"), "month": s.At.Format("01"), "day": s.At.Format("02"), "session-id": s.Session,
		"automation-name": s.Automation,
		"execution-id":    s.Execution, "workspace-name": s.Workspace, "branch": s.Branch, "ticket-id": s.Ticket,
		"ticket-title": s.Title,
	}
}
