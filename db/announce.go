package db

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Channel is the one channel on which processes tell each other, through the database, what has changed.
const Channel = "carillon"

var errNoRows = sql.ErrNoRows

// Announce tells all processes, once the transaction commits, that something of a topic changed: "session" with
// its id, "automation" with its id, "inbox" with its person's id, "queue", "schedule" and "delivery" with none.
func Announce(ctx context.Context, q bun.IDB, topic string, id uuid.UUID) error {
	payload := topic
	if id != uuid.Nil {
		payload += " " + id.String()
	}
	if _, err := q.NewRaw("SELECT pg_notify(?, ?)", Channel, payload).Exec(ctx); err != nil {
		return fmt.Errorf("announce %s: %w", payload, err)
	}
	return nil
}
