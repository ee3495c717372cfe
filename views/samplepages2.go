package views

import "time"

func sampleSessions() []SessionItem {
	session := func(id, name, status, kind string) SessionItem {
		return SessionItem{ID: id, Name: name, Status: status, Type: kind, Automation: Link{name, AutomationURL("a1")},
			Workspace: "payments-api", Owner: "Mira Okafor",
			Branch: "carillon/" + id, At: ago(3 * time.Hour), Start: ago(3 * time.Hour),
			End: ago(3*time.Hour - 363*time.Second), Now: galleryNow}
	}
	live := session("s1486", "Nightly dependency audit", "in_progress", "Develop")
	live.Start, live.End = ago(252*time.Second), time.Time{}
	waiting := session("s1482", "Continuous QA loop", "waiting", "Develop")
	waiting.PullRequest = &PullRequest{"219", "https://github.com/x/y/pull/219", "open"}
	done := session("s1479", "Nightly dependency audit", "done", "Develop")
	done.PullRequest = &PullRequest{"218", "https://github.com/x/y/pull/218", "merged"}
	queued := session("s1487", "Explain yesterday’s deploys", "queued", "Chat")
	queued.Start, queued.End = time.Time{}, time.Time{}
	closed := session("s1471", "Triage new Sentry issues", "canceled", "Bot")
	closed.PullRequest = &PullRequest{"97", "https://github.com/x/y/pull/97", "closed"}
	return []SessionItem{live, queued, waiting, done, closed}
}

func sessionSpecimens() []Specimen {
	all := sampleSessions()
	facts := []Fact{{Label: "Started by", Show: Source("manual", "Mira Okafor")},
		{Label: "Agent", Value: "Claude Code, opus"},
		{Label: "Workspace", Value: "payments-api", URL: WorkspaceURL("w1")},
		{Label: "Branch", Value: "carillon/audit-1486", Mono: true}}
	lock := Diff{
		Path: "services/payments/package-lock.json", Kind: "modified", Added: 12, Removed: 7, Cut: true,
		Lines: sampleDiff().Lines,
	}
	open := sampleDiff()
	open.Open = true
	live := SessionPage{Session: all[0], Facts: facts, Execution: Link{"Execution", ExecutionURL("e8")}, CanStop: true,
		Transcript: TranscriptData{
			Session: "s1486", After: "13", Live: true, Entries: sampleEntries(), Whole: "?whole=yes", Cut: true,
		},
		Changes: ChangesData{
			Session: "s1486", Added: 14, Removed: 9, More: 2,
			Files: []Diff{open, lock, {Path: "docs/logo.png", Kind: "added", Binary: true},
				{Path: "src/new.ts", From: "src/old.ts", Kind: "renamed"}},
		},
		CannotReply: "The agent is at work. Stop it to write to it."}
	wait := live
	wait.Session, wait.CanStop, wait.CanComplete, wait.CanReply, wait.CannotReply, wait.CanLinkPR = all[2], false, true,
		true, "", true
	wait.Transcript.Live, wait.Transcript.Whole = false, ""
	wait.Reply = Field{Name: "message", Label: "Reply", Rows: 3, Placeholder: "Tell the agent how to go on"}
	wait.CanCreatePR, wait.ProblemPR = true, "The branch could not be pushed: the repository did not take the push."
	wait.LinkPR = Field{Name: "url", Label: "Link a pull request", Type: "url", Placeholder: "https://"}
	done := SessionPage{Session: all[3], Facts: facts, CanReopen: true,
		CannotReply: "The session is Done. Reopen it to write to the agent.",
		Transcript:  TranscriptData{Session: "s1479"},
		Changes:     ChangesData{Session: "s1479", Gone: "The worktree was removed; the branch is still there."}}
	done.LinkedPRs = []LinkedPR{
		{
			PullRequest: PullRequest{
				Number: "412", URL: "https://github.com/acme/payments-api/pull/412", State: "merged",
			}, Title: "Bump openssl to 3.4.1", Found: "named by the agent", ID: "p1",
		},
		{
			PullRequest: PullRequest{
				Number: "398", URL: "https://github.com/acme/payments-api/pull/398", State: "closed",
			}, Title: "Pin the base image", Found: "linked by hand", ID: "p2",
		},
	}
	filters := SessionsPage{Now: galleryNow, Total: "5 sessions",
		Status: Field{Name: "status", Label: "Status", Options: []Choice{{Value: "in_progress", Label: "In progress"},
			{Value: "waiting", Label: "Waiting"}}},
		Type: Field{Name: "type", Label: "Type", Options: []Choice{{Value: "develop", Label: "Develop"}}},
		Workspace: Field{
			Name: "workspace", Label: "Workspace", Options: []Choice{{Value: "w1", Label: "payments-api"}},
		}}
	full, none := filters, filters
	full.Rows, none.Filtered, none.Search = all, true, "nope"
	return []Specimen{
		{Name: "page-sessions", Page: Sessions(samplePage("Sessions", "sessions"), full)},
		{Name: "page-sessions-none", Page: Sessions(samplePage("Sessions", "sessions"), none)},
		{Name: "page-sessions-empty", Page: Sessions(samplePage("Sessions", "sessions"), SessionsPage{})},
		{Name: "session-steps", Body: SessionSteps(SessionPage{Session: live.Session, Steps: []StepLine{
			{Number: "1", Kind: "Message", Label: "Create the release branch", Status: "succeeded"},
			{
				Number: "2", Kind: "Asset docs/plan.md", Label: "Write down", Status: "failed",
				Problem: "docs/plan.md could not be written: not a directory",
			},
			{Number: "3", Kind: "Loop block: 3 times", Label: "Until it is green"},
			{Number: "3.1", Kind: "Message", Label: "Test", Inside: true},
		}})},
		{Name: "page-session-live", Page: Session(samplePage("Nightly dependency audit", "sessions"), live)},
		{Name: "page-session-waiting", Page: Session(samplePage("Continuous QA loop", "sessions"), wait)},
		{Name: "page-session-done", Page: Session(samplePage("Nightly dependency audit", "sessions"), done)},
	}
}

func executionPageSpecimens() []Specimen {
	filters := ExecutionsPage{Now: galleryNow, Total: "212 runs",
		Status:  Field{Name: "status", Label: "Status", Options: []Choice{{Value: "failed", Label: "Failed"}}},
		Trigger: Field{Name: "trigger", Label: "Started by", Options: []Choice{{Value: "webhook", Label: "Webhook"}}},
		Auto: Field{
			Name: "automation", Label: "Automation",
			Options: []Choice{{Value: "a1", Label: "Nightly dependency audit"}},
		}, Person: Field{Name: "person", Label: "Person", Options: []Choice{{Value: "u1", Label: "Mira Okafor"}}},
		From: Field{Name: "from", Label: "From"}, To: Field{Name: "to", Label: "To"}}
	full, none := filters, filters
	full.Rows, full.Pager = sampleExecutions(), Pager{Text: "50 of 212", Newer: "?before=e9", Older: "?after=e1"}
	none.Filtered, none.From.Value = true, "2026-11-01"
	failed := ExecutionData{ExecutionItem: sampleExecutions()[5], AutomationURL: AutomationURL("a1"),
		SessionName: "Nightly dependency audit",
		Reason:      "npm error code ENOTFOUND\nnpm error network request to https://registry.example.com failed",
		Help:        "The registry could not be reached from the worker. The next scheduled run tries again.",
		Prompt:      sampleEntries()[0].Fill, Unresolved: []string{"report_url", "team"},
		Parameters: []Parameter{{"service", "payments-api", false}}, Snapshot: sampleExecution().Snapshot,
		CanRunAgain: true}
	good := ExecutionData{ExecutionItem: sampleExecutions()[1], AutomationURL: AutomationURL("a1"),
		SessionName: "Nightly dependency audit", PullRequest: &PullRequest{"218", "https://github.com/x/y/pull/218",
			"open"},
		Prompt: sampleEntries()[0].Fill, Answer: "Two upgrades, one ticket each.\n\n**Nothing** else was above `high`.",
		Snapshot: sampleExecution().Snapshot}
	skipped := ExecutionData{
		ExecutionItem: sampleExecutions()[3], AutomationURL: AutomationURL("a1"), LastSkip: ago(49 * time.Hour),
		Reason: "The previous run was still in flight.",
	}
	return []Specimen{
		{Name: "page-executions", Page: Executions(samplePage("History", "executions"), full)},
		{Name: "page-executions-none", Page: Executions(samplePage("History", "executions"), none)},
		{Name: "page-executions-empty", Page: Executions(samplePage("History", "executions"), ExecutionsPage{})},
		{Name: "page-execution-failed", Page: Execution(samplePage("Run", "executions"), failed)},
		{Name: "page-execution-succeeded", Page: Execution(samplePage("Run", "executions"), good)},
		{Name: "page-execution-skipped", Page: Execution(samplePage("Run", "executions"), skipped)},
	}
}

func workspaceSpecimens() []Specimen {
	list := WorkspacesPage{CanCreate: true, Rows: []WorkspaceItem{
		{
			ID: "w1", Name: "payments-api", URL: "https://github.com/acme/payments-api.git", Branch: "main",
			Automations: 4, Sessions: 2, Members: 5,
		},
		{
			ID: "w2", Name: "storefront", URL: "git@github.com:acme/storefront.git", Branch: "trunk", Automations: 3,
			Members: 8, Problem: "The clone failed: authentication required",
		},
		{ID: "w3", Name: "Scratch", URL: "made by Carillon", Branch: "main", Members: 1},
	}}
	one := WorkspacePage{Now: galleryNow, ID: "w1", Name: "payments-api", CanManage: true,
		Uses:    "Its clone and 12 closed sessions go with it.",
		Problem: "The last fetch failed: authentication required. Check the access token.",
		Facts: []Fact{{Label: "Git URL", Value: "https://github.com/acme/payments-api.git", Mono: true},
			{Label: "Default branch", Value: "main", Mono: true}, {Label: "Access token", Value: "stored"},
			{Label: "Last fetched", Show: Time(ago(20*time.Minute), galleryNow)}},
		Variables: []Variable{{Name: "NODE_ENV", Value: "test"}, {Name: "NPM_TOKEN", Secret: true, Kept: true}},
		Automations: []Link{{"Nightly dependency audit", AutomationURL("a1")},
			{"Roll the release branch", AutomationURL("a2")}},
		Members: []Member{{ID: "u1", Name: "Mira Okafor", Email: "mira@acme.example", You: true},
			{ID: "u2", Name: "Jonas Weber", Email: "jonas@acme.example"}},
		AddMember: Field{Name: "user", Label: "Add a member", Options: []Choice{{Value: "u3", Label: "Ada Lin"}}}}
	one.Hook, one.HookNote = "https://carillon.acme.example/api/forges/github/w1",
		"Add a webhook with this address to the repository at GitHub: content type application/json, the secret, and "+
			"the event Pull requests."
	one.Agents = []Obedience{{Agent: "OpenCode", Obeys: []string{"opencode.json", "opencode.jsonc", ".opencode"}},
		{Agent: "Gemini CLI", Obeys: []string{".gemini"}}}
	one.Sandbox = true
	plain := WorkspacePage{
		Now: galleryNow, ID: "w3", Name: "Scratch", Facts: []Fact{{Label: "Git URL", Value: "made by Carillon"}},
		Members: one.Members[:1], Agents: one.Agents[1:],
	}
	form := NewWorkspaceForm()
	form.ID, form.Was, form.Name.Value, form.URL.Value, form.URL.Error, form.KeepToken = "w1", "payments-api",
		"payments-api", "htps://x", "Write an https or ssh address, or a path on this server.", true
	form.ForgeKind.Options, form.KeepForgeSecret = []Choice{{Label: "Detected by the Git URL"},
		{Value: "github", Label: "GitHub"}}, true
	form.Variables = []Variable{{Name: "NODE_ENV", Value: "test"}, {Name: "NPM_TOKEN", Secret: true, Kept: true},
		{Name: "2BAD", Value: "x", Error: "A name has letters, digits and _, and no digit first."}, {}}
	return []Specimen{
		{Name: "page-workspaces", Page: Workspaces(samplePage("Workspaces", "workspaces"), list)},
		{Name: "page-workspaces-empty", Page: Workspaces(samplePage("Workspaces", "workspaces"),
			WorkspacesPage{CanCreate: true})},
		{Name: "page-workspace", Page: Workspace(samplePage("payments-api", "workspaces"), one)},
		{Name: "page-workspace-plain", Page: Workspace(samplePage("Scratch", "workspaces"), plain)},
		{Name: "page-workspace-edit", Page: EditWorkspace(samplePage("Edit workspace", "workspaces"), form)},
	}
}

func otherSpecimens() []Specimen {
	now := galleryNow
	items := []NoticeItem{
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
	show := Field{Name: "show", Label: "Show", Value: "all", Options: []Choice{{Value: "unread", Label: "Unread"},
		{Value: "starred", Label: "Starred"}, {Value: "all", Label: "All"}}}
	inbox := InboxPage{Now: now, Show: show, Unread: 2, Items: items, Detail: true,
		Open: &NoticeDetail{NoticeItem: items[0], Label: "Disabled after 3 failures",
			Text: "It failed three times in a row, so Carillon stopped scheduling it. The last run ended after 2 " +
				"seconds, before the agent started.", Raw: `exec: "codex": executable file not found in $PATH`,
			Fix: []string{"Set the path of the provider “codex” in Settings, or choose another provider for this " +
				"automation.", "Run it once by hand. When it succeeds, enable it."},
			Primary: Action{Label: "Open automation", Kind: "primary", URL: AutomationURL("a5")},
			Others:  []Action{{Label: "Run now", Icon: "play", Kind: "plain", URL: RunsURL("a5")}},
			Trail: []Step{{
				Kind: "fail", Text: "Failed, third time. Disabled.", At: ago(100 * time.Hour), URL: ExecutionURL("e1"),
			}, {Kind: "fail", Text: "Failed: provider not found", At: ago(124 * time.Hour), URL: ExecutionURL("e2")},
				{Kind: "ok", Text: "Succeeded, PR #301 merged", At: ago(148 * time.Hour), URL: ExecutionURL("e3")}},
			Facts: []Fact{{Label: "Automation", Value: "Refresh API reference", URL: AutomationURL("a5")},
				{Label: "Workspace", Value: "docs-site"}, {Label: "Schedule", Value: "Weekdays at 07:30"},
				{Label: "Sent to", Value: "you, as its creator"}}}}
	list := inbox
	list.Open, list.Detail, list.Pager = nil, false, Pager{Older: "?after=n4"}
	none := InboxPage{Now: now, Show: show, Filtered: true}
	none.Show.Value = "starred"

	all := sampleSessions()
	overview := OverviewPage{Now: now, Greeting: "Good morning, Mira", CanCreate: true,
		Ahead: Ahead{Now: now, Runs: sampleAhead()}, Running: all[:2], Waiting: all[2:3],
		Failed: sampleExecutions()[4:6],
		Next: []NextItem{{"Sync translations", AutomationURL("a7"), "Every 30 minutes", now.Add(14 * time.Minute)},
			{"Nightly dependency audit", AutomationURL("a1"), "Every day at 02:00",
				now.Add(14*time.Hour + 14*time.Minute)}}}
	quiet := OverviewPage{Now: now, Greeting: "Good morning, Mira", Ahead: Ahead{Now: now}}

	wrong := NewLoginForm()
	wrong.Wrong, wrong.Email.Value, wrong.Providers = "That e-mail address and password do not belong together.",
		"mira@acme.example", []Link{{"Sign in with Acme", "/login/oidc"}}
	setup := NewSetupForm()
	setup.Password.Error = "Write at least 12 characters."
	toasts := samplePage("Inbox", "inbox")
	toasts.Toasts = []Toast{{Kind: "ok", Text: "Everything is read."}}
	return []Specimen{
		{Name: "page-inbox", Page: Inbox(toasts, inbox)},
		{Name: "page-inbox-list", Page: Inbox(samplePage("Inbox", "inbox"), list)},
		{Name: "page-inbox-none", Page: Inbox(samplePage("Inbox", "inbox"), none)},
		{Name: "page-inbox-empty", Page: Inbox(samplePage("Inbox", "inbox"), InboxPage{Now: now, Show: show})},
		{Name: "page-overview", Page: Overview(samplePage("Overview", "overview"), overview)},
		{Name: "page-overview-quiet", Page: Overview(samplePage("Overview", "overview"), quiet)},
		{Name: "page-overview-start", Page: Overview(samplePage("Overview", "overview"),
			OverviewPage{Now: now, Greeting: "Welcome, Mira", Nothing: true, CanCreate: true})},
		{Name: "page-login", Page: Login(Page{Title: "Sign in"}, NewLoginForm())},
		{Name: "page-login-wrong", Page: Login(Page{Title: "Sign in"}, wrong)},
		{Name: "page-setup", Page: Setup(Page{Title: "Welcome"}, setup)},
		{Name: "page-error", Page: ErrorPage(samplePage("Not found", ""), "Not found",
			"There is nothing here, or you may not see it.")},
		{Name: "page-error-blank", Page: BlankErrorPage(Page{Title: "Not found"}, "Not found",
			"There is nothing here.")},
	}
}
