package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// probeFor is how long a session that tries a provider after its pause keeps the others waiting at most.
const probeFor = 5 * time.Minute

// takeNext gives the sessions that the table next names to a worker, and notes those that had something on another. ?0 is now,
// ?3 the worker, ?4 until when.
const takeNext = `, moved AS (
		INSERT INTO session_moves (session_id, worker, name, seen_at, fence, at)
		SELECT s.id, s.worker, coalesce(w.name, ''), w.seen_at, s.fence, ?0
		FROM next JOIN sessions s ON s.id = next.id LEFT JOIN workers w ON w.id = s.worker
		WHERE s.worker NOT IN ('', ?3) AND s.branch <> '' ` + onMoved + `
	)
	UPDATE sessions s SET status = 'in_progress', queued_at = NULL, worker = ?3, fence = fence + 1, lease_until = ?4,
		started_at = coalesce(started_at, ?0), at_work_since = ?0, closed_at = NULL, closed_by = NULL
	FROM next WHERE s.id = next.id RETURNING s.*`

// ClaimSessions takes up to limit queued sessions for a worker until a time, oldest first, and marks the executions that they
// belong to as running. Several workers may claim at once; each session goes to one. Those that have yet to pass their gate stay:
// ClaimGates takes them. The sessions of a paused provider stay; when its time has come, the oldest of them goes first and alone.
// Those of a provider that this worker does not have stay for the workers that have it, as long as one of them lives. A session
// that has files goes on where they are; when that worker is gone, another takes it and the move is noted.
func ClaimSessions(ctx context.Context, tx bun.Tx, worker string, limit int, now, until time.Time) ([]Session, error) {
	probes, err := probes(ctx, tx, worker, limit, now)
	if err != nil {
		return nil, err
	}
	order := "queued_at, id"
	if len(probes) > 0 { // else the index has the order
		order = "(id = ANY(?2::uuid[])) DESC, queued_at, id"
	}
	var list []Session
	err = tx.NewRaw(`WITH next AS (
			SELECT s.id FROM sessions s WHERE s.status = 'queued' AND NOT s.at_gate AND s.queued_at <= ?0
			AND (`+isAt("?3")+` OR s.provider <> ALL(ARRAY(`+elsewhere("?3", "?5")+`))) AND `+mayTake("?3", "?6")+`
			AND (s.id = ANY(?2::uuid[]) OR NOT EXISTS (SELECT 1 FROM provider_pauses p WHERE `+paused+`))
			ORDER BY `+order+` LIMIT ?1 FOR NO KEY UPDATE OF s SKIP LOCKED
		)`+takeNext, now, limit, UUIDs(probes), worker, until, now.Add(-WorkerSilence), now.Add(-WorkerGone)).Scan(ctx, &list)
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
	_, err = tx.NewRaw("UPDATE executions SET status = 'running', started_at = ? WHERE session_id = ANY(?::uuid[]) AND status = 'queued'", now, UUIDs(ids)).Exec(ctx)
	if err != nil {
		return nil, fmt.Errorf("start executions: %w", err)
	}
	return list, nil
}

// ClaimGates takes up to limit queued sessions whose gate is to be judged for a worker until a time, oldest first. Their
// executions stay queued: they begin after the gate has opened. Such a session has nothing to keep, so any worker takes it. A
// worker without the provider by which the commands of gates run leaves them to those that have it, as long as one of them lives.
func ClaimGates(ctx context.Context, tx bun.Tx, worker, shell string, limit int, now, until time.Time) ([]Session, error) {
	var list []Session
	err := tx.NewRaw(`WITH next AS (
			SELECT s.id FROM sessions s WHERE s.status = 'queued' AND s.at_gate AND s.queued_at <= ?0
			AND ?2 <> ALL(ARRAY(`+elsewhere("?3", "?5")+`)) ORDER BY queued_at, id LIMIT ?1 FOR NO KEY UPDATE OF s SKIP LOCKED
		)`+takeNext, now, limit, shell, worker, until, now.Add(-WorkerSilence)).Scan(ctx, &list)
	return list, wrapped(err, "claim gates")
}

// PassGate puts a session whose gate has opened into the queue for an agent's place, of any worker.
func PassGate(ctx context.Context, q bun.IDB, session uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("at_gate = false").Set("status = 'queued'").Set("queued_at = ?", now).Set("lease_until = NULL").
		Set("worker = ''").Set("branch = ''").Set("base_commit = ''").Where("s.id = ?", session).Exec(ctx)
	return wrapped(err, "queue session "+session.String()+" behind its gate")
}

// probes picks, of each account of a provider whose pause is over and that is not to be left to other workers, the session that
// tries it: no more than the worker has places for, since who is picked and not claimed keeps its account waiting.
func probes(ctx context.Context, tx bun.Tx, worker string, limit int, now time.Time) ([]uuid.UUID, error) {
	var list []uuid.UUID
	err := tx.NewRaw(`UPDATE provider_pauses p SET until = ?1 FROM (SELECT * FROM (
			SELECT DISTINCT ON (p.provider, p.workspace_id) p.provider, p.workspace_id, s.id, s.queued_at FROM provider_pauses p JOIN sessions s ON `+paused+`
			WHERE p.until <= ?0 AND s.status = 'queued' AND NOT s.at_gate AND s.queued_at <= ?0
			AND (`+isAt("?2")+` OR p.provider <> ALL(ARRAY(`+elsewhere("?2", "?3")+`))) AND `+mayTake("?2", "?4")+` ORDER BY p.provider, p.workspace_id, s.queued_at, s.id
		) AS oldest ORDER BY queued_at, id LIMIT ?5) AS first WHERE first.provider = p.provider AND first.workspace_id IS NOT DISTINCT FROM p.workspace_id AND p.until <= ?0 RETURNING first.id`, now, now.Add(probeFor), worker, now.Add(-WorkerSilence), now.Add(-WorkerGone), limit).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("pick who tries a provider: %w", err)
	}
	return list, nil
}
