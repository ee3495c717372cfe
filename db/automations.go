package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Automation is a prompt or workflow with what starts it.
type Automation struct {
	bun.BaseModel `bun:"table:automations,alias:a"`

	ID             uuid.UUID         `bun:"id,pk,type:uuid"`
	WorkspaceID    uuid.UUID         `bun:"workspace_id,type:uuid"`
	CreatorID      uuid.UUID         `bun:"creator_id,type:uuid"`
	MadeBy         PeopleIDs         `bun:"made_by,type:uuid[]"`    // people whose input it was created from
	ChangedBy      PeopleIDs         `bun:"changed_by,type:uuid[]"` // people whose input it was last changed from
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
	// of an HTTP Trigger: the sender and the signature of calls, the filter of payloads, and whether the payload is
	// appended to the prompt
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
	Retries        int          `bun:"retries"` // after transient failures
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

// Timeout bounds a run; 0: without limit.
func (a *Automation) Timeout() time.Duration { return time.Duration(a.TimeoutSeconds) * time.Second }

// Scheduled reports whether the scheduler starts this automation.
func (a *Automation) Scheduled() bool {
	return a.Trigger == OneTime || a.Trigger == Recurring || a.Trigger == Loop
}

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

// DisabledKind is the reason for which an automation is disabled, as a code.
type DisabledKind string

// The reasons for which an automation is disabled.
const (
	ByPerson    DisabledKind = "person"
	ByFailures  DisabledKind = "failures"
	ByFinishing DisabledKind = "finished" // a One-Time that ran, a Loop that reached its condition
	ByMissing   DisabledKind = "missed"
	ByRemoval   DisabledKind = "removed" // its bot or workflow was removed
	ByInvalid   DisabledKind = "invalid" // its schedule cannot be computed any more
)

// Gate is a condition for a run to begin. Judging it costs no tokens. The zero Gate allows every run.
type Gate struct {
	// a script in a new worktree; exit status 0 allows the run
	Command     string `json:"command,omitempty"`
	BranchMoved bool   `json:"branch_moved,omitempty"` // the base branch moved since the last success
	NoOpenPR    bool   `json:"no_open_pr,omitempty"`   // no pull request of the automation's sessions is open
}

// Set reports whether there is a condition.
func (g Gate) Set() bool { return g != Gate{} }

// SuccessCheck is a condition at the end of a run for the run to count as a success. The zero SuccessCheck is always
// met.
type SuccessCheck struct {
	Command      string `json:"command,omitempty"` // a script in the worktree; exit status 0: met
	Contains     string `json:"contains,omitempty"`
	FilesChanged bool   `json:"files_changed,omitempty"`
	PullRequest  bool   `json:"pull_request,omitempty"` // the session has one
}

// Set reports whether there is a condition.
func (c SuccessCheck) Set() bool { return c != SuccessCheck{} }

// Limits are upper bounds of use. A zero field is without limit.
type Limits struct {
	Money   float64 `json:"money,omitempty"` // in US dollars
	Tokens  int64   `json:"tokens,omitempty"`
	Turns   int     `json:"turns,omitempty"`
	Minutes float64 `json:"minutes,omitempty"`
}

// Set reports whether anything is limited.
func (l Limits) Set() bool { return l != Limits{} }

// Budget limits what an automation uses: each run, and all runs that begin on a day or in a month.
type Budget struct {
	Run   Limits `json:"run,omitzero"`
	Day   Limits `json:"day,omitzero"`
	Month Limits `json:"month,omitzero"`
}

// Set reports whether anything is limited.
func (b Budget) Set() bool { return b != Budget{} }

// Filter is a condition on the payloads of an HTTP trigger.
type Filter struct {
	Any        bool        `json:"any,omitempty"` // one condition is enough; false: all must be met
	Conditions []Condition `json:"conditions,omitempty"`
}

// Condition compares one field of a payload.
type Condition struct {
	Field    string `json:"field"` // a dotted path
	Operator string `json:"operator"`
	Value    string `json:"value,omitempty"`
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

// LockAutomation finds an automation and locks it until the transaction ends. It locks FOR NO KEY UPDATE, because FOR
// UPDATE conflicts with the foreign key of every inserted execution.
func LockAutomation(ctx context.Context, tx bun.Tx, id uuid.UUID) (*Automation, error) {
	var a Automation
	if err := tx.NewSelect().Model(&a).Where("a.id = ?", id).For("NO KEY UPDATE").Scan(ctx); err != nil {
		return nil, fmt.Errorf("lock automation %s: %w", id, err)
	}
	return &a, nil
}

// AutomationsOwned lists the automations of which a person is the creator, by name.
func AutomationsOwned(ctx context.Context, q bun.IDB, user uuid.UUID, limit int) ([]Automation, error) {
	var list []Automation
	err := q.NewSelect().Model(&list).Where("a.creator_id = ?", user).OrderExpr("lower(a.name), a.id").
		Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list automations of user %s: %w", user, err)
	}
	return list, nil
}

// AutomationsOf lists the automations of workspaces that a person may see, in full, by name.
func AutomationsOf(ctx context.Context, q bun.IDB, v Access, workspaces []uuid.UUID) ([]Automation, error) {
	var list []Automation
	sel := q.NewSelect().Model(&list).Where("a.workspace_id = ANY(?)", UUIDs(workspaces)).
		OrderExpr("lower(a.name), a.id")
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

// CreatorOf finds the owner of an automation; zero if there is no such automation.
func CreatorOf(ctx context.Context, q bun.IDB, automation uuid.UUID) (uuid.UUID, error) {
	var creator uuid.UUID
	err := q.NewRaw("SELECT creator_id FROM automations WHERE id = ?", automation).Scan(ctx, &creator)
	if IsNotFound(err) {
		return uuid.Nil, nil
	}
	return creator, wrap(err, "find the owner of automation "+automation.String())
}

// InsertAutomation writes a new automation.
func InsertAutomation(ctx context.Context, q bun.IDB, a *Automation) error {
	if _, err := q.NewInsert().Model(a).Exec(ctx); err != nil {
		return fmt.Errorf("insert automation: %w", err)
	}
	return nil
}

// SaveAutomation writes the columns that people edit, and the schedule.
func SaveAutomation(ctx context.Context, q bun.IDB, a *Automation) error {
	_, err := q.NewUpdate().Model(a).Column("workspace_id", "name", "trigger", "run_at", "cron", "time_zone",
		"max_iterations", "stop_text",
		"iterations", "next_run_at", "scheduled_since", "catch_up", "allow_parallel", "max_parallel", "session_type",
		"execution_type", "prompt", "workflow_id",
		"bot_id", "parameters", "base_branch", "provider", "model", "toggles", "gate", "success", "budget",
		"auto_complete", "only_unchanged", "create_pr", "sender", "signature_header", "signature_sealed", "filter",
		"append_payload", "may_automate", "changed_by", "timeout_seconds", "retries",
		"enabled", "disabled_kind", "disabled_reason", "disabled_at", "failure_streak", "skip_id", "version",
		"updated_at").WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("save automation %s: %w", a.ID, err)
	}
	return nil
}

// SetCreator sets the owner of an automation. It raises the version, so that an edit that was begun before the transfer
// is refused.
func SetCreator(ctx context.Context, q bun.IDB, automation, creator uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Model((*Automation)(nil)).Set("creator_id = ?", creator).Set("version = a.version + 1").
		Set("updated_at = ?", now).Where("a.id = ?", automation).Exec(ctx)
	if err != nil {
		return fmt.Errorf("set creator of automation %s: %w", automation, err)
	}
	return nil
}

// SaveSwitch writes whether an automation is enabled, the reason if it is not, and its schedule.
func SaveSwitch(ctx context.Context, q bun.IDB, a *Automation) error {
	_, err := q.NewUpdate().Model(a).
		Column("enabled", "next_run_at", "scheduled_since", "disabled_kind", "disabled_reason", "disabled_at",
			"failure_streak", "skip_id", "iterations").WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("switch automation %s: %w", a.ID, err)
	}
	return nil
}

// SwitchOff disables locked automations for one reason, and removes their next runs.
func SwitchOff(
	ctx context.Context, q bun.IDB, automations []uuid.UUID, kind DisabledKind, reason string, now time.Time,
) error {
	_, err := q.NewUpdate().Model((*Automation)(nil)).Set("enabled = false").Set("next_run_at = NULL").
		Set("disabled_kind = ?", kind).
		Set("disabled_reason = ?", reason).Set("disabled_at = ?", now).
		Where("a.id = ANY(?::uuid[])", UUIDs(automations)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("switch %d automations off: %w", len(automations), err)
	}
	return nil
}

// SetFailureStreak writes how many failures in a row an automation has.
func SetFailureStreak(ctx context.Context, q bun.IDB, automation uuid.UUID, n int) error {
	if _, err := q.NewUpdate().Model((*Automation)(nil)).Set("failure_streak = ?", n).Where("a.id = ?", automation).
		Exec(ctx); err != nil {
		return fmt.Errorf("set failure streak: %w", err)
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
