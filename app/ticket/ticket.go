// Package ticket holds the rules of tickets: who may see and change them, what is a mistake in one, how sessions take
// them from the queue, and how they come back to it. It knows rows. It knows neither how runs start and end, nor agents
// as processes.
package ticket

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/db"
)

// Input is a ticket as a person typed it. The keys of fault.Invalid are the names in the tags.
type Input struct {
	Workspace string `form:"workspace"` // of a new one; a ticket stays in its workspace
	Title     string `form:"title"`
	Body      string `form:"body"`
	Priority  string `form:"priority"` // a word of Priorities; empty: medium
	Status    string `form:"status"`   // empty: open
	Assignee  string `form:"assignee"` // the id of a member of the workspace; empty: nobody
	Labels    string `form:"labels"`   // with commas between them
	Version   int64  `form:"version"`  // of what the person started from
}

// Typed is a ticket as it is, for somebody who changes it.
func Typed(t *db.Ticket) Input {
	in := Input{
		Workspace: t.WorkspaceID.String(), Title: t.Title, Body: t.Body, Priority: PriorityWord(t.Priority),
		Status: string(t.Status),
		Labels: strings.Join(t.Labels, ", "), Version: t.Version,
	}
	if t.AssigneeID != uuid.Nil {
		in.Assignee = t.AssigneeID.String()
	}
	return in
}

// Change is what is to change of a ticket; what is nil stays. Empty texts are the defaults of Input.
type Change struct {
	Title, Body, Priority, Status, Assignee, Labels *string
}

// Priorities are the priorities by their words, the first in the queue first.
var Priorities = []struct {
	Priority db.Priority
	Word     string
}{{db.Urgent, "urgent"}, {db.High, "high"}, {db.Medium, "medium"}, {db.Low, "low"}}

// PriorityWord is a priority's word.
func PriorityWord(p db.Priority) string {
	for _, known := range Priorities {
		if known.Priority == p {
			return known.Word
		}
	}
	return ""
}

// ParsePriority is the priority of a word, or 0 where there is none.
func ParsePriority(word string) db.Priority {
	for _, known := range Priorities {
		if known.Word == word {
			return known.Priority
		}
	}
	return 0
}

// Statuses are the statuses of tickets in their order.
var Statuses = []db.TicketStatus{db.TicketOpen, db.TicketInProgress, db.TicketDone, db.TicketCanceled}

// Bounds of a ticket.
const (
	maxTitle   = 200
	maxBody    = 64 << 10 // bytes
	maxLabels  = 20
	maxLabel   = 50 // characters
	maxCreated = 500
)

// Service carries out what people and sessions ask for. Its fields are set once, in main.
type Service struct {
	DB  bun.IDB
	Now func() time.Time // the instant of every rule
}

// List lists the tickets of the workspaces that a person is a member of, without their bodies.
func (s *Service) List(ctx context.Context, actor account.Actor, f db.TicketFilter) ([]db.Ticket, error) {
	f.Access = actor.Access()
	return db.Tickets(ctx, s.DB, f)
}

// Labels lists the labels in use, of one workspace or, where that is zero, of all that a person sees.
func (s *Service) Labels(ctx context.Context, actor account.Actor, workspace uuid.UUID) ([]string, error) {
	return db.TicketLabels(ctx, s.DB, actor.Access(), workspace, 200)
}

// Find finds a ticket of a workspace that a person is a member of. Otherwise it returns fault.ErrNotFound.
func (s *Service) Find(ctx context.Context, actor account.Actor, id uuid.UUID) (*db.Ticket, error) {
	t, err := db.TicketByID(ctx, s.DB, id)
	return seen(ctx, s.DB, actor, t, err)
}

// FindByNumber is Find by the number that people say.
func (s *Service) FindByNumber(ctx context.Context, actor account.Actor, workspace uuid.UUID,
	number int64) (*db.Ticket, error) {
	return ByNumber(ctx, s.DB, actor, workspace, number)
}

// ByNumber finds a ticket by its number, of a workspace that a person is a member of. Otherwise it returns
// fault.ErrNotFound.
func ByNumber(ctx context.Context, q bun.IDB, actor account.Actor, workspace uuid.UUID,
	number int64) (*db.Ticket, error) {
	t, err := db.TicketByNumber(ctx, q, workspace, number)
	return seen(ctx, q, actor, t, err)
}

func seen(ctx context.Context, q bun.IDB, actor account.Actor, t *db.Ticket, err error) (*db.Ticket, error) {
	if t, err = account.Found(t, err); err != nil {
		return nil, err
	}
	if err := account.RequireMember(ctx, q, actor, t.WorkspaceID); err != nil {
		return nil, err
	}
	return t, nil
}

// Detail is what belongs to a ticket, as far as a person may see it.
type Detail struct {
	Sessions []db.Session // that worked on it, the newest first
	Hidden   int          // sessions that the person may not see
	Reports  []db.SessionReport
	History  []db.AuditEvent // the newest first
}

// Detail finds what belongs to a ticket that the person sees.
func (s *Service) Detail(ctx context.Context, actor account.Actor, t *db.Ticket) (*Detail, error) {
	list, err := db.SessionsOfTicket(ctx, s.DB, t.ID)
	if err != nil {
		return nil, err
	}
	d := &Detail{}
	for i := range list {
		if actor.Sees(account.OwnersOf(&list[i])...) {
			d.Sessions = append(d.Sessions, list[i])
		}
	}
	d.Hidden = len(list) - len(d.Sessions)
	if d.Reports, err = db.ReportsOfTicket(ctx, s.DB, t.ID, 50); err != nil {
		return nil, err
	}
	d.History, err = db.AuditOf(ctx, s.DB, t.ID, 50)
	return d, err
}

// OfSession lists the tickets that a session worked on, and those that it created. The session must be one that
// the person sees.
func (s *Service) OfSession(ctx context.Context, session uuid.UUID) (worked, created []db.Ticket, err error) {
	if worked, err = db.TicketsOfSession(ctx, s.DB, session); err != nil {
		return nil, nil, err
	}
	created, err = db.TicketsCreatedIn(ctx, s.DB, session)
	return worked, created, err
}

// mayChange returns fault.ErrNotFound for who is no member of a workspace, and fault.ErrForbidden without the
// permission.
func mayChange(ctx context.Context, q bun.IDB, actor account.Actor, workspace uuid.UUID) error {
	if err := account.RequireMember(ctx, q, actor, workspace); err != nil {
		return err
	}
	if !actor.Can(account.ManageTickets) {
		return fault.ErrForbidden
	}
	return nil
}

// Create makes a ticket. It returns fault.Invalid with a sentence per field, and fault.ErrForbidden.
func (s *Service) Create(ctx context.Context, actor account.Actor, in Input) (*db.Ticket, error) {
	if !actor.Can(account.ManageTickets) {
		return nil, fault.ErrForbidden
	}
	now := s.Now()
	t := &db.Ticket{
		ID: db.NewID(), CreatedBy: actor.ID, CreatedSession: actor.Session, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		bad := fault.Invalid{}
		if err := setWorkspace(ctx, tx, actor, t, in.Workspace, bad); err != nil {
			return err
		}
		if err := s.apply(ctx, tx, t, in.change(), bad); err != nil {
			return err
		}
		if actor.Session != uuid.Nil {
			if err := checkCount(ctx, tx, actor.Session); err != nil {
				return err
			}
		}
		if t.Number, err = db.NextTicketNumber(ctx, tx, t.WorkspaceID); err != nil {
			return err
		}
		if err := db.InsertTicket(ctx, tx, t); err != nil {
			return err
		}
		return audit(ctx, tx, s.Now(), actor, "ticket.create", t, nil)
	})
	if err != nil {
		return nil, fault.Wrap(err, "create ticket")
	}
	return t, nil
}

// checkCount bounds what a session that runs wild can leave behind.
func checkCount(ctx context.Context, tx bun.Tx, session uuid.UUID) error {
	n, err := db.CountTicketsCreatedIn(ctx, tx, session)
	if err == nil && n >= maxCreated {
		return fault.Invalid{"title": fmt.Sprintf("This session has created %d tickets. That is the limit.", n)}
	}
	return err
}

// setWorkspace gives a new ticket its workspace. A session has its own where it names none.
func setWorkspace(ctx context.Context, q bun.IDB, actor account.Actor, t *db.Ticket, text string,
	bad fault.Invalid) error {
	id, err := uuid.Parse(text)
	if actor.Session != uuid.Nil && text == "" {
		id, err = actor.Workspace, nil
	}
	if err != nil {
		bad["workspace"] = "Choose a workspace."
		return nil
	}
	w, err := account.MemberWorkspace(ctx, q, actor, id)
	switch {
	case errors.Is(err, fault.ErrNotFound):
		bad["workspace"] = "This workspace does not exist, or you are not a member of it."
	case err != nil:
		return err
	case !w.RemovedAt.IsZero():
		bad["workspace"] = "This workspace was removed. Choose another."
	default:
		t.WorkspaceID = id
	}
	return nil
}

func (in Input) change() Change {
	return Change{
		Title: &in.Title, Body: &in.Body, Priority: &in.Priority, Status: &in.Status, Assignee: &in.Assignee,
		Labels: &in.Labels,
	}
}

// Update changes a ticket. It returns fault.ErrStale when someone else changed it since the person opened it.
func (s *Service) Update(ctx context.Context, actor account.Actor, id uuid.UUID, in Input) (*db.Ticket, error) {
	return s.change(ctx, actor, id, in.change(), in.Version)
}

// Change changes some of a ticket, whoever else changed it meanwhile.
func (s *Service) Change(ctx context.Context, actor account.Actor, id uuid.UUID, c Change) (*db.Ticket, error) {
	return s.change(ctx, actor, id, c, 0)
}

func (s *Service) change(ctx context.Context, actor account.Actor, id uuid.UUID, c Change,
	version int64) (*db.Ticket, error) {
	seen, err := s.Find(ctx, actor, id)
	if err != nil {
		return nil, err
	}
	if err := mayChange(ctx, s.DB, actor, seen.WorkspaceID); err != nil {
		return nil, err
	}
	var t *db.Ticket
	err = db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		if t, err = db.LockTicket(ctx, tx, id); err != nil {
			return err
		}
		if actor, err = account.AsOfNow(ctx, tx, actor); err != nil {
			return err
		}
		if err := mayChange(ctx, tx, actor, t.WorkspaceID); err != nil {
			return err
		}
		if version != 0 && t.Version != version {
			return fault.ErrStale
		}
		before := *t
		if err := s.apply(ctx, tx, t, c, fault.Invalid{}); err != nil {
			return err
		}
		t.Version, t.UpdatedAt = t.Version+1, s.Now()
		if err := db.SaveTicket(ctx, tx, t); err != nil {
			return err
		}
		if actor.Session != uuid.Nil {
			if err := db.LinkTicket(ctx, tx, id, actor.Session, s.Now()); err != nil {
				return err
			}
		}
		return audit(ctx, tx, s.Now(), actor, "ticket.update", t, &before)
	})
	if err != nil {
		return nil, fault.Wrap(err, "change ticket %s", id)
	}
	return t, nil
}

// apply puts a change into a ticket, or says what is wrong with it, all at once.
func (s *Service) apply(ctx context.Context, q bun.IDB, t *db.Ticket, c Change, bad fault.Invalid) error {
	if c.Title != nil {
		t.Title = form.Line(bad, "title", "Say in a few words what is to be done.", *c.Title, maxTitle, true)
	}
	if c.Body != nil {
		t.Body = checkBody(bad, "body", *c.Body)
	}
	if c.Priority != nil {
		if t.Priority = ParsePriority(form.Or(*c.Priority, "medium")); t.Priority == 0 {
			bad["priority"] = "Choose one of urgent, high, medium and low."
		}
	}
	if c.Labels != nil {
		t.Labels = labels(bad, *c.Labels)
	}
	if c.Status != nil {
		status := db.TicketStatus(form.Or(*c.Status, string(db.TicketOpen)))
		if !slices.Contains(Statuses, status) {
			bad["status"] = "Choose one of open, in_progress, done and canceled."
		} else {
			move(t, status, s.Now())
		}
	}
	if c.Assignee != nil {
		if err := assign(ctx, q, t, *c.Assignee, bad); err != nil {
			return err
		}
	}
	if len(bad) > 0 {
		return bad
	}
	return nil
}

// move gives a ticket a status. The session that has claimed it holds it until it is no longer in progress.
func move(t *db.Ticket, status db.TicketStatus, now time.Time) {
	if status == t.Status {
		return
	}
	t.Status, t.ClosedAt = status, time.Time{}
	if status.Closed() {
		t.ClosedAt = now
	}
	if status != db.TicketInProgress {
		t.ClaimedBy = uuid.Nil
	}
}

// assign gives a ticket to a member of its workspace. Who is assigned already may stay, member or not.
func assign(ctx context.Context, q bun.IDB, t *db.Ticket, text string, bad fault.Invalid) error {
	text = strings.TrimSpace(text)
	if text == "" {
		t.AssigneeID = uuid.Nil
		return nil
	}
	id, err := uuid.Parse(text)
	if err == nil && id == t.AssigneeID || t.WorkspaceID == uuid.Nil {
		return nil
	}
	if err == nil {
		member, err := db.IsMember(ctx, q, t.WorkspaceID, id)
		if err != nil {
			return err
		}
		if member {
			t.AssigneeID = id
			return nil
		}
	}
	bad["assignee"] = "Choose a member of the workspace."
	return nil
}

// checkBody checks text of several lines.
func checkBody(bad fault.Invalid, field, value string) string {
	value = strings.TrimSpace(strings.ReplaceAll(value, "\r\n", "\n"))
	switch {
	case !utf8.ValidString(value) || strings.ContainsRune(value, 0):
		bad[field] = "This has bytes that are not text."
	case len(value) > maxBody:
		bad[field] = fmt.Sprintf("This is %d KiB long. At most %d KiB fit.", (len(value)+1023)>>10, maxBody>>10)
	}
	return value
}

// labels reads labels with commas between them, each once.
func labels(bad fault.Invalid, value string) []string {
	list := []string{}
	seen := form.Seen{}
	for label := range strings.SplitSeq(value, ",") {
		label = form.Line(bad, "labels", "", label, maxLabel, false)
		if label != "" && seen.Add(strings.ToLower(label)) {
			list = append(list, label)
		}
	}
	if len(list) > maxLabels {
		bad["labels"] = form.TooMany(len(list), "labels", maxLabels)
	}
	return list
}
