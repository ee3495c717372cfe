package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/ticket"
	"carillon/app/web/page"
	"carillon/app/web/present"
	"carillon/db"
	"carillon/views"
)

// ticketPages are the pages of tickets.
type ticketPages struct{ *Server }

func (s ticketPages) list(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	ctx, now, z := r.Context(), s.Now(), page.Zone(actor)
	status, assignee := r.FormValue("status"), r.FormValue("assignee")
	f := db.TicketFilter{
		Priority: ticket.ParsePriority(r.FormValue("priority")), Workspace: form.OptionalID(s.WorkspaceFilter(r)),
		Label:  r.FormValue("label"),
		Search: strings.TrimSpace(r.FormValue("q")), Queue: r.FormValue("order") == "queue",
		After: form.OptionalID(r.FormValue("after")), Limit: page.Rows + 1,
	}
	switch {
	case status == "active":
		f.Statuses = []db.TicketStatus{db.TicketOpen, db.TicketInProgress}
	case status != "":
		f.Statuses = []db.TicketStatus{db.TicketStatus(status)}
	}
	switch assignee {
	case "":
	case "me":
		f.Assignee = actor.ID
	case "nobody":
		f.Unclaimed = true
	default:
		f.Assignee = form.OptionalID(assignee)
	}
	list, err := s.Tickets.List(ctx, actor, f)
	if err != nil {
		return err
	}
	p := views.TicketsPage{
		Now: now, Search: f.Search, Filtered: r.URL.RawQuery != "" || f.Workspace != uuid.Nil,
		CanCreate: actor.Can(account.ManageTickets),
		Order: views.Field{
			Name: "order", Label: "Order", Value: cmp.Or(r.FormValue("order"), "newest"),
			Options: []views.Choice{{Value: "newest", Label: "Newest"}, {Value: "queue", Label: "Queue"}},
		},
		Status: views.Field{Name: "status", Label: "Status", Value: status, Options: []views.Choice{
			{Value: "active", Label: "Open or in progress"}}},
		Priority: views.Field{Name: "priority", Label: "Priority", Value: r.FormValue("priority")},
		Assignee: views.Field{
			Name: "assignee", Label: "Assigned to", Value: assignee, Options: []views.Choice{{Value: "me", Label: "Me"},
				{Value: "nobody", Label: "Nobody"}},
		},
		Label: views.Field{Name: "label", Label: "Label", Value: f.Label},
	}
	for _, st := range ticket.Statuses {
		p.Status.Options = append(p.Status.Options, views.Choice{
			Value: string(st), Label: views.TicketStatusWord(string(st)),
		})
	}
	for _, known := range ticket.Priorities {
		p.Priority.Options = append(p.Priority.Options,
			views.Choice{Value: known.Word, Label: views.TicketPriorityWord(known.Word)})
	}
	labels, err := s.Tickets.Labels(ctx, actor, f.Workspace)
	if err != nil {
		return err
	}
	if f.Label != "" && !slices.Contains(labels, f.Label) {
		labels = append(labels, f.Label)
	}
	for _, l := range labels {
		p.Label.Options = append(p.Label.Options, views.Choice{Value: l, Label: l})
	}
	if p.Workspace, err = s.WorkspaceField(r, actor, f.Workspace); err != nil {
		return err
	}
	if len(list) > page.Rows {
		list = list[:page.Rows]
		p.Pager.Older = page.More(r, "after", list[page.Rows-1].ID.String())
	}
	for i := range list {
		p.Rows = append(p.Rows, present.Ticket(&list[i], z, now))
	}
	return s.With(w, r, actor, "tickets", "Tickets", func(page views.Page) error {
		return s.Show(w, r, views.Tickets(page, p))
	})
}

func (s ticketPages) one(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	ticketID, err := page.ID(r)
	if err != nil {
		return err
	}
	t, err := s.Tickets.Find(r.Context(), actor, ticketID)
	if err != nil {
		return err
	}
	d, err := s.Tickets.Detail(r.Context(), actor, t)
	if err != nil {
		return err
	}
	z, now := page.Zone(actor), s.Now()
	p := views.TicketPage{
		Ticket: present.Ticket(t, z, now), Body: t.Body, Hidden: d.Hidden, CanManage: actor.Can(account.ManageTickets),
	}
	p.Moves = ticketMoves(t)
	p.Facts = []views.Fact{
		{Label: "Workspace", Value: p.Ticket.Workspace, URL: views.WorkspaceURL(t.WorkspaceID.String())},
		{Label: "Assigned to", Value: cmp.Or(p.Ticket.Assignee, "Nobody")},
		{Label: "Created", Show: views.Time(present.In(t.CreatedAt, z), now)},
	}
	if t.Author != nil {
		p.Facts = append(p.Facts, views.Fact{Label: "Created by", Value: t.Author.Name})
	}
	if t.CreatedSession != uuid.Nil {
		p.Facts = append(p.Facts, views.Fact{
			Label: "Created in", Value: "a session", URL: views.SessionURL(t.CreatedSession.String()),
		})
	}
	if t.ClaimedBy != uuid.Nil {
		p.Facts = append(p.Facts, views.Fact{
			Label: "Claimed by", Value: "a session", URL: views.SessionURL(t.ClaimedBy.String()),
		})
	}
	pulls, err := s.Runs.PullRequests(r.Context(), d.Sessions)
	if err != nil {
		return err
	}
	for i := range d.Sessions {
		item := present.Session(&d.Sessions[i], z, now)
		item.PullRequest = pulls[d.Sessions[i].ID]
		p.Sessions = append(p.Sessions, item)
	}
	p.Reports = present.Reports(d.Reports, z, true)
	for i := len(d.History) - 1; i >= 0; i-- {
		p.History = append(p.History, ticketStep(&d.History[i], z))
	}
	return s.With(w, r, actor, "tickets", "#"+p.Ticket.Number+" "+t.Title, func(page views.Page) error {
		return s.Show(w, r, views.Ticket(page, p))
	})
}

// ticketMoves are the statuses that a ticket may go to from where it is.
func ticketMoves(t *db.Ticket) []views.Action {
	move := func(status db.TicketStatus, label, icon, kind string) views.Action {
		return views.Action{
			Label: label, Icon: icon, Kind: kind, Name: "status", Value: string(status),
			URL: views.TicketActionURL(t.ID.String(), "status"),
		}
	}
	switch t.Status {
	case db.TicketOpen:
		return []views.Action{move(db.TicketCanceled, "Cancel ticket", "ban", "plain"),
			move(db.TicketInProgress, "Start", "play", "plain"), move(db.TicketDone, "Mark done", "check", "primary")}
	case db.TicketInProgress:
		return []views.Action{move(db.TicketCanceled, "Cancel ticket", "ban", "plain"),
			move(db.TicketOpen, "Back to the queue", "undo-2", "plain"),
			move(db.TicketDone, "Mark done", "check", "primary")}
	}
	return []views.Action{move(db.TicketOpen, "Reopen", "rotate-ccw", "plain")}
}

// ticketStep is a line of a ticket's history.
func ticketStep(e *db.AuditEvent, z *time.Location) views.Step {
	who := "Carillon"
	if e.Actor != nil {
		who = e.Actor.Name
	}
	step := views.Step{Kind: "idle", At: present.In(e.At, z)}
	if session, ok := e.After["session_id"].(string); ok {
		step.URL = views.SessionURL(session)
		if e.Actor != nil {
			who = "a session of " + who
		}
	}
	switch e.Action {
	case "ticket.create":
		step.Text = "Created by " + who
	case "ticket.claim":
		step.Kind, step.Text = "run", "Taken from the queue by "+who
	case "ticket.release":
		step.Kind, step.Text = "warn", "Back in the queue: "+e.Reason
	default:
		step.Text = ticketChange(e) + " by " + who
		if status, _ := e.After["status"].(string); status == string(db.TicketDone) {
			step.Kind = "ok"
		}
	}
	return step
}

// ticketChange says what changed: "Title, priority changed", "Set to Done".
func ticketChange(e *db.AuditEvent) string {
	var names []string
	for _, known := range [][2]string{{"title", "title"}, {"body", "description"}, {"priority", "priority"},
		{"assignee_id", "assignee"}, {"labels", "labels"}} {
		if _, ok := e.After[known[0]]; ok {
			names = append(names, known[1])
		}
	}
	text := ""
	if status, ok := e.After["status"].(string); ok {
		text = "Set to " + views.TicketStatusWord(status)
		if len(names) > 0 {
			text += ", "
		}
	}
	if len(names) > 0 {
		text += strings.Join(names, ", ") + " changed"
	}
	if text == "" {
		return "Changed"
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

func ticketInput(r *http.Request) ticket.Input {
	f := r.PostForm
	version, _ := strconv.ParseInt(f.Get("version"), 10, 64)
	return ticket.Input{
		Workspace: f.Get("workspace"), Title: f.Get("title"), Body: f.Get("body"), Priority: f.Get("priority"),
		Status:   f.Get("status"),
		Assignee: f.Get("assignee"), Labels: f.Get("labels"), Version: version,
	}
}

func (s ticketPages) new(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	if !actor.Can(account.ManageTickets) {
		return fault.ErrForbidden
	}
	in := ticket.Input{Workspace: s.ChosenWorkspace(r), Priority: "medium"}
	return s.form(w, r, actor, http.StatusOK, nil, in, nil)
}

func (s ticketPages) create(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	in := ticketInput(r)
	t, err := s.Tickets.Create(r.Context(), actor, in)
	var invalid fault.Invalid
	if errors.As(err, &invalid) {
		return s.form(w, r, actor, http.StatusUnprocessableEntity, nil, in, invalid)
	}
	if err != nil {
		return err
	}
	return s.Redirect(w, r, views.TicketURL(t.ID.String()), "Created.")
}

// editable finds the ticket of a path for who may change it.
func (s ticketPages) editable(r *http.Request, actor account.Actor) (*db.Ticket, error) {
	ticketID, err := page.ID(r)
	if err != nil {
		return nil, err
	}
	t, err := s.Tickets.Find(r.Context(), actor, ticketID)
	if err == nil && !actor.Can(account.ManageTickets) {
		return nil, fault.ErrForbidden
	}
	return t, err
}

func (s ticketPages) edit(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	t, err := s.editable(r, actor)
	if err != nil {
		return err
	}
	return s.form(w, r, actor, http.StatusOK, t, ticket.Typed(t), nil)
}

func (s ticketPages) update(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	t, err := s.editable(r, actor)
	if err != nil {
		return err
	}
	_, err = s.Tickets.Update(r.Context(), actor, t.ID, ticketInput(r))
	invalid, status, err := s.Again(r, actor, s.edit, err)
	if err != nil {
		return err
	}
	if status != 0 {
		return s.form(w, r, actor, status, t, ticketInput(r), invalid)
	}
	return s.Redirect(w, r, views.TicketURL(t.ID.String()), "Saved.")
}

// form shows the form with what was typed and what is wrong with it. A nil ticket is a new one.
func (s ticketPages) form(w http.ResponseWriter, r *http.Request, actor account.Actor, status int, t *db.Ticket,
	in ticket.Input, bad fault.Invalid) error {
	f := views.NewTicketForm()
	title := "New ticket"
	if t != nil {
		f.ID, f.Was, title = t.ID.String(), "#"+strconv.FormatInt(t.Number, 10)+" "+t.Title,
			"Edit #"+strconv.FormatInt(t.Number, 10)
		in.Workspace = t.WorkspaceID.String()
	}
	f.Version = strconv.FormatInt(in.Version, 10)
	fill := func(field *views.Field, value string) { field.Value, field.Error = value, bad[field.Name] }
	list, err := s.Workspaces.List(r.Context(), actor)
	if err != nil {
		return err
	}
	for _, ws := range list {
		f.Workspace.Options = append(f.Workspace.Options, views.Choice{Value: ws.ID.String(), Label: ws.Name})
	}
	if in.Workspace == "" && len(list) > 0 {
		in.Workspace = list[0].ID.String()
	}
	fill(&f.Workspace, in.Workspace)
	fill(&f.Title, in.Title)
	fill(&f.Body, in.Body)
	fill(&f.Priority, cmp.Or(in.Priority, "medium"))
	for _, known := range ticket.Priorities {
		f.Priority.Options = append(f.Priority.Options,
			views.Choice{Value: known.Word, Label: views.TicketPriorityWord(known.Word)})
	}
	fill(&f.Status, cmp.Or(in.Status, string(db.TicketOpen)))
	for _, st := range ticket.Statuses {
		f.Status.Options = append(f.Status.Options, views.Choice{
			Value: string(st), Label: views.TicketStatusWord(string(st)),
		})
	}
	fill(&f.Labels, in.Labels)
	if f.Labels.Suggest, err = s.Tickets.Labels(r.Context(), actor, form.OptionalID(in.Workspace)); err != nil {
		return err
	}
	if f.Assignee.Options, err = s.assigneeChoices(r.Context(), actor, form.OptionalID(in.Workspace), t); err != nil {
		return err
	}
	fill(&f.Assignee, in.Assignee)
	return s.With(w, r, actor, "tickets", title, func(page views.Page) error {
		s.Render(w, r, status, views.EditTicket(page, f))
		return nil
	})
}

// assigneeChoices are the members of a workspace, and who is assigned already.
func (s ticketPages) assigneeChoices(ctx context.Context, actor account.Actor, workspace uuid.UUID,
	t *db.Ticket) ([]views.Choice, error) {
	choices := []views.Choice{{Label: "Nobody"}}
	d, err := s.Workspaces.Find(ctx, actor, workspace)
	if errors.Is(err, fault.ErrNotFound) { // none is chosen, or one that is not theirs: saving says so
		return choices, nil
	}
	if err != nil {
		return nil, err
	}
	there := t == nil || t.Assignee == nil
	for _, m := range d.Members {
		if m.DeactivatedAt.IsZero() || t != nil && m.ID == t.AssigneeID {
			choices = append(choices, views.Choice{Value: m.ID.String(), Label: m.Name})
			there = there || m.ID == t.AssigneeID
		}
	}
	if !there {
		choices = append(choices, views.Choice{
			Value: t.AssigneeID.String(), Label: t.Assignee.Name + " (no member any more)",
		})
	}
	return choices, nil
}

// assignees answers the form of a new ticket when a workspace is chosen.
func (s ticketPages) assignees(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	f := views.NewTicketForm().Assignee
	options, err := s.assigneeChoices(r.Context(), actor, form.OptionalID(r.FormValue("workspace")), nil)
	if err != nil {
		return err
	}
	f.Options = options
	return s.Show(w, r, views.AssigneeField(f))
}

func (s ticketPages) move(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	ticketID, err := page.ID(r)
	if err != nil {
		return err
	}
	status := r.PostFormValue("status")
	if _, err := s.Tickets.Change(r.Context(), actor, ticketID,
		ticket.Change{Status: &status}); err != nil {
		return err
	}
	return s.Redirect(w, r, views.TicketURL(ticketID.String()), views.TicketStatusWord(status)+".")
}

func (s ticketPages) unlink(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	ticketID, err := page.ID(r)
	if err != nil {
		return err
	}
	if err := s.Tickets.Unlink(r.Context(), actor, ticketID,
		form.OptionalID(r.PostFormValue("session"))); err != nil {
		return err
	}
	return s.Redirect(w, r, views.TicketURL(ticketID.String()), "Unlinked.")
}
