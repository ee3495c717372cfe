package gallery

import (
	"time"

	"carillon/views"
)

func inboxSpecimens() []Specimen {
	items := []views.NoticeItem{
		{
			ID: "n1", Icon: "octagon-x", Kind: "fail", Title: "Refresh API reference was disabled",
			Sub: "Third failure in a row: provider “codex” not found", At: ago(100 * time.Hour), Unread: true,
			Current: true,
		},
		{
			ID: "n2", Icon: "circle-minus", Kind: "warn", Title: "Sync translations is being skipped",
			Sub: "Session 1471 has run for 2 h 10 min", At: ago(12 * time.Minute), Unread: true,
		},
		{
			ID: "n3", Icon: "git-pull-request-closed", Kind: "idle", Title: "PR #97 was closed without merging",
			Sub: "Continuous QA loop, iteration 41", At: ago(time.Hour), Starred: true,
		},
		{
			ID: "n4", Icon: "workflow", Kind: "fail", Title: "Workflow “Old QA” was deleted",
			Sub: "Smoke test staging was disabled with it", At: ago(14 * 24 * time.Hour),
		},
	}
	show := views.Field{Name: "show", Label: "Show", Value: "all",
		Options: []views.Choice{{Value: "unread", Label: "Unread"},
			{Value: "starred", Label: "Starred"}, {Value: "all", Label: "All"}}}
	inbox := views.InboxPage{Now: now, Show: show, Unread: 2, Items: items, Detail: true,
		Open: &views.NoticeDetail{NoticeItem: items[0], Label: "Disabled after 3 failures",
			Text: "It failed three times in a row, so Carillon stopped scheduling it. The last run ended after 2 " +
				"seconds, before the agent started.", Raw: `exec: "codex": executable file not found in $PATH`,
			Fix: []string{"Set the path of the provider “codex” in Settings, or choose another provider for this " +
				"automation.", "Run it once by hand. When it succeeds, enable it."},
			Primary: views.Action{Label: "Open automation", Kind: "primary", URL: views.AutomationURL("a5")},
			Others:  []views.Action{{Label: "Run now", Icon: "play", Kind: "plain", URL: views.RunsURL("a5")}},
			Trail: []views.Step{{
				Kind: "fail", Text: "Failed, third time. Disabled.", At: ago(100 * time.Hour),
				URL: views.ExecutionURL("e1"),
			}, {
				Kind: "fail", Text: "Failed: provider not found", At: ago(124 * time.Hour),
				URL: views.ExecutionURL("e2"),
			},
				{
					Kind: "ok", Text: "Succeeded, PR #301 merged", At: ago(148 * time.Hour),
					URL: views.ExecutionURL("e3"),
				}},
			Facts: []views.Fact{{Label: "Automation", Value: "Refresh API reference", URL: views.AutomationURL("a5")},
				{Label: "Workspace", Value: "docs-site"}, {Label: "Schedule", Value: "Weekdays at 07:30"},
				{Label: "Sent to", Value: "you, as its creator"}}}}
	list := inbox
	list.Open, list.Detail, list.Pager = nil, false, views.Pager{Older: "?after=n4"}
	none := views.InboxPage{Now: now, Show: show, Filtered: true}
	none.Show.Value = "starred"
	toasts := samplePage("Inbox", "inbox")
	toasts.Toasts = []views.Toast{{Kind: "ok", Text: "Everything is read."}}
	return []Specimen{
		{Name: "page-inbox", Page: views.Inbox(toasts, inbox)},
		{Name: "page-inbox-list", Page: views.Inbox(samplePage("Inbox", "inbox"), list)},
		{Name: "page-inbox-none", Page: views.Inbox(samplePage("Inbox", "inbox"), none)},
		{Name: "page-inbox-empty", Page: views.Inbox(samplePage("Inbox", "inbox"),
			views.InboxPage{Now: now, Show: show})},
	}
}
