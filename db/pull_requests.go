package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// PullRequest is a pull request of a session.
type PullRequest struct {
	bun.BaseModel `bun:"table:pull_requests,alias:pr"`

	ID         uuid.UUID `bun:"id,pk,type:uuid"`
	SessionID  uuid.UUID `bun:"session_id,type:uuid"`
	Forge      string    `bun:"forge"`
	Repository string    `bun:"repository"`
	Number     int64     `bun:"number"`
	URL        string    `bun:"url"`
	Key        string    `bun:"key"`
	Title      string    `bun:"title"`
	// its branch; of an unconfirmed one, the branch that the worktree was on
	Branch    string           `bun:"branch"`
	State     PullRequestState `bun:"state"`
	FoundBy   FoundBy          `bun:"found_by"`
	CreatedAt time.Time        `bun:"created_at"`
	UpdatedAt time.Time        `bun:"updated_at"`
	RemoteAt  time.Time        `bun:"remote_at,nullzero"`
	CheckedAt time.Time        `bun:"checked_at,nullzero"`
	SettledAt time.Time        `bun:"settled_at,nullzero"`
	Problem   string           `bun:"problem"`

	WorkspaceID uuid.UUID `bun:"workspace_id,scanonly,type:uuid"` // of its session; set by some queries
}

// Confirmed reports whether it is certain that a pull request belongs to its session: by the forge, by a person, or
// because Carillon opened it. An unconfirmed one is shown and has no other effect.
func (p *PullRequest) Confirmed() bool { return p.FoundBy != FoundInOutput }

// PullRequestState is the state of a pull request at the forge.
type PullRequestState string

// The states of a pull request.
const (
	PullRequestOpen   PullRequestState = "open"
	PullRequestMerged PullRequestState = "merged"
	PullRequestClosed PullRequestState = "closed" // without having been merged
)

// FoundBy says how a pull request was linked with a session.
type FoundBy string

// The ways in which pull requests are linked.
const (
	FoundInOutput  FoundBy = "output" // the agent wrote its address; unconfirmed
	FoundByBranch  FoundBy = "branch" // the forge has it for the session's branch
	FoundByHand    FoundBy = "hand"
	FoundCreated   FoundBy = "created" // Carillon opened it
	FoundByWebhook FoundBy = "webhook" // the forge sent a webhook
)

// InsertPullRequest writes a pull request of a session, unless the session has it. It reports whether it was new.
func InsertPullRequest(ctx context.Context, tx bun.Tx, p *PullRequest) (bool, error) {
	res, err := tx.NewInsert().Model(p).On("CONFLICT (session_id, key) DO NOTHING").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("insert pull request: %w", err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// SessionPullRequest finds a pull request of a session, for a change under the session's lock. It compares the
// repository's name, because forges do not always know the host under which they are reached.
func SessionPullRequest(
	ctx context.Context, tx bun.Tx, session uuid.UUID, forge, repository string, number int64,
) (*PullRequest, error) {
	var p PullRequest
	err := tx.NewSelect().Model(&p).Where("pr.session_id = ?", session).
		Where("pr.forge = ? AND lower(pr.repository) = lower(?) AND pr.number = ?", forge, repository, number).Limit(1).
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find pull request %d of session %s: %w", number, session, err)
	}
	return &p, nil
}

// PullRequestsOf lists the pull requests of sessions: those that are confirmed first, of these the open ones, then the
// newest.
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

// HasPullRequest reports whether a session has a confirmed pull request.
func HasPullRequest(ctx context.Context, q bun.IDB, session uuid.UUID) (bool, error) {
	return q.NewSelect().Model((*PullRequest)(nil)).Where("pr.session_id = ? AND pr.found_by <> 'output'", session).
		Exists(ctx)
}

// OpenPullRequest finds an open pull request of an automation's sessions; its address is empty when there is none.
func OpenPullRequest(ctx context.Context, q bun.IDB, automation uuid.UUID) (string, error) {
	var url string
	err := q.NewRaw(`SELECT pr.url FROM pull_requests pr JOIN sessions s ON s.id = pr.session_id
		WHERE s.automation_id = ? AND pr.state = 'open' AND pr.found_by <> 'output' ORDER BY pr.id DESC
			LIMIT 1`, automation).Scan(ctx, &url)
	if IsNotFound(err) {
		return "", nil
	}
	return url, wrap(err, "find an open pull request")
}

// SessionsOfPullRequest lists the sessions of a workspace to which a pull request belongs: those that are linked with
// it and, unless branch is empty, those that have the branch.
func SessionsOfPullRequest(
	ctx context.Context, q bun.IDB, workspace uuid.UUID, forge, repository string, number int64, branch string,
) ([]uuid.UUID, error) {
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

// SavePullRequest writes the state of a pull request.
func SavePullRequest(ctx context.Context, tx bun.Tx, p *PullRequest) error {
	_, err := tx.NewUpdate().Model(p).Column("url", "title", "branch", "state", "found_by", "updated_at", "remote_at",
		"checked_at", "settled_at", "problem").
		WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("save pull request %s: %w", p.ID, err)
	}
	return nil
}

// SettlePullRequests records that the effects of a session's merged and closed pull requests have been applied to the
// session.
func SettlePullRequests(ctx context.Context, tx bun.Tx, session uuid.UUID, now time.Time) error {
	_, err := tx.NewUpdate().Model((*PullRequest)(nil)).Set("settled_at = ?", now).
		Where("pr.session_id = ?", session).Where("pr.state <> 'open' AND pr.settled_at IS NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("settle pull requests of session %s: %w", session, err)
	}
	return nil
}

// SetPullRequestProblem writes why the forge could not be asked about a pull request.
func SetPullRequestProblem(ctx context.Context, q bun.IDB, id uuid.UUID, problem string) error {
	if _, err := q.NewUpdate().Model((*PullRequest)(nil)).Set("problem = ?", problem).Where("pr.id = ?", id).
		Exec(ctx); err != nil {
		return fmt.Errorf("note problem of pull request %s: %w", id, err)
	}
	return nil
}

// DeletePullRequest removes a pull request that does not belong to the session.
func DeletePullRequest(ctx context.Context, tx bun.Tx, id uuid.UUID) error {
	if _, err := tx.NewDelete().Model((*PullRequest)(nil)).Where("pr.id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("delete pull request %s: %w", id, err)
	}
	return nil
}

// ClaimPullRequestChecks takes up to limit open pull requests that were last checked before a time, the longest ago
// first. Several processes may claim at once; each pull request goes to one of them.
func ClaimPullRequestChecks(ctx context.Context, q bun.IDB, now, before time.Time, limit int) ([]PullRequest, error) {
	var list []PullRequest
	err := q.NewRaw(`WITH next AS (
			SELECT pr.id FROM pull_requests pr JOIN sessions s ON s.id = pr.session_id
				JOIN workspaces w ON w.id = s.workspace_id
			WHERE pr.state = 'open' AND (pr.checked_at IS NULL OR pr.checked_at < ?) AND w.removed_at IS NULL
				AND `+notSetAside(TaskPullRequests, "pr.id")+`
			ORDER BY pr.checked_at NULLS FIRST LIMIT ? FOR NO KEY UPDATE OF pr SKIP LOCKED
		)
		UPDATE pull_requests pr SET checked_at = ? FROM next, sessions s WHERE pr.id = next.id AND s.id = pr.session_id
		RETURNING pr.*, s.workspace_id`, before, now, limit, now).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("claim pull requests to check: %w", err)
	}
	return list, nil
}
