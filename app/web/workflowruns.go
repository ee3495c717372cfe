package web

import (
	"context"

	"github.com/google/uuid"

	"carillon/app/fault"
	"carillon/app/workflow"
	"carillon/db"
	"carillon/views"
)

// workflowRunForm asks for the parameters of an automation's workflow, with the stored values filled in.
func (s automationPages) workflowRunForm(ctx context.Context, a *db.Automation, given map[string]string,
	bad fault.Invalid) (views.RunForm, error) {
	f := views.RunForm{
		ID: a.ID.String(), Name: a.Name,
		Intro: "The run starts at once. It does not change the schedule.",
	}
	if a.WorkflowID == uuid.Nil {
		return f, nil
	}
	wf, err := db.WorkflowByID(ctx, s.DB, a.WorkflowID)
	if db.IsNotFound(err) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	values := map[string]string{}
	for _, p := range wf.Parameters {
		values[p.Alias] = a.Parameters[p.Alias]
		if v, ok := given[p.Alias]; ok && p.Type != db.SecretParameter {
			values[p.Alias] = v
		}
	}
	f.Fields = valueFields(wf.Parameters, values, true, bad, "parameters.")
	return f, nil
}

// progress is how far each step of a run of a workflow is.
func progress(e *db.Execution, turns []db.Turn) []views.StepLine {
	if e.Snapshot.ExecutionType != db.WorkflowDriven {
		return nil
	}
	var taken []db.Turn
	var answers []string
	for _, t := range turns {
		if t.ExecutionID == e.ID && t.Kind == db.StepTurn {
			taken, answers = append(taken, t), append(answers, t.Answer)
		}
	}
	status, label, problem := map[string]string{}, map[string]string{}, map[string]string{}
	for i, p := range workflow.Walk(e.Snapshot.Steps, answers) {
		if i >= len(taken) {
			break
		}
		status[p.Number()], label[p.Number()] = string(taken[i].Status), p.Label()[len(p.Number())+1:]
		problem[p.Number()] = taken[i].Reason
		if len(p.Path) > 1 { // a loop is as far as its last step
			loop := workflow.Placed{Path: p.Path[:1]}.Number()
			if status[loop] = string(taken[i].Status); taken[i].Status == db.Succeeded {
				status[loop] = string(db.Succeeded)
			}
		}
	}
	list := stepLines(e.Snapshot.Steps, nil)
	for i := range list {
		list[i].Text, list[i].Status, list[i].Problem = "", status[list[i].Number], problem[list[i].Number]
		if l := label[list[i].Number]; l != "" {
			if list[i].Kind == list[i].Label {
				list[i].Kind = l
			}
			list[i].Label = l
		}
	}
	return list
}
