package api

import (
	"context"
	"time"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/db"
	"carillon/views"
)

// AutomationFields are what may be said of an automation. What is left out stays, or is as in a new form.
type AutomationFields struct {
	spec.Automation
	WorkspaceID string    `json:"workspace_id" format:"uuid"`
	RunAt       time.Time `json:"run_at" doc:"Of one_time. Another time zone alone leaves it as it is."`
	WorkflowID  string    `json:"workflow_id" format:"uuid"`
	BotID       string    `json:"bot_id" format:"uuid"`
}

// AutomationChange is a change of an automation.
type AutomationChange struct {
	AutomationFields
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

// fieldsOf are the fields of an automation as the API has them.
func fieldsOf(in *automation.Input) AutomationFields {
	return AutomationFields{
		Automation: in.Automation, WorkspaceID: in.Workspace, RunAt: in.RunAtShown,
		WorkflowID: in.Workflow, BotID: in.Bot,
	}
}

// into takes over fields that a patch has set.
func (f *AutomationFields) into(in *automation.Input, patch spec.Patch) {
	is := f.Automation
	is.Workspace, is.Workflow, is.Bot = f.WorkspaceID, f.WorkflowID, f.BotID
	if patch.Has("run_at") {
		is.RunAt = f.RunAt.Format(time.RFC3339Nano)
	}
	in.Patch(is, patch)
}

type createAutomationQuery struct {
	Body patchOf[AutomationFields]
}

func (a automations) create(
	ctx context.Context, actor account.Actor, in *createAutomationQuery,
) (Automation, string, error) {
	input := automation.NewInput(actor)
	fields, err := in.Body.Over(fieldsOf(&input))
	if err != nil {
		return Automation{}, "", err
	}
	fields.into(&input, in.Body.Patch)
	made, token, err := a.Rules.Definitions().Create(ctx, actor, input)
	if err != nil {
		return Automation{}, "", err
	}
	full, err := a.saved(ctx, actor, made, token)
	return full, "automations/" + made.ID.String(), err
}

type updateAutomationQuery struct {
	OneByID
	Body patchOf[AutomationChange]
}

func (a automations) update(ctx context.Context, actor account.Actor,
	in *updateAutomationQuery) (Automation, error) {
	was, err := a.Rules.Definitions().Editable(ctx, actor, in.id())
	if err != nil {
		return Automation{}, err
	}
	input := automation.InputWithValues(was)
	change, err := in.Body.Over(AutomationChange{AutomationFields: fieldsOf(&input)})
	if err != nil {
		return Automation{}, err
	}
	change.into(&input, in.Body.Patch)
	input.Version = change.Version
	saved, token, err := a.Rules.Definitions().Update(ctx, actor, was.ID, input)
	if err != nil {
		return Automation{}, err
	}
	return a.saved(ctx, actor, saved, token)
}

// saved is an automation that was just saved, with the address of its webhook where it got one.
func (a automations) saved(ctx context.Context, actor account.Actor, made *db.Automation,
	token string) (Automation, error) {
	full, err := a.full(ctx, actor, made.ID)
	if token != "" {
		full.WebhookURL = a.link(views.TriggerURL(token))
	}
	return full, err
}
