package runs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/pullrequest"
	"carillon/db"
	"carillon/views"
)

// PullRequests finds, for each of a list of sessions that has one, the pull request that it is best known by.
func (s *Pages) PullRequests(ctx context.Context,
	sessions []db.Session) (map[uuid.UUID]*views.PullRequest, error) {
	ids := make([]uuid.UUID, len(sessions))
	for i, session := range sessions {
		ids[i] = session.ID
	}
	list, err := db.PullRequestsOf(ctx, s.DB, ids)
	if err != nil {
		return nil, err
	}
	best := map[uuid.UUID]*views.PullRequest{}
	for i := range list {
		if best[list[i].SessionID] == nil && list[i].Confirmed() { // the best is the first
			best[list[i].SessionID] = pullRequest(&list[i])
		}
	}
	return best, nil
}

func pullRequest(p *db.PullRequest) *views.PullRequest {
	return &views.PullRequest{Number: strconv.FormatInt(p.Number, 10), URL: p.URL, State: string(p.State)}
}

// addPullRequests completes a session's page with its pull requests and with what can be done about them.
func (s sessionPages) addPullRequests(ctx context.Context, p *views.SessionPage, session *db.Session,
	manage bool) error {
	list, err := db.PullRequestsOf(ctx, s.DB, []uuid.UUID{session.ID})
	if err != nil {
		return err
	}
	p.ProblemPR = session.PRError
	for i := range list {
		if i == 0 && list[i].Confirmed() {
			p.Session.PullRequest = pullRequest(&list[i])
		}
		l := views.LinkedPR{
			PullRequest: *pullRequest(&list[i]), Title: list[i].Title, Found: foundWords[list[i].FoundBy],
		}
		if manage {
			l.ID, l.CanLink = list[i].ID.String(), !list[i].Confirmed()
		}
		p.LinkedPRs = append(p.LinkedPRs, l)
		if list[i].State == db.PullRequestOpen && list[i].Problem != "" && p.ProblemPR == "" {
			p.ProblemPR = fmt.Sprintf("#%d cannot be followed: %s", list[i].Number, list[i].Problem)
		}
	}
	open := len(list) > 0 && list[0].Confirmed() && list[0].State == db.PullRequestOpen
	p.CreatingPR = !session.PRRequestedAt.IsZero()
	p.CanCreatePR = manage && !open && pullrequest.CanOpen(session)
	p.CanLinkPR = manage && session.Type != db.Chat && !open
	p.LinkPR = views.Field{Name: "url", Label: "Link a pull request", Type: "url", Placeholder: "https://"}
	return nil
}

// foundWords say how a pull request came to a session.
var foundWords = map[db.FoundBy]string{
	db.FoundInOutput: "named by the agent, and not known to be of this session’s branch",
	db.FoundByBranch: "opened from the session’s branch", db.FoundByHand: "linked by hand",
	db.FoundCreated: "opened by Carillon", db.FoundByWebhook: "told by the forge",
}

// unlinkPullRequest takes a pull request off a session.
func (s sessionPages) unlinkPullRequest(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.change(w, r, "Unlinked.", func(id uuid.UUID) error {
		return s.Rules.PullRequests().Unlink(r.Context(), actor, id, form.OptionalID(r.PostFormValue("id")))
	})
}

// linkPullRequest notes a pull request that a person knows of.
func (s sessionPages) linkPullRequest(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	session, err := s.seen(r, actor)
	if err != nil {
		return err
	}
	address := r.PostFormValue("url")
	err = s.Rules.PullRequests().Link(r.Context(), actor, session.ID, address)
	var invalid fault.Invalid
	if errors.As(err, &invalid) && invalid["url"] != "" {
		return s.showOne(w, r, actor, session, http.StatusUnprocessableEntity, func(p *views.SessionPage) {
			p.CanLinkPR, p.LinkPR.Value, p.LinkPR.Error = true, address, invalid["url"]
		})
	}
	if err != nil {
		return err
	}
	return s.Redirect(w, r, views.SessionURL(session.ID.String()), "Linked. Its state is updated within 5 minutes.")
}

// createPullRequest asks the worker of a session to open a pull request.
func (s sessionPages) createPullRequest(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.change(w, r, "The pull request is being created.", func(id uuid.UUID) error {
		return s.Rules.PullRequests().Request(r.Context(), actor, id)
	})
}
