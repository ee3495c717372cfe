package db

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// Gauges are values for monitoring.
type Gauges struct {
	Sessions map[string]int64 // not closed, by status
	Ended    map[string]int64 // executions of the last hour, by status
	Enabled  map[string]int64 // automations, by trigger
	Overdue  time.Duration    // of the longest due automation
}

// ReadGauges reads the gauges, in one round trip.
func ReadGauges(ctx context.Context, q bun.IDB, now time.Time) (*Gauges, error) {
	var rows []struct {
		Kind  string  `bun:"kind"`
		Label string  `bun:"label"`
		N     float64 `bun:"n"`
	}
	err := q.NewRaw(`
		SELECT 'session' AS kind, status AS label, count(*)::float8 AS n FROM sessions
			WHERE status IN ('queued', 'in_progress', 'waiting') GROUP BY status
		UNION ALL SELECT 'ended', status, count(*) FROM executions WHERE created_at > ? AND finished_at > ?
			GROUP BY status
		UNION ALL SELECT 'enabled', trigger, count(*) FROM automations WHERE enabled GROUP BY trigger
		UNION ALL SELECT 'overdue', '', greatest(0, coalesce(extract(epoch FROM ?::timestamptz - min(next_run_at)), 0))
			FROM automations WHERE enabled AND next_run_at <= ?`,
		now.Add(-7*time.Hour), now.Add(-time.Hour), now, now).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("read gauges: %w", err)
	}
	g := &Gauges{Sessions: map[string]int64{}, Ended: map[string]int64{}, Enabled: map[string]int64{}}
	for _, r := range rows {
		switch r.Kind {
		case "session":
			g.Sessions[r.Label] = int64(r.N)
		case "ended":
			g.Ended[r.Label] = int64(r.N)
		case "enabled":
			g.Enabled[r.Label] = int64(r.N)
		case "overdue":
			g.Overdue = time.Duration(r.N * float64(time.Second))
		}
	}
	return g, nil
}
