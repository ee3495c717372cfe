package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/form"
	"carillon/db"
)

// PullRequest is a pull request of a session.
type PullRequest struct {
	ID        string     `json:"id" format:"uuid"`
	URL       string     `json:"url" format:"uri"`
	Number    int64      `json:"number"`
	Title     string     `json:"title"`
	State     string     `json:"state" doc:"Such as open, merged, closed, unknown."`
	FoundBy   string     `json:"found_by" doc:"How it came to the session, such as created, branch, hand, output, webhook."`
	Confirmed bool       `json:"confirmed" doc:"It is known to be of the session's branch, or was linked by a person."`
	CheckedAt *time.Time `json:"checked_at,omitempty" doc:"When the forge was asked last."`
}

// pullRequests are the operations on the pull requests of sessions.
type pullRequests struct{ *Server }

// routes are operations on the pull requests of a session.
func (a pullRequests) routes() {
	answers(a.Server, operation{
		method: http.MethodGet, path: "/sessions/{id}/pull-requests", name: "listPullRequests", tag: sessionsTag,
		summary: "List the pull requests of a session, the one that it is best known by first",
	}, a.list)
	does(a.Server, operation{
		method: http.MethodPost, path: "/sessions/{id}/pull-requests", name: "createPullRequest", tag: sessionsTag,
		summary: "Ask the worker of a session to open a pull request",
	}, func(ctx context.Context, actor account.Actor, in *OneByID) error {
		return a.Rules.PullRequests().Request(ctx, actor, in.id())
	})
	does(a.Server, operation{
		method: http.MethodPost, path: "/sessions/{id}/pull-request", name: "linkPullRequest", tag: sessionsTag,
		summary: "Link a pull request to a session", about: "Its state is asked for within 5 minutes.",
	}, func(ctx context.Context, actor account.Actor, in *linkPullRequestQuery) error {
		return a.Rules.PullRequests().Link(ctx, actor, in.id(), in.Body.URL)
	})
	does(a.Server, operation{
		method: http.MethodDelete, path: "/sessions/{id}/pull-requests/{pull_request}", name: "unlinkPullRequest",
		tag: sessionsTag, summary: "Take a pull request off a session",
	}, func(ctx context.Context, actor account.Actor, in *onePullRequest) error {
		return a.Rules.PullRequests().Unlink(ctx, actor, in.id(), form.OptionalID(in.PullRequest))
	})
}

type linkPullRequestQuery struct {
	OneByID
	Body struct {
		URL string `json:"url" maxLength:"2000"`
	}
}

type onePullRequest struct {
	OneByID
	PullRequest string `path:"pull_request" format:"uuid"`
}

func (a pullRequests) list(
	ctx context.Context, actor account.Actor, in *OneByID,
) (PageOf[PullRequest], error) {
	if _, err := a.Rules.Sessions().Find(ctx, actor, in.id()); err != nil {
		return PageOf[PullRequest]{}, err
	}
	list, err := db.PullRequestsOf(ctx, a.DB, []uuid.UUID{in.id()})
	if err != nil {
		return PageOf[PullRequest]{}, err
	}
	return paginate(list, len(list), func(p *db.PullRequest) PullRequest { // all: a session has few
		return PullRequest{
			ID: p.ID.String(), URL: p.URL, Number: p.Number, Title: p.Title, State: string(p.State),
			FoundBy: string(p.FoundBy), Confirmed: p.Confirmed(), CheckedAt: moment(p.CheckedAt),
		}
	}, nil), nil
}
