package db

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// NextTicketNumber gives the next number of a workspace's tickets. Concurrent callers wait for the end of the
// transaction.
func NextTicketNumber(ctx context.Context, tx bun.Tx, workspace uuid.UUID) (int64, error) {
	var n int64
	err := tx.NewRaw(`INSERT INTO ticket_numbers AS n (workspace_id, last) VALUES (?, 1)
		ON CONFLICT (workspace_id) DO UPDATE SET last = n.last + 1 RETURNING last`, workspace).Scan(ctx, &n)
	if err != nil {
		return 0, fmt.Errorf("number a ticket: %w", err)
	}
	return n, nil
}
