package gallery

import (
	"time"

	"carillon/views"
)

func sessionSpecimens() []Specimen {
	all := sampleSessions()
	facts := []views.Fact{{Label: "Started by", Show: views.Source("manual", "Mira Okafor")},
		{Label: "Agent", Value: "Claude Code, opus"},
		{Label: "Workspace", Value: "payments-api", URL: views.WorkspaceURL("w1")},
		{Label: "Branch", Value: "carillon/audit-1486", Mono: true}}
	lock := views.Diff{
		Path: "services/payments/package-lock.json", Kind: "modified", Added: 12, Removed: 7, Cut: true,
		Lines: sampleDiff().Lines,
	}
	open := sampleDiff()
	open.Open = true
	live := views.SessionPage{Session: all[0], Facts: facts,
		Execution: views.Link{Text: "Execution", URL: views.ExecutionURL("e8")}, CanStop: true,
		Transcript: views.TranscriptData{
			Session: "s1486", After: "13", Live: true, Entries: sampleEntries(), Whole: "?whole=yes", Cut: true,
		},
		Changes: views.ChangesData{
			Session: "s1486", Added: 14, Removed: 9, More: 2,
			Files: []views.Diff{open, lock, {Path: "docs/logo.png", Kind: "added", Binary: true},
				{Path: "src/new.ts", From: "src/old.ts", Kind: "renamed"}},
		},
		CannotReply: "The agent is at work. Stop it to write to it."}
	wait := live
	wait.Session = all[2]
	wait.CanStop = false
	wait.CanComplete = true
	wait.CanReply = true
	wait.CannotReply = ""
	wait.CanLinkPR = true
	wait.Transcript.Live, wait.Transcript.Whole = false, ""
	wait.Reply = views.Field{Name: "message", Label: "Reply", Rows: 3, Placeholder: "Tell the agent how to go on"}
	wait.CanCreatePR, wait.ProblemPR = true, "The branch could not be pushed: the repository did not take the push."
	wait.LinkPR = views.Field{Name: "url", Label: "Link a pull request", Type: "url", Placeholder: "https://"}
	done := views.SessionPage{Session: all[3], Facts: facts, CanReopen: true,
		CannotReply: "The session is Done. Reopen it to write to the agent.",
		Transcript:  views.TranscriptData{Session: "s1479"},
		Changes:     views.ChangesData{Session: "s1479", Gone: "The worktree was removed; the branch is still there."}}
	done.LinkedPRs = []views.LinkedPR{
		{
			PullRequest: views.PullRequest{
				Number: "412", URL: "https://github.com/acme/payments-api/pull/412", State: "merged",
			}, Title: "Bump openssl to 3.4.1", Found: "named by the agent", ID: "p1",
		},
		{
			PullRequest: views.PullRequest{
				Number: "398", URL: "https://github.com/acme/payments-api/pull/398", State: "closed",
			}, Title: "Pin the base image", Found: "linked by hand", ID: "p2",
		},
	}
	filters := views.SessionsPage{Now: now, Total: "5 sessions",
		Status: views.Field{Name: "status", Label: "Status",
			Options: []views.Choice{{Value: "in_progress", Label: "In progress"},
				{Value: "waiting", Label: "Waiting"}}},
		Type: views.Field{Name: "type", Label: "Type", Options: []views.Choice{{Value: "develop", Label: "Develop"}}},
		Workspace: views.Field{
			Name: "workspace", Label: "Workspace", Options: []views.Choice{{Value: "w1", Label: "payments-api"}},
		}}
	full, none := filters, filters
	full.Rows, none.Filtered, none.Search = all, true, "nope"
	queued := views.SessionPage{
		Session: views.SessionItem{ID: "1486"}, Queued: []views.QueuedMessage{{
			ID: "t2", Who: "Mira Okafor", Text: "And then run the tests.", CanWithdraw: true,
		}},
	}
	return []Specimen{
		{Name: "page-sessions", Page: views.Sessions(samplePage("Sessions", "sessions"), full)},
		{Name: "page-sessions-none", Page: views.Sessions(samplePage("Sessions", "sessions"), none)},
		{Name: "page-sessions-empty", Page: views.Sessions(samplePage("Sessions", "sessions"), views.SessionsPage{})},
		{Name: "session-steps", Body: views.SessionSteps(views.SessionPage{Session: live.Session,
			Steps: []views.StepLine{
				{Number: "1", Kind: "Message", Label: "Create the release branch", Status: "succeeded"},
				{
					Number: "2", Kind: "Asset docs/plan.md", Label: "Write down", Status: "failed",
					Problem: "docs/plan.md could not be written: not a directory",
				},
				{Number: "3", Kind: "Loop block: 3 times", Label: "Until it is green"},
				{Number: "3.1", Kind: "Message", Label: "Test", Inside: true},
			}})},
		{Name: "page-session-live", Page: views.Session(samplePage("Nightly dependency audit", "sessions"), live)},
		{Name: "page-session-waiting", Page: views.Session(samplePage("Continuous QA loop", "sessions"), wait)},
		{Name: "page-session-done", Page: views.Session(samplePage("Nightly dependency audit", "sessions"), done)},
		{Name: "queued-messages", Body: views.QueuedMessages(queued)},
	}
}

func sampleSessions() []views.SessionItem {
	session := func(id, name, status, kind string) views.SessionItem {
		return views.SessionItem{ID: id, Name: name, Status: status, Type: kind,
			Automation: views.Link{Text: name, URL: views.AutomationURL("a1")},
			Workspace:  "payments-api", Owner: "Mira Okafor",
			Branch: "carillon/" + id, At: ago(3 * time.Hour), Start: ago(3 * time.Hour),
			End: ago(3*time.Hour - 363*time.Second), Now: now}
	}
	live := session("s1486", "Nightly dependency audit", "in_progress", "Develop")
	live.Start, live.End = ago(252*time.Second), time.Time{}
	waiting := session("s1482", "Continuous QA loop", "waiting", "Develop")
	waiting.PullRequest = &views.PullRequest{Number: "219", URL: "https://github.com/x/y/pull/219", State: "open"}
	done := session("s1479", "Nightly dependency audit", "done", "Develop")
	done.PullRequest = &views.PullRequest{Number: "218", URL: "https://github.com/x/y/pull/218", State: "merged"}
	queued := session("s1487", "Explain yesterday’s deploys", "queued", "Chat")
	queued.Start, queued.End = time.Time{}, time.Time{}
	closed := session("s1471", "Triage new Sentry issues", "canceled", "Bot")
	closed.PullRequest = &views.PullRequest{Number: "97", URL: "https://github.com/x/y/pull/97", State: "closed"}
	return []views.SessionItem{live, queued, waiting, done, closed}
}
