package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"carillon/app/aside"
	"carillon/app/forge"
	"carillon/app/outbound"
	"carillon/db"
)

// Bounds of requests to forges. GitHub allows 5,000 requests an hour with a personal token.
const (
	forgeEvery       = 5 * time.Minute
	checkBatch       = 50
	checksPerTick    = 400
	branchBatch      = 40                  // sessions without a pull request, per tick
	branchesSince    = 14 * 24 * time.Hour // a session's branch is followed so long
	maxForges        = 4
	forgeTickTimeout = 4 * time.Minute // of one run of the job, so that the next is not late
)

// ForgeTimeout bounds one request to a forge.
const ForgeTimeout = 30 * time.Second

// followPullRequests asks the forges for the state of open pull requests. For sessions without a pull request it asks
// by the branch. A failure in one workspace does not stop the requests of the others.
func (s *Scheduler) followPullRequests(ctx context.Context) error {
	err := s.runSteps(ctx, db.TaskPullRequests, []step{
		{"expired requests for pull requests", s.Rules.PullRequests().ExpireRequests},
	})
	if err != nil || s.Forge == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, forgeTickTimeout)
	defer cancel()
	now := s.Now()
	forges, pulls := s.Rules.Round(db.TaskForges), s.Rules.Round(db.TaskPullRequests)
	for asked := 0; asked < checksPerTick && ctx.Err() == nil; {
		list, err := db.ClaimPullRequestChecks(ctx, s.DB, now, now.Add(-forgeEvery+30*time.Second), checkBatch)
		if err != nil || len(list) == 0 {
			if err != nil {
				return err
			}
			break
		}
		asked += len(list)
		byWorkspace := map[uuid.UUID][]forgeQuery{}
		for i := range list {
			row := &list[i]
			byWorkspace[row.WorkspaceID] = append(byWorkspace[row.WorkspaceID], forgeQuery{
				row.ID, "the pull request " + row.URL, func(ctx context.Context, a *forgeQuerier) error {
					return s.checkPullRequest(ctx, a, row)
				},
			})
		}
		if err := s.askForges(ctx, byWorkspace, forges, pulls); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	sessions, err := db.ClaimBranchChecks(ctx, s.DB, now, now.Add(-branchesSince), forgeEvery-30*time.Second,
		branchBatch)
	if err != nil {
		return err
	}
	byWorkspace := map[uuid.UUID][]forgeQuery{}
	for i := range sessions {
		session := &sessions[i]
		byWorkspace[session.WorkspaceID] = append(byWorkspace[session.WorkspaceID], forgeQuery{
			session.ID, "the pull request of the session " + session.Title,
			func(ctx context.Context, a *forgeQuerier) error {
				return s.findByBranch(ctx, a, session)
			},
		})
	}
	return s.askForges(ctx, byWorkspace, forges, pulls)
}

// forgeQuery is a request to a forge about one row.
type forgeQuery struct {
	key   uuid.UUID
	about string
	run   func(ctx context.Context, a *forgeQuerier) error
}

// askForges sends queries to the forges of workspaces, one after the other to each. It stops for a forge that limits
// requests or cannot be reached. A workspace whose forge cannot be asked is set aside, and so is a row whose result
// cannot be written. It returns an error when the database cannot be reached.
func (s *Scheduler) askForges(ctx context.Context, byWorkspace map[uuid.UUID][]forgeQuery, forges,
	pulls *aside.Round) error {
	var group errgroup.Group
	group.SetLimit(maxForges)
	for id, questions := range byWorkspace {
		group.Go(func() error {
			if rests, err := forges.Rests(ctx, id.String()); err != nil || rests {
				return err
			}
			var a *forgeQuerier
			err := forges.Deal(ctx, aside.Row{
				Key: id.String(), About: "the forge of the workspace " + id.String(), Workspace: id,
			}, func(ctx context.Context) (err error) {
				a, err = s.querier(ctx, id)
				return err
			})
			if err != nil || a == nil {
				return err
			}
			for _, q := range questions {
				row := aside.Row{Key: q.key.String(), About: q.about, Workspace: id}
				if err := pulls.Deal(ctx, row, func(ctx context.Context) error { return q.run(ctx, a) }); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := group.Wait()
	if ctx.Err() != nil { // the time of this run of the job is over: the next continues
		return nil
	}
	return err
}

// forgeQuerier sends queries to the forge of one workspace.
type forgeQuerier struct {
	workspace *db.Workspace
	access    *forgeAccess // nil: the forge is not known
	// why the forge is not asked any more in this run of the job, as a sentence; empty: it is asked
	stopReason string
}

func (s *Scheduler) querier(ctx context.Context, id uuid.UUID) (*forgeQuerier, error) {
	ws, err := db.WorkspaceByID(ctx, s.DB, id)
	if err != nil {
		return nil, err
	}
	access, err := accessForge(ctx, s.Rules, ws, s.Forge, s.Now)
	if err != nil {
		return nil, err
	}
	a := &forgeQuerier{workspace: ws, access: access}
	if access == nil {
		a.stopReason = "Carillon does not know on which forge this is, so it cannot follow it."
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if until := s.rateLimited[id]; until.After(s.Now()) {
		a.stopReason = "The forge limits requests until " + until.UTC().Format("15:04 MST") + "."
	}
	return a, nil
}

// noteForgeFailure handles an error of a forge, and returns the error as a sentence.
func (s *Scheduler) noteForgeFailure(a *forgeQuerier, err error) string {
	problem := forgeProblem(err)
	var limit *forge.RateLimit
	var refused *forge.Refused
	switch {
	case errors.As(err, &limit):
		s.mu.Lock()
		if s.rateLimited == nil {
			s.rateLimited = map[uuid.UUID]time.Time{}
		}
		s.rateLimited[a.workspace.ID] = limit.Until
		s.mu.Unlock()
		a.stopReason = problem
	case errors.Is(err, forge.ErrNotFound), errors.Is(err, forge.ErrElsewhere), errors.As(err, &refused):
		// concerns this pull request alone
	default: // the token or the network: the next query would fail as well
		a.stopReason = problem
	}
	return problem
}

// checkPullRequest asks for the state of a pull request and writes it.
func (s *Scheduler) checkPullRequest(ctx context.Context, a *forgeQuerier, row *db.PullRequest) error {
	problem := a.stopReason
	if problem == "" {
		p, err := a.access.client.State(ctx, forgePullRequest(row))
		if err == nil {
			return s.Rules.PullRequests().TakeAnswer(ctx, row, p)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		problem = s.noteForgeFailure(a, err)
	}
	if problem == row.Problem {
		return nil
	}
	return db.SetPullRequestProblem(ctx, s.DB, row.ID, problem)
}

// forgePullRequest is a row's pull request in the terms of package forge.
func forgePullRequest(row *db.PullRequest) forge.PullRequest {
	return forge.PullRequest{Forge: forge.Kind(row.Forge), Repository: row.Repository, Number: row.Number, URL: row.URL}
}

// findByBranch asks for the pull request of a session's branch and links it.
func (s *Scheduler) findByBranch(ctx context.Context, a *forgeQuerier, session *db.Session) error {
	if a.stopReason != "" {
		return nil
	}
	p, err := a.access.client.Find(ctx, a.access.repository, session.Branch)
	if err != nil {
		if ctx.Err() == nil {
			s.Log.Info("look for a pull request", "workspace", a.workspace.ID, "session", session.ID, "err", err)
			s.noteForgeFailure(a, err)
		}
		return nil
	}
	if p == nil {
		return nil
	}
	return s.Rules.PullRequests().Take(ctx, a.workspace, session.ID, *p, db.FoundByBranch)
}

// forgeRecovers reports whether an error of a forge passes by itself: trouble of the network, a rate limit, an internal
// error of the forge. An error that a person has to fix, such as a refused token, does not.
func forgeRecovers(err error) bool {
	var limit *forge.RateLimit
	var refused *forge.Refused
	var guarded *outbound.Refused
	switch {
	case errors.Is(err, forge.ErrCredentials), errors.Is(err, forge.ErrNotFound), errors.Is(err, forge.ErrElsewhere),
		errors.As(err, &guarded):
		return false
	case errors.As(err, &limit):
		return true
	case errors.As(err, &refused):
		return refused.Status >= 500
	}
	return true
}

// forgeProblem says what went wrong with a forge, as a sentence for a person.
func forgeProblem(err error) string {
	var limit *forge.RateLimit
	var refused *forge.Refused
	var guarded *outbound.Refused
	switch {
	case errors.Is(err, forge.ErrCredentials):
		return "The forge refuses the workspace’s access token. It must be allowed to read and write pull requests."
	case errors.Is(err, forge.ErrNotFound):
		return "The forge does not know this repository or pull request, or the workspace’s access token may not see " +
			"it."
	case errors.Is(err, forge.ErrElsewhere):
		return "This pull request is on another forge than the workspace’s repository, so it is not followed."
	case errors.As(err, &limit):
		return "The forge limits requests until " + limit.Until.UTC().Format("15:04 MST") + "."
	case errors.As(err, &guarded):
		return fmt.Sprintf(
			"The forge’s address, %s, is not on the public internet. CARILLON_OUTBOUND_PRIVATE=on allows it.",
			guarded.Address)
	case errors.As(err, &refused) && refused.Message != "":
		return fmt.Sprintf("The forge answered %d: %s", refused.Status, refused.Message)
	case errors.As(err, &refused):
		return fmt.Sprintf("The forge answered %d.", refused.Status)
	}
	return "The forge cannot be reached."
}
