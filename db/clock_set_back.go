package db

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// PullBack brings the instants of loops, queues, leases and rests that a clock which was set back left too far ahead to
// what they mean. Where the clock was right it changes nothing. Schedules are the rules' own.
func PullBack(ctx context.Context, q bun.IDB, now time.Time) error {
	for _, statement := range pulledBack {
		if _, err := q.NewRaw(statement, now).Exec(ctx); err != nil {
			return fmt.Errorf("pull back what is ahead of the clock: %w", err)
		}
	}
	return nil
}

// pulledBack are the instants to come that are further ahead than they were ever meant to be, as those are that were
// written before the clock was set back. The argument is now.
var pulledBack = []string{
	// A loop rests at most two minutes, or until its budget is full again, which the newest row of its schedule says; a
	// One-Time waits for its time, or some seconds for a run in its way.
	`UPDATE automations a SET next_run_at = ?0 WHERE a.enabled AND a.trigger = 'loop'
		AND a.next_run_at > ?0::timestamptz + interval '130 seconds'
		AND NOT EXISTS (SELECT 1 FROM executions e WHERE e.status = 'skipped' AND e.error_class = 'budget'
			AND e.created_at <= ?0
			AND e.id = (SELECT x.id FROM executions x
				WHERE x.automation_id = a.id AND (x.source = 'schedule' OR x.session_id IS NOT NULL)
				ORDER BY x.id DESC LIMIT 1))`,
	`UPDATE automations SET next_run_at = greatest(run_at, ?0)
		WHERE enabled AND trigger = 'one_time'
		AND next_run_at > greatest(run_at, ?0::timestamptz + interval '1 minute')`,
	// A session is queued for now, or for when its run is tried again, or a message that met an outage: that is at most
	// ten minutes later.
	`UPDATE sessions s SET queued_at = ?0 WHERE s.status = 'queued'
		AND s.queued_at > ?0::timestamptz + CASE WHEN s.outages > 0 THEN interval '11 minutes'
			ELSE interval '10 seconds' END
		AND NOT EXISTS (SELECT 1 FROM execution_attempts ea JOIN executions e ON e.id = ea.execution_id
			WHERE e.session_id = s.id AND ea.retry_at = s.queued_at AND ea.failed_at <= ?0)`,
	// Who renews a lease that lives does so every few seconds.
	`UPDATE sessions SET lease_until = ?0::timestamptz + interval '1 minute'
		WHERE status = 'in_progress' AND lease_until > ?0::timestamptz + interval '2 minutes'`,
	`UPDATE provider_pauses SET until = until - (failed_at - ?0), failed_at = ?0, since = least(since, ?0)
		WHERE failed_at > ?0::timestamptz + interval '10 seconds'`,
	`UPDATE notice_deliveries SET next_attempt_at = ?0
		WHERE status = 'queued' AND (next_attempt_at > ?0::timestamptz + interval '12 hours 10 minutes'
		OR attempts = 0 AND next_attempt_at > ?0::timestamptz + interval '10 seconds')`,
	`UPDATE pull_requests SET checked_at = ?0 WHERE state = 'open'
		AND checked_at > ?0::timestamptz + interval '10 seconds'`,
	`UPDATE workers SET seen_at = ?0 WHERE seen_at > ?0::timestamptz + interval '10 seconds'`,
	`UPDATE refused_models SET refused_at = ?0 WHERE refused_at > ?0::timestamptz + interval '10 seconds'`,
	`UPDATE set_aside SET until = ?0 WHERE until > ?0::timestamptz + interval '65 minutes'`,
}
