package db

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// DeliveryKey is a sender's id of a delivery, with the first answer.
type DeliveryKey struct {
	bun.BaseModel `bun:"table:webhook_keys,alias:wk"`

	AutomationID uuid.UUID       `bun:"automation_id,pk,type:uuid"`
	Key          string          `bun:"key,pk"`
	At           time.Time       `bun:"at"`
	Status       int             `bun:"status"`
	Answer       json.RawMessage `bun:"answer,type:jsonb"`
}

// DeliveryKeyByName finds the first answer to a key since a time.
func DeliveryKeyByName(
	ctx context.Context, q bun.IDB, automation uuid.UUID, key string, since time.Time,
) (*DeliveryKey, error) {
	var k DeliveryKey
	err := q.NewSelect().Model(&k).Where("wk.automation_id = ?", automation).Where("wk.key = ?", key).
		Where("wk.at > ?", since).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find delivery key: %w", err)
	}
	return &k, nil
}

// SaveDeliveryKey stores the answer to a key, and replaces an older one.
func SaveDeliveryKey(ctx context.Context, q bun.IDB, k *DeliveryKey) error {
	_, err := q.NewInsert().Model(k).On("CONFLICT (automation_id, key) DO UPDATE").
		Set("at = EXCLUDED.at").Set("status = EXCLUDED.status").Set("answer = EXCLUDED.answer").Exec(ctx)
	if err != nil {
		return fmt.Errorf("save delivery key: %w", err)
	}
	return nil
}

// pruneDeliveryKeys deletes the keys of deliveries that came before a time.
func pruneDeliveryKeys(ctx context.Context, q bun.IDB, before time.Time) error {
	_, err := q.NewDelete().Model((*DeliveryKey)(nil)).Where("wk.at < ?", before).Exec(ctx)
	return wrap(err, "prune delivery keys")
}
