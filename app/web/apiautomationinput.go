package web

import (
	"context"
	"time"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/db"
	"carillon/views"
)

// APIAutomationFields are what may be said of an automation. What is left out stays, or is as in a new form.
type APIAutomationFields struct {
	spec.Automation
	WorkspaceID string    `json:"workspace_id" format:"uuid"`
	RunAt       time.Time `json:"run_at" doc:"Of one_time. Another time zone alone leaves it as it is."`
	WorkflowID  string    `json:"workflow_id" format:"uuid"`
	BotID       string    `json:"bot_id" format:"uuid"`
}

// APIAutomationChange is a change of an automation.
type APIAutomationChange struct {
	APIAutomationFields
	Version int64 `json:"version" required:"true" doc:"The version that was read."`
}

// set puts a value over what is there, if one was given.
func set[T any](to *T, given *T) {
	if given != nil {
		*to = *given
	}
}

// setAgent puts a provider and a model over what is there. A model is one of its provider's: that of another one does
// not stay.
func setAgent(provider, model, givenProvider, givenModel *string) {
	if givenProvider != nil && *givenProvider != *provider {
		*provider, *model = *givenProvider, ""
	}
	set(model, givenModel)
}

// apiFields are the fields of an automation as the API has them.
func apiFields(in *automation.Input) APIAutomationFields {
	return APIAutomationFields{
		Automation: in.Automation, WorkspaceID: in.Workspace, RunAt: in.RunAtShown,
		WorkflowID: in.Workflow, BotID: in.Bot,
	}
}

// into takes over fields that a patch has set.
func (f *APIAutomationFields) into(in *automation.Input, patch spec.Patch) {
	is := f.Automation
	is.Workspace, is.Workflow, is.Bot = f.WorkspaceID, f.WorkflowID, f.BotID
	if patch.Has("run_at") {
		is.RunAt = f.RunAt.Format(time.RFC3339Nano)
	}
	in.Patch(is, patch)
}

type createAutomationQuery struct {
	Body patchOf[APIAutomationFields]
}

func (a *api) createAutomation(
	ctx context.Context, actor account.Actor, in *createAutomationQuery,
) (APIAutomation, string, error) {
	input := automation.NewInput(actor)
	fields, err := in.Body.Over(apiFields(&input))
	if err != nil {
		return APIAutomation{}, "", err
	}
	fields.into(&input, in.Body.Patch)
	made, token, err := a.Rules.Create(ctx, actor, input)
	if err != nil {
		return APIAutomation{}, "", err
	}
	full, err := a.saved(ctx, actor, made, token)
	return full, "automations/" + made.ID.String(), err
}

type updateAutomationQuery struct {
	APIOneByID
	Body patchOf[APIAutomationChange]
}

func (a *api) updateAutomation(ctx context.Context, actor account.Actor,
	in *updateAutomationQuery) (APIAutomation, error) {
	was, err := a.Rules.Editable(ctx, actor, in.id())
	if err != nil {
		return APIAutomation{}, err
	}
	input := automation.InputWithValues(was)
	change, err := in.Body.Over(APIAutomationChange{APIAutomationFields: apiFields(&input)})
	if err != nil {
		return APIAutomation{}, err
	}
	change.into(&input, in.Body.Patch)
	input.Version = change.Version
	saved, token, err := a.Rules.Update(ctx, actor, was.ID, input)
	if err != nil {
		return APIAutomation{}, err
	}
	return a.saved(ctx, actor, saved, token)
}

// saved is an automation that was just saved, with the address of its webhook where it got one.
func (a *api) saved(ctx context.Context, actor account.Actor, made *db.Automation,
	token string) (APIAutomation, error) {
	full, err := a.automation(ctx, actor, made.ID)
	if token != "" {
		full.WebhookURL = a.link(views.TriggerURL(token))
	}
	return full, err
}
