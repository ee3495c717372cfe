package web

import (
	"net/http"
	"time"

	"carillon/app/account"
	"carillon/app/cron"
	"carillon/app/transcript"
	"carillon/db"
	"carillon/views"
)

// usagePages are the pages of what runs used.
type usagePages struct{ *Server }

// month reads a month like "2026-11"; nonsense is the one at present.
func (s usagePages) month(r *http.Request, actor account.Actor) (from, to, now views.Month) {
	z := zone(actor)
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
	list, err := s.Rules.Usage(r.Context(), actor, from.Start, to.Start, mostUsers)
	if err != nil {
		return err
	}
	p := views.UsagePage{
		Month: from, Everyone: actor.Can(account.ViewAll), Earlier: monthIn(zone(actor), from.Start, -1),
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
		return s.show(w, r, views.Usage(page, p))
	})
}

func usageRow(u db.UsageRow) views.UsageRow {
	row := views.UsageRow{Name: u.Name, Turns: u.Turns, Seconds: u.Seconds}
	if u.Turns == 0 { // scripts alone, which use none
		row.Tokens, row.Cost = "–", "–"
	}
	if u.Counted > 0 || u.Usage.Tokens() > 0 {
		row.Tokens = atLeast(u.Counted < u.Turns) + views.Thousands(u.Usage.Tokens())
	}
	if u.Priced > 0 || u.CostUSD > 0 {
		row.Cost = atLeast(u.Priced < u.Turns) + views.Dollars(u.CostUSD)
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

// usageText says what was used; what is unknown is not zero.
func usageText(u db.Usage) (tokens, cost string) {
	if u.Turns == 0 {
		return "–", "–"
	}
	tokens, cost = "unknown", "unknown"
	if u.Counted > 0 || u.Tokens() > 0 {
		tokens = tokenText(u.Counted < u.Turns, u.TokensIn+u.TokensCached, u.TokensCached, u.TokensOut)
	}
	if u.Priced > 0 || u.CostUSD > 0 {
		cost = atLeast(u.Priced < u.Turns) + views.Dollars(u.CostUSD)
	}
	return tokens, cost
}

// atLeast begins a sum of which a part is unknown.
func atLeast(some bool) string {
	if some {
		return "at least "
	}
	return ""
}

func usageFacts(u db.Usage) []views.Fact {
	if u.Turns == 0 {
		return nil
	}
	tokens, cost := usageText(u)
	return []views.Fact{{Label: "Tokens", Value: tokens}, {Label: "Cost", Value: cost}}
}

// usedText is what a turn used, in words. Unknown is said, never shown as nothing.
func usedText(u *transcript.Usage) string {
	if u == nil {
		return ""
	}
	told := u.Input+u.CacheRead+u.CacheWrite+u.Output > 0 || u.CostUSD > 0 // of which more may have been used
	if !u.Known && !u.CostKnown && !told {
		return "usage unknown"
	}
	text := ""
	if u.Known || told {
		text = tokenText(!u.Known, u.Input+u.CacheRead+u.CacheWrite, u.CacheRead, u.Output)
	}
	if u.CostKnown || u.CostUSD > 0 {
		if text != "" {
			text += ", "
		}
		text += views.Dollars(u.CostUSD)
	}
	return text
}

// tokenText counts tokens the one way that all pages do: all that went in, those of them that came from a cache, what
// came out.
func tokenText(some bool, all, cached, out int64) string {
	text := atLeast(some) + views.Thousands(all) + " tokens in"
	if cached > 0 {
		text += " (" + views.Thousands(cached) + " cached)"
	}
	return text + ", " + views.Thousands(out) + " out"
}
