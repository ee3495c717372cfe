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
	err := q.NewRaw(`SELECT key, value #>> '{}' AS value FROM settings
		WHERE starts_with(key, ?) AND jsonb_typeof(value) = 'string'`, prefix).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	texts := make(map[string]string, len(rows))
	for _, r := range rows {
		texts[r.Key] = r.Value
	}
	return texts, nil
}

// LockSettings locks the settings against changes until the transaction ends.
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
			ON CONFLICT (key) DO UPDATE SET value = excluded.value,
				updated_at = excluded.updated_at`, key, string(value), now).Exec(ctx)
	}
	return wrap(err, "save setting "+key)
}

// DeleteSetting deletes a setting, so that its default applies.
func DeleteSetting(ctx context.Context, q bun.IDB, key string) error {
	_, err := q.NewRaw("DELETE FROM settings WHERE key = ?", key).Exec(ctx)
	return wrap(err, "delete setting "+key)
}

// ProviderSettings are the changes of an administrator to the providers.
type ProviderSettings struct {
	Disabled []string            `json:"disabled,omitempty"` // ids of providers that must not be used
	Models   map[string][]string `json:"models,omitempty"`   // suggested models of providers that cannot list theirs
	Own      []OwnProvider       `json:"own,omitempty"`      // agents added by configuration
}

// OwnProvider is an agent that speaks the Agent Client Protocol, added by an administrator.
type OwnProvider struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Command []string `json:"command"`
	Keys    []string `json:"keys,omitempty"`  // variables of the server that are passed to it
	State   []string `json:"state,omitempty"` // its own files below the home folder, which a sandbox lets it write
	// files and folders of a repository that configure it, which a sandbox hides
	Obeys    []string `json:"obeys,omitempty"`
	AutoMode string   `json:"auto_mode,omitempty"` // the session mode that asks no questions
	ReadMode string   `json:"read_mode,omitempty"` // the session mode that changes nothing
}

// providersKey is the row of the table settings.
const providersKey = "providers"

// Providers reads the settings of the providers; none are the zero value.
func Providers(ctx context.Context, q bun.IDB) (ProviderSettings, error) {
	return readProviders(ctx, q, "")
}

// LockProviders is Providers with a lock until the transaction ends.
func LockProviders(ctx context.Context, tx bun.Tx) (ProviderSettings, error) {
	// The row has to exist to be locked.
	if _, err := tx.NewRaw(`INSERT INTO settings (key, value, updated_at) VALUES (?, '{}', now())
		ON CONFLICT DO NOTHING`, providersKey).Exec(ctx); err != nil {
		return ProviderSettings{}, fmt.Errorf("lock providers: %w", err)
	}
	return readProviders(ctx, tx, " FOR UPDATE")
}

func readProviders(ctx context.Context, q bun.IDB, lock string) (ProviderSettings, error) {
	var raw string
	err := q.NewRaw("SELECT value::text FROM settings WHERE key = ?"+lock, providersKey).Scan(ctx, &raw)
	if IsNotFound(err) {
		return ProviderSettings{}, nil
	}
	var p ProviderSettings
	if err == nil {
		err = json.Unmarshal([]byte(raw), &p)
	}
	if err != nil {
		return p, fmt.Errorf("read providers: %w", err)
	}
	return p, nil
}

// SaveProviders writes the settings of the providers.
func SaveProviders(ctx context.Context, q bun.IDB, p ProviderSettings, now time.Time) error {
	raw, err := json.Marshal(p)
	if err == nil {
		_, err = q.NewRaw(`INSERT INTO settings (key, value, updated_at) VALUES (?, ?::jsonb, ?)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at`,
			providersKey, string(raw), now).Exec(ctx)
	}
	if err != nil {
		return fmt.Errorf("save providers: %w", err)
	}
	return nil
}
