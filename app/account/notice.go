package account

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/db"
)

// NoticeKind is the kind of the notices that tell a person what others, or they themselves from elsewhere, did with
// their account.
const NoticeKind = "account"

// notifyOwn puts a notice about a person's account into their inbox.
func notifyOwn(ctx context.Context, tx bun.Tx, user uuid.UUID, now time.Time, title, body string) error {
	id := db.NewID()
	_, err := db.InsertNotifications(ctx, tx, []db.Notification{{
		ID: id, UserID: user, Kind: NoticeKind, Title: title, Body: body, DedupKey: "account " + id.String(),
		CreatedAt: now,
	}})
	return err
}
