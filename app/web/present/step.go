package present

import (
	"fmt"

	"carillon/app/workflow"
	"carillon/db"
	"carillon/views"
)

// Steps are steps as pages show them, filled with values where there are any.
func Steps(steps []db.Step, values map[string]string) []views.StepLine {
	var list []views.StepLine
	add := func(step db.Step, path ...int) {
		at := workflow.Placed{Step: step, Path: path}
		line := views.StepLine{
			Number: at.Number(), Kind: StepKind(step.Kind), Label: workflow.StepName(step), Text: step.Text,
			Inside: len(path) > 1,
		}
		switch {
		case step.Kind == db.LoopStep && step.Marker != "":
			line.Kind += fmt.Sprintf(": at most %d times, until an answer contains “%s”", step.Max, step.Marker)
		case step.Kind == db.LoopStep:
			line.Kind += fmt.Sprintf(": %d times", step.Max)
		case step.Kind == db.CompleteStep && step.OnlyUnchanged:
			line.Kind += " only if no file changes"
		case step.Path != "":
			line.Kind += " " + step.Path
		}
		if values != nil {
			line.Text = workflow.Expand(step.Text, values)
		}
		list = append(list, line)
	}
	for i, step := range steps {
		add(step, i)
		for j, inner := range step.Steps {
			add(inner, i, j)
		}
	}
	return list
}

// StepKind is what a kind of step is called.
func StepKind(kind db.StepKind) string {
	for _, k := range workflow.StepKinds {
		if k.Kind == kind {
			return k.Name
		}
	}
	return string(kind)
}
