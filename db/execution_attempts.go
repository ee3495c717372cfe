package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Attempt is a failed attempt of a run after which the run was tried again.
type Attempt struct {
	bun.BaseModel `bun:"table:execution_attempts,alias:ea"`

	ExecutionID uuid.UUID `bun:"execution_id,pk,type:uuid"`
	Attempt     int       `bun:"attempt,pk"`
	TurnID      uuid.UUID `bun:"turn_id,nullzero,type:uuid"`
	FailedAt    time.Time `bun:"failed_at"`
	RetryAt     time.Time `bun:"retry_at"`
	ErrorClass  string    `bun:"error_class"`
	Reason      string    `bun:"reason"`
}

// AttemptsOf lists the failed attempts of an execution after which it was tried again, in order.
func AttemptsOf(ctx context.Context, q bun.IDB, execution uuid.UUID) ([]Attempt, error) {
	var list []Attempt
	if err := q.NewSelect().Model(&list).Where("ea.execution_id = ?", execution).Order("ea.attempt").
		Scan(ctx); err != nil {
		return nil, fmt.Errorf("list attempts of execution %s: %w", execution, err)
	}
	return list, nil
}

// AddAttempt writes a failed attempt.
func AddAttempt(ctx context.Context, q bun.IDB, a *Attempt) error {
	if _, err := q.NewInsert().Model(a).Exec(ctx); err != nil {
		return fmt.Errorf("write attempt: %w", err)
	}
	return nil
}
