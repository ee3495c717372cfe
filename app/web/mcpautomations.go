package web

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/db"
	"carillon/views"
)

// automationResult is an automation as tools show it. Values of parameters are not in it: some may be secret.
type automationResult struct {
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

	Cron          string   `json:"cron,omitempty"`
	TimeZone      string   `json:"time_zone,omitempty"`
	SessionType   string   `json:"session_type,omitempty"`
	ExecutionType string   `json:"execution_type,omitempty"`
	Prompt        string   `json:"prompt,omitempty"`
	Placeholders  []string `json:"placeholders,omitempty"` // names that a run may be given values for
	Provider      string   `json:"provider,omitempty"`
	Model         string   `json:"model,omitempty"`
	AutoComplete  bool     `json:"auto_complete,omitempty"`
	CreatePR      bool     `json:"create_pr,omitempty"`
	Version       int64    `json:"version"`
}

func (c *mcpCaller) automationResult(a *db.Automation) automationResult {
	r := c.automationItem(a)
	r.Cron, r.TimeZone, r.SessionType, r.ExecutionType = a.Cron, a.TimeZone, string(a.SessionType), string(a.ExecutionType)
	r.Prompt, r.Placeholders = a.Prompt, c.server.Rules.Names(a.Provider, a.Prompt)
	r.Provider, r.Model, r.AutoComplete, r.CreatePR = a.Provider, a.Model, a.AutoComplete && a.Trigger != db.HTTP, a.CreatePR
	return r
}

// automationItem is an automation as a list has it.
func (c *mcpCaller) automationItem(a *db.Automation) automationResult {
	r := automationResult{
		ID: a.ID.String(), Name: a.Name, URL: c.link(views.AutomationURL(a.ID.String())), Trigger: string(a.Trigger), When: when(a), Enabled: a.Enabled,
		Warning: warning(a), FailureStreak: a.FailureStreak, Version: a.Version,
	}
	if a.Workspace != nil {
		r.Workspace = a.Workspace.Name
	}
	if !a.NextRunAt.IsZero() {
		at := a.NextRunAt.UTC()
		r.NextRunAt = &at
	}
	return r
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
func (c *mcpCaller) automationTools(server *mcp.Server) {
	add(c, server, "read_automation", "Read an automation: what starts it, what it does, how it fares.", true, c.readAutomation)
	add(c, server, "list_past_runs", "List an automation's runs with their final answers, the newest first.", true, c.pastRuns)
	if c.session() && !c.actor.Can(account.Manage) {
		// The operations refuse too; tools that are always refused only mislead.
		server.AddReceivingMiddleware(c.unlisted("list_automations", "run_automation", "create_automation", "edit_automation", "enable_automation"))
		return
	}
	add(c, server, "list_automations", "List automations by name.", true, c.listAutomations)
	add(c, server, "run_automation", "Run an automation now, without changing its schedule.", false, c.runAutomation)
	add(c, server, "create_automation", "Create an automation.", false, c.createAutomation)
	add(c, server, "edit_automation", "Change an automation. What is left out stays.", false, c.editAutomation)
	add(c, server, "enable_automation", "Switch an automation on or off. Switched on it starts anew. An HTTP Trigger is always on.", false, c.enableAutomation)
}

// automationOf finds the automation that is meant: by id, or of a session the one that started it.
func (c *mcpCaller) automationOf(ctx context.Context, text string) (*db.Automation, error) {
	if c.session() {
		own, err := c.server.Rules.OwnAutomation(ctx, c.actor)
		if text == "" || err == nil && own.ID.String() == text {
			return own, err
		}
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return nil, fault.Invalid{"automation": "Give the id of an automation."}
	}
	return c.server.Rules.Automation(ctx, c.actor, id)
}

func (c *mcpCaller) readAutomation(ctx context.Context, in automationArgs) (automationResult, error) {
	a, err := c.automationOf(ctx, in.Automation)
	if err != nil {
		return automationResult{}, err
	}
	return c.automationResult(a), nil
}

// maxAnswer is how much of a past run's final answer a list has, in bytes.
const maxAnswer = 4 << 10

func (c *mcpCaller) pastRuns(ctx context.Context, in runsArgs) (runList, error) {
	a, err := c.automationOf(ctx, in.Automation)
	if err != nil {
		return runList{}, err
	}
	most := limit(in.Limit)
	list, err := c.server.Rules.PastRuns(ctx, c.actor, a.ID, optionalID(in.Before), most+1)
	if err != nil {
		return runList{}, err
	}
	answer := runList{Runs: []runResult{}}
	if len(list) > most {
		list = list[:most]
		answer.Next = list[most-1].ID.String()
	}
	for _, e := range list {
		r := runResult{ID: e.ID.String(), Status: string(e.Status), Source: string(e.Source), Reason: e.Reason, Answer: e.Answer, CreatedAt: e.CreatedAt.UTC()}
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
	Automations []automationResult `json:"automations"`    // in short: read_automation has the rest
	Next        string             `json:"next,omitempty"` // there are more: pass it as after
}

func (c *mcpCaller) listAutomations(ctx context.Context, in listAutomationsArgs) (automationList, error) {
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
	list, err := c.server.Rules.Automations(ctx, c.actor, f)
	if err != nil {
		return automationList{}, err
	}
	answer := automationList{Automations: []automationResult{}}
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

func (c *mcpCaller) runAutomation(ctx context.Context, in runAutomationArgs) (startedResult, error) {
	a, err := c.automationOf(ctx, in.Automation)
	if err != nil {
		return startedResult{}, err
	}
	run, err := c.server.Rules.RunNow(ctx, c.actor, a.ID, in.Parameters)
	if err != nil {
		return startedResult{}, err
	}
	session := run.Session.ID.String()
	return startedResult{ExecutionID: run.Execution.ID.String(), SessionID: session, SessionURL: c.link(views.SessionURL(session)), Unresolved: run.Unresolved}, nil
}

// automationFields are what a tool may say of an automation: all that the API takes. What is nil stays, or is the editor's default.
type automationFields struct {
	Name            *string           `json:"name,omitempty"`
	Workspace       *string           `json:"workspace,omitempty" jsonschema:"name or id of the workspace; a session leaves it out"`
	Trigger         *string           `json:"trigger,omitempty" jsonschema:"manual, one_time, recurring, loop or http"`
	RunAt           *string           `json:"run_at,omitempty" jsonschema:"one_time: RFC 3339, or 2006-01-02T15:04 in time_zone; another time zone alone leaves the moment as it is"`
	Cron            *string           `json:"cron,omitempty" jsonschema:"recurring: five fields, such as 0 2 * * *"`
	TimeZone        *string           `json:"time_zone,omitempty" jsonschema:"IANA name, such as Europe/Berlin"`
	CatchUp         *bool             `json:"catch_up,omitempty" jsonschema:"recurring: run once after downtime"`
	MaxIterations   *int              `json:"max_iterations,omitempty" jsonschema:"loop; 0: without limit"`
	StopText        *string           `json:"stop_text,omitempty" jsonschema:"loop: stop when the final answer contains this"`
	AllowParallel   *bool             `json:"allow_parallel,omitempty" jsonschema:"http: several sessions at once"`
	MaxParallel     *int              `json:"max_parallel,omitempty" jsonschema:"http: the most at once; 0: without limit"`
	Sender          *string           `json:"sender,omitempty" jsonschema:"http: who signs the calls; empty: the token is enough"`
	SignatureHeader *string           `json:"signature_header,omitempty" jsonschema:"http: where a sender of another kind has its signature"`
	SignatureSecret *string           `json:"signature_secret,omitempty" jsonschema:"http: left out, the one stored stays"`
	Filter          *APIFilter        `json:"filter,omitempty" jsonschema:"http: what a payload must have to start a run, as a whole; field is a dotted path, and with any one condition is enough"`
	AppendPayload   *bool             `json:"append_payload,omitempty" jsonschema:"http: the payload is added to the prompt"`
	SessionType     *string           `json:"session_type,omitempty" jsonschema:"develop, chat or bot"`
	ExecutionType   *string           `json:"execution_type,omitempty" jsonschema:"inline or workflow"`
	Prompt          *string           `json:"prompt,omitempty" jsonschema:"what the agent is to do; {{name}} is filled in when it runs"`
	Workflow        *string           `json:"workflow,omitempty" jsonschema:"id of the workflow"`
	Bot             *string           `json:"bot,omitempty" jsonschema:"id of the bot"`
	Parameters      map[string]string `json:"parameters,omitempty" jsonschema:"stored values by name; those not named stay"`
	BaseBranch      *string           `json:"base_branch,omitempty"`
	Provider        *string           `json:"provider,omitempty" jsonschema:"id of the coding agent; empty: the workspace's default. Another one than before has its own default model, unless a model is given"`
	Model           *string           `json:"model,omitempty"`
	Toggles         *[]string         `json:"toggles,omitempty" jsonschema:"session modes of develop: code_architecture, ux_enhancement, edge_cases, code_review, verification, update_tests, update_docs"`
	AutoComplete    *bool             `json:"auto_complete,omitempty" jsonschema:"mark the session Done when the run ends; not of http"`
	OnlyUnchanged   *bool             `json:"only_unchanged,omitempty" jsonschema:"complete only if no files changed"`
	CreatePR        *bool             `json:"create_pr,omitempty" jsonschema:"open a pull request after a successful run that changed files"`
	MayAutomate     *bool             `json:"may_automate,omitempty" jsonschema:"its sessions may create, edit and run automations; a session cannot set this"`
	Timeout         *float64          `json:"timeout_minutes,omitempty" jsonschema:"0: none"`
	Retries         *int              `json:"retries,omitempty" jsonschema:"how often a failure that passes by itself is tried again"`
	Gate            *APIGate          `json:"gate,omitempty" jsonschema:"what lets a run begin, as a whole: command is a script whose exit status 0 lets it through"`
	Success         *APISuccess       `json:"success,omitempty" jsonschema:"what must hold at the end of a run, as a whole: command is a script whose exit status 0 is right"`
	Budget          *APIBudget        `json:"budget,omitempty" jsonschema:"the most that a run, a day and a month may use, as a whole: money in US dollars; 0: no limit"`
}

type editAutomationArgs struct {
	Automation string `json:"automation" jsonschema:"id of the automation"`
	automationFields
}

type savedResult struct {
	Automation automationResult `json:"automation"`
	WebhookURL string           `json:"webhook_url,omitempty"` // of an HTTP Trigger, with its secret token; shown this once
}

// into puts what a tool says over what is there.
func (f *automationFields) into(ctx context.Context, c *mcpCaller, in *automation.Input) error {
	said := APIAutomationFields{
		Name: f.Name, Trigger: f.Trigger, Cron: f.Cron, TimeZone: f.TimeZone, CatchUp: f.CatchUp, MaxIterations: f.MaxIterations, StopText: f.StopText,
		AllowParallel: f.AllowParallel, MaxParallel: f.MaxParallel, Sender: f.Sender, SignatureHeader: f.SignatureHeader, SignatureSecret: f.SignatureSecret,
		Filter: f.Filter, AppendPayload: f.AppendPayload, SessionType: f.SessionType, ExecutionType: f.ExecutionType, Prompt: f.Prompt,
		WorkflowID: f.Workflow, BotID: f.Bot, Parameters: f.Parameters, BaseBranch: f.BaseBranch, Provider: f.Provider, Model: f.Model, Toggles: f.Toggles,
		AutoComplete: f.AutoComplete, OnlyUnchanged: f.OnlyUnchanged, CreatePR: f.CreatePR, MayAutomate: f.MayAutomate, TimeoutMinutes: f.Timeout,
		Retries: f.Retries, Gate: f.Gate, Success: f.Success, Budget: f.Budget,
	}
	said.into(in)
	set(&in.RunAt, f.RunAt)
	if f.Workspace == nil && in.Workspace != "" {
		return nil
	}
	text := ""
	if f.Workspace != nil {
		text = *f.Workspace
	}
	workspace, err := c.workspaceOf(ctx, text)
	in.Workspace = workspace.String()
	return err
}

func (c *mcpCaller) createAutomation(ctx context.Context, in automationFields) (savedResult, error) {
	input := blankAutomation(c.actor)
	if err := in.into(ctx, c, &input); err != nil {
		return savedResult{}, err
	}
	a, token, err := c.server.Rules.Create(ctx, c.actor, input)
	if err != nil {
		return savedResult{}, err
	}
	return c.saved(ctx, a, token)
}

func (c *mcpCaller) editAutomation(ctx context.Context, in editAutomationArgs) (savedResult, error) {
	a, err := c.automationOf(ctx, in.Automation)
	if err != nil {
		return savedResult{}, err
	}
	if a, err = c.server.Rules.Editable(ctx, c.actor, a.ID); err != nil {
		return savedResult{}, err
	}
	input := inputOf(a)
	input.Parameters, _ = automation.StoredValues(a) // what is secret stays where it is stored
	if err := in.into(ctx, c, &input); err != nil {
		return savedResult{}, err
	}
	a, token, err := c.server.Rules.Update(ctx, c.actor, a.ID, input)
	if err != nil {
		return savedResult{}, err
	}
	return c.saved(ctx, a, token)
}

type enableAutomationArgs struct {
	Automation string `json:"automation" jsonschema:"id of the automation"`
	Enabled    bool   `json:"enabled"`
}

func (c *mcpCaller) enableAutomation(ctx context.Context, in enableAutomationArgs) (savedResult, error) {
	a, err := c.automationOf(ctx, in.Automation)
	if err != nil {
		return savedResult{}, err
	}
	if err := c.server.Rules.SetEnabled(ctx, c.actor, a.ID, in.Enabled); err != nil {
		return savedResult{}, err
	}
	return c.saved(ctx, a, "")
}

func (c *mcpCaller) saved(ctx context.Context, a *db.Automation, token string) (savedResult, error) {
	a, err := c.server.Rules.Automation(ctx, c.actor, a.ID)
	if err != nil {
		return savedResult{}, err
	}
	r := savedResult{Automation: c.automationResult(a)}
	if token != "" {
		r.WebhookURL = c.server.webhookURL(token).String()
	}
	return r, nil
}
