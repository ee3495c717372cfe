package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/middleware"
	"carillon/app/spec"
	"carillon/db"
	"carillon/views"
)

// maxCall is the most bytes of a message to the MCP server: a prompt in which every byte is escaped, and then some.
const maxCall = 2 << 20

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

// mcpServer answers agents and people's own tools at /mcp: MCP over streamable HTTP, without sessions of its own, so
// that every call is let in by its token, and any server of several answers.
func (s *Server) mcpServer() http.Handler {
	schemas := &toolSchemas{}
	inner := mcp.NewStreamableHTTPHandler(func(r *http.Request) *mcp.Server {
		actor, _ := r.Context().Value(mcpActor{}).(account.Actor)
		return s.tools(&mcpCaller{
			server: s, actor: actor, address: s.Proxies.Address(r), request: middleware.RequestID(r),
			token: middleware.BearerToken(r),
		}, schemas)
	}, &mcp.StreamableHTTPOptions{
		Stateless: true, JSONResponse: true, MaxRequestBodyBytes: maxCall, Logger: slog.New(slog.DiscardHandler),
		// It would refuse who comes through a proxy on the same machine. The check of the origin below is ours, and no
		// page of another site has a token.
		DisableLocalhostProtection: true,
	})
	letIn := s.Tokens.Require("mcp", s.mcpCallerOf, s.mcpRefuseToken,
		func(w http.ResponseWriter, r *http.Request, actor account.Actor) {
			inner.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), mcpActor{}, actor)))
		})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if origin := r.Header.Get("Origin"); origin != "" && origin != s.PublicURL.Scheme+"://"+s.PublicURL.Host {
			// A page whose name has been pointed at this server sends its own origin, whatever host it claims to talk
			// to.
			s.mcpRefuse(w, r, http.StatusForbidden, "this server does not answer pages of other sites")
			return
		}
		letIn(w, r)
	})
}

// mcpRefuseToken answers who is not let in.
func (s *Server) mcpRefuseToken(w http.ResponseWriter, r *http.Request, err error) {
	var tooMany *middleware.TooManyBadTokens
	switch {
	case errors.As(err, &tooMany):
		s.mcpRefuse(w, r, http.StatusTooManyRequests, err.Error())
	case errors.Is(err, middleware.ErrBadToken):
		s.mcpRefuse(w, r, http.StatusUnauthorized, err.Error())
	default:
		s.Log.Error("let in an MCP call", "request", middleware.RequestID(r), "err", err)
		status, text := middleware.Failure(w, r, err)
		s.mcpRefuse(w, r, status, text)
	}
}

type mcpActor struct{}

// mcpCallerOf is who calls: a session by its token, or a person by theirs. It returns fault.ErrNotFound for a token
// that opens nothing.
func (s *Server) mcpCallerOf(r *http.Request) (account.Actor, error) {
	if token := middleware.BearerToken(r); strings.HasPrefix(token, automation.SessionTokenPrefix) {
		return s.Rules.SessionActor(r.Context(), token)
	}
	return s.Tokens.Actor(r)
}

func (s *Server) mcpRefuse(w http.ResponseWriter, _ *http.Request, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": message})
}

// mcpCaller answers the calls of one request.
type mcpCaller struct {
	server           *Server
	actor            account.Actor
	address, request string
	token            string // by which it was let in
	schemas          *toolSchemas
}

// withoutSecrets are the arguments of a session's call as they may be stored: an agent may have read its secrets, and
// repeat them in what people and other sessions read. What is no JSON is left for who reads it.
func (c *mcpCaller) withoutSecrets(ctx context.Context, arguments json.RawMessage) (json.RawMessage, error) {
	if !c.session() || len(arguments) == 0 {
		return arguments, nil
	}
	hide, err := c.server.Rules.SessionMasker(ctx, c.actor, c.token)
	if err != nil {
		return nil, err
	}
	if masked, ok := automation.MaskJSON(hide, arguments); ok {
		return masked, nil
	}
	return arguments, nil
}

// session reports whether a session calls, not a person.
func (c *mcpCaller) session() bool { return c.actor.Session != uuid.Nil }

// tools is a server with the tools that a caller has. Whether a call is allowed is decided by the operation behind it.
func (s *Server) tools(c *mcpCaller, schemas *toolSchemas) *mcp.Server {
	instructions := forPeople
	if c.session() {
		instructions = forSessions
	}
	server := mcp.NewServer(&mcp.Implementation{
		Name: "carillon", Title: "Carillon", Version: "1", WebsiteURL: s.PublicURL.String(),
	},
		&mcp.ServerOptions{Instructions: instructions, Logger: slog.New(slog.DiscardHandler)})
	c.schemas = schemas
	c.ticketTools(server)
	if c.session() {
		c.sessionTools(server)
	}
	c.automationTools(server)
	return server
}

// told is an error in words for an agent.
func (c *mcpCaller) told(ctx context.Context, tool string, err error) error {
	var invalid fault.Invalid
	var busy *automation.Busy
	var unable *automation.Unable
	var missing *automation.MissingParameter
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fault.ErrNotFound):
		return errors.New("there is nothing like this here, or it may not be seen")
	case errors.Is(err, fault.ErrForbidden):
		account.RecordRefusal(ctx, c.actor, "lacks the permission for the tool "+tool)
		if c.session() {
			return errors.New("this session may not do that: its automation or somebody who had a word in it may not")
		}
		return errors.New("you may not do that")
	case errors.Is(err, fault.ErrStale):
		return errors.New("someone else changed it meanwhile: read it again")
	case errors.As(err, &invalid):
		var list []string
		for _, field := range slices.Sorted(maps.Keys(invalid)) {
			list = append(list, toolField(field)+": "+invalid[field])
		}
		return errors.New(strings.Join(list, " "))
	case errors.As(err, &busy):
		return fmt.Errorf("%s: %s", busy.Error(), c.link(views.SessionURL(busy.Session.String())))
	case errors.As(err, &unable):
		return fmt.Errorf("%s cannot run: %s", unable.Automation, unable.Reason)
	case errors.As(err, &missing), errors.Is(err, automation.ErrTooLarge):
		return err
	}
	c.server.Log.Error("answer an MCP call", "tool", tool, "request", c.request, "err", err)
	if db.IsUnavailable(err) {
		return errors.New(toolAway)
	}
	return fmt.Errorf("something went wrong on our side, noted as %s", c.request)
}

// toolField is the name in tools of what forms call otherwise.
func toolField(field string) string { return cmp(spec.FieldOf(&spec.Automation{}, field), field) }

// toolAway tells an agent that the database is away. What the call was to change may have been changed: the answer
// alone may be lost.
const toolAway = "the database cannot be reached at the moment: try again in " + middleware.AwaySeconds + " seconds; " +
	"if this call was to change something, look first whether it did"

// link is an address of this site in full.
func (c *mcpCaller) link(path string) string { return c.server.PublicURL.JoinPath(path).String() }
