package workflow

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"carillon/db"
)

// Placed is a step where it stands in a run.
type Placed struct {
	Step  db.Step
	Path  []int // its place, from 0: of a step in a loop the loop's and its own
	Round int   // in a loop: which time, from 1
}

// Number is the place of a step as people count: "3", "3.1".
func (p Placed) Number() string {
	parts := make([]string, len(p.Path))
	for i, n := range p.Path {
		parts[i] = strconv.Itoa(n + 1)
	}
	return strings.Join(parts, ".")
}

// Label names a step in a transcript: "3.1 Review, round 2".
func (p Placed) Label() string {
	label := p.Number() + " " + StepName(p.Step)
	if p.Round > 0 {
		label += fmt.Sprintf(", round %d", p.Round)
	}
	return label
}

// Completed is the answer of a step Complete Session that completed it.
const Completed = "The session is completed."

// Walk gives the steps that a run has taken, in order, and after them the next one where there is one. Answers are what
// came of those taken. A run has no other memory of its place, so it goes on there after a restart.
func Walk(steps []db.Step, answers []string) []Placed {
	w := &walk{answers: answers}
	w.all(steps, nil, 0)
	return w.list
}

type walk struct {
	answers []string
	list    []Placed
}

// take adds a step. It reports whether that one has been taken, and what came of it.
func (w *walk) take(p Placed) (answer string, taken bool) {
	w.list = append(w.list, p)
	if n := len(w.list); n <= len(w.answers) {
		return w.answers[n-1], true
	}
	return "", false
}

// all walks through steps and reports whether the run goes on after them.
func (w *walk) all(steps []db.Step, path []int, round int) bool {
	for i, step := range steps {
		at := append(slices.Clone(path), i)
		if step.Kind == db.LoopStep {
			if !w.loop(step, at) {
				return false
			}
			continue
		}
		answer, taken := w.take(Placed{Step: step, Path: at, Round: round})
		if !taken || step.Kind == db.CompleteStep && answer == Completed {
			return false
		}
	}
	return true
}

// loop walks through the rounds of a loop: until an answer contains its marker, at once then, or as often as it may.
func (w *walk) loop(loop db.Step, path []int) bool {
	for round := 1; round <= loop.Max; round++ {
		for i, step := range loop.Steps {
			answer, taken := w.take(Placed{Step: step, Path: append(slices.Clone(path), i), Round: round})
			switch {
			case !taken, step.Kind == db.CompleteStep && answer == Completed:
				return false
			case step.Kind == db.MessageStep && loop.Marker != "" && strings.Contains(answer, loop.Marker):
				return true
			}
		}
	}
	return true
}

// Messages are the messages among steps, with those in loops.
func Messages(steps []db.Step) []Placed {
	var list []Placed
	for i, step := range steps {
		if step.Kind == db.MessageStep {
			list = append(list, Placed{Step: step, Path: []int{i}})
		}
		for j, inner := range step.Steps {
			if inner.Kind == db.MessageStep {
				list = append(list, Placed{Step: inner, Path: []int{i, j}})
			}
		}
	}
	return list
}

// AfterFirstMessage puts a text after the first message among steps, in a copy of the list.
func AfterFirstMessage(steps []db.Step, after string) []db.Step {
	messages := Messages(steps)
	if len(messages) == 0 || after == "" {
		return steps
	}
	path := messages[0].Path
	steps = slices.Clone(steps)
	if len(path) == 1 {
		steps[path[0]].After = after
		return steps
	}
	steps[path[0]].Steps = slices.Clone(steps[path[0]].Steps)
	steps[path[0]].Steps[path[1]].After = after
	return steps
}

// StepName is what a step is called where it has no label of its own.
func StepName(step db.Step) string {
	if step.Label != "" {
		return step.Label
	}
	for _, k := range StepKinds {
		if k.Kind == step.Kind {
			if step.Path != "" {
				return k.Name + " " + step.Path
			}
			return k.Name
		}
	}
	return string(step.Kind)
}

// StepKinds lists the kinds of steps with their names on screen.
var StepKinds = []struct {
	Kind db.StepKind
	Name string
}{
	{db.MessageStep, "Message"}, {db.ClearStep, "Clear Context"}, {db.AssetStep, "Asset"},
	{db.CompleteStep, "Complete Session"},
	{db.InstructionStep, "Generate Instruction File"}, {db.SystemStep, "Send System Message"},
	{db.LoopStep, "Loop block"},
}
