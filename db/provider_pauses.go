package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// ProviderPause prevents the sessions of a provider's account from starting until a time. Afterwards one session at a
// time tries the provider, until one succeeds. The account is the server's, or the one of a workspace whose variables
// match Keys.
type ProviderPause struct {
	bun.BaseModel `bun:"table:provider_pauses,alias:pp"`

	Provider    string    `bun:"provider"`
	WorkspaceID uuid.UUID `bun:"workspace_id,nullzero,type:uuid"` // zero: the server's account
	// patterns for LIKE of the names of variables with credentials of the provider
	Keys      []string `bun:"keys,array"`
	Workspace string   `bun:"workspace,scanonly"` // its name; empty for the server's account

	Since      time.Time `bun:"since"`
	Until      time.Time `bun:"until"`
	FailedAt   time.Time `bun:"failed_at"`
	Failures   int       `bun:"failures"`
	ErrorClass string    `bun:"error_class"`
	Reason     string    `bun:"reason"`
}

// ProviderPauses lists the pauses of all providers.
func ProviderPauses(ctx context.Context, q bun.IDB) ([]ProviderPause, error) {
	var list []ProviderPause
	err := q.NewSelect().Model(&list).ColumnExpr("pp.*").ColumnExpr("coalesce(w.name, '') AS workspace").
		Join("LEFT JOIN workspaces AS w ON w.id = pp.workspace_id").
		OrderExpr("pp.provider, pp.workspace_id NULLS FIRST").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list paused providers: %w", err)
	}
	return list, nil
}

// account is SQL for the workspace whose own account the session s uses with the provider of the pause p; NULL: the
// server's account.
const account = `(SELECT v.workspace_id FROM workspace_variables v
	WHERE v.workspace_id = s.workspace_id AND v.name LIKE ANY(p.keys) LIMIT 1)`

// paused is the SQL condition that the pause p prevents the session s from starting.
const paused = `p.provider = s.provider AND p.workspace_id IS NOT DISTINCT FROM ` + account

// PausesOf finds the pauses that prevent queued sessions from starting, by session.
func PausesOf(ctx context.Context, q bun.IDB, sessions []uuid.UUID) (map[uuid.UUID]ProviderPause, error) {
	if len(sessions) == 0 {
		return nil, nil
	}
	var rows []struct {
		Session uuid.UUID `bun:"session,type:uuid"`
		ProviderPause
	}
	err := q.NewRaw(`SELECT s.id AS session, p.* FROM sessions s JOIN provider_pauses p ON `+paused+`
		WHERE s.id = ANY(?::uuid[]) AND s.status = 'queued' AND NOT s.at_gate`,
		UUIDs(sessions)).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("find what sessions wait for: %w", err)
	}
	pauses := make(map[uuid.UUID]ProviderPause, len(rows))
	for _, r := range rows {
		pauses[r.Session] = r.ProviderPause
	}
	return pauses, nil
}

// WaitingForProviders counts the queued sessions of each provider that is paused.
func WaitingForProviders(ctx context.Context, q bun.IDB) (map[string]int, error) {
	var rows []struct {
		Provider string `bun:"provider"`
		N        int    `bun:"n"`
	}
	err := q.NewRaw(`SELECT s.provider, count(*) AS n FROM sessions s JOIN provider_pauses p ON `+paused+`
		WHERE s.status = 'queued' AND NOT s.at_gate GROUP BY s.provider`).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("count sessions that wait for providers: %w", err)
	}
	waiting := make(map[string]int, len(rows))
	for _, r := range rows {
		waiting[r.Provider] = r.N
	}
	return waiting, nil
}

// LockPause finds and locks the pause of a provider's account. It returns nil when there is none. The account is a
// workspace's own, or the server's if the id is zero.
func LockPause(ctx context.Context, tx bun.Tx, provider string, workspace uuid.UUID) (*ProviderPause, error) {
	var p ProviderPause
	err := tx.NewSelect().Model(&p).Where("pp.provider = ?", provider).
		Where("pp.workspace_id IS NOT DISTINCT FROM ?", orNull(workspace)).For("UPDATE").Scan(ctx)
	if IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find pause of %s: %w", provider, err)
	}
	return &p, nil
}

// InsertPause begins a pause. It reports whether there was none yet.
func InsertPause(ctx context.Context, q bun.IDB, p *ProviderPause) (bool, error) {
	if p.Keys == nil {
		p.Keys = []string{} // the column is NOT NULL
	}
	res, err := q.NewInsert().Model(p).On("CONFLICT DO NOTHING").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("pause %s: %w", p.Provider, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// SavePause writes the columns of a pause that change.
func SavePause(ctx context.Context, q bun.IDB, p *ProviderPause) error {
	_, err := q.NewUpdate().Model(p).Column("until", "failed_at", "failures", "error_class", "reason").
		Where("pp.provider = ?", p.Provider).Where("pp.workspace_id IS NOT DISTINCT FROM ?", orNull(p.WorkspaceID)).
		Exec(ctx)
	if err != nil {
		return fmt.Errorf("pause %s: %w", p.Provider, err)
	}
	return nil
}

// EndPause deletes the pause of a provider's account. It reports whether there was one.
func EndPause(ctx context.Context, q bun.IDB, provider string, workspace uuid.UUID) (bool, error) {
	return endPauses(ctx, q.NewDelete().Where("pp.workspace_id IS NOT DISTINCT FROM ?", orNull(workspace)), provider)
}

// EndPauses is EndPause for every account of a provider.
func EndPauses(ctx context.Context, q bun.IDB, provider string) (bool, error) {
	return endPauses(ctx, q.NewDelete(), provider)
}

func endPauses(ctx context.Context, del *bun.DeleteQuery, provider string) (bool, error) {
	res, err := del.Model((*ProviderPause)(nil)).Where("pp.provider = ?", provider).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("end pause of %s: %w", provider, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}
