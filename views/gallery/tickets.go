package gallery

import (
	"strconv"
	"time"

	"carillon/views"
)

func ticketSpecimens() []Specimen {
	filters := views.TicketsPage{Now: now, CanCreate: true,
		Order: views.Field{
			Name: "order", Label: "Order", Value: "newest", Options: []views.Choice{{Value: "newest", Label: "Newest"},
				{Value: "queue", Label: "Queue"}},
		},
		Status: views.Field{Name: "status", Label: "Status", Options: []views.Choice{{Value: "open", Label: "Open"}}},
		Priority: views.Field{
			Name: "priority", Label: "Priority", Options: []views.Choice{{Value: "urgent", Label: "Urgent"}},
		},
		Assignee: views.Field{
			Name: "assignee", Label: "Assigned to", Options: []views.Choice{{Value: "me", Label: "Me"}},
		},
		Label: views.Field{Name: "label", Label: "Label", Options: []views.Choice{{Value: "qa", Label: "qa"}}},
		Workspace: views.Field{
			Name: "workspace", Label: "Workspace", Options: []views.Choice{{Value: "w1", Label: "payments-api"}},
		}}
	full, none := filters, filters
	full.Rows, full.Pager = sampleTickets(), views.Pager{Older: "?after=t35"}
	none.Filtered, none.Search, none.Label.Options = true, "nope", nil

	report := []views.ReportItem{
		{
			Outcome: "done", Text: "The time-out came from a **second** lock. Fixed in `settle.go`, with a test.",
			Session: views.Link{Text: "Session", URL: views.SessionURL("s1482")}, At: ago(20 * time.Minute),
		},
		{
			Outcome: "blocked", Text: "The sandbox of the payment provider was away.",
			Session: views.Link{Text: "Session", URL: views.SessionURL("s1471")}, At: ago(3 * time.Hour),
		},
		{Outcome: "nothing_to_do", Text: "No finding at or above `high`.", At: ago(4 * time.Hour)},
		{Outcome: "failed", Text: "The tests do not build.", At: ago(5 * time.Hour)},
	}
	items := sampleTickets()
	one := views.TicketPage{Ticket: items[1], CanManage: true, Sessions: sampleSessions()[2:3], Hidden: 1,
		Reports: report[:2],
		Body: "Seen in production on Monday:\n\n```\nPOST /refunds 504 after 30 s\n```\n\nOnly for amounts over " +
			"10,000 EUR.",
		Facts: []views.Fact{{Label: "Workspace", Value: "payments-api", URL: views.WorkspaceURL("w1")},
			{Label: "Assigned to", Value: "Mira Okafor"}, {Label: "Created", Show: views.Time(ago(9*time.Hour), now)},
			{Label: "Created in", Value: "a session", URL: views.SessionURL("s1479")}},
		Moves: []views.Action{{
			Label: "Back to the queue", Icon: "undo-2", Kind: "plain", Name: "status", Value: "open",
			URL: views.TicketActionURL("t41", "status"),
		}, {
			Label: "Mark done", Icon: "check", Kind: "primary", Name: "status", Value: "done",
			URL: views.TicketActionURL("t41", "status"),
		}},
		History: []views.Step{{
			Kind: "idle", Text: "Created by a session of Mira Okafor", At: ago(9 * time.Hour),
			URL: views.SessionURL("s1479"),
		}, {
			Kind: "run", Text: "Taken from the queue by a session of Jonas Weber", At: ago(time.Hour),
			URL: views.SessionURL("s1482"),
		}}}
	plain := views.TicketPage{
		Ticket: items[3], Facts: []views.Fact{{Label: "Workspace", Value: "payments-api"}},
		History: []views.Step{{Kind: "ok", Text: "Done by Mira Okafor", At: ago(time.Hour)}},
	}

	form := views.NewTicketForm()
	form.Workspace.Options, form.Assignee.Options = []views.Choice{{Value: "w1", Label: "payments-api"}},
		[]views.Choice{{Label: "Nobody"}, {Value: "u1", Label: "Mira Okafor"}}
	for _, p := range []string{"urgent", "high", "medium", "low"} {
		form.Priority.Options = append(form.Priority.Options,
			views.Choice{Value: p, Label: views.TicketPriorityWord(p)})
	}
	form.Priority.Value = "medium"
	edit := form
	edit.ID = "t41"
	edit.Was = "#41 Refunds over 10,000 EUR time out"
	edit.Version = "3"
	edit.Title.Error = "Say in a few words what is to be done."
	edit.Status.Value, edit.Status.Options = "open",
		[]views.Choice{{Value: "open", Label: "Open"}, {Value: "done", Label: "Done"}}

	work := views.SessionWork{
		Session: "s1482", Live: true, Now: now, Tickets: items[1:2], Created: items[:1], Reports: report[2:],
		CanLink: true, Link: views.Field{
			Name: "ticket", Label: "Link a ticket", Placeholder: "#12", Value: "#99",
			Error: "There is no ticket #99 in this workspace.",
		},
	}
	return []Specimen{
		{Name: "page-tickets", Page: views.Tickets(samplePage("Tickets", "tickets"), full)},
		{Name: "page-tickets-none", Page: views.Tickets(samplePage("Tickets", "tickets"), none)},
		{Name: "page-tickets-empty", Page: views.Tickets(samplePage("Tickets", "tickets"),
			views.TicketsPage{CanCreate: true})},
		{Name: "page-ticket", Page: views.Ticket(samplePage("#41", "tickets"), one)},
		{Name: "page-ticket-plain", Page: views.Ticket(samplePage("#37", "tickets"), plain)},
		{Name: "page-ticket-new", Page: views.EditTicket(samplePage("New ticket", "tickets"), form)},
		{Name: "page-ticket-edit", Page: views.EditTicket(samplePage("Edit ticket", "tickets"), edit)},
		{Name: "session-tickets", Body: views.SessionTickets(work)},
		{Name: "session-tickets-none", Body: views.SessionTickets(views.SessionWork{
			Session: "s1", Now: now, CanLink: true, Link: views.Field{Name: "ticket", Label: "Link a ticket"},
		})},
	}
}

func sampleTickets() []views.TicketItem {
	ticket := func(number int, title, status, priority, assignee string, labels ...string) views.TicketItem {
		return views.TicketItem{ID: "t" + strconv.Itoa(number), Number: strconv.Itoa(number), Title: title,
			Status:   status,
			Priority: priority, Assignee: assignee, Labels: labels,
			Workspace: "payments-api", At: ago(time.Duration(50-number) * time.Hour), Now: now}
	}
	return []views.TicketItem{
		ticket(42, "undici 6.19.2: high-severity advisory", "open", "urgent", "", "security", "dependencies"),
		ticket(41, "Refunds over 10,000 EUR time out", "in_progress", "high", "Mira Okafor", "qa"),
		ticket(40, "Checkout shows two currencies", "open", "medium", "Jonas Weber"),
		ticket(37, "Flaky test: TestSettlement", "done", "low", ""),
		ticket(35, "Drop the old webhook format", "canceled", "low", ""),
	}
}
