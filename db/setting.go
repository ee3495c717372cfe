package db

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// SettingTexts reads the settings that are texts and whose keys begin with a prefix.
func SettingTexts(ctx context.Context, q bun.IDB, prefix string) (map[string]string, error) {
	var rows []struct {
		Key   string `bun:"key"`
		Value string `bun:"value"`
	}
	err := q.NewRaw("SELECT key, value #>> '{}' AS value FROM settings WHERE starts_with(key, ?) AND jsonb_typeof(value) = 'string'", prefix).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	texts := make(map[string]string, len(rows))
	for _, r := range rows {
		texts[r.Key] = r.Value
	}
	return texts, nil
}

// LockSettings lets nobody else change settings until the transaction ends.
func LockSettings(ctx context.Context, tx bun.Tx) error {
	if _, err := tx.NewRaw("LOCK TABLE settings IN SHARE ROW EXCLUSIVE MODE").Exec(ctx); err != nil {
		return fmt.Errorf("lock settings: %w", err)
	}
	return nil
}

// SaveSettingText writes a setting that is a text.
func SaveSettingText(ctx context.Context, q bun.IDB, key, text string, now time.Time) error {
	value, err := json.Marshal(text)
	if err == nil {
		_, err = q.NewRaw(`INSERT INTO settings (key, value, updated_at) VALUES (?, ?::jsonb, ?)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at`, key, string(value), now).Exec(ctx)
	}
	return wrapped(err, "save setting "+key)
}

// DeleteSetting forgets a setting; its default holds again.
func DeleteSetting(ctx context.Context, q bun.IDB, key string) error {
	_, err := q.NewRaw("DELETE FROM settings WHERE key = ?", key).Exec(ctx)
	return wrapped(err, "delete setting "+key)
}
