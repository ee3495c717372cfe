package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// TicketSession links a ticket to a session that worked on it.
type TicketSession struct {
	bun.BaseModel `bun:"table:ticket_sessions"`

	TicketID  uuid.UUID `bun:"ticket_id,pk,type:uuid"`
	SessionID uuid.UUID `bun:"session_id,pk,type:uuid"`
	CreatedAt time.Time `bun:"created_at"`
}

// LinkTicket records that a session worked on a ticket.
func LinkTicket(ctx context.Context, q bun.IDB, ticket, session uuid.UUID, now time.Time) error {
	_, err := q.NewInsert().Model(&TicketSession{TicketID: ticket, SessionID: session, CreatedAt: now}).
		On("CONFLICT DO NOTHING").Exec(ctx)
	if err != nil {
		return fmt.Errorf("link ticket %s: %w", ticket, err)
	}
	return nil
}

// UnlinkTicket removes the link between a session and a ticket. It reports whether there was one.
func UnlinkTicket(ctx context.Context, q bun.IDB, ticket, session uuid.UUID) (bool, error) {
	res, err := q.NewDelete().Model(&TicketSession{TicketID: ticket, SessionID: session}).WherePK().Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("unlink ticket %s: %w", ticket, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}
