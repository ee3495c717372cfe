package db

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// TransferOffer is an offer to a person to take over an automation.
type TransferOffer struct {
	bun.BaseModel `bun:"table:transfer_offers,alias:o"`

	AutomationID uuid.UUID `bun:"automation_id,pk,type:uuid"`
	ToID         uuid.UUID `bun:"to_id,type:uuid"`
	FromID       uuid.UUID `bun:"from_id,type:uuid"`
	CreatedAt    time.Time `bun:"created_at"`

	To   *User `bun:"rel:belongs-to,join:to_id=id"`
	From *User `bun:"rel:belongs-to,join:from_id=id"`
}

// SaveOffer writes an offer, and replaces the automation's open one.
func SaveOffer(ctx context.Context, q bun.IDB, o *TransferOffer) error {
	_, err := q.NewInsert().Model(o).On("CONFLICT (automation_id) DO UPDATE").
		Set("to_id = EXCLUDED.to_id").Set("from_id = EXCLUDED.from_id").Set("created_at = EXCLUDED.created_at").
		Exec(ctx)
	return wrap(err, "write an offer of an automation")
}

// OfferOf finds the open offer of an automation, with both people. It returns nil when there is none.
func OfferOf(ctx context.Context, q bun.IDB, automation uuid.UUID) (*TransferOffer, error) {
	var o TransferOffer
	err := q.NewSelect().Model(&o).Relation("To").Relation("From").Where("o.automation_id = ?", automation).Scan(ctx)
	if IsNotFound(err) {
		return nil, nil
	}
	return &o, wrap(err, "find the offer of automation "+automation.String())
}

// DeleteOffer ends the open offer of an automation.
func DeleteOffer(ctx context.Context, q bun.IDB, automation uuid.UUID) error {
	_, err := q.NewDelete().Model((*TransferOffer)(nil)).Where("o.automation_id = ?", automation).Exec(ctx)
	return wrap(err, "end the offer of automation "+automation.String())
}
