package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/api"
	"carillon/app/inbox"
	"carillon/app/ticket"
	"carillon/app/web/webtest"
	"carillon/db"
)

// want fails unless a call is answered with a status.
func want(a *webtest.Answer, t *testing.T, status int) *webtest.Answer {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("%s %s answered %d %.600s; want %d", a.Request.Method, a.Request.URL.Path, a.StatusCode, a.Text,
			status)
	}
	return a
}

func TestAProgramMakesAndChangesWorkspacesAndTheirSecretsStay(t *testing.T) {
	s := webtest.Open(t)
	ada := s.As("ada", account.RoleAdministrator)
	p := ada.Program()
	var w api.WorkspaceDetail
	want(p.Call("POST", "/workspaces", webtest.Fields{
		"name": "Shop", "git_url": "https://example.com/shop.git", "token": "a token of the repository",
		"variables": []webtest.Fields{{"name": "STAGE", "value": "test"},
			{"name": "KEY", "value": "hidden word", "secret": true}},
	}), t, http.StatusCreated).Into(t, &w)
	if !w.HasToken || len(w.Variables) != 2 || len(w.Members) != 1 || w.Members[0].Name != "ada" {
		t.Errorf("it was made as %+v", w)
	}
	a := want(p.Call("PATCH", "/workspaces/"+w.ID, webtest.Fields{
		"version": w.Version, "name": "Shop 2",
		"variables": []webtest.Fields{{"name": "STAGE", "value": "live"}, {"name": "KEY", "secret": true}},
	}), t, http.StatusOK)
	a.Into(t, &w)
	if w.Name != "Shop 2" || !w.HasToken || w.GitURL != "https://example.com/shop.git" ||
		strings.Contains(a.Text, "hidden word") {
		t.Errorf("it was changed to %+v", w)
	}
	stored, err := s.Rules.Workspaces.Find(t.Context(), ada.Actor, uuid.MustParse(w.ID))
	webtest.Check(t, err)
	e, err := s.Rules.Workspaces.Environment(t.Context(), &stored.Workspace)
	webtest.Check(t, err)
	if !slices.Contains(e.Variables, "KEY=hidden word") || !slices.Contains(e.Variables, "STAGE=live") ||
		e.Token == "" {
		t.Errorf("a run gets %v, and a token: %t", e.Variables, e.Token != "")
	}
	want(p.Call("PATCH", "/workspaces/"+w.ID, webtest.Fields{"version": w.Version, "token": ""}), t,
		http.StatusOK).Into(t, &w)
	if w.HasToken {
		t.Error("an empty token took none away")
	}
	bad := p.Call("PATCH", "/workspaces/"+w.ID, webtest.Fields{
		"version": w.Version, "name": "", "git_url": strings.Repeat("x", 2001),
	})
	want(bad, t, http.StatusUnprocessableEntity)
	for _, field := range []string{`"name"`, `"git_url"`} {
		if !strings.Contains(bad.Text, field) {
			t.Errorf("the mistakes lack %s: %s", field, bad.Text)
		}
	}
	if a := p.Call("PATCH", "/workspaces/"+w.ID, webtest.Fields{
		"version": 1, "name": "Late",
	}); a.StatusCode != http.StatusConflict {
		t.Errorf("a change of an older version is answered %d", a.StatusCode)
	}

	mira := s.As("mira", account.RoleMember)
	theirs := mira.Program()
	want(theirs.Call("GET", "/workspaces/"+w.ID, nil), t, http.StatusNotFound)
	want(p.Call("POST", "/workspaces/"+w.ID+"/members", webtest.Fields{"user_id": mira.Actor.ID.String()}), t,
		http.StatusNoContent)
	want(theirs.Call("GET", "/workspaces/"+w.ID, nil), t, http.StatusOK)
	want(p.Call("DELETE", "/workspaces/"+w.ID+"/members/"+mira.Actor.ID.String(), nil), t, http.StatusNoContent)
	want(theirs.Call("GET", "/workspaces/"+w.ID, nil), t, http.StatusNotFound)
	want(p.Call("DELETE", "/workspaces/"+w.ID, nil), t, http.StatusNoContent)
	if strings.Contains(p.Call("GET", "/workspaces", nil).Text, "Shop 2") {
		t.Error("the list has a workspace that was removed")
	}
}

func TestAProgramLooksAfterPeopleAndRoles(t *testing.T) {
	s := webtest.Open(t)
	ada, mira := s.As("ada", account.RoleAdministrator), s.As("mira", account.RoleMember)
	p, theirs := ada.Program(), mira.Program()
	var role api.Role
	want(p.Call("POST", "/roles", webtest.Fields{"name": "Reader", "permissions": []string{string(account.ViewAll)}}),
		t, http.StatusCreated).Into(t, &role)
	want(p.Call("PATCH", "/roles/"+role.ID, webtest.Fields{"version": role.Version, "name": "Readers"}), t,
		http.StatusOK).
		Into(t, &role)
	if role.Name != "Readers" || !slices.Equal(role.Permissions, []string{string(account.ViewAll)}) {
		t.Errorf("the role became %+v", role)
	}
	address := "/people/" + mira.Actor.ID.String()
	var person api.Person
	want(p.Call("POST", address+"/roles", webtest.Fields{"role_ids": []string{role.ID}}), t, http.StatusOK).Into(t,
		&person)
	if len(person.Roles) != 1 || person.Roles[0].Name != "Readers" {
		t.Errorf("the person has %+v", person.Roles)
	}
	if a := p.Call("DELETE", "/roles/"+role.ID, nil); a.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("removing a role that somebody has is answered %d", a.StatusCode)
	}
	want(theirs.Call("GET", "/me", nil), t, http.StatusOK)
	want(p.Call("POST", address+"/deactivation", nil), t, http.StatusOK).Into(t, &person)
	if person.Status != "deactivated" {
		t.Errorf("the person is %s", person.Status)
	}
	want(theirs.Call("GET", "/me", nil), t, http.StatusUnauthorized)
	want(p.Call("POST", address+"/activation", nil), t, http.StatusOK)
	var list api.PageOf[api.PersonItem]
	want(p.Call("GET", "/people?limit=1", nil), t, http.StatusOK).Into(t, &list)
	first := list.Items[0].Name
	want(p.Call("GET", "/people?limit=1&cursor="+list.NextCursor, nil), t, http.StatusOK).Into(t, &list)
	if len(list.Items) != 1 || list.Items[0].Name == first {
		t.Errorf("after %s comes %+v", first, list.Items)
	}
}

func TestAProgramReadsCallsAndSendsOneAgain(t *testing.T) {
	s := webtest.Open(t)
	ada := s.As("ada", account.RoleAdministrator)
	p := ada.Program()
	var made api.Automation
	want(p.Call("POST", "/automations", webtest.Fields{
		"name": "Called", "workspace_id": s.Workspace, "trigger": "http", "provider": "agent",
		"prompt":         "Look at {{what}}.",
		"allow_parallel": true,
	}), t, http.StatusCreated).Into(t, &made)
	_, path, _ := strings.Cut(made.WebhookURL, "/api/")
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.HTTP.URL+"/api/"+path,
		strings.NewReader(`{"what":"the sky"}`))
	webtest.Check(t, err)
	req.Header.Set("Content-Type", "application/json")
	want(ada.Do(req), t, http.StatusOK)
	var list api.PageOf[api.Delivery]
	want(p.Call("GET", "/automations/"+made.ID+"/deliveries?verdict=started", nil), t, http.StatusOK).Into(t, &list)
	if len(list.Items) != 1 || list.Items[0].ExecutionID == "" {
		t.Fatalf("the calls are %+v", list.Items)
	}
	address := "/automations/" + made.ID + "/deliveries/" + list.Items[0].ID
	var one api.Delivery
	want(p.Call("GET", address, nil), t, http.StatusOK).Into(t, &one)
	if one.Body != `{"what":"the sky"}` || len(one.Answer) == 0 || one.Replayable == nil || !*one.Replayable {
		t.Errorf("the call is %+v", one)
	}
	var started api.Started
	want(p.Call("POST", address+"/replays", nil), t, http.StatusCreated).Into(t, &started)
	var run api.Execution
	want(p.Call("GET", "/executions/"+started.ExecutionID, nil), t, http.StatusOK).Into(t, &run)
	if run.Mark != "replay" || run.Parameters["what"] != "the sky" {
		t.Errorf("it started %+v", run)
	}
}

func TestAProgramDoesOneThingToSeveralAutomationsAndGivesThemAway(t *testing.T) {
	s := webtest.Open(t)
	ada, mira := s.As("ada", account.RoleAdministrator), s.As("mira", account.RoleMember)
	p, theirs := ada.Program(), mira.Program()
	create := func(p *webtest.Program, name string) string {
		var made api.Automation
		want(p.Call("POST", "/automations", webtest.Fields{
			"name": name, "workspace_id": s.Workspace, "provider": "agent", "prompt": "Go",
		}), t, http.StatusCreated).Into(t, &made)
		return made.ID
	}
	own, other := create(theirs, "Own"), create(p, "Other")
	var result api.BulkResult
	want(theirs.Call("POST", "/automations/bulk", webtest.Fields{"action": "disable",
		"ids": []string{own, other, "nonsense"}}), t, http.StatusOK).Into(t, &result)
	if result.Done != 1 || result.Skipped["not yours"] != 2 {
		t.Errorf("it came to %+v", result)
	}
	var to api.Transferred
	want(p.Call("POST", "/automations/"+other+"/transfer", webtest.Fields{"to": mira.Actor.ID.String()}), t,
		http.StatusOK).
		Into(t, &to)
	if to.Offered {
		t.Error("giving to somebody who may do less was an offer")
	}
	want(theirs.Call("POST", "/automations/"+own+"/transfer", webtest.Fields{"to": ada.Actor.ID.String()}), t,
		http.StatusOK).
		Into(t, &to)
	if !to.Offered {
		t.Error("giving to somebody who may do more was no offer")
	}
}

func TestAProgramTakesPartInASession(t *testing.T) {
	s := webtest.Open(t)
	ada := s.As("ada", account.RoleAdministrator)
	p := ada.Program()
	run := s.AgentRun(ada)
	s.Claimed(run)
	address := "/sessions/" + run.Session.ID.String()
	want(p.Call("POST", address+"/messages", webtest.Fields{"message": "And then?"}), t, http.StatusNoContent)
	var queued api.PageOf[api.QueuedMessage]
	want(p.Call("GET", address+"/messages", nil), t, http.StatusOK).Into(t, &queued)
	if len(queued.Items) != 1 || queued.Items[0].Message != "And then?" || queued.Items[0].Author == nil ||
		queued.Items[0].Author.Name != "ada" {
		t.Fatalf("what waits is %+v", queued.Items)
	}
	want(p.Call("DELETE", address+"/messages/"+queued.Items[0].ID, nil), t, http.StatusNoContent)
	want(p.Call("GET", address+"/messages", nil), t, http.StatusOK).Into(t, &queued)
	if len(queued.Items) != 0 {
		t.Errorf("what waits is still %+v", queued.Items)
	}
	want(p.Call("POST", address+"/interruption", nil), t, http.StatusOK)

	want(p.Call("POST", address+"/pull-request", webtest.Fields{"url": "not an address"}), t,
		http.StatusUnprocessableEntity)
	want(p.Call("POST", address+"/pull-request", webtest.Fields{"url": "https://github.com/o/r/pull/7"}), t,
		http.StatusNoContent)
	var pulls api.PageOf[api.PullRequest]
	want(p.Call("GET", address+"/pull-requests", nil), t, http.StatusOK).Into(t, &pulls)
	if len(pulls.Items) != 1 || pulls.Items[0].Number != 7 || pulls.Items[0].FoundBy != "hand" {
		t.Fatalf("its pull requests are %+v", pulls.Items)
	}
	want(p.Call("DELETE", address+"/pull-requests/"+pulls.Items[0].ID, nil), t, http.StatusNoContent)

	ticket, err := s.Server.Tickets.Create(t.Context(), ada.Actor, ticket.Input{
		Workspace: s.Workspace, Title: "Look",
	})
	webtest.Check(t, err)
	want(p.Call("POST", address+"/tickets", webtest.Fields{"number": ticket.Number}), t, http.StatusNoContent)
	want(p.Call("DELETE", "/tickets/"+ticket.ID.String()+address, nil), t, http.StatusNoContent)
	want(p.Call("DELETE", "/tickets/"+ticket.ID.String()+address, nil), t, http.StatusNotFound)
}

func TestAProgramSortsAnInbox(t *testing.T) {
	s := webtest.Open(t)
	ada := s.As("ada", account.RoleAdministrator)
	p := ada.Program()
	n := db.Notification{
		ID: db.NewID(), UserID: ada.Actor.ID, Kind: inbox.Skipped, Title: "Skipped", DedupKey: "x",
		CreatedAt: s.Server.Now(),
	}
	_, err := db.InsertNotifications(t.Context(), s.Server.DB, []db.Notification{n})
	webtest.Check(t, err)
	var notice api.Notice
	for _, starred := range []bool{true, false} {
		want(p.Call("POST", "/inbox/"+n.ID.String()+"/star", webtest.Fields{"starred": starred}), t, http.StatusOK).
			Into(t, &notice)
		if notice.Starred != starred {
			t.Errorf("its star is %t; want %t", notice.Starred, starred)
		}
	}
	want(p.Call("POST", "/inbox/"+n.ID.String()+"/dismissal", nil), t, http.StatusNoContent)
	if strings.Contains(p.Call("GET", "/inbox", nil).Text, "Skipped") {
		t.Error("the inbox still has what was dismissed")
	}
}
