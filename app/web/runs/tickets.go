package runs

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/web/page"
	"carillon/app/web/present"
	"carillon/db"
	"carillon/views"
)

// tickets answers the part of a session's page with its tickets.
func (s sessionPages) tickets(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	session, err := s.seen(r, actor)
	if err != nil {
		return err
	}
	work, err := s.work(r.Context(), actor, session)
	if err != nil {
		return err
	}
	return s.Show(w, r, views.SessionTickets(work))
}

// work is what a session has to do with tickets.
func (s sessionPages) work(ctx context.Context, actor account.Actor, session *db.Session) (views.SessionWork, error) {
	z, now := page.Zone(actor), s.Now()
	work := views.SessionWork{
		Session: session.ID.String(), Live: session.Status == db.SessionInProgress, Now: now,
		CanLink: actor.Can(account.ManageTickets),
		Link:    views.Field{Name: "ticket", Label: "Link a ticket", Placeholder: "#12", Autocomplete: "off"},
	}
	worked, created, err := s.Tickets.OfSession(ctx, session.ID)
	if err != nil {
		return work, err
	}
	for i := range worked {
		work.Tickets = append(work.Tickets, present.Ticket(&worked[i], z, now))
	}
	for i := range created {
		work.Created = append(work.Created, present.Ticket(&created[i], z, now))
	}
	list, err := db.ReportsOf(ctx, s.DB, session.ID, 20)
	work.Reports = present.Reports(list, z, false)
	return work, err
}

// linkTicket links a session to a ticket by its number.
func (s sessionPages) linkTicket(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	session, err := s.seen(r, actor)
	if err != nil {
		return err
	}
	typed := r.PostFormValue("ticket")
	number, err := strconv.ParseInt(strings.TrimPrefix(strings.TrimSpace(typed), "#"), 10, 64)
	if err != nil {
		err = fault.Invalid{"ticket": "Write a ticket’s number, such as #12."}
	} else {
		err = s.Tickets.Link(r.Context(), actor, session.ID, number)
	}
	var invalid fault.Invalid
	if errors.As(err, &invalid) && invalid["ticket"] != "" {
		return s.showOne(w, r, actor, session, http.StatusUnprocessableEntity, func(p *views.SessionPage) {
			p.Work.Link.Value, p.Work.Link.Error = typed, invalid["ticket"]
		})
	}
	if err != nil {
		return err
	}
	return s.Redirect(w, r, views.SessionURL(session.ID.String()), "Linked.")
}
