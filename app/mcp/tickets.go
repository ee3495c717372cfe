package mcp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"carillon/app/fault"
	"carillon/app/ticket"
	"carillon/db"
	"carillon/views"
)

// ticketResult is a ticket as tools show it.
type ticketResult struct {
	Number    int64     `json:"number"`
	Title     string    `json:"title"`
	Body      string    `json:"body,omitempty"`
	Status    string    `json:"status"`
	Priority  string    `json:"priority"`
	Labels    []string  `json:"labels"`
	Assignee  string    `json:"assignee,omitempty"` // e-mail address
	Workspace string    `json:"workspace"`
	URL       string    `json:"url"`
	CreatedAt time.Time `json:"created_at"`
}

func (c *caller) ticketResult(t *db.Ticket) ticketResult {
	r := ticketResult{
		Number: t.Number, Title: t.Title, Body: t.Body, Status: string(t.Status),
		Priority: ticket.PriorityWord(t.Priority), Labels: t.Labels,
		URL: c.link(views.TicketURL(t.ID.String())), CreatedAt: t.CreatedAt.UTC(),
	}
	if r.Labels == nil {
		r.Labels = []string{}
	}
	if t.Assignee != nil {
		r.Assignee = t.Assignee.Email
	}
	if t.Workspace != nil {
		r.Workspace = t.Workspace.Name
	}
	return r
}

type createTicketArgs struct {
	Workspace string   `json:"workspace,omitempty" jsonschema:"name or id of the workspace; a session leaves it out, since it has its own"`
	Title     string   `json:"title" jsonschema:"what is to be done, in a few words"`
	Body      string   `json:"body,omitempty" jsonschema:"all that is needed to do it; Markdown"`
	Priority  string   `json:"priority,omitempty" jsonschema:"urgent, high, medium (the default) or low"`
	Labels    []string `json:"labels,omitempty"`
	Assignee  string   `json:"assignee,omitempty" jsonschema:"e-mail address of a member of the workspace"`
}

type listTicketsArgs struct {
	Workspace string `json:"workspace,omitempty" jsonschema:"name or id of the workspace; a session leaves it out"`
	Status    string `json:"status,omitempty" jsonschema:"open, in_progress, done or canceled; left out: all"`
	Label     string `json:"label,omitempty"`
	Search    string `json:"search,omitempty" jsonschema:"a text in the title or the body"`
	Queue     bool   `json:"queue,omitempty" jsonschema:"in the order of the queue, the most urgent first; else the newest first"`
	After     string `json:"after,omitempty" jsonschema:"next of the answer before"`
	Limit     int    `json:"limit,omitempty" jsonschema:"at most 100; 25 when left out"`
}

type ticketList struct {
	Tickets []ticketResult `json:"tickets"`        // without their bodies: read_ticket has those
	Next    string         `json:"next,omitempty"` // there are more: pass it as after
}

type ticketArgs struct {
	Workspace string `json:"workspace,omitempty" jsonschema:"name or id of the workspace; a session leaves it out"`
	Number    int64  `json:"number"`
}

type updateTicketArgs struct {
	Workspace string    `json:"workspace,omitempty" jsonschema:"name or id of the workspace; a session leaves it out"`
	Number    int64     `json:"number"`
	Title     *string   `json:"title,omitempty"`
	Body      *string   `json:"body,omitempty" jsonschema:"the whole new body"`
	Priority  *string   `json:"priority,omitempty" jsonschema:"urgent, high, medium or low"`
	Status    *string   `json:"status,omitempty" jsonschema:"open (back into the queue), in_progress, done or canceled"`
	Labels    *[]string `json:"labels,omitempty" jsonschema:"all of its labels"`
	Assignee  *string   `json:"assignee,omitempty" jsonschema:"e-mail address of a member of the workspace; empty: nobody"`
}

func (c *caller) ticketTools(server *sdk.Server) {
	add(c, server, "create_ticket",
		"Create a ticket: something to be done, by a person or by another session. Look with list_tickets whether "+
			"there is one already.", false, c.createTicket)
	add(c, server, "list_tickets", "List the tickets of a workspace, without their bodies.", true, c.listTickets)
	add(c, server, "read_ticket", "Read a ticket by its number.", true, c.readTicket)
	add(c, server, "update_ticket",
		"Change a ticket: its status when it is done, or anything else. What is left out stays.", false, c.updateTicket)
}

func (c *caller) createTicket(ctx context.Context, in createTicketArgs) (ticketResult, error) {
	workspace, err := c.workspaceOf(ctx, in.Workspace)
	if err != nil {
		return ticketResult{}, err
	}
	assignee, err := c.person(ctx, workspace, in.Assignee)
	if err != nil {
		return ticketResult{}, err
	}
	t, err := c.server.Tickets.Create(ctx, c.actor, ticket.Input{
		Workspace: workspace.String(), Title: in.Title, Body: in.Body, Priority: in.Priority, Assignee: assignee,
		Labels: strings.Join(in.Labels, ","),
	})
	if err != nil {
		return ticketResult{}, err
	}
	return c.reloaded(ctx, t)
}

// reloaded is a ticket that was written, read with the names of what it refers to.
func (c *caller) reloaded(ctx context.Context, t *db.Ticket) (ticketResult, error) {
	t, err := c.server.Tickets.Find(ctx, c.actor, t.ID)
	if err != nil {
		return ticketResult{}, err
	}
	return c.ticketResult(t), nil
}

func (c *caller) listTickets(ctx context.Context, in listTicketsArgs) (ticketList, error) {
	f := db.TicketFilter{
		Label: in.Label, Search: in.Search, Queue: in.Queue, After: cursor(in.After), Limit: limit(in.Limit) + 1,
	}
	if in.Status != "" {
		f.Statuses = []db.TicketStatus{db.TicketStatus(in.Status)}
	}
	if in.Workspace != "" {
		var err error
		if f.Workspace, err = c.workspaceOf(ctx, in.Workspace); err != nil {
			return ticketList{}, err
		}
	}
	list, err := c.server.Tickets.List(ctx, c.actor, f)
	if err != nil {
		return ticketList{}, err
	}
	answer := ticketList{Tickets: []ticketResult{}}
	if len(list) >= f.Limit {
		list = list[:f.Limit-1]
		answer.Next = list[len(list)-1].ID.String()
	}
	for i := range list {
		answer.Tickets = append(answer.Tickets, c.ticketResult(&list[i]))
	}
	return answer, nil
}

// cursor is the id after which a list goes on. What is no id begins the list.
func cursor(text string) uuid.UUID {
	id, err := uuid.Parse(text)
	if err != nil {
		return uuid.Nil
	}
	return id
}

// limit bounds how much one answer has.
func limit(asked int) int {
	if asked <= 0 {
		return 25
	}
	return min(asked, 100)
}

func (c *caller) readTicket(ctx context.Context, in ticketArgs) (ticketResult, error) {
	t, err := c.ticketByNumber(ctx, in.Workspace, in.Number)
	if err != nil {
		return ticketResult{}, err
	}
	return c.ticketResult(t), nil
}

func (c *caller) ticketByNumber(ctx context.Context, workspace string, number int64) (*db.Ticket, error) {
	id, err := c.workspaceOf(ctx, workspace)
	if err != nil {
		return nil, err
	}
	t, err := c.server.Tickets.FindByNumber(ctx, c.actor, id, number)
	if errors.Is(err, fault.ErrNotFound) {
		return nil, fault.Invalid{"number": fmt.Sprintf("There is no ticket #%d in this workspace.", number)}
	}
	return t, err
}

func (c *caller) updateTicket(ctx context.Context, in updateTicketArgs) (ticketResult, error) {
	t, err := c.ticketByNumber(ctx, in.Workspace, in.Number)
	if err != nil {
		return ticketResult{}, err
	}
	change := ticket.Change{Title: in.Title, Body: in.Body, Priority: in.Priority, Status: in.Status}
	if in.Labels != nil {
		labels := strings.Join(*in.Labels, ",")
		change.Labels = &labels
	}
	if in.Assignee != nil {
		assignee, err := c.person(ctx, t.WorkspaceID, *in.Assignee)
		if err != nil {
			return ticketResult{}, err
		}
		change.Assignee = &assignee
	}
	if t, err = c.server.Tickets.Change(ctx, c.actor, t.ID, change); err != nil {
		return ticketResult{}, err
	}
	return c.reloaded(ctx, t)
}

// workspaceOf finds a workspace by its name or id. A session has its own and no other. A person who has one alone may
// leave it out.
func (c *caller) workspaceOf(ctx context.Context, text string) (uuid.UUID, error) {
	if c.session() && (text == "" || text == c.actor.Workspace.String()) {
		return c.actor.Workspace, nil
	}
	if c.session() {
		w, err := db.WorkspaceByID(ctx, c.server.DB, c.actor.Workspace)
		if err != nil {
			return uuid.Nil, err
		}
		if !strings.EqualFold(w.Name, text) {
			return uuid.Nil, fault.ErrNotFound
		}
		return w.ID, nil
	}
	list, err := c.server.Workspaces.List(ctx, c.actor)
	if err != nil {
		return uuid.Nil, err
	}
	var names []string
	for _, w := range list {
		if strings.EqualFold(w.Name, text) || w.ID.String() == text || text == "" && len(list) == 1 {
			return w.ID, nil
		}
		names = append(names, w.Name)
	}
	if text == "" {
		return uuid.Nil, fault.Invalid{"workspace": "Say which: " + strings.Join(names, ", ") + "."}
	}
	return uuid.Nil, fault.ErrNotFound
}

// person is the id of a workspace's member by e-mail address, as text; nobody is empty.
func (c *caller) person(ctx context.Context, workspace uuid.UUID, email string) (string, error) {
	if email = strings.TrimSpace(email); email == "" {
		return "", nil
	}
	d, err := c.server.Workspaces.Find(ctx, c.actor, workspace)
	if err != nil {
		return "", err
	}
	for _, m := range d.Members {
		if strings.EqualFold(m.Email, email) && m.DeactivatedAt.IsZero() {
			return m.ID.String(), nil
		}
	}
	return "", fault.Invalid{"assignee": "No member of this workspace has this e-mail address."}
}
