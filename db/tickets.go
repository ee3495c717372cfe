package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Ticket is something to be done in a workspace, by a person or by a session.
type Ticket struct {
	bun.BaseModel `bun:"table:tickets,alias:tk"`

	ID             uuid.UUID    `bun:"id,pk,type:uuid"`
	WorkspaceID    uuid.UUID    `bun:"workspace_id,type:uuid"`
	Number         int64        `bun:"number"` // counts in the workspace, from 1
	Title          string       `bun:"title"`
	Body           string       `bun:"body"`
	Priority       Priority     `bun:"priority"`
	Status         TicketStatus `bun:"status"`
	AssigneeID     uuid.UUID    `bun:"assignee_id,nullzero,type:uuid"`
	Labels         []string     `bun:"labels,array"`
	CreatedBy      uuid.UUID    `bun:"created_by,nullzero,type:uuid"`
	CreatedSession uuid.UUID    `bun:"created_session,nullzero,type:uuid"` // zero: a person wrote it
	ClaimedBy      uuid.UUID    `bun:"claimed_by,nullzero,type:uuid"`      // the session that took it from the queue
	Version        int64        `bun:"version"`
	CreatedAt      time.Time    `bun:"created_at"`
	UpdatedAt      time.Time    `bun:"updated_at"`
	ClosedAt       time.Time    `bun:"closed_at,nullzero"`

	Workspace *Workspace `bun:"rel:belongs-to,join:workspace_id=id"`
	Assignee  *User      `bun:"rel:belongs-to,join:assignee_id=id"`
	Author    *User      `bun:"rel:belongs-to,join:created_by=id"`
}

// TicketStatus is the state of a ticket.
type TicketStatus string

// Closed reports whether the ticket is done or canceled.
func (s TicketStatus) Closed() bool { return s == TicketDone || s == TicketCanceled }

// The statuses of a ticket. An open one is in the queue.
const (
	TicketOpen       TicketStatus = "open"
	TicketInProgress TicketStatus = "in_progress"
	TicketDone       TicketStatus = "done"
	TicketCanceled   TicketStatus = "canceled"
)

// Priority is the order of tickets in the queue, the smallest first.
type Priority int

// The priorities, the first in the queue first.
const (
	Urgent Priority = 1
	High   Priority = 2
	Medium Priority = 3
	Low    Priority = 4
)

// selectTickets selects tickets with the columns of a list.
func selectTickets(q bun.IDB, model any) *bun.SelectQuery {
	return q.NewSelect().Model(model).Relation("Workspace").Relation("Assignee").Relation("Author")
}

// TicketByID finds a ticket with its workspace, its assignee and its author.
func TicketByID(ctx context.Context, q bun.IDB, id uuid.UUID) (*Ticket, error) {
	var t Ticket
	if err := selectTickets(q, &t).Where("tk.id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("find ticket %s: %w", id, err)
	}
	return &t, nil
}

// TicketByNumber finds a workspace's ticket by its number.
func TicketByNumber(ctx context.Context, q bun.IDB, workspace uuid.UUID, number int64) (*Ticket, error) {
	var t Ticket
	if err := selectTickets(q, &t).Where("tk.workspace_id = ?", workspace).Where("tk.number = ?", number).
		Scan(ctx); err != nil {
		return nil, fmt.Errorf("find ticket #%d of workspace %s: %w", number, workspace, err)
	}
	return &t, nil
}

// LockTicket finds a ticket and locks it until the transaction ends.
func LockTicket(ctx context.Context, tx bun.Tx, id uuid.UUID) (*Ticket, error) {
	var t Ticket
	if err := tx.NewSelect().Model(&t).Where("tk.id = ?", id).For("NO KEY UPDATE").Scan(ctx); err != nil {
		return nil, fmt.Errorf("lock ticket %s: %w", id, err)
	}
	return &t, nil
}

// TicketFilter narrows a list of tickets. Zero fields do not narrow.
type TicketFilter struct {
	Access    Access // members of a workspace see all its tickets
	Statuses  []TicketStatus
	Priority  Priority
	Workspace uuid.UUID
	Assignee  uuid.UUID
	Unclaimed bool // nobody is assigned
	Label     string
	Search    string    // in title or body, or "#" and a number
	Queue     bool      // in the order of the queue, else the newest first
	After     uuid.UUID // keyset: the last ticket seen
	Limit     int
}

func (f TicketFilter) apply(sel *bun.SelectQuery) *bun.SelectQuery {
	sel = f.Access.within(sel, "tk")
	if len(f.Statuses) > 0 {
		sel = sel.Where("tk.status IN (?)", bun.List(f.Statuses))
	}
	if f.Priority != 0 {
		sel = sel.Where("tk.priority = ?", f.Priority)
	}
	if f.Workspace != uuid.Nil {
		sel = sel.Where("tk.workspace_id = ?", f.Workspace)
	}
	if f.Assignee != uuid.Nil {
		sel = sel.Where("tk.assignee_id = ?", f.Assignee)
	}
	if f.Unclaimed {
		sel = sel.Where("tk.assignee_id IS NULL")
	}
	if f.Label != "" {
		sel = sel.Where("? = ANY(tk.labels)", f.Label)
	}
	if f.Search != "" {
		like := containing(f.Search)
		sel = sel.Where("(tk.title ILIKE ? OR tk.body ILIKE ? OR '#' || tk.number::text = ?)", like, like, f.Search)
	}
	return sel
}

// Tickets lists tickets without their bodies, the newest first or in the order of the queue.
func Tickets(ctx context.Context, q bun.IDB, f TicketFilter) ([]Ticket, error) {
	var list []Ticket
	sel := f.apply(selectTickets(q, &list).ExcludeColumn("body")).Limit(int64(f.Limit))
	switch {
	case f.Queue:
		sel = sel.OrderExpr("tk.priority, tk.id")
		if f.After != uuid.Nil {
			sel = sel.Where("(tk.priority, tk.id) > (SELECT c.priority, c.id FROM tickets c WHERE c.id = ?)", f.After)
		}
	default:
		sel = sel.OrderExpr("tk.id DESC")
		if f.After != uuid.Nil {
			sel = sel.Where("tk.id < ?", f.After)
		}
	}
	if err := sel.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list tickets: %w", err)
	}
	return list, nil
}

// TicketsOfSession lists the tickets that a session worked on, the newest link first.
func TicketsOfSession(ctx context.Context, q bun.IDB, session uuid.UUID) ([]Ticket, error) {
	var list []Ticket
	err := selectTickets(q, &list).Join("JOIN ticket_sessions AS ts ON ts.ticket_id = tk.id").
		Where("ts.session_id = ?", session).
		OrderExpr("ts.created_at DESC, tk.id DESC").Limit(100).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list tickets of session %s: %w", session, err)
	}
	return list, nil
}

// TicketsCreatedIn lists the tickets that a session created, in their order.
func TicketsCreatedIn(ctx context.Context, q bun.IDB, session uuid.UUID) ([]Ticket, error) {
	var list []Ticket
	if err := selectTickets(q, &list).Where("tk.created_session = ?", session).OrderExpr("tk.id").Limit(100).
		Scan(ctx); err != nil {
		return nil, fmt.Errorf("list tickets created in session %s: %w", session, err)
	}
	return list, nil
}

// CountTicketsCreatedIn counts the tickets that a session created.
func CountTicketsCreatedIn(ctx context.Context, q bun.IDB, session uuid.UUID) (int, error) {
	n, err := q.NewSelect().Model((*Ticket)(nil)).Where("tk.created_session = ?", session).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("count tickets created in session %s: %w", session, err)
	}
	return int(n), nil
}

// ClaimTicket takes the first ticket of a workspace's queue for a session: the oldest of the most urgent open tickets,
// with a label unless that is empty. Several sessions may claim at once; each ticket goes to one of them. It returns
// nil when there is none.
func ClaimTicket(
	ctx context.Context, tx bun.Tx, workspace, session uuid.UUID, label string, now time.Time,
) (*Ticket, error) {
	var t Ticket
	err := tx.NewRaw(`UPDATE tickets SET status = 'in_progress', claimed_by = ?, updated_at = ?, version = version + 1
		WHERE id = (
			SELECT id FROM tickets WHERE workspace_id = ? AND status = 'open' AND (? = '' OR ? = ANY(labels))
			ORDER BY priority, number LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
		) RETURNING *`, session, now, workspace, label, label).Scan(ctx, &t)
	if IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("claim a ticket of workspace %s: %w", workspace, err)
	}
	return &t, nil
}

// ClaimedTicket finds the ticket that a session has taken from the queue and not finished. It returns nil when there is
// none.
func ClaimedTicket(ctx context.Context, q bun.IDB, session uuid.UUID) (*Ticket, error) {
	var t Ticket
	err := selectTickets(q, &t).Where("tk.claimed_by = ?", session).Scan(ctx)
	if IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find claimed ticket of session %s: %w", session, err)
	}
	return &t, nil
}

// AssigneesOfSession lists the assignees of the tickets that a session worked on, each once.
func AssigneesOfSession(ctx context.Context, q bun.IDB, session uuid.UUID) ([]uuid.UUID, error) {
	var ids []uuid.UUID
	err := q.NewRaw(`SELECT DISTINCT tk.assignee_id FROM tickets tk JOIN ticket_sessions ts ON ts.ticket_id = tk.id
		WHERE ts.session_id = ? AND tk.assignee_id IS NOT NULL`, session).Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("list assignees of session %s: %w", session, err)
	}
	return ids, nil
}

// TicketLabels lists, by name, the labels of the newest tickets of a workspace, or of all workspaces that a person may
// see.
func TicketLabels(ctx context.Context, q bun.IDB, v Access, workspace uuid.UUID, limit int) ([]string, error) {
	var list []string
	newest := v.within(q.NewSelect().TableExpr("tickets AS tk"), "tk").ColumnExpr("tk.labels").OrderExpr("tk.id DESC").
		Limit(2000)
	if workspace != uuid.Nil {
		newest = newest.Where("tk.workspace_id = ?", workspace)
	}
	err := q.NewSelect().TableExpr("(?) AS newest, unnest(newest.labels) AS label", newest).
		ColumnExpr("DISTINCT label").OrderExpr("label").Limit(int64(limit)).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("list labels: %w", err)
	}
	return list, nil
}

// InsertTicket writes a new ticket.
func InsertTicket(ctx context.Context, q bun.IDB, t *Ticket) error {
	if _, err := q.NewInsert().Model(t).Exec(ctx); err != nil {
		return fmt.Errorf("insert ticket: %w", err)
	}
	return nil
}

// SaveTicket writes the columns of a ticket that change.
func SaveTicket(ctx context.Context, q bun.IDB, t *Ticket) error {
	_, err := q.NewUpdate().Model(t).Column("title", "body", "priority", "status", "assignee_id", "labels",
		"claimed_by", "version", "updated_at", "closed_at").
		WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("save ticket %s: %w", t.ID, err)
	}
	return nil
}
