package web

import (
	"net/http"
	"strings"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/cron"
	"carillon/app/form"
	"carillon/app/web/page"
	"carillon/app/web/present"
	"carillon/db"
	"carillon/views"
)

// overviewPages are the overview, whole and its live part.
type overviewPages struct{ *Server }

func (s overviewPages) whole(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	p, err := s.data(r, actor)
	if err != nil {
		return err
	}
	return s.With(w, r, actor, "overview", "Overview", func(page views.Page) error {
		return s.Show(w, r, views.Overview(page, *p))
	})
}

func (s overviewPages) now(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	p, err := s.data(r, actor)
	if err != nil {
		return err
	}
	return s.Show(w, r, views.OverviewNow(*p))
}

// overviewRows is how many lines each part of the overview has.
const overviewRows = 8

func (s overviewPages) data(r *http.Request, actor account.Actor) (*views.OverviewPage, error) {
	ctx, z := r.Context(), page.Zone(actor)
	now := s.Now().In(z)
	workspaceID := form.OptionalID(s.WorkspaceFilter(r))
	p := &views.OverviewPage{
		Now: now, Greeting: greeting(now.Hour()) + ", " + firstName(actor.Name), CanCreate: actor.Can(account.Manage),
	}
	counts, err := s.Rules.Definitions().Count(ctx, actor, db.AutomationFilter{})
	if err != nil {
		return nil, err
	}
	p.Nothing = counts.Total == 0
	sessionsIn := func(statuses ...db.SessionStatus) ([]views.SessionItem, error) {
		list, err := s.Rules.Sessions().List(ctx, actor, db.SessionFilter{
			Statuses: statuses, Workspace: workspaceID, Limit: overviewRows,
		})
		if err != nil {
			return nil, err
		}
		waits, err := s.Runs.Waits(ctx, list, z, now)
		if err != nil {
			return nil, err
		}
		var items []views.SessionItem
		for i := range list {
			item := present.Session(&list[i], z, now)
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
	failed, err := s.Rules.Runs().List(ctx, actor, db.ExecutionFilter{
		Statuses: []db.ExecutionStatus{db.Failed, db.TimedOut, db.Missed}, Workspace: workspaceID, Limit: overviewRows,
	})
	if err != nil {
		return nil, err
	}
	for i := range failed {
		p.Failed = append(p.Failed, present.Execution(&failed[i], z, now))
	}
	next, err := db.Upcoming(ctx, s.DB, actor.Access(), now.AddDate(1, 0, 0), overviewRows)
	if err != nil {
		return nil, err
	}
	for i := range next {
		a := &next[i]
		at := a.NextRunAt.In(z)
		if a.TimeZone != "" {
			at = a.NextRunAt.In(cron.ZoneOrUTC(a.TimeZone))
		}
		p.Next = append(p.Next, views.NextItem{
			Name: a.Name, URL: views.AutomationURL(a.ID.String()), When: automation.TriggerWords(a), At: at,
		})
	}
	p.Upcoming, err = automationPages(s).ahead(r, actor, now)
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
