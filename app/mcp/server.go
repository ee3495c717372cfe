// Package mcp gives agents and people's own programs tools: MCP over streamable HTTP. Each tool calls one operation of
// the rules as whoever the token stands for, and what may be done is decided there.
package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/jsontext"
	"carillon/app/middleware"
	"carillon/app/secret"
	"carillon/app/ticket"
	"carillon/app/workspace"
	"carillon/db"
)

// Server answers agents and people's own programs. Its fields are set once, in main.
type Server struct {
	DB         *db.DB
	Rules      *automation.Service
	Tickets    *ticket.Service
	Workspaces *workspace.Service
	PublicURL  *url.URL // base of links, and the one origin of pages that may call
	Tokens     *middleware.Tokens
	Log        *slog.Logger
}

// Routes adds the address of the tools.
func (s *Server) Routes(table *middleware.Routes) {
	table.Handle("/mcp", s.handler())
	table.Programs("/mcp", func(w http.ResponseWriter, _ *http.Request, status int, text string) {
		writeError(w, status, text)
	})
}

// MaxCall is the most bytes of a call: a prompt in which every byte is escaped, and then some.
const MaxCall = 2 << 20

// maxValues is how many values a call has at most: each may be a mistake that is told.
const maxValues = 20_000

// forSessions and forPeople tell an agent what this server is for.
const (
	forSessions = "Carillon runs this session. Its tools reach the tickets of the session's workspace and the people " +
		"behind it. " +
		"To work through the queue, call claim_next_ticket, do what the ticket says, call report_result, and set the " +
		"ticket's status to done with update_ticket. " +
		"When there is nothing to do, say so with report_result."
	forPeople = "Carillon automates coding agents. These tools read and change the tickets and automations that the " +
		"owner of the token may read and change."
)

// handler answers without sessions of its own, so that every call is let in by its token, and any server of several
// answers.
func (s *Server) handler() http.Handler {
	known := &schemas{}
	inner := sdk.NewStreamableHTTPHandler(func(r *http.Request) *sdk.Server {
		actor, _ := r.Context().Value(actorKey{}).(account.Actor)
		return s.tools(&caller{
			server: s, actor: actor, request: middleware.RequestID(r), token: middleware.BearerToken(r),
			schemas: known,
		})
	}, &sdk.StreamableHTTPOptions{
		Stateless: true, JSONResponse: true, MaxRequestBodyBytes: MaxCall, Logger: slog.New(slog.DiscardHandler),
		// It would refuse who comes through a proxy on the same machine. The check of the origin below is ours, and no
		// page of another site has a token.
		DisableLocalhostProtection: true,
	})
	letIn := s.Tokens.Require("mcp", s.actor, s.refuse,
		func(w http.ResponseWriter, r *http.Request, _ account.Actor) { s.callOnce(w, r, inner) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if origin := r.Header.Get("Origin"); origin != "" && origin != s.PublicURL.Scheme+"://"+s.PublicURL.Host {
			// A page whose name has been pointed at this server sends its own origin, whatever host it claims to talk
			// to.
			s.refuse(w, r, errOtherSite)
			return
		}
		letIn(w, r)
	})
}

// callOnce passes a request on that carries one message. A list of messages is refused: the library takes one from
// programs that name no version of the protocol, or an old one, and answers thousands of calls within one body at
// once. The caller is asked for again once the body is there, which may take a minute.
func (s *Server) callOnce(w http.ResponseWriter, r *http.Request, inner http.Handler) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxCall))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		writeError(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a call has at most %d bytes", tooLarge.Limit))
		return
	case err != nil:
		writeError(w, http.StatusBadRequest, "the body could not be read")
		return
	case bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")):
		writeError(w, http.StatusBadRequest, "a request carries one message: send those of a list one by one")
		return
	case !jsontext.HasAtMost(maxValues, body):
		writeError(w, http.StatusBadRequest, fmt.Sprintf("a call has at most %d values", maxValues))
		return
	}
	actor, err := s.actor(r)
	if errors.Is(err, fault.ErrNotFound) {
		err = middleware.ErrBadToken
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), actorKey{}, actor))
	r.Body = io.NopCloser(bytes.NewReader(body))
	inner.ServeHTTP(w, r)
}

type actorKey struct{}

// actor is who calls: a session by its token, or a person by theirs. It returns fault.ErrNotFound for a token that
// opens nothing.
func (s *Server) actor(r *http.Request) (account.Actor, error) {
	if token := middleware.BearerToken(r); strings.HasPrefix(token, automation.SessionTokenPrefix) {
		return s.Rules.Agents().Actor(r.Context(), token)
	}
	return s.Tokens.Actor(r)
}

// caller answers the calls of one request.
type caller struct {
	server  *Server
	actor   account.Actor
	request string // its name in the log
	token   string // by which it was let in
	schemas *schemas
}

// redacted are the arguments of a session's call as they may be stored: an agent may have read its secrets, and
// repeat them in what people and other sessions read. What is no JSON is left for who reads it.
func (c *caller) redacted(ctx context.Context, arguments json.RawMessage) (json.RawMessage, error) {
	if !c.session() || len(arguments) == 0 {
		return arguments, nil
	}
	hide, err := c.server.Rules.Agents().Masker(ctx, c.actor, c.token)
	if err != nil {
		return nil, err
	}
	if masked, ok := secret.MaskJSON(hide, arguments); ok {
		return masked, nil
	}
	return arguments, nil
}

// session reports whether a session calls, not a person.
func (c *caller) session() bool { return c.actor.Session != uuid.Nil }

// tools is a server with the tools that a caller has. Whether a call is allowed is decided by the operation behind it.
func (s *Server) tools(c *caller) *sdk.Server {
	instructions := forPeople
	if c.session() {
		instructions = forSessions
	}
	server := sdk.NewServer(&sdk.Implementation{
		Name: "carillon", Title: "Carillon", Version: "1", WebsiteURL: s.PublicURL.String(),
	},
		&sdk.ServerOptions{Instructions: instructions, Logger: slog.New(slog.DiscardHandler)})
	c.ticketTools(server)
	if c.session() {
		c.sessionTools(server)
	}
	c.automationTools(server)
	return server
}

// link is an address of this site in full.
func (c *caller) link(path string) string { return c.server.PublicURL.JoinPath(path).String() }
