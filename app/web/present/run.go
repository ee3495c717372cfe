// Package present turns rows into what views show of them, for the pages of several packages. It asks nothing.
package present

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"carillon/app/form"
	"carillon/db"
	"carillon/views"
)

// In shows an instant in a zone; the zero time stays zero.
func In(t time.Time, z *time.Location) time.Time {
	if t.IsZero() {
		return t
	}
	return t.In(z)
}

// SessionType is what a type of session is called.
func SessionType(t db.SessionType) string {
	switch t {
	case db.Develop:
		return "Develop"
	case db.Chat:
		return "Chat"
	case db.BotType:
		return "Bot"
	}
	return string(t)
}

// Execution is an execution as a list shows it.
func Execution(e *db.Execution, z *time.Location, now time.Time) views.ExecutionItem {
	i := views.ExecutionItem{
		ID: e.ID.String(), Status: string(e.Status), Source: string(e.Source), SourceDetail: SourceDetail(e),
		At: In(e.CreatedAt, z), Start: In(e.StartedAt, z), End: In(e.FinishedAt, z), Skips: e.SkipCount, Note: e.Reason,
		Now: now,
	}
	if e.Automation != nil {
		i.Automation = e.Automation.Name
	}
	if !e.ScheduledFor.IsZero() {
		i.At = In(e.ScheduledFor, z)
	}
	if e.SessionID != uuid.Nil {
		i.Session = e.SessionID.String()
	}
	if e.Status == db.Succeeded {
		i.Note = FirstLine(e.Answer)
	} else if kind := views.FailureWord(e.ErrorClass); kind != "" && e.Reason != "" {
		i.Note = kind + ": " + e.Reason
	}
	i.Status = Result(e)
	i.Note = form.Capitalize(i.Note)
	return i
}

// SourceDetail says who or what fired an execution, beyond its source.
func SourceDetail(e *db.Execution) string {
	var parts []string
	switch {
	case e.User != nil:
		parts = append(parts, e.User.Name)
	case e.TokenFingerprint != "":
		parts = append(parts, "token "+e.TokenFingerprint)
	}
	switch e.Mark {
	case db.LoopMark:
		if e.Iteration > 0 {
			parts = append(parts, fmt.Sprintf("iteration %d", e.Iteration))
		} else {
			parts = append(parts, "loop")
		}
	case db.CatchUpMark:
		parts = append(parts, "catch-up after downtime")
	case db.ReplayMark:
		parts = append(parts, "run again")
	}
	return strings.Join(parts, ", ")
}

// FirstLine is the first line of a text, cut where it is long.
func FirstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if utf8.RuneCountInString(line) > 120 {
		line = string([]rune(line)[:119]) + "…"
	}
	return line
}

// Result is the status of an execution as it is shown: to have found nothing to do is one of its own.
func Result(e *db.Execution) string {
	if e.Result == db.NothingToDo {
		return db.NothingToDo
	}
	return string(e.Status)
}

// Session is a session as a list shows it.
func Session(session *db.Session, z *time.Location, now time.Time) views.SessionItem {
	i := views.SessionItem{
		ID: session.ID.String(), Name: session.Title, Status: string(session.Status),
		Type:   SessionType(session.Type),
		Branch: session.Branch, At: In(session.CreatedAt, z), Start: In(session.StartedAt, z), Now: now,
	}
	if session.Status != db.SessionInProgress {
		i.End = In(session.EndedAt, z)
		if !session.EndedAt.IsZero() {
			i.At = i.End
		}
	}
	if session.Automation != nil {
		i.Automation = views.Link{
			Text: session.Automation.Name, URL: views.AutomationURL(session.AutomationID.String()),
		}
	}
	if session.Workspace != nil {
		i.Workspace = session.Workspace.Name
	}
	if session.Owner != nil {
		i.Owner = session.Owner.Name
	}
	return i
}
