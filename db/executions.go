package db

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Execution is one firing of an automation, or one due time that was skipped or missed.
type Execution struct {
	bun.BaseModel `bun:"table:executions,alias:e"`

	ID               uuid.UUID         `bun:"id,pk,type:uuid"`
	AutomationID     uuid.UUID         `bun:"automation_id,type:uuid"`
	SessionID        uuid.UUID         `bun:"session_id,nullzero,type:uuid"`
	Source           Source            `bun:"source,nullzero"`
	Mark             Mark              `bun:"mark"`
	UserID           uuid.UUID         `bun:"user_id,nullzero,type:uuid"`
	TokenFingerprint string            `bun:"token_fingerprint"`
	Status           ExecutionStatus   `bun:"status"`
	Parallel         bool              `bun:"parallel"`
	Neutral          bool              `bun:"neutral"`
	Reason           string            `bun:"reason"`
	ErrorClass       string            `bun:"error_class"`
	ExitCode         *int              `bun:"exit_code,type:integer"`
	BlockedBy        uuid.UUID         `bun:"blocked_by,nullzero,type:uuid"`
	ScheduledFor     time.Time         `bun:"scheduled_for,nullzero"`
	SkipCount        int               `bun:"skip_count"`
	LastSkippedFor   time.Time         `bun:"last_skipped_for,nullzero"`
	Iteration        int               `bun:"iteration"`
	Answer           string            `bun:"answer"`
	Result           string            `bun:"result"` // of a successful run: empty or NothingToDo
	Parameters       map[string]string `bun:"parameters,type:jsonb"`
	Unresolved       []string          `bun:"unresolved,array,type:text[]"` // nil: a workflow; empty: all resolved
	Snapshot         Snapshot          `bun:"snapshot,type:jsonb"`
	CreatedAt        time.Time         `bun:"created_at"`
	StartedAt        time.Time         `bun:"started_at,nullzero"`
	FinishedAt       time.Time         `bun:"finished_at,nullzero"`
	// working time of earlier attempts and of the time before resumes, without waiting
	WorkedSeconds float64 `bun:"worked_seconds"`

	Usage // the sums over its turns

	Automation *Automation `bun:"rel:belongs-to,join:automation_id=id"`
	User       *User       `bun:"rel:belongs-to,join:user_id=id"`
	Session    *Session    `bun:"rel:belongs-to,join:session_id=id"`
}

// Source says what fired an automation.
type Source string

// The trigger sources of the specification. The empty source was written before attribution existed.
const (
	BySchedule Source = "schedule"
	ByHand     Source = "manual"
	ByWebhook  Source = "webhook"
)

// Mark distinguishes runs of one source.
type Mark string

// The marks.
const (
	LoopMark    Mark = "loop"
	CatchUpMark Mark = "catch_up"
	ReplayMark  Mark = "replay"
)

// ExecutionStatus is the progress or the end of an execution.
type ExecutionStatus string

// InFlight reports whether the execution has not ended.
func (s ExecutionStatus) InFlight() bool { return s == Queued || s == Running }

// The statuses of an execution.
const (
	Queued    ExecutionStatus = "queued"
	Running   ExecutionStatus = "running"
	Succeeded ExecutionStatus = "succeeded"
	Failed    ExecutionStatus = "failed"
	Canceled  ExecutionStatus = "canceled"
	TimedOut  ExecutionStatus = "timed_out"
	Skipped   ExecutionStatus = "skipped"
	Missed    ExecutionStatus = "missed"
)

// ExecutionStatuses lists all statuses, in the order of a list for people.
var ExecutionStatuses = []ExecutionStatus{Queued, Running, Succeeded, Failed, TimedOut, Canceled, Skipped, Missed}

// NothingToDo is the result of a run that succeeded by finding nothing to do.
const NothingToDo = "nothing_to_do"

// Classes of errors that end a run without a fault of the automation.
const (
	// the network, the forge, a lock or the disk could not be used for a moment
	ErrorOutage   = "outage"
	ErrorWaiting  = "waiting"  // no worker took it in time
	ErrorInternal = "internal" // an internal error of Carillon
	ErrorLost     = "interrupted"
)

// ErrorBudget is the error class of runs that a budget prevented or stopped.
const ErrorBudget = "budget"

// ErrorGate is the error class of runs that a gate prevented.
const ErrorGate = "gate"

// Snapshot is the automation at the time of a firing. Later edits do not change it.
type Snapshot struct {
	Name           string        `json:"name"`
	Trigger        Trigger       `json:"trigger"`
	SessionType    SessionType   `json:"session_type"`
	ExecutionType  ExecutionType `json:"execution_type"`
	Prompt         string        `json:"prompt,omitempty"` // as written, before its placeholders were filled
	WorkflowID     uuid.UUID     `json:"workflow_id,omitzero"`
	WorkflowName   string        `json:"workflow_name,omitempty"`
	Steps          []Step        `json:"steps,omitempty"`      // of the workflow
	Parameters     []Parameter   `json:"parameters,omitempty"` // of the workflow, without the defaults of secrets
	TimeZone       string        `json:"time_zone,omitempty"`  // of the automation
	Cron           string        `json:"cron,omitempty"`       // of a Recurring
	BotID          uuid.UUID     `json:"bot_id,omitzero"`
	BotName        string        `json:"bot_name,omitempty"`
	Instructions   string        `json:"instructions,omitempty"` // of the bot
	AllowedTools   []string      `json:"allowed_tools,omitempty"`
	ReadOnly       bool          `json:"read_only,omitempty"`
	Provider       string        `json:"provider"`
	Model          string        `json:"model,omitempty"`
	BaseBranch     string        `json:"base_branch,omitempty"`
	Toggles        []string      `json:"toggles,omitempty"`
	AutoComplete   bool          `json:"auto_complete"`
	OnlyUnchanged  bool          `json:"only_unchanged"`
	CreatePR       bool          `json:"create_pr,omitempty"`
	MayAutomate    bool          `json:"may_automate,omitempty"`
	TimeoutSeconds int           `json:"timeout_seconds"`
	Retries        int           `json:"retries,omitempty"`
	StopText       string        `json:"stop_text,omitempty"`
	Gate           Gate          `json:"gate,omitzero"`
	Success        SuccessCheck  `json:"success,omitzero"`
	Version        int64         `json:"version"`

	// Outside are the names of the run's values that came with a webhook call; nil: none, or the execution is older
	// than this field.
	Outside []string `json:"outside,omitzero"`
	// Untrusted is the name of the marks that enclose these values in the prompt; empty: there are no marks.
	Untrusted string `json:"untrusted,omitempty"`
}

// ExecutionByID finds an execution with its automation, the person who started it, and its session.
func ExecutionByID(ctx context.Context, q bun.IDB, id uuid.UUID) (*Execution, error) {
	var e Execution
	err := q.NewSelect().Model(&e).Relation("Automation").Relation("User").Relation("Session").Where("e.id = ?", id).
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find execution %s: %w", id, err)
	}
	return &e, nil
}

// ExecutionBySession finds the execution that launched a session.
func ExecutionBySession(ctx context.Context, q bun.IDB, session uuid.UUID) (*Execution, error) {
	var e Execution
	err := q.NewSelect().Model(&e).Relation("Automation").Relation("User").Where("e.session_id = ?", session).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find execution of session %s: %w", session, err)
	}
	return &e, nil
}

// RunsOf finds the status and the result of the executions that launched some sessions, by session.
func RunsOf(ctx context.Context, q bun.IDB, sessions []uuid.UUID) (map[uuid.UUID]Execution, error) {
	if len(sessions) == 0 {
		return nil, nil
	}
	var list []Execution
	err := q.NewSelect().Model(&list).Column("id", "session_id", "status", "result").
		Where("e.session_id = ANY(?::uuid[])", UUIDs(sessions)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list executions of sessions: %w", err)
	}
	runs := make(map[uuid.UUID]Execution, len(list))
	for _, e := range list {
		runs[e.SessionID] = e
	}
	return runs, nil
}

// LockExecutionInFlight finds and locks the execution in flight of a session.
func LockExecutionInFlight(ctx context.Context, tx bun.Tx, session uuid.UUID) (*Execution, error) {
	var e Execution
	err := tx.NewSelect().Model(&e).Where("e.session_id = ?", session).Where("e.status IN ('queued', 'running')").
		For("UPDATE").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock execution of session %s: %w", session, err)
	}
	return &e, nil
}

// LastSuccess finds the base commit of an automation's last successful run; empty: there was none.
func LastSuccess(ctx context.Context, q bun.IDB, automation uuid.UUID) (string, error) {
	var commit string
	err := q.NewRaw(`SELECT s.base_commit FROM executions e JOIN sessions s ON s.id = e.session_id
		WHERE e.automation_id = ? AND e.status = 'succeeded' ORDER BY e.id DESC LIMIT 1`, automation).Scan(ctx, &commit)
	if IsNotFound(err) {
		return "", nil
	}
	return commit, wrap(err, "find the last success")
}

// PreviousRunFailedAlike reports whether the run of the automation before an execution failed with the same error
// class.
func PreviousRunFailedAlike(ctx context.Context, q bun.IDB, e *Execution) (bool, error) {
	var class string
	err := q.NewRaw(`SELECT CASE WHEN status = 'failed' THEN error_class ELSE '' END FROM executions
		WHERE automation_id = ? AND id < ? AND session_id IS NOT NULL ORDER BY id DESC LIMIT 1`, e.AutomationID, e.ID).
		Scan(ctx, &class)
	if IsNotFound(err) {
		return false, nil
	}
	return class == e.ErrorClass, wrap(err, "find the run before "+e.ID.String())
}

// InsertExecution writes an execution without a session: failed to start, skipped or missed. It reports whether it has
// written the row. A due time gets no second row, and nothing may refer to a row that was not written.
func InsertExecution(ctx context.Context, q bun.IDB, e *Execution) (bool, error) {
	res, err := q.NewInsert().Model(e).On("CONFLICT DO NOTHING").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("insert execution: %w", err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// EndExecution writes the end of an execution.
func EndExecution(ctx context.Context, q bun.IDB, e *Execution) error {
	_, err := q.NewUpdate().Model(e).Column("status", "reason", "error_class", "exit_code", "neutral", "answer",
		"result", "skip_count", "last_skipped_for", "started_at", "finished_at").WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("end execution %s: %w", e.ID, err)
	}
	return nil
}

// AddWorkedTime adds the time since a worker took a session to the working time of the session's run in flight, if
// there is one.
func AddWorkedTime(ctx context.Context, q bun.IDB, session uuid.UUID, until time.Time) error {
	_, err := q.NewRaw(`UPDATE executions e SET worked_seconds = worked_seconds + greatest(0, extract(epoch
		FROM ? - s.at_work_since))
		FROM sessions s WHERE s.id = ? AND e.session_id = s.id AND e.status IN ('queued', 'running')
			AND s.at_work_since IS NOT NULL`, until, session).Exec(ctx)
	return wrap(err, "add the working time of session "+session.String()+" has worked")
}

// DeleteExecution removes an execution whose due time another row answers.
func DeleteExecution(ctx context.Context, tx bun.Tx, id uuid.UUID) error {
	_, err := tx.NewDelete().Model((*Execution)(nil)).Where("e.id = ?", id).Exec(ctx)
	return wrap(err, "delete execution "+id.String())
}

// ExecutionFilter narrows history. Zero fields do not narrow.
type ExecutionFilter struct {
	Access     Access
	Automation uuid.UUID
	Workspace  uuid.UUID
	Statuses   []ExecutionStatus
	Result     string // NothingToDo
	Source     Source
	User       uuid.UUID
	From, To   time.Time // of created_at; To is exclusive
	Before     uuid.UUID // keyset: older than this one
	After      uuid.UUID // keyset: newer than this one, oldest first in SQL but newest first in the answer
	Limit      int
}

// Executions lists history, newest first. It leaves out the values of runs, and the prompt, steps, parameters and
// instructions of their snapshots, which may be megabytes each.
func Executions(ctx context.Context, q bun.IDB, f ExecutionFilter) ([]Execution, error) {
	var list []Execution
	sel := q.NewSelect().Model(&list).Relation("Automation").Relation("User").
		ExcludeColumn("snapshot", "parameters").
		ColumnExpr("e.snapshot - '{prompt,steps,parameters,instructions}'::text[] AS snapshot").
		Limit(int64(f.Limit))
	sel = f.Access.narrow(sel, "automation", "creator_id")
	if f.Automation != uuid.Nil {
		sel = sel.Where("e.automation_id = ?", f.Automation)
	}
	if f.Workspace != uuid.Nil {
		sel = sel.Where("automation.workspace_id = ?", f.Workspace)
	}
	if len(f.Statuses) > 0 {
		sel = sel.Where("e.status IN (?)", bun.List(f.Statuses))
	}
	if f.Result == NothingToDo { // written out, for its index
		sel = sel.Where("e.result = 'nothing_to_do'")
	}
	if f.Source != "" {
		sel = sel.Where("e.source = ?", f.Source)
	}
	if f.User != uuid.Nil {
		sel = sel.Where("e.user_id = ?", f.User)
	}
	if !f.From.IsZero() {
		sel = sel.Where("e.created_at >= ?", f.From)
	}
	if !f.To.IsZero() {
		sel = sel.Where("e.created_at < ?", f.To)
	}
	switch {
	case f.Before != uuid.Nil:
		sel = sel.Where("e.id < ?", f.Before).OrderExpr("e.id DESC")
	case f.After != uuid.Nil:
		sel = sel.Where("e.id > ?", f.After).OrderExpr("e.id")
	default:
		sel = sel.OrderExpr("e.id DESC")
	}
	if err := sel.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list executions: %w", err)
	}
	if f.After != uuid.Nil {
		slices.Reverse(list)
	}
	return list, nil
}

// CountExecutions counts the executions of an automation, up to a cap, because an exact count of a long history is
// slow.
func CountExecutions(ctx context.Context, q bun.IDB, automation uuid.UUID, most int) (int, error) {
	var n int
	err := q.NewRaw("SELECT count(*) FROM (SELECT 1 FROM executions WHERE automation_id = ? LIMIT ?) t", automation,
		most).Scan(ctx, &n)
	if err != nil {
		return 0, fmt.Errorf("count executions: %w", err)
	}
	return n, nil
}

// Bar is one run in a bar chart of runs.
type Bar struct {
	AutomationID uuid.UUID     `bun:"automation_id"`
	Status       string        `bun:"status"`
	Seconds      float64       `bun:"seconds"`
	CreatedAt    time.Time     `bun:"created_at"`
	Duration     time.Duration `bun:"-"`
}

// LastRuns gives the newest n runs of each automation, oldest first, in one query.
func LastRuns(ctx context.Context, q bun.IDB, automations []uuid.UUID, n int) (map[uuid.UUID][]Bar, error) {
	var rows []Bar
	err := q.NewRaw(`SELECT e.automation_id, e.status, e.created_at,
			coalesce(extract(epoch FROM coalesce(e.finished_at, e.started_at) - e.started_at), 0)::float8 AS seconds
		FROM unnest(?::uuid[]) AS ids(id)
		CROSS JOIN LATERAL (SELECT * FROM executions x WHERE x.automation_id = ids.id ORDER BY x.id DESC LIMIT ?) e
		ORDER BY e.automation_id, e.id`, UUIDs(automations), n).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("list last runs: %w", err)
	}
	byID := make(map[uuid.UUID][]Bar, len(automations))
	for _, r := range rows {
		r.Duration = time.Duration(r.Seconds * float64(time.Second))
		byID[r.AutomationID] = append(byID[r.AutomationID], r)
	}
	return byID, nil
}

// PruneExecutions deletes executions that are older than before and not among the newest keep of their automation. It
// never deletes one in flight. It returns how many it deleted.
func PruneExecutions(ctx context.Context, q bun.IDB, before time.Time, keep int) (int64, error) {
	res, err := q.NewRaw(`DELETE FROM executions e USING (
			SELECT id FROM (
				SELECT id, status, created_at, row_number() OVER (PARTITION BY automation_id ORDER BY id DESC) AS n
				FROM executions
				WHERE automation_id IN (SELECT DISTINCT automation_id FROM executions WHERE created_at < ?)
			) ranked
			WHERE n > ? AND created_at < ? AND status NOT IN ('queued', 'running')
			LIMIT 5000
		) old WHERE e.id = old.id`, before, keep, before).Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("prune executions: %w", err)
	}
	return res.RowsAffected()
}

// AutomationsToPrune lists the automations that have executions older than a time, with their names, without those
// whose history is set aside.
func AutomationsToPrune(ctx context.Context, q bun.IDB, now, before time.Time) ([]Automation, error) {
	var list []Automation
	err := q.NewSelect().Model(&list).Column("id", "name", "workspace_id").
		Where("a.id IN (SELECT automation_id FROM executions WHERE created_at < ?)", before).
		Where(notSetAside(TaskSweep, "a.id"), now).Scan(ctx)
	return list, wrap(err, "list automations with old executions")
}

// PruneExecutionsOf is PruneExecutions for one automation.
func PruneExecutionsOf(
	ctx context.Context, q bun.IDB, automation uuid.UUID, before time.Time, keep int,
) (int64, error) {
	res, err := q.NewRaw(`DELETE FROM executions e WHERE e.id IN (SELECT id FROM executions x WHERE x.automation_id = ?0
		ORDER BY x.id DESC OFFSET ?1)
		AND e.created_at < ?2 AND e.status NOT IN ('queued', 'running')`, automation, keep, before).Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("prune executions of automation %s: %w", automation, err)
	}
	return res.RowsAffected()
}
