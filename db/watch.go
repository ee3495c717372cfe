package db

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// heldGate is the condition that a loop is held by an open session since before a time, and was not told of yet.
const heldGate = `a.trigger = 'loop' AND a.enabled AND a.next_run_at IS NULL AND a.skip_id IS NULL AND EXISTS (
	SELECT 1 FROM executions e JOIN sessions s ON s.id = e.session_id
	WHERE s.status = 'waiting' AND s.ended_at < ?
	AND e.id = (SELECT x.id FROM executions x WHERE x.automation_id = a.id AND x.source = 'schedule' AND x.session_id IS NOT NULL ORDER BY x.id DESC LIMIT 1))`

// HeldGates lists loops that are held by an open session since before a time and were not told of yet, other than those that
// are set aside.
func HeldGates(ctx context.Context, q bun.IDB, now, before time.Time, limit int) ([]Automation, error) {
	var list []Automation
	err := q.NewSelect().Model(&list).Where(heldGate, before).Where(awake(TaskGates, "a.id"), now).Limit(int64(limit)).Scan(ctx)
	return list, wrapped(err, "list held loops")
}

// LockHeldGate locks one of them, and finds the execution of the session that holds it; nil where it is not held any more, or
// another process deals with it.
func LockHeldGate(ctx context.Context, tx bun.Tx, automation uuid.UUID, before time.Time) (*Startable, *Execution, error) {
	var list []Startable
	err := startables(tx, &list).Where("a.id = ?", automation).Where(heldGate, before).For("NO KEY UPDATE OF a SKIP LOCKED").Scan(ctx)
	if err != nil || len(list) == 0 {
		return nil, nil, wrapped(err, "lock held loop")
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

// unscheduled is the condition that an enabled automation ought to have a next run and has none: a Recurring, or a Loop or
// One-Time of which nothing is in flight, open or over.
const unscheduled = `a.enabled AND a.next_run_at IS NULL AND (a.trigger = 'recurring' OR (a.trigger IN ('loop', 'one_time')
	AND NOT EXISTS (SELECT 1 FROM executions e WHERE e.automation_id = a.id AND e.status IN ('queued', 'running'))
	AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.automation_id = a.id AND s.status IN ('queued', 'in_progress', 'waiting'))))`

// Unscheduled lists automations that ought to have a next run and have none, other than those that are set aside.
func Unscheduled(ctx context.Context, q bun.IDB, now time.Time, limit int) ([]Automation, error) {
	var list []Automation
	err := q.NewSelect().Model(&list).Where(unscheduled).Where(awake(TaskWatch, "a.id"), now).Limit(int64(limit)).Scan(ctx)
	return list, wrapped(err, "list unscheduled automations")
}

// LockUnscheduled locks one of them; nil where it has a next run by now, or another process deals with it.
func LockUnscheduled(ctx context.Context, tx bun.Tx, automation uuid.UUID) (*Automation, error) {
	var a Automation
	err := tx.NewSelect().Model(&a).Where("a.id = ?", automation).Where(unscheduled).For("NO KEY UPDATE SKIP LOCKED").Scan(ctx)
	if IsNotFound(err) {
		return nil, nil
	}
	return &a, wrapped(err, "lock unscheduled automation")
}
