package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// PullRequestState is where a pull request stands.
type PullRequestState string

// The states of a pull request.
const (
	PullRequestOpen   PullRequestState = "open"
	PullRequestMerged PullRequestState = "merged"
	PullRequestClosed PullRequestState = "closed" // without having been merged
)

// FoundBy is how a pull request was found to be a session's.
type FoundBy string

// How pull requests are found.
const (
	FoundInOutput  FoundBy = "output" // the agent wrote its address; whether it is the session's is not known yet
	FoundByBranch  FoundBy = "branch" // the forge has it for the session's branch
	FoundByHand    FoundBy = "hand"
	FoundCreated   FoundBy = "created" // Carillon opened it
	FoundByWebhook FoundBy = "webhook" // the forge told of it
)

// PullRequest is what a session led to.
type PullRequest struct {
	bun.BaseModel `bun:"table:pull_requests,alias:pr"`

	ID         uuid.UUID        `bun:"id,pk,type:uuid"`
	SessionID  uuid.UUID        `bun:"session_id,type:uuid"`
	Forge      string           `bun:"forge"`
	Repository string           `bun:"repository"`
	Number     int64            `bun:"number"`
	URL        string           `bun:"url"`
	Key        string           `bun:"key"`
	Title      string           `bun:"title"`
	Branch     string           `bun:"branch"` // its own; of one that is not confirmed, the branch that the worktree was on
	State      PullRequestState `bun:"state"`
	FoundBy    FoundBy          `bun:"found_by"`
	CreatedAt  time.Time        `bun:"created_at"`
	UpdatedAt  time.Time        `bun:"updated_at"`
	RemoteAt   time.Time        `bun:"remote_at,nullzero"`
	CheckedAt  time.Time        `bun:"checked_at,nullzero"`
	SettledAt  time.Time        `bun:"settled_at,nullzero"`
	Problem    string           `bun:"problem"`

	WorkspaceID uuid.UUID `bun:"workspace_id,scanonly,type:uuid"` // of its session, where the query says so
}

// Confirmed reports whether a pull request is known to be its session's: by the forge, by a person, or since Carillon opened it.
// One that is not is shown, and moves nothing.
func (p *PullRequest) Confirmed() bool { return p.FoundBy != FoundInOutput }

// InsertPullRequest writes a pull request of a session, unless the session has it. It reports whether it was new.
func InsertPullRequest(ctx context.Context, tx bun.Tx, p *PullRequest) (bool, error) {
	res, err := tx.NewInsert().Model(p).On("CONFLICT (session_id, key) DO NOTHING").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("insert pull request: %w", err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// SessionPullRequest finds a pull request of a session, for a change under the session's lock. It goes by the repository's
// name, since forges do not always know under which host they are reached.
func SessionPullRequest(ctx context.Context, tx bun.Tx, session uuid.UUID, forge, repository string, number int64) (*PullRequest, error) {
	var p PullRequest
	err := tx.NewSelect().Model(&p).Where("pr.session_id = ?", session).
		Where("pr.forge = ? AND lower(pr.repository) = lower(?) AND pr.number = ?", forge, repository, number).Limit(1).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find pull request %d of session %s: %w", number, session, err)
	}
	return &p, nil
}

// SavePullRequest writes what a forge told of a pull request.
func SavePullRequest(ctx context.Context, tx bun.Tx, p *PullRequest) error {
	_, err := tx.NewUpdate().Model(p).Column("url", "title", "branch", "state", "found_by", "updated_at", "remote_at", "checked_at", "settled_at", "problem").
		WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("save pull request %s: %w", p.ID, err)
	}
	return nil
}

// DeletePullRequest forgets a pull request that turned out not to be the session's.
func DeletePullRequest(ctx context.Context, tx bun.Tx, id uuid.UUID) error {
	if _, err := tx.NewDelete().Model((*PullRequest)(nil)).Where("pr.id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("delete pull request %s: %w", id, err)
	}
	return nil
}

// SettlePullRequests notes that the ends of a session's pull requests have been applied to it.
func SettlePullRequests(ctx context.Context, tx bun.Tx, session uuid.UUID, now time.Time) error {
	_, err := tx.NewUpdate().Model((*PullRequest)(nil)).Set("settled_at = ?", now).
		Where("pr.session_id = ?", session).Where("pr.state <> 'open' AND pr.settled_at IS NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("settle pull requests of session %s: %w", session, err)
	}
	return nil
}

// TouchPullRequests notes that something about a session's pull requests changed, for pages that show it.
func TouchPullRequests(ctx context.Context, q bun.IDB, session uuid.UUID, now time.Time) error {
	if _, err := q.NewUpdate().Model((*Session)(nil)).Set("pr_changed_at = ?", now).Where("s.id = ?", session).Exec(ctx); err != nil {
		return fmt.Errorf("touch pull requests of session %s: %w", session, err)
	}
	return nil
}

// PullRequestsOf lists the pull requests of sessions: those that are confirmed first, of these the open ones, then the newest.
func PullRequestsOf(ctx context.Context, q bun.IDB, sessions []uuid.UUID) ([]PullRequest, error) {
	if len(sessions) == 0 {
		return nil, nil
	}
	var list []PullRequest
	err := q.NewSelect().Model(&list).Where("pr.session_id = ANY(?::uuid[])", UUIDs(sessions)).
		OrderExpr("pr.session_id, pr.found_by = 'output', pr.state = 'open' DESC, pr.number DESC, pr.id DESC").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list pull requests: %w", err)
	}
	return list, nil
}

// SessionsOfPullRequest lists the sessions of a workspace that a pull request belongs to: those that it is known of, and,
// unless branch is empty, those that have the branch.
func SessionsOfPullRequest(ctx context.Context, q bun.IDB, workspace uuid.UUID, forge, repository string, number int64, branch string) ([]uuid.UUID, error) {
	var ids []uuid.UUID
	err := q.NewRaw(`SELECT pr.session_id FROM pull_requests pr JOIN sessions s ON s.id = pr.session_id
			WHERE pr.forge = ? AND lower(pr.repository) = lower(?) AND pr.number = ? AND s.workspace_id = ?
		UNION
		SELECT s.id FROM sessions s WHERE s.workspace_id = ? AND s.branch <> '' AND s.branch = ?
		ORDER BY 1`, forge, repository, number, workspace, workspace, branch).Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("find sessions of pull request %d: %w", number, err)
	}
	return ids, nil
}

// ClaimPullRequestChecks takes up to limit open pull requests that were last asked about before a time, the longest ago
// first. Several processes may claim at once; each pull request goes to one.
func ClaimPullRequestChecks(ctx context.Context, q bun.IDB, now, before time.Time, limit int) ([]PullRequest, error) {
	var list []PullRequest
	err := q.NewRaw(`WITH next AS (
			SELECT pr.id FROM pull_requests pr JOIN sessions s ON s.id = pr.session_id JOIN workspaces w ON w.id = s.workspace_id
			WHERE pr.state = 'open' AND (pr.checked_at IS NULL OR pr.checked_at < ?) AND w.removed_at IS NULL
				AND `+awake(TaskPullRequests, "pr.id")+`
			ORDER BY pr.checked_at NULLS FIRST LIMIT ? FOR NO KEY UPDATE OF pr SKIP LOCKED
		)
		UPDATE pull_requests pr SET checked_at = ? FROM next, sessions s WHERE pr.id = next.id AND s.id = pr.session_id
		RETURNING pr.*, s.workspace_id`, before, now, limit, now).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("claim pull requests to check: %w", err)
	}
	return list, nil
}

// NotePullRequestProblem notes why the forge could not be asked for a pull request.
func NotePullRequestProblem(ctx context.Context, q bun.IDB, id uuid.UUID, problem string) error {
	if _, err := q.NewUpdate().Model((*PullRequest)(nil)).Set("problem = ?", problem).Where("pr.id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("note problem of pull request %s: %w", id, err)
	}
	return nil
}

// ClaimBranchChecks takes up to limit idle sessions with changes and no pull request, for asking the forge by their
// branches. Each is asked about every few minutes at first, and more rarely the longer its last turn is over: a tenth of
// that time apart. Sessions whose last turn ended before since are left alone.
func ClaimBranchChecks(ctx context.Context, q bun.IDB, now, since time.Time, every time.Duration, limit int) ([]Session, error) {
	var list []Session
	err := q.NewRaw(`WITH next AS (
			SELECT s.id FROM sessions s JOIN workspaces w ON w.id = s.workspace_id
			WHERE s.status IN ('waiting', 'done') AND s.branch <> '' AND (s.files_changed > 0 OR s.commits > 0) AND s.ended_at > ?
				AND w.git_url <> '' AND w.removed_at IS NULL
				AND (s.pr_checked_at IS NULL OR s.pr_checked_at < ?::timestamptz - greatest(?::interval, (?::timestamptz - s.ended_at) / 10))
				AND NOT EXISTS (SELECT 1 FROM pull_requests pr WHERE pr.session_id = s.id AND pr.found_by <> 'output')
				AND `+awake(TaskPullRequests, "s.id")+`
			ORDER BY s.pr_checked_at NULLS FIRST LIMIT ? FOR NO KEY UPDATE OF s SKIP LOCKED
		)
		UPDATE sessions s SET pr_checked_at = ? FROM next WHERE s.id = next.id
		RETURNING s.id, s.workspace_id, s.branch, s.title`, since, now, fmt.Sprintf("%d seconds", int(every/time.Second)), now, now, limit, now).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("claim branches to check: %w", err)
	}
	return list, nil
}

// RequestPullRequest asks the worker that has a session's worktree to open a pull request. By may be zero.
func RequestPullRequest(ctx context.Context, q bun.IDB, session, by uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("pr_requested_at = ?", now).Set("pr_requested_by = ?", orNull(by)).
		Set("pr_error = ''").Set("pr_changed_at = ?", now).Where("s.id = ?", session).Exec(ctx)
	if err != nil {
		return fmt.Errorf("request pull request of session %s: %w", session, err)
	}
	return nil
}

// EndPullRequestRequest ends the request made at a time, with what went wrong or nothing.
func EndPullRequestRequest(ctx context.Context, q bun.IDB, session uuid.UUID, requested time.Time, problem string, now time.Time) error {
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("pr_requested_at = NULL").Set("pr_requested_by = NULL").
		Set("pr_error = ?", problem).Set("pr_changed_at = ?", now).Where("s.id = ?", session).Where("s.pr_requested_at = ?", requested).Exec(ctx)
	if err != nil {
		return fmt.Errorf("end request of session %s: %w", session, err)
	}
	return nil
}

// RequestedPullRequests lists the idle sessions of a worker for which a pull request is to be opened, oldest request first.
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
func ExpirePullRequestRequests(ctx context.Context, q bun.IDB, before time.Time, reason string, now time.Time) ([]uuid.UUID, error) {
	var ids []uuid.UUID
	err := q.NewRaw(`UPDATE sessions SET pr_requested_at = NULL, pr_requested_by = NULL, pr_error = ?, pr_changed_at = ?
		WHERE pr_requested_at < ? AND status NOT IN ('queued', 'in_progress') RETURNING id`, reason, now, before).Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("expire requests for pull requests: %w", err)
	}
	return ids, nil
}

// LastAnswer is the agent's answer to the last message of a session that it has answered, or nothing.
func LastAnswer(ctx context.Context, q bun.IDB, session uuid.UUID) (string, error) {
	var answer string
	err := q.NewRaw("SELECT answer FROM turns WHERE session_id = ? AND answer <> '' ORDER BY position DESC LIMIT 1", session).Scan(ctx, &answer)
	if err != nil && !IsNotFound(err) {
		return "", fmt.Errorf("read last answer of session %s: %w", session, err)
	}
	return answer, nil
}
