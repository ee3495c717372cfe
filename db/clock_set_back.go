package db

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// CorrectFutureTimes corrects times of loops, queues, leases and rests that are too far in the future because the clock
// was set back. It changes nothing if the clock was right. The rules correct schedules.
func CorrectFutureTimes(ctx context.Context, q bun.IDB, now time.Time) error {
	for _, statement := range futureTimeFixes {
		if _, err := q.NewRaw(statement, now).Exec(ctx); err != nil {
			return fmt.Errorf("correct times ahead of the clock: %w", err)
		}
	}
	return nil
}

// futureTimeFixes are the statements that correct times in the future that are further ahead than any that is written
// with a right clock. The argument is now.
var futureTimeFixes = []string{
	// A loop rests at most two minutes, or until its budget is renewed, as the newest row of its schedule says. A
	// One-Time waits for its time, or some seconds for a run in flight.
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
	// A session is queued for now, for the retry of its run, or for the retry of a message after an outage, which is at
	// most ten minutes later.
	`UPDATE sessions s SET queued_at = ?0 WHERE s.status = 'queued'
		AND s.queued_at > ?0::timestamptz + CASE WHEN s.outages > 0 THEN interval '11 minutes'
			ELSE interval '10 seconds' END
		AND NOT EXISTS (SELECT 1 FROM execution_attempts ea JOIN executions e ON e.id = ea.execution_id
			WHERE e.session_id = s.id AND ea.retry_at = s.queued_at AND ea.failed_at <= ?0)`,
	// A living worker renews its lease every few seconds.
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
