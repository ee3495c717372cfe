package db

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// ProviderTrial is one turn with which a person tests a provider.
type ProviderTrial struct {
	bun.BaseModel `bun:"table:provider_trials,alias:pt"`

	Provider    string          `bun:"provider,pk"`
	RequestedBy uuid.UUID       `bun:"requested_by,nullzero,type:uuid"`
	RequestedAt time.Time       `bun:"requested_at"`
	Worker      string          `bun:"worker"`
	StartedAt   time.Time       `bun:"started_at,nullzero"`
	FinishedAt  time.Time       `bun:"finished_at,nullzero"`
	ErrorClass  string          `bun:"error_class"`
	Reason      string          `bun:"reason"`
	Answer      string          `bun:"answer"`
	Usage       json.RawMessage `bun:"usage,type:jsonb,nullzero"`
}

// ProviderTrials lists the newest trial of each provider that was tried.
func ProviderTrials(ctx context.Context, q bun.IDB) ([]ProviderTrial, error) {
	var list []ProviderTrial
	if err := q.NewSelect().Model(&list).Order("provider").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list trials of providers: %w", err)
	}
	return list, nil
}

// RequestTrial writes a request for a worker to try a provider. It leaves a request that was made or begun after stale.
// It reports whether it has written the request.
func RequestTrial(ctx context.Context, q bun.IDB, provider string, by uuid.UUID, now, stale time.Time) (bool, error) {
	res, err := q.NewRaw(`INSERT INTO provider_trials (provider, requested_by, requested_at) VALUES (?0, ?1, ?2)
		ON CONFLICT (provider) DO UPDATE SET requested_by = excluded.requested_by, requested_at = excluded.requested_at,
			worker = '', started_at = NULL, finished_at = NULL, error_class = '', reason = '', answer = '', usage = NULL
		WHERE provider_trials.finished_at IS NOT NULL
			OR coalesce(provider_trials.started_at, provider_trials.requested_at) < ?3`,
		provider, orNull(by), now, stale).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("request trial of %s: %w", provider, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// ClaimTrial takes a requested trial for a worker. It returns nil when there is none. It leaves out providers that
// other workers have and this worker has not.
func ClaimTrial(ctx context.Context, q bun.IDB, worker string, now time.Time) (*ProviderTrial, error) {
	var t ProviderTrial
	err := q.NewRaw(`UPDATE provider_trials SET worker = ?0, started_at = ?1 WHERE provider = (
			SELECT provider FROM provider_trials WHERE started_at IS NULL AND provider <> ALL(ARRAY(`+providersOfOthers(
		"?0",
		"?2")+`))
			ORDER BY requested_at LIMIT 1 FOR UPDATE SKIP LOCKED
		) RETURNING *`, worker, now, now.Add(-WorkerSilence)).Scan(ctx, &t)
	if IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("claim trial: %w", err)
	}
	return &t, nil
}

// FinishTrial writes the end of a trial, unless another one was requested since.
func FinishTrial(ctx context.Context, q bun.IDB, t *ProviderTrial) error {
	_, err := q.NewUpdate().Model(t).Column("finished_at", "error_class", "reason", "answer", "usage").WherePK().
		Where("pt.worker = ?", t.Worker).Where("pt.started_at = ?", t.StartedAt).Exec(ctx)
	if err != nil {
		return fmt.Errorf("finish trial of %s: %w", t.Provider, err)
	}
	return nil
}

// AbandonTrials ends the trials that a former process of a worker began.
func AbandonTrials(ctx context.Context, q bun.IDB, worker, reason string, now time.Time) error {
	_, err := q.NewUpdate().Model((*ProviderTrial)(nil)).Set("finished_at = ?", now).Set("error_class = 'interrupted'").
		Set("reason = ?", reason).
		Where("pt.worker = ?", worker).Where("pt.started_at IS NOT NULL AND pt.finished_at IS NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("abandon trials: %w", err)
	}
	return nil
}

// DeleteTrial removes the trial of a provider.
func DeleteTrial(ctx context.Context, q bun.IDB, provider string) error {
	if _, err := q.NewDelete().Model((*ProviderTrial)(nil)).Where("pt.provider = ?", provider).Exec(ctx); err != nil {
		return fmt.Errorf("forget trial of %s: %w", provider, err)
	}
	return nil
}
