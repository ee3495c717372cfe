package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// Trigger is what starts an automation: the specification's automation types.
type Trigger string

// The automation types of the specification.
const (
	Manual    Trigger = "manual"
	OneTime   Trigger = "one_time"
	Recurring Trigger = "recurring"
	Loop      Trigger = "loop"
	HTTP      Trigger = "http"
)

// SessionType is what an automation launches.
type SessionType string

// The session types of the specification.
const (
	Develop SessionType = "develop"
	Chat    SessionType = "chat"
	BotType SessionType = "bot"
)

// ExecutionType is what a run executes.
type ExecutionType string

// The execution types of the specification.
const (
	Inline         ExecutionType = "inline"
	WorkflowDriven ExecutionType = "workflow"
)

// DisabledKind says why an automation is off, so that enabling it can say so.
type DisabledKind string

// Why an automation is off.
const (
	ByPerson    DisabledKind = "person"
	ByFailures  DisabledKind = "failures"
	ByFinishing DisabledKind = "finished" // a One-Time that ran, a Loop that reached its condition
	ByMissing   DisabledKind = "missed"
	ByRemoval   DisabledKind = "removed" // its bot or workflow is gone
	ByInvalid   DisabledKind = "invalid" // its schedule cannot be computed any more
)

// Automation is a prompt or workflow with what starts it.
type Automation struct {
	bun.BaseModel `bun:"table:automations,alias:a"`

	ID             uuid.UUID         `bun:"id,pk,type:uuid"`
	WorkspaceID    uuid.UUID         `bun:"workspace_id,type:uuid"`
	CreatorID      uuid.UUID         `bun:"creator_id,type:uuid"`
	MadeBy         PeopleIDs         `bun:"made_by,type:uuid[]"`    // whose words it was created with
	ChangedBy      PeopleIDs         `bun:"changed_by,type:uuid[]"` // whose words it was last changed with
	Name           string            `bun:"name"`
	Trigger        Trigger           `bun:"trigger"`
	RunAt          time.Time         `bun:"run_at,nullzero"`
	Cron           string            `bun:"cron"`
	TimeZone       string            `bun:"time_zone"`
	MaxIterations  int               `bun:"max_iterations,nullzero"` // 0: no limit
	StopText       string            `bun:"stop_text"`
	Iterations     int               `bun:"iterations"`
	NextRunAt      time.Time         `bun:"next_run_at,nullzero"`
	ScheduledSince time.Time         `bun:"scheduled_since,nullzero"`
	CatchUp        bool              `bun:"catch_up"`
	AllowParallel  bool              `bun:"allow_parallel"`
	MaxParallel    int               `bun:"max_parallel,nullzero"` // 0: without limit
	SessionType    SessionType       `bun:"session_type"`
	ExecutionType  ExecutionType     `bun:"execution_type"`
	Prompt         string            `bun:"prompt"`
	WorkflowID     uuid.UUID         `bun:"workflow_id,nullzero,type:uuid"`
	BotID          uuid.UUID         `bun:"bot_id,nullzero,type:uuid"`
	Parameters     map[string]string `bun:"parameters,type:jsonb"`
	BaseBranch     string            `bun:"base_branch"`
	Provider       string            `bun:"provider"`
	Model          string            `bun:"model"`
	Toggles        []string          `bun:"toggles,array"`
	// of an HTTP Trigger: who signs its calls and how, which payloads start a run, and whether they follow the prompt
	Sender          string `bun:"sender"`
	SignatureHeader string `bun:"signature_header"`
	SignatureSealed []byte `bun:"signature_sealed"`
	Filter          Filter `bun:"filter,type:jsonb"`
	AppendPayload   bool   `bun:"append_payload"`

	AutoComplete   bool         `bun:"auto_complete"`
	OnlyUnchanged  bool         `bun:"only_unchanged"`
	CreatePR       bool         `bun:"create_pr"`
	MayAutomate    bool         `bun:"may_automate"` // its sessions may create, edit and run automations
	TimeoutSeconds int          `bun:"timeout_seconds"`
	Retries        int          `bun:"retries"` // of what passes by itself
	Enabled        bool         `bun:"enabled"`
	DisabledKind   DisabledKind `bun:"disabled_kind"`
	DisabledReason string       `bun:"disabled_reason"`
	DisabledAt     time.Time    `bun:"disabled_at,nullzero"`
	FailureStreak  int          `bun:"failure_streak"`
	SkipID         uuid.UUID    `bun:"skip_id,nullzero,type:uuid"`
	Gate           Gate         `bun:"gate,type:jsonb"`
	Success        SuccessCheck `bun:"success,type:jsonb"`
	Budget         Budget       `bun:"budget,type:jsonb"`
	Version        int64        `bun:"version"`
	CreatedAt      time.Time    `bun:"created_at"`
	UpdatedAt      time.Time    `bun:"updated_at"`

	Workspace *Workspace `bun:"rel:belongs-to,join:workspace_id=id"`
	Creator   *User      `bun:"rel:belongs-to,join:creator_id=id"`
}

// Timeout is how long a run may take; 0 means without limit.
func (a *Automation) Timeout() time.Duration { return time.Duration(a.TimeoutSeconds) * time.Second }

// Scheduled reports whether the scheduler starts this automation.
func (a *Automation) Scheduled() bool {
	return a.Trigger == OneTime || a.Trigger == Recurring || a.Trigger == Loop
}

// AutomationByID finds an automation with its workspace and creator.
func AutomationByID(ctx context.Context, q bun.IDB, id uuid.UUID) (*Automation, error) {
	var a Automation
	err := q.NewSelect().Model(&a).Relation("Workspace").Relation("Creator").Where("a.id = ?", id).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find automation %s: %w", id, err)
	}
	return &a, nil
}

// LockAutomation finds an automation and keeps others from changing it until the transaction ends.
// NO KEY UPDATE, since a plain FOR UPDATE fights the foreign key of every execution inserted.
func LockAutomation(ctx context.Context, tx bun.Tx, id uuid.UUID) (*Automation, error) {
	var a Automation
	if err := tx.NewSelect().Model(&a).Where("a.id = ?", id).For("NO KEY UPDATE").Scan(ctx); err != nil {
		return nil, fmt.Errorf("lock automation %s: %w", id, err)
	}
	return &a, nil
}

// Access is whose automations, executions and sessions a person may see.
type Access struct {
	User       uuid.UUID
	Own        bool      // their own
	All        bool      // also other people's
	Everywhere bool      // also of workspaces that the person is not a member of
	Only       uuid.UUID // of this workspace alone, member or not; zero: no limit
}

// within limits a query to the workspaces in which a person may see something.
func (v Access) within(sel *bun.SelectQuery, table string) *bun.SelectQuery {
	switch {
	case v.Only != uuid.Nil:
		return sel.Where("?.workspace_id = ?", bun.Ident(table), v.Only)
	case v.Everywhere:
		return sel
	}
	return sel.Where("?.workspace_id IN (SELECT workspace_id FROM workspace_members WHERE user_id = ?)", bun.Ident(table), v.User)
}

// narrow limits a query to what a person may see: columns name the workspace and the owner.
func (v Access) narrow(sel *bun.SelectQuery, workspace, owner string) *bun.SelectQuery {
	sel = v.within(sel, workspace)
	switch {
	case v.All:
	case v.Own:
		sel = sel.Where("?.? = ?", bun.Ident(workspace), bun.Ident(owner), v.User)
	default:
		sel = sel.Where("false")
	}
	return sel
}

// AutomationFilter narrows a list of automations. Zero fields do not narrow.
type AutomationFilter struct {
	Access    Access
	Search    string // in name or prompt
	Trigger   Trigger
	Workspace uuid.UUID
	Mine      bool
	State     string // enabled, disabled, running, attention
	AfterName string // keyset: the last name seen, and its id
	AfterID   uuid.UUID
	Limit     int
}

// AutomationRow is an automation as a list shows it.
type AutomationRow struct {
	Automation `bun:",extend"`

	LastID         uuid.UUID `bun:"last_id,nullzero,scanonly"`
	LastStatus     string    `bun:"last_status,scanonly"`
	LastAt         time.Time `bun:"last_at,scanonly,nullzero"`
	LastStartedAt  time.Time `bun:"last_started_at,scanonly,nullzero"`
	LastFinishedAt time.Time `bun:"last_finished_at,scanonly,nullzero"`
	LastSessionID  uuid.UUID `bun:"last_session_id,nullzero,scanonly"`
	InFlight       bool      `bun:"in_flight,scanonly"`
	WorkflowName   string    `bun:"workflow_name,scanonly"`
	WorkflowAsks   bool      `bun:"workflow_asks,scanonly"` // it has parameters
	BotName        string    `bun:"bot_name,scanonly"`
	Fingerprint    string    `bun:"fingerprint,scanonly"`
	OwnerGone      OwnerGone `bun:"owner_gone,scanonly"`
}

// OwnerGone says why the owner of an automation keeps its runs from starting; empty: not at all.
type OwnerGone string

// Why an owner keeps runs from starting.
const (
	OwnerInactive  OwnerGone = "inactive"  // no active account
	OwnerOutside   OwnerGone = "outside"   // no member of the workspace
	OwnerPowerless OwnerGone = "powerless" // may have no automations any more
)

// ownerMay is the condition that the owner of an automation has one of some permissions, named in SQL.
func ownerMay(permissions string) string {
	return "a.creator_id IN (SELECT ur.user_id FROM user_roles ur JOIN roles r ON r.id = ur.role_id WHERE r.permissions && ARRAY[" + permissions + "])"
}

// ownerGone is an OwnerGone as an expression.
var ownerGone = "CASE WHEN a.creator_id IN (SELECT o.id FROM users o WHERE o.deactivated_at IS NOT NULL) THEN 'inactive' " +
	"WHEN NOT EXISTS (SELECT 1 FROM workspace_members m WHERE m.workspace_id = a.workspace_id AND m.user_id = a.creator_id) AND NOT " + ownerMay("'admin'") + " THEN 'outside' " +
	"WHEN NOT " + ownerMay("'admin', 'automations.manage', 'automations.manage_all'") + " THEN 'powerless' ELSE '' END"

func (f AutomationFilter) apply(sel *bun.SelectQuery) *bun.SelectQuery {
	sel = f.Access.narrow(sel, "a", "creator_id")
	if f.Mine {
		sel = sel.Where("a.creator_id = ?", f.Access.User)
	}
	if f.Search != "" {
		like := "%" + likeEscape(f.Search) + "%"
		sel = sel.Where("(a.name ILIKE ? OR a.prompt ILIKE ?)", like, like)
	}
	if f.Trigger != "" {
		sel = sel.Where("a.trigger = ?", f.Trigger)
	}
	if f.Workspace != uuid.Nil {
		sel = sel.Where("a.workspace_id = ?", f.Workspace)
	}
	switch f.State {
	case "enabled":
		sel = sel.Where("a.enabled")
	case "disabled":
		sel = sel.Where("NOT a.enabled")
	case "running":
		sel = sel.Where("EXISTS (SELECT 1 FROM executions e WHERE e.automation_id = a.id AND e.status IN ('queued', 'running'))")
	case "attention":
		sel = sel.Where(needsAttention)
	}
	return sel
}

// needsAttention is what a person should look at: switched off by Carillon for a fault, failing, or without an owner who may have it.
var needsAttention = "(" + ownerGone + " <> '' OR (NOT a.enabled AND a.disabled_kind IN ('failures', 'missed', 'removed', 'invalid')) OR a.failure_streak > 0 " +
	"OR (a.execution_type = 'workflow' AND a.workflow_id IS NULL) OR (a.session_type = 'bot' AND a.bot_id IS NULL))"

// Automations lists automations by name, with the newest run of each.
func Automations(ctx context.Context, q bun.IDB, f AutomationFilter) ([]AutomationRow, error) {
	return automationRows(ctx, q, f.Limit, func(sel *bun.SelectQuery) *bun.SelectQuery {
		if f.AfterID != uuid.Nil {
			sel = sel.Where("(lower(a.name), a.id) > (lower(?), ?)", f.AfterName, f.AfterID)
		}
		return f.apply(sel)
	})
}

func automationRows(ctx context.Context, q bun.IDB, limit int, narrow func(*bun.SelectQuery) *bun.SelectQuery) ([]AutomationRow, error) {
	var list []AutomationRow
	sel := q.NewSelect().Model(&list).ColumnExpr("?TableColumns").Relation("Workspace").Relation("Creator").
		ColumnExpr("e.id AS last_id, coalesce(e.status, '') AS last_status, e.created_at AS last_at, e.started_at AS last_started_at, e.finished_at AS last_finished_at, e.session_id AS last_session_id").
		ColumnExpr("EXISTS (SELECT 1 FROM executions x WHERE x.automation_id = a.id AND x.status IN ('queued', 'running')) AS in_flight").
		ColumnExpr("coalesce((SELECT name FROM workflows wf WHERE wf.id = a.workflow_id), '') AS workflow_name").
		ColumnExpr("EXISTS (SELECT 1 FROM workflows wf WHERE wf.id = a.workflow_id AND wf.parameters NOT IN ('[]', 'null')) AS workflow_asks").
		ColumnExpr("coalesce((SELECT name FROM bots b WHERE b.id = a.bot_id), '') AS bot_name").
		ColumnExpr("coalesce((SELECT left(encode(t.hash, 'hex'), 8) FROM trigger_tokens t WHERE t.automation_id = a.id AND t.expires_at IS NULL), '') AS fingerprint").
		ColumnExpr(ownerGone + " AS owner_gone").
		Join("LEFT JOIN LATERAL (SELECT * FROM executions e WHERE e.automation_id = a.id ORDER BY e.id DESC LIMIT 1) AS e ON true").
		OrderExpr("lower(a.name), a.id").Limit(int64(limit))
	if err := narrow(sel).Scan(ctx); err != nil {
		return nil, fmt.Errorf("list automations: %w", err)
	}
	return list, nil
}

// AutomationCounts sums up a list of automations.
type AutomationCounts struct {
	Total     int64 `bun:"total"`
	Running   int64 `bun:"running"`
	Attention int64 `bun:"attention"`
}

// CountAutomations counts the automations that a filter lets through, whatever its page.
func CountAutomations(ctx context.Context, q bun.IDB, f AutomationFilter) (AutomationCounts, error) {
	var c AutomationCounts
	sel := q.NewSelect().TableExpr("automations AS a").
		ColumnExpr("count(*) AS total").
		ColumnExpr("count(*) FILTER (WHERE EXISTS (SELECT 1 FROM executions e WHERE e.automation_id = a.id AND e.status IN ('queued', 'running'))) AS running").
		ColumnExpr("count(*) FILTER (WHERE " + needsAttention + ") AS attention")
	if err := f.apply(sel).Scan(ctx, &c); err != nil {
		return AutomationCounts{}, fmt.Errorf("count automations: %w", err)
	}
	return c, nil
}

// Bar is one run in a row of small bars.
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

// UUIDs makes ids an argument for = ANY(?) and unnest(?::uuid[]); right for an empty list too.
func UUIDs(ids []uuid.UUID) any {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = id.String()
	}
	return textArray(texts)
}

// textArray never passes nil, which would be NULL and match nothing.
func textArray(list []string) any {
	if list == nil {
		list = []string{}
	}
	return pgdialect.Array(list)
}

func intArray(list []int64) any { return pgdialect.Array(list) }

// likeEscape makes text match itself in a LIKE pattern.
func likeEscape(text string) string {
	var b []byte
	for i := range len(text) {
		if c := text[i]; c == '%' || c == '_' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, text[i])
	}
	return string(b)
}

// InsertAutomation writes a new automation.
func InsertAutomation(ctx context.Context, q bun.IDB, a *Automation) error {
	if _, err := q.NewInsert().Model(a).Exec(ctx); err != nil {
		return fmt.Errorf("insert automation: %w", err)
	}
	return nil
}

// SaveAutomation writes what people edit of an automation, and the schedule that follows from it.
func SaveAutomation(ctx context.Context, q bun.IDB, a *Automation) error {
	_, err := q.NewUpdate().Model(a).Column("workspace_id", "name", "trigger", "run_at", "cron", "time_zone", "max_iterations", "stop_text",
		"iterations", "next_run_at", "scheduled_since", "catch_up", "allow_parallel", "max_parallel", "session_type", "execution_type", "prompt", "workflow_id",
		"bot_id", "parameters", "base_branch", "provider", "model", "toggles", "gate", "success", "budget", "auto_complete", "only_unchanged", "create_pr", "sender", "signature_header", "signature_sealed", "filter", "append_payload", "may_automate", "changed_by", "timeout_seconds", "retries",
		"enabled", "disabled_kind", "disabled_reason", "disabled_at", "failure_streak", "skip_id", "version", "updated_at").WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("save automation %s: %w", a.ID, err)
	}
	return nil
}

// DeleteAutomation removes an automation with its history.
func DeleteAutomation(ctx context.Context, q bun.IDB, id uuid.UUID) error {
	if _, err := q.NewDelete().Model((*Automation)(nil)).Where("a.id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("delete automation %s: %w", id, err)
	}
	return nil
}

// TriggerToken is the stored form of an HTTP trigger's secret.
type TriggerToken struct {
	bun.BaseModel `bun:"table:trigger_tokens,alias:tt"`

	Hash         []byte    `bun:"hash,pk"`
	AutomationID uuid.UUID `bun:"automation_id,type:uuid"`
	CreatedBy    uuid.UUID `bun:"created_by,nullzero,type:uuid"`
	CreatedAt    time.Time `bun:"created_at"`
	ExpiresAt    time.Time `bun:"expires_at,nullzero"`
}

// InsertToken writes a token.
func InsertToken(ctx context.Context, q bun.IDB, t *TriggerToken) error {
	if _, err := q.NewInsert().Model(t).Exec(ctx); err != nil {
		return fmt.Errorf("insert trigger token: %w", err)
	}
	return nil
}

// DeleteTokens ends every token of an automation.
func DeleteTokens(ctx context.Context, q bun.IDB, automation uuid.UUID) error {
	if _, err := q.NewDelete().Model((*TriggerToken)(nil)).Where("tt.automation_id = ?", automation).Exec(ctx); err != nil {
		return fmt.Errorf("delete trigger tokens: %w", err)
	}
	return nil
}

// RetireTokens lets the current token of an automation live on until a time.
func RetireTokens(ctx context.Context, q bun.IDB, automation uuid.UUID, until time.Time) error {
	_, err := q.NewUpdate().Model((*TriggerToken)(nil)).Set("expires_at = ?", until).
		Where("tt.automation_id = ?", automation).Where("tt.expires_at IS NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("retire trigger tokens: %w", err)
	}
	return nil
}

// CurrentToken finds the current token of an automation.
func CurrentToken(ctx context.Context, q bun.IDB, automation uuid.UUID) (*TriggerToken, error) {
	var t TriggerToken
	if err := q.NewSelect().Model(&t).Where("tt.automation_id = ?", automation).Where("tt.expires_at IS NULL").Scan(ctx); err != nil {
		return nil, fmt.Errorf("find trigger token: %w", err)
	}
	return &t, nil
}

// AutomationRowByID reads one automation as a list shows it, whoever asks.
func AutomationRowByID(ctx context.Context, q bun.IDB, id uuid.UUID) (*AutomationRow, error) {
	list, err := automationRows(ctx, q, 1, func(sel *bun.SelectQuery) *bun.SelectQuery { return sel.Where("a.id = ?", id) })
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("find automation %s: %w", id, errNoRows)
	}
	return &list[0], nil
}

// Upcoming lists enabled automations that are due before a time, the next one first.
func Upcoming(ctx context.Context, q bun.IDB, v Access, until time.Time, limit int) ([]Automation, error) {
	var list []Automation
	sel := q.NewSelect().Model(&list).Where("a.enabled AND a.next_run_at < ?", until).Order("a.next_run_at").Limit(int64(limit))
	if err := v.narrow(sel, "a", "creator_id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list upcoming automations: %w", err)
	}
	return list, nil
}

// AutomationsOf lists the automations of workspaces that a person may see, in full, by name.
func AutomationsOf(ctx context.Context, q bun.IDB, v Access, workspaces []uuid.UUID) ([]Automation, error) {
	var list []Automation
	sel := q.NewSelect().Model(&list).Where("a.workspace_id = ANY(?)", UUIDs(workspaces)).OrderExpr("lower(a.name), a.id")
	if err := v.narrow(sel, "a", "creator_id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list automations of workspaces: %w", err)
	}
	return list, nil
}

// AutomationNames lists the names of the automations that a person may see.
func AutomationNames(ctx context.Context, q bun.IDB, v Access, limit int) ([]Automation, error) {
	var list []Automation
	sel := q.NewSelect().Model(&list).Column("id", "name").OrderExpr("lower(a.name), a.id").Limit(int64(limit))
	if err := v.narrow(sel, "a", "creator_id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list names of automations: %w", err)
	}
	return list, nil
}
