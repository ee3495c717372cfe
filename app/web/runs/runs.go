// Package runs has the pages of executions and sessions: their lists, each of them in full, the transcript of a
// session, and the stream that keeps an open page up to date.
package runs

import (
	"context"

	"carillon/app/middleware"
	"carillon/app/web/page"
	"carillon/views"
)

// Pages are the pages of executions and sessions, with the streams of the live ones. Init prepares them.
type Pages struct {
	*page.Site
	hub  *hub
	stop chan struct{} // closed when streams are to end
}

// Init prepares the pages for a site.
func (s *Pages) Init(site *page.Site) {
	s.Site = site
	s.hub = newHub()
	s.stop = make(chan struct{})
}

// Listen hears what changes, for live pages, until ctx is over.
func (s *Pages) Listen(ctx context.Context) error {
	return s.DB.Listen(ctx, s.Log, s.hub.wakeAll, s.Wake)
}

// CloseStreams ends the live streams, so that a server can shut down without waiting for readers.
func (s *Pages) CloseStreams() { close(s.stop) }

// Routes adds the addresses of the pages.
func (s *Pages) Routes(mux *middleware.Routes) {
	executions := executionPages{s}
	mux.HandleFunc("GET /executions", s.Page(executions.list))
	mux.HandleFunc("GET /executions/{id}", s.Page(executions.one))
	mux.HandleFunc("GET /executions/{id}/row", s.Page(executions.row))
	mux.HandleFunc("POST /executions/{id}/repetitions", s.Page(executions.repeat))
	mux.HandleFunc("POST /executions/{id}/cancellation", s.Page(executions.cancel))

	sessions := sessionPages{s}
	mux.HandleFunc("GET /sessions", s.Page(sessions.list))
	mux.HandleFunc("GET /sessions/{id}", s.Page(sessions.one))
	mux.HandleFunc("GET /sessions/{id}/row", s.Page(sessions.row))
	mux.HandleFunc("GET /sessions/{id}/head", s.Page(sessions.part(views.SessionHead)))
	mux.HandleFunc("GET /sessions/{id}/changes", s.Page(sessions.changes))
	mux.HandleFunc("GET /sessions/{id}/stream", s.Page(sessions.stream))
	mux.HandleFunc("POST /sessions/{id}/stop", s.Page(sessions.cancel))
	mux.HandleFunc("POST /sessions/{id}/completion", s.Page(sessions.complete))
	mux.HandleFunc("POST /sessions/{id}/reopening", s.Page(sessions.reopen))
	mux.HandleFunc("POST /sessions/{id}/relocation", s.Page(sessions.giveUpWorker))
	mux.HandleFunc("POST /sessions/{id}/messages", s.Page(sessions.reply))
	mux.HandleFunc("POST /sessions/{id}/messages/{message}/withdrawal", s.Page(sessions.withdraw))
	mux.HandleFunc("POST /sessions/{id}/interruption", s.Page(sessions.interrupt))
	mux.HandleFunc("POST /sessions/{id}/context", s.Page(sessions.resetContext))
	mux.HandleFunc("GET /sessions/{id}/queued", s.Page(sessions.part(views.QueuedMessages)))
	mux.HandleFunc("GET /sessions/{id}/pulls", s.Page(sessions.part(views.SessionPullRequests)))
	mux.HandleFunc("GET /sessions/{id}/steps", s.Page(sessions.part(views.SessionSteps)))
	mux.HandleFunc("GET /sessions/{id}/events.ndjson", s.Page(sessions.events))
	mux.HandleFunc("POST /sessions/{id}/pull-request", s.Page(sessions.linkPullRequest))
	mux.HandleFunc("POST /sessions/{id}/pull-request-removal", s.Page(sessions.unlinkPullRequest))
	mux.HandleFunc("POST /sessions/{id}/pull-requests", s.Page(sessions.createPullRequest))
	mux.HandleFunc("GET /sessions/{id}/tickets", s.Page(sessions.tickets))
	mux.HandleFunc("POST /sessions/{id}/tickets", s.Page(sessions.linkTicket))
}
