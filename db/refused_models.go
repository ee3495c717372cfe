package db

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// RefusedModel is a model that a provider refused for the server's account.
type RefusedModel struct {
	bun.BaseModel `bun:"table:refused_models,alias:rm"`

	Provider  string    `bun:"provider,pk"`
	Model     string    `bun:"model,pk"`
	RefusedAt time.Time `bun:"refused_at"` // the newest time
	Reason    string    `bun:"reason"`
}

// MaxRefusedModels bounds the list of refused models.
const MaxRefusedModels = 200

// RefusedModels lists the models that were refused, the newest first.
func RefusedModels(ctx context.Context, q bun.IDB) ([]RefusedModel, error) {
	var list []RefusedModel
	err := q.NewSelect().Model(&list).OrderExpr("rm.refused_at DESC, rm.provider, rm.model").Limit(MaxRefusedModels).
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list refused models: %w", err)
	}
	return list, nil
}

// RefusedModelsOf lists the refused ones of some models of a provider.
func RefusedModelsOf(ctx context.Context, q bun.IDB, provider string, models []string) ([]RefusedModel, error) {
	var list []RefusedModel
	err := q.NewSelect().Model(&list).Where("rm.provider = ?", provider).Where("rm.model = ANY(?)", textArray(models)).
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list refused models of %s: %w", provider, err)
	}
	return list, nil
}

// RecordModelRefusal records that a model was refused, and deletes refusals before a time.
func RecordModelRefusal(ctx context.Context, q bun.IDB, m *RefusedModel, before time.Time) error {
	_, err := q.NewInsert().Model(m).On("CONFLICT (provider, model) DO UPDATE").
		Set("refused_at = excluded.refused_at").Set("reason = excluded.reason").Exec(ctx)
	if err == nil {
		_, err = q.NewDelete().Model((*RefusedModel)(nil)).Where("rm.refused_at < ?", before).Exec(ctx)
	}
	if err != nil {
		return fmt.Errorf("write refusal of %s's model: %w", m.Provider, err)
	}
	return nil
}

// ClearModelRefusal deletes the refusal of a model if it was before a time.
func ClearModelRefusal(ctx context.Context, q bun.IDB, provider, model string, before time.Time) error {
	_, err := q.NewDelete().Model((*RefusedModel)(nil)).Where("rm.provider = ?", provider).Where("rm.model = ?", model).
		Where("rm.refused_at < ?", before).Exec(ctx)
	if err != nil {
		return fmt.Errorf("forget refusal of %s's model: %w", provider, err)
	}
	return nil
}
