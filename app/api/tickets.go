package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/ticket"
	"carillon/db"
	"carillon/views"
)

// TicketItem is a ticket as a list has it.
type TicketItem struct {
	ID        string     `json:"id" format:"uuid"`
	URL       string     `json:"url" format:"uri" doc:"Its page."`
	Number    int64      `json:"number" doc:"Counts in the workspace."`
	Workspace Named      `json:"workspace"`
	Title     string     `json:"title"`
	Priority  string     `json:"priority" enum:"urgent,high,medium,low"`
	Status    string     `json:"status" enum:"open,in_progress,done,canceled"`
	Assignee  *Named     `json:"assignee,omitempty"`
	Labels    []string   `json:"labels"`
	CreatedBy *Named     `json:"created_by,omitempty" doc:"The person, or the owner of the session that wrote it."`
	ClaimedBy string     `json:"claimed_by,omitempty" format:"uuid" doc:"The session that took it from the queue."`
	Version   int64      `json:"version" doc:"Send it along with a change."`
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
	ClosedAt  *time.Time `json:"closed_at,omitempty"`
}

// Ticket is a ticket in full.
type Ticket struct {
	TicketItem
	Body string `json:"body"`
}

// TicketFields are what may be said of a ticket. What is nil stays.
type TicketFields struct {
	Title      *string   `json:"title,omitempty"`
	Body       *string   `json:"body,omitempty"`
	Priority   *string   `json:"priority,omitempty" enum:"urgent,high,medium,low"`
	Status     *string   `json:"status,omitempty" enum:"open,in_progress,done,canceled"`
	AssigneeID *string   `json:"assignee_id,omitempty" doc:"A member of the workspace. Empty: nobody."`
	Labels     *[]string `json:"labels,omitempty" doc:"As a whole."`
}

// NewTicket is a ticket to make.
type NewTicket struct {
	TicketFields
	WorkspaceID string `json:"workspace_id" format:"uuid" doc:"A ticket stays in its workspace."`
}

// TicketChange is a change of a ticket.
type TicketChange struct {
	TicketFields
	Version int64 `json:"version" minimum:"1" doc:"The version that was read."`
}

const ticketsTag = "Tickets"

// tickets are the operations on tickets.
type tickets struct{ *Server }

func (a tickets) routes() {
	answers(a.Server, operation{
		method: http.MethodGet, path: "/tickets", name: "listTickets", tag: ticketsTag,
		summary: "List tickets, the newest first or as the queue has them",
	}, a.list)
	creates(a.Server, operation{
		method: http.MethodPost, path: "/tickets", name: "createTicket", tag: ticketsTag, summary: "Create a ticket",
	}, a.create)
	answers(a.Server, operation{
		method: http.MethodGet, path: "/tickets/{id}", name: "getTicket", tag: ticketsTag, summary: "Get a ticket",
	}, a.get)
	answers(a.Server, operation{
		method: http.MethodPatch, path: "/tickets/{id}", name: "updateTicket", tag: ticketsTag,
		summary: "Change a ticket", about: "What is left out stays.",
	}, a.update)
	does(a.Server, operation{
		method: http.MethodPost, path: "/sessions/{id}/tickets", name: "linkTicket", tag: ticketsTag,
		summary: "Note that a session works on a ticket of its workspace",
	}, func(ctx context.Context, actor account.Actor, in *linkTicketQuery) error {
		return a.Tickets.Link(ctx, actor, in.id(), in.Body.Number)
	})
	does(a.Server, operation{
		method: http.MethodDelete, path: "/tickets/{id}/sessions/{session}", name: "unlinkTicket", tag: ticketsTag,
		summary: "Take the link between a ticket and a session away",
		about:   "A ticket that the session has claimed stays.",
	}, func(ctx context.Context, actor account.Actor, in *unlinkTicketQuery) error {
		return a.Tickets.Unlink(ctx, actor, in.id(), form.OptionalID(in.Session))
	})
}

type linkTicketQuery struct {
	OneByID
	Body struct {
		Number int64 `json:"number" minimum:"1" doc:"Of the ticket, in the session's workspace."`
	}
}

type unlinkTicketQuery struct {
	OneByID
	Session string `path:"session" format:"uuid"`
}

type listTicketsQuery struct {
	ListQuery
	Workspace string   `query:"workspace_id" format:"uuid"`
	Status    []string `query:"status" enum:"open,in_progress,done,canceled" doc:"Of these; commas between them."`
	Priority  string   `query:"priority" enum:"urgent,high,medium,low"`
	Assignee  string   `query:"assignee_id" format:"uuid"`
	Label     string   `query:"label" maxLength:"100"`
	Search    string   `query:"search" maxLength:"500" doc:"A text in the title or the body, or # and a number."`
	Queue     bool     `query:"queue" doc:"In the order of the queue: the most urgent, then the oldest."`
}

func (a tickets) item(t *db.Ticket) TicketItem {
	item := TicketItem{
		ID: t.ID.String(), URL: a.link(views.TicketURL(t.ID.String())), Number: t.Number,
		Workspace: Named{ID: t.WorkspaceID.String()}, Title: t.Title,
		Priority: ticket.PriorityWord(t.Priority), Status: string(t.Status),
		Labels: append([]string{}, t.Labels...), ClaimedBy: idOrNone(t.ClaimedBy), Version: t.Version,
		CreatedAt: t.CreatedAt.UTC(), UpdatedAt: t.UpdatedAt.UTC(), ClosedAt: moment(t.ClosedAt),
	}
	if t.Workspace != nil {
		item.Workspace.Name = t.Workspace.Name
	}
	if t.Assignee != nil {
		item.Assignee = &Named{ID: t.AssigneeID.String(), Name: t.Assignee.Name}
	}
	if t.Author != nil {
		item.CreatedBy = &Named{ID: t.CreatedBy.String(), Name: t.Author.Name}
	}
	return item
}

func (a tickets) list(ctx context.Context, actor account.Actor,
	in *listTicketsQuery) (PageOf[TicketItem], error) {
	f := db.TicketFilter{
		Workspace: form.OptionalID(in.Workspace), Priority: ticket.ParsePriority(in.Priority),
		Assignee: form.OptionalID(in.Assignee), Label: in.Label, Search: in.Search,
		Queue: in.Queue, Limit: in.Limit + 1,
	}
	for _, status := range in.Status {
		f.Statuses = append(f.Statuses, db.TicketStatus(status))
	}
	var err error
	if f.After, err = in.afterID(); err != nil {
		return PageOf[TicketItem]{}, err
	}
	list, err := a.Tickets.List(ctx, actor, f)
	if err != nil {
		return PageOf[TicketItem]{}, err
	}
	return paginate(list, in.Limit, a.item, func(t *db.Ticket) []string { return []string{t.ID.String()} }), nil
}

func (a tickets) get(ctx context.Context, actor account.Actor, in *OneByID) (Ticket, error) {
	t, err := a.Tickets.Find(ctx, actor, in.id())
	if err != nil {
		return Ticket{}, err
	}
	return Ticket{TicketItem: a.item(t), Body: t.Body}, nil
}

// into puts what was said over what is there.
func (f *TicketFields) into(in *ticket.Input) error {
	set(&in.Title, f.Title)
	set(&in.Body, f.Body)
	set(&in.Priority, f.Priority)
	set(&in.Status, f.Status)
	set(&in.Assignee, f.AssigneeID)
	if f.Labels != nil {
		if i := slices.IndexFunc(*f.Labels, func(l string) bool { return strings.Contains(l, ",") }); i >= 0 {
			return fault.Invalid{fmt.Sprintf("labels.%d", i): "A label has no comma."}
		}
		in.Labels = strings.Join(*f.Labels, ",")
	}
	return nil
}

type createTicketQuery struct{ Body NewTicket }

func (a tickets) create(ctx context.Context, actor account.Actor,
	in *createTicketQuery) (Ticket, string, error) {
	input := ticket.Input{Workspace: in.Body.WorkspaceID}
	if err := in.Body.into(&input); err != nil {
		return Ticket{}, "", err
	}
	t, err := a.Tickets.Create(ctx, actor, input)
	if err != nil {
		return Ticket{}, "", err
	}
	full, err := a.get(ctx, actor, &OneByID{t.ID.String()})
	return full, "tickets/" + t.ID.String(), err
}

type updateTicketQuery struct {
	OneByID
	Body TicketChange
}

func (a tickets) update(ctx context.Context, actor account.Actor, in *updateTicketQuery) (Ticket, error) {
	was, err := a.Tickets.Find(ctx, actor, in.id())
	if err != nil {
		return Ticket{}, err
	}
	input := ticket.Typed(was)
	if err := in.Body.into(&input); err != nil {
		return Ticket{}, err
	}
	input.Version = in.Body.Version
	if _, err := a.Tickets.Update(ctx, actor, was.ID, input); err != nil {
		return Ticket{}, err
	}
	return a.get(ctx, actor, &in.OneByID)
}
