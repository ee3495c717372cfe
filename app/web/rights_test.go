package web

import (
	"slices"
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/app/api"
	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/db"
)

func TestASessionSaysForWhomItActsAndWhatItMay(t *testing.T) {
	s := open(t)
	owner, manager := s.as("Jonas", account.RoleMember), s.as("Max", account.RoleManager)
	in := automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Audit",
		Workspace:      s.workspace,
		Trigger:        "manual",
		SessionType:    "develop",
		Prompt:         "Look.",
		Provider:       "agent",
		MayAutomate:    true,
		Retries:        2,
	}}
	a, _, err := s.rules.Definitions().Create(t.Context(), owner.actor, in)
	check(t, err)
	run, err := s.rules.Runs().RunNow(t.Context(), manager.actor, a.ID, nil)
	check(t, err)
	page := manager.get("/sessions/" + run.Session.ID.String()).body
	for _, want := range []string{"Acts for", "Max, Jonas",
		"manage own automations, create and edit tickets, use the Shell provider"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of a session lacks %q", want)
		}
	}
	if strings.Contains(page, "everyone’s automations") {
		t.Error("the page names a right that the owner of the automation has not")
	}
}

func TestTheAPISaysForWhomASessionActsAndWhatItMay(t *testing.T) {
	s := open(t)
	owner, manager := s.as("Jonas", account.RoleMember), s.as("Max", account.RoleManager)
	in := automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Audit",
		Workspace:      s.workspace,
		Trigger:        "manual",
		SessionType:    "develop",
		Prompt:         "Look.",
		Provider:       "agent",
		Retries:        2,
	}}
	plain, _, err := s.rules.Definitions().Create(t.Context(), owner.actor, in)
	check(t, err)
	in.MayAutomate = true
	managing, _, err := s.rules.Definitions().Create(t.Context(), owner.actor, in)
	check(t, err)
	p := owner.program()
	var got struct {
		ActsFor []api.Named `json:"acts_for"`
		May     []string    `json:"may"`
	}
	for _, tt := range []struct {
		a   *db.Automation
		may string
	}{{plain, "automations.view_own tickets.manage"}, {managing, "automations.manage tickets.manage shell.use"}} {
		run, err := s.rules.Runs().RunNow(t.Context(), manager.actor, tt.a.ID, nil)
		check(t, err)
		path := "/sessions/" + run.Session.ID.String()
		for _, a := range []*answer{p.call("GET", path, nil), p.call("POST", path+"/stop", nil)} {
			a.into(t, &got)
			want := []api.Named{{ID: manager.actor.ID.String(), Name: "Max"},
				{ID: owner.actor.ID.String(), Name: "Jonas"}}
			if !slices.Equal(got.ActsFor, want) || strings.Join(got.May, " ") != tt.may {
				t.Errorf("%s %s says that it acts for %v and may %q; want %v and %q", a.Request.Method, path,
					got.ActsFor, got.May, want, tt.may)
			}
		}
	}
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]struct {
					Description string
					Items       struct{ Enum []string }
				}
			}
		}
	}
	p.call("GET", "/openapi.json", nil).into(t, &doc)
	fields := doc.Components.Schemas["Session"].Properties
	var known []string
	for _, p := range []account.Permission{account.ViewOwn, account.ViewAll, account.Manage, account.ManageAll,
		account.ManageTickets, account.UseShell} {
		known = append(known, string(p))
	}
	if enum := fields["may"].Items.Enum; len(enum) != len(known) || slices.ContainsFunc(known, func(p string) bool {
		return !slices.Contains(enum, p)
	}) {
		t.Errorf("a session is described to have some of %v; want %v", enum, known)
	}
	if fields["acts_for"].Description == "" || fields["may"].Description == "" {
		t.Errorf("the description lacks what it acts for and what it may: %+v", fields)
	}
}

func TestAnOfferIsAnsweredOnThePageOfItsAutomation(t *testing.T) {
	s := open(t)
	owner, manager, viewer := s.as("Jonas", account.RoleMember), s.as("Max", account.RoleManager),
		s.as("Vera", account.RoleMember)
	s.custom(viewer, "Viewers", account.ViewAll)
	in := automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Audit",
		Workspace:      s.workspace,
		Trigger:        "manual",
		SessionType:    "develop",
		Prompt:         "Look.",
		Provider:       "agent",
		Retries:        2,
	}}
	a, _, err := s.rules.Definitions().Create(t.Context(), owner.actor, in)
	check(t, err)
	page := "/automations/" + a.ID.String()
	owner.post(page+"/transfer", "to", manager.actor.ID.String()).expect(t, 303, "")
	owner.get(page).expect(t, 200, "has offered it to Max")
	if strings.Contains(viewer.get(page).body, "offered") {
		t.Error("who may only see the automation sees the offer")
	}
	manager.get(page).expect(t, 200, "Jonas asks you to take over this automation")
	manager.post(page+"/offer", "answer", "accept", "version", "7").expect(t, 409, "")
	manager.post(page+"/offer", "answer", "accept", "version", "1").expect(t, 303, "")
	if now, err := s.rules.Definitions().Find(t.Context(), manager.actor, a.ID); err != nil ||
		now.CreatorID != manager.actor.ID {
		t.Errorf("after the consent: %+v, %v", now, err)
	}
}

func TestWhoSeesAnAutomationSeesItsValuesAndWhoManagesItWhereACallCameFrom(t *testing.T) {
	h := newHook(t, nil)
	viewer := h.as("Vera", account.RoleMember)
	h.custom(viewer, "Viewers", account.ViewAll)
	a := h.call("POST", endpoint, h.token, "application/json", strings.NewReader(`{"what":"the-value","who":"x"}`))
	if a.StatusCode != 200 {
		t.Fatalf("the call was answered %d", a.StatusCode)
	}
	list, err := db.Executions(t.Context(), h.server.DB,
		db.ExecutionFilter{Automation: h.a.ID, Access: db.Access{All: true, Everywhere: true}, Limit: 1})
	check(t, err)
	for who, b := range map[string]*browser{"the owner": h.owner, "a viewer": viewer} {
		if page := b.get("/executions/" + list[0].ID.String()).body; !strings.Contains(page, "the-value") {
			t.Errorf("%s does not see the value of a call", who)
		}
		page := b.get("/automations/" + h.a.ID.String() + "/settings").body
		if !strings.Contains(page, "Last called") || strings.Contains(page, " from 127.0.0.1") != (b == h.owner) {
			t.Errorf("%s sees the address of the last caller, or the owner does not", who)
		}
	}
}
