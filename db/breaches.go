package db

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Breach is a row that violates an invariant of the database.
type Breach struct {
	Kind string    `bun:"kind"` // kind of the row: execution, session, automation, turn, notice, index
	ID   uuid.UUID `bun:"id,nullzero,type:uuid"`
	What string    `bun:"what"` // what is wrong, as a clause for a person
}

// breaches reads the rows of a query that has the columns of a Breach.
func breaches(ctx context.Context, q bun.IDB, query string, args ...any) ([]Breach, error) {
	var list []Breach
	err := q.NewRaw(query, args...).Scan(ctx, &list)
	return list, err
}

// RunsWithoutWork finds executions in flight that no worker works on or will take.
func RunsWithoutWork(ctx context.Context, q bun.IDB, limit int) ([]Breach, error) {
	list, err := breaches(ctx, q, `SELECT 'execution' AS kind, e.id, CASE WHEN s.id IS NULL THEN 'is ' || e.status
		|| ' and has no session'
			ELSE 'is ' || e.status || ' and its session is ' || s.status END AS what
		FROM executions e LEFT JOIN sessions s ON s.id = e.session_id
		WHERE e.status IN ('queued', 'running') AND (s.id IS NULL OR s.status NOT IN ('queued', 'in_progress'))
			ORDER BY e.id LIMIT ?`, limit)
	return list, wrap(err, "find runs without work")
}

// ExpiredLeases finds sessions at work whose lease ended before a time and that were neither resumed nor ended.
func ExpiredLeases(ctx context.Context, q bun.IDB, before time.Time, limit int) ([]Breach, error) {
	list, err := breaches(ctx, q, `SELECT 'session' AS kind, s.id, 'is in progress and its worker''s lease ended at '
		|| s.lease_until AS what
		FROM sessions s WHERE s.status = 'in_progress' AND s.lease_until < ? ORDER BY s.lease_until
			LIMIT ?`, before, limit)
	return list, wrap(err, "find leases that are long over")
}

// RunsPastTheirGuard finds automations that have more runs in flight than they may have: more than one, or more than
// their cap if they allow parallel sessions. The cap is not checked for runs that began before the automation was last
// changed.
func RunsPastTheirGuard(ctx context.Context, q bun.IDB, limit int) ([]Breach, error) {
	list, err := breaches(ctx, q, `SELECT 'automation' AS kind, f.automation_id AS id, CASE
		WHEN f.alone > 1 THEN f.alone || ' runs are in flight that may not run beside others'
			ELSE f.runs || ' runs are in flight, and it may have ' || CASE WHEN a.allow_parallel THEN a.max_parallel
				ELSE 1 END END AS what
		FROM (
			SELECT automation_id, count(*) AS runs, count(*) FILTER (WHERE NOT parallel) AS alone,
				max(created_at) AS newest
			FROM executions WHERE status IN ('queued', 'running') GROUP BY automation_id HAVING count(*) > 1
		) f JOIN automations a ON a.id = f.automation_id
		WHERE f.alone > 1 OR f.runs > CASE WHEN a.allow_parallel THEN a.max_parallel ELSE 1 END
			AND f.newest > a.updated_at + interval '1 minute'
		ORDER BY f.automation_id LIMIT ?`, limit)
	return list, wrap(err, "find runs past their guard")
}

// DueTimesAnsweredTwice finds due times since a time for which there are two executions. It does not use the unique
// index that should prevent them.
func DueTimesAnsweredTwice(ctx context.Context, q bun.IDB, since time.Time, limit int) ([]Breach, error) {
	list, err := breaches(ctx, q, `SELECT 'automation' AS kind, automation_id AS id, count(*) || ' executions are for '
		|| scheduled_for AS what
		FROM executions WHERE source = 'schedule' AND scheduled_for >= ? GROUP BY automation_id, scheduled_for
			HAVING count(*) > 1
		ORDER BY automation_id, scheduled_for LIMIT ?`, since, limit)
	return list, wrap(err, "find due times that are answered twice")
}

// StalledSchedules finds enabled automations that should have a next run and have none, and those that have been due
// since before a time without a run in flight.
func StalledSchedules(ctx context.Context, q bun.IDB, now, before time.Time, limit int) ([]Breach, error) {
	list, err := breaches(ctx, q, `SELECT 'automation' AS kind, a.id, 'is enabled and has no next run' AS what
			FROM automations a WHERE `+unscheduled+` AND a.updated_at < ?1
				AND `+notSetAsideAt(TaskWatch, "a.id", "?0")+`
		UNION ALL
		SELECT 'automation', a.id, 'was due at ' || a.next_run_at
			FROM automations a WHERE a.enabled AND a.next_run_at < ?1 AND NOT `+hasInFlight+`
				AND `+notSetAsideAt(TaskStart, "a.id", "?0")+`
		LIMIT ?2`, now, before, limit)
	return list, wrap(err, "find schedules at rest")
}

// TurnsWithoutWork finds queued and running turns whose run or session has ended, and those that no worker will take
// because their session waits for a person.
func TurnsWithoutWork(ctx context.Context, q bun.IDB, limit int) ([]Breach, error) {
	list, err := breaches(ctx, q, `SELECT 'turn' AS kind, t.id, 'is ' || t.status || ' and its '
			|| CASE WHEN s.status NOT IN ('queued', 'in_progress') THEN 'session is ' || s.status ELSE 'execution '
				|| e.status END AS what
		FROM turns t JOIN sessions s ON s.id = t.session_id LEFT JOIN executions e ON e.id = t.execution_id
		WHERE t.status IN ('queued', 'running') AND (s.status NOT IN ('queued', 'in_progress')
			OR e.finished_at IS NOT NULL) ORDER BY t.id LIMIT ?`, limit)
	return list, wrap(err, "find turns of what is over")
}

// WrongSums finds executions that ended since a time and whose usage differs from the sum over their turns.
func WrongSums(ctx context.Context, q bun.IDB, since time.Time, limit int) ([]Breach, error) {
	list, err := breaches(ctx, q, `SELECT 'execution' AS kind, e.id, 'tells of '
		|| e.tokens_in + e.tokens_cached + e.tokens_out || ' tokens and ' || e.cost_usd
			|| ' USD, and its messages of ' || s.tokens_in + s.tokens_cached + s.tokens_out || ' and '
				|| s.cost_usd AS what
		FROM executions e CROSS JOIN LATERAL (
			SELECT count(*) AS turns, `+usageSums+` FROM turns t
				WHERE t.execution_id = e.id AND t.started_at IS NOT NULL AND NOT t.own
		) s WHERE e.finished_at >= ? AND e.session_id IS NOT NULL
			AND (e.tokens_in, e.tokens_cached, e.tokens_out, e.priced, e.counted) IS DISTINCT FROM (s.tokens_in,
				s.tokens_cached, s.tokens_out, s.priced, s.counted)
		ORDER BY e.id LIMIT ?`, since, limit)
	return list, wrap(err, "find wrong sums")
}

// lastEvents is how many of a turn's last events are searched for the usage that its agent reported.
const lastEvents = 8

// UsageUnlikeReported finds turns that ended since a time and whose recorded usage differs from the usage that their
// agent reported at the end. A turn that was begun more than once may have used more than its last report.
func UsageUnlikeReported(ctx context.Context, q bun.IDB, since time.Time, limit int) ([]Breach, error) {
	list, err := breaches(ctx, q, `SELECT 'turn' AS kind, t.id, 'is noted with '
		|| t.tokens_in + t.tokens_cached + t.tokens_out || ' tokens and ' || t.cost_usd
			|| ' USD, and its agent told of ' || u.tokens || ' and ' || u.cost AS what
		FROM turns t JOIN sessions s ON s.id = t.session_id CROSS JOIN LATERAL (
			SELECT count(*) AS ends, max(told.tokens) AS tokens, max(told.cost) AS cost FROM (
				SELECT (v.body->'usage'->>'input')::numeric + (v.body->'usage'->>'cacheRead')::numeric
					+ (v.body->'usage'->>'cacheWrite')::numeric
					+ (v.body->'usage'->>'output')::numeric AS tokens, (v.body->'usage'->>'costUSD')::float8 AS cost
				FROM (SELECT kind, body FROM session_events WHERE turn_id = t.id ORDER BY at DESC LIMIT ?) v
				WHERE v.kind = 'turn_end' AND jsonb_typeof(v.body->'usage') = 'object'
			) told
		) u WHERE t.finished_at >= ? AND u.ends = 1 AND u.tokens BETWEEN 0 AND 1e12 AND u.cost BETWEEN 0 AND 1e6
			AND (t.tokens_in + t.tokens_cached + t.tokens_out < u.tokens OR t.cost_usd < u.cost - 1e-6
				OR (t.tokens_in + t.tokens_cached + t.tokens_out > u.tokens OR t.cost_usd > u.cost + 1e-6)
					AND s.fence = 1 AND NOT EXISTS (SELECT 1 FROM execution_attempts ea WHERE ea.turn_id = t.id))
		ORDER BY t.id LIMIT ?`, lastEvents, since, limit)
	return list, wrap(err, "find usage unlike what was told")
}

// LateEvents finds events since a time that were written more than a minute after the end of their turn: only a worker
// that lost the session writes such events. It leaves out events that were written while a clock was ahead: those that
// were there when the turn ended, those before the event that ends the turn or before a much earlier event, and those
// of the future.
func LateEvents(ctx context.Context, q bun.IDB, since, now time.Time, limit int) ([]Breach, error) {
	list, err := breaches(ctx, q, `SELECT 'turn' AS kind, t.id, 'ended at ' || t.finished_at
		|| ', and something was written of it at ' || v.at AS what
		FROM turns t CROSS JOIN LATERAL (SELECT at, seq, session_id FROM session_events
			WHERE turn_id = t.id AND seq > coalesce(t.ended_seq, 0) ORDER BY at DESC LIMIT 1) v
		WHERE t.finished_at >= ? AND v.at > t.finished_at + interval '1 minute' AND v.at <= ?
			AND NOT EXISTS (SELECT 1 FROM session_events e
				WHERE e.turn_id = t.id AND e.kind = 'turn_end' AND e.seq > v.seq)
			AND NOT EXISTS (SELECT 1 FROM session_events e WHERE e.session_id = v.session_id AND e.seq > v.seq
				AND e.at < v.at - interval '1 minute') ORDER BY t.id LIMIT ?`, since, now, limit)
	return list, wrap(err, "find late words")
}

// OneTimesUnanswered finds One-Times that Carillon disabled since a time as done, failed or missed, and that have no
// execution.
func OneTimesUnanswered(ctx context.Context, q bun.IDB, since time.Time, limit int) ([]Breach, error) {
	list, err := breaches(ctx, q, `SELECT 'automation' AS kind, a.id, 'was switched off at ' || a.disabled_at || ' as '
		|| a.disabled_kind || ', and no execution answers ' || a.run_at AS what
		FROM automations a WHERE a.trigger = 'one_time' AND NOT a.enabled
			AND a.disabled_kind IN ('finished', 'failures', 'missed') AND a.disabled_at >= ?
			AND NOT EXISTS (SELECT 1 FROM executions e WHERE e.automation_id = a.id)
		ORDER BY a.id LIMIT ?`, since, limit)
	return list, wrap(err, "find one-times without an answer")
}

// NoticesTwice finds people who got the same notice twice since a time. It does not use the unique index that should
// prevent this.
func NoticesTwice(ctx context.Context, q bun.IDB, since time.Time, limit int) ([]Breach, error) {
	list, err := breaches(ctx, q, `SELECT 'notice' AS kind, (array_agg(id ORDER BY id))[1] AS id, 'was given '
		|| count(*) || ' times: ' || dedup_key AS what
		FROM notifications WHERE created_at >= ? GROUP BY user_id, dedup_key HAVING count(*) > 1 ORDER BY 2 LIMIT ?`,
		since, limit)
	return list, wrap(err, "find notices given twice")
}

// DisabledWithoutNotice finds automations that Carillon disabled since a time for their failures without a notice to
// anybody.
func DisabledWithoutNotice(ctx context.Context, q bun.IDB, since time.Time, limit int) ([]Breach, error) {
	list, err := breaches(ctx, q, `SELECT 'automation' AS kind, a.id, 'was disabled at ' || a.disabled_at
		|| ', and nobody was told' AS what
		FROM automations a WHERE NOT a.enabled AND a.disabled_kind = 'failures' AND a.disabled_at >= ?
			AND NOT EXISTS (SELECT 1 FROM notifications n
				WHERE n.automation_id = a.id AND n.kind = 'disabled'
				AND n.created_at >= a.disabled_at - interval '1 minute')
		ORDER BY a.id LIMIT ?`, since, limit)
	return list, wrap(err, "find automations that were disabled untold")
}

// UnusableIndexes finds indexes that the database does not use or whose constraint it does not enforce.
func UnusableIndexes(ctx context.Context, q bun.IDB, limit int) ([]Breach, error) {
	list, err := breaches(ctx, q, `SELECT 'index' AS kind, NULL::uuid AS id, c.relname
		|| ' is not valid: REINDEX INDEX ' || c.relname AS what
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = current_schema() AND NOT (i.indisvalid AND i.indisready) ORDER BY c.relname LIMIT ?`, limit)
	return list, wrap(err, "find indexes that cannot be used")
}

// Answer is an execution that answers one or more due times of a schedule.
type Answer struct {
	AutomationID uuid.UUID `bun:"automation_id"`
	Name         string    `bun:"name"`
	ID           uuid.UUID `bun:"id"`
	Status       string    `bun:"status"`
	For          time.Time `bun:"scheduled_for"`
	Last         time.Time `bun:"last"` // the last due time that it answers
	Count        int       `bun:"skip_count"`
	CreatedAt    time.Time `bun:"created_at"`
	Cron         string    `bun:"cron"`
	TimeZone     string    `bun:"time_zone"`
	// the automation was changed, enabled or disabled between the previous answer and this one
	Edited bool `bun:"edited"`
	Mixed  bool `bun:"mixed"` // the automation was changed, enabled or disabled while this answer counted due times
}

// SchedulesAfter lists up to limit Recurring automations after one in the order of their ids.
func SchedulesAfter(ctx context.Context, q bun.IDB, after uuid.UUID, limit int) ([]uuid.UUID, error) {
	var list []uuid.UUID
	err := q.NewRaw("SELECT id FROM automations WHERE trigger = 'recurring' AND id > ? ORDER BY id LIMIT ?", after,
		limit).Scan(ctx, &list)
	return list, wrap(err, "list schedules")
}

// Answers lists the answers to due times since a time, by automation and due time. It gives the newest limit answers of
// each automation.
func Answers(ctx context.Context, q bun.IDB, automations []uuid.UUID, since time.Time, limit int) ([]Answer, error) {
	var list []Answer
	err := q.NewRaw(`WITH answers AS (
			SELECT x.*, lag(x.created_at) OVER (PARTITION BY x.automation_id ORDER BY x.scheduled_for) AS previous
			FROM unnest(?::uuid[]) AS a(id) CROSS JOIN LATERAL (
				SELECT e.automation_id, coalesce(e.snapshot->>'name', '') AS name, e.id, e.status, e.scheduled_for,
					e.skip_count, e.created_at,
					greatest(e.scheduled_for, e.last_skipped_for) AS last,
					coalesce(e.snapshot->>'cron', '') AS cron, coalesce(e.snapshot->>'time_zone', '') AS time_zone
				FROM executions e WHERE e.automation_id = a.id AND e.source = 'schedule' AND e.scheduled_for >= ?
				ORDER BY e.scheduled_for DESC LIMIT ?
			) x
		) SELECT automation_id, name, id, status, scheduled_for, last, skip_count, created_at, cron, time_zone,
			previous IS NOT NULL AND EXISTS (SELECT 1 FROM audit_events v WHERE v.subject_id = answers.automation_id
				AND v.at BETWEEN previous - interval '1 minute' AND answers.created_at + interval '1 minute') AS edited,
			skip_count > 1 AND last > created_at AND EXISTS (SELECT 1 FROM audit_events v
				WHERE v.subject_id = answers.automation_id
				AND v.at BETWEEN answers.created_at AND last + interval '1 minute') AS mixed
		FROM answers ORDER BY automation_id, scheduled_for`,
		UUIDs(automations), since, limit).Scan(ctx, &list)
	return list, wrap(err, "list answers to due times")
}
