package gallery

import (
	"time"

	"carillon/views"
)

func overviewSpecimens() []Specimen {
	all := sampleSessions()
	overview := views.OverviewPage{Now: now, Greeting: "Good morning, Mira", CanCreate: true,
		Upcoming: views.Upcoming{Now: now, Runs: sampleUpcoming()}, Running: all[:2], Waiting: all[2:3],
		Failed: sampleExecutions()[4:6],
		Next: []views.NextItem{{
			Name: "Sync translations", URL: views.AutomationURL("a7"), When: "Every 30 minutes",
			At: now.Add(14 * time.Minute),
		},
			{Name: "Nightly dependency audit", URL: views.AutomationURL("a1"), When: "Every day at 02:00",
				At: now.Add(14*time.Hour + 14*time.Minute)}}}
	quiet := views.OverviewPage{Now: now, Greeting: "Good morning, Mira", Upcoming: views.Upcoming{Now: now}}
	return []Specimen{
		{Name: "page-overview", Page: views.Overview(samplePage("Overview", "overview"), overview)},
		{Name: "page-overview-quiet", Page: views.Overview(samplePage("Overview", "overview"), quiet)},
		{Name: "page-overview-start", Page: views.Overview(samplePage("Overview", "overview"),
			views.OverviewPage{Now: now, Greeting: "Welcome, Mira", Nothing: true, CanCreate: true})},
	}
}
