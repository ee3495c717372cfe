package web

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
	"carillon/app/workflow"
	"carillon/db"
)

// formAt is the form of a page that is sent to an address.
func (b *browser) formAt(page, action string) *page.Form {
	b.t.Helper()
	a := b.get(page)
	a.expect(b.t, 200, "<form")
	return formIn(b.t, a.body, action)
}

func formIn(t *testing.T, body, action string) *page.Form {
	t.Helper()
	list, err := page.Forms(strings.NewReader(body))
	check(t, err)
	i := slices.IndexFunc(list, func(f *page.Form) bool { return f.Action == action })
	if i < 0 {
		t.Fatalf("there is no form that is sent to %s in %.3000s", action, body)
	}
	return list[i]
}

// submit sends a form as it is, with some fields changed: of several with one name the first.
func (b *browser) submit(f *page.Form, changed ...string) *answer {
	b.t.Helper()
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
	return b.post(f.Action, fields...)
}

func TestAWorkspaceIsChangedThroughItsForm(t *testing.T) {
	s := open(t)
	ada := s.as("ada", account.RoleAdministrator)
	address := "/workspaces/" + s.workspace
	f := ada.formAt(address+"/edit", address)
	key := "-----BEGIN KEY-----\nAAAA\nBBBB\n-----END KEY-----\n"
	f.Values["variable_name"], f.Values["variable_value"] = []string{"KEY"}, []string{key}
	ada.submit(f, "name", "Renamed").expect(t, 303, "")

	ws, err := db.WorkspaceByID(t.Context(), s.server.DB, form.OptionalID(s.workspace))
	check(t, err)
	list, err := db.VariablesOf(t.Context(), s.server.DB, ws.ID)
	check(t, err)
	if ws.Name != "Renamed" || len(list) != 1 || list[0].Value != key {
		t.Errorf("the workspace is %q with %+v; want Renamed with the key in its lines", ws.Name, list)
	}
	again := ada.formAt(address+"/edit", address)
	ada.submit(again).expect(t, 303, "")
	if list, err = db.VariablesOf(t.Context(), s.server.DB, ws.ID); err != nil || len(list) != 1 ||
		list[0].Value != key {
		t.Errorf("saved unchanged, the variables are %+v, %v; want the key in its lines", list, err)
	}
}

func TestTextsKeepTheirLinesWhenTheirFormIsSavedUnchanged(t *testing.T) {
	s := open(t)
	ada := s.as("ada", account.RoleAdministrator)
	a, _, err := s.rules.Definitions().Create(t.Context(), ada.actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Lines",
		Workspace:      s.workspace,
		Trigger:        string(db.Manual),
		SessionType:    string(db.Develop),
		ExecutionType:  string(db.Inline),
		Provider:       "agent",
		Prompt:         "\n\nTell {{who}}.\n",
		Parameters:     map[string]string{"who": "\nAda\n\nGrace\n"},
		Gate:           spec.Gate{Command: "\ntrue\n"},
		Retries:        2,
	}})
	check(t, err)
	address := "/automations/" + a.ID.String()
	ada.submit(ada.formAt(address+"/edit", address)).expect(t, 303, "")
	now, err := db.AutomationByID(t.Context(), s.server.DB, a.ID)
	check(t, err)
	if now.Prompt != a.Prompt || now.Parameters["who"] != a.Parameters["who"] || now.Gate != a.Gate {
		t.Errorf("saved unchanged, it is %q with %q and %q; want %q with %q and %q", now.Prompt, now.Parameters["who"],
			now.Gate.Command, a.Prompt, a.Parameters["who"], a.Gate.Command)
	}
}

func TestAManualAutomationBecomesRecurringAsANewOneDoes(t *testing.T) {
	s := open(t)
	ada := s.as("ada", account.RoleAdministrator)
	_, err := s.server.DB.NewUpdate().Model((*db.User)(nil)).Set("time_zone = 'Europe/Berlin'").
		Where("email = 'ada@example.com'").Exec(t.Context())
	check(t, err)
	a, _, err := s.rules.Definitions().Create(t.Context(), ada.actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Later",
		Workspace:      s.workspace,
		Trigger:        string(db.Manual),
		SessionType:    string(db.Develop),
		ExecutionType:  string(db.Inline),
		Provider:       "agent",
		Prompt:         "Look.",
		Retries:        2,
	}})
	check(t, err)
	address := "/automations/" + a.ID.String()
	ada.submit(ada.formAt(address+"/edit", address), "trigger", "recurring").expect(t, 303, "")
	now, err := db.AutomationByID(t.Context(), s.server.DB, a.ID)
	check(t, err)
	fresh := ada.formAt("/automations/new", "/automations")
	if now.TimeZone != "Europe/Berlin" || now.Cron == "" || now.Cron != fresh.Values.Get("cron") ||
		now.TimeZone != fresh.Values.Get("time_zone") {
		t.Errorf("it recurs by %q in %q; want Berlin, and as a new one, which would by %q in %q", now.Cron,
			now.TimeZone, fresh.Values.Get("cron"), fresh.Values.Get("time_zone"))
	}
}

// Each form of something stored is opened by two people. The second one to save is told which fields differ; saving
// again changes what that person changed, and nothing else.
func TestAFormThatMetAnotherChangeSavesOnlyWhatItsOwnPersonChanged(t *testing.T) {
	s := open(t)
	ada, grace := s.as("ada", account.RoleAdministrator), s.as("grace", account.RoleAdministrator)
	a, _, err := s.rules.Definitions().Create(t.Context(), ada.actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Nightly",
		Workspace:      s.workspace,
		Trigger:        string(db.Manual),
		SessionType:    string(db.Develop),
		ExecutionType:  string(db.Inline),
		Provider:       "agent",
		Prompt:         "Look at {{what}}.",
		Parameters:     map[string]string{"what": "the log"},
		Toggles:        []string{"edge_cases"},
		Retries:        2,
	}})
	check(t, err)
	bot, err := s.bots.Create(t.Context(), ada.actor, bot.Input{Bot: spec.Bot{
		Name: "Bot", Instructions: "Be kind.", Enabled: true,
	}})
	check(t, err)
	wf, err := s.workflows.Create(t.Context(), ada.actor, workflow.Input{
		Name: "Flow", Steps: []workflow.StepInput{{Kind: "message", Text: "One."}, {Kind: "message", Text: "Two."}},
	})
	check(t, err)
	ticket, err := s.server.Tickets.Create(t.Context(), ada.actor, ticket.Input{
		Workspace: s.workspace, Title: "Broken", Body: "It is.",
	})
	check(t, err)
	role, err := s.server.Accounts.CreateRole(t.Context(), ada.actor,
		account.RoleInput{Name: "Guest", Permissions: []string{string(account.ViewOwn)}})
	check(t, err)
	person := s.as("jonas", account.RoleMember).actor.ID.String()

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
		{"a workspace", "/workspaces/" + s.workspace + "/edit", "/workspaces/" + s.workspace,
			[]string{"variable_name", "A"}, []string{"name", "Pad"}, "Variables"},
		{"a role", "/settings/roles/" + role.ID.String(), "/settings/roles/" + role.ID.String(),
			[]string{"permissions", string(account.ViewAll)}, []string{"name", "Guests"}, "See"},
		{"the session toggles", "/settings/toggles", "/settings/toggles", []string{"edge_cases", "Mind the gap."},
			[]string{"update_docs", "Write."}, "Edge Cases"},
		{"a person", "/settings/users/" + person, "/settings/users/" + person, []string{"email", "jo@example.com"},
			[]string{"name", "Jo"}, "Email"},
	} {
		first, second := grace.formAt(tt.page, tt.action), ada.formAt(tt.page, tt.action)
		base := second.Values.Get(tt.theirs[0])
		grace.submit(first, tt.theirs...).expect(t, 303, "")
		met := ada.submit(second, tt.mine...)
		who := "grace saved this"
		if tt.action == "/settings/toggles" { // the audit log has no id for these
			who = "This was saved while you had it open"
		}
		met.expect(t, 409, who)
		if !strings.Contains(met.body, tt.label) {
			t.Errorf("%s: the page does not name %s", tt.name, tt.label)
		}
		again := formIn(t, met.body, tt.action)
		if got := again.Values.Get(tt.mine[0]); got != tt.mine[1] {
			t.Errorf("%s: what was typed came back as %q; want %q", tt.name, got, tt.mine[1])
		}
		ada.submit(again).expect(t, 303, "")
		now := ada.formAt(tt.page, tt.action)
		for _, want := range [][]string{tt.theirs, tt.mine} {
			if got := now.Values[want[0]]; !slices.Contains(got, want[1]) {
				t.Errorf("%s: %s is %q; want %q, which was %q", tt.name, want[0], got, want[1], base)
			}
		}
	}
}

func TestAFieldThatTwoPeopleChangedKeepsWhatWasTypedAndShowsWhatIsStored(t *testing.T) {
	s := open(t)
	ada := s.as("ada", account.RoleAdministrator)
	bot, err := s.bots.Create(t.Context(), ada.actor, bot.Input{Bot: spec.Bot{
		Name: "Bot", Instructions: "Be kind.", Enabled: true,
	}})
	check(t, err)
	address := "/bots/" + bot.ID.String()
	first, second := ada.formAt(address+"/edit", address), ada.formAt(address+"/edit", address)
	ada.submit(first, "name", "Theirs", "instructions", "Be brief.").expect(t, 303, "")
	met := ada.submit(second, "name", "Mine")
	met.expect(t, 409, "You saved this in another tab")
	met.expect(t, 409, "“Theirs”")
	third := formIn(t, met.body, address)
	// A third change before the second save is met again, and what was taken over is not one's own.
	ada.submit(ada.formAt(address+"/edit", address), "instructions", "Be still.").expect(t, 303, "")
	met = ada.submit(third)
	met.expect(t, 409, "Instructions")
	ada.submit(formIn(t, met.body, address)).expect(t, 303, "")
	now := ada.formAt(address+"/edit", address)
	if now.Values.Get("name") != "Mine" || now.Values.Get("instructions") != "Be still." {
		t.Errorf("the bot is %v; want the name typed last and the instructions saved last", now.Values)
	}
}

// What two people tick of boxes with one name is put together.
func TestBoxesOfOneNameAreMergedOneByOne(t *testing.T) {
	s := open(t)
	ada := s.as("ada", account.RoleAdministrator)
	person := s.as("jonas", account.RoleMember).actor.ID.String()
	page, action := "/settings/users/"+person, "/settings/users/"+person+"/roles"
	admin, member := s.roleID(account.RoleAdministrator), s.roleID(account.RoleMember)
	first, second := ada.formAt(page, action), ada.formAt(page, action)
	first.Values["roles"] = []string{member, admin}
	ada.submit(first).expect(t, 303, "")
	guest, err := s.server.Accounts.CreateRole(t.Context(), ada.actor,
		account.RoleInput{Name: "Guest", Permissions: []string{string(account.ViewOwn)}})
	check(t, err)
	second.Values["roles"] = []string{guest.ID.String()} // and not the member's any more
	met := ada.submit(second)
	met.expect(t, 409, "You saved this")
	ada.submit(formIn(t, met.body, action)).expect(t, 303, "")
	held := ada.formAt(page, action).Values["roles"]
	slices.Sort(held)
	want := []string{admin, guest.ID.String()}
	slices.Sort(want)
	if !slices.Equal(held, want) {
		t.Errorf("the roles are %v; want %v", held, want)
	}
}

func TestAFormSentWhileSignedOutIsKeptAndCanBeSentAgain(t *testing.T) {
	s := open(t)
	ada := s.as("ada", account.RoleAdministrator)
	f := ada.formAt("/bots/new", "/bots")
	text := "\n\nBe <kind> & \"brief\".\n"
	nobody := s.nobody()
	kept := nobody.submit(f, "name", "Bot", "instructions", text)
	kept.expect(t, 401, "You were signed out")
	again := formIn(t, kept.body, "/bots")
	nobody.submit(again).expect(t, 401, "You were signed out")
	ada.submit(again).expect(t, 303, "") // signed in, in another tab of the same browser
	list, err := s.bots.List(t.Context(), ada.actor)
	check(t, err)
	if len(list) != 1 || list[0].Name != "Bot" || strings.TrimSpace(list[0].Instructions) != strings.TrimSpace(text) {
		t.Errorf("the bots are %+v; want the one that was typed", list)
	}
}

func TestAStoredValueIsKeptUntilThePromptIsSavedWithoutItsPlaceholder(t *testing.T) {
	s := open(t)
	ada := s.as("ada", account.RoleAdministrator)
	a, _, err := s.rules.Definitions().Create(t.Context(), ada.actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Ask",
		Workspace:      s.workspace,
		Trigger:        string(db.Manual),
		SessionType:    string(db.Develop),
		ExecutionType:  string(db.Inline),
		Provider:       "agent",
		Prompt:         "Ask {{who}} about {{what}}.",
		Parameters:     map[string]string{"who": "Ada\nGrace", "what": "bugs"},
		Retries:        2,
	}})
	check(t, err)
	// While the prompt is written: the name goes and comes back.
	gone := ada.post("/automations/placeholders", "prompt", "Ask about {{what}}.", "provider", "agent", "param.who",
		"Ada\r\nGrace", "param.what", "bugs")
	gone.expect(t, 200, "is deleted when you save.")
	if list, err := page.Forms(strings.NewReader("<form method=post>" + gone.body + "</form>")); err != nil ||
		list[0].Values.Get("param.who") != "Ada\nGrace" {
		t.Errorf("without its placeholder the value is %q, %v; want it kept", list[0].Values, err)
	}
	// The save without it drops the value, and says so.
	address := "/automations/" + a.ID.String()
	ada.submit(ada.formAt(address+"/edit", address), "prompt", "Ask about {{what}}.").expect(t, 303, "")
	ada.get(address).expect(t, 200, "The prompt does not use {{who}} any more. Its stored value was deleted.")
	now, err := db.AutomationByID(t.Context(), s.server.DB, a.ID)
	check(t, err)
	if _, kept := now.Parameters["who"]; kept || now.Parameters["what"] != "bugs" {
		t.Errorf("the stored values are %q; want that of what alone", now.Parameters)
	}
}

// A stored call is tried with what is typed. The page of the trial knows as much of what was stored as the editor
// before it.
func TestWhatIsTypedBeforeACallIsTriedIsNoPartOfWhatWasStored(t *testing.T) {
	h := newHook(t, func(*automation.Input) {})
	h.send(`{"what":"the build"}`).expect(t, 200, "")
	address := "/automations/" + h.a.ID.String()
	typed := h.owner.formAt(address+"/edit", address)
	typed.Action = address + "/trial?delivery=" + h.deliveries("")[0].ID.String()
	tried := h.owner.submit(typed, "prompt", "Mend {{what}}.", "retries", "7")
	tried.expect(t, 200, "Mend the build.")
	h.owner.submit(h.owner.formAt(address+"/edit", address), "timeout", "9").expect(t, 303, "")
	met := h.owner.submit(formIn(t, tried.body, address))
	met.expect(t, 409, "Timeout in minutes")
	again := formIn(t, met.body, address)
	for name, want := range map[string]string{"prompt": "Mend {{what}}.", "retries": "7", "timeout": "9"} {
		if got := again.Values.Get(name); got != want {
			t.Errorf("after another change the form has %q as %s; want %q", got, name, want)
		}
	}
}

func TestTheFormBesideASecretThatIsShownOnceCanBeSaved(t *testing.T) {
	b := openSettings(t).as("Mira", account.RoleMember)
	f := b.formAt("/settings/profile", "/settings/profile/notices")
	first := b.submit(f, "webhook", "https://example.com/hook")
	first.expect(t, 200, "Copy the secret of your webhook now.")
	b.submit(formIn(t, first.body, f.Action), "webhook", "https://example.com/other").expect(t, 303, "")
}

// Who saved something long ago is not said to have saved it meanwhile.
func TestAChangeThatNoPersonMadeIsNobodys(t *testing.T) {
	s := open(t)
	ada, grace := s.as("ada", account.RoleAdministrator), s.as("grace", account.RoleAdministrator)
	ticket, err := s.server.Tickets.Create(t.Context(), ada.actor, ticket.Input{
		Workspace: s.workspace, Title: "Broken",
	})
	check(t, err)
	address := "/tickets/" + ticket.ID.String()
	grace.submit(grace.formAt(address+"/edit", address), "title", "Very broken").expect(t, 303, "")
	f := ada.formAt(address+"/edit", address)
	_, err = s.server.DB.NewUpdate().Model((*db.Ticket)(nil)).Set("status = 'in_progress'").
		Set("version = version + 1").Where("id = ?", ticket.ID).Exec(t.Context())
	check(t, err)
	s.event(db.AuditEvent{Action: "ticket.claim", SubjectKind: "ticket", SubjectID: ticket.ID})
	met := ada.submit(f, "body", "It is.")
	met.expect(t, 409, "This was saved while you had it open")
	if strings.Contains(met.body, "grace saved this") {
		t.Error("the page names grace, who saved it before it was opened")
	}
}

// A button of a form that does something else than saving it gives back what is typed.
func TestWhatIsTypedOutlivesTheOtherButtonsOfItsForm(t *testing.T) {
	s := openSettings(t)
	ada := s.as("ada", account.RoleAdministrator)
	ada.submit(ada.formAt("/settings/toggles", "/settings/toggles"), "edge_cases", "Mind the gap.").expect(t, 303, "")
	typed := ada.formAt("/settings/toggles", "/settings/toggles")
	typed.Action = "/settings/toggles/edge_cases/reset"
	back := ada.submit(typed, "update_docs", "Write.")
	back.expect(t, 200, "Write.")
	ada.submit(ada.formAt("/settings/toggles", "/settings/toggles"), "update_tests", "Test.").expect(t, 303, "")
	met := ada.submit(formIn(t, back.body, "/settings/toggles")) // and is still theirs after another change
	met.expect(t, 409, "Update Tests")
	ada.submit(formIn(t, met.body, "/settings/toggles")).expect(t, 303, "")
	now := ada.formAt("/settings/toggles", "/settings/toggles").Values
	if now.Get("update_docs") != "Write." || now.Get("update_tests") != "Test." ||
		now.Get("edge_cases") == "Mind the gap." {
		t.Errorf("the texts are %q, %q and %q; want both that were typed, and edge_cases reset", now.Get("update_docs"),
			now.Get("update_tests"), now.Get("edge_cases"))
	}
	ada.submit(ada.formAt("/settings/toggles", "/settings/toggles")).expect(t, 303, "")

	notices := "/settings/profile/notices"
	ada.submit(ada.formAt("/settings/profile", notices), "webhook", "https://example.com/hook").
		expect(t, 200, "Copy the secret")
	f := ada.formAt("/settings/profile", notices)
	f.Action = "/settings/profile/webhook-secret"
	renewed := ada.submit(f, "webhook", "https://example.com/other")
	renewed.expect(t, 200, "Copy the secret")
	ada.submit(formIn(t, renewed.body, notices)).expect(t, 303, "")
	if got := ada.formAt("/settings/profile", notices).Values.Get("webhook"); got != "https://example.com/other" {
		t.Errorf("the webhook is %s; want the one that was typed before its secret was renewed", got)
	}
}

func TestWhatIsStoredIsToldAsThePageCallsIt(t *testing.T) {
	s := open(t)
	ada := s.as("ada", account.RoleAdministrator)
	ticket, err := s.server.Tickets.Create(t.Context(), ada.actor, ticket.Input{
		Workspace: s.workspace, Title: "Broken", Priority: "medium",
	})
	check(t, err)
	a, _, err := s.rules.Definitions().Create(t.Context(), ada.actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "A",
		Workspace:      s.workspace,
		Trigger:        "manual",
		SessionType:    "develop",
		ExecutionType:  "inline",
		Provider:       "agent",
		Prompt:         "Look.",
		Retries:        2,
	}})
	check(t, err)
	bot, err := s.bots.Create(t.Context(), ada.actor, bot.Input{Bot: spec.Bot{
		Name: "Bot", Instructions: "Be kind.", Enabled: true,
	}})
	check(t, err)
	for _, tt := range []struct{ thing, field, theirs, mine, want string }{
		{"/tickets/" + ticket.ID.String(), "priority", "high", "low", "“High”"},
		{"/automations/" + a.ID.String(), "trigger", "one_time", "loop", "“One-Time”"},
		{"/bots/" + bot.ID.String(), "workspace", s.workspace, "nonsense", "“Scratch”"},
	} {
		first, second := ada.formAt(tt.thing+"/edit", tt.thing), ada.formAt(tt.thing+"/edit", tt.thing)
		ada.submit(first, tt.field, tt.theirs, "run_at", "2090-01-01T10:00").expect(t, 303, "")
		ada.submit(second, tt.field, tt.mine).expect(t, 409, tt.want)
	}
}
