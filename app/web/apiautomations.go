package web

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/db"
	"carillon/views"
)

// APIAutomationItem is an automation as a list has it.
type APIAutomationItem struct {
	ID            string            `json:"id" format:"uuid"`
	Name          string            `json:"name"`
	URL           string            `json:"url" format:"uri" doc:"Its page."`
	Workspace     APINamed          `json:"workspace"`
	Owner         APINamed          `json:"owner"`
	Trigger       string            `json:"trigger" enum:"manual,one_time,recurring,loop,http"`
	When          string            `json:"when" doc:"The trigger in words."`
	Enabled       bool              `json:"enabled"`
	Disabled      *APIDisabled      `json:"disabled,omitempty" doc:"Of one that is off: why."`
	Warning       string            `json:"warning,omitempty" doc:"What somebody should look at, in words."`
	NextRunAt     *time.Time        `json:"next_run_at,omitempty" doc:"Absent where none is due."`
	FailureStreak int               `json:"failure_streak" doc:"Failures in a row."`
	InFlight      bool              `json:"in_flight" doc:"A run is queued or running."`
	LastExecution *APILastExecution `json:"last_execution,omitempty"`
	SessionType   string            `json:"session_type" enum:"develop,chat,bot"`
	ExecutionType string            `json:"execution_type" enum:"inline,workflow"`
	Provider      string            `json:"provider" doc:"Id of the coding agent; empty where the bot or the workspace decides."`
	Model         string            `json:"model"`
	Version       int64             `json:"version" doc:"Send it along with a change."`
	CreatedAt     time.Time         `json:"created_at"`
	UpdatedAt     time.Time         `json:"updated_at"`
}

// APIDisabled says why an automation is off.
type APIDisabled struct {
	Kind   string     `json:"kind" enum:"person,failures,finished,missed,removed,invalid"`
	Reason string     `json:"reason"`
	At     *time.Time `json:"at,omitempty"`
}

// APILastExecution is the newest execution of an automation in short.
type APILastExecution struct {
	ID        string     `json:"id" format:"uuid"`
	Status    string     `json:"status" enum:"queued,running,succeeded,failed,canceled,timed_out,skipped,missed"`
	SessionID string     `json:"session_id,omitempty" format:"uuid"`
	At        *time.Time `json:"created_at"`
}

// APIAutomation is an automation in full. Secret values are not in it.
type APIAutomation struct {
	APIAutomationItem
	APIAutomationDetail
}

// APIAutomationDetail is what a list does not have. Of a field that is in both, JSON has the one of the list.
type APIAutomationDetail struct {
	spec.Automation
	RunAt      *time.Time `json:"run_at,omitempty"`
	WorkflowID string     `json:"workflow_id,omitempty" format:"uuid"`
	BotID      string     `json:"bot_id,omitempty" format:"uuid"`

	Iterations       int      `json:"iterations,omitempty" doc:"Of a loop: how often it has run."`
	TokenFingerprint string   `json:"token_fingerprint,omitempty" doc:"Of http: tells its tokens apart."`
	Placeholders     []string `json:"placeholders" doc:"Names in the prompt that a run may be given values for."`
	SecretParameters []string `json:"secret_parameters" doc:"Names of the secret values that are stored."`

	WebhookURL string `json:"webhook_url,omitempty" format:"uri" doc:"Of http, just made: with its token, this once."`
}

// APIWebhook is the new token of an HTTP Trigger.
type APIWebhook struct {
	WebhookURL string `json:"webhook_url" format:"uri" doc:"With the secret token. It is never shown again."`
	Token      string `json:"token" doc:"The token alone, for the header Api-Authentication."`
}

// APIStarted is a run that was started.
type APIStarted struct {
	ExecutionID            string   `json:"execution_id" format:"uuid"`
	SessionID              string   `json:"session_id" format:"uuid"`
	SessionURL             string   `json:"session_url" format:"uri"`
	UnresolvedPlaceholders []string `json:"unresolved_placeholders,omitempty" doc:"Names in the prompt that nobody gave a value for."`
}

const automationsTag = "Automations"

func (a *api) automationRoutes() {
	answers(a, apiOp{
		method: http.MethodGet, path: "/automations", name: "listAutomations", tag: automationsTag,
		summary: "List automations by name",
	}, a.listAutomations)
	creates(a, apiOp{method: http.MethodPost, path: "/automations", name: "createAutomation", tag: automationsTag,
		summary: "Create an automation",
		about:   "What is left out is as in a new form."}, a.createAutomation)
	answers(a, apiOp{
		method: http.MethodGet, path: "/automations/{id}", name: "getAutomation", tag: automationsTag,
		summary: "Get an automation",
	}, a.getAutomation)
	answers(a, apiOp{method: http.MethodPatch, path: "/automations/{id}", name: "updateAutomation", tag: automationsTag,
		summary: "Change an automation",
		about:   "What is left out stays. Runs that have started keep what they started with."}, a.updateAutomation)
	does(a, apiOp{method: http.MethodDelete, path: "/automations/{id}", name: "deleteAutomation", tag: automationsTag,
		summary: "Delete an automation with its history",
		about:   "What of it is in flight is stopped. Its sessions stay."}, a.deleteAutomation)
	creates(a, apiOp{method: http.MethodPost, path: "/automations/{id}/runs", name: "runAutomation",
		tag: automationsTag, summary: "Run an automation now",
		about: "Its schedule stays as it is, and it may be off. While a run is in flight the answer is 409 with the " +
			"code in_flight."}, a.runAutomation)
	answers(a, apiOp{method: http.MethodPost, path: "/automations/{id}/enabled", name: "enableAutomation",
		tag: automationsTag, summary: "Switch an automation on or off",
		about: "Switched on it starts anew: no failures, no iterations, and its schedule from now. An HTTP Trigger " +
			"is always on."}, a.enableAutomation)
	answers(a, apiOp{method: http.MethodPost, path: "/automations/{id}/token", name: "regenerateToken",
		tag: automationsTag, summary: "Make a new token for an HTTP Trigger",
		about: "The old address stops working, at once unless a grace is given."}, a.regenerateAutomation)
	answers(a, apiOp{
		method: http.MethodGet, path: "/automations/{id}/executions", name: "listAutomationExecutions",
		tag: automationsTag, summary: "List the executions of an automation, the newest first",
	}, a.automationExecutions)
}

type listAutomationsQuery struct {
	APIListQuery
	Search    string `query:"search" maxLength:"500" doc:"A text in the name or the prompt."`
	Trigger   string `query:"trigger" enum:"manual,one_time,recurring,loop,http"`
	Workspace string `query:"workspace_id" format:"uuid"`
	Mine      bool   `query:"mine" doc:"Yours alone."`
	State     string `query:"state" enum:"enabled,disabled,running,attention"`
}

func (a *api) listAutomations(ctx context.Context, actor account.Actor,
	in *listAutomationsQuery) (pageOf[APIAutomationItem], error) {
	f := db.AutomationFilter{
		Search: in.Search, Trigger: db.Trigger(in.Trigger), Workspace: optionalID(in.Workspace), Mine: in.Mine,
		State: in.State, Limit: in.Limit + 1,
	}
	var err error
	if f.AfterName, f.AfterID, err = in.afterName(); err != nil {
		return pageOf[APIAutomationItem]{}, err
	}
	list, err := a.Rules.Automations(ctx, actor, f)
	if err != nil {
		return pageOf[APIAutomationItem]{}, err
	}
	return paginate(list, in.Limit, a.automationItem, func(r *db.AutomationRow) []string {
		return []string{r.Name, r.ID.String()}
	}), nil
}

func (a *api) automationItem(r *db.AutomationRow) APIAutomationItem {
	item := APIAutomationItem{
		ID: r.ID.String(), Name: r.Name, URL: a.link(views.AutomationURL(r.ID.String())),
		Workspace: APINamed{ID: r.WorkspaceID.String()}, Owner: ownerOf(r),
		Trigger: string(r.Trigger), When: automation.TriggerWords(&r.Automation),
		Enabled: r.Enabled, Disabled: disabledOf(r), Warning: automation.RowWarning(r), NextRunAt: moment(r.NextRunAt),
		FailureStreak: r.FailureStreak, InFlight: r.InFlight, LastExecution: lastOf(r),
		SessionType: string(r.SessionType), ExecutionType: string(r.ExecutionType), Provider: r.Provider,
		Model: r.Model, Version: r.Version,
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
	if r.Workspace != nil {
		item.Workspace.Name = r.Workspace.Name
	}
	return item
}

func ownerOf(r *db.AutomationRow) APINamed {
	owner := APINamed{ID: r.CreatorID.String()}
	if r.Creator != nil {
		owner.Name = r.Creator.Name
	}
	return owner
}

// disabledOf says why an automation is off; nil: it is on.
func disabledOf(r *db.AutomationRow) *APIDisabled {
	if r.Enabled || r.DisabledKind == "" {
		return nil
	}
	return &APIDisabled{Kind: string(r.DisabledKind), Reason: r.DisabledReason, At: moment(r.DisabledAt)}
}

// lastOf is the newest execution of an automation; nil: there is none.
func lastOf(r *db.AutomationRow) *APILastExecution {
	if r.LastID == uuid.Nil {
		return nil
	}
	return &APILastExecution{
		ID: r.LastID.String(), Status: r.LastStatus, SessionID: idOrNone(r.LastSessionID), At: moment(r.LastAt),
	}
}

// automation is an automation in full, as it is now.
func (a *api) automation(ctx context.Context, actor account.Actor, id uuid.UUID) (APIAutomation, error) {
	r, err := a.Rules.AutomationRow(ctx, actor, id)
	if err != nil {
		return APIAutomation{}, err
	}
	is, secrets := automation.Shown(&r.Automation)
	return APIAutomation{APIAutomationItem: a.automationItem(r), APIAutomationDetail: APIAutomationDetail{
		Automation: is, RunAt: moment(r.RunAt), WorkflowID: is.Workflow, BotID: is.Bot, Iterations: r.Iterations,
		TokenFingerprint: r.Fingerprint, Placeholders: append([]string{}, a.Rules.Names(r.Provider, r.Prompt)...),
		SecretParameters: secrets,
	}}, nil
}

func (a *api) getAutomation(ctx context.Context, actor account.Actor, in *APIOneByID) (APIAutomation, error) {
	return a.automation(ctx, actor, in.id())
}

func (a *api) deleteAutomation(ctx context.Context, actor account.Actor, in *APIOneByID) error {
	return a.Rules.Delete(ctx, actor, in.id())
}

type runQuery struct {
	APIOneByID
	Body *struct {
		Parameters map[string]string `json:"parameters,omitempty" doc:"Values for the placeholders of the prompt, or the parameters of the workflow, by name."`
	}
}

func (a *api) runAutomation(ctx context.Context, actor account.Actor, in *runQuery) (APIStarted, string, error) {
	var parameters map[string]string
	if in.Body != nil {
		parameters = in.Body.Parameters
	}
	run, err := a.Rules.RunNow(ctx, actor, in.id(), parameters)
	if err != nil {
		return APIStarted{}, "", err
	}
	return a.started(run.Execution.ID, run.Session.ID, run.Unresolved)
}

// started is a run that was started, with the path of its execution.
func (a *api) started(execution, session uuid.UUID, unresolved []string) (APIStarted, string, error) {
	return APIStarted{
		ExecutionID: execution.String(), SessionID: session.String(),
		SessionURL: a.link(views.SessionURL(session.String())), UnresolvedPlaceholders: unresolved,
	}, "executions/" + execution.String(), nil
}

type enableQuery struct {
	APIOneByID
	Body struct {
		Enabled bool `json:"enabled"`
	}
}

func (a *api) enableAutomation(ctx context.Context, actor account.Actor, in *enableQuery) (APIAutomation, error) {
	if err := a.Rules.SetEnabled(ctx, actor, in.id(), in.Body.Enabled); err != nil {
		return APIAutomation{}, err
	}
	return a.automation(ctx, actor, in.id())
}

type regenerateQuery struct {
	APIOneByID
	Body *struct {
		Grace string `json:"grace,omitempty" enum:"0,5m,1h" doc:"How long the old address goes on working. Left out: not at all."`
	}
}

func (a *api) regenerateAutomation(ctx context.Context, actor account.Actor, in *regenerateQuery) (APIWebhook, error) {
	grace := ""
	if in.Body != nil {
		grace = in.Body.Grace
	}
	left, _ := automation.GraceOf(grace) // the schema lets no other text in
	token, err := a.Rules.Regenerate(ctx, actor, in.id(), left)
	if err != nil {
		return APIWebhook{}, err
	}
	return APIWebhook{WebhookURL: a.link(views.TriggerURL(token)), Token: token}, nil
}
