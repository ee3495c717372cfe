package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// RequestPullRequest asks the worker that has a session's worktree to open a pull request. By may be zero.
func RequestPullRequest(ctx context.Context, q bun.IDB, session, by uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("pr_requested_at = ?", now).
		Set("pr_requested_by = ?", orNull(by)).
		Set("pr_error = ''").Set("pr_changed_at = ?", now).Where("s.id = ?", session).Exec(ctx)
	if err != nil {
		return fmt.Errorf("request pull request of session %s: %w", session, err)
	}
	return nil
}

// EndPullRequestRequest ends the request that was made at a time, with a problem or an empty text.
func EndPullRequestRequest(
	ctx context.Context, q bun.IDB, session uuid.UUID, requested time.Time, problem string, now time.Time,
) error {
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("pr_requested_at = NULL").Set("pr_requested_by = NULL").
		Set("pr_error = ?", problem).Set("pr_changed_at = ?", now).Where("s.id = ?", session).
		Where("s.pr_requested_at = ?", requested).Exec(ctx)
	if err != nil {
		return fmt.Errorf("end request of session %s: %w", session, err)
	}
	return nil
}

// RequestedPullRequests lists the idle sessions of a worker with a request for a pull request, the oldest request
// first.
func RequestedPullRequests(ctx context.Context, q bun.IDB, worker string, limit int) ([]Session, error) {
	var list []Session
	err := q.NewSelect().Model(&list).ExcludeColumn("diff").Relation("Workspace").Where("s.worker = ?", worker).
		Where("s.pr_requested_at IS NOT NULL").Where("s.status NOT IN ('queued', 'in_progress')").
		OrderExpr("s.pr_requested_at").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list requested pull requests: %w", err)
	}
	return list, nil
}

// ExpirePullRequestRequests ends the requests made before a time with a reason, and returns their sessions.
func ExpirePullRequestRequests(
	ctx context.Context, q bun.IDB, before time.Time, reason string, now time.Time,
) ([]uuid.UUID, error) {
	var ids []uuid.UUID
	err := q.NewRaw(`UPDATE sessions SET pr_requested_at = NULL, pr_requested_by = NULL, pr_error = ?, pr_changed_at = ?
		WHERE pr_requested_at < ? AND status NOT IN ('queued', 'in_progress') RETURNING id`, reason, now, before).
		Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("expire requests for pull requests: %w", err)
	}
	return ids, nil
}

// ClaimBranchChecks takes up to limit idle sessions with changes and without a pull request, for a query of the forge
// by their branches. The interval for a session is a tenth of the time since its last turn, but at least every.
// Sessions whose last turn ended before since are left out.
func ClaimBranchChecks(
	ctx context.Context, q bun.IDB, now, since time.Time, every time.Duration, limit int,
) ([]Session, error) {
	var list []Session
	err := q.NewRaw(`WITH next AS (
			SELECT s.id FROM sessions s JOIN workspaces w ON w.id = s.workspace_id
			WHERE s.status IN ('waiting', 'done') AND s.branch <> '' AND (s.files_changed > 0 OR s.commits > 0)
				AND s.ended_at > ?
				AND w.git_url <> '' AND w.removed_at IS NULL
				AND (s.pr_checked_at IS NULL OR s.pr_checked_at < ?::timestamptz - greatest(?::interval,
					(?::timestamptz - s.ended_at) / 10))
				AND NOT EXISTS (SELECT 1 FROM pull_requests pr WHERE pr.session_id = s.id AND pr.found_by <> 'output')
				AND `+notSetAside(TaskPullRequests, "s.id")+`
			ORDER BY s.pr_checked_at NULLS FIRST LIMIT ? FOR NO KEY UPDATE OF s SKIP LOCKED
		)
		UPDATE sessions s SET pr_checked_at = ? FROM next WHERE s.id = next.id
		RETURNING s.id, s.workspace_id, s.branch, s.title`, since, now,
		fmt.Sprintf("%d seconds", int(every/time.Second)), now, now, limit, now).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("claim branches to check: %w", err)
	}
	return list, nil
}

// TouchPullRequests records that a session's pull requests changed, for pages that show them.
func TouchPullRequests(ctx context.Context, q bun.IDB, session uuid.UUID, now time.Time) error {
	if _, err := q.NewUpdate().Model((*Session)(nil)).Set("pr_changed_at = ?", now).Where("s.id = ?", session).
		Exec(ctx); err != nil {
		return fmt.Errorf("touch pull requests of session %s: %w", session, err)
	}
	return nil
}
