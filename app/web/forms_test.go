package web_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/bot"
	"carillon/app/form"
	"carillon/app/spec"
	"carillon/app/ticket"
	"carillon/app/web/page"
	"carillon/app/web/webtest"
	"carillon/app/workflow"
	"carillon/db"
)

// formAt is the form of a page that is sent to an address.
func formAt(b *webtest.Browser, page, action string) *page.Form {
	b.T.Helper()
	a := b.Get(page)
	a.Expect(b.T, 200, "<form")
	return formIn(b.T, a.Text, action)
}

func formIn(t *testing.T, body, action string) *page.Form {
	t.Helper()
	list, err := page.Forms(strings.NewReader(body))
	webtest.Check(t, err)
	i := slices.IndexFunc(list, func(f *page.Form) bool { return f.Action == action })
	if i < 0 {
		t.Fatalf("there is no form that is sent to %s in %.3000s", action, body)
	}
	return list[i]
}

// submit sends a form as it is, with some fields changed: of several with one name the first.
func submit(b *webtest.Browser, f *page.Form, changed ...string) *webtest.Answer {
	b.T.Helper()
	values := url.Values{}
	for name, list := range f.Values {
		values[name] = slices.Clone(list)
	}
	for i := 0; i+1 < len(changed); i += 2 {
		if list := values[changed[i]]; len(list) > 0 {
			list[0] = changed[i+1]
		} else {
			values.Set(changed[i], changed[i+1])
		}
	}
	var fields []string
	for name, list := range values {
		for _, v := range list {
			fields = append(fields, name, strings.ReplaceAll(v, "\n", "\r\n")) // as browsers do
		}
	}
	return b.Post(f.Action, fields...)
}

func TestAWorkspaceIsChangedThroughItsForm(t *testing.T) {
	s := webtest.Open(t)
	ada := s.As("ada", account.RoleAdministrator)
	address := "/workspaces/" + s.Workspace
	f := formAt(ada, address+"/edit", address)
	key := "-----BEGIN KEY-----\nAAAA\nBBBB\n-----END KEY-----\n"
	f.Values["variable_name"], f.Values["variable_value"] = []string{"KEY"}, []string{key}
	submit(ada, f, "name", "Renamed").Expect(t, 303, "")

	ws, err := db.WorkspaceByID(t.Context(), s.Server.DB, form.OptionalID(s.Workspace))
	webtest.Check(t, err)
	list, err := db.VariablesOf(t.Context(), s.Server.DB, ws.ID)
	webtest.Check(t, err)
	if ws.Name != "Renamed" || len(list) != 1 || list[0].Value != key {
		t.Errorf("the workspace is %q with %+v; want Renamed with the key in its lines", ws.Name, list)
	}
	again := formAt(ada, address+"/edit", address)
	submit(ada, again).Expect(t, 303, "")
	if list, err = db.VariablesOf(t.Context(), s.Server.DB, ws.ID); err != nil || len(list) != 1 ||
		list[0].Value != key {
		t.Errorf("saved unchanged, the variables are %+v, %v; want the key in its lines", list, err)
	}
}

func TestTextsKeepTheirLinesWhenTheirFormIsSavedUnchanged(t *testing.T) {
	s := webtest.Open(t)
	ada := s.As("ada", account.RoleAdministrator)
	a, _, err := s.Rules.Definitions().Create(t.Context(), ada.Actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Lines",
		Workspace:      s.Workspace,
		Trigger:        string(db.Manual),
		SessionType:    string(db.Develop),
		ExecutionType:  string(db.Inline),
		Provider:       "agent",
		Prompt:         "\n\nTell {{who}}.\n",
		Parameters:     map[string]string{"who": "\nAda\n\nGrace\n"},
		Gate:           spec.Gate{Command: "\ntrue\n"},
		Retries:        2,
	}})
	webtest.Check(t, err)
	address := "/automations/" + a.ID.String()
	submit(ada, formAt(ada, address+"/edit", address)).Expect(t, 303, "")
	now, err := db.AutomationByID(t.Context(), s.Server.DB, a.ID)
	webtest.Check(t, err)
	if now.Prompt != a.Prompt || now.Parameters["who"] != a.Parameters["who"] || now.Gate != a.Gate {
		t.Errorf("saved unchanged, it is %q with %q and %q; want %q with %q and %q", now.Prompt, now.Parameters["who"],
			now.Gate.Command, a.Prompt, a.Parameters["who"], a.Gate.Command)
	}
}

func TestAManualAutomationBecomesRecurringAsANewOneDoes(t *testing.T) {
	s := webtest.Open(t)
	ada := s.As("ada", account.RoleAdministrator)
	_, err := s.Server.DB.NewUpdate().Model((*db.User)(nil)).Set("time_zone = 'Europe/Berlin'").
		Where("email = 'ada@example.com'").Exec(t.Context())
	webtest.Check(t, err)
	a, _, err := s.Rules.Definitions().Create(t.Context(), ada.Actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Later",
		Workspace:      s.Workspace,
		Trigger:        string(db.Manual),
		SessionType:    string(db.Develop),
		ExecutionType:  string(db.Inline),
		Provider:       "agent",
		Prompt:         "Look.",
		Retries:        2,
	}})
	webtest.Check(t, err)
	address := "/automations/" + a.ID.String()
	submit(ada, formAt(ada, address+"/edit", address), "trigger", "recurring").Expect(t, 303, "")
	now, err := db.AutomationByID(t.Context(), s.Server.DB, a.ID)
	webtest.Check(t, err)
	fresh := formAt(ada, "/automations/new", "/automations")
	if now.TimeZone != "Europe/Berlin" || now.Cron == "" || now.Cron != fresh.Values.Get("cron") ||
		now.TimeZone != fresh.Values.Get("time_zone") {
		t.Errorf("it recurs by %q in %q; want Berlin, and as a new one, which would by %q in %q", now.Cron,
			now.TimeZone, fresh.Values.Get("cron"), fresh.Values.Get("time_zone"))
	}
}

// Each form of something stored is opened by two people. The second one to save is told which fields differ; saving
// again changes what that person changed, and nothing else.
func TestAFormThatMetAnotherChangeSavesOnlyWhatItsOwnPersonChanged(t *testing.T) {
	s := webtest.Open(t)
	ada, grace := s.As("ada", account.RoleAdministrator), s.As("grace", account.RoleAdministrator)
	a, _, err := s.Rules.Definitions().Create(t.Context(), ada.Actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Nightly",
		Workspace:      s.Workspace,
		Trigger:        string(db.Manual),
		SessionType:    string(db.Develop),
		ExecutionType:  string(db.Inline),
		Provider:       "agent",
		Prompt:         "Look at {{what}}.",
		Parameters:     map[string]string{"what": "the log"},
		Toggles:        []string{"edge_cases"},
		Retries:        2,
	}})
	webtest.Check(t, err)
	bot, err := s.Bots.Create(t.Context(), ada.Actor, bot.Input{Bot: spec.Bot{
		Name: "Bot", Instructions: "Be kind.", Enabled: true,
	}})
	webtest.Check(t, err)
	wf, err := s.Workflows.Create(t.Context(), ada.Actor, workflow.Input{
		Name: "Flow", Steps: []workflow.StepInput{{Kind: "message", Text: "One."}, {Kind: "message", Text: "Two."}},
	})
	webtest.Check(t, err)
	ticket, err := s.Server.Tickets.Create(t.Context(), ada.Actor, ticket.Input{
		Workspace: s.Workspace, Title: "Broken", Body: "It is.",
	})
	webtest.Check(t, err)
	role, err := s.Server.Accounts.CreateRole(t.Context(), ada.Actor,
		account.RoleInput{Name: "Guest", Permissions: []string{string(account.ViewOwn)}})
	webtest.Check(t, err)
	person := s.As("jonas", account.RoleMember).Actor.ID.String()

	for _, tt := range []struct {
		name, page, action string
		theirs, mine       []string // a field and its new value
		label              string   // of theirs
	}{
		{"an automation", "/automations/" + a.ID.String() + "/edit", "/automations/" + a.ID.String(),
			[]string{"prompt", "Look at {{what}} now."}, []string{"name", "Daily"}, "Prompt"},
		{"the stored values of an automation", "/automations/" + a.ID.String() + "/edit",
			"/automations/" + a.ID.String(), []string{"param.what", "the logs"}, []string{"timeout", "7"},
			"Value of what"},
		{"the budgets of an automation", "/automations/" + a.ID.String() + "/edit", "/automations/" + a.ID.String(),
			[]string{"budget_day_tokens", "1000"}, []string{"budget_run_tokens", "100"}, "A day, tokens"},
		{"the filter of an automation", "/automations/" + a.ID.String() + "/edit", "/automations/" + a.ID.String(),
			[]string{"timeout", "9"}, []string{"retries", "1"}, "Timeout in minutes"},
		{"a bot", "/bots/" + bot.ID.String() + "/edit", "/bots/" + bot.ID.String(),
			[]string{"instructions", "Be kinder."}, []string{"name", "Robot"}, "Instructions"},
		{"a workflow", "/workflows/" + wf.ID.String() + "/edit", "/workflows/" + wf.ID.String(),
			[]string{"step_text", "First."}, []string{"description", "What it is."}, "Steps"},
		{"a ticket", "/tickets/" + ticket.ID.String() + "/edit", "/tickets/" + ticket.ID.String(),
			[]string{"body", "It was."}, []string{"title", "Was broken"}, "Description"},
		{"a workspace", "/workspaces/" + s.Workspace + "/edit", "/workspaces/" + s.Workspace,
			[]string{"variable_name", "A"}, []string{"name", "Pad"}, "Variables"},
		{"a role", "/settings/roles/" + role.ID.String(), "/settings/roles/" + role.ID.String(),
			[]string{"permissions", string(account.ViewAll)}, []string{"name", "Guests"}, "See"},
		{"the session toggles", "/settings/toggles", "/settings/toggles", []string{"edge_cases", "Mind the gap."},
			[]string{"update_docs", "Write."}, "Edge Cases"},
		{"a person", "/settings/users/" + person, "/settings/users/" + person, []string{"email", "jo@example.com"},
			[]string{"name", "Jo"}, "Email"},
	} {
		first, second := formAt(grace, tt.page, tt.action), formAt(ada, tt.page, tt.action)
		base := second.Values.Get(tt.theirs[0])
		submit(grace, first, tt.theirs...).Expect(t, 303, "")
		met := submit(ada, second, tt.mine...)
		who := "grace saved this"
		if tt.action == "/settings/toggles" { // the audit log has no id for these
			who = "This was saved while you had it open"
		}
		met.Expect(t, 409, who)
		if !strings.Contains(met.Text, tt.label) {
			t.Errorf("%s: the page does not name %s", tt.name, tt.label)
		}
		again := formIn(t, met.Text, tt.action)
		if got := again.Values.Get(tt.mine[0]); got != tt.mine[1] {
			t.Errorf("%s: what was typed came back as %q; want %q", tt.name, got, tt.mine[1])
		}
		submit(ada, again).Expect(t, 303, "")
		now := formAt(ada, tt.page, tt.action)
		for _, want := range [][]string{tt.theirs, tt.mine} {
			if got := now.Values[want[0]]; !slices.Contains(got, want[1]) {
				t.Errorf("%s: %s is %q; want %q, which was %q", tt.name, want[0], got, want[1], base)
			}
		}
	}
}

func TestAFieldThatTwoPeopleChangedKeepsWhatWasTypedAndShowsWhatIsStored(t *testing.T) {
	s := webtest.Open(t)
	ada := s.As("ada", account.RoleAdministrator)
	bot, err := s.Bots.Create(t.Context(), ada.Actor, bot.Input{Bot: spec.Bot{
		Name: "Bot", Instructions: "Be kind.", Enabled: true,
	}})
	webtest.Check(t, err)
	address := "/bots/" + bot.ID.String()
	first, second := formAt(ada, address+"/edit", address), formAt(ada, address+"/edit", address)
	submit(ada, first, "name", "Theirs", "instructions", "Be brief.").Expect(t, 303, "")
	met := submit(ada, second, "name", "Mine")
	met.Expect(t, 409, "You saved this in another tab")
	met.Expect(t, 409, "“Theirs”")
	third := formIn(t, met.Text, address)
	// A third change before the second save is met again, and what was taken over is not one's own.
	submit(ada, formAt(ada, address+"/edit", address), "instructions", "Be still.").Expect(t, 303, "")
	met = submit(ada, third)
	met.Expect(t, 409, "Instructions")
	submit(ada, formIn(t, met.Text, address)).Expect(t, 303, "")
	now := formAt(ada, address+"/edit", address)
	if now.Values.Get("name") != "Mine" || now.Values.Get("instructions") != "Be still." {
		t.Errorf("the bot is %v; want the name typed last and the instructions saved last", now.Values)
	}
}

// What two people tick of boxes with one name is put together.
func TestBoxesOfOneNameAreMergedOneByOne(t *testing.T) {
	s := webtest.Open(t)
	ada := s.As("ada", account.RoleAdministrator)
	person := s.As("jonas", account.RoleMember).Actor.ID.String()
	page, action := "/settings/users/"+person, "/settings/users/"+person+"/roles"
	admin, member := s.RoleID(account.RoleAdministrator), s.RoleID(account.RoleMember)
	first, second := formAt(ada, page, action), formAt(ada, page, action)
	first.Values["roles"] = []string{member, admin}
	submit(ada, first).Expect(t, 303, "")
	guest, err := s.Server.Accounts.CreateRole(t.Context(), ada.Actor,
		account.RoleInput{Name: "Guest", Permissions: []string{string(account.ViewOwn)}})
	webtest.Check(t, err)
	second.Values["roles"] = []string{guest.ID.String()} // and not the member's any more
	met := submit(ada, second)
	met.Expect(t, 409, "You saved this")
	submit(ada, formIn(t, met.Text, action)).Expect(t, 303, "")
	held := formAt(ada, page, action).Values["roles"]
	slices.Sort(held)
	want := []string{admin, guest.ID.String()}
	slices.Sort(want)
	if !slices.Equal(held, want) {
		t.Errorf("the roles are %v; want %v", held, want)
	}
}

func TestAFormSentWhileSignedOutIsKeptAndCanBeSentAgain(t *testing.T) {
	s := webtest.Open(t)
	ada := s.As("ada", account.RoleAdministrator)
	f := formAt(ada, "/bots/new", "/bots")
	text := "\n\nBe <kind> & \"brief\".\n"
	nobody := s.Nobody()
	kept := submit(nobody, f, "name", "Bot", "instructions", text)
	kept.Expect(t, 401, "You were signed out")
	again := formIn(t, kept.Text, "/bots")
	submit(nobody, again).Expect(t, 401, "You were signed out")
	submit(ada, again).Expect(t, 303, "") // signed in, in another tab of the same browser
	list, err := s.Bots.List(t.Context(), ada.Actor)
	webtest.Check(t, err)
	if len(list) != 1 || list[0].Name != "Bot" || strings.TrimSpace(list[0].Instructions) != strings.TrimSpace(text) {
		t.Errorf("the bots are %+v; want the one that was typed", list)
	}
}

func TestAStoredValueIsKeptUntilThePromptIsSavedWithoutItsPlaceholder(t *testing.T) {
	s := webtest.Open(t)
	ada := s.As("ada", account.RoleAdministrator)
	a, _, err := s.Rules.Definitions().Create(t.Context(), ada.Actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Ask",
		Workspace:      s.Workspace,
		Trigger:        string(db.Manual),
		SessionType:    string(db.Develop),
		ExecutionType:  string(db.Inline),
		Provider:       "agent",
		Prompt:         "Ask {{who}} about {{what}}.",
		Parameters:     map[string]string{"who": "Ada\nGrace", "what": "bugs"},
		Retries:        2,
	}})
	webtest.Check(t, err)
	// While the prompt is written: the name goes and comes back.
	gone := ada.Post("/automations/placeholders", "prompt", "Ask about {{what}}.", "provider", "agent", "param.who",
		"Ada\r\nGrace", "param.what", "bugs")
	gone.Expect(t, 200, "is deleted when you save.")
	if list, err := page.Forms(strings.NewReader("<form method=post>" + gone.Text + "</form>")); err != nil ||
		list[0].Values.Get("param.who") != "Ada\nGrace" {
		t.Errorf("without its placeholder the value is %q, %v; want it kept", list[0].Values, err)
	}
	// The save without it drops the value, and says so.
	address := "/automations/" + a.ID.String()
	submit(ada, formAt(ada, address+"/edit", address), "prompt", "Ask about {{what}}.").Expect(t, 303, "")
	ada.Get(address).Expect(t, 200, "The prompt does not use {{who}} any more. Its stored value was deleted.")
	now, err := db.AutomationByID(t.Context(), s.Server.DB, a.ID)
	webtest.Check(t, err)
	if _, kept := now.Parameters["who"]; kept || now.Parameters["what"] != "bugs" {
		t.Errorf("the stored values are %q; want that of what alone", now.Parameters)
	}
}

// A stored call is tried with what is typed. The page of the trial knows as much of what was stored as the editor
// before it.
func TestWhatIsTypedBeforeACallIsTriedIsNoPartOfWhatWasStored(t *testing.T) {
	h := webtest.NewHook(t, func(*automation.Input) {})
	h.Send(`{"what":"the build"}`).Expect(t, 200, "")
	address := "/automations/" + h.A.ID.String()
	typed := formAt(h.Owner, address+"/edit", address)
	typed.Action = address + "/trial?delivery=" + h.Deliveries("")[0].ID.String()
	tried := submit(h.Owner, typed, "prompt", "Mend {{what}}.", "retries", "7")
	tried.Expect(t, 200, "Mend the build.")
	submit(h.Owner, formAt(h.Owner, address+"/edit", address), "timeout", "9").Expect(t, 303, "")
	met := submit(h.Owner, formIn(t, tried.Text, address))
	met.Expect(t, 409, "Timeout in minutes")
	again := formIn(t, met.Text, address)
	for name, want := range map[string]string{"prompt": "Mend {{what}}.", "retries": "7", "timeout": "9"} {
		if got := again.Values.Get(name); got != want {
			t.Errorf("after another change the form has %q as %s; want %q", got, name, want)
		}
	}
}

func TestTheFormBesideASecretThatIsShownOnceCanBeSaved(t *testing.T) {
	b := webtest.OpenSettings(t).As("Mira", account.RoleMember)
	f := formAt(b, "/settings/profile", "/settings/profile/notices")
	first := submit(b, f, "webhook", "https://example.com/hook")
	first.Expect(t, 200, "Copy the secret of your webhook now.")
	submit(b, formIn(t, first.Text, f.Action), "webhook", "https://example.com/other").Expect(t, 303, "")
}

// Who saved something long ago is not said to have saved it meanwhile.
func TestAChangeThatNoPersonMadeIsNobodys(t *testing.T) {
	s := webtest.Open(t)
	ada, grace := s.As("ada", account.RoleAdministrator), s.As("grace", account.RoleAdministrator)
	ticket, err := s.Server.Tickets.Create(t.Context(), ada.Actor, ticket.Input{
		Workspace: s.Workspace, Title: "Broken",
	})
	webtest.Check(t, err)
	address := "/tickets/" + ticket.ID.String()
	submit(grace, formAt(grace, address+"/edit", address), "title", "Very broken").Expect(t, 303, "")
	f := formAt(ada, address+"/edit", address)
	_, err = s.Server.DB.NewUpdate().Model((*db.Ticket)(nil)).Set("status = 'in_progress'").
		Set("version = version + 1").Where("id = ?", ticket.ID).Exec(t.Context())
	webtest.Check(t, err)
	s.Event(db.AuditEvent{Action: "ticket.claim", SubjectKind: "ticket", SubjectID: ticket.ID})
	met := submit(ada, f, "body", "It is.")
	met.Expect(t, 409, "This was saved while you had it open")
	if strings.Contains(met.Text, "grace saved this") {
		t.Error("the page names grace, who saved it before it was opened")
	}
}

// A button of a form that does something else than saving it gives back what is typed.
func TestWhatIsTypedOutlivesTheOtherButtonsOfItsForm(t *testing.T) {
	s := webtest.OpenSettings(t)
	ada := s.As("ada", account.RoleAdministrator)
	submit(ada, formAt(ada, "/settings/toggles", "/settings/toggles"), "edge_cases", "Mind the gap.").Expect(t, 303, "")
	typed := formAt(ada, "/settings/toggles", "/settings/toggles")
	typed.Action = "/settings/toggles/edge_cases/reset"
	back := submit(ada, typed, "update_docs", "Write.")
	back.Expect(t, 200, "Write.")
	submit(ada, formAt(ada, "/settings/toggles", "/settings/toggles"), "update_tests", "Test.").Expect(t, 303, "")
	met := submit(ada, formIn(t, back.Text, "/settings/toggles")) // and is still theirs after another change
	met.Expect(t, 409, "Update Tests")
	submit(ada, formIn(t, met.Text, "/settings/toggles")).Expect(t, 303, "")
	now := formAt(ada, "/settings/toggles", "/settings/toggles").Values
	if now.Get("update_docs") != "Write." || now.Get("update_tests") != "Test." ||
		now.Get("edge_cases") == "Mind the gap." {
		t.Errorf("the texts are %q, %q and %q; want both that were typed, and edge_cases reset", now.Get("update_docs"),
			now.Get("update_tests"), now.Get("edge_cases"))
	}
	submit(ada, formAt(ada, "/settings/toggles", "/settings/toggles")).Expect(t, 303, "")

	notices := "/settings/profile/notices"
	submit(ada, formAt(ada, "/settings/profile", notices), "webhook", "https://example.com/hook").
		Expect(t, 200, "Copy the secret")
	f := formAt(ada, "/settings/profile", notices)
	f.Action = "/settings/profile/webhook-secret"
	renewed := submit(ada, f, "webhook", "https://example.com/other")
	renewed.Expect(t, 200, "Copy the secret")
	submit(ada, formIn(t, renewed.Text, notices)).Expect(t, 303, "")
	if got := formAt(ada, "/settings/profile", notices).Values.Get("webhook"); got != "https://example.com/other" {
		t.Errorf("the webhook is %s; want the one that was typed before its secret was renewed", got)
	}
}

func TestWhatIsStoredIsToldAsThePageCallsIt(t *testing.T) {
	s := webtest.Open(t)
	ada := s.As("ada", account.RoleAdministrator)
	ticket, err := s.Server.Tickets.Create(t.Context(), ada.Actor, ticket.Input{
		Workspace: s.Workspace, Title: "Broken", Priority: "medium",
	})
	webtest.Check(t, err)
	a, _, err := s.Rules.Definitions().Create(t.Context(), ada.Actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "A",
		Workspace:      s.Workspace,
		Trigger:        "manual",
		SessionType:    "develop",
		ExecutionType:  "inline",
		Provider:       "agent",
		Prompt:         "Look.",
		Retries:        2,
	}})
	webtest.Check(t, err)
	bot, err := s.Bots.Create(t.Context(), ada.Actor, bot.Input{Bot: spec.Bot{
		Name: "Bot", Instructions: "Be kind.", Enabled: true,
	}})
	webtest.Check(t, err)
	for _, tt := range []struct{ thing, field, theirs, mine, want string }{
		{"/tickets/" + ticket.ID.String(), "priority", "high", "low", "“High”"},
		{"/automations/" + a.ID.String(), "trigger", "one_time", "loop", "“One-Time”"},
		{"/bots/" + bot.ID.String(), "workspace", s.Workspace, "nonsense", "“Scratch”"},
	} {
		first, second := formAt(ada, tt.thing+"/edit", tt.thing), formAt(ada, tt.thing+"/edit", tt.thing)
		submit(ada, first, tt.field, tt.theirs, "run_at", "2090-01-01T10:00").Expect(t, 303, "")
		submit(ada, second, tt.field, tt.mine).Expect(t, 409, tt.want)
	}
}
