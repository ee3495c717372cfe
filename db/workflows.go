package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

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
	Uses      int        `bun:"uses,scanonly"` // how many automations use it; set by some queries
	// how many steps it has, in a list, which has neither them nor the parameters
	StepCount int `bun:"step_count,scanonly"`
}

// StepKind is what a step of a workflow does.
type StepKind string

// The kinds of steps.
const (
	MessageStep     StepKind = "message"          // sends the agent a message
	ClearStep       StepKind = "clear_context"    // ends the agent's conversation
	AssetStep       StepKind = "asset"            // writes a file into the worktree
	CompleteStep    StepKind = "complete_session" // ends the run and marks the session Done
	InstructionStep StepKind = "instruction_file" // writes the file that agents read for instructions
	SystemStep      StepKind = "system_message"   // adds a system message for later messages
	LoopStep        StepKind = "loop"             // repeats its own steps
)

// Step is one step of a workflow. Which fields count depends on its kind.
type Step struct {
	Kind  StepKind `json:"kind"`
	Label string   `json:"label,omitempty"`
	Text  string   `json:"text,omitempty"`
	// of a message in a run: is appended to the text without expansion
	After         string `json:"after,omitempty"`
	Path          string `json:"path,omitempty"`           // of a file, within the worktree
	OnlyUnchanged bool   `json:"only_unchanged,omitempty"` // complete only if no file changes
	// a loop ends when an answer contains it; empty: after Max rounds
	Marker string `json:"marker,omitempty"`
	Max    int    `json:"max,omitempty"`   // rounds of a loop at most
	Steps  []Step `json:"steps,omitempty"` // of a loop
}

// ParameterType is the type of a workflow's parameter.
type ParameterType string

// The types of parameters.
const (
	TextParameter    ParameterType = "text"
	NumberParameter  ParameterType = "number"
	BooleanParameter ParameterType = "boolean"
	ChoiceParameter  ParameterType = "choice"
	SecretParameter  ParameterType = "secret" // its values are stored sealed
)

// Parameter is a parameter of a workflow.
type Parameter struct {
	Alias    string        `json:"alias"`
	Label    string        `json:"label,omitempty"`
	Type     ParameterType `json:"type"`
	Required bool          `json:"required,omitempty"`
	Default  string        `json:"default,omitempty"`
	Choices  []string      `json:"choices,omitempty"`
}

// Workflows lists the workflows that are for all workspaces and those of the workspaces that a person is a member of,
// by name, without their steps and parameters, which may be megabytes each.
func Workflows(ctx context.Context, q bun.IDB, v Access, page NamePage) ([]Workflow, error) {
	var list []Workflow
	sel := page.apply(q.NewSelect().Model(&list).ExcludeColumn("steps", "parameters").Relation("Workspace").
		ColumnExpr("wf.step_count").
		ColumnExpr("(SELECT count(*) FROM automations x WHERE x.workflow_id = wf.id) AS uses"), "wf")
	if !v.Everywhere {
		sel = sel.Where(`(wf.workspace_id IS NULL OR wf.workspace_id IN (SELECT workspace_id FROM workspace_members
			WHERE user_id = ?))`, v.User)
	}
	if err := sel.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list workflows: %w", err)
	}
	return list, nil
}

// AllWorkflows lists the workflows of Workflows without a limit, with steps and parameters.
func AllWorkflows(ctx context.Context, q bun.IDB, v Access) ([]Workflow, error) {
	var list []Workflow
	sel := q.NewSelect().Model(&list).OrderExpr("lower(wf.name), wf.id")
	if !v.Everywhere {
		sel = sel.Where(`(wf.workspace_id IS NULL OR wf.workspace_id IN (SELECT workspace_id FROM workspace_members
			WHERE user_id = ?))`, v.User)
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
		ColumnExpr("(SELECT count(*) FROM automations x WHERE x.workflow_id = wf.id) AS uses").Where("wf.id = ?", id).
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find workflow %s: %w", id, err)
	}
	return &wf, nil
}

// WorkflowNamed finds a workflow of a workspace, or one for all workspaces, by its name. It returns zero when there is
// none.
func WorkflowNamed(ctx context.Context, q bun.IDB, workspace uuid.UUID, name string) (uuid.UUID, error) {
	var id uuid.UUID
	err := q.NewRaw(`SELECT id FROM workflows WHERE name = ? AND (workspace_id = ? OR workspace_id IS NULL)
		ORDER BY workspace_id NULLS LAST, id LIMIT 1`, name, workspace).Scan(ctx, &id)
	if IsNotFound(err) {
		return uuid.Nil, nil
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("find workflow %q: %w", name, err)
	}
	return id, nil
}

// NamesOf finds the names of workflows and bots by their ids.
func NamesOf(ctx context.Context, q bun.IDB, ids []uuid.UUID) (map[uuid.UUID]string, error) {
	var rows []struct {
		ID   uuid.UUID `bun:"id,type:uuid"`
		Name string    `bun:"name"`
	}
	err := q.NewRaw(`SELECT id, name FROM workflows WHERE id = ANY(?0::uuid[]) UNION ALL SELECT id, name FROM bots
		WHERE id = ANY(?0::uuid[])`, UUIDs(ids)).Scan(ctx, &rows)
	names := make(map[uuid.UUID]string, len(rows))
	for _, r := range rows {
		names[r.ID] = r.Name
	}
	return names, wrap(err, "find names")
}

// LockWorkflow finds a workflow and locks it until the transaction ends.
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

// SaveWorkflow writes the columns of a workflow that people edit.
func SaveWorkflow(ctx context.Context, q bun.IDB, wf *Workflow) error {
	_, err := q.NewUpdate().Model(wf).Column("workspace_id", "name", "description", "steps", "parameters", "changed_by",
		"updated_at", "version").WherePK().Exec(ctx)
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
