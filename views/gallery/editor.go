package gallery

import (
	"time"

	"carillon/views"
)

func editorSpecimens() []Specimen {
	form := newForm()
	form.ID, form.Was, form.Name.Value = "a1", "Nightly dependency audit", "Nightly dependency audit"
	q := &form.Checks
	q.GateCommand.Value, q.GateBranchMoved.Checked = "git diff --quiet origin/main~1 -- go.sum", true
	q.SuccessCommand.Value, q.SuccessFilesChanged.Checked, q.SuccessContains.Value = "make test", true, "ALL TESTS PASS"
	q.Budget[0].Minutes.Value, q.Budget[1].Money.Value, q.Budget[2].Tokens.Value = "30", "5", "2000000"

	wrong := newForm()
	wrong.Provider.Value = "codex"
	wrong.TogglesError.Error = "Shell script runs a script, and a script takes no instructions. Switch the session " +
		"modes off, or choose an agent."
	q = &wrong.Checks
	q.GateCommand.Value, q.GateCommand.Error = "if then", "Line 1: “then” comes too early."
	q.SuccessPullRequest.Checked, q.SuccessPullRequest.Error = true,
		"With Create pull request, Carillon opens it after a run that has succeeded, so the run cannot be asked for "+
			"it. Ask for changed files instead."
	q.Budget[1].Money.Value, q.Budget[1].Money.Error = "5",
		"Codex does not tell what it costs, so money cannot be limited. Limit tokens or minutes instead."

	templates, begun := newForm(), newForm()
	templates.Starts = views.Patterns()
	begun.Name.Value, begun.Trigger.Value, begun.ExecutionType.Value = "Continuous QA loop", "loop", "workflow"
	begun.MissingWorkflow = views.Link{
		Text: "Pick the next ticket from the queue and run QA checks", URL: views.WorkflowNewURL("qa-loop"),
	}
	return []Specimen{
		{Name: "page-editor", Page: views.EditAutomation(samplePage("Edit automation", "automations"), sampleForm())},
		{Name: "page-editor-new", Page: views.EditAutomation(samplePage("New automation", "automations"), newForm())},
		{Name: "page-editor-http",
			Page: views.EditAutomation(conflictPage(samplePage("Edit automation", "automations")),
				httpForm())},
		{Name: "page-editor-workflow", Page: views.EditAutomation(samplePage("Edit automation", "automations"),
			workflowForm())},
		{Name: "page-editor-quality", Page: views.EditAutomation(samplePage("Edit automation", "automations"), form)},
		{Name: "page-editor-quality-wrong", Page: views.EditAutomation(samplePage("New automation", "automations"),
			wrong)},
		{Name: "page-automation-new-templates", Page: views.EditAutomation(samplePage("New automation", "automations"),
			templates)},
		{Name: "page-automation-new-template", Page: views.EditAutomation(samplePage("New automation", "automations"),
			begun)},
	}
}

func sampleForm() views.AutomationForm {
	f := newForm()
	f.ID, f.Was, f.Version = "a1", "Nightly dependency audit", "7"
	f.Name.Value, f.BaseBranch.Value, f.BaseBranch.Error = f.Was, "mian",
		"payments-api has no branch “mian”. Did you mean “main”?"
	f.Trigger.Value, f.Cron.Value, f.TimeZone.Value = "recurring", "30 2 * * *", "Europe/Berlin"
	f.Prompt.Value = "Run a dependency audit of {{service}}.\n\nOpen one ticket for each finding at or above " +
		"{{severity}}.\nGroup findings that the same upgrade fixes, and link {{report_url}} in each ticket."
	f.Placeholders = []views.Placeholder{{Name: "service", Value: "payments-api"}, {Name: "severity", Value: "high"},
		{Name: "report_url", Missing: true}}
	f.OnlyUnchanged.Checked = true
	summer := time.FixedZone("CEST", 7200)
	f.Schedule = views.Schedule{Words: "Every day at 02:30, Berlin time", Now: now, Runs: []views.NextRun{
		{At: time.Date(2027, 3, 27, 2, 30, 0, 0, berlin())},
		{
			At:   time.Date(2027, 3, 28, 3, 0, 0, 0, summer),
			Note: "Clocks go forward: 02:30 does not exist, so it runs at 03:00",
		},
		{At: time.Date(2027, 3, 29, 2, 30, 0, 0, summer)},
	}}
	return f
}

func newForm() views.AutomationForm {
	f := views.NewAutomationForm()
	f.Workspace.Value, f.Workspace.Options = "w1", []views.Choice{{Value: "w1", Label: "payments-api"},
		{Value: "w2", Label: "storefront"}}
	f.TimeZone.Value, f.TimeZone.Options = "Europe/Berlin",
		[]views.Choice{{Value: "Europe/Berlin", Label: "Europe/Berlin (UTC+1, now 11:46)"},
			{Value: "Etc/UTC", Label: "UTC"}}
	f.Provider.Value, f.Provider.Options = "claude", []views.Choice{{Value: "claude", Label: "Claude Code"},
		{Value: "codex", Label: "Codex", Off: "not installed"}}
	f.Model.Suggest, f.Model.Marks = []string{"opus", "sonnet"},
		map[string]string{"sonnet": views.RefusedOn(now, now)}
	f.Workflow.Options = []views.Choice{{Value: "", Label: "Choose a workflow"}, {Value: "wf1", Label: "Cut release"}}
	f.Bot.Options = []views.Choice{{Value: "", Label: "Choose a bot"}, {Value: "b1", Label: "Ada", Locks: true}}
	f.Timeout.Value, f.MaxParallel.Value = "360", "4"
	f.Toggles = sampleToggles()
	return f
}

func conflictPage(p views.Page) views.Page {
	p.Conflict = &views.Conflict{
		Who: "Mira Okafor", At: ago(2 * time.Minute), Now: now,
		Both:   []views.Value{{ID: "prompt", Name: "Prompt", Value: "Triage {{issue.title}} and {{issue.culprit}}."}},
		Theirs: []views.Value{{ID: "base_branch", Name: "Base branch"}},
	}
	return p
}

func httpForm() views.AutomationForm {
	f := newForm()
	f.ID = "a4"
	f.Was = "Triage new Sentry issues"
	f.Name.Value = "Triage new Sentry issues"
	f.Trigger.Value = "http"
	f.SessionType.Value = "bot"
	f.Bot.Value = "b1"
	f.AllowParallel.Checked = true
	f.Prompt.Value = "Triage {{issue.title}}."
	f.Webhook = sampleWebhook("7Qm2vX0sT9fWcYb1LkHn4RjZ8dPeUa3G6iOxKtVwB5M")
	return f
}

func workflowForm() views.AutomationForm {
	f := newForm()
	f.ID = "a2"
	f.Was = "Roll the release branch"
	f.Name.Value = ""
	f.Trigger.Value = "loop"
	f.ExecutionType.Value = "workflow"
	f.Workflow.Value = "wf1"
	f.Name.Error, f.MaxIterations.Error, f.MaxIterations.Value = "Give the automation a name.",
		"Write a whole number above 0.", "-1"
	f.Parameters = []views.Field{{Name: "param.version", Label: "Version", Required: true},
		{Name: "param.kind", Label: "Kind", Options: []views.Choice{{Value: "minor", Label: "Minor"}}},
		{Name: "param.dry", Label: "Dry run", Type: "checkbox"}}
	return f
}
