package web

import (
	"net/http"
	"strings"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/db"
	"carillon/views"
	"carillon/views/gallery"
)

func (s *Server) overview(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	p, err := s.overviewPage(r, actor)
	if err != nil {
		return err
	}
	return s.with(w, r, actor, "overview", "Overview", func(page views.Page) error {
		return s.show(w, r, views.Overview(page, *p))
	})
}

func (s *Server) overviewNow(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	p, err := s.overviewPage(r, actor)
	if err != nil {
		return err
	}
	return s.show(w, r, views.OverviewNow(*p))
}

// overviewRows is how many lines each part of the overview has.
const overviewRows = 8

func (s *Server) overviewPage(r *http.Request, actor account.Actor) (*views.OverviewPage, error) {
	ctx, z := r.Context(), zone(actor)
	now := s.Now().In(z)
	workspaceID := optionalID(s.workspaceFilter(r))
	p := &views.OverviewPage{
		Now: now, Greeting: greeting(now.Hour()) + ", " + firstName(actor.Name), CanCreate: actor.Can(account.Manage),
	}
	counts, err := s.Rules.Count(ctx, actor, db.AutomationFilter{})
	if err != nil {
		return nil, err
	}
	p.Nothing = counts.Total == 0
	sessionsIn := func(statuses ...db.SessionStatus) ([]views.SessionItem, error) {
		list, err := s.Rules.Sessions(ctx, actor, db.SessionFilter{
			Statuses: statuses, Workspace: workspaceID, Limit: overviewRows,
		})
		if err != nil {
			return nil, err
		}
		waits, err := s.waits(ctx, list, z, now)
		if err != nil {
			return nil, err
		}
		var items []views.SessionItem
		for i := range list {
			item := sessionItem(&list[i], z, now)
			item.Waits = waits[list[i].ID]
			items = append(items, item)
		}
		return items, nil
	}
	if p.Running, err = sessionsIn(db.SessionInProgress, db.SessionQueued); err != nil {
		return nil, err
	}
	if p.Waiting, err = sessionsIn(db.SessionWaiting); err != nil {
		return nil, err
	}
	failed, err := s.Rules.Executions(ctx, actor, db.ExecutionFilter{
		Statuses: []db.ExecutionStatus{db.Failed, db.TimedOut, db.Missed}, Workspace: workspaceID, Limit: overviewRows,
	})
	if err != nil {
		return nil, err
	}
	for i := range failed {
		p.Failed = append(p.Failed, item(&failed[i], z, now))
	}
	next, err := db.Upcoming(ctx, s.DB, actor.Access(), now.AddDate(1, 0, 0), overviewRows)
	if err != nil {
		return nil, err
	}
	for i := range next {
		a := &next[i]
		at := a.NextRunAt.In(z)
		if a.TimeZone != "" {
			at = a.NextRunAt.In(zoneNamed(a.TimeZone))
		}
		p.Next = append(p.Next, views.NextItem{
			Name: a.Name, URL: views.AutomationURL(a.ID.String()), When: when(a), At: at,
		})
	}
	p.Ahead, err = s.ahead(r, actor, now)
	return p, err
}

func greeting(hour int) string {
	switch {
	case hour < 5:
		return "Good night"
	case hour < 12:
		return "Good morning"
	case hour < 18:
		return "Good afternoon"
	}
	return "Good evening"
}

func firstName(name string) string {
	first, _, _ := strings.Cut(name, " ")
	return first
}

// The workspace that lists are narrowed to is kept in a cookie of its own: it is a filter, no secret.
const workspaceCookie = "carillon-workspace"

func (s *Server) chosenWorkspace(r *http.Request) string {
	c, err := r.Cookie(workspaceCookie)
	if err != nil || optionalID(c.Value) == uuid.Nil {
		return ""
	}
	return c.Value
}

// workspaceFilter is what a list is narrowed to: by its address, else by the choice kept.
func (s *Server) workspaceFilter(r *http.Request) string {
	if r.URL.Query().Has("workspace") {
		return r.FormValue("workspace")
	}
	return s.chosenWorkspace(r)
}

// workspaceField is the filter by workspace.
func (s *Server) workspaceField(r *http.Request, actor account.Actor, chosen uuid.UUID) (views.Field, error) {
	list, err := s.Rules.Workspaces(r.Context(), actor)
	if err != nil {
		return views.Field{}, err
	}
	f := views.Field{Name: "workspace", Label: "Workspace", Options: []views.Choice{{Label: "Workspace"}}}
	if chosen != uuid.Nil {
		f.Value = chosen.String()
	}
	for _, ws := range list {
		f.Options = append(f.Options, views.Choice{Value: ws.ID.String(), Label: ws.Name})
	}
	return f, nil
}

func (s *Server) chooseWorkspace(w http.ResponseWriter, r *http.Request, _ account.Actor) error {
	c := &http.Cookie{
		Name: workspaceCookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: s.PublicURL.Scheme == "https", MaxAge: 365 * 24 * 3600,
	}
	if chosen := optionalID(r.PostFormValue("workspace")); chosen != uuid.Nil {
		c.Value = chosen.String()
	} else {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
	http.Redirect(w, r, back(r, "/"), http.StatusSeeOther)
	return nil
}

func (s *Server) chooseTheme(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	if err := s.Accounts.SetTheme(r.Context(), actor, r.PostFormValue("theme")); err != nil {
		return err
	}
	http.Redirect(w, r, back(r, "/"), http.StatusSeeOther)
	return nil
}

func (s *Server) gallery(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.with(w, r, actor, "gallery", "Components", func(page views.Page) error {
		return s.show(w, r, gallery.Page(page, gallery.Specimens()))
	})
}

func (s *Server) nowhere(http.ResponseWriter, *http.Request, account.Actor) error {
	return fault.ErrNotFound
}
