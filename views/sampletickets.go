package views

import (
	"strconv"
	"time"
)

func sampleTickets() []TicketItem {
	ticket := func(number int, title, status, priority, assignee string, labels ...string) TicketItem {
		return TicketItem{ID: "t" + strconv.Itoa(number), Number: strconv.Itoa(number), Title: title, Status: status,
			Priority: priority, Assignee: assignee, Labels: labels,
			Workspace: "payments-api", At: ago(time.Duration(50-number) * time.Hour), Now: galleryNow}
	}
	return []TicketItem{
		ticket(42, "undici 6.19.2: high-severity advisory", "open", "urgent", "", "security", "dependencies"),
		ticket(41, "Refunds over 10,000 EUR time out", "in_progress", "high", "Mira Okafor", "qa"),
		ticket(40, "Checkout shows two currencies", "open", "medium", "Jonas Weber"),
		ticket(37, "Flaky test: TestSettlement", "done", "low", ""),
		ticket(35, "Drop the old webhook format", "canceled", "low", ""),
	}
}

func ticketSpecimens() []Specimen {
	now := galleryNow
	filters := TicketsPage{Now: now, CanCreate: true,
		Order: Field{
			Name: "order", Label: "Order", Value: "newest", Options: []Choice{{Value: "newest", Label: "Newest"},
				{Value: "queue", Label: "Queue"}},
		},
		Status:   Field{Name: "status", Label: "Status", Options: []Choice{{Value: "open", Label: "Open"}}},
		Priority: Field{Name: "priority", Label: "Priority", Options: []Choice{{Value: "urgent", Label: "Urgent"}}},
		Assignee: Field{Name: "assignee", Label: "Assigned to", Options: []Choice{{Value: "me", Label: "Me"}}},
		Label:    Field{Name: "label", Label: "Label", Options: []Choice{{Value: "qa", Label: "qa"}}},
		Workspace: Field{
			Name: "workspace", Label: "Workspace", Options: []Choice{{Value: "w1", Label: "payments-api"}},
		}}
	full, none := filters, filters
	full.Rows, full.Pager = sampleTickets(), Pager{Older: "?after=t35"}
	none.Filtered, none.Search, none.Label.Options = true, "nope", nil

	report := []ReportItem{
		{
			Outcome: "done", Text: "The time-out came from a **second** lock. Fixed in `settle.go`, with a test.",
			Session: Link{"Session", SessionURL("s1482")}, At: ago(20 * time.Minute),
		},
		{
			Outcome: "blocked", Text: "The sandbox of the payment provider was away.",
			Session: Link{"Session", SessionURL("s1471")}, At: ago(3 * time.Hour),
		},
		{Outcome: "nothing_to_do", Text: "No finding at or above `high`.", At: ago(4 * time.Hour)},
		{Outcome: "failed", Text: "The tests do not build.", At: ago(5 * time.Hour)},
	}
	items := sampleTickets()
	one := TicketPage{Ticket: items[1], CanManage: true, Sessions: sampleSessions()[2:3], Hidden: 1,
		Reports: report[:2],
		Body: "Seen in production on Monday:\n\n```\nPOST /refunds 504 after 30 s\n```\n\nOnly for amounts over " +
			"10,000 EUR.",
		Facts: []Fact{{Label: "Workspace", Value: "payments-api", URL: WorkspaceURL("w1")},
			{Label: "Assigned to", Value: "Mira Okafor"}, {Label: "Created", Show: Time(ago(9*time.Hour), now)},
			{Label: "Created in", Value: "a session", URL: SessionURL("s1479")}},
		Moves: []Action{{
			Label: "Back to the queue", Icon: "undo-2", Kind: "plain", Name: "status", Value: "open",
			URL: TicketActionURL("t41", "status"),
		}, {
			Label: "Mark done", Icon: "check", Kind: "primary", Name: "status", Value: "done",
			URL: TicketActionURL("t41", "status"),
		}},
		History: []Step{{
			Kind: "idle", Text: "Created by a session of Mira Okafor", At: ago(9 * time.Hour), URL: SessionURL("s1479"),
		}, {
			Kind: "run", Text: "Taken from the queue by a session of Jonas Weber", At: ago(time.Hour),
			URL: SessionURL("s1482"),
		}}}
	plain := TicketPage{
		Ticket: items[3], Facts: []Fact{{Label: "Workspace", Value: "payments-api"}},
		History: []Step{{Kind: "ok", Text: "Done by Mira Okafor", At: ago(time.Hour)}},
	}

	form := NewTicketForm()
	form.Workspace.Options, form.Assignee.Options = []Choice{{Value: "w1", Label: "payments-api"}},
		[]Choice{{Label: "Nobody"}, {Value: "u1", Label: "Mira Okafor"}}
	for _, p := range []string{"urgent", "high", "medium", "low"} {
		form.Priority.Options = append(form.Priority.Options, Choice{Value: p, Label: TicketPriorityWord(p)})
	}
	form.Priority.Value = "medium"
	edit := form
	edit.ID, edit.Was, edit.Version, edit.Title.Error = "t41", "#41 Refunds over 10,000 EUR time out", "3",
		"Say in a few words what is to be done."
	edit.Status.Value, edit.Status.Options = "open",
		[]Choice{{Value: "open", Label: "Open"}, {Value: "done", Label: "Done"}}

	work := SessionWork{
		Session: "s1482", Live: true, Now: now, Tickets: items[1:2], Created: items[:1], Reports: report[2:],
		CanLink: true, Link: Field{
			Name: "ticket", Label: "Link a ticket", Placeholder: "#12", Value: "#99",
			Error: "There is no ticket #99 in this workspace.",
		},
	}
	templates, begun := newForm(), newForm()
	templates.Starts = Patterns()
	begun.Name.Value, begun.Trigger.Value, begun.ExecutionType.Value = "Continuous QA loop", "loop", "workflow"
	begun.MissingWorkflow = Link{"Pick the next ticket from the queue and run QA checks", WorkflowNewURL("qa-loop")}
	return []Specimen{
		{Name: "page-tickets", Page: Tickets(samplePage("Tickets", "tickets"), full)},
		{Name: "page-tickets-none", Page: Tickets(samplePage("Tickets", "tickets"), none)},
		{Name: "page-tickets-empty", Page: Tickets(samplePage("Tickets", "tickets"), TicketsPage{CanCreate: true})},
		{Name: "page-ticket", Page: Ticket(samplePage("#41", "tickets"), one)},
		{Name: "page-ticket-plain", Page: Ticket(samplePage("#37", "tickets"), plain)},
		{Name: "page-ticket-new", Page: EditTicket(samplePage("New ticket", "tickets"), form)},
		{Name: "page-ticket-edit", Page: EditTicket(samplePage("Edit ticket", "tickets"), edit)},
		{Name: "page-automation-new-templates", Page: EditAutomation(samplePage("New automation", "automations"),
			templates)},
		{Name: "page-automation-new-template", Page: EditAutomation(samplePage("New automation", "automations"),
			begun)},
		{Name: "session-tickets", Body: SessionTickets(work)},
		{Name: "session-tickets-none", Body: SessionTickets(SessionWork{
			Session: "s1", Now: now, CanLink: true, Link: Field{Name: "ticket", Label: "Link a ticket"},
		})},
	}
}
