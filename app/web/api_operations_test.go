package web

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
	"carillon/db"
)

// want fails unless a call is answered with a status.
func (a *answer) want(t *testing.T, status int) *answer {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("%s %s answered %d %.600s; want %d", a.Request.Method, a.Request.URL.Path, a.StatusCode, a.body,
			status)
	}
	return a
}

func TestAProgramMakesAndChangesWorkspacesAndTheirSecretsStay(t *testing.T) {
	s := open(t)
	ada := s.as("ada", account.RoleAdministrator)
	p := ada.program()
	var w api.WorkspaceDetail
	p.call("POST", "/workspaces", fields{
		"name": "Shop", "git_url": "https://example.com/shop.git", "token": "a token of the repository",
		"variables": []fields{{"name": "STAGE", "value": "test"},
			{"name": "KEY", "value": "hidden word", "secret": true}},
	}).want(t, http.StatusCreated).into(t, &w)
	if !w.HasToken || len(w.Variables) != 2 || len(w.Members) != 1 || w.Members[0].Name != "ada" {
		t.Errorf("it was made as %+v", w)
	}
	a := p.call("PATCH", "/workspaces/"+w.ID, fields{
		"version": w.Version, "name": "Shop 2",
		"variables": []fields{{"name": "STAGE", "value": "live"}, {"name": "KEY", "secret": true}},
	}).want(t, http.StatusOK)
	a.into(t, &w)
	if w.Name != "Shop 2" || !w.HasToken || w.GitURL != "https://example.com/shop.git" ||
		strings.Contains(a.body, "hidden word") {
		t.Errorf("it was changed to %+v", w)
	}
	stored, err := s.rules.Workspaces.Find(t.Context(), ada.actor, uuid.MustParse(w.ID))
	check(t, err)
	e, err := s.rules.Workspaces.Environment(t.Context(), &stored.Workspace)
	check(t, err)
	if !slices.Contains(e.Variables, "KEY=hidden word") || !slices.Contains(e.Variables, "STAGE=live") ||
		e.Token == "" {
		t.Errorf("a run gets %v, and a token: %t", e.Variables, e.Token != "")
	}
	p.call("PATCH", "/workspaces/"+w.ID, fields{"version": w.Version, "token": ""}).want(t, http.StatusOK).into(t, &w)
	if w.HasToken {
		t.Error("an empty token took none away")
	}
	bad := p.call("PATCH", "/workspaces/"+w.ID, fields{
		"version": w.Version, "name": "", "git_url": strings.Repeat("x", 2001),
	})
	bad.want(t, http.StatusUnprocessableEntity)
	for _, field := range []string{`"name"`, `"git_url"`} {
		if !strings.Contains(bad.body, field) {
			t.Errorf("the mistakes lack %s: %s", field, bad.body)
		}
	}
	if a := p.call("PATCH", "/workspaces/"+w.ID, fields{
		"version": 1, "name": "Late",
	}); a.StatusCode != http.StatusConflict {
		t.Errorf("a change of an older version is answered %d", a.StatusCode)
	}

	mira := s.as("mira", account.RoleMember)
	theirs := mira.program()
	theirs.call("GET", "/workspaces/"+w.ID, nil).want(t, http.StatusNotFound)
	p.call("POST", "/workspaces/"+w.ID+"/members", fields{"user_id": mira.actor.ID.String()}).
		want(t, http.StatusNoContent)
	theirs.call("GET", "/workspaces/"+w.ID, nil).want(t, http.StatusOK)
	p.call("DELETE", "/workspaces/"+w.ID+"/members/"+mira.actor.ID.String(), nil).want(t, http.StatusNoContent)
	theirs.call("GET", "/workspaces/"+w.ID, nil).want(t, http.StatusNotFound)
	p.call("DELETE", "/workspaces/"+w.ID, nil).want(t, http.StatusNoContent)
	if strings.Contains(p.call("GET", "/workspaces", nil).body, "Shop 2") {
		t.Error("the list has a workspace that was removed")
	}
}

func TestAProgramLooksAfterPeopleAndRoles(t *testing.T) {
	s := open(t)
	ada, mira := s.as("ada", account.RoleAdministrator), s.as("mira", account.RoleMember)
	p, theirs := ada.program(), mira.program()
	var role api.Role
	p.call("POST", "/roles", fields{"name": "Reader", "permissions": []string{string(account.ViewAll)}}).
		want(t, http.StatusCreated).into(t, &role)
	p.call("PATCH", "/roles/"+role.ID, fields{"version": role.Version, "name": "Readers"}).want(t, http.StatusOK).
		into(t, &role)
	if role.Name != "Readers" || !slices.Equal(role.Permissions, []string{string(account.ViewAll)}) {
		t.Errorf("the role became %+v", role)
	}
	address := "/people/" + mira.actor.ID.String()
	var person api.Person
	p.call("POST", address+"/roles", fields{"role_ids": []string{role.ID}}).want(t, http.StatusOK).into(t, &person)
	if len(person.Roles) != 1 || person.Roles[0].Name != "Readers" {
		t.Errorf("the person has %+v", person.Roles)
	}
	if a := p.call("DELETE", "/roles/"+role.ID, nil); a.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("removing a role that somebody has is answered %d", a.StatusCode)
	}
	theirs.call("GET", "/me", nil).want(t, http.StatusOK)
	p.call("POST", address+"/deactivation", nil).want(t, http.StatusOK).into(t, &person)
	if person.Status != "deactivated" {
		t.Errorf("the person is %s", person.Status)
	}
	theirs.call("GET", "/me", nil).want(t, http.StatusUnauthorized)
	p.call("POST", address+"/activation", nil).want(t, http.StatusOK)
	var list api.PageOf[api.PersonItem]
	p.call("GET", "/people?limit=1", nil).want(t, http.StatusOK).into(t, &list)
	first := list.Items[0].Name
	p.call("GET", "/people?limit=1&cursor="+list.NextCursor, nil).want(t, http.StatusOK).into(t, &list)
	if len(list.Items) != 1 || list.Items[0].Name == first {
		t.Errorf("after %s comes %+v", first, list.Items)
	}
}

func TestAProgramReadsCallsAndSendsOneAgain(t *testing.T) {
	s := open(t)
	ada := s.as("ada", account.RoleAdministrator)
	p := ada.program()
	var made api.Automation
	p.call("POST", "/automations", fields{
		"name": "Called", "workspace_id": s.workspace, "trigger": "http", "provider": "agent",
		"prompt":         "Look at {{what}}.",
		"allow_parallel": true,
	}).want(t, http.StatusCreated).into(t, &made)
	_, path, _ := strings.Cut(made.WebhookURL, "/api/")
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.http.URL+"/api/"+path,
		strings.NewReader(`{"what":"the sky"}`))
	check(t, err)
	req.Header.Set("Content-Type", "application/json")
	ada.do(req).want(t, http.StatusOK)
	var list api.PageOf[api.Delivery]
	p.call("GET", "/automations/"+made.ID+"/deliveries?verdict=started", nil).want(t, http.StatusOK).into(t, &list)
	if len(list.Items) != 1 || list.Items[0].ExecutionID == "" {
		t.Fatalf("the calls are %+v", list.Items)
	}
	address := "/automations/" + made.ID + "/deliveries/" + list.Items[0].ID
	var one api.Delivery
	p.call("GET", address, nil).want(t, http.StatusOK).into(t, &one)
	if one.Body != `{"what":"the sky"}` || len(one.Answer) == 0 || one.Replayable == nil || !*one.Replayable {
		t.Errorf("the call is %+v", one)
	}
	var started api.Started
	p.call("POST", address+"/replays", nil).want(t, http.StatusCreated).into(t, &started)
	var run api.Execution
	p.call("GET", "/executions/"+started.ExecutionID, nil).want(t, http.StatusOK).into(t, &run)
	if run.Mark != "replay" || run.Parameters["what"] != "the sky" {
		t.Errorf("it started %+v", run)
	}
}

func TestAProgramDoesOneThingToSeveralAutomationsAndGivesThemAway(t *testing.T) {
	s := open(t)
	ada, mira := s.as("ada", account.RoleAdministrator), s.as("mira", account.RoleMember)
	p, theirs := ada.program(), mira.program()
	create := func(p *program, name string) string {
		var made api.Automation
		p.call("POST", "/automations", fields{
			"name": name, "workspace_id": s.workspace, "provider": "agent", "prompt": "Go",
		}).
			want(t, http.StatusCreated).into(t, &made)
		return made.ID
	}
	own, other := create(theirs, "Own"), create(p, "Other")
	var result api.BulkResult
	theirs.call("POST", "/automations/bulk", fields{"action": "disable", "ids": []string{own, other, "nonsense"}}).
		want(t, http.StatusOK).into(t, &result)
	if result.Done != 1 || result.Skipped["not yours"] != 2 {
		t.Errorf("it came to %+v", result)
	}
	var to api.Transferred
	p.call("POST", "/automations/"+other+"/transfer", fields{"to": mira.actor.ID.String()}).want(t, http.StatusOK).
		into(t, &to)
	if to.Offered {
		t.Error("giving to somebody who may do less was an offer")
	}
	theirs.call("POST", "/automations/"+own+"/transfer", fields{"to": ada.actor.ID.String()}).want(t, http.StatusOK).
		into(t, &to)
	if !to.Offered {
		t.Error("giving to somebody who may do more was no offer")
	}
}

func TestAProgramTakesPartInASession(t *testing.T) {
	s := open(t)
	ada := s.as("ada", account.RoleAdministrator)
	p := ada.program()
	run := s.agentRun(ada)
	s.claimed(run)
	address := "/sessions/" + run.Session.ID.String()
	p.call("POST", address+"/messages", fields{"message": "And then?"}).want(t, http.StatusNoContent)
	var queued api.PageOf[api.QueuedMessage]
	p.call("GET", address+"/messages", nil).want(t, http.StatusOK).into(t, &queued)
	if len(queued.Items) != 1 || queued.Items[0].Message != "And then?" || queued.Items[0].Author == nil ||
		queued.Items[0].Author.Name != "ada" {
		t.Fatalf("what waits is %+v", queued.Items)
	}
	p.call("DELETE", address+"/messages/"+queued.Items[0].ID, nil).want(t, http.StatusNoContent)
	p.call("GET", address+"/messages", nil).want(t, http.StatusOK).into(t, &queued)
	if len(queued.Items) != 0 {
		t.Errorf("what waits is still %+v", queued.Items)
	}
	p.call("POST", address+"/interruption", nil).want(t, http.StatusOK)

	p.call("POST", address+"/pull-request", fields{"url": "not an address"}).want(t, http.StatusUnprocessableEntity)
	p.call("POST", address+"/pull-request", fields{"url": "https://github.com/o/r/pull/7"}).
		want(t, http.StatusNoContent)
	var pulls api.PageOf[api.PullRequest]
	p.call("GET", address+"/pull-requests", nil).want(t, http.StatusOK).into(t, &pulls)
	if len(pulls.Items) != 1 || pulls.Items[0].Number != 7 || pulls.Items[0].FoundBy != "hand" {
		t.Fatalf("its pull requests are %+v", pulls.Items)
	}
	p.call("DELETE", address+"/pull-requests/"+pulls.Items[0].ID, nil).want(t, http.StatusNoContent)

	ticket, err := s.server.Tickets.Create(t.Context(), ada.actor, ticket.Input{
		Workspace: s.workspace, Title: "Look",
	})
	check(t, err)
	p.call("POST", address+"/tickets", fields{"number": ticket.Number}).want(t, http.StatusNoContent)
	p.call("DELETE", "/tickets/"+ticket.ID.String()+address, nil).want(t, http.StatusNoContent)
	p.call("DELETE", "/tickets/"+ticket.ID.String()+address, nil).want(t, http.StatusNotFound)
}

func TestAProgramSortsAnInbox(t *testing.T) {
	s := open(t)
	ada := s.as("ada", account.RoleAdministrator)
	p := ada.program()
	n := db.Notification{
		ID: db.NewID(), UserID: ada.actor.ID, Kind: inbox.Skipped, Title: "Skipped", DedupKey: "x",
		CreatedAt: s.server.Now(),
	}
	_, err := db.InsertNotifications(t.Context(), s.server.DB, []db.Notification{n})
	check(t, err)
	var notice api.Notice
	for _, starred := range []bool{true, false} {
		p.call("POST", "/inbox/"+n.ID.String()+"/star", fields{"starred": starred}).want(t, http.StatusOK).
			into(t, &notice)
		if notice.Starred != starred {
			t.Errorf("its star is %t; want %t", notice.Starred, starred)
		}
	}
	p.call("POST", "/inbox/"+n.ID.String()+"/dismissal", nil).want(t, http.StatusNoContent)
	if strings.Contains(p.call("GET", "/inbox", nil).body, "Skipped") {
		t.Error("the inbox still has what was dismissed")
	}
}
