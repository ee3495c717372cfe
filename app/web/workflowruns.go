package web

import (
	"context"

	"github.com/google/uuid"

	"carillon/app/fault"
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
