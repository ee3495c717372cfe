package web

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/db"
)

// APIPullRequest is a pull request of a session.
type APIPullRequest struct {
	ID        string     `json:"id" format:"uuid"`
	URL       string     `json:"url" format:"uri"`
	Number    int64      `json:"number"`
	Title     string     `json:"title"`
	State     string     `json:"state" doc:"Such as open, merged, closed, unknown."`
	FoundBy   string     `json:"found_by" doc:"How it came to the session, such as created, branch, hand, output, webhook."`
	Confirmed bool       `json:"confirmed" doc:"It is known to be of the session's branch, or was linked by a person."`
	CheckedAt *time.Time `json:"checked_at,omitempty" doc:"When the forge was asked last."`
}

// pullRequestRoutes are operations on the pull requests of a session.
func (a *api) pullRequestRoutes() {
	answers(a, apiOp{
		method: http.MethodGet, path: "/sessions/{id}/pull-requests", name: "listPullRequests", tag: sessionsTag,
		summary: "List the pull requests of a session, the one that it is best known by first",
	}, a.listPullRequests)
	does(a, apiOp{
		method: http.MethodPost, path: "/sessions/{id}/pull-requests", name: "createPullRequest", tag: sessionsTag,
		summary: "Ask the worker of a session to open a pull request",
	}, func(ctx context.Context, actor account.Actor, in *APIOneByID) error {
		return a.Rules.RequestPullRequest(ctx, actor, in.id())
	})
	does(a, apiOp{
		method: http.MethodPost, path: "/sessions/{id}/pull-request", name: "linkPullRequest", tag: sessionsTag,
		summary: "Link a pull request to a session", about: "Its state is asked for within 5 minutes.",
	}, func(ctx context.Context, actor account.Actor, in *linkPullRequestQuery) error {
		return a.Rules.LinkPullRequest(ctx, actor, in.id(), in.Body.URL)
	})
	does(a, apiOp{
		method: http.MethodDelete, path: "/sessions/{id}/pull-requests/{pull_request}", name: "unlinkPullRequest",
		tag: sessionsTag, summary: "Take a pull request off a session",
	}, func(ctx context.Context, actor account.Actor, in *onePullRequest) error {
		return a.Rules.UnlinkPullRequest(ctx, actor, in.id(), optionalID(in.PullRequest))
	})
}

type linkPullRequestQuery struct {
	APIOneByID
	Body struct {
		URL string `json:"url" maxLength:"2000"`
	}
}

type onePullRequest struct {
	APIOneByID
	PullRequest string `path:"pull_request" format:"uuid"`
}

func (a *api) listPullRequests(
	ctx context.Context, actor account.Actor, in *APIOneByID,
) (pageOf[APIPullRequest], error) {
	if _, err := a.Rules.Session(ctx, actor, in.id()); err != nil {
		return pageOf[APIPullRequest]{}, err
	}
	list, err := db.PullRequestsOf(ctx, a.DB, []uuid.UUID{in.id()})
	if err != nil {
		return pageOf[APIPullRequest]{}, err
	}
	return paginate(list, len(list), func(p *db.PullRequest) APIPullRequest { // all: a session has few
		return APIPullRequest{
			ID: p.ID.String(), URL: p.URL, Number: p.Number, Title: p.Title, State: string(p.State),
			FoundBy: string(p.FoundBy), Confirmed: p.Confirmed(), CheckedAt: moment(p.CheckedAt),
		}
	}, nil), nil
}
