package api

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

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/middleware"
	"carillon/app/plan"
	"carillon/app/spec"
	"carillon/app/workflow"
	"carillon/db"
	"carillon/views"
)

// Problem is an error as the API answers it: RFC 9457, and beyond that a code to branch on, mistakes by field, and
// what is in the way of a run.
type Problem struct {
	Status      int            `json:"status"`
	Title       string         `json:"title" doc:"The status in words."`
	Code        string         `json:"code" enum:"bad_request,unauthorized,forbidden,not_found,method_not_allowed,not_acceptable,timeout,stale,in_flight,cannot_run,too_large,unsupported_media_type,invalid,too_many_requests,internal,unavailable" doc:"What is wrong, for programs."`
	Detail      string         `json:"detail,omitempty" doc:"What is wrong, for people."`
	Errors      []FieldProblem `json:"errors,omitempty" doc:"What is wrong with each field, of the code invalid."`
	ExecutionID string         `json:"execution_id,omitempty" format:"uuid" doc:"Of in_flight: the run that is in the way. Of cannot_run: the record of the attempt."`
	SessionID   string         `json:"session_id,omitempty" format:"uuid" doc:"Of in_flight: the session of that run."`
	SessionURL  string         `json:"session_url,omitempty" format:"uri" doc:"Of in_flight: the page of that session."`
}

// FieldProblem is a mistake in one field.
type FieldProblem struct {
	Field   string `json:"field" doc:"Path of the field in the body, such as steps.0.text; of the query, the name of the parameter."`
	Message string `json:"message"`
	File    string `json:"file,omitempty" doc:"Of a manifest: the file."`
	Line    int    `json:"line,omitempty" doc:"Of a manifest: the line in the file."`
}

func (p *Problem) Error() string  { return p.Detail }
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders says when to try again what failed while the database is away.
func (p *Problem) GetHeaders() http.Header {
	if p.Status != http.StatusServiceUnavailable {
		return nil
	}
	return http.Header{"Retry-After": {middleware.AwaySeconds}}
}

// ContentType is that of problem details.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// problemCodes are the codes of statuses that have but one.
var problemCodes = map[int]string{
	http.StatusBadRequest: "bad_request", http.StatusUnauthorized: "unauthorized", http.StatusForbidden: "forbidden",
	http.StatusNotFound:         "not_found",
	http.StatusMethodNotAllowed: "method_not_allowed", http.StatusNotAcceptable: "not_acceptable",
	http.StatusRequestTimeout:        "timeout",
	http.StatusRequestEntityTooLarge: "too_large", http.StatusUnsupportedMediaType: "unsupported_media_type",
	http.StatusUnprocessableEntity: "invalid", http.StatusTooManyRequests: "too_many_requests",
	http.StatusInternalServerError: "internal",
	http.StatusServiceUnavailable:  "unavailable",
}

// complete fills in what follows from the status.
func (p *Problem) complete() *Problem {
	p.Title = http.StatusText(p.Status)
	if p.Code == "" {
		p.Code = problemCodes[p.Status]
	}
	return p
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", p.ContentType(""))
	w.Header().Set("Cache-Control", "no-store")
	maps.Copy(w.Header(), p.GetHeaders())
	w.WriteHeader(p.complete().Status)
	_ = json.NewEncoder(w).Encode(p)
}

// maxErrors is how many mistakes of a request are told.
const maxErrors = 100

// newProblem is what the library finds wrong with a request. What was sent is not sent back: it may hold secrets.
func newProblem(status int, message string, errs ...error) huma.StatusError {
	p := &Problem{Status: status, Detail: strings.ToUpper(message[:min(1, len(message))]) + message[min(1,
		len(message)):]}
	if status == http.StatusUnprocessableEntity {
		p.Detail = "Some of this does not do."
	}
	for _, err := range errs {
		var detail *huma.ErrorDetail
		var d huma.ErrorDetailer
		switch {
		case err == nil:
			continue
		case errors.As(err, &d):
			detail = d.ErrorDetail()
		default:
			detail = &huma.ErrorDetail{Message: err.Error()}
		}
		if strings.HasPrefix(detail.Location, "path.") { // an id that is none names nothing
			return (&Problem{Status: http.StatusNotFound, Detail: "There is nothing here, or you may not see it."}).
				complete()
		}
		if status != http.StatusUnprocessableEntity { // one reason, of the whole
			p.Detail = fault.Sentence(detail.Message)
			continue
		}
		if len(p.Errors) == maxErrors {
			p.Detail = fmt.Sprintf("Some of this does not do. These are the first %d mistakes.", maxErrors)
			break
		}
		p.Errors = append(p.Errors, fieldOf(detail))
	}
	if status == http.StatusInternalServerError {
		p.Detail = "Something went wrong on our side."
	}
	return p.complete()
}

var pathSigns = strings.NewReplacer("[", ".", "]", "")

// fieldOf names the field that the library means: "body.steps[0].text" is steps.0.text.
func fieldOf(d *huma.ErrorDetail) FieldProblem {
	_, field, _ := strings.Cut(d.Location, ".")
	field = pathSigns.Replace(field)
	message := d.Message
	var missing string
	if n, _ := fmt.Sscanf(message, "expected required property %s to be present", &missing); n == 1 {
		field, message = strings.TrimPrefix(field+"."+missing, "."), "this is missing"
	}
	return FieldProblem{Field: field, Message: fault.Sentence(message)}
}

// problem is an error of an operation as an answer. It is, with newProblem, the one place where an error becomes one
// for programs.
func (s *Server) problem(ctx context.Context, err error) error {
	var invalid fault.Invalid
	var busy *automation.Busy
	var unable *automation.Unable
	var missing *workflow.MissingParameter
	p := &Problem{}
	var refused *plan.Refused
	switch r := callOf(ctx).request; {
	case errors.As(err, &refused):
		p.Status, p.Detail = http.StatusUnprocessableEntity, "Some of this does not do."
		if refused.Forbidden {
			p.Status, p.Detail = http.StatusForbidden, "You may not do all of this, or not with this token."
		}
		for _, m := range refused.Mistakes {
			p.Errors = append(p.Errors, FieldProblem{Field: m.Field, Message: m.Text, File: m.File, Line: m.Line})
		}
	case errors.Is(err, middleware.ErrBadToken):
		p.Status, p.Detail = http.StatusUnauthorized, badToken
	case errors.Is(err, fault.ErrNotFound):
		p.Status, p.Detail = http.StatusNotFound, "There is nothing here, or you may not see it."
	case errors.Is(err, fault.ErrForbidden):
		account.RecordRefusal(ctx, callOf(ctx).actor, "lacks the permission")
		p.Status, p.Detail = http.StatusForbidden, "You may not do this, or not with this token."
	case errors.Is(err, fault.ErrStale):
		p.Status, p.Code, p.Detail = http.StatusConflict, "stale",
			"Somebody else changed this since you read it. Read it again."
	case errors.As(err, &invalid):
		p.Status, p.Detail = http.StatusUnprocessableEntity, "Some of this does not do."
		for _, field := range slices.Sorted(maps.Keys(invalid)) {
			p.Errors = append(p.Errors, FieldProblem{Field: jsonField(field), Message: invalid[field]})
		}
	case errors.As(err, &missing):
		p.Status, p.Detail = http.StatusUnprocessableEntity, "Some of this does not do."
		p.Errors = []FieldProblem{{Field: "parameters." + missing.Name, Message: fault.Sentence(missing.Error())}}
	case errors.As(err, &busy):
		p.Status, p.Code, p.Detail = http.StatusConflict, "in_flight",
			fault.Sentence(busy.Error()+", so no other was started")
		p.ExecutionID, p.SessionID, p.SessionURL = idOrNone(busy.Execution), idOrNone(busy.Session),
			s.link(views.SessionURL(busy.Session.String()))
	case errors.As(err, &unable):
		p.Status, p.Code, p.Detail = http.StatusConflict, "cannot_run", "“"+unable.Automation+"” cannot run: "+
			unable.Reason+"."
		p.ExecutionID = idOrNone(unable.Execution)
	case errors.Is(err, automation.ErrTooLarge):
		p.Status, p.Detail = http.StatusRequestEntityTooLarge, fault.Sentence(err.Error())
	default:
		if ctx.Err() == nil {
			s.Log.Error("answer an API call", "method", middleware.Method(r), "path", middleware.Path(r), "request",
				middleware.RequestID(r), "err", err)
		}
		if db.IsUnavailable(err) {
			p.Status, p.Detail = http.StatusServiceUnavailable, middleware.AwayText
			break
		}
		p.Status, p.Detail = http.StatusInternalServerError, "Something went wrong on our side. It was noted as "+
			middleware.RequestID(r)+"."
	}
	return p.complete()
}

// jsonFields are the names in JSON of what forms call otherwise.
var jsonFields = map[string]string{
	"workspace": "workspace_id", "workflow": "workflow_id", "bot": "bot_id", "assignee": "assignee_id",
}

// jsonField is the path in JSON of a field that the rules name as forms do: gate_command is gate.command.
func jsonField(field string) string {
	if name, ok := jsonFields[field]; ok {
		return name
	}
	return cmp.Or(spec.FieldOf(&spec.Automation{}, field), field)
}

// idOrNone is an id, or nothing.
func idOrNone(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

// link is an address of this site in full.
func (s *Server) link(path string) string { return s.PublicURL.JoinPath(path).String() }
