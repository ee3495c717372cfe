package gallery

import (
	"time"

	"carillon/views"
)

func executionSpecimens() []Specimen {
	filters := views.ExecutionsPage{Now: now, Total: "212 runs",
		Status: views.Field{
			Name: "status", Label: "Status", Options: []views.Choice{{Value: "failed", Label: "Failed"}},
		},
		Trigger: views.Field{
			Name: "trigger", Label: "Started by", Options: []views.Choice{{Value: "webhook", Label: "Webhook"}},
		},
		Auto: views.Field{
			Name: "automation", Label: "Automation",
			Options: []views.Choice{{Value: "a1", Label: "Nightly dependency audit"}},
		}, Person: views.Field{
			Name: "person", Label: "Person", Options: []views.Choice{{Value: "u1", Label: "Mira Okafor"}},
		},
		From: views.Field{Name: "from", Label: "From"}, To: views.Field{Name: "to", Label: "To"}}
	full, none := filters, filters
	full.Rows, full.Pager = sampleExecutions(), views.Pager{Text: "50 of 212", Newer: "?before=e9", Older: "?after=e1"}
	none.Filtered, none.From.Value = true, "2026-11-01"
	failed := views.ExecutionData{ExecutionItem: sampleExecutions()[5], AutomationURL: views.AutomationURL("a1"),
		SessionName: "Nightly dependency audit",
		Reason:      "npm error code ENOTFOUND\nnpm error network request to https://registry.example.com failed",
		Help:        "The registry could not be reached from the worker. The next scheduled run tries again.",
		Prompt:      sampleEntries()[0].Fill, Unresolved: []string{"report_url", "team"},
		Parameters:  []views.Parameter{{Name: "service", Value: "payments-api", Secret: false}},
		Snapshot:    sampleExecution().Snapshot,
		CanRunAgain: true}
	good := views.ExecutionData{ExecutionItem: sampleExecutions()[1], AutomationURL: views.AutomationURL("a1"),
		SessionName: "Nightly dependency audit", PullRequest: &views.PullRequest{Number: "218",
			URL:   "https://github.com/x/y/pull/218",
			State: "open"},
		Prompt: sampleEntries()[0].Fill, Answer: "Two upgrades, one ticket each.\n\n**Nothing** else was above `high`.",
		Snapshot: sampleExecution().Snapshot}
	skipped := views.ExecutionData{
		ExecutionItem: sampleExecutions()[3], AutomationURL: views.AutomationURL("a1"), LastSkip: ago(49 * time.Hour),
		Reason: "The previous run was still in flight.",
	}
	nothing := views.ExecutionData{
		ExecutionItem: sampleExecutions()[1], AutomationURL: views.AutomationURL("a1"),
		SessionName: "Nightly dependency audit", Answer: "All is up to date.\n\nNOTHING TO DO",
		Usage: []views.Fact{{Label: "Tokens", Value: "12,345 in, 40 cached, 20 out"},
			{Label: "Cost", Value: "unknown"}},
	}
	nothing.Status, nothing.End = "nothing_to_do", nothing.Start.Add(40*time.Second)
	return []Specimen{
		{Name: "page-executions", Page: views.Executions(samplePage("History", "executions"), full)},
		{Name: "page-executions-none", Page: views.Executions(samplePage("History", "executions"), none)},
		{Name: "page-executions-empty", Page: views.Executions(samplePage("History", "executions"),
			views.ExecutionsPage{})},
		{Name: "page-execution-failed", Page: views.Execution(samplePage("Run", "executions"), failed)},
		{Name: "page-execution-succeeded", Page: views.Execution(samplePage("Run", "executions"), good)},
		{Name: "page-execution-skipped", Page: views.Execution(samplePage("Run", "executions"), skipped)},
		{Name: "page-execution-nothing-to-do", Page: views.Execution(samplePage("Run of Nightly dependency audit",
			"executions"), nothing)},
		{Name: "attempts", Body: views.Attempts(views.ExecutionData{
			ExecutionItem: views.ExecutionItem{Now: now}, Attempts: []views.Attempt{{
				Number: 1, At: ago(2 * time.Minute), Again: ago(time.Minute), Kind: "Transient",
				Reason: "the model's server answered 500",
			}},
		})},
	}
}

func sampleExecutions() []views.ExecutionItem {
	item := func(id, status, source, detail, note string, before, took time.Duration) views.ExecutionItem {
		e := views.ExecutionItem{
			ID: id, Status: status, Automation: "Nightly dependency audit", Source: source, SourceDetail: detail,
			Note: note, At: ago(before), Start: ago(before), End: ago(before - took), Session: "s" + id,
			Now: now,
		}
		return e
	}
	list := []views.ExecutionItem{
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
	list[3].Start = time.Time{}
	list[3].End = time.Time{}
	list[3].Skips = 3
	list[3].Session = ""
	return list
}

func sampleExecution() *views.ExecutionData {
	return &views.ExecutionData{ExecutionItem: sampleExecutions()[0], AutomationURL: views.AutomationURL("a1"),
		SessionName: "Nightly dependency audit", CanCancel: true,
		Snapshot: []views.Fact{{Label: "Provider", Value: "Claude Code"}, {Label: "Model", Value: "opus"},
			{Label: "Branch", Value: "carillon/audit-1486", Mono: true},
			{Label: "Session modes", Value: "Edge Cases, Code Review"}},
		Parameters: []views.Parameter{{Name: "service", Value: "payments-api", Secret: false},
			{Name: "severity", Value: "high", Secret: false},
			{Name: "registry_token", Value: "", Secret: true}},
		Unresolved: []string{"report_url"},
		Transcript: &views.TranscriptData{Session: "s1486", After: "13", Entries: sampleEntries()},
	}
}
