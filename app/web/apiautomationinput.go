package web

import (
	"context"
	"time"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/db"
)

// APIAutomationFields are what may be said of an automation. What is nil stays, or is as in a new form.
type APIAutomationFields struct {
	Name            *string           `json:"name,omitempty"`
	WorkspaceID     *string           `json:"workspace_id,omitempty" format:"uuid"`
	Trigger         *string           `json:"trigger,omitempty" enum:"manual,one_time,recurring,loop,http"`
	RunAt           *time.Time        `json:"run_at,omitempty" doc:"Of one_time. Another time zone alone leaves it as it is."`
	Cron            *string           `json:"cron,omitempty" doc:"Of recurring: five fields, such as 0 2 * * *."`
	TimeZone        *string           `json:"time_zone,omitempty" doc:"IANA name, such as Europe/Berlin."`
	MaxIterations   *int              `json:"max_iterations,omitempty" minimum:"0" doc:"Of a loop. 0: without limit."`
	StopText        *string           `json:"stop_text,omitempty" doc:"Of a loop: stop when the final answer contains it."`
	CatchUp         *bool             `json:"catch_up,omitempty" doc:"Auto-Execute Missed Runs on Startup."`
	AllowParallel   *bool             `json:"allow_parallel,omitempty" doc:"Of http: several sessions at once."`
	MaxParallel     *int              `json:"max_parallel,omitempty" minimum:"0" doc:"The most at once. 0: without limit, as when it is left out."`
	Sender          *string           `json:"sender,omitempty" doc:"Of http: who signs the calls. Empty: the token is enough."`
	SignatureHeader *string           `json:"signature_header,omitempty"`
	SignatureSecret *string           `json:"signature_secret,omitempty" writeOnly:"true" doc:"Left out: the one stored stays."`
	Filter          *APIFilter        `json:"filter,omitempty"`
	AppendPayload   *bool             `json:"append_payload,omitempty"`
	SessionType     *string           `json:"session_type,omitempty" enum:"develop,chat,bot"`
	ExecutionType   *string           `json:"execution_type,omitempty" enum:"inline,workflow"`
	Prompt          *string           `json:"prompt,omitempty" doc:"What the agent is to do. {{name}} is filled in when it runs."`
	Parameters      map[string]string `json:"parameters,omitempty" doc:"Stored values by name. Those not named stay; an empty text removes one that is not secret."`
	WorkflowID      *string           `json:"workflow_id,omitempty" format:"uuid"`
	BotID           *string           `json:"bot_id,omitempty" format:"uuid"`
	BaseBranch      *string           `json:"base_branch,omitempty"`
	Provider        *string           `json:"provider,omitempty" doc:"Id of the coding agent. Empty: the workspace's default. Another one than before has its own default model, unless a model is given."`
	Model           *string           `json:"model,omitempty"`
	Toggles         *[]string         `json:"toggles,omitempty" doc:"Session modes." enum:"code_architecture,ux_enhancement,edge_cases,code_review,verification,update_tests,update_docs"`
	AutoComplete    *bool             `json:"auto_complete,omitempty" doc:"Mark the session Done when the run ends. Not of http: its session stays open."`
	OnlyUnchanged   *bool             `json:"only_unchanged,omitempty" doc:"Complete only if no file changes."`
	CreatePR        *bool             `json:"create_pr,omitempty" doc:"Open a pull request after a successful run that changed files."`
	MayAutomate     *bool             `json:"may_automate,omitempty" doc:"Its sessions may create, edit and run automations."`
	TimeoutMinutes  *float64          `json:"timeout_minutes,omitempty" minimum:"0" doc:"0: none."`
	Retries         *int              `json:"retries,omitempty" minimum:"0"`
	Gate            *APIGate          `json:"gate,omitempty" doc:"As a whole: what it leaves out is not asked for."`
	Success         *APISuccess       `json:"success,omitempty" doc:"As a whole."`
	Budget          *APIBudget        `json:"budget,omitempty" doc:"As a whole."`
}

// APIAutomationChange is a change of an automation.
type APIAutomationChange struct {
	APIAutomationFields
	Version int64 `json:"version" doc:"The version that was read."`
}

// set puts a value over what is there, if one was given.
func set[T any](to *T, given *T) {
	if given != nil {
		*to = *given
	}
}

// setAgent puts a provider and a model over what is there. A model is one of its provider's: that of another one does not stay.
func setAgent(provider, model, givenProvider, givenModel *string) {
	if givenProvider != nil && *givenProvider != *provider {
		*provider, *model = *givenProvider, ""
	}
	set(model, givenModel)
}

// into puts what was said over what is there.
func (f *APIAutomationFields) into(in *automation.Input) {
	set(&in.Name, f.Name)
	set(&in.Workspace, f.WorkspaceID)
	set(&in.Trigger, f.Trigger)
	set(&in.Cron, f.Cron)
	set(&in.StopText, f.StopText)
	set(&in.CatchUp, f.CatchUp)
	set(&in.AllowParallel, f.AllowParallel)
	set(&in.MaxParallel, f.MaxParallel)
	set(&in.Sender, f.Sender)
	set(&in.SignatureHeader, f.SignatureHeader)
	set(&in.SignatureSecret, f.SignatureSecret)
	set(&in.AppendPayload, f.AppendPayload)
	set(&in.SessionType, f.SessionType)
	set(&in.ExecutionType, f.ExecutionType)
	set(&in.Prompt, f.Prompt)
	set(&in.Workflow, f.WorkflowID)
	set(&in.Bot, f.BotID)
	set(&in.BaseBranch, f.BaseBranch)
	setAgent(&in.Provider, &in.Model, f.Provider, f.Model)
	set(&in.Toggles, f.Toggles)
	set(&in.AutoComplete, f.AutoComplete)
	set(&in.OnlyUnchanged, f.OnlyUnchanged)
	set(&in.CreatePR, f.CreatePR)
	set(&in.MayAutomate, f.MayAutomate)
	set(&in.Retries, f.Retries)
	set(&in.MaxIterations, f.MaxIterations)
	set(&in.TimeoutMinutes, f.TimeoutMinutes)
	f.when(in)
	if f.Filter != nil {
		in.Filter = spec.Filter{Any: f.Filter.Any}
		for _, c := range f.Filter.Conditions {
			in.Filter.Conditions = append(in.Filter.Conditions, spec.Condition(c))
		}
	}
	parameters := map[string]string{}
	for _, from := range []map[string]string{in.Parameters, f.Parameters} {
		for name, value := range from {
			parameters[name] = value
		}
	}
	in.Parameters = parameters
	in.Named = named(f.AutoComplete, f.OnlyUnchanged, f.Parameters)
	f.checks(in)
}

// named lists what a program named by itself among the options that do not go with every automation.
func named(autoComplete, onlyUnchanged *bool, parameters map[string]string) []string {
	var list []string
	if autoComplete != nil {
		list = append(list, "auto_complete")
	}
	if onlyUnchanged != nil {
		list = append(list, "only_unchanged")
	}
	for name := range parameters {
		list = append(list, "parameters."+name)
	}
	return list
}

// when puts the time of a One-Time over what is there. Another zone alone leaves the moment as it is.
func (f *APIAutomationFields) when(in *automation.Input) {
	set(&in.TimeZone, f.TimeZone)
	if f.RunAt != nil {
		in.RunAt = f.RunAt.Format(time.RFC3339Nano)
	} else {
		keepMoment(in)
	}
}

func (f *APIAutomationFields) checks(in *automation.Input) {
	if f.Gate != nil {
		in.Gate = spec.Gate(*f.Gate)
	}
	if f.Success != nil {
		in.Success = spec.Success(*f.Success)
	}
	if b := f.Budget; b != nil {
		in.Budget = spec.Budget{Run: spec.Limits(b.Run), Day: spec.Limits(b.Day), Month: spec.Limits(b.Month)}
	}
}

type createAutomationQuery struct{ Body APIAutomationFields }

func (a *api) createAutomation(ctx context.Context, actor account.Actor, in *createAutomationQuery) (APIAutomation, string, error) {
	input := blankAutomation(actor)
	in.Body.into(&input)
	made, token, err := a.Rules.Create(ctx, actor, input)
	if err != nil {
		return APIAutomation{}, "", err
	}
	full, err := a.saved(ctx, actor, made, token)
	return full, "automations/" + made.ID.String(), err
}

type updateAutomationQuery struct {
	APIOneByID
	Body APIAutomationChange
}

func (a *api) updateAutomation(ctx context.Context, actor account.Actor, in *updateAutomationQuery) (APIAutomation, error) {
	was, err := a.Rules.Editable(ctx, actor, in.id())
	if err != nil {
		return APIAutomation{}, err
	}
	input := inputOf(was)
	input.Parameters, _ = automation.StoredValues(was) // what is secret stays where it is stored
	in.Body.into(&input)
	input.Version = in.Body.Version
	saved, token, err := a.Rules.Update(ctx, actor, was.ID, input)
	if err != nil {
		return APIAutomation{}, err
	}
	return a.saved(ctx, actor, saved, token)
}

// saved is an automation that was just saved, with the address of its webhook where it got one.
func (a *api) saved(ctx context.Context, actor account.Actor, made *db.Automation, token string) (APIAutomation, error) {
	full, err := a.automation(ctx, actor, made.ID)
	if token != "" {
		full.WebhookURL = a.webhookURL(token).String()
	}
	return full, err
}
