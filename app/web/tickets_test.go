package web

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
	"carillon/db"
)

// ticket makes a ticket of a person's by the form, and returns its address.
func (b *browser) ticket(fields ...string) string {
	b.t.Helper()
	a := b.post("/tickets", append([]string{"workspace", b.workspace}, fields...)...)
	if a.StatusCode != http.StatusSeeOther {
		b.t.Fatalf("creating a ticket answered %d %.300s", a.StatusCode, a.body)
	}
	return a.Header.Get("Location")
}

func TestATicketIsMadeChangedAndMovedByItsForms(t *testing.T) {
	b := open(t).as("Mira", account.RoleMember)
	b.get("/tickets").expect(t, http.StatusOK, "No tickets yet")
	b.get("/tickets/new").expect(t, http.StatusOK, `<option value="`+b.actor.ID.String()+`"`)
	at := b.ticket("title", "Mend <it>", "body", "Now.", "priority", "urgent", "labels", "qa, api", "assignee",
		b.actor.ID.String())
	for _, want := range []string{"#1 Mend &lt;it&gt;", "Urgent", "qa", "Created by Mira",
		"No session has worked on it yet."} {
		b.get(at).expect(t, http.StatusOK, want)
	}
	b.get(at+"/edit").expect(t, http.StatusOK, `value="qa, api"`)
	if a := b.post(at, "title", "Mend it well", "priority", "low", "status", "in_progress", "version",
		"1"); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("saving answered %d", a.StatusCode)
	}
	b.get(at).expect(t, http.StatusOK,
		"Set to In progress, title, description, priority, assignee, labels changed by Mira")
	b.post(at, "title", "Old", "version", "1").expect(t, http.StatusConflict, "saved this in another tab")
	b.post(at, "title", " ", "body", "kept text", "version", "2").expect(t, http.StatusUnprocessableEntity, "kept text")
	b.post(at+"/status", "status", "done")
	b.get(at).expect(t, http.StatusOK, "Reopen")
	b.post(at+"/status", "status", "lost").expect(t, http.StatusBadRequest, "Choose one of")
}

func TestMistakesInANewTicketStandBesideTheirFields(t *testing.T) {
	b := open(t).as("Mira", account.RoleMember)
	b.post("/tickets", "workspace", b.workspace, "title", "", "body", "what was typed").
		expect(t, http.StatusUnprocessableEntity, `id="title-error"`)
	b.post("/tickets", "title", "x").expect(t, http.StatusUnprocessableEntity, `id="workspace-error"`)
}

func TestTicketsAreFilteredByTheAddressAndPaged(t *testing.T) {
	b := open(t).as("Mira", account.RoleMember)
	for i := range page.Rows + 1 {
		b.ticket("title", "Ticket "+string(rune('A'+i%26))+strings.Repeat("x", i/26), "priority",
			[]string{"low", "high"}[i%2])
	}
	special := b.ticket("title", "Special", "priority", "urgent", "labels", "qa", "assignee", b.actor.ID.String())
	first := b.get("/tickets")
	if n := strings.Count(first.body, `class="title-link"`); n != page.Rows {
		t.Errorf("the first page has %d rows", n)
	}
	_, rest, _ := strings.Cut(first.body, `href="/tickets?after=`)
	next, _, _ := strings.Cut(rest, `"`)
	if second := b.get("/tickets?after=" + next); strings.Count(second.body, `class="title-link"`) != 2 {
		t.Error("the second page has not the rest")
	}
	for _, query := range []string{"assignee=me", "label=qa", "priority=urgent", "q=special", "q=%2352"} {
		a := b.get("/tickets?" + query)
		if n := strings.Count(a.body, `class="title-link"`); n != 1 || !strings.Contains(a.body, special) {
			t.Errorf("%s gives %d rows", query, n)
		}
	}
	b.get("/tickets?status=done").expect(t, http.StatusOK, "Nothing matches")
	queue := b.get("/tickets?order=queue").body
	if strings.Index(queue, "Special") > strings.Index(queue, "Ticket B") {
		t.Error("the queue does not begin with the most urgent")
	}
}

func TestTicketsOfOtherWorkspacesAreNotFoundAndThoseWithoutThePermissionOnlyRead(t *testing.T) {
	s := open(t)
	mira, lena := s.as("Mira", account.RoleMember), s.as("Lena", account.RoleMember)
	at := mira.ticket("title", "Ours")
	_, err := s.server.DB.NewRaw("UPDATE roles SET permissions = '{automations.view_own}' WHERE key = ?",
		account.RoleMember).Exec(t.Context())
	check(t, err)
	page := lena.get(at)
	page.expect(t, http.StatusOK, "#1 Ours")
	if strings.Contains(page.body, "Mark done") || strings.Contains(page.body, "/edit\"") {
		t.Error("the page offers what its reader may not do")
	}
	lena.get(at+"/edit").expect(t, http.StatusForbidden, "Not allowed")
	lena.get("/tickets/new").expect(t, http.StatusForbidden, "Not allowed")
	lena.post("/tickets", "workspace", s.workspace, "title", "x").expect(t, http.StatusForbidden, "Not allowed")
	lena.post(at, "title", "x").expect(t, http.StatusForbidden, "Not allowed")
	lena.post(at+"/status", "status", "done").expect(t, http.StatusForbidden, "Not allowed")
	lena.post(at+"/unlinking", "session", uuid.NewString()).expect(t, http.StatusForbidden, "Not allowed")

	_, err = s.server.DB.NewRaw("DELETE FROM workspace_members WHERE user_id = ?", lena.actor.ID).Exec(t.Context())
	check(t, err)
	for _, path := range []string{at, at + "/edit"} {
		lena.get(path).expect(t, http.StatusNotFound, "Not found")
	}
	lena.post(at+"/status", "status", "done").expect(t, http.StatusNotFound, "Not found")
	if strings.Contains(lena.get("/tickets").body, "Ours") {
		t.Error("the list has a ticket of a workspace that is not hers")
	}
	if strings.Contains(lena.get("/tickets/assignees?workspace="+url.QueryEscape(s.workspace)).body, "Mira") {
		t.Error("the members of a workspace that is not hers are offered")
	}
}

func TestASessionShowsItsTicketAndATicketItsSessions(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleMember)
	at := b.ticket("title", "Mend it")
	a, _, err := s.rules.Definitions().Create(t.Context(), b.actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "QA loop",
		Workspace:      s.workspace,
		Trigger:        "manual",
		SessionType:    "develop",
		Prompt:         "x",
		Provider:       "agent",
		Retries:        2,
	}})
	check(t, err)
	run, err := s.rules.Runs().RunNow(t.Context(), b.actor, a.ID, nil)
	check(t, err)
	session := "/sessions/" + run.Session.ID.String()
	b.post(session+"/tickets", "ticket", "#7").expect(t, http.StatusUnprocessableEntity,
		"There is no ticket #7 in this workspace.")
	b.post(session+"/tickets", "ticket", "seven").expect(t, http.StatusUnprocessableEntity, "such as #12")
	if a := b.post(session+"/tickets", "ticket", "#1"); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("linking answered %d", a.StatusCode)
	}
	check(t, db.InsertReport(t.Context(), s.server.DB, &db.SessionReport{
		ID: db.NewID(), SessionID: run.Session.ID, Outcome: db.ReportNothingToDo, Summary: "It is **well**.",
		CreatedAt: s.server.Now(),
	}))
	_, err = s.server.DB.NewRaw(`INSERT INTO pull_requests (id, session_id, forge, repository, number, url, key, state, found_by, created_at, updated_at)
		VALUES (?, ?, 'github', 'acme/app', 219, 'https://github.com/acme/app/pull/219', 'x', 'open', 'hand', now(), now())`, db.NewID(), run.Session.ID).Exec(t.Context())
	check(t, err)
	for _, path := range []string{session, session + "/tickets"} {
		b.get(path).expect(t, http.StatusOK, `href="`+at+`"`)
		b.get(path).expect(t, http.StatusOK, "Nothing to do")
	}
	for _, want := range []string{session, "QA loop", "#219"} {
		b.get(at).expect(t, http.StatusOK, want)
	}
	b.post(at+"/unlinking", "session", run.Session.ID.String())
	b.get(at).expect(t, http.StatusOK, "No session has worked on it yet.")
	s.as("Lena", account.RoleMember).get(session+"/tickets").expect(t, http.StatusNotFound, "")
}
