package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"carillon/app/automation"
	"carillon/app/forge"
	"carillon/app/outbound"
	"carillon/db"
)

// How much is asked of forges at a time. A personal token of GitHub's may ask 5,000 times an hour.
const (
	forgeEvery     = 5 * time.Minute
	checksAtOnce   = 50
	checksPerTick  = 400
	branchesAtOnce = 40                  // sessions without a pull request, per tick
	branchesSince  = 14 * 24 * time.Hour // for how long one is looked for
	forgesAtOnce   = 4
	forgePatience  = 4 * time.Minute // for one tick, so that the next is not late
)

// ForgeTimeout bounds one request to a forge.
const ForgeTimeout = 30 * time.Second

// followPullRequests asks the forges where open pull requests stand, and by their branches for those of sessions that
// have none yet. Whatever a forge answers to one workspace keeps no other from being asked.
func (s *Scheduler) followPullRequests(ctx context.Context) error {
	err := s.steps(ctx, db.TaskPullRequests, []step{{"requests that nobody took up", s.Rules.ExpireRequests}})
	if err != nil || s.Forge == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, forgePatience)
	defer cancel()
	now := s.Now()
	forges, pulls := s.Rules.Round(db.TaskForges), s.Rules.Round(db.TaskPullRequests)
	for asked := 0; asked < checksPerTick && ctx.Err() == nil; {
		list, err := db.ClaimPullRequestChecks(ctx, s.DB, now, now.Add(-forgeEvery+30*time.Second), checksAtOnce)
		if err != nil || len(list) == 0 {
			if err != nil {
				return err
			}
			break
		}
		asked += len(list)
		byWorkspace := map[uuid.UUID][]question{}
		for i := range list {
			row := &list[i]
			byWorkspace[row.WorkspaceID] = append(byWorkspace[row.WorkspaceID], question{
				row.ID, "the pull request " + row.URL, func(ctx context.Context, a *asker) error {
					return s.check(ctx, a, row)
				},
			})
		}
		if err := s.ask(ctx, byWorkspace, forges, pulls); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	sessions, err := db.ClaimBranchChecks(ctx, s.DB, now, now.Add(-branchesSince), forgeEvery-30*time.Second,
		branchesAtOnce)
	if err != nil {
		return err
	}
	byWorkspace := map[uuid.UUID][]question{}
	for i := range sessions {
		session := &sessions[i]
		byWorkspace[session.WorkspaceID] = append(byWorkspace[session.WorkspaceID], question{
			session.ID, "the pull request of the session " + session.Title, func(ctx context.Context, a *asker) error {
				return s.lookFor(ctx, a, session)
			},
		})
	}
	return s.ask(ctx, byWorkspace, forges, pulls)
}

// question is what a forge is asked about one row.
type question struct {
	key   uuid.UUID
	about string
	put   func(ctx context.Context, a *asker) error
}

// ask puts questions to the forges of workspaces: one after the other to each, and no more to one that wants to be left
// alone or cannot be reached. It returns an error where the database is away; a workspace that cannot be asked is set
// aside, and so is what cannot be taken over.
func (s *Scheduler) ask(ctx context.Context, byWorkspace map[uuid.UUID][]question, forges,
	pulls *automation.Round) error {
	var group errgroup.Group
	group.SetLimit(forgesAtOnce)
	for id, questions := range byWorkspace {
		group.Go(func() error {
			if rests, err := forges.Rests(ctx, id.String()); err != nil || rests {
				return err
			}
			var a *asker
			err := forges.Deal(ctx, automation.Row{
				Key: id.String(), About: "the forge of the workspace " + id.String(), Workspace: id,
			}, func(ctx context.Context) (err error) {
				a, err = s.asker(ctx, id)
				return err
			})
			if err != nil || a == nil {
				return err
			}
			for _, q := range questions {
				row := automation.Row{Key: q.key.String(), About: q.about, Workspace: id}
				if err := pulls.Deal(ctx, row, func(ctx context.Context) error { return q.put(ctx, a) }); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := group.Wait()
	if ctx.Err() != nil { // the patience of this tick is over: the next goes on
		return nil
	}
	return err
}

// asker asks the forge of one workspace.
type asker struct {
	workspace  *db.Workspace
	client     *forge.Client
	repository string // as the forge names it
	silent     string // why it is not asked, or not any more in this tick, as a sentence
}

func (s *Scheduler) asker(ctx context.Context, id uuid.UUID) (*asker, error) {
	ws, err := db.WorkspaceByID(ctx, s.DB, id)
	if err != nil {
		return nil, err
	}
	a := &asker{workspace: ws}
	var known bool
	if a.client, a.repository, known, err = forgeClient(ctx, s.Rules, ws, s.Forge, s.Now); err != nil {
		return nil, err
	}
	if !known {
		a.silent = "Carillon does not know on which forge this is, so it cannot follow it."
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if until := s.limited[id]; until.After(s.Now()) {
		a.silent = "The forge limits requests until " + until.UTC().Format("15:04 MST") + "."
	}
	return a, nil
}

// failed notes what a forge answered in place of a pull request, and returns it as a sentence.
func (s *Scheduler) failed(a *asker, err error) string {
	problem := forgeProblem(err)
	var limit *forge.RateLimit
	var refused *forge.Refused
	switch {
	case errors.As(err, &limit):
		s.mu.Lock()
		if s.limited == nil {
			s.limited = map[uuid.UUID]time.Time{}
		}
		s.limited[a.workspace.ID] = limit.Until
		s.mu.Unlock()
		a.silent = problem
	case errors.Is(err, forge.ErrNotFound), errors.Is(err, forge.ErrElsewhere), errors.As(err, &refused):
		// of this pull request alone
	default: // the token, the network: the next question would end the same
		a.silent = problem
	}
	return problem
}

// check asks where a pull request stands.
func (s *Scheduler) check(ctx context.Context, a *asker, row *db.PullRequest) error {
	problem := a.silent
	if problem == "" {
		p, err := a.client.State(ctx, asked(row))
		if err == nil {
			return s.Rules.CheckedPullRequest(ctx, row, p)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		problem = s.failed(a, err)
	}
	if problem == row.Problem {
		return nil
	}
	return db.NotePullRequestProblem(ctx, s.DB, row.ID, problem)
}

// asked is a pull request as a forge is asked about it.
func asked(row *db.PullRequest) forge.PullRequest {
	return forge.PullRequest{Forge: forge.Kind(row.Forge), Repository: row.Repository, Number: row.Number, URL: row.URL}
}

// lookFor asks for the pull request of a session's branch.
func (s *Scheduler) lookFor(ctx context.Context, a *asker, session *db.Session) error {
	if a.silent != "" {
		return nil
	}
	p, err := a.client.Find(ctx, a.repository, session.Branch)
	if err != nil {
		if ctx.Err() == nil {
			s.Log.Info("look for a pull request", "workspace", a.workspace.ID, "session", session.ID, "err", err)
			s.failed(a, err)
		}
		return nil
	}
	if p == nil {
		return nil
	}
	return s.Rules.TakePullRequest(ctx, a.workspace, session.ID, *p, db.FoundByBranch)
}

// forgeRecovers reports whether what went wrong with a forge passes by itself: the network, a limit, an error of the
// forge's own. What a person has to mend, such as a token, does not.
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
