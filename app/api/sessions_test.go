package api_test

import (
	"slices"
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/app/api"
	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/app/web/webtest"
	"carillon/db"
)

func TestTheAPISaysForWhomASessionActsAndWhatItMay(t *testing.T) {
	s := webtest.Open(t)
	owner, manager := s.As("Jonas", account.RoleMember), s.As("Max", account.RoleManager)
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
	plain, _, err := s.Rules.Definitions().Create(t.Context(), owner.Actor, in)
	webtest.Check(t, err)
	in.MayAutomate = true
	managing, _, err := s.Rules.Definitions().Create(t.Context(), owner.Actor, in)
	webtest.Check(t, err)
	p := owner.Program()
	var got struct {
		ActsFor []api.Named `json:"acts_for"`
		May     []string    `json:"may"`
	}
	for _, tt := range []struct {
		a   *db.Automation
		may string
	}{{plain, "automations.view_own tickets.manage"}, {managing, "automations.manage tickets.manage shell.use"}} {
		run, err := s.Rules.Runs().RunNow(t.Context(), manager.Actor, tt.a.ID, nil)
		webtest.Check(t, err)
		path := "/sessions/" + run.Session.ID.String()
		for _, a := range []*webtest.Answer{p.Call("GET", path, nil), p.Call("POST", path+"/stop", nil)} {
			a.Into(t, &got)
			want := []api.Named{{ID: manager.Actor.ID.String(), Name: "Max"},
				{ID: owner.Actor.ID.String(), Name: "Jonas"}}
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
	p.Call("GET", "/openapi.json", nil).Into(t, &doc)
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
