package web

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/db"
)

// formAt is the form of a page that is sent to an address.
func (b *browser) formAt(page, action string) *shownForm {
	b.t.Helper()
	a := b.get(page)
	a.expect(b.t, 200, "<form")
	return formIn(b.t, a.body, action)
}

func formIn(t *testing.T, page, action string) *shownForm {
	t.Helper()
	list, err := forms(strings.NewReader(page))
	check(t, err)
	i := slices.IndexFunc(list, func(f *shownForm) bool { return f.action == action })
	if i < 0 {
		t.Fatalf("there is no form that is sent to %s in %.3000s", action, page)
	}
	return list[i]
}

// submit sends a form as it is, with some fields changed.
func (b *browser) submit(f *shownForm, changed ...string) *answer {
	b.t.Helper()
	values := url.Values{}
	for name, list := range f.values {
		values[name] = slices.Clone(list)
	}
	for i := 0; i+1 < len(changed); i += 2 {
		values.Set(changed[i], changed[i+1])
	}
	var fields []string
	for name, list := range values {
		for _, v := range list {
			fields = append(fields, name, strings.ReplaceAll(v, "\n", "\r\n")) // as browsers do
		}
	}
	return b.post(f.action, fields...)
}

func TestAWorkspaceIsChangedThroughItsForm(t *testing.T) {
	s := open(t)
	ada := s.as("ada", account.RoleAdministrator)
	address := "/workspaces/" + s.workspace
	f := ada.formAt(address+"/edit", address)
	key := "-----BEGIN KEY-----\nAAAA\nBBBB\n-----END KEY-----\n"
	f.values["variable_name"], f.values["variable_value"] = []string{"KEY"}, []string{key}
	ada.submit(f, "name", "Renamed").expect(t, 303, "")

	ws, err := db.WorkspaceByID(t.Context(), s.server.DB, optionalID(s.workspace))
	check(t, err)
	list, err := db.VariablesOf(t.Context(), s.server.DB, ws.ID)
	check(t, err)
	if ws.Name != "Renamed" || len(list) != 1 || list[0].Value != key {
		t.Errorf("the workspace is %q with %+v; want Renamed with the key in its lines", ws.Name, list)
	}
	again := ada.formAt(address+"/edit", address)
	ada.submit(again).expect(t, 303, "")
	if list, err = db.VariablesOf(t.Context(), s.server.DB, ws.ID); err != nil || len(list) != 1 || list[0].Value != key {
		t.Errorf("saved unchanged, the variables are %+v, %v; want the key in its lines", list, err)
	}
}

func TestTextsKeepTheirLinesWhenTheirFormIsSavedUnchanged(t *testing.T) {
	s := open(t)
	ada := s.as("ada", account.RoleAdministrator)
	a, _, err := s.rules.Create(t.Context(), ada.actor, automation.Input{
		Name: "Lines", Workspace: s.workspace, Trigger: string(db.Manual), SessionType: string(db.Develop), ExecutionType: string(db.Inline), Provider: "agent",
		Prompt: "\n\nTell {{who}}.\n", Parameters: map[string]string{"who": "\nAda\n\nGrace\n"},
		QualityInput: automation.QualityInput{GateCommand: "\ntrue\n"},
	})
	check(t, err)
	address := "/automations/" + a.ID.String()
	ada.submit(ada.formAt(address+"/edit", address)).expect(t, 303, "")
	now, err := db.AutomationByID(t.Context(), s.server.DB, a.ID)
	check(t, err)
	if now.Prompt != a.Prompt || now.Parameters["who"] != a.Parameters["who"] || now.Gate != a.Gate {
		t.Errorf("saved unchanged, it is %q with %q and %q; want %q with %q and %q", now.Prompt, now.Parameters["who"], now.Gate.Command, a.Prompt, a.Parameters["who"], a.Gate.Command)
	}
}

func TestAManualAutomationBecomesRecurringAsANewOneDoes(t *testing.T) {
	s := open(t)
	ada := s.as("ada", account.RoleAdministrator)
	_, err := s.server.DB.NewUpdate().Model((*db.User)(nil)).Set("time_zone = 'Europe/Berlin'").Where("email = 'ada@example.com'").Exec(t.Context())
	check(t, err)
	a, _, err := s.rules.Create(t.Context(), ada.actor, automation.Input{
		Name: "Later", Workspace: s.workspace, Trigger: string(db.Manual), SessionType: string(db.Develop), ExecutionType: string(db.Inline), Provider: "agent", Prompt: "Look.",
	})
	check(t, err)
	address := "/automations/" + a.ID.String()
	ada.submit(ada.formAt(address+"/edit", address), "trigger", "recurring").expect(t, 303, "")
	now, err := db.AutomationByID(t.Context(), s.server.DB, a.ID)
	check(t, err)
	fresh := ada.formAt("/automations/new", "/automations")
	if now.TimeZone != "Europe/Berlin" || now.Cron == "" || now.Cron != fresh.values.Get("cron") || now.TimeZone != fresh.values.Get("time_zone") {
		t.Errorf("it recurs by %q in %q; want Berlin, and as a new one, which would by %q in %q", now.Cron, now.TimeZone, fresh.values.Get("cron"), fresh.values.Get("time_zone"))
	}
}
