package db

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// SessionsInFlight lists the sessions of an automation's executions in flight, the oldest first.
func SessionsInFlight(ctx context.Context, q bun.IDB, automation uuid.UUID) ([]uuid.UUID, error) {
	var list []uuid.UUID
	err := q.NewSelect().Model((*Execution)(nil)).Column("session_id").Where("e.automation_id = ?", automation).
		Where("e.status IN ('queued', 'running')").Order("e.id").Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("list sessions in flight: %w", err)
	}
	return list, nil
}

// CountInFlight counts the executions in flight of an automation.
func CountInFlight(ctx context.Context, tx bun.Tx, automation uuid.UUID) (int, error) {
	var n int
	err := prepare(tx).row(ctx, `SELECT count(*) FROM executions
		WHERE automation_id = $1 AND status IN ('queued', 'running')`, automation).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count executions in flight: %w", err)
	}
	return n, nil
}

// OldestRun is the oldest execution in flight of an automation.
type OldestRun struct {
	AutomationID uuid.UUID
	ID           uuid.UUID
	SessionID    uuid.UUID
	Count        int // how many are in flight, this one included
}

// OldestInFlight finds the oldest execution in flight of each automation that has one.
func OldestInFlight(ctx context.Context, q bun.IDB, automations ...uuid.UUID) (map[uuid.UUID]OldestRun, error) {
	var list []OldestRun
	err := q.NewRaw(`SELECT DISTINCT ON (automation_id) automation_id, id, session_id,
		count(*) OVER (PARTITION BY automation_id) AS count
		FROM executions WHERE automation_id = ANY(?::uuid[]) AND status IN ('queued', 'running')
			ORDER BY automation_id, id`,
		UUIDs(automations)).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("list executions in flight: %w", err)
	}
	byID := make(map[uuid.UUID]OldestRun, len(list))
	for _, e := range list {
		byID[e.AutomationID] = e
	}
	return byID, nil
}
