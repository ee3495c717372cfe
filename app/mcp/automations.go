package mcp

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/spec"
	"carillon/db"
	"carillon/views"
)

// automationItem is an automation as a list has it.
type automationItem struct {
	ID            string     `json:"id"`
	Name          string     `json:"name"`
	Workspace     string     `json:"workspace"`
	URL           string     `json:"url"`
	Trigger       string     `json:"trigger"`
	When          string     `json:"when"` // the trigger in words
	Enabled       bool       `json:"enabled"`
	Warning       string     `json:"warning,omitempty"` // why it is off, or what it lacks
	NextRunAt     *time.Time `json:"next_run_at,omitempty"`
	FailureStreak int        `json:"failures_in_a_row"`
	Version       int64      `json:"version"`
}

// AutomationResult is an automation in full. Secret values are not in it.
type AutomationResult struct {
	automationItem
	automationDetail
}

// automationDetail is what a list does not have. Of a field that is in both, JSON has the one of the list.
type automationDetail struct {
	spec.Automation
	RunAt    *time.Time `json:"run_at,omitempty"`
	Workflow string     `json:"workflow,omitempty"` // id
	Bot      string     `json:"bot,omitempty"`      // id

	Owner            string          `json:"owner"` // name
	Disabled         *disabledResult `json:"disabled,omitempty"`
	InFlight         bool            `json:"in_flight"` // a run is queued or running
	LastExecution    *lastRunResult  `json:"last_execution,omitempty"`
	Iterations       int             `json:"iterations,omitempty"`        // of a loop: how often it has run
	TokenFingerprint string          `json:"token_fingerprint,omitempty"` // of http: tells its tokens apart
	Placeholders     []string        `json:"placeholders,omitempty"`      // names that a run may be given values for
	SecretParameters []string        `json:"secret_parameters,omitempty"` // names of the secret values
	CreatedAt        time.Time       `json:"created_at"`
	UpdatedAt        time.Time       `json:"updated_at"`
}

// disabledResult says why an automation is off.
type disabledResult struct {
	Kind   string     `json:"kind"`
	Reason string     `json:"reason"`
	At     *time.Time `json:"at,omitempty"`
}

// lastRunResult is the newest run of an automation in short.
type lastRunResult struct {
	ID        string     `json:"id"`
	Status    string     `json:"status"`
	SessionID string     `json:"session_id,omitempty"`
	At        *time.Time `json:"created_at"`
}

// automation is an automation in full, as it is now.
func (c *caller) automation(ctx context.Context, id uuid.UUID) (AutomationResult, error) {
	r, err := c.server.Rules.Definitions().Row(ctx, c.actor, id)
	if err != nil {
		return AutomationResult{}, err
	}
	is, secrets := automation.Shown(&r.Automation)
	full := AutomationResult{automationItem: c.automationItem(&r.Automation), automationDetail: automationDetail{
		Automation: is, RunAt: moment(r.RunAt), Workflow: is.Workflow, Bot: is.Bot,
		InFlight: r.InFlight, Iterations: r.Iterations,
		TokenFingerprint: r.Fingerprint, Placeholders: c.server.Rules.Definitions().Names(r.Provider, r.Prompt),
		SecretParameters: secrets, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}}
	if r.Creator != nil {
		full.Owner = r.Creator.Name
	}
	if !r.Enabled && r.DisabledKind != "" {
		full.Disabled = &disabledResult{
			Kind: string(r.DisabledKind), Reason: r.DisabledReason, At: moment(r.DisabledAt),
		}
	}
	if r.LastID != uuid.Nil {
		full.LastExecution = &lastRunResult{ID: r.LastID.String(), Status: r.LastStatus, At: moment(r.LastAt)}
		if r.LastSessionID != uuid.Nil {
			full.LastExecution.SessionID = r.LastSessionID.String()
		}
	}
	return full, nil
}

func (c *caller) automationItem(a *db.Automation) automationItem {
	item := automationItem{
		ID: a.ID.String(), Name: a.Name, URL: c.link(views.AutomationURL(a.ID.String())), Trigger: string(a.Trigger),
		When: automation.TriggerWords(a), Enabled: a.Enabled, Warning: automation.Warning(a),
		NextRunAt:     moment(a.NextRunAt),
		FailureStreak: a.FailureStreak, Version: a.Version,
	}
	if a.Workspace != nil {
		item.Workspace = a.Workspace.Name
	}
	return item
}

type automationArgs struct {
	Automation string `json:"automation,omitempty" jsonschema:"id of the automation; a session may leave it out for the one that started it"`
}

type runsArgs struct {
	Automation string `json:"automation,omitempty" jsonschema:"id of the automation; a session may leave it out for the one that started it"`
	Before     string `json:"before,omitempty" jsonschema:"next of the answer before"`
	Limit      int    `json:"limit,omitempty" jsonschema:"at most 100; 25 when left out"`
}

type runResult struct {
	ID         string     `json:"id"`
	Status     string     `json:"status"`
	Source     string     `json:"source,omitempty"` // schedule, manual or webhook
	Reason     string     `json:"reason,omitempty"` // why it failed, was skipped or missed
	Answer     string     `json:"answer,omitempty"` // the agent's final answer
	CreatedAt  time.Time  `json:"created_at"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
	SessionID  string     `json:"session_id,omitempty"`
	SessionURL string     `json:"session_url,omitempty"`
	This       bool       `json:"this_run,omitempty"` // the run that asks
}

type runList struct {
	Runs []runResult `json:"runs"`           // the newest first
	Next string      `json:"next,omitempty"` // there are more: pass it as before
}

// automationTools read automations and, for people and for sessions that may, change and run them.
func (c *caller) automationTools(server *sdk.Server) {
	add(c, server, "read_automation", "Read an automation: what starts it, what it does, how it fares.", true,
		c.readAutomation)
	add(c, server, "list_past_runs", "List an automation's runs with their final answers, the newest first.", true,
		c.pastRuns)
	if c.session() && !c.actor.Can(account.Manage) {
		// The operations refuse too; tools that are always refused only mislead.
		server.AddReceivingMiddleware(c.refuseUnlisted("list_automations", "run_automation", "create_automation",
			"edit_automation", "enable_automation"))
		return
	}
	add(c, server, "list_automations", "List automations by name.", true, c.listAutomations)
	add(c, server, "run_automation", "Run an automation now, without changing its schedule.", false, c.runAutomation)
	add(c, server, "create_automation", "Create an automation.", false, c.createAutomation)
	add(c, server, "edit_automation", "Change an automation. What is left out stays.", false, c.editAutomation)
	add(c, server, "enable_automation",
		"Switch an automation on or off. Switched on it starts anew. An HTTP Trigger is always on.", false,
		c.enableAutomation)
}

// automationOf finds the automation that is meant: by id, or of a session the one that started it.
func (c *caller) automationOf(ctx context.Context, text string) (*db.Automation, error) {
	if c.session() {
		own, err := c.server.Rules.Agents().Automation(ctx, c.actor)
		if text == "" || err == nil && own.ID.String() == text {
			return own, err
		}
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return nil, fault.Invalid{"automation": "Give the id of an automation."}
	}
	return c.server.Rules.Definitions().Find(ctx, c.actor, id)
}

func (c *caller) readAutomation(ctx context.Context, in automationArgs) (AutomationResult, error) {
	a, err := c.automationOf(ctx, in.Automation)
	if err != nil {
		return AutomationResult{}, err
	}
	return c.automation(ctx, a.ID)
}

// maxAnswer is how much of a past run's final answer a list has, in bytes.
const maxAnswer = 4 << 10

func (c *caller) pastRuns(ctx context.Context, in runsArgs) (runList, error) {
	a, err := c.automationOf(ctx, in.Automation)
	if err != nil {
		return runList{}, err
	}
	most := limit(in.Limit)
	list, err := c.server.Rules.Agents().PastRuns(ctx, c.actor, a.ID, cursor(in.Before), most+1)
	if err != nil {
		return runList{}, err
	}
	answer := runList{Runs: []runResult{}}
	if len(list) > most {
		list = list[:most]
		answer.Next = list[most-1].ID.String()
	}
	for _, e := range list {
		r := runResult{
			ID: e.ID.String(), Status: string(e.Status), Source: string(e.Source), Reason: e.Reason, Answer: e.Answer,
			CreatedAt: e.CreatedAt.UTC(),
		}
		if len(r.Answer) > maxAnswer {
			r.Answer = strings.ToValidUTF8(r.Answer[:maxAnswer], "") + "…"
		}
		if !e.FinishedAt.IsZero() {
			at := e.FinishedAt.UTC()
			r.FinishedAt = &at
		}
		if e.SessionID != uuid.Nil {
			r.SessionID, r.SessionURL = e.SessionID.String(), c.link(views.SessionURL(e.SessionID.String()))
			r.This = e.SessionID == c.actor.Session
		}
		answer.Runs = append(answer.Runs, r)
	}
	return answer, nil
}

type listAutomationsArgs struct {
	Workspace string `json:"workspace,omitempty" jsonschema:"name or id of the workspace; a session leaves it out"`
	Search    string `json:"search,omitempty" jsonschema:"a text in the name or the prompt"`
	After     string `json:"after,omitempty" jsonschema:"next of the answer before"`
	Limit     int    `json:"limit,omitempty" jsonschema:"at most 100; 25 when left out"`
}

type automationList struct {
	Automations []automationItem `json:"automations"`    // in short: read_automation has the rest
	Next        string           `json:"next,omitempty"` // there are more: pass it as after
}

func (c *caller) listAutomations(ctx context.Context, in listAutomationsArgs) (automationList, error) {
	most := limit(in.Limit)
	f := db.AutomationFilter{Search: in.Search, Limit: most + 1}
	if in.Workspace != "" {
		var err error
		if f.Workspace, err = c.workspaceOf(ctx, in.Workspace); err != nil {
			return automationList{}, err
		}
	}
	if in.After != "" {
		last, err := c.automationOf(ctx, in.After)
		if err != nil {
			return automationList{}, err
		}
		f.AfterName, f.AfterID = strings.ToLower(last.Name), last.ID
	}
	list, err := c.server.Rules.Definitions().List(ctx, c.actor, f)
	if err != nil {
		return automationList{}, err
	}
	answer := automationList{Automations: []automationItem{}}
	if len(list) > most {
		list = list[:most]
		answer.Next = list[most-1].ID.String()
	}
	for i := range list {
		answer.Automations = append(answer.Automations, c.automationItem(&list[i].Automation))
	}
	return answer, nil
}

type runAutomationArgs struct {
	Automation string            `json:"automation" jsonschema:"id of the automation"`
	Parameters map[string]string `json:"parameters,omitempty" jsonschema:"values for its placeholders or parameters, by name"`
}

type startedResult struct {
	ExecutionID string   `json:"execution_id"`
	SessionID   string   `json:"session_id"`
	SessionURL  string   `json:"session_url"`
	Unresolved  []string `json:"unresolved_placeholders,omitempty"`
}

func (c *caller) runAutomation(ctx context.Context, in runAutomationArgs) (startedResult, error) {
	a, err := c.automationOf(ctx, in.Automation)
	if err != nil {
		return startedResult{}, err
	}
	run, err := c.server.Rules.Runs().RunNow(ctx, c.actor, a.ID, in.Parameters)
	if err != nil {
		return startedResult{}, err
	}
	session := run.Session.ID.String()
	return startedResult{
		ExecutionID: run.Execution.ID.String(), SessionID: session, SessionURL: c.link(views.SessionURL(session)),
		Unresolved: run.Unresolved,
	}, nil
}

// AutomationFields are what a tool may say of an automation: all that the API takes. What is left out stays, or is the
// editor's default.
type AutomationFields struct {
	spec.Automation
	Workspace string `json:"workspace" jsonschema:"name or id of the workspace; a session leaves it out"`
	RunAt     string `json:"run_at" jsonschema:"of one_time: RFC 3339, or 2006-01-02T15:04 in time_zone"`
	Workflow  string `json:"workflow" jsonschema:"id of the workflow"`
	Bot       string `json:"bot" jsonschema:"id of the bot"`
}

type editAutomationArgs struct {
	AutomationFields
	ID string `json:"automation" required:"true" jsonschema:"id of the automation"`
}

type savedResult struct {
	Automation AutomationResult `json:"automation"`
	// of an HTTP Trigger, with its secret token; shown this once
	WebhookURL string `json:"webhook_url,omitempty"`
}

// fieldsOf are the fields of an automation as the tools have them.
func fieldsOf(in *automation.Input) AutomationFields {
	return AutomationFields{
		Automation: in.Automation, Workspace: in.Workspace, RunAt: in.RunAt, Workflow: in.Workflow, Bot: in.Bot,
	}
}

// into takes over fields that a patch has set.
func (f *AutomationFields) into(ctx context.Context, c *caller, in *automation.Input, patch spec.Patch) error {
	is := f.Automation
	is.Workspace = f.Workspace
	is.RunAt = f.RunAt
	is.Workflow = f.Workflow
	is.Bot = f.Bot
	if patch.Has("workspace") || f.Workspace == "" {
		workspace, err := c.workspaceOf(ctx, f.Workspace)
		if err != nil {
			return err
		}
		is.Workspace = workspace.String()
	}
	in.Patch(is, patch)
	return nil
}

func (c *caller) createAutomation(ctx context.Context, args spec.PatchOf[AutomationFields]) (savedResult, error) {
	input := automation.NewInput(c.actor)
	fields, err := args.Over(fieldsOf(&input))
	if err != nil {
		return savedResult{}, err
	}
	if err := fields.into(ctx, c, &input, args.Patch); err != nil {
		return savedResult{}, err
	}
	a, token, err := c.server.Rules.Definitions().Create(ctx, c.actor, input)
	if err != nil {
		return savedResult{}, err
	}
	return c.saved(ctx, a, token)
}

func (c *caller) editAutomation(ctx context.Context, args spec.PatchOf[editAutomationArgs]) (savedResult, error) {
	change, err := args.Over(editAutomationArgs{})
	if err != nil {
		return savedResult{}, err
	}
	a, err := c.automationOf(ctx, change.ID)
	if err != nil {
		return savedResult{}, err
	}
	if a, err = c.server.Rules.Definitions().Editable(ctx, c.actor, a.ID); err != nil {
		return savedResult{}, err
	}
	input := automation.InputWithValues(a)
	if change, err = args.Over(editAutomationArgs{AutomationFields: fieldsOf(&input)}); err != nil {
		return savedResult{}, err
	}
	if err := change.into(ctx, c, &input, args.Patch); err != nil {
		return savedResult{}, err
	}
	a, token, err := c.server.Rules.Definitions().Update(ctx, c.actor, a.ID, input)
	if err != nil {
		return savedResult{}, err
	}
	return c.saved(ctx, a, token)
}

type enableAutomationArgs struct {
	Automation string `json:"automation" jsonschema:"id of the automation"`
	Enabled    bool   `json:"enabled"`
}

func (c *caller) enableAutomation(ctx context.Context, in enableAutomationArgs) (savedResult, error) {
	a, err := c.automationOf(ctx, in.Automation)
	if err != nil {
		return savedResult{}, err
	}
	if err := c.server.Rules.Definitions().SetEnabled(ctx, c.actor, a.ID, in.Enabled); err != nil {
		return savedResult{}, err
	}
	return c.saved(ctx, a, "")
}

func (c *caller) saved(ctx context.Context, a *db.Automation, token string) (savedResult, error) {
	full, err := c.automation(ctx, a.ID)
	if err != nil {
		return savedResult{}, err
	}
	r := savedResult{Automation: full}
	if token != "" {
		r.WebhookURL = c.link(views.TriggerURL(token))
	}
	return r, nil
}

// moment is an instant in UTC; none for the zero time.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
