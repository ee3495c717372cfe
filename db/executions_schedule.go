package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// ExecutionAt finds the row that answers a due time: the row for it, the streak that includes it, or a run that was
// started by hand within a margin of it.
func ExecutionAt(
	ctx context.Context, q bun.IDB, automation uuid.UUID, at time.Time, within time.Duration,
) (*Execution, error) {
	var e Execution
	err := q.NewSelect().Model(&e).Where("e.automation_id = ?", automation).
		Where(`((e.scheduled_for <= ? AND coalesce(e.last_skipped_for, e.scheduled_for) > ?)
			OR (e.scheduled_for IS NULL AND e.created_at >= ? AND e.created_at < ?))`,
			at.Add(within), at.Add(-within), at, at.Add(within)).
		OrderExpr("(e.source = 'schedule') DESC, abs(extract(epoch FROM coalesce(e.scheduled_for, e.created_at) - ?))",
			at).Limit(1).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the execution at %s: %w", at, err)
	}
	return &e, nil
}

// LatestScheduled finds the newest execution of an automation that the schedule started and that has a session.
func LatestScheduled(ctx context.Context, q bun.IDB, automation uuid.UUID) (*Execution, error) {
	var e Execution
	err := q.NewSelect().Model(&e).Where("e.automation_id = ?", automation).Where("e.source = 'schedule'").
		Where("e.session_id IS NOT NULL").
		OrderExpr("e.id DESC").Limit(1).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find latest scheduled execution: %w", err)
	}
	return &e, nil
}

// GateStreak finds the row that last counted a loop's closed gate, if it is the newest execution before a given one:
// the schedule did nothing else and no run began since. It returns zero when there is none.
func GateStreak(ctx context.Context, q bun.IDB, automation, before uuid.UUID) (uuid.UUID, error) {
	var id uuid.UUID
	err := q.NewRaw(`SELECT CASE WHEN e.status = 'skipped' AND e.error_class = 'gate' AND e.source = 'schedule'
		AND e.session_id IS NULL THEN e.id
			ELSE '00000000-0000-0000-0000-000000000000' END
		FROM executions e WHERE e.automation_id = ? AND e.id < ? AND (e.source = 'schedule' OR e.session_id IS NOT NULL)
			ORDER BY e.id DESC LIMIT 1`,
		automation, before).Scan(ctx, &id)
	if IsNotFound(err) {
		return uuid.Nil, nil
	}
	return id, wrap(err, "find the streak of a gate")
}

// AddSkip adds n skipped due times, the last of them at a time, to the row of a streak. It reports whether it has done
// so: the row must exist and answer earlier due times alone.
func AddSkip(ctx context.Context, q bun.IDB, id uuid.UUID, n int, at time.Time) (bool, error) {
	res, err := q.NewUpdate().Model((*Execution)(nil)).Set("skip_count = skip_count + ?", n).
		Set("last_skipped_for = ?", at).
		Where("e.id = ?", id).Where("greatest(e.last_skipped_for, e.scheduled_for) < ?", at).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("count a skip: %w", err)
	}
	rows, err := res.RowsAffected()
	return rows > 0, err
}

// HasAnswer reports whether a row of the schedule answers a due time.
func HasAnswer(ctx context.Context, q bun.IDB, automation uuid.UUID, due time.Time) (bool, error) {
	var has bool
	err := q.NewRaw(`SELECT EXISTS (SELECT 1 FROM executions e WHERE e.automation_id = ? AND e.source = 'schedule'
		AND e.scheduled_for <= ? AND greatest(e.last_skipped_for, e.scheduled_for) >= ?)`, automation, due, due).
		Scan(ctx, &has)
	return has, wrap(err, "look for the answer of a due time")
}

// AnswersAhead lists the rows of an automation that answer due times after now because a clock was ahead: due times
// that it counted as missed, and the runs that caught up for them. Runs that it started or skipped otherwise remain
// answers.
func AnswersAhead(ctx context.Context, tx bun.Tx, automation uuid.UUID, now time.Time) ([]Execution, error) {
	var list []Execution
	err := tx.NewSelect().Model(&list).Where("e.automation_id = ?", automation).
		Where("e.source = 'schedule' AND e.created_at > ?", now).
		Where("greatest(e.last_skipped_for, e.scheduled_for) > ?", now).
		Where("e.status = 'missed' OR e.mark = ?", CatchUpMark).OrderExpr("e.scheduled_for").Scan(ctx)
	return list, wrap(err, "list what was answered too soon")
}

// ShortenAnswer makes a row answer n due times alone, the last of them at a time.
func ShortenAnswer(ctx context.Context, tx bun.Tx, execution uuid.UUID, n int, last time.Time) error {
	_, err := tx.NewUpdate().Model((*Execution)(nil)).Set("last_skipped_for = ?", last).
		Set("skip_count = CASE WHEN e.skip_count = 0 THEN 0 ELSE ? END", n).Where("e.id = ?", execution).Exec(ctx)
	return wrap(err, "shorten execution "+execution.String())
}

// DropMissed removes a row that counts future due times as missed.
func DropMissed(ctx context.Context, tx bun.Tx, execution uuid.UUID) error {
	_, err := tx.NewDelete().Model((*Execution)(nil)).Where("e.id = ?", execution).Where("e.status = 'missed'").
		Exec(ctx)
	return wrap(err, "remove execution "+execution.String())
}
