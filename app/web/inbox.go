package web

import (
	"net/http"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/form"
	"carillon/app/inbox"
	"carillon/app/web/page"
	"carillon/app/web/present"
	"carillon/db"
	"carillon/views"
)

// inboxPages are the pages of a person's inbox.
type inboxPages struct{ *Server }

func (s inboxPages) list(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.showList(w, r, actor, nil)
}

func (s inboxPages) one(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	noticeID, err := page.ID(r)
	if err != nil {
		return err
	}
	n, err := s.Inbox.Find(r.Context(), actor, noticeID)
	if err != nil {
		return err
	}
	if n.ReadAt.IsZero() { // opened is read
		if err := s.Inbox.Read(r.Context(), actor, noticeID, true); err != nil {
			return err
		}
		n.ReadAt = s.Now()
	}
	return s.showList(w, r, actor, n)
}

func (s inboxPages) showList(w http.ResponseWriter, r *http.Request, actor account.Actor, open *db.Notification) error {
	show := r.FormValue("show")
	f := db.NotificationFilter{
		Kind: r.FormValue("kind"), Before: form.OptionalID(r.FormValue("before")), Limit: page.Rows + 1,
	}
	switch show {
	case "unread":
		f.Unread = true
	case "starred":
		f.Starred = true
	default:
		show = "all"
	}
	list, err := s.Inbox.List(r.Context(), actor, f)
	if err != nil {
		return err
	}
	z := page.Zone(actor)
	p := views.InboxPage{
		Now: s.Now().In(z), Filtered: r.URL.RawQuery != "", Detail: open != nil,
		Show: views.Field{Name: "show", Label: "Show", Value: show, Options: []views.Choice{
			{Value: "unread", Label: "Unread"}, {Value: "starred", Label: "Starred"}, {Value: "all", Label: "All"}}},
	}
	p.Kind = views.Field{Name: "kind", Label: "Kind", Value: f.Kind, Options: []views.Choice{{Label: "Every kind"}}}
	for _, k := range inbox.Kinds {
		p.Kind.Options = append(p.Kind.Options, views.Choice{Value: k.Kind, Label: k.Name})
	}
	if len(list) > page.Rows {
		list = list[:page.Rows]
		p.Pager.Older = page.More(r, "before", list[page.Rows-1].ID.String())
	}
	for i := range list {
		n := noticeItem(&list[i])
		n.At = present.In(list[i].CreatedAt, z)
		n.Current = open != nil && open.ID == list[i].ID
		p.Items = append(p.Items, n)
	}
	if open != nil {
		p.Open = noticeDetail(open)
		p.Open.At = present.In(open.CreatedAt, z)
	}
	return s.With(w, r, actor, "inbox", "Inbox", func(page views.Page) error {
		p.Unread = page.Unread
		return s.Show(w, r, views.Inbox(page, p))
	})
}

// noticeLooks are how the kinds of notices look: icon, colour, and what the kind is called.
var noticeLooks = map[string][3]string{
	inbox.Disabled:     {"octagon-x", "fail", "Auto-disabled"},
	inbox.RunFailed:    {"circle-x", "fail", "Failed run"},
	inbox.Skipped:      {"circle-minus", "warn", "Skipped run"},
	inbox.Missed:       {"clock", "warn", "Missed run"},
	inbox.LoopFinished: {"infinity", "ok", "Finished loop"},
	inbox.PRClosed:     {"git-pull-request-closed", "warn", "Pull request closed without merging"},
	inbox.Review:       {"circle-alert", "warn", "Blocking review findings"},
	inbox.Budget:       {"activity", "warn", "Budget"},
	inbox.Message:      {"message-square-code", "idle", "Message of a session"},
	inbox.Transferred:  {"users", "idle", "Another owner"},
	inbox.Rights:       {"users", "idle", "A right less"},

	inbox.ProviderPaused: {"pause", "warn", "Paused provider"},
	inbox.Server:         {"circle-alert", "fail", "Trouble of the server"},
}

func noticeItem(n *db.Notification) views.NoticeItem {
	look, ok := noticeLooks[n.Kind]
	if !ok {
		look = [3]string{"inbox", "idle", n.Kind}
	}
	return views.NoticeItem{
		ID: n.ID.String(), Icon: look[0], Kind: look[1], Title: n.Title, Sub: present.FirstLine(n.Body),
		Unread: n.ReadAt.IsZero(), Starred: !n.StarredAt.IsZero(),
	}
}

// noticeDetail is a notice in full, with the ways on from it.
func noticeDetail(n *db.Notification) *views.NoticeDetail {
	d := &views.NoticeDetail{NoticeItem: noticeItem(n), Label: noticeLooks[n.Kind][2], Text: n.Body}
	if n.Automation != nil {
		d.Primary = views.Action{
			Label: "Open automation", Kind: "primary", Icon: "arrow-right",
			URL: views.AutomationURL(n.AutomationID.String()),
		}
		d.Facts = append(d.Facts, views.Fact{
			Label: "Automation", Value: n.Automation.Name, URL: views.AutomationURL(n.AutomationID.String()),
		})
	}
	if n.ExecutionID != uuid.Nil {
		d.Facts = append(d.Facts, views.Fact{
			Label: "Execution", Value: "What happened", URL: views.ExecutionURL(n.ExecutionID.String()),
		})
	}
	if n.SessionID != uuid.Nil {
		d.Facts = append(d.Facts, views.Fact{
			Label: "Session", Value: "Open the session", URL: views.SessionURL(n.SessionID.String()),
		})
	}
	if n.Link != "" {
		d.Facts = append(d.Facts, views.Fact{Label: "Pull request", Value: n.Link, URL: n.Link})
	}
	switch n.Kind {
	case inbox.Disabled:
		d.Fix = []string{"Open the execution and read why the last run failed.",
			"Fix the cause, and test it with Run now.", "Enable the automation again."}
	case inbox.PRClosed:
		d.Primary = views.Action{
			Label: "Open session", Kind: "primary", Icon: "arrow-right", URL: views.SessionURL(n.SessionID.String()),
		}
	case inbox.ProviderPaused:
		d.Primary = views.Action{
			Label: "Open providers", Kind: "primary", Icon: "arrow-right", URL: views.ProvidersURL(),
		}
		d.Fix = []string{"Open the providers and test the one that is paused.",
			"Fix its sign-in, or wait until its quota is renewed.", "Press Resume now to start the waiting sessions."}
	case inbox.Review:
		d.Primary = views.Action{
			Label: "Open session", Kind: "primary", Icon: "arrow-right", URL: views.SessionURL(n.SessionID.String()),
		}
	case inbox.Budget:
		if limit := automation.NoticeLimit(n); limit != "" && n.Automation != nil {
			d.Others = append(d.Others, views.Action{
				Label: "Raise by 50 %", Icon: "arrow-up", Kind: "plain", URL: views.BudgetURL(n.AutomationID.String(),
					limit),
			})
		}
	case inbox.Skipped:
		d.FixMore = "If the blocking session hangs, stop it on its page. If runs take longer than the schedule " +
			"allows, choose a schedule with fewer runs."
	}
	return d
}

func (s inboxPages) link(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	n, err := s.Inbox.Unread(r.Context(), actor)
	if err != nil {
		return err
	}
	live, err := s.Rules.Sessions().CountActive(r.Context(), actor)
	if err != nil {
		return err
	}
	return s.Show(w, r, views.InboxPart(int(n), int(live), r.FormValue("current") == "true"))
}

func (s inboxPages) readAll(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	if err := s.Inbox.ReadAll(r.Context(), actor); err != nil {
		return err
	}
	return s.Redirect(w, r, page.RefererPath(r, "/inbox"), "All marked as read.")
}

func (s inboxPages) read(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	noticeID, err := page.ID(r)
	if err != nil {
		return err
	}
	if err := s.Inbox.Read(r.Context(), actor, noticeID, r.PostFormValue("read") != "false"); err != nil {
		return err
	}
	return s.Redirect(w, r, "/inbox", "")
}

func (s inboxPages) star(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	noticeID, err := page.ID(r)
	if err != nil {
		return err
	}
	if err := s.Inbox.Star(r.Context(), actor, noticeID, r.PostFormValue("star") != "false"); err != nil {
		return err
	}
	return s.Redirect(w, r, page.RefererPath(r, views.NoticeURL(noticeID.String())), "")
}

func (s inboxPages) dismiss(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	noticeID, err := page.ID(r)
	if err != nil {
		return err
	}
	if err := s.Inbox.Dismiss(r.Context(), actor, noticeID); err != nil {
		return err
	}
	return s.Redirect(w, r, "/inbox", "Dismissed.")
}
