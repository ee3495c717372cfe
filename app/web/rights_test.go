package web_test

import (
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/app/web/webtest"
	"carillon/db"
)

func TestAnOfferIsAnsweredOnThePageOfItsAutomation(t *testing.T) {
	s := webtest.Open(t)
	owner, manager, viewer := s.As("Jonas", account.RoleMember), s.As("Max", account.RoleManager),
		s.As("Vera", account.RoleMember)
	s.Custom(viewer, "Viewers", account.ViewAll)
	in := automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Audit",
		Workspace:      s.Workspace,
		Trigger:        "manual",
		SessionType:    "develop",
		Prompt:         "Look.",
		Provider:       "agent",
		Retries:        2,
	}}
	a, _, err := s.Rules.Definitions().Create(t.Context(), owner.Actor, in)
	webtest.Check(t, err)
	page := "/automations/" + a.ID.String()
	owner.Post(page+"/transfer", "to", manager.Actor.ID.String()).Expect(t, 303, "")
	owner.Get(page).Expect(t, 200, "has offered it to Max")
	if strings.Contains(viewer.Get(page).Text, "offered") {
		t.Error("who may only see the automation sees the offer")
	}
	manager.Get(page).Expect(t, 200, "Jonas asks you to take over this automation")
	manager.Post(page+"/offer", "answer", "accept", "version", "7").Expect(t, 409, "")
	manager.Post(page+"/offer", "answer", "accept", "version", "1").Expect(t, 303, "")
	if now, err := s.Rules.Definitions().Find(t.Context(), manager.Actor, a.ID); err != nil ||
		now.CreatorID != manager.Actor.ID {
		t.Errorf("after the consent: %+v, %v", now, err)
	}
}

func TestWhoSeesAnAutomationSeesItsValuesAndWhoManagesItWhereACallCameFrom(t *testing.T) {
	h := webtest.NewHook(t, nil)
	viewer := h.As("Vera", account.RoleMember)
	h.Custom(viewer, "Viewers", account.ViewAll)
	a := h.Call("POST", webtest.Endpoint, h.Token, "application/json", strings.NewReader(`{"what":"the-value","who":"x"}`))
	if a.StatusCode != 200 {
		t.Fatalf("the call was answered %d", a.StatusCode)
	}
	list, err := db.Executions(t.Context(), h.Server.DB,
		db.ExecutionFilter{Automation: h.A.ID, Access: db.Access{All: true, Everywhere: true}, Limit: 1})
	webtest.Check(t, err)
	for who, b := range map[string]*webtest.Browser{"the owner": h.Owner, "a viewer": viewer} {
		if page := b.Get("/executions/" + list[0].ID.String()).Text; !strings.Contains(page, "the-value") {
			t.Errorf("%s does not see the value of a call", who)
		}
		page := b.Get("/automations/" + h.A.ID.String() + "/settings").Text
		if !strings.Contains(page, "Last called") || strings.Contains(page, " from 127.0.0.1") != (b == h.Owner) {
			t.Errorf("%s sees the address of the last caller, or the owner does not", who)
		}
	}
}
