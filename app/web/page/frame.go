package page

import (
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/cron"
	"carillon/app/fault"
	"carillon/views"
)

// frame is what the shell round a page shows.
func (s *Site) frame(w http.ResponseWriter, r *http.Request, actor account.Actor, section,
	title string) (views.Page, error) {
	unread, err := s.Inbox.Unread(r.Context(), actor)
	if err != nil {
		return views.Page{}, err
	}
	live, err := s.Rules.Sessions().CountActive(r.Context(), actor)
	if err != nil {
		return views.Page{}, err
	}
	list, err := s.Workspaces.List(r.Context(), actor)
	if err != nil {
		return views.Page{}, err
	}
	p := views.Page{
		Title: title, Section: section, Path: r.URL.RequestURI(), Theme: actor.Theme, Unread: int(unread),
		Live:      int(live),
		User:      views.User{Name: actor.Name, Initials: initials(actor.Name), Role: actor.Role},
		Nav:       Nav(),
		Workspace: s.ChosenWorkspace(r),
		Toasts:    s.flashed(w, r),
		Conflict:  conflict(r),
	}
	p.Workspaces = append(p.Workspaces, views.Choice{Label: "All workspaces"})
	for _, ws := range list {
		p.Workspaces = append(p.Workspaces, views.Choice{Value: ws.ID.String(), Label: ws.Name})
	}
	return p, nil
}

// Nav says which parts of the site there are.
func Nav() views.Nav {
	return views.Nav{Automations: true, Sessions: true, Workflows: true, Tickets: true, Bots: true, Workspaces: true}
}

// With shows a page that the frame is part of.
func (s *Site) With(w http.ResponseWriter, r *http.Request, actor account.Actor, section, title string,
	page func(p views.Page) error) error {
	p, err := s.frame(w, r, actor, section, title)
	if err != nil {
		return err
	}
	return page(p)
}

// ID reads an id from the path; a text that is none names nothing.
func ID(r *http.Request) (uuid.UUID, error) {
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

// Zone is a person's time zone; UTC when theirs is no zone any more.
func Zone(actor account.Actor) *time.Location { return cron.ZoneOrUTC(actor.TimeZone) }
