package gallery

import (
	"time"

	"carillon/views"
)

func automationListSpecimens() []Specimen {
	filters := func(p views.AutomationsPage) views.AutomationsPage {
		p.Now = now
		p.Scope = views.Field{Name: "scope", Label: "Whose", Value: "all",
			Options: []views.Choice{{Value: "own", Label: "Mine"},
				{Value: "all", Label: "Everyone’s"}}}
		p.Trigger = views.Field{Name: "trigger", Label: "Type", Options: views.TriggerChoices()}
		p.Workspace = views.Field{
			Name: "workspace", Label: "Workspace", Options: []views.Choice{{Value: "w1", Label: "payments-api"}},
		}
		p.State = views.Field{Name: "state", Label: "State",
			Options: []views.Choice{{Value: "enabled", Label: "Enabled"},
				{Value: "disabled", Label: "Disabled"}, {Value: "running", Label: "Running"},
				{Value: "attention", Label: "Needs attention"}}}
		return p
	}
	full := filters(views.AutomationsPage{Total: "8 automations", Running: 1, Attention: 2, ShowUpcoming: true,
		CanCreate: true,
		CanManage: true, Rows: sampleRows(), Pager: views.Pager{Older: "?after=a8"},
		Upcoming: views.Upcoming{Now: now, Runs: sampleUpcoming()}})
	none := filters(views.AutomationsPage{Total: "8 automations", Filtered: true, Search: "nope", CanCreate: true})
	none.State.Value = "disabled"
	return []Specimen{
		{Name: "page-automations", Page: views.Automations(samplePage("Automations", "automations"), full)},
		{Name: "page-automations-empty", Page: views.Automations(samplePage("Automations", "automations"),
			views.AutomationsPage{CanCreate: true})},
		{Name: "page-automations-none", Page: views.Automations(samplePage("Automations", "automations"), none)},
	}
}

func sampleRows() []views.AutomationRowData {
	at := func(d time.Duration) time.Time { return now.Add(d) }
	row := func(id, name, context, trigger, when string) views.AutomationRowData {
		return views.AutomationRowData{ID: id, Name: name, Context: context, Trigger: trigger, When: when,
			Enabled:   true,
			CanManage: true, Now: now,
			Status: "succeeded", LastAt: ago(9 * time.Hour), Start: ago(9 * time.Hour),
			End: ago(9*time.Hour - 6*time.Minute), Runs: sampleBars(manyTimes("succeeded", 30))}
	}
	audit := row("a1", "Nightly dependency audit", "payments-api · Develop", "recurring", "Every day at 02:00")
	audit.Next = at(14*time.Hour + 14*time.Minute)
	release := row("a2", "Roll the release branch", "payments-api · Cut release", "recurring", "Fridays at 16:00")
	release.Next = at(100 * time.Hour)
	release.Status = "failed"
	release.Failures = 2
	release.Asks = true
	release.Runs = sampleBars(manyTimes("succeeded", 28) + " failed failed")
	loop := row("a3", "Continuous QA loop", "storefront · QA next ticket", "loop", "After each session ends")
	loop.Then = "When the session ends"
	loop.Status = "running"
	loop.InFlight = true
	loop.Blocking = "s1482"
	loop.Start = ago(12*time.Minute + 8*time.Second)
	loop.End = time.Time{}
	loop.Runs = sampleBars(manyTimes("succeeded", 12) + " canceled succeeded running")
	hook := row("a4", "Triage new Sentry issues", "storefront · bot Ada", "http", "When its webhook is called")
	hook.Then, hook.AlwaysOn, hook.Exempt = "Token 9f3ac2e1", true, true
	off := row("a5", "Refresh API reference", "docs-site · Develop", "recurring", "Weekdays at 07:30")
	off.Enabled = false
	off.Warning = "Disabled after 3 failures"
	off.Status = "failed"
	off.Failures = 3
	off.Runs = sampleBars(manyTimes("succeeded", 27) + " failed failed timed_out")
	once := row("a6", "Move tests to containers", "payments-api · Develop", "one_time", "Once, in 7 days")
	once.Next = at(8 * 24 * time.Hour)
	once.Status = ""
	once.LastAt = time.Time{}
	once.Runs = nil
	skipped := row("a7", "Sync translations with a name that is rather long for a list", "storefront · Develop",
		"recurring", "Every 30 minutes")
	skipped.Next = at(14 * time.Minute)
	skipped.Status = "skipped"
	skipped.LastAt = ago(12 * time.Minute)
	skipped.Start = time.Time{}
	skipped.Runs = sampleBars(manyTimes("succeeded skipped", 15))
	other := row("a8", "Explain yesterday’s deploys", "ops · Chat", "manual", "Only when someone runs it")
	other.Exempt, other.CanManage, other.Then = true, false, "No next run"
	return []views.AutomationRowData{audit, release, loop, hook, off, once, skipped, other}
}
