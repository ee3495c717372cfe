package views

import "time"

func samplePage(title, section string) Page {
	return Page{
		Title: title, Section: section, Path: "/" + section, User: User{
			Name: "Mira Okafor", Initials: "MO", Role: "Admin",
		}, Unread: 4, Live: 2, Nav: AllNav,
		Workspaces: []Choice{{Value: "w1", Label: "payments-api"}, {Value: "w2", Label: "storefront"}}, Workspace: "w1",
	}
}

func pageSpecimens() []Specimen {
	list := append(automationSpecimens(), sessionSpecimens()...)
	list = append(list, executionPageSpecimens()...)
	list = append(list, workspaceSpecimens()...)
	list = append(list, settingsSpecimens()...)
	list = append(list, tokenSpecimens()...)
	list = append(list, providerSpecimens()...)
	list = append(list, signOnSpecimens()...)
	list = append(list, ticketSpecimens()...)
	list = append(list, botSpecimens()...)
	list = append(list, workflowSpecimens()...)
	list = append(list, peopleSpecimens()...)
	list = append(list, qualitySpecimens()...)
	list = append(list, isolationSpecimens()...)
	return append(list, otherSpecimens()...)
}

func sampleRows() []AutomationRowData {
	now := galleryNow
	at := func(d time.Duration) time.Time { return now.Add(d) }
	row := func(id, name, context, trigger, when string) AutomationRowData {
		return AutomationRowData{ID: id, Name: name, Context: context, Trigger: trigger, When: when, Enabled: true,
			CanManage: true, Now: now,
			Status: "succeeded", LastAt: ago(9 * time.Hour), Start: ago(9 * time.Hour),
			End: ago(9*time.Hour - 6*time.Minute), Runs: sampleBars(manyTimes("succeeded", 30))}
	}
	audit := row("a1", "Nightly dependency audit", "payments-api · Develop", "recurring", "Every day at 02:00")
	audit.Next = at(14*time.Hour + 14*time.Minute)
	release := row("a2", "Roll the release branch", "payments-api · Cut release", "recurring", "Fridays at 16:00")
	release.Next, release.Status, release.Failures, release.Asks = at(100*time.Hour), "failed", 2, true
	release.Runs = sampleBars(manyTimes("succeeded", 28) + " failed failed")
	loop := row("a3", "Continuous QA loop", "storefront · QA next ticket", "loop", "After each session ends")
	loop.Then, loop.Status, loop.InFlight, loop.Blocking, loop.Start, loop.End = "When the session ends", "running",
		true, "s1482", ago(12*time.Minute+8*time.Second), time.Time{}
	loop.Runs = sampleBars(manyTimes("succeeded", 12) + " canceled succeeded running")
	hook := row("a4", "Triage new Sentry issues", "storefront · bot Ada", "http", "When its webhook is called")
	hook.Then, hook.AlwaysOn, hook.Exempt = "Token 9f3ac2e1", true, true
	off := row("a5", "Refresh API reference", "docs-site · Develop", "recurring", "Weekdays at 07:30")
	off.Enabled, off.Warning, off.Status, off.Failures, off.Runs = false, "Disabled after 3 failures", "failed", 3,
		sampleBars(manyTimes("succeeded", 27)+" failed failed timed_out")
	once := row("a6", "Move tests to containers", "payments-api · Develop", "one_time", "Once, in 7 days")
	once.Next, once.Status, once.LastAt, once.Runs = at(8*24*time.Hour), "", time.Time{}, nil
	skipped := row("a7", "Sync translations with a name that is rather long for a list", "storefront · Develop",
		"recurring", "Every 30 minutes")
	skipped.Next, skipped.Status, skipped.LastAt, skipped.Start, skipped.Runs = at(14*time.Minute), "skipped",
		ago(12*time.Minute), time.Time{}, sampleBars(manyTimes("succeeded skipped", 15))
	other := row("a8", "Explain yesterday’s deploys", "ops · Chat", "manual", "Only when someone runs it")
	other.Exempt, other.CanManage, other.Then = true, false, "No next run"
	return []AutomationRowData{audit, release, loop, hook, off, once, skipped, other}
}

func automationSpecimens() []Specimen {
	now := galleryNow
	filters := func(p AutomationsPage) AutomationsPage {
		p.Now = now
		p.Scope = Field{Name: "scope", Label: "Whose", Value: "all", Options: []Choice{{Value: "own", Label: "Mine"},
			{Value: "all", Label: "Everyone’s"}}}
		p.Trigger = Field{Name: "trigger", Label: "Type", Options: triggerChoices()}
		p.Workspace = Field{
			Name: "workspace", Label: "Workspace", Options: []Choice{{Value: "w1", Label: "payments-api"}},
		}
		p.State = Field{Name: "state", Label: "State", Options: []Choice{{Value: "enabled", Label: "Enabled"},
			{Value: "disabled", Label: "Disabled"}, {Value: "running", Label: "Running"},
			{Value: "attention", Label: "Needs attention"}}}
		return p
	}
	full := filters(AutomationsPage{Total: "8 automations", Running: 1, Attention: 2, ShowAhead: true, CanCreate: true,
		CanManage: true, Rows: sampleRows(), Pager: Pager{Older: "?after=a8"},
		Ahead: Ahead{Now: now, Runs: sampleAhead()}})
	none := filters(AutomationsPage{Total: "8 automations", Filtered: true, Search: "nope", CanCreate: true})
	none.State.Value = "disabled"

	rows := sampleRows()
	page := AutomationPage{
		Now: now, Automation: rows[0], Workspace: Link{"payments-api", WorkspaceURL("w1")}, Count: "212",
		Executions: sampleExecutions(), Summary: "27 of 30, median 6 min", Selected: sampleExecution(), Detail: true,
		Pager: Pager{Older: "?after=e8"},
	}
	page.Automation.Blocking, page.Automation.InFlight = "s1486", true
	fresh := AutomationPage{Now: now, Automation: rows[5], Workspace: page.Workspace, Count: "0"}
	settings := AutomationPage{Now: now, Automation: rows[3], Workspace: Link{"storefront", WorkspaceURL("w2")},
		Settings: true, Count: "41",
		Uses:   "Its 41 executions go with it, and its webhook address stops working. Sessions stay.",
		Prompt: "Triage {{issue.title}}.\n\nClose it when it is noise.", Webhook: sampleWebhook(""),
		Groups: []FactGroup{{"What it does", []Fact{{Label: "Session type", Value: "Bot"},
			{Label: "Bot", Value: "Ada", URL: BotURL("b1")}, {Label: "Provider", Value: "Claude Code, by the bot"}}},
			{"Options", []Fact{{Label: "Allow Parallel Sessions", Value: "No"}, {Label: "Timeout", Value: "6 h"}}}}}
	off := page
	off.Automation, off.Selected, off.Detail, off.Why = rows[4], nil, false,
		"Disabled after 3 failures in a row. The last: provider “codex” not found. Enabling it resets the count."

	offered := page
	offered.Offer = OfferData{Mine: true, Version: "7",
		Text: "Jonas Weiß asks you to take this automation over. It would run with your access, " +
			"so look at its settings and its prompt first."}
	made := page
	made.Offer = OfferData{Version: "7", Text: "Jonas Weiß has offered it to Mira Okafor, who has not answered yet."}

	return []Specimen{
		{Name: "page-automation-offered", Page: Automation(samplePage(rows[0].Name, "automations"), offered)},
		{Name: "page-automation-offer-made", Page: Automation(samplePage(rows[0].Name, "automations"), made)},
		{Name: "page-automations", Page: Automations(samplePage("Automations", "automations"), full)},
		{Name: "page-automations-empty", Page: Automations(samplePage("Automations", "automations"),
			AutomationsPage{CanCreate: true})},
		{Name: "page-automations-none", Page: Automations(samplePage("Automations", "automations"), none)},
		{Name: "page-automation", Page: Automation(samplePage(rows[0].Name, "automations"), page)},
		{Name: "page-automation-off", Page: Automation(samplePage(rows[4].Name, "automations"), off)},
		{Name: "page-automation-fresh", Page: Automation(samplePage(rows[5].Name, "automations"), fresh)},
		{Name: "page-automation-settings", Page: Automation(samplePage(rows[3].Name, "automations"), settings)},
		{Name: "page-editor", Page: EditAutomation(samplePage("Edit automation", "automations"), sampleForm())},
		{Name: "page-editor-new", Page: EditAutomation(samplePage("New automation", "automations"), newForm())},
		{Name: "page-editor-http", Page: EditAutomation(conflictPage(samplePage("Edit automation", "automations")),
			httpForm())},
		{Name: "page-editor-workflow", Page: EditAutomation(samplePage("Edit automation", "automations"),
			workflowForm())},
		{Name: "page-run", Page: RunPage(samplePage("Run now", "automations"), sampleRun())},
		{Name: "run-dialog", Body: RunDialog(sampleRun())},
	}
}

func sampleAhead() []Coming {
	var list []Coming
	for i := range 47 {
		list = append(list, Coming{"Sync translations",
			galleryNow.Add(time.Duration(i)*30*time.Minute + 14*time.Minute)})
	}
	return append(list, Coming{"Dependency audit", galleryNow.Add(14*time.Hour + 14*time.Minute)},
		Coming{"Standup digest", galleryNow.Add(19*time.Hour + 44*time.Minute)})
}

func sampleWebhook(token string) *Webhook {
	return &Webhook{Automation: "a4", URL: "https://carillon.example/api/automations/http-trigger/" + token,
		Token: token, Fingerprint: "9f3ac2e1", CanManage: true,
		LastCall: "Last called today 09:12 from 10.0.0.7 with the token 9f3ac2e1, answered 200.",
		Examples: []Snippet{{
			ID: "snippet-curl", Name: "curl",
			Text: "curl -X POST https://carillon.example/api/automations/http-trigger \\\n  -H \"Api-Authentication: " +
				"$CARILLON_TOKEN\" -d '{\"severity\": \"high\"}'",
		}}}
}

func sampleForm() AutomationForm {
	f := newForm()
	f.ID, f.Was, f.Version = "a1", "Nightly dependency audit", "7"
	f.Name.Value, f.BaseBranch.Value, f.BaseBranch.Error = f.Was, "mian",
		"payments-api has no branch “mian”. Did you mean “main”?"
	f.Trigger.Value, f.Cron.Value, f.TimeZone.Value = "recurring", "30 2 * * *", "Europe/Berlin"
	f.Prompt.Value = "Run a dependency audit of {{service}}.\n\nOpen one ticket for each finding at or above " +
		"{{severity}}.\nGroup findings that the same upgrade fixes, and link {{report_url}} in each ticket."
	f.Placeholders = []Placeholder{{Name: "service", Value: "payments-api"}, {Name: "severity", Value: "high"},
		{Name: "report_url", Missing: true}}
	f.OnlyUnchanged.Checked = true
	summer := time.FixedZone("CEST", 7200)
	f.Schedule = Schedule{Words: "Every day at 02:30, Berlin time", Now: galleryNow, Runs: []NextRun{
		{At: time.Date(2027, 3, 27, 2, 30, 0, 0, berlin())},
		{
			At:   time.Date(2027, 3, 28, 3, 0, 0, 0, summer),
			Note: "Clocks go forward: 02:30 does not exist, so it runs at 03:00",
		},
		{At: time.Date(2027, 3, 29, 2, 30, 0, 0, summer)},
	}}
	return f
}

func newForm() AutomationForm {
	f := NewAutomationForm()
	f.Workspace.Value, f.Workspace.Options = "w1", []Choice{{Value: "w1", Label: "payments-api"},
		{Value: "w2", Label: "storefront"}}
	f.TimeZone.Value, f.TimeZone.Options = "Europe/Berlin",
		[]Choice{{Value: "Europe/Berlin", Label: "Europe/Berlin (UTC+1, now 11:46)"}, {Value: "Etc/UTC", Label: "UTC"}}
	f.Provider.Value, f.Provider.Options = "claude", []Choice{{Value: "claude", Label: "Claude Code"},
		{Value: "codex", Label: "Codex", Off: "not installed"}}
	f.Model.Suggest, f.Model.Marks = []string{"opus", "sonnet"},
		map[string]string{"sonnet": RefusedOn(galleryNow, galleryNow)}
	f.Workflow.Options = []Choice{{Value: "", Label: "Choose a workflow"}, {Value: "wf1", Label: "Cut release"}}
	f.Bot.Options = []Choice{{Value: "", Label: "Choose a bot"}, {Value: "b1", Label: "Ada", Locks: true}}
	f.Timeout.Value, f.MaxParallel.Value = "360", "4"
	f.Toggles = sampleToggles()
	return f
}

func conflictPage(p Page) Page {
	p.Conflict = &Conflict{
		Who: "Mira Okafor", At: ago(2 * time.Minute), Now: galleryNow,
		Both:   []Value{{ID: "prompt", Name: "Prompt", Value: "Triage {{issue.title}} and {{issue.culprit}}."}},
		Theirs: []Value{{ID: "base_branch", Name: "Base branch"}},
	}
	return p
}

func httpForm() AutomationForm {
	f := newForm()
	f.ID, f.Was, f.Name.Value, f.Trigger.Value, f.SessionType.Value = "a4", "Triage new Sentry issues",
		"Triage new Sentry issues", "http", "bot"
	f.Bot.Value = "b1"
	f.AllowParallel.Checked = true
	f.Prompt.Value = "Triage {{issue.title}}."
	f.Webhook = sampleWebhook("7Qm2vX0sT9fWcYb1LkHn4RjZ8dPeUa3G6iOxKtVwB5M")
	return f
}

func workflowForm() AutomationForm {
	f := newForm()
	f.ID, f.Was, f.Name.Value, f.Trigger.Value, f.ExecutionType.Value, f.Workflow.Value = "a2",
		"Roll the release branch", "", "loop", "workflow", "wf1"
	f.Name.Error, f.MaxIterations.Error, f.MaxIterations.Value = "Give the automation a name.",
		"Write a whole number above 0.", "-1"
	f.Parameters = []Field{{Name: "param.version", Label: "Version", Required: true},
		{Name: "param.kind", Label: "Kind", Options: []Choice{{Value: "minor", Label: "Minor"}}},
		{Name: "param.dry", Label: "Dry run", Type: "checkbox"}}
	return f
}

func sampleRun() RunForm {
	return RunForm{ID: "a2", Name: "Roll the release branch", Intro: "These values hold for this run alone.",
		Fields: []Field{
			{Name: "param.service", Label: "service", Value: "payments-api", Mono: true},
			{
				Name: "param.report_url", Label: "report_url", Mono: true,
				Placeholder: "stays {{report_url}} when empty", Hint: "No stored value.",
			},
			{Name: "param.dry", Label: "Dry run", Type: "checkbox"},
			{Name: "param.notes", Label: "Notes", Rows: 3},
		}}
}

func sampleExecutions() []ExecutionItem {
	item := func(id, status, source, detail, note string, before, took time.Duration) ExecutionItem {
		e := ExecutionItem{
			ID: id, Status: status, Automation: "Nightly dependency audit", Source: source, SourceDetail: detail,
			Note: note, At: ago(before), Start: ago(before), End: ago(before - took), Session: "s" + id,
			Now: galleryNow,
		}
		return e
	}
	list := []ExecutionItem{
		item("e8", "running", "manual", "Mira Okafor", "", 252*time.Second, 0),
		item("e7", "succeeded", "schedule", "", "PR #218 open", 9*time.Hour, 363*time.Second),
		item("e6", "succeeded", "schedule", "", "No changes", 33*time.Hour, 351*time.Second),
		item("e5", "skipped", "schedule", "session 1458 was still running", "", 50*time.Hour, 0),
		item("e4", "timed_out", "schedule", "catch-up after downtime", "Ran longer than 6 h", 52*time.Hour,
			6*time.Hour),
		item("e3", "failed", "webhook", "token 9f3ac2e1", "Exit 1: npm could not reach the registry", 74*time.Hour,
			41*time.Second),
		item("e2", "canceled", "manual", "Jonas Weber", "", 80*time.Hour, 20*time.Second),
		item("e1", "succeeded", "", "", "No changes", 98*time.Hour, 358*time.Second),
	}
	list[0].End, list[0].Current = time.Time{}, true
	list[3].Start, list[3].End, list[3].Skips, list[3].Session = time.Time{}, time.Time{}, 3, ""
	return list
}

func sampleExecution() *ExecutionData {
	return &ExecutionData{ExecutionItem: sampleExecutions()[0], AutomationURL: AutomationURL("a1"),
		SessionName: "Nightly dependency audit", CanCancel: true,
		Snapshot: []Fact{{Label: "Provider", Value: "Claude Code"}, {Label: "Model", Value: "opus"},
			{Label: "Branch", Value: "carillon/audit-1486", Mono: true},
			{Label: "Session modes", Value: "Edge Cases, Code Review"}},
		Parameters: []Parameter{{"service", "payments-api", false}, {"severity", "high", false},
			{"registry_token", "", true}},
		Unresolved: []string{"report_url"},
		Transcript: &TranscriptData{Session: "s1486", After: "13", Entries: sampleEntries()},
	}
}
