package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// ClaimSessions takes up to limit queued sessions for a worker until a time, oldest first, and marks their executions
// as running. Several workers may claim at once; each session goes to one of them. It leaves out sessions that have not
// passed their gate (see ClaimGates), and sessions of a paused provider; after the pause the oldest of them goes first
// and alone. It leaves out sessions of a provider that this worker does not have while a living worker has it. A
// session with files is for the worker that has them; when this worker is gone, another one takes the session and the
// move is recorded.
func ClaimSessions(ctx context.Context, tx bun.Tx, worker string, limit int, now, until time.Time) ([]Session, error) {
	probes, err := pickProbes(ctx, tx, worker, limit, now)
	if err != nil {
		return nil, err
	}
	order := "queued_at, id"
	if len(probes) > 0 { // otherwise the index has the order
		order = "(id = ANY(?2::uuid[])) DESC, queued_at, id"
	}
	var list []Session
	err = tx.NewRaw(`WITH next AS (
			SELECT s.id FROM sessions s WHERE s.status = 'queued' AND NOT s.at_gate AND s.queued_at <= ?0
			AND (`+hasFilesHere("?3")+` OR s.provider <> ALL(ARRAY(`+providersOfOthers("?3", "?5")+`))) AND `+
		mayClaim("?3", "?6")+`
			AND (s.id = ANY(?2::uuid[]) OR NOT EXISTS (SELECT 1 FROM provider_pauses p WHERE `+paused+`))
			ORDER BY `+order+` LIMIT ?1 FOR NO KEY UPDATE OF s SKIP LOCKED
		)`+claimNext, now, limit, UUIDs(probes), worker, until, now.Add(-WorkerSilence), now.Add(-WorkerGone)).
		Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("claim sessions: %w", err)
	}
	if len(list) == 0 {
		return nil, nil
	}
	ids := make([]uuid.UUID, len(list))
	for i, s := range list {
		ids[i] = s.ID
	}
	_, err = tx.NewRaw(`UPDATE executions SET status = 'running', started_at = ?
		WHERE session_id = ANY(?::uuid[]) AND status = 'queued'`, now, UUIDs(ids)).Exec(ctx)
	if err != nil {
		return nil, fmt.Errorf("start executions: %w", err)
	}
	return list, nil
}

// ClaimGates takes up to limit queued sessions at their gate for a worker until a time, oldest first. Their executions
// stay queued until the gate has opened. Such a session has no files to keep, so any worker may take it. A worker
// without the Shell provider, which runs the commands of gates, leaves them while a living worker has it.
func ClaimGates(
	ctx context.Context, tx bun.Tx, worker, shell string, limit int, now, until time.Time,
) ([]Session, error) {
	var list []Session
	err := tx.NewRaw(`WITH next AS (
			SELECT s.id FROM sessions s WHERE s.status = 'queued' AND s.at_gate AND s.queued_at <= ?0
			AND ?2 <> ALL(ARRAY(`+providersOfOthers("?3", "?5")+`)) ORDER BY queued_at, id LIMIT ?1
				FOR NO KEY UPDATE OF s SKIP LOCKED
		)`+claimNext, now, limit, shell, worker, until, now.Add(-WorkerSilence)).Scan(ctx, &list)
	return list, wrap(err, "claim gates")
}

// claimNext assigns the sessions of the table expression next to a worker, and records the move of those that had files
// on another one. ?0 is now, ?3 the worker, ?4 the end of the lease.
const claimNext = `, moved AS (
		INSERT INTO session_moves (session_id, worker, name, seen_at, fence, at)
		SELECT s.id, s.worker, coalesce(w.name, ''), w.seen_at, s.fence, ?0
		FROM next JOIN sessions s ON s.id = next.id LEFT JOIN workers w ON w.id = s.worker
		WHERE s.worker NOT IN ('', ?3) AND s.branch <> '' ` + onMoved + `
	)
	UPDATE sessions s SET status = 'in_progress', queued_at = NULL, worker = ?3, fence = fence + 1, lease_until = ?4,
		started_at = coalesce(started_at, ?0), at_work_since = ?0, closed_at = NULL, closed_by = NULL
	FROM next WHERE s.id = next.id RETURNING s.*`

// probeFor bounds how long a session that tries a provider after its pause makes the others wait.
const probeFor = 5 * time.Minute

// pickProbes picks the session that tries a provider's account after its pause, for each account that this worker may
// try. It picks at most limit sessions, the worker's free slots: a session that is picked and not claimed would block
// its account.
func pickProbes(ctx context.Context, tx bun.Tx, worker string, limit int, now time.Time) ([]uuid.UUID, error) {
	var list []uuid.UUID
	err := tx.NewRaw(`UPDATE provider_pauses p SET until = ?1 FROM (SELECT * FROM (
			SELECT DISTINCT ON (p.provider, p.workspace_id) p.provider, p.workspace_id, s.id, s.queued_at
				FROM provider_pauses p JOIN sessions s ON `+paused+`
			WHERE p.until <= ?0 AND s.status = 'queued' AND NOT s.at_gate AND s.queued_at <= ?0
			AND (`+hasFilesHere("?2")+` OR p.provider <> ALL(ARRAY(`+providersOfOthers("?2", "?3")+`))) AND `+
		mayClaim("?2", "?4")+`
				ORDER BY p.provider, p.workspace_id, s.queued_at, s.id
		) AS oldest ORDER BY queued_at, id LIMIT ?5) AS first
			WHERE first.provider = p.provider AND first.workspace_id IS NOT DISTINCT FROM p.workspace_id
			AND p.until <= ?0 RETURNING first.id`, now, now.Add(probeFor), worker, now.Add(-WorkerSilence),
		now.Add(-WorkerGone), limit).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("pick who tries a provider: %w", err)
	}
	return list, nil
}

// hasFilesHere is the SQL condition that a worker has files of the session with the table alias s. worker is a
// placeholder.
func hasFilesHere(worker string) string { return "(s.worker = " + worker + " AND " + hasWork + ")" }

// mayClaim is the SQL condition that a worker may claim the session with the table alias s: its files are on this
// worker, there are none, or they are on a worker that is gone. worker and gone are placeholders.
func mayClaim(worker, gone string) string {
	return `(s.worker IN ('', ` + worker + `) OR NOT (` + hasWork + `)
		OR NOT EXISTS (SELECT 1 FROM workers home WHERE home.id = s.worker AND home.seen_at > ` + gone + `))`
}

// PassGate puts a session whose gate has opened into the queue for an agent's slot on any worker.
func PassGate(ctx context.Context, q bun.IDB, session uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("at_gate = false").Set("status = 'queued'").
		Set("queued_at = ?", now).Set("lease_until = NULL").
		Set("worker = ''").Set("branch = ''").Set("base_commit = ''").Where("s.id = ?", session).Exec(ctx)
	return wrap(err, "queue session "+session.String()+" behind its gate")
}

// Requeue puts a session into the queue.
func Requeue(ctx context.Context, q bun.IDB, session uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("status = 'queued'").Set("queued_at = ?", now).
		Set("lease_until = NULL").
		Set("closed_at = NULL").Set("closed_by = NULL").Set("cancel_requested_at = NULL").
		Set("interrupt_requested_at = NULL").
		Set("cancel_turn = NULL").Set("interrupt_turn = NULL").Where("s.id = ?", session).Exec(ctx)
	if err != nil {
		return fmt.Errorf("queue session %s: %w", session, err)
	}
	return nil
}

// QueueAgain puts a session with its failed turn back into the queue for a later time.
func QueueAgain(ctx context.Context, q bun.IDB, session, turn uuid.UUID, at time.Time) error {
	_, err := q.NewUpdate().Model((*Turn)(nil)).Set("status = 'queued'").Where("t.id = ?", turn).Exec(ctx)
	if err == nil {
		_, err = q.NewUpdate().Model((*Session)(nil)).Set("status = 'queued'").Set("queued_at = ?", at).
			Set("lease_until = NULL").Where("s.id = ?", session).Exec(ctx)
	}
	if err != nil {
		return fmt.Errorf("queue session %s again: %w", session, err)
	}
	return nil
}

// CountOutage counts an outage that kept a person's message from the agent of a session.
func CountOutage(ctx context.Context, q bun.IDB, session uuid.UUID) error {
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("outages = outages + 1").Where("s.id = ?", session).Exec(ctx)
	return wrap(err, "note an outage of session "+session.String())
}

// ReleaseSession writes the status of a session whose work has ended, and ends the lease.
func ReleaseSession(ctx context.Context, q bun.IDB, s *Session) error {
	s.LeaseUntil, s.CancelRequestedAt, s.InterruptAt = time.Time{}, time.Time{}, time.Time{}
	s.InterruptTurn, s.CancelTurn = uuid.Nil, uuid.Nil
	s.Resumes, s.Outages, s.AtGate = 0, 0, false
	if s.Status != SessionQueued {
		s.QueuedAt = time.Time{}
	}
	_, err := q.NewUpdate().Model(s).
		Column("status", "queued_at", "lease_until", "ended_at", "closed_at", "closed_by", "cancel_requested_at",
			"interrupt_requested_at",
			"interrupt_turn", "cancel_turn", "resumes", "outages", "at_gate").
		WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("release session %s: %w", s.ID, err)
	}
	return nil
}

// WaitingSessions lists up to limit sessions that have waited for a worker since before a time, without those that are
// set aside.
func WaitingSessions(ctx context.Context, q bun.IDB, before, now time.Time, limit int) ([]Session, error) {
	var list []Session
	err := q.NewSelect().Model(&list).Column("id", "title", "fence").Where("s.status = 'queued'").
		Where("s.queued_at < ?", before).
		Where("(s.worker = '' OR s.queued_at < ?)", before.Add(-movedWait)).
		Where(notSetAside(TaskReap, "s.id"), now).OrderExpr("s.queued_at, s.id").Limit(int64(limit)).Scan(ctx)
	return list, wrap(err, "list sessions that wait")
}

// movedWait is how much longer a session that had a worker may wait: when this worker has been gone for a day, others
// need time to take the session.
const movedWait = time.Hour

// SlotsTaken counts the occupied slots of each worker that has any. A session at its gate occupies none.
func SlotsTaken(ctx context.Context, q bun.IDB) (map[string]int, error) {
	var rows []struct {
		Worker string `bun:"worker"`
		N      int    `bun:"n"`
	}
	if err := q.NewRaw(`SELECT worker, count(*) AS n FROM sessions WHERE status = 'in_progress' AND NOT at_gate
		GROUP BY worker`).Scan(ctx, &rows); err != nil {
		return nil, fmt.Errorf("count sessions of workers: %w", err)
	}
	all := make(map[string]int, len(rows))
	for _, r := range rows {
		all[r.Worker] = r.N
	}
	return all, nil
}

// SessionsAtWork lists the sessions that a worker works on.
func SessionsAtWork(ctx context.Context, q bun.IDB, worker string) ([]uuid.UUID, error) {
	var list []uuid.UUID
	err := q.NewRaw("SELECT id FROM sessions WHERE status = 'in_progress' AND worker = ?", worker).Scan(ctx, &list)
	return list, wrap(err, "list sessions at work")
}
