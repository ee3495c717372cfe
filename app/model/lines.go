package model

import (
	"fmt"
	"slices"
	"time"
)

// Lines write a world down, a line for each thing, so that two can be compared. What stands in a line is what the
// specification decides: an inbox, for instance, by whom, of what kind and about which automation, and not by its
// words.
type Lines []string

// Add writes one line.
func (l *Lines) Add(format string, args ...any) { *l = append(*l, fmt.Sprintf(format, args...)) }

// Stamp is an instant in a line.
func Stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("02T15:04:05")
}

// AutomationLine is what is compared of an automation itself.
type AutomationLine struct {
	N                   int
	Owner               string
	Enabled, Over       bool
	Due                 time.Time
	Strikes, Iterations int
	Streak              bool
	Calls               int
	Settings            Settings
}

func (l AutomationLine) String() string {
	s := l.Settings
	if s.Trigger != Loop {
		l.Iterations = 0
	}
	return fmt.Sprintf(
		"A%d of %s: %s %q %s %s at %s, catch up %t, most iterations %d, stop at %q, parallel %t %d, complete %t %t, "+
			"turns a day %d, workflow %d %q %q",
		l.N, l.Owner, s.Trigger, s.Prompt, s.Cron, s.Zone, Stamp(s.RunAt), s.CatchUp, s.MaxIterations, s.StopText,
		s.Parallel, s.MaxParallel, s.AutoComplete, s.OnlyUnchanged, s.MostTurns, s.Flow, s.Branch, s.Ticket) +
		fmt.Sprintf("\nA%d state: enabled %t, over %t, due %s, %d strikes, %d iterations, streak %t, %d calls",
			l.N, l.Enabled, l.Over, Stamp(l.Due), l.Strikes, l.Iterations, l.Streak, l.Calls)
}

// RowLine is what is compared of an execution.
type RowLine struct {
	A, N                 int
	Source, Mark, Status string
	Why                  string
	For, Last            time.Time
	Count, Turns         int
	By                   string
	Token                int
	Text                 string
}

func (l RowLine) String() string {
	if l.Status != "failed" && l.Status != "timed_out" && l.Status != "skipped" {
		l.Why = ""
	}
	return fmt.Sprintf("A%d.%d: %s/%s %s %s for %s to %s ×%d by %s token %d turns %d %s",
		l.A, l.N, l.Source, l.Mark, l.Status, l.Why, Stamp(l.For), Stamp(l.Last), l.Count, l.By, l.Token, l.Turns,
		l.Text)
}

// Lines writes the world down.
func (w *World) Lines() Lines {
	var l Lines
	for _, a := range w.Automations {
		if a.Gone {
			l.Add("A%d is gone", a.N)
			continue
		}
		l.Add("%s", AutomationLine{a.N, a.Owner.Name, a.Enabled, a.Over, a.Due, a.Strikes, a.Iterations,
			a.streak != nil, a.Calls, a.Settings})
		for i, r := range a.Rows {
			by := ""
			if r.By != nil {
				by = r.By.Name
			}
			l.Add("%s", RowLine{a.N, i, r.Source, r.Mark, r.Status, r.Why, r.For, r.Last, r.Count, r.Turns, by, r.Token,
				r.Text})
		}
	}
	for _, s := range w.Sessions {
		l.Add("S%d of %s is %s", s.N, s.Owner.Name, s.Status)
	}
	counts := map[Notice]int{}
	for _, n := range w.Notices {
		counts[n]++
	}
	l.notices(counts)
	return l
}

func (l *Lines) notices(counts map[Notice]int) {
	var list []string
	for n, k := range counts {
		list = append(list, fmt.Sprintf("Inbox of %s: %s A%d ×%d", n.To, n.Kind, n.Of, k))
	}
	slices.Sort(list)
	*l = append(*l, list...)
}

// Notices writes inboxes down.
func (l *Lines) Notices(counts map[Notice]int) { l.notices(counts) }
