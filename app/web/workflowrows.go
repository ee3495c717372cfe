package web

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"carillon/app/workflow"
	"carillon/db"
)

// rearrangement is the form of a workflow after a button of it that changes its rows: "up.2", "move.4.1.in",
// "add-step".
type rearrangement struct {
	in    workflow.Input
	said  string // what has happened, for whoever cannot see it
	focus string // the field or button that is next: "up.1", "steps.3.kind"; empty: as it comes
}

// rearrange carries out a button of the form. ok is false for no such button. A step that moves past the edge of a loop
// block goes into it, or leaves it; a loop block moves with its steps.
func rearrange(in workflow.Input, do string) (r rearrangement, ok bool) {
	action, arguments, _ := strings.Cut(do, ".")
	parts := strings.Split(arguments, ".")
	i, err := strconv.Atoi(parts[0])
	r.in = in
	switch action {
	case "add-step":
		r.in.Steps = append(in.Steps, workflow.StepInput{Kind: string(db.MessageStep)})
		r.focus = fmt.Sprintf("steps.%d.kind", len(in.Steps))
		r.said = "Step " + stepNumber(r.in.Steps, len(in.Steps)) + " was added."
		return r, true
	case "add-parameter":
		r.in.Parameters = append(in.Parameters, workflow.ParameterInput{Type: string(db.TextParameter)})
		r.focus = fmt.Sprintf("parameters.%d.alias", len(in.Parameters))
		r.said = fmt.Sprintf("Parameter %d was added.", len(in.Parameters)+1)
		return r, true
	case "preview":
		r.focus, r.said = "preview", "The preview is below the parameters."
		return r, true
	case "remove-parameter":
		if err == nil && i >= 0 && i < len(in.Parameters) {
			r.in.Parameters = slices.Delete(slices.Clone(in.Parameters), i, i+1)
			r.focus, r.said = "add-parameter", fmt.Sprintf("Parameter %d was removed.", i+1)
		}
		return r, true
	case "up", "down", "move", "remove-step":
	default:
		return r, false
	}
	if err != nil || i < 0 || i >= len(in.Steps) {
		return r, true
	}
	steps, was := slices.Clone(in.Steps), stepNumber(in.Steps, i)
	if action == "remove-step" {
		for j := i + 1; j < blockEnd(steps, i); j++ { // the steps of a loop block that goes stay
			steps[j].Inside = false
		}
		r.in.Steps = slices.Delete(steps, i, i+1)
		r.focus, r.said = "add-step", "Step "+was+" was removed."
		if i < len(r.in.Steps) {
			r.focus = fmt.Sprintf("steps.%d.kind", i)
		}
		return r, true
	}
	at := i
	switch action {
	case "up":
		at = moveUp(steps, i)
	case "down":
		at = moveDown(steps, i)
	case "move":
		if len(parts) == 3 {
			at = drop(steps, i, parts[1], parts[2] == "in")
		}
	}
	r.in.Steps = steps
	r.said = "Step " + was + " is step " + stepNumber(steps, at) + " now."
	if r.focus = fmt.Sprintf("%s.%d", action, at); action == "down" && !canMoveDown(steps, at) || action == "move" &&
		at > 0 {
		r.focus = fmt.Sprintf("up.%d", at)
	} else if action != "down" && at == 0 {
		r.focus = "down.0"
	}
	return r, true
}

// isLoop reports whether a row begins a loop block.
func isLoop(s workflow.StepInput) bool { return s.Kind == string(db.LoopStep) && !s.Inside }

// blockEnd is the place behind all that moves with a row.
func blockEnd(steps []workflow.StepInput, i int) int {
	end := i + 1
	for isLoop(steps[i]) && end < len(steps) && steps[end].Inside {
		end++
	}
	return end
}

// stepNumber is the place of a row as people count: "3", "3.1".
func stepNumber(steps []workflow.StepInput, at int) string {
	outer, inner, within := 0, 0, false
	for i := 0; i <= at; i++ {
		if within && steps[i].Inside {
			inner++
			continue
		}
		outer, inner, within = outer+1, 0, isLoop(steps[i])
	}
	if inner > 0 {
		return fmt.Sprintf("%d.%d", outer, inner)
	}
	return strconv.Itoa(outer)
}

func moveUp(steps []workflow.StepInput, i int) int {
	switch {
	case i == 0:
		return 0
	case isLoop(steps[i]):
		to := i - 1
		for to > 0 && steps[to].Inside {
			to--
		}
		return put(steps, i, to)
	case steps[i].Inside && !steps[i-1].Inside: // the first of its loop block
		steps[i].Inside = false
	case !steps[i].Inside && (steps[i-1].Inside || isLoop(steps[i-1])):
		steps[i].Inside = true
		return i
	}
	return put(steps, i, i-1)
}

func moveDown(steps []workflow.StepInput, i int) int {
	end := blockEnd(steps, i)
	switch {
	case steps[i].Inside && (end == len(steps) || !steps[end].Inside): // the last of its loop block
		steps[i].Inside = false
		return i
	case end == len(steps):
		return i
	case isLoop(steps[i]):
		return put(steps, i, blockEnd(steps, end))
	}
	steps[i].Inside = steps[i].Inside || isLoop(steps[end])
	return put(steps, i, end+1)
}

// canMoveDown reports whether moving a row down changes anything.
func canMoveDown(steps []workflow.StepInput, i int) bool {
	return steps[i].Inside || blockEnd(steps, i) < len(steps)
}

// drop puts a row in front of the one that is at a place now, into a loop block or not where both can be.
func drop(steps []workflow.StepInput, i int, place string, inside bool) int {
	to, err := strconv.Atoi(place)
	if err != nil || to < 0 || to > len(steps) {
		return i
	}
	if isLoop(steps[i]) {
		if to > i && to < blockEnd(steps, i) {
			return i
		}
		for to < len(steps) && steps[to].Inside { // not into another loop block
			to++
		}
		return put(steps, i, to)
	}
	before, behind := to-1, to
	if before == i {
		before--
	}
	if behind == i {
		behind++
	}
	could := before >= 0 && (steps[before].Inside || isLoop(steps[before]))
	must := behind < len(steps) && steps[behind].Inside
	steps[i].Inside = could && (inside || must)
	return put(steps, i, to)
}

// put moves a row, with those of its block, in front of the one that is at a place now. It returns its new place.
func put(steps []workflow.StepInput, i, to int) int {
	end := blockEnd(steps, i)
	if to >= i && to <= end {
		return i
	}
	block := slices.Clone(steps[i:end])
	if to < i {
		copy(steps[to+len(block):end], slices.Clone(steps[to:i]))
		copy(steps[to:], block)
		return to
	}
	copy(steps[i:], slices.Clone(steps[end:to]))
	at := to - len(block)
	copy(steps[at:], block)
	return at
}
