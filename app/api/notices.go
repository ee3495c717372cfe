package api

import (
	"context"
	"net/http"
	"time"

	"carillon/app/account"
	"carillon/db"
	"carillon/views"
)

// Notice is a notice of an inbox.
type Notice struct {
	ID           string     `json:"id" format:"uuid"`
	URL          string     `json:"url" format:"uri" doc:"Its page."`
	Kind         string     `json:"kind" doc:"Such as disabled, failed, skipped, missed, budget."`
	Title        string     `json:"title"`
	Body         string     `json:"body"`
	AutomationID string     `json:"automation_id,omitempty" format:"uuid"`
	ExecutionID  string     `json:"execution_id,omitempty" format:"uuid"`
	SessionID    string     `json:"session_id,omitempty" format:"uuid"`
	Link         string     `json:"link,omitempty" doc:"Such as of a pull request."`
	Starred      bool       `json:"starred"`
	ReadAt       *time.Time `json:"read_at,omitempty" doc:"Absent: unread."`
	CreatedAt    time.Time  `json:"created_at"`
}

const inboxTag = "Inbox"

// notices are the operations on the notices of an inbox.
type notices struct{ *Server }

func (a notices) routes() {
	answers(a.Server, operation{
		method: http.MethodGet, path: "/inbox", name: "listNotices", tag: inboxTag,
		summary: "List your notices, the newest first",
	}, a.list)
	does(a.Server, operation{
		method: http.MethodPost, path: "/inbox/reading", name: "readAllNotices", tag: inboxTag,
		summary: "Mark all your notices as read",
	}, a.readAll)
	answers(a.Server, operation{
		method: http.MethodGet, path: "/inbox/{id}", name: "getNotice", tag: inboxTag, summary: "Get a notice",
		about: "Getting it does not mark it as read.",
	}, a.get)
	answers(a.Server, operation{
		method: http.MethodPost, path: "/inbox/{id}/reading", name: "readNotice", tag: inboxTag,
		summary: "Mark a notice as read, or as unread",
	}, a.read)
	answers(a.Server, operation{
		method: http.MethodPost, path: "/inbox/{id}/star", name: "starNotice", tag: inboxTag,
		summary: "Mark a notice with a star, or take it away",
	}, a.star)
	does(a.Server, operation{
		method: http.MethodPost, path: "/inbox/{id}/dismissal", name: "dismissNotice", tag: inboxTag,
		summary: "Take a notice out of the inbox",
	}, func(ctx context.Context, actor account.Actor, in *OneByID) error {
		return a.Inbox.Dismiss(ctx, actor, in.id())
	})
}

type listNoticesQuery struct {
	ListQuery
	Unread  bool   `query:"unread" doc:"Unread ones alone."`
	Starred bool   `query:"starred" doc:"Those with a star alone."`
	Kind    string `query:"kind" maxLength:"100"`
}

func (a notices) item(n *db.Notification) Notice {
	return Notice{
		ID: n.ID.String(), URL: a.link(views.NoticeURL(n.ID.String())), Kind: n.Kind, Title: n.Title, Body: n.Body,
		AutomationID: idOrNone(n.AutomationID),
		ExecutionID:  idOrNone(n.ExecutionID), SessionID: idOrNone(n.SessionID), Link: n.Link,
		Starred: !n.StarredAt.IsZero(), ReadAt: moment(n.ReadAt), CreatedAt: n.CreatedAt.UTC(),
	}
}

func (a notices) list(ctx context.Context, actor account.Actor, in *listNoticesQuery) (PageOf[Notice], error) {
	f := db.NotificationFilter{Unread: in.Unread, Starred: in.Starred, Kind: in.Kind, Limit: in.Limit + 1}
	var err error
	if f.Before, err = in.afterID(); err != nil {
		return PageOf[Notice]{}, err
	}
	list, err := a.Inbox.List(ctx, actor, f)
	if err != nil {
		return PageOf[Notice]{}, err
	}
	return paginate(list, in.Limit, a.item, func(n *db.Notification) []string { return []string{n.ID.String()} }), nil
}

func (a notices) get(ctx context.Context, actor account.Actor, in *OneByID) (Notice, error) {
	n, err := a.Inbox.Find(ctx, actor, in.id())
	if err != nil {
		return Notice{}, err
	}
	return a.item(n), nil
}

func (a notices) readAll(ctx context.Context, actor account.Actor, _ *struct{}) error {
	return a.Inbox.ReadAll(ctx, actor)
}

type readNoticeQuery struct {
	OneByID
	Body *struct {
		Read *bool `json:"read,omitempty" doc:"false: unread. Left out: read."`
	}
}

func (a notices) read(ctx context.Context, actor account.Actor, in *readNoticeQuery) (Notice, error) {
	if err := a.Inbox.Read(ctx, actor, in.id(), in.Body == nil || in.Body.Read == nil || *in.Body.Read); err != nil {
		return Notice{}, err
	}
	return a.get(ctx, actor, &in.OneByID)
}

type starNoticeQuery struct {
	OneByID
	Body *struct {
		Starred *bool `json:"starred,omitempty" doc:"false: without a star. Left out: with one."`
	}
}

func (a notices) star(ctx context.Context, actor account.Actor, in *starNoticeQuery) (Notice, error) {
	starred := in.Body == nil || in.Body.Starred == nil || *in.Body.Starred
	if err := a.Inbox.Star(ctx, actor, in.id(), starred); err != nil {
		return Notice{}, err
	}
	return a.get(ctx, actor, &in.OneByID)
}
