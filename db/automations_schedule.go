package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// ClaimDue locks up to limit due automations, the longest due first. Several schedulers may claim at once; each
// automation goes to one of them.
//
// ClaimDue leaves out automations that are set aside. It also leaves out a Recurring that has to catch up for due times
// before since while a run of it is in flight, because this run began earlier.
func ClaimDue(ctx context.Context, tx bun.Tx, now, since time.Time, limit int) ([]Startable, error) {
	return claimDue(ctx, tx, now, since, limit,
		func(sel *bun.SelectQuery) *bun.SelectQuery { return sel.OrderExpr("a.next_run_at, a.id") })
}

// ClaimDueOf is ClaimDue for one automation. The list is empty if the automation is not due or another process has
// claimed it.
func ClaimDueOf(ctx context.Context, tx bun.Tx, now, since time.Time, id uuid.UUID) ([]Startable, error) {
	return claimDue(ctx, tx, now, since, 1,
		func(sel *bun.SelectQuery) *bun.SelectQuery { return sel.Where("a.id = ?", id) })
}

// hasInFlight is the SQL condition that a run of an automation is in flight.
const hasInFlight = `EXISTS (SELECT 1 FROM executions e
	WHERE e.automation_id = a.id AND e.status IN ('queued', 'running'))`

func claimDue(
	ctx context.Context, tx bun.Tx, now, since time.Time, limit int, narrow func(*bun.SelectQuery) *bun.SelectQuery,
) ([]Startable, error) {
	var list []Startable
	err := narrow(startables(tx, &list).Where("a.enabled AND a.next_run_at <= ?", now)).
		Where(notSetAside(TaskStart, "a.id"), now).
		Where("NOT (a.trigger = 'recurring' AND a.catch_up AND a.next_run_at < ? AND "+hasInFlight+")", since).
		ColumnExpr(hasInFlight + "::int AS in_flight").
		ColumnExpr(`CASE a.trigger
			WHEN 'one_time' THEN EXISTS (SELECT 1 FROM executions e
				WHERE e.automation_id = a.id AND e.source = 'schedule' AND e.scheduled_for = a.run_at)
			WHEN 'recurring' THEN coalesce((SELECT greatest(e.last_skipped_for, e.scheduled_for) >= a.next_run_at
				FROM executions e
				WHERE e.automation_id = a.id AND e.source = 'schedule' AND e.scheduled_for <= a.next_run_at
					ORDER BY e.scheduled_for DESC LIMIT 1), false)
			ELSE false END AS answered`).
		ColumnExpr(`CASE a.trigger WHEN 'recurring' THEN (SELECT min(e.scheduled_for) FROM executions e
			WHERE e.automation_id = a.id AND e.source = 'schedule'
				AND e.scheduled_for > a.next_run_at) END AS answered_ahead`).
		ColumnExpr(`coalesce((SELECT sa.error FROM set_aside sa
			WHERE sa.task = 'start' AND sa.key = a.id::text), '') AS aside`).
		Limit(int64(limit)).For("NO KEY UPDATE OF a SKIP LOCKED").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("claim due automations: %w", err)
	}
	return list, addCreators(ctx, tx, list)
}

// Advance is the new schedule of an automation after one of its due times was processed.
type Advance struct {
	ID         uuid.UUID
	Next       time.Time // zero: not due any more
	Iterations int
	SkipID     uuid.UUID // zero: no skip streak continues
}

// AdvanceAutomations writes new schedules of enabled automations, in one statement.
func AdvanceAutomations(ctx context.Context, q bun.IDB, list []Advance) error {
	if len(list) == 0 {
		return nil
	}
	ids, skips := make([]uuid.UUID, len(list)), make([]string, len(list))
	next, iterations := make([]string, len(list)), make([]int64, len(list))
	for i, a := range list {
		ids[i], iterations[i] = a.ID, int64(a.Iterations)
		if !a.Next.IsZero() {
			next[i] = a.Next.UTC().Format(time.RFC3339Nano)
		}
		if a.SkipID != uuid.Nil {
			skips[i] = a.SkipID.String()
		}
	}
	_, err := q.NewRaw(`UPDATE automations a SET next_run_at = nullif(v.next, '')::timestamptz,
		iterations = v.iterations, skip_id = nullif(v.skip, '')::uuid
		FROM unnest(?::uuid[], ?::text[], ?::int[], ?::text[]) AS v(id, next, iterations, skip)
			WHERE a.id = v.id AND a.enabled`,
		UUIDs(ids), textArray(next), intArray(iterations), textArray(skips)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("advance automations: %w", err)
	}
	return nil
}

// SetNextRun writes the next due time of an automation; zero: none.
func SetNextRun(ctx context.Context, q bun.IDB, automation uuid.UUID, at time.Time) error {
	_, err := q.NewUpdate().Model((*Automation)(nil)).Set("next_run_at = ?", bun.NullZero(at)).
		Where("a.id = ?", automation).Exec(ctx)
	if err != nil {
		return fmt.Errorf("schedule automation %s: %w", automation, err)
	}
	return nil
}

// SetSkip begins a skip streak of an automation with an execution.
func SetSkip(ctx context.Context, q bun.IDB, automation, execution uuid.UUID) error {
	if _, err := q.NewUpdate().Model((*Automation)(nil)).Set("skip_id = ?", execution).Where("a.id = ?", automation).
		Exec(ctx); err != nil {
		return fmt.Errorf("begin skip streak: %w", err)
	}
	return nil
}

// EndSkipStreak ends the skip streaks of automations: the next skip gets a new row.
func EndSkipStreak(ctx context.Context, q bun.IDB, automations []uuid.UUID) error {
	_, err := q.NewUpdate().Model((*Automation)(nil)).Set("skip_id = NULL").
		Where("a.id = ANY(?::uuid[])", UUIDs(automations)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("end skip streak: %w", err)
	}
	return nil
}

// Upcoming lists enabled automations that are due before a time, the next one first.
func Upcoming(ctx context.Context, q bun.IDB, v Access, until time.Time, limit int) ([]Automation, error) {
	var list []Automation
	sel := q.NewSelect().Model(&list).Where("a.enabled AND a.next_run_at < ?", until).Order("a.next_run_at").
		Limit(int64(limit))
	if err := v.narrow(sel, "a", "creator_id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list upcoming automations: %w", err)
	}
	return list, nil
}

// HeldLoops lists loops that an open session has held since before a time and about which nobody was notified yet,
// without those that are set aside.
func HeldLoops(ctx context.Context, q bun.IDB, now, before time.Time, limit int) ([]Automation, error) {
	var list []Automation
	err := q.NewSelect().Model(&list).Where(heldLoop, before).Where(notSetAside(TaskGates, "a.id"), now).
		Limit(int64(limit)).Scan(ctx)
	return list, wrap(err, "list held loops")
}

// heldLoop is the SQL condition that an open session has held a loop since before a time, and that nobody was notified
// yet.
const heldLoop = `a.trigger = 'loop' AND a.enabled AND a.next_run_at IS NULL AND a.skip_id IS NULL AND EXISTS (
	SELECT 1 FROM executions e JOIN sessions s ON s.id = e.session_id
	WHERE s.status = 'waiting' AND s.ended_at < ?
	AND e.id = (SELECT x.id FROM executions x WHERE x.automation_id = a.id AND x.source = 'schedule'
		AND x.session_id IS NOT NULL ORDER BY x.id DESC LIMIT 1))`

// LockHeldLoop locks one loop of HeldLoops, and finds the execution of the session that holds it. It returns nil if the
// loop is not held any more or another process has locked it.
func LockHeldLoop(
	ctx context.Context, tx bun.Tx, automation uuid.UUID, before time.Time,
) (*Startable, *Execution, error) {
	var list []Startable
	err := startables(tx, &list).Where("a.id = ?", automation).Where(heldLoop, before).
		For("NO KEY UPDATE OF a SKIP LOCKED").Scan(ctx)
	if err != nil || len(list) == 0 {
		return nil, nil, wrap(err, "lock held loop")
	}
	if err := addCreators(ctx, tx, list); err != nil {
		return nil, nil, err
	}
	e, err := LatestScheduled(ctx, tx, automation)
	if err != nil {
		return nil, nil, err
	}
	return &list[0], e, nil
}

// Unscheduled lists automations that should have a next run and have none, without those that are set aside.
func Unscheduled(ctx context.Context, q bun.IDB, now time.Time, limit int) ([]Automation, error) {
	var list []Automation
	err := q.NewSelect().Model(&list).Where(unscheduled).Where(notSetAside(TaskWatch, "a.id"), now).Limit(int64(limit)).
		Scan(ctx)
	return list, wrap(err, "list unscheduled automations")
}

// unscheduled is the SQL condition that an enabled automation should have a next run and has none: a Recurring, or a
// Loop or One-Time without a run in flight and without an open session.
const unscheduled = `a.enabled AND a.next_run_at IS NULL
	AND (a.trigger = 'recurring' OR (a.trigger IN ('loop', 'one_time')
	AND NOT EXISTS (SELECT 1 FROM executions e WHERE e.automation_id = a.id AND e.status IN ('queued', 'running'))
	AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.automation_id = a.id
		AND s.status IN ('queued', 'in_progress', 'waiting'))))`

// LockUnscheduled locks one automation of Unscheduled. It returns nil if the automation has a next run by now or
// another process has locked it.
func LockUnscheduled(ctx context.Context, tx bun.Tx, automation uuid.UUID) (*Automation, error) {
	var a Automation
	err := tx.NewSelect().Model(&a).Where("a.id = ?", automation).Where(unscheduled).For("NO KEY UPDATE SKIP LOCKED").
		Scan(ctx)
	if IsNotFound(err) {
		return nil, nil
	}
	return &a, wrap(err, "lock unscheduled automation")
}

// Answered is a recurring automation with the newest due time that a row answers.
type Answered struct {
	Automation `bun:",extend"`

	AnsweredAt time.Time `bun:"answered_at,nullzero,scanonly"`
}

// answeredAt is the newest due time of an automation that a row answers.
const answeredAt = `(SELECT max(greatest(e.last_skipped_for, e.scheduled_for)) FROM
	(SELECT x.last_skipped_for, x.scheduled_for FROM executions x WHERE x.automation_id = a.id AND x.source = 'schedule'
		ORDER BY x.id DESC LIMIT 5) e) AS answered_at`

// SchedulesToCheck lists up to limit enabled recurring automations after a given one, in the order of their ids. It
// locks none of them. Its rows are of one snapshot; AnsweredOf reads the present state of one automation.
func SchedulesToCheck(ctx context.Context, q bun.IDB, now time.Time, after uuid.UUID, limit int) ([]Answered, error) {
	var list []Answered
	err := q.NewSelect().Model(&list).ColumnExpr("?TableColumns").ColumnExpr(answeredAt).
		Where("a.trigger = 'recurring' AND a.enabled AND a.next_run_at IS NOT NULL").Where("a.id > ?", after).
		Where(notSetAside(TaskWatch, "a.id"), now).OrderExpr("a.id").Limit(int64(limit)).Scan(ctx)
	return list, wrap(err, "list schedules to check")
}

// AnsweredOf reads the row of SchedulesToCheck for one automation that the transaction has locked before.
func AnsweredOf(ctx context.Context, tx bun.Tx, automation uuid.UUID) (*Answered, error) {
	var a Answered
	err := tx.NewSelect().Model(&a).ColumnExpr("?TableColumns").ColumnExpr(answeredAt).Where("a.id = ?", automation).
		Scan(ctx)
	return &a, wrap(err, "find the answered due times of automation "+automation.String())
}
