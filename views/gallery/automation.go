package gallery

import "carillon/views"

func automationSpecimens() []Specimen {
	rows := sampleRows()
	page := views.AutomationPage{
		Now: now, Automation: rows[0], Workspace: views.Link{Text: "payments-api", URL: views.WorkspaceURL("w1")},
		Count:      "212",
		Executions: sampleExecutions(), Summary: "27 of 30, median 6 min", Selected: sampleExecution(), Detail: true,
		Pager: views.Pager{Older: "?after=e8"},
	}
	page.Automation.Blocking, page.Automation.InFlight = "s1486", true
	fresh := views.AutomationPage{Now: now, Automation: rows[5], Workspace: page.Workspace, Count: "0"}
	settings := views.AutomationPage{Now: now, Automation: rows[3],
		Workspace: views.Link{Text: "storefront", URL: views.WorkspaceURL("w2")},
		Settings:  true, Count: "41",
		Uses:   "Its history of 41 executions is deleted too. Sessions are kept.",
		Prompt: "Triage {{issue.title}}.\n\nClose it when it is noise.", Webhook: sampleWebhook(""),
		Groups: []views.FactGroup{{Title: "What it does", Facts: []views.Fact{{Label: "Session type", Value: "Bot"},
			{Label: "Bot", Value: "Ada", URL: views.BotURL("b1")},
			{Label: "Provider", Value: "Claude Code, by the bot"}}},
			{Title: "Options", Facts: []views.Fact{{Label: "Allow Parallel Sessions", Value: "No"},
				{Label: "Timeout", Value: "6 h"}}}}}
	off := page
	off.Automation = rows[4]
	off.Selected = nil
	off.Detail = false
	off.Why = "Disabled after 3 failures in a row. The last: provider “codex” not found. Enabling it resets the count."

	offered := page
	offered.Offer = views.OfferData{Mine: true, Version: "7",
		Text: "Jonas Weiß asks you to take over this automation. It would run with your access, so check its " +
			"settings and its prompt first."}
	made := page
	made.Offer = views.OfferData{
		Version: "7", Text: "Jonas Weiß has offered it to Mira Okafor, who has not answered yet.",
	}
	return []Specimen{
		{Name: "page-automation-offered", Page: views.Automation(samplePage(rows[0].Name, "automations"), offered)},
		{Name: "page-automation-offer-made", Page: views.Automation(samplePage(rows[0].Name, "automations"), made)},
		{Name: "page-automation", Page: views.Automation(samplePage(rows[0].Name, "automations"), page)},
		{Name: "page-automation-off", Page: views.Automation(samplePage(rows[4].Name, "automations"), off)},
		{Name: "page-automation-fresh", Page: views.Automation(samplePage(rows[5].Name, "automations"), fresh)},
		{Name: "page-automation-settings", Page: views.Automation(samplePage(rows[3].Name, "automations"), settings)},
		{Name: "page-run", Page: views.RunPage(samplePage("Run now", "automations"), sampleRun())},
		{Name: "run-dialog", Body: views.RunDialog(sampleRun())},
	}
}

func sampleWebhook(token string) *views.Webhook {
	return &views.Webhook{Automation: "a4", URL: "https://carillon.example/api/automations/http-trigger/" + token,
		Token: token, Fingerprint: "9f3ac2e1", CanManage: true,
		LastCall: "Last called today 09:12 from 10.0.0.7 with the token 9f3ac2e1, answered 200.",
		Examples: []views.Snippet{{
			ID: "snippet-curl", Name: "curl",
			Text: "curl -X POST https://carillon.example/api/automations/http-trigger \\\n  -H \"Api-Authentication: " +
				"$CARILLON_TOKEN\" -d '{\"severity\": \"high\"}'",
		}}}
}

func sampleRun() views.RunForm {
	return views.RunForm{ID: "a2", Name: "Roll the release branch", Intro: "These values hold for this run alone.",
		Fields: []views.Field{
			{Name: "param.service", Label: "service", Value: "payments-api", Mono: true},
			{
				Name: "param.report_url", Label: "report_url", Mono: true,
				Placeholder: "stays {{report_url}} when empty", Hint: "No stored value.",
			},
			{Name: "param.dry", Label: "Dry run", Type: "checkbox"},
			{Name: "param.notes", Label: "Notes", Rows: 3},
		}}
}
