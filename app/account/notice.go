package account

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/db"
)

// NoticeKind is the kind of notices about changes to a person's own account.
const NoticeKind = "account"

// notifyOwn writes a notice about a person's account into the person's inbox.
func notifyOwn(ctx context.Context, tx bun.Tx, user uuid.UUID, now time.Time, title, body string) error {
	id := db.NewID()
	_, err := db.InsertNotifications(ctx, tx, []db.Notification{{
		ID: id, UserID: user, Kind: NoticeKind, Title: title, Body: body, DedupKey: "account " + id.String(),
		CreatedAt: now,
	}})
	return err
}
