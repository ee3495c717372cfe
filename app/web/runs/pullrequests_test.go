package runs_test

import (
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/app/web/webtest"
)

func TestASessionsPageLinksAndCreatesPullRequests(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleAdministrator)
	session := b.Opened(b.Repository("App", "https://github.com/acme/app.git", ""), "manual", "carillon/x")
	page := "/sessions/" + session.ID.String()
	shown := b.Get(page)
	shown.Expect(t, 200, "Create pull request")
	shown.Expect(t, 200, "Link a pull request")
	b.Post(page+"/pull-request", "url", "https://github.com/acme/app/issues/7").
		Expect(t, 422, "Write the address of a pull request")
	b.Post(page+"/pull-requests").Expect(t, 303, "")
	if b.Reload(session.ID).PRRequestedBy != b.Actor.ID {
		t.Error("nothing was requested")
	}
	if shown = b.Get(page); !strings.Contains(shown.Text, "is being created") ||
		strings.Contains(shown.Text, ">Create pull request<") {
		t.Error("the page does not say that it is under way")
	}
	webtest.Check(t, b.Rules.PullRequests().EndRequest(t.Context(), b.Reload(session.ID), "The forge said no."))
	b.Get(page+"/head").Expect(t, 200, "The forge said no.")
	b.Post(page+"/pull-request", "url", "https://github.com/acme/app/pull/7").Expect(t, 303, "")
	shown = b.Get(page)
	shown.Expect(t, 200, "https://github.com/acme/app/pull/7")
	b.Get("/sessions").Expect(t, 200, "#7")
	b.Post(page+"/pull-requests").Expect(t, 400, "open pull request already: #7")

	jonas := s.As("Jonas", account.RoleMember) // who is no member of the workspace
	jonas.Post(page+"/pull-request", "url", "https://github.com/acme/app/pull/8").Expect(t, 404, "")
	jonas.Post(page+"/pull-requests").Expect(t, 404, "")
	s.Nobody().Post(page+"/pull-requests").Expect(t, 303, "")
}
