package api

import (
	"context"
	"net/http"
	"time"

	"carillon/app/account"
	"carillon/app/form"
	"carillon/db"
)

// QueuedMessage is a message that the agent of a session has not begun with.
type QueuedMessage struct {
	ID      string    `json:"id" format:"uuid"`
	Message string    `json:"message"`
	Author  *Named    `json:"author,omitempty"`
	At      time.Time `json:"created_at"`
}

// converseRoutes are operations on the conversation of a session.
func (a sessions) converseRoutes() {
	answers(a.Server, operation{
		method: http.MethodGet, path: "/sessions/{id}/messages", name: "listQueuedMessages", tag: sessionsTag,
		summary: "List the messages that the agent has not begun with, the next one first",
	}, a.listQueued)
	does(a.Server, operation{
		method: http.MethodDelete, path: "/sessions/{id}/messages/{message}", name: "withdrawMessage", tag: sessionsTag,
		summary: "Take a message back", about: "One that the agent has begun with stays.",
	}, func(ctx context.Context, actor account.Actor, in *oneMessage) error {
		return a.Rules.Sessions().Withdraw(ctx, actor, in.id(), form.OptionalID(in.Message))
	})
	answers(a.Server, operation{
		method: http.MethodPost, path: "/sessions/{id}/interruption", name: "interruptSession", tag: sessionsTag,
		summary: "End what the agent is doing, and keep the session open",
		about:   "What was written to it meanwhile comes next. A session that is not at work stays as it is.",
	}, a.change(a.Rules.Sessions().InterruptTurn))
	answers(a.Server, operation{
		method: http.MethodPost, path: "/sessions/{id}/context", name: "resetContext", tag: sessionsTag,
		summary: "Let the next message begin a new conversation",
		about:   "The agent forgets what was said, and keeps the worktree.",
	}, a.change(a.Rules.Sessions().ResetContext))
	answers(a.Server, operation{
		method: http.MethodPost, path: "/sessions/{id}/relocation", name: "giveUpWorker", tag: sessionsTag,
		summary: "Let another worker go on with a session",
		about:   "Of a worker that is gone for good. For administrators.",
	}, a.change(a.Rules.Sessions().GiveUpWorker))
}

type oneMessage struct {
	OneByID
	Message string `path:"message" format:"uuid"`
}

func (a sessions) listQueued(ctx context.Context, actor account.Actor, in *OneByID) (PageOf[QueuedMessage], error) {
	if _, err := a.Rules.Sessions().Find(ctx, actor, in.id()); err != nil {
		return PageOf[QueuedMessage]{}, err
	}
	list, err := db.QueuedReplies(ctx, a.DB, in.id())
	if err != nil {
		return PageOf[QueuedMessage]{}, err
	}
	return paginate(list, len(list), func(t *db.Turn) QueuedMessage { // all: a session has a bounded number of them
		m := QueuedMessage{ID: t.ID.String(), Message: t.Prompt, At: t.CreatedAt.UTC()}
		if t.Author != nil {
			m.Author = &Named{ID: t.AuthorID.String(), Name: t.Author.Name}
		}
		return m
	}, nil), nil
}
