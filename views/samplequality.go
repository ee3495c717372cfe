package views

import "time"

func qualitySpecimens() []Specimen {
	form := newForm()
	form.ID, form.Was, form.Name.Value = "a1", "Nightly dependency audit", "Nightly dependency audit"
	q := &form.Quality
	q.GateCommand.Value, q.GateBranchMoved.Checked = "git diff --quiet origin/main~1 -- go.sum", true
	q.SuccessCommand.Value, q.SuccessFilesChanged.Checked, q.SuccessContains.Value = "make test", true, "ALL TESTS PASS"
	q.Budget[0].Minutes.Value, q.Budget[1].Money.Value, q.Budget[2].Tokens.Value = "30", "5", "2000000"

	wrong := newForm()
	wrong.Provider.Value = "codex"
	wrong.TogglesError.Error = "Shell script runs a script, and a script takes no instructions. Switch the session " +
		"modes off, or choose an agent."
	q = &wrong.Quality
	q.GateCommand.Value, q.GateCommand.Error = "if then", "Line 1: “then” comes too early."
	q.SuccessPullRequest.Checked, q.SuccessPullRequest.Error = true,
		"With Create pull request, Carillon opens it after a run that has succeeded, so the run cannot be asked for "+
			"it. Ask for changed files instead."
	q.Budget[1].Money.Value, q.Budget[1].Money.Error = "5",
		"Codex does not tell what it costs, so money cannot be limited. Limit tokens or minutes instead."

	texts := TogglesPage{Toggles: []ToggleItem{
		{Text: Field{
			Name: "edge_cases", Label: "Edge Cases", Rows: 4, Hint: "Added to the first prompt.",
			Value: "Edge cases: think of empty, huge, repeated and hostile input.",
		}},
		{Text: Field{
			Name: "code_review", Label: "Code Review", Rows: 4, Hint: "A message of its own after the run.",
			Value: "Review all that this session has changed.",
		}, Changed: true},
	}}
	badTexts := TogglesPage{Toggles: []ToggleItem{{Text: Field{
		Name: "edge_cases", Label: "Edge Cases", Rows: 4, Error: "Write what the agent is told, or reset it.",
	}, Changed: true}}}

	now := Month{time.Date(2026, 11, 1, 0, 0, 0, 0, berlin())}
	before, after := Month{now.Start.AddDate(0, -1, 0)}, now
	usage := UsagePage{
		Month: now, Earlier: before, Everyone: true, Total: UsageRow{
			Turns: 412, Tokens: "at least 61,204,118", Cost: "at least $184.20", Seconds: 191_000,
		},
		Automations: []UsageRow{
			{
				Name: "Nightly dependency audit", URL: AutomationURL("a1"), Turns: 62, Tokens: "41,020,332",
				Cost: "$171.06", Seconds: 92_400,
			},
			{
				Name: "Release branch every Friday", URL: AutomationURL("a2"), Turns: 12, Tokens: "20,183,786",
				Cost: "at least $13.14", Seconds: 30_100,
			},
			{Name: "Back up the wiki", URL: AutomationURL("a3"), Turns: 338, Seconds: 68_500},
		},
		People: []UsageRow{{
			Name: "Mira Okafor", Turns: 412, Tokens: "at least 61,204,118", Cost: "at least $184.20", Seconds: 191_000,
		}},
		Workspaces: []UsageRow{{
			Name: "payments-api", URL: WorkspaceURL("w1"), Turns: 412, Tokens: "at least 61,204,118",
			Cost: "at least $184.20", Seconds: 191_000,
		}},
	}
	empty := UsagePage{Month: before, Earlier: Month{before.Start.AddDate(0, -1, 0)}, Later: &after}
	gauges := []Gauge{
		{Limit: "30 minutes a run", Raise: BudgetURL("a1", "run.minutes")},
		{Limit: "$5.00 a day", Used: "$4.10", Part: 0.82, Raise: BudgetURL("a1", "day.money")},
		{
			Limit: "2,000,000 tokens a month", Used: "2,140,000 tokens", Part: 1.07, Unknown: "3 messages",
			Raise: BudgetURL("a1", "month.tokens"),
		},
		{Limit: "100 messages a month", Used: "12 messages", Part: 0.12},
	}
	nothing := ExecutionData{
		ExecutionItem: sampleExecutions()[1], AutomationURL: AutomationURL("a1"),
		SessionName: "Nightly dependency audit", Answer: "All is up to date.\n\nNOTHING TO DO",
		Usage: []Fact{{Label: "Tokens", Value: "12,345 in, 40 cached, 20 out"}, {Label: "Cost", Value: "unknown"}},
	}
	nothing.Status, nothing.End = "nothing_to_do", nothing.Start.Add(40*time.Second)
	settings := func(title string) Page {
		page := samplePage(title, "settings")
		page.Settings = []Tab{{Label: "Profile", URL: ProfileURL()}, {
			Label: "Session toggles", URL: TogglesURL(), Current: title != "Usage",
		}, {Label: "Usage", URL: UsageURL(""), Current: title == "Usage"}}
		return page
	}
	return []Specimen{
		{Name: "page-editor-quality", Page: EditAutomation(samplePage("Edit automation", "automations"), form)},
		{Name: "page-editor-quality-wrong", Page: EditAutomation(samplePage("New automation", "automations"), wrong)},
		{Name: "page-toggles", Page: Toggles(settings("Session toggles"), texts)},
		{Name: "page-toggles-wrong", Page: Toggles(settings("Session toggles"), badTexts)},
		{Name: "page-usage", Page: Usage(settings("Usage"), usage)},
		{Name: "page-usage-empty", Page: Usage(settings("Usage"), empty)},
		{Name: "budget", Body: Budget(gauges)},
		{Name: "page-execution-nothing-to-do", Page: Execution(samplePage("Run of Nightly dependency audit",
			"executions"), nothing)},
	}
}
