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
	return []views.AutomationRowData{audit, release, loop, hook, off, once, skipped, other}
}
