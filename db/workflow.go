package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// StepKind is what a step of a workflow does.
type StepKind string

// The kinds of steps.
const (
	MessageStep     StepKind = "message"          // gives the agent a message
	ClearStep       StepKind = "clear_context"    // lets the agent forget the conversation
	AssetStep       StepKind = "asset"            // writes a file into the worktree
	CompleteStep    StepKind = "complete_session" // ends the run and marks the session Done
	InstructionStep StepKind = "instruction_file" // writes the file that agents read for instructions
	SystemStep      StepKind = "system_message"   // adds to what the agent is told beside every later message
	LoopStep        StepKind = "loop"             // repeats its own steps
)

// Step is one step of a workflow. Which fields count depends on its kind.
type Step struct {
	Kind          StepKind `json:"kind"`
	Label         string   `json:"label,omitempty"`
	Text          string   `json:"text,omitempty"`
	After         string   `json:"after,omitempty"`          // of a message in a run: goes after the text as it is, with nothing expanded
	Path          string   `json:"path,omitempty"`           // of a file, within the worktree
	OnlyUnchanged bool     `json:"only_unchanged,omitempty"` // complete only if no file changes
	Marker        string   `json:"marker,omitempty"`         // a loop ends when an answer contains it; empty: never before Max
	Max           int      `json:"max,omitempty"`            // rounds of a loop at most
	Steps         []Step   `json:"steps,omitempty"`          // of a loop
}

// ParameterType is what values a workflow's parameter takes.
type ParameterType string

// The types of parameters.
const (
	TextParameter    ParameterType = "text"
	NumberParameter  ParameterType = "number"
	BooleanParameter ParameterType = "boolean"
	ChoiceParameter  ParameterType = "choice"
	SecretParameter  ParameterType = "secret" // its values are stored sealed
)

// Parameter is a value that a workflow is given.
type Parameter struct {
	Alias    string        `json:"alias"`
	Label    string        `json:"label,omitempty"`
	Type     ParameterType `json:"type"`
	Required bool          `json:"required,omitempty"`
	Default  string        `json:"default,omitempty"`
	Choices  []string      `json:"choices,omitempty"`
}

// Workflow is a prepared sequence of steps with parameters.
type Workflow struct {
	bun.BaseModel `bun:"table:workflows,alias:wf"`

	ID          uuid.UUID   `bun:"id,pk,type:uuid"`
	WorkspaceID uuid.UUID   `bun:"workspace_id,nullzero,type:uuid"` // zero: for all workspaces
	Name        string      `bun:"name"`
	Description string      `bun:"description"`
	Steps       []Step      `bun:"steps,type:jsonb"`
	Parameters  []Parameter `bun:"parameters,type:jsonb"`
	CreatedBy   uuid.UUID   `bun:"created_by,nullzero,type:uuid"`
	ChangedBy   uuid.UUID   `bun:"changed_by,nullzero,type:uuid"` // who last changed it
	CreatedAt   time.Time   `bun:"created_at"`
	UpdatedAt   time.Time   `bun:"updated_at"`
	Version     int64       `bun:"version"`

	Workspace *Workspace `bun:"rel:belongs-to,join:workspace_id=id"`
	Uses      int        `bun:"uses,scanonly"`       // how many automations use it, where the query says so
	StepCount int        `bun:"step_count,scanonly"` // how many steps it has, in a list, which has neither them nor the parameters
}

// ByName is a page of a list that goes by name: at most Limit rows after the one with the name and id given, or from the
// beginning. The zero ByName is the first 500.
type ByName struct {
	AfterName string
	AfterID   uuid.UUID
	Limit     int
}

func (p ByName) of(sel *bun.SelectQuery, table string) *bun.SelectQuery {
	limit := p.Limit
	if limit == 0 {
		limit = 500
	}
	if p.AfterID != uuid.Nil {
		sel = sel.Where("(lower(?0.name), ?0.id) > (lower(?1), ?2)", bun.Ident(table), p.AfterName, p.AfterID)
	}
	return sel.OrderExpr("lower(?0.name), ?0.id", bun.Ident(table)).Limit(int64(limit))
}

// Workflows lists the workflows that are for all workspaces and those of the workspaces that a person is a member of, by name, without
// their steps and parameters, which may be megabytes each.
func Workflows(ctx context.Context, q bun.IDB, v Access, page ByName) ([]Workflow, error) {
	var list []Workflow
	sel := page.of(q.NewSelect().Model(&list).ExcludeColumn("steps", "parameters").Relation("Workspace").ColumnExpr("wf.step_count").
		ColumnExpr("(SELECT count(*) FROM automations x WHERE x.workflow_id = wf.id) AS uses"), "wf")
	if !v.Everywhere {
		sel = sel.Where("(wf.workspace_id IS NULL OR wf.workspace_id IN (SELECT workspace_id FROM workspace_members WHERE user_id = ?))", v.User)
	}
	if err := sel.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list workflows: %w", err)
	}
	return list, nil
}

// EveryWorkflow lists all that Workflows begins to list, in full.
func EveryWorkflow(ctx context.Context, q bun.IDB, v Access) ([]Workflow, error) {
	var list []Workflow
	sel := q.NewSelect().Model(&list).OrderExpr("lower(wf.name), wf.id")
	if !v.Everywhere {
		sel = sel.Where("(wf.workspace_id IS NULL OR wf.workspace_id IN (SELECT workspace_id FROM workspace_members WHERE user_id = ?))", v.User)
	}
	if err := sel.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list every workflow: %w", err)
	}
	return list, nil
}

// WorkflowByID finds a workflow.
func WorkflowByID(ctx context.Context, q bun.IDB, id uuid.UUID) (*Workflow, error) {
	var wf Workflow
	err := q.NewSelect().Model(&wf).ColumnExpr("?TableColumns").Relation("Workspace").
		ColumnExpr("(SELECT count(*) FROM automations x WHERE x.workflow_id = wf.id) AS uses").Where("wf.id = ?", id).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find workflow %s: %w", id, err)
	}
	return &wf, nil
}

// LockWorkflow finds a workflow and keeps others from changing it until the transaction ends.
func LockWorkflow(ctx context.Context, tx bun.Tx, id uuid.UUID) (*Workflow, error) {
	var wf Workflow
	if err := tx.NewSelect().Model(&wf).Where("wf.id = ?", id).For("UPDATE").Scan(ctx); err != nil {
		return nil, fmt.Errorf("lock workflow %s: %w", id, err)
	}
	return &wf, nil
}

// InsertWorkflow writes a new workflow.
func InsertWorkflow(ctx context.Context, q bun.IDB, wf *Workflow) error {
	if _, err := q.NewInsert().Model(wf).Exec(ctx); err != nil {
		return fmt.Errorf("insert workflow: %w", err)
	}
	return nil
}

// SaveWorkflow writes what people edit of a workflow.
func SaveWorkflow(ctx context.Context, q bun.IDB, wf *Workflow) error {
	_, err := q.NewUpdate().Model(wf).Column("workspace_id", "name", "description", "steps", "parameters", "changed_by", "updated_at", "version").WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("save workflow %s: %w", wf.ID, err)
	}
	return nil
}

// DeleteWorkflow removes a workflow. Automations that name it stay, without it.
func DeleteWorkflow(ctx context.Context, q bun.IDB, id uuid.UUID) error {
	if _, err := q.NewDelete().Model((*Workflow)(nil)).Where("wf.id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("delete workflow %s: %w", id, err)
	}
	return nil
}

// LockWorkflowUsers finds the automations that use a workflow, and keeps others from changing them until the transaction ends. They
// have the columns of usedBy alone.
func LockWorkflowUsers(ctx context.Context, tx bun.Tx, workflow uuid.UUID) ([]Automation, error) {
	var list []Automation
	err := tx.NewSelect().Model(&list).Column(usedBy...).Where("a.workflow_id = ?", workflow).OrderExpr("a.id").For("NO KEY UPDATE").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock automations of workflow %s: %w", workflow, err)
	}
	return list, nil
}

// WorkflowUsers lists the automations with a workflow that a person may see, by name.
func WorkflowUsers(ctx context.Context, q bun.IDB, v Access, workflow uuid.UUID, limit int) ([]Automation, error) {
	var list []Automation
	sel := q.NewSelect().Model(&list).Column("id", "name").Where("a.workflow_id = ?", workflow).OrderExpr("lower(a.name), a.id").Limit(int64(limit))
	if err := v.narrow(sel, "a", "creator_id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list automations of workflow %s: %w", workflow, err)
	}
	return list, nil
}

// Use is an automation's use of a bot or a workflow.
type Use struct {
	WorkspaceID uuid.UUID `bun:"workspace_id,type:uuid"`
	Provider    string    `bun:"provider"` // its own, or the workspace's
	Member      bool      `bun:"member"`   // whether the person asked about is one of the workspace
}

// BotUses lists where a bot is used, each workspace and provider once.
func BotUses(ctx context.Context, q bun.IDB, bot, person uuid.UUID) ([]Use, error) {
	return uses(ctx, q, "bot_id", bot, person)
}

// WorkflowUses lists where a workflow is used, each workspace and provider once.
func WorkflowUses(ctx context.Context, q bun.IDB, workflow, person uuid.UUID) ([]Use, error) {
	return uses(ctx, q, "workflow_id", workflow, person)
}

func uses(ctx context.Context, q bun.IDB, column string, id, person uuid.UUID) ([]Use, error) {
	var list []Use
	err := q.NewSelect().Distinct().TableExpr("automations AS a").Join("JOIN workspaces AS w ON w.id = a.workspace_id").
		ColumnExpr("a.workspace_id, coalesce(nullif(a.provider, ''), w.provider) AS provider").
		ColumnExpr("EXISTS (SELECT 1 FROM workspace_members m WHERE m.workspace_id = a.workspace_id AND m.user_id = ?) AS member", person).
		Where("a.? = ?", bun.Ident(column), id).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("list where %s %s is used: %w", column, id, err)
	}
	return list, nil
}
