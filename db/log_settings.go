package db

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// LoggedValues lists the settings, such as "log_min_error_statement = error", by which the server writes values of
// statements into its own log. The texts of statements contain prompts, names and addresses. They contain secrets only
// hashed or sealed.
func LoggedValues(ctx context.Context, q bun.IDB) ([]string, error) {
	var list []string
	err := q.NewRaw(`SELECT name || ' = ' || setting FROM pg_settings
		WHERE name = 'log_min_error_statement' AND setting NOT IN ('log', 'fatal', 'panic')
			OR name = 'log_statement' AND setting IN ('mod', 'all')
			OR name IN ('log_min_duration_statement', 'log_min_duration_sample') AND setting <> '-1'
		ORDER BY name`).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("read what the database logs: %w", err)
	}
	return list, nil
}
