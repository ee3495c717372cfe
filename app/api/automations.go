package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/form"
	"carillon/app/spec"
	"carillon/db"
	"carillon/views"
)

// AutomationItem is an automation as a list has it.
type AutomationItem struct {
	ID            string         `json:"id" format:"uuid"`
	Name          string         `json:"name"`
	URL           string         `json:"url" format:"uri" doc:"Its page."`
	Workspace     Named          `json:"workspace"`
	Owner         Named          `json:"owner"`
	Trigger       string         `json:"trigger" enum:"manual,one_time,recurring,loop,http"`
	When          string         `json:"when" doc:"The trigger in words."`
	Enabled       bool           `json:"enabled"`
	Disabled      *Disabled      `json:"disabled,omitempty" doc:"Of one that is off: why."`
	Warning       string         `json:"warning,omitempty" doc:"What somebody should look at, in words."`
	NextRunAt     *time.Time     `json:"next_run_at,omitempty" doc:"Absent where none is due."`
	FailureStreak int            `json:"failure_streak" doc:"Failures in a row."`
	InFlight      bool           `json:"in_flight" doc:"A run is queued or running."`
	LastExecution *LastExecution `json:"last_execution,omitempty"`
	SessionType   string         `json:"session_type" enum:"develop,chat,bot"`
	ExecutionType string         `json:"execution_type" enum:"inline,workflow"`
	Provider      string         `json:"provider" doc:"Id of the coding agent; empty where the bot or the workspace decides."`
	Model         string         `json:"model"`
	Version       int64          `json:"version" doc:"Send it along with a change."`
	CreatedAt     time.Time      `json:"created_at"`
	UpdatedAt     time.Time      `json:"updated_at"`
}

// Disabled says why an automation is off.
type Disabled struct {
	Kind   string     `json:"kind" enum:"person,failures,finished,missed,removed,invalid"`
	Reason string     `json:"reason"`
	At     *time.Time `json:"at,omitempty"`
}

// LastExecution is the newest execution of an automation in short.
type LastExecution struct {
	ID        string     `json:"id" format:"uuid"`
	Status    string     `json:"status" enum:"queued,running,succeeded,failed,canceled,timed_out,skipped,missed"`
	SessionID string     `json:"session_id,omitempty" format:"uuid"`
	At        *time.Time `json:"created_at"`
}

// Automation is an automation in full. Secret values are not in it.
type Automation struct {
	AutomationItem
	AutomationDetail
}

// AutomationDetail is what a list does not have. Of a field that is in both, JSON has the one of the list.
type AutomationDetail struct {
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

// Webhook is the new token of an HTTP Trigger.
type Webhook struct {
	WebhookURL string `json:"webhook_url" format:"uri" doc:"With the secret token. It is never shown again."`
	Token      string `json:"token" doc:"The token alone, for the header Api-Authentication."`
}

// Started is a run that was started.
type Started struct {
	ExecutionID            string   `json:"execution_id" format:"uuid"`
	SessionID              string   `json:"session_id" format:"uuid"`
	SessionURL             string   `json:"session_url" format:"uri"`
	UnresolvedPlaceholders []string `json:"unresolved_placeholders,omitempty" doc:"Names in the prompt that nobody gave a value for."`
}

const automationsTag = "Automations"

// automations are the operations on automations.
type automations struct{ *Server }

func (a automations) routes() {
	answers(a.Server, operation{
		method: http.MethodGet, path: "/automations", name: "listAutomations", tag: automationsTag,
		summary: "List automations by name",
	}, a.list)
	creates(a.Server, operation{method: http.MethodPost, path: "/automations", name: "createAutomation",
		tag:     automationsTag,
		summary: "Create an automation",
		about:   "What is left out is as in a new form."}, a.create)
	answers(a.Server, operation{
		method: http.MethodGet, path: "/automations/{id}", name: "getAutomation", tag: automationsTag,
		summary: "Get an automation",
	}, a.get)
	answers(a.Server, operation{method: http.MethodPatch, path: "/automations/{id}", name: "updateAutomation",
		tag:     automationsTag,
		summary: "Change an automation",
		about:   "What is left out stays. Runs that have started keep what they started with."}, a.update)
	does(a.Server, operation{method: http.MethodDelete, path: "/automations/{id}", name: "deleteAutomation",
		tag:     automationsTag,
		summary: "Delete an automation with its history",
		about:   "What of it is in flight is stopped. Its sessions stay."}, a.delete)
	creates(a.Server, operation{method: http.MethodPost, path: "/automations/{id}/runs", name: "runAutomation",
		tag: automationsTag, summary: "Run an automation now",
		about: "Its schedule stays as it is, and it may be off. While a run is in flight the answer is 409 with the " +
			"code in_flight."}, a.run)
	answers(a.Server, operation{method: http.MethodPost, path: "/automations/{id}/enabled", name: "enableAutomation",
		tag: automationsTag, summary: "Switch an automation on or off",
		about: "Switched on it starts anew: no failures, no iterations, and its schedule from now. An HTTP Trigger " +
			"is always on."}, a.enable)
	answers(a.Server, operation{method: http.MethodPost, path: "/automations/{id}/token", name: "regenerateToken",
		tag: automationsTag, summary: "Make a new token for an HTTP Trigger",
		about: "The old address stops working, at once unless a grace is given."}, a.regenerate)
	answers(a.Server, operation{
		method: http.MethodGet, path: "/automations/{id}/executions", name: "listAutomationExecutions",
		tag: automationsTag, summary: "List the executions of an automation, the newest first",
	}, executions(a).ofAutomation)
}

type listAutomationsQuery struct {
	ListQuery
	Search    string `query:"search" maxLength:"500" doc:"A text in the name or the prompt."`
	Trigger   string `query:"trigger" enum:"manual,one_time,recurring,loop,http"`
	Workspace string `query:"workspace_id" format:"uuid"`
	Mine      bool   `query:"mine" doc:"Yours alone."`
	State     string `query:"state" enum:"enabled,disabled,running,attention"`
}

func (a automations) list(ctx context.Context, actor account.Actor,
	in *listAutomationsQuery) (PageOf[AutomationItem], error) {
	f := db.AutomationFilter{
		Search: in.Search, Trigger: db.Trigger(in.Trigger), Workspace: form.OptionalID(in.Workspace), Mine: in.Mine,
		State: in.State, Limit: in.Limit + 1,
	}
	var err error
	if f.AfterName, f.AfterID, err = in.afterName(); err != nil {
		return PageOf[AutomationItem]{}, err
	}
	list, err := a.Rules.Definitions().List(ctx, actor, f)
	if err != nil {
		return PageOf[AutomationItem]{}, err
	}
	return paginate(list, in.Limit, a.item, func(r *db.AutomationRow) []string {
		return []string{r.Name, r.ID.String()}
	}), nil
}

func (a automations) item(r *db.AutomationRow) AutomationItem {
	item := AutomationItem{
		ID: r.ID.String(), Name: r.Name, URL: a.link(views.AutomationURL(r.ID.String())),
		Workspace: Named{ID: r.WorkspaceID.String()}, Owner: ownerOf(r),
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

func ownerOf(r *db.AutomationRow) Named {
	owner := Named{ID: r.CreatorID.String()}
	if r.Creator != nil {
		owner.Name = r.Creator.Name
	}
	return owner
}

// disabledOf says why an automation is off; nil: it is on.
func disabledOf(r *db.AutomationRow) *Disabled {
	if r.Enabled || r.DisabledKind == "" {
		return nil
	}
	return &Disabled{Kind: string(r.DisabledKind), Reason: r.DisabledReason, At: moment(r.DisabledAt)}
}

// lastOf is the newest execution of an automation; nil: there is none.
func lastOf(r *db.AutomationRow) *LastExecution {
	if r.LastID == uuid.Nil {
		return nil
	}
	return &LastExecution{
		ID: r.LastID.String(), Status: r.LastStatus, SessionID: idOrNone(r.LastSessionID), At: moment(r.LastAt),
	}
}

// full is an automation in full, as it is now.
func (a automations) full(ctx context.Context, actor account.Actor, id uuid.UUID) (Automation, error) {
	r, err := a.Rules.Definitions().Row(ctx, actor, id)
	if err != nil {
		return Automation{}, err
	}
	is, secrets := automation.Shown(&r.Automation)
	return Automation{AutomationItem: a.item(r), AutomationDetail: AutomationDetail{
		Automation: is, RunAt: moment(r.RunAt), WorkflowID: is.Workflow, BotID: is.Bot, Iterations: r.Iterations,
		TokenFingerprint: r.Fingerprint, Placeholders: append([]string{},
			a.Rules.Definitions().Names(r.Provider, r.Prompt)...),
		SecretParameters: secrets,
	}}, nil
}

func (a automations) get(ctx context.Context, actor account.Actor, in *OneByID) (Automation, error) {
	return a.full(ctx, actor, in.id())
}

func (a automations) delete(ctx context.Context, actor account.Actor, in *OneByID) error {
	return a.Rules.Definitions().Delete(ctx, actor, in.id())
}

type runQuery struct {
	OneByID
	Body *struct {
		Parameters map[string]string `json:"parameters,omitempty" doc:"Values for the placeholders of the prompt, or the parameters of the workflow, by name."`
	}
}

func (a automations) run(ctx context.Context, actor account.Actor, in *runQuery) (Started, string, error) {
	var parameters map[string]string
	if in.Body != nil {
		parameters = in.Body.Parameters
	}
	run, err := a.Rules.Runs().RunNow(ctx, actor, in.id(), parameters)
	if err != nil {
		return Started{}, "", err
	}
	return a.started(run.Execution.ID, run.Session.ID, run.Unresolved)
}

type enableQuery struct {
	OneByID
	Body struct {
		Enabled bool `json:"enabled"`
	}
}

func (a automations) enable(ctx context.Context, actor account.Actor, in *enableQuery) (Automation, error) {
	if err := a.Rules.Definitions().SetEnabled(ctx, actor, in.id(), in.Body.Enabled); err != nil {
		return Automation{}, err
	}
	return a.full(ctx, actor, in.id())
}

type regenerateQuery struct {
	OneByID
	Body *struct {
		Grace string `json:"grace,omitempty" enum:"0,5m,1h" doc:"How long the old address goes on working. Left out: not at all."`
	}
}

func (a automations) regenerate(ctx context.Context, actor account.Actor, in *regenerateQuery) (Webhook, error) {
	grace := ""
	if in.Body != nil {
		grace = in.Body.Grace
	}
	left, _ := automation.GraceOf(grace) // the schema lets no other text in
	token, err := a.Rules.Webhooks().RegenerateToken(ctx, actor, in.id(), left)
	if err != nil {
		return Webhook{}, err
	}
	return Webhook{WebhookURL: a.link(views.TriggerURL(token)), Token: token}, nil
}
