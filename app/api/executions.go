package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/form"
	"carillon/app/workflow"
	"carillon/db"
	"carillon/views"
)

// ExecutionItem is an execution as a list has it.
type ExecutionItem struct {
	ID               string     `json:"id" format:"uuid"`
	URL              string     `json:"url" format:"uri" doc:"Its page."`
	Automation       Named      `json:"automation"`
	SessionID        string     `json:"session_id,omitempty" format:"uuid" doc:"The session that it launched; absent where none was."`
	Status           string     `json:"status" enum:"queued,running,succeeded,failed,canceled,timed_out,skipped,missed"`
	Source           string     `json:"source,omitempty" enum:"schedule,manual,webhook"`
	Mark             string     `json:"mark,omitempty" enum:"loop,catch_up,replay"`
	StartedBy        *Named     `json:"started_by,omitempty" doc:"Of a manual one: who."`
	TokenFingerprint string     `json:"token_fingerprint,omitempty" doc:"Of a webhook: which token was used."`
	Reason           string     `json:"reason,omitempty" doc:"Why it failed, was skipped or missed."`
	ErrorClass       string     `json:"error_class,omitempty" doc:"Of a failure: its kind."`
	Neutral          bool       `json:"neutral" doc:"It counts for no streak of failures."`
	Result           string     `json:"result,omitempty" doc:"Of a success: nothing_to_do, or absent."`
	Iteration        int        `json:"iteration,omitempty" doc:"Of a loop."`
	SkipCount        int        `json:"skip_count,omitempty" doc:"Of skipped: how many due times it stands for."`
	ScheduledFor     *time.Time `json:"scheduled_for,omitempty"`
	CreatedAt        time.Time  `json:"created_at"`
	StartedAt        *time.Time `json:"started_at,omitempty"`
	FinishedAt       *time.Time `json:"finished_at,omitempty"`
}

// Execution is an execution in full. Secret values are not in it.
type Execution struct {
	ExecutionItem

	Answer                 string            `json:"answer" doc:"The agent's final answer."`
	ExitCode               *int              `json:"exit_code,omitempty"`
	BlockedBy              string            `json:"blocked_by,omitempty" format:"uuid" doc:"Of skipped: the execution that was in the way."`
	Parameters             map[string]string `json:"parameters" doc:"Values with which it ran, without the secret ones."`
	SecretParameters       []string          `json:"secret_parameters" doc:"Names of the secret values with which it ran."`
	UnresolvedPlaceholders []string          `json:"unresolved_placeholders,omitempty"`
	Prompt                 string            `json:"prompt" doc:"As written, before its placeholders were filled."`
	Provider               string            `json:"provider"`
	Model                  string            `json:"model"`
	Usage                  Usage             `json:"usage"`
}

// Usage is what a run used. What the agent did not tell is absent, not zero.
type Usage struct {
	Turns        int      `json:"turns" doc:"Messages to the agent."`
	InputTokens  *int64   `json:"input_tokens,omitempty"`
	CachedTokens *int64   `json:"cached_tokens,omitempty"`
	OutputTokens *int64   `json:"output_tokens,omitempty"`
	CostUSD      *float64 `json:"cost_usd,omitempty"`
	Complete     bool     `json:"complete" doc:"The agent told the tokens of every message."`
}

const executionsTag = "Executions"

// executions are the operations on executions.
type executions struct{ *Server }

func (a executions) routes() {
	answers(a.Server, operation{
		method: http.MethodGet, path: "/executions", name: "listExecutions", tag: executionsTag,
		summary: "List executions, the newest first",
	}, a.list)
	answers(a.Server, operation{method: http.MethodGet, path: "/executions/{id}", name: "getExecution",
		tag:     executionsTag,
		summary: "Get an execution",
		about:   "Ask again until its status is neither queued nor running."}, a.get)
	answers(a.Server, operation{method: http.MethodPost, path: "/executions/{id}/cancellation", name: "cancelExecution",
		tag: executionsTag, summary: "Cancel an execution",
		about: "One that is running ends as soon as its agent has. One that is over stays as it is."},
		a.cancel)
	creates(a.Server, operation{method: http.MethodPost, path: "/executions/{id}/repetitions", name: "repeatExecution",
		tag: executionsTag, summary: "Run again with the same input",
		about: "The automation runs as it is now."}, a.repeat)
}

type ExecutionsQuery struct {
	ListQuery
	Status []string  `query:"status" enum:"queued,running,succeeded,failed,canceled,timed_out,skipped,missed" doc:"Of these; commas between them."`
	Source string    `query:"source" enum:"schedule,manual,webhook"`
	From   time.Time `query:"from" doc:"Created then or later."`
	To     time.Time `query:"to" doc:"Created before."`
}

type listExecutionsQuery struct {
	ExecutionsQuery
	Automation string `query:"automation_id" format:"uuid"`
	Workspace  string `query:"workspace_id" format:"uuid"`
}

type automationExecutionsQuery struct {
	OneByID
	ExecutionsQuery
}

func (q *ExecutionsQuery) filter() (db.ExecutionFilter, error) {
	f := db.ExecutionFilter{Source: db.Source(q.Source), From: q.From, To: q.To, Limit: q.Limit + 1}
	for _, status := range q.Status {
		f.Statuses = append(f.Statuses, db.ExecutionStatus(status))
	}
	var err error
	f.Before, err = q.afterID()
	return f, err
}

func (a executions) page(ctx context.Context, actor account.Actor,
	f db.ExecutionFilter) (PageOf[ExecutionItem], error) {
	list, err := a.Rules.Runs().List(ctx, actor, f)
	if err != nil {
		return PageOf[ExecutionItem]{}, err
	}
	return paginate(list, f.Limit-1, a.item, func(e *db.Execution) []string {
		return []string{e.ID.String()}
	}), nil
}

func (a executions) list(ctx context.Context, actor account.Actor,
	in *listExecutionsQuery) (PageOf[ExecutionItem], error) {
	f, err := in.filter()
	if err != nil {
		return PageOf[ExecutionItem]{}, err
	}
	f.Automation, f.Workspace = form.OptionalID(in.Automation), form.OptionalID(in.Workspace)
	return a.page(ctx, actor, f)
}

func (a executions) ofAutomation(ctx context.Context, actor account.Actor,
	in *automationExecutionsQuery) (PageOf[ExecutionItem], error) {
	f, err := in.filter()
	if err != nil {
		return PageOf[ExecutionItem]{}, err
	}
	if _, err := a.Rules.Definitions().Find(ctx, actor, in.id()); err != nil {
		return PageOf[ExecutionItem]{}, err
	}
	f.Automation = in.id()
	return a.page(ctx, actor, f)
}

func (a executions) item(e *db.Execution) ExecutionItem {
	item := ExecutionItem{
		ID: e.ID.String(), URL: a.link(views.ExecutionURL(e.ID.String())),
		Automation: Named{ID: e.AutomationID.String(), Name: e.Snapshot.Name}, SessionID: idOrNone(e.SessionID),
		Status: string(e.Status), Source: string(e.Source), Mark: string(e.Mark), TokenFingerprint: e.TokenFingerprint,
		Reason: e.Reason, ErrorClass: e.ErrorClass, Neutral: e.Neutral,
		Result: e.Result, Iteration: e.Iteration, SkipCount: e.SkipCount, ScheduledFor: moment(e.ScheduledFor),
		CreatedAt: e.CreatedAt.UTC(), StartedAt: moment(e.StartedAt),
		FinishedAt: moment(e.FinishedAt),
	}
	if e.Automation != nil {
		item.Automation.Name = e.Automation.Name
	}
	if e.User != nil {
		item.StartedBy = &Named{ID: e.UserID.String(), Name: e.User.Name}
	}
	return item
}

func (a executions) full(e *db.Execution) Execution {
	plain, secret := workflow.GivenValues(e)
	full := Execution{
		ExecutionItem: a.item(e), Answer: e.Answer, ExitCode: e.ExitCode, BlockedBy: idOrNone(e.BlockedBy),
		Parameters: plain, SecretParameters: secret,
		UnresolvedPlaceholders: e.Unresolved, Prompt: e.Snapshot.Prompt, Provider: e.Snapshot.Provider,
		Model: e.Snapshot.Model,
		Usage: Usage{Turns: e.Turns, Complete: e.Turns > 0 && e.Counted == e.Turns},
	}
	if e.Counted > 0 || e.Tokens() > 0 {
		full.Usage.InputTokens, full.Usage.CachedTokens, full.Usage.OutputTokens = &e.TokensIn, &e.TokensCached,
			&e.TokensOut
	}
	if e.Priced > 0 || e.CostUSD > 0 {
		full.Usage.CostUSD = &e.CostUSD
	}
	return full
}

func (a executions) get(ctx context.Context, actor account.Actor, in *OneByID) (Execution, error) {
	e, err := a.Rules.Runs().Find(ctx, actor, in.id())
	if err != nil {
		return Execution{}, err
	}
	return a.full(e), nil
}

func (a executions) cancel(ctx context.Context, actor account.Actor, in *OneByID) (Execution, error) {
	if err := a.Rules.Runs().Cancel(ctx, actor, in.id()); err != nil {
		return Execution{}, err
	}
	return a.get(ctx, actor, in)
}

func (a executions) repeat(ctx context.Context, actor account.Actor, in *OneByID) (Started, string, error) {
	run, _, err := a.Rules.Runs().RunAgain(ctx, actor, in.id())
	if err != nil {
		return Started{}, "", err
	}
	return a.started(run.Execution.ID, run.Session.ID, run.Unresolved)
}

// started is a run that was started, with the path of its execution.
func (s *Server) started(execution, session uuid.UUID, unresolved []string) (Started, string, error) {
	return Started{
		ExecutionID: execution.String(), SessionID: session.String(),
		SessionURL: s.link(views.SessionURL(session.String())), UnresolvedPlaceholders: unresolved,
	}, "executions/" + execution.String(), nil
}
