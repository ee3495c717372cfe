package db

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

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
	if _, err := q.NewDelete().Model((*TriggerToken)(nil)).Where("tt.automation_id = ?", automation).
		Exec(ctx); err != nil {
		return fmt.Errorf("delete trigger tokens: %w", err)
	}
	return nil
}

// RetireTokens makes the current token of an automation expire at a time.
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
	if err := q.NewSelect().Model(&t).Where("tt.automation_id = ?", automation).Where("tt.expires_at IS NULL").
		Scan(ctx); err != nil {
		return nil, fmt.Errorf("find trigger token: %w", err)
	}
	return &t, nil
}

// TokenOwner is the automation that a token fires, with the conditions for its calls.
type TokenOwner struct {
	ID              uuid.UUID     `bun:"id"`
	Name            string        `bun:"name"`
	Sender          string        `bun:"sender"`
	SignatureHeader string        `bun:"signature_header"`
	SignatureSealed []byte        `bun:"signature_sealed"`
	Filter          Filter        `bun:"filter"`
	ExecutionType   ExecutionType `bun:"execution_type"`
	Parameters      []Parameter   `bun:"parameters"` // of its workflow
	WorkflowGone    bool          `bun:"workflow_gone"`
}

// TakesSecrets reports whether calls may contain secrets.
func (o *TokenOwner) TakesSecrets() bool {
	return o.WorkflowGone || slices.ContainsFunc(o.Parameters,
		func(p Parameter) bool { return p.Type == SecretParameter })
}

// Secret reports whether a value of this name is a secret. After the workflow was removed, every value counts as one.
func (o *TokenOwner) Secret(name string) bool {
	return o.WorkflowGone || slices.ContainsFunc(o.Parameters,
		func(p Parameter) bool { return p.Type == SecretParameter && p.Alias == name })
}

// AutomationByToken finds the automation of a valid token by the token's hash.
func AutomationByToken(ctx context.Context, q bun.IDB, hash []byte, now time.Time) (*TokenOwner, error) {
	var o TokenOwner
	var filter, parameters []byte
	err := prepare(q).row(ctx, `SELECT a.id, a.name, a.sender, a.signature_header, a.signature_sealed, a.filter,
		a.execution_type,
			w.parameters, a.execution_type = 'workflow' AND w.id IS NULL
		FROM trigger_tokens t JOIN automations a ON a.id = t.automation_id
		LEFT JOIN workflows w ON w.id = a.workflow_id AND a.execution_type = 'workflow'
		WHERE t.hash = $1 AND (t.expires_at IS NULL OR t.expires_at > $2) AND a.trigger = 'http'`, hash, now).
		Scan(&o.ID, &o.Name, &o.Sender, &o.SignatureHeader, &o.SignatureSealed, &filter, &o.ExecutionType, &parameters,
			&o.WorkflowGone)
	if err == nil {
		err = json.Unmarshal(filter, &o.Filter)
	}
	if err == nil && parameters != nil {
		err = json.Unmarshal(parameters, &o.Parameters)
	}
	if err != nil {
		return nil, fmt.Errorf("find automation by token: %w", err)
	}
	return &o, nil
}
