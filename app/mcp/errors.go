package mcp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/middleware"
	"carillon/app/spec"
	"carillon/app/workflow"
	"carillon/db"
	"carillon/views"
)

// The two functions below are the one place where an error becomes an answer: refuse for who is not let in, problem for
// who is.

var errOtherSite = errors.New("this server does not answer pages of other sites")

// refuse answers a request that is not let in.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var tooMany *middleware.TooManyBadTokens
	status, text := http.StatusForbidden, err.Error()
	switch {
	case errors.Is(err, errOtherSite):
	case errors.As(err, &tooMany):
		status = http.StatusTooManyRequests
	case errors.Is(err, middleware.ErrBadToken):
		status = http.StatusUnauthorized
	default:
		s.Log.Error("let in an MCP call", "request", middleware.RequestID(r), "err", err)
		status, text = middleware.Failure(w, r, err)
	}
	writeError(w, status, text)
}

func writeError(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": text}) // fails only when the caller has gone
}

// problem is an error of a tool in words for the agent that called it.
func (c *caller) problem(ctx context.Context, tool string, err error) error {
	var invalid fault.Invalid
	var busy *automation.Busy
	var unable *automation.Unable
	var missing *workflow.MissingParameter
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
			list = append(list, fieldName(field)+": "+invalid[field])
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
		return errors.New(awayText)
	}
	return fmt.Errorf("something went wrong on our side, noted as %s", c.request)
}

// fieldName is the name in tools of what forms call otherwise.
func fieldName(field string) string { return cmp.Or(spec.FieldOf(&spec.Automation{}, field), field) }

// awayText tells an agent that the database is away. What the call was to change may have been changed: the answer
// alone may be lost.
const awayText = "the database cannot be reached at the moment: try again in " + middleware.AwaySeconds + " seconds; " +
	"if this call was to change something, look first whether it did"
