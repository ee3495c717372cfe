package gallery

import (
	"time"

	"carillon/views"
)

func usageSpecimens() []Specimen {
	month := views.Month{Start: time.Date(2026, 11, 1, 0, 0, 0, 0, berlin())}
	before, after := views.Month{Start: month.Start.AddDate(0, -1, 0)}, month
	usage := views.UsagePage{
		Month: month, Earlier: before, Everyone: true, Total: views.UsageRow{
			Turns: 412, Tokens: "at least 61,204,118", Cost: "at least $184.20", Seconds: 191_000,
		},
		Automations: []views.UsageRow{
			{
				Name: "Nightly dependency audit", URL: views.AutomationURL("a1"), Turns: 62, Tokens: "41,020,332",
				Cost: "$171.06", Seconds: 92_400,
			},
			{
				Name: "Release branch every Friday", URL: views.AutomationURL("a2"), Turns: 12, Tokens: "20,183,786",
				Cost: "at least $13.14", Seconds: 30_100,
			},
			{Name: "Back up the wiki", URL: views.AutomationURL("a3"), Turns: 338, Seconds: 68_500},
		},
		People: []views.UsageRow{{
			Name: "Mira Okafor", Turns: 412, Tokens: "at least 61,204,118", Cost: "at least $184.20", Seconds: 191_000,
		}},
		Workspaces: []views.UsageRow{{
			Name: "payments-api", URL: views.WorkspaceURL("w1"), Turns: 412, Tokens: "at least 61,204,118",
			Cost: "at least $184.20", Seconds: 191_000,
		}},
	}
	empty := views.UsagePage{Month: before, Earlier: views.Month{Start: before.Start.AddDate(0, -1, 0)}, Later: &after}
	gauges := []views.Gauge{
		{Limit: "30 minutes a run", Raise: views.BudgetURL("a1", "run.minutes")},
		{Limit: "$5.00 a day", Used: "$4.10", Part: 0.82, Raise: views.BudgetURL("a1", "day.money")},
		{
			Limit: "2,000,000 tokens a month", Used: "2,140,000 tokens", Part: 1.07, Unknown: "3 messages",
			Raise: views.BudgetURL("a1", "month.tokens"),
		},
		{Limit: "100 messages a month", Used: "12 messages", Part: 0.12},
	}
	return []Specimen{
		{Name: "page-usage", Page: views.Usage(usagePage("Usage"), usage)},
		{Name: "page-usage-empty", Page: views.Usage(usagePage("Usage"), empty)},
		{Name: "budget", Body: views.Budget(gauges)},
	}
}
