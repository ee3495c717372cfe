package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/app/web/page"
	"carillon/app/web/webtest"
	"carillon/db"
)

func TestATicketIsMadeChangedAndMovedByItsForms(t *testing.T) {
	b := webtest.Open(t).As("Mira", account.RoleMember)
	b.Get("/tickets").Expect(t, http.StatusOK, "No tickets yet")
	b.Get("/tickets/new").Expect(t, http.StatusOK, `<option value="`+b.Actor.ID.String()+`"`)
	at := b.Ticket("title", "Mend <it>", "body", "Now.", "priority", "urgent", "labels", "qa, api", "assignee",
		b.Actor.ID.String())
	for _, want := range []string{"#1 Mend &lt;it&gt;", "Urgent", "qa", "Created by Mira",
		"No session has worked on it yet."} {
		b.Get(at).Expect(t, http.StatusOK, want)
	}
	b.Get(at+"/edit").Expect(t, http.StatusOK, `value="qa, api"`)
	if a := b.Post(at, "title", "Mend it well", "priority", "low", "status", "in_progress", "version",
		"1"); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("saving answered %d", a.StatusCode)
	}
	b.Get(at).Expect(t, http.StatusOK,
		"Set to In progress, title, description, priority, assignee, labels changed by Mira")
	b.Post(at, "title", "Old", "version", "1").Expect(t, http.StatusConflict, "saved this in another tab")
	b.Post(at, "title", " ", "body", "kept text", "version", "2").Expect(t, http.StatusUnprocessableEntity, "kept text")
	b.Post(at+"/status", "status", "done")
	b.Get(at).Expect(t, http.StatusOK, "Reopen")
	b.Post(at+"/status", "status", "lost").Expect(t, http.StatusBadRequest, "Choose one of")
}

func TestMistakesInANewTicketStandBesideTheirFields(t *testing.T) {
	b := webtest.Open(t).As("Mira", account.RoleMember)
	b.Post("/tickets", "workspace", b.Workspace, "title", "", "body", "what was typed").
		Expect(t, http.StatusUnprocessableEntity, `id="title-error"`)
	b.Post("/tickets", "title", "x").Expect(t, http.StatusUnprocessableEntity, `id="workspace-error"`)
}

func TestTicketsAreFilteredByTheAddressAndPaged(t *testing.T) {
	b := webtest.Open(t).As("Mira", account.RoleMember)
	for i := range page.Rows + 1 {
		b.Ticket("title", "Ticket "+string(rune('A'+i%26))+strings.Repeat("x", i/26), "priority",
			[]string{"low", "high"}[i%2])
	}
	special := b.Ticket("title", "Special", "priority", "urgent", "labels", "qa", "assignee", b.Actor.ID.String())
	first := b.Get("/tickets")
	if n := strings.Count(first.Text, `class="title-link"`); n != page.Rows {
		t.Errorf("the first page has %d rows", n)
	}
	_, rest, _ := strings.Cut(first.Text, `href="/tickets?after=`)
	next, _, _ := strings.Cut(rest, `"`)
	if second := b.Get("/tickets?after=" + next); strings.Count(second.Text, `class="title-link"`) != 2 {
		t.Error("the second page has not the rest")
	}
	for _, query := range []string{"assignee=me", "label=qa", "priority=urgent", "q=special", "q=%2352"} {
		a := b.Get("/tickets?" + query)
		if n := strings.Count(a.Text, `class="title-link"`); n != 1 || !strings.Contains(a.Text, special) {
			t.Errorf("%s gives %d rows", query, n)
		}
	}
	b.Get("/tickets?status=done").Expect(t, http.StatusOK, "Nothing matches")
	queue := b.Get("/tickets?order=queue").Text
	if strings.Index(queue, "Special") > strings.Index(queue, "Ticket B") {
		t.Error("the queue does not begin with the most urgent")
	}
}

func TestTicketsOfOtherWorkspacesAreNotFoundAndThoseWithoutThePermissionOnlyRead(t *testing.T) {
	s := webtest.Open(t)
	mira, lena := s.As("Mira", account.RoleMember), s.As("Lena", account.RoleMember)
	at := mira.Ticket("title", "Ours")
	_, err := s.Server.DB.NewRaw("UPDATE roles SET permissions = '{automations.view_own}' WHERE key = ?",
		account.RoleMember).Exec(t.Context())
	webtest.Check(t, err)
	page := lena.Get(at)
	page.Expect(t, http.StatusOK, "#1 Ours")
	if strings.Contains(page.Text, "Mark done") || strings.Contains(page.Text, "/edit\"") {
		t.Error("the page offers what its reader may not do")
	}
	lena.Get(at+"/edit").Expect(t, http.StatusForbidden, "Not allowed")
	lena.Get("/tickets/new").Expect(t, http.StatusForbidden, "Not allowed")
	lena.Post("/tickets", "workspace", s.Workspace, "title", "x").Expect(t, http.StatusForbidden, "Not allowed")
	lena.Post(at, "title", "x").Expect(t, http.StatusForbidden, "Not allowed")
	lena.Post(at+"/status", "status", "done").Expect(t, http.StatusForbidden, "Not allowed")
	lena.Post(at+"/unlinking", "session", uuid.NewString()).Expect(t, http.StatusForbidden, "Not allowed")

	_, err = s.Server.DB.NewRaw("DELETE FROM workspace_members WHERE user_id = ?", lena.Actor.ID).Exec(t.Context())
	webtest.Check(t, err)
	for _, path := range []string{at, at + "/edit"} {
		lena.Get(path).Expect(t, http.StatusNotFound, "Not found")
	}
	lena.Post(at+"/status", "status", "done").Expect(t, http.StatusNotFound, "Not found")
	if strings.Contains(lena.Get("/tickets").Text, "Ours") {
		t.Error("the list has a ticket of a workspace that is not hers")
	}
	if strings.Contains(lena.Get("/tickets/assignees?workspace="+url.QueryEscape(s.Workspace)).Text, "Mira") {
		t.Error("the members of a workspace that is not hers are offered")
	}
}

func TestASessionShowsItsTicketAndATicketItsSessions(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleMember)
	at := b.Ticket("title", "Mend it")
	a, _, err := s.Rules.Definitions().Create(t.Context(), b.Actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "QA loop",
		Workspace:      s.Workspace,
		Trigger:        "manual",
		SessionType:    "develop",
		Prompt:         "x",
		Provider:       "agent",
		Retries:        2,
	}})
	webtest.Check(t, err)
	run, err := s.Rules.Runs().RunNow(t.Context(), b.Actor, a.ID, nil)
	webtest.Check(t, err)
	session := "/sessions/" + run.Session.ID.String()
	b.Post(session+"/tickets", "ticket", "#7").Expect(t, http.StatusUnprocessableEntity,
		"There is no ticket #7 in this workspace.")
	b.Post(session+"/tickets", "ticket", "seven").Expect(t, http.StatusUnprocessableEntity, "such as #12")
	if a := b.Post(session+"/tickets", "ticket", "#1"); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("linking answered %d", a.StatusCode)
	}
	webtest.Check(t, db.InsertReport(t.Context(), s.Server.DB, &db.SessionReport{
		ID: db.NewID(), SessionID: run.Session.ID, Outcome: db.ReportNothingToDo, Summary: "It is **well**.",
		CreatedAt: s.Server.Now(),
	}))
	_, err = s.Server.DB.NewRaw(`INSERT INTO pull_requests (id, session_id, forge, repository, number, url, key, state, found_by, created_at, updated_at)
		VALUES (?, ?, 'github', 'acme/app', 219, 'https://github.com/acme/app/pull/219', 'x', 'open', 'hand', now(), now())`, db.NewID(), run.Session.ID).Exec(t.Context())
	webtest.Check(t, err)
	for _, path := range []string{session, session + "/tickets"} {
		b.Get(path).Expect(t, http.StatusOK, `href="`+at+`"`)
		b.Get(path).Expect(t, http.StatusOK, "Nothing to do")
	}
	for _, want := range []string{session, "QA loop", "#219"} {
		b.Get(at).Expect(t, http.StatusOK, want)
	}
	b.Post(at+"/unlinking", "session", run.Session.ID.String())
	b.Get(at).Expect(t, http.StatusOK, "No session has worked on it yet.")
	s.As("Lena", account.RoleMember).Get(session+"/tickets").Expect(t, http.StatusNotFound, "")
}
