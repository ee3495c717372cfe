package web

import (
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/cron"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/db"
	"carillon/views"
)

// frame is what the shell round a page shows.
func (s *Server) frame(w http.ResponseWriter, r *http.Request, actor account.Actor, section,
	title string) (views.Page, error) {
	unread, err := s.Rules.Unread(r.Context(), actor)
	if err != nil {
		return views.Page{}, err
	}
	live, err := s.Rules.Live(r.Context(), actor)
	if err != nil {
		return views.Page{}, err
	}
	list, err := s.Rules.Workspaces(r.Context(), actor)
	if err != nil {
		return views.Page{}, err
	}
	p := views.Page{
		Title: title, Section: section, Path: r.URL.RequestURI(), Theme: actor.Theme, Unread: int(unread),
		Live:      int(live),
		User:      views.User{Name: actor.Name, Initials: initials(actor.Name), Role: actor.Role},
		Nav:       nav(),
		Workspace: s.chosenWorkspace(r),
		Toasts:    s.flashed(w, r),
		Conflict:  conflict(r),
	}
	p.Workspaces = append(p.Workspaces, views.Choice{Label: "All workspaces"})
	for _, ws := range list {
		p.Workspaces = append(p.Workspaces, views.Choice{Value: ws.ID.String(), Label: ws.Name})
	}
	return p, nil
}

// nav says which parts of the site there are.
func nav() views.Nav {
	return views.Nav{Automations: true, Sessions: true, Workflows: true, Tickets: true, Bots: true, Workspaces: true}
}

// with shows a page that the frame is part of.
func (s *Server) with(w http.ResponseWriter, r *http.Request, actor account.Actor, section, title string,
	page func(p views.Page) error) error {
	p, err := s.frame(w, r, actor, section, title)
	if err != nil {
		return err
	}
	return page(p)
}

// id reads an id from the path; a text that is none names nothing.
func id(r *http.Request) (uuid.UUID, error) {
	parsed, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return uuid.Nil, fault.ErrNotFound
	}
	return parsed, nil
}

func initials(name string) string {
	var b strings.Builder
	for _, word := range strings.Fields(name) {
		first, _ := utf8.DecodeRuneInString(word)
		if unicode.IsLetter(first) && b.Len() < 8 && utf8.RuneCountInString(b.String()) < 2 {
			b.WriteRune(unicode.ToUpper(first))
		}
	}
	if b.Len() == 0 {
		return "?"
	}
	return b.String()
}

// zone is a person's time zone; UTC when theirs is no zone any more.
func zone(actor account.Actor) *time.Location { return cron.ZoneOrUTC(actor.TimeZone) }

// in shows an instant in a zone; the zero time stays zero.
func in(t time.Time, z *time.Location) time.Time {
	if t.IsZero() {
		return t
	}
	return t.In(z)
}

func sessionTypeWord(t db.SessionType) string {
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

// providerName is a provider's name on screen.
func (s *Server) providerName(id string) string {
	for _, p := range s.Providers() {
		if p.ID == id {
			return p.Name
		}
	}
	if id == "" {
		return "–"
	}
	return id
}

// rowData is an automation as the list shows it.
func (s automationPages) rowData(actor account.Actor, a *db.AutomationRow, bars []db.Bar,
	now time.Time) views.AutomationRowData {
	z := zone(actor)
	own := cron.ZoneOrUTC(a.TimeZone)
	if a.TimeZone == "" {
		own = z
	}
	r := views.AutomationRowData{
		ID: a.ID.String(), Name: a.Name, Context: a.Workspace.Name + " · " + sessionTypeWord(a.SessionType),
		Trigger: string(a.Trigger),
		When:    automation.TriggerWords(&a.Automation), Next: in(a.NextRunAt, own), Status: a.LastStatus,
		LastAt: in(a.LastAt, z),
		Start:  in(a.LastStartedAt, z),
		End:    in(a.LastFinishedAt, z), Failures: a.FailureStreak, Exempt: !a.Scheduled(), Enabled: a.Enabled,
		AlwaysOn: a.Trigger == db.HTTP,
		InFlight: a.InFlight, Asks: a.WorkflowAsks || len(s.Rules.Names(a.Provider, a.Prompt)) > 0,
		CanManage: automation.CanManage(actor, &a.Automation), Now: now,
	}
	if r.Start.IsZero() {
		r.Start = r.LastAt
	}
	if a.InFlight && !a.AllowParallel && a.LastSessionID != uuid.Nil && db.ExecutionStatus(a.LastStatus).InFlight() {
		r.Blocking = a.LastSessionID.String()
	}
	for _, b := range bars {
		r.Runs = append(r.Runs, views.Bar{Status: b.Status, Took: b.Duration})
	}
	r.Then, r.Warning = then(a), automation.RowWarning(a)
	return r
}

// then says what comes next for an automation that has no time.
func then(a *db.AutomationRow) string {
	switch {
	case a.Trigger == db.HTTP && a.Fingerprint != "":
		return "Token " + a.Fingerprint
	case a.Trigger == db.Loop && a.Enabled && a.InFlight:
		return "When this session ends"
	case a.Trigger == db.Loop && a.Enabled:
		return "When its session is closed"
	case a.Trigger == db.OneTime && a.Enabled && a.InFlight:
		return "Running"
	}
	return "No next run"
}

// item is an execution as a list shows it.
func item(e *db.Execution, z *time.Location, now time.Time) views.ExecutionItem {
	i := views.ExecutionItem{
		ID: e.ID.String(), Status: string(e.Status), Source: string(e.Source), SourceDetail: sourceDetail(e),
		At: in(e.CreatedAt, z), Start: in(e.StartedAt, z), End: in(e.FinishedAt, z), Skips: e.SkipCount, Note: e.Reason,
		Now: now,
	}
	if e.Automation != nil {
		i.Automation = e.Automation.Name
	}
	if !e.ScheduledFor.IsZero() {
		i.At = in(e.ScheduledFor, z)
	}
	if e.SessionID != uuid.Nil {
		i.Session = e.SessionID.String()
	}
	if e.Status == db.Succeeded {
		i.Note = firstLine(e.Answer)
	} else if kind := views.FailureWord(e.ErrorClass); kind != "" && e.Reason != "" {
		i.Note = kind + ": " + e.Reason
	}
	i.Status = resultOf(e)
	i.Note = form.Capitalize(i.Note)
	return i
}

// sourceDetail says who or what fired an execution, beyond its source.
func sourceDetail(e *db.Execution) string {
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

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if utf8.RuneCountInString(line) > 120 {
		line = string([]rune(line)[:119]) + "…"
	}
	return line
}

// promptParts splits a filled prompt, so that what was filled in shows. Values are looked for in the order of the
// template.
func promptParts(e *db.Execution) []views.Part {
	var parts []views.Part
	for _, part := range automation.PromptParts(e) {
		parts = append(parts, views.Part(part))
	}
	return parts
}
