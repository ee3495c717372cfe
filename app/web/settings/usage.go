package settings

import (
	"net/http"
	"time"

	"carillon/app/account"
	"carillon/app/cron"
	"carillon/app/web/page"
	"carillon/app/web/present"
	"carillon/db"
	"carillon/views"
)

// usagePages are the pages of what runs used.
type usagePages struct{ *Pages }

// month reads a month like "2026-11"; nonsense is the one at present.
func (s usagePages) month(r *http.Request, actor account.Actor) (from, to, now views.Month) {
	z := page.Zone(actor)
	now = monthIn(z, s.Now().In(z), 0)
	from = now
	if t, err := time.Parse("2006-01", r.FormValue("month")); err == nil && !monthIn(z, t, 0).Start.After(now.Start) {
		from = monthIn(z, t, 0)
	}
	return from, monthIn(z, from.Start, 1), now
}

// monthIn is the month that is some months after that of a date, as a zone has it.
func monthIn(z *time.Location, of time.Time, later int) views.Month {
	return views.Month{Start: cron.Midnight(of.Year(), of.Month()+time.Month(later), 1, z)}
}

// mostUsers is how many rows of a kind the page of usage lists.
const mostUsers = 100

func (s usagePages) list(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	from, to, now := s.month(r, actor)
	list, err := s.Rules.Budgets().Usage(r.Context(), actor, from.Start, to.Start, mostUsers)
	if err != nil {
		return err
	}
	p := views.UsagePage{
		Month: from, Everyone: actor.Can(account.ViewAll), Earlier: monthIn(page.Zone(actor), from.Start, -1),
	}
	if from.Start.Before(now.Start) {
		p.Later = &to
	}
	for _, u := range list {
		row := usageRow(u)
		switch u.By {
		case "automation":
			p.Automations = append(p.Automations, row)
		case "person":
			p.People = append(p.People, row)
		case "workspace":
			p.Workspaces = append(p.Workspaces, row)
		default:
			p.Total = row
		}
	}
	return s.withSettings(w, r, actor, "Usage", func(page views.Page) error {
		return s.Show(w, r, views.Usage(page, p))
	})
}

func usageRow(u db.UsageRow) views.UsageRow {
	row := views.UsageRow{Name: u.Name, Turns: u.Turns, Seconds: u.Seconds}
	if u.Turns == 0 { // scripts alone, which use none
		row.Tokens, row.Cost = "–", "–"
	}
	if u.Counted > 0 || u.Usage.Tokens() > 0 {
		row.Tokens = present.AtLeast(u.Counted < u.Turns) + views.Thousands(u.Usage.Tokens())
	}
	if u.Priced > 0 || u.CostUSD > 0 {
		row.Cost = present.AtLeast(u.Priced < u.Turns) + views.Dollars(u.CostUSD)
	}
	switch {
	case u.Name == "" && u.By == "automation":
		row.Name = "No automation, or a deleted one"
	case u.By == "automation":
		row.URL = views.AutomationURL(u.ID.String())
	case u.By == "workspace":
		row.URL = views.WorkspaceURL(u.ID.String())
	}
	return row
}
