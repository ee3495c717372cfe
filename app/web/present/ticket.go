package present

import (
	"strconv"
	"time"

	"carillon/app/ticket"
	"carillon/db"
	"carillon/views"
)

// Ticket is a ticket as a list shows it.
func Ticket(t *db.Ticket, z *time.Location, now time.Time) views.TicketItem {
	i := views.TicketItem{
		ID: t.ID.String(), Number: strconv.FormatInt(t.Number, 10), Title: t.Title, Status: string(t.Status),
		Priority: ticket.PriorityWord(t.Priority),
		Labels:   t.Labels, At: In(t.CreatedAt, z), Now: now,
	}
	if t.Assignee != nil {
		i.Assignee = t.Assignee.Name
	}
	if t.Workspace != nil {
		i.Workspace = t.Workspace.Name
	}
	return i
}

// Reports are what sessions reported, each with a link to its session if that is wanted.
func Reports(list []db.SessionReport, z *time.Location, linked bool) []views.ReportItem {
	var items []views.ReportItem
	for _, r := range list {
		item := views.ReportItem{Outcome: string(r.Outcome), Text: r.Summary, At: In(r.CreatedAt, z)}
		if linked {
			item.Session = views.Link{Text: "Session", URL: views.SessionURL(r.SessionID.String())}
		}
		items = append(items, item)
	}
	return items
}
