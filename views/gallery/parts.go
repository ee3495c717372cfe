package gallery

import (
	"time"

	"carillon/views"
)

func partSpecimens() []Specimen {
	return []Specimen{
		{Name: "empty", Body: withAction(views.Empty("Nothing here yet", "Add the first one."),
			views.Action{Label: "New ticket", Icon: "plus", Kind: "plain", URL: "/tickets/new"})},
		{Name: "copy", Body: views.Copy("sample-url", "Webhook URL",
			"https://carillon.example/api/automations/http-trigger")},
		{Name: "pager", Body: views.Pages(views.Pager{Text: "20 of 212", Newer: "?before=1", Older: "?after=2"})},
		{Name: "crumbs", Body: views.Crumbs(views.Link{Text: "Automations", URL: "/automations"},
			views.Link{Text: "Nightly dependency audit", URL: ""})},
		{Name: "tabs", Body: views.Tabs("Automation", views.Tab{
			Label: "History", Count: "212", URL: "#", Current: true,
		},
			views.Tab{Label: "Settings", URL: "#"})},
		{Name: "facts", Body: views.Facts([]views.Fact{{Label: "Agent", Value: "Claude Code"},
			{Label: "Branch", Value: "carillon/audit-1486", Mono: true},
			{Label: "Workspace", Value: "payments-api", URL: "/workspaces/1"},
			{Label: "Changes", Show: views.Stat(14, 9)}})},
		{
			Name: "trail",
			Body: views.Trail([]views.Step{{
				Kind: "fail", Text: "Failed, third time. Disabled.", At: ago(100 * time.Hour), URL: "#",
			}, {Kind: "warn", Text: "Skipped 3 times", At: ago(124 * time.Hour)},
				{Kind: "ok", Text: "Succeeded, PR #301 merged", At: ago(148 * time.Hour), URL: "#"}}, now),
		},
		{Name: "dialog", Body: sampleDialog()},
	}
}
