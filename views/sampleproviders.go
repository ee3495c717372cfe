package views

import "time"

func providerSpecimens() []Specimen {
	now := galleryNow
	claude := ProviderItem{
		ID: "claude", Name: "Claude Code", Driver: "Claude Code’s own stream", On: true, State: "found",
		Workers: []ProviderWorker{{
			Name: "forge-1", Path: "/usr/local/bin/claude", Version: "2.1.330", SignedIn: "ANTHROPIC_API_KEY",
		}},
		SignIn: "Set ANTHROPIC_API_KEY for the server, or run claude once as the server's user and sign in with " +
			"/login.",
		Keys:   []ProviderKey{{Name: "ANTHROPIC_API_KEY", Set: true}, {Name: "CLAUDE_*"}},
		Models: []string{"opus", "sonnet", "haiku"},
		ModelsField: Field{
			Name: "models", ID: "models-claude", Label: "Models", Mono: true, Value: "opus\nsonnet\nhaiku",
		}, CanManage: true, Now: now,
		Refused: []RefusedModel{{
			Name: "haiku-1",
			Reason: "There's an issue with the selected model (haiku-1). It may not exist or you may not have access " +
				"to it.", At: ago(time.Hour),
		}},
		Trial: &ProviderTrial{
			OK: true, At: ago(12 * time.Minute), Took: "4 s", Answer: "ready",
			Usage: "1,013 tokens in (1,000 cached), 3 out, $0.25",
		},
	}
	codex := ProviderItem{
		ID: "codex", Name: "Codex", Driver: "Codex’s own stream", On: true, State: "found",
		Workers: []ProviderWorker{{
			Name: "forge-1", Path: "/usr/local/bin/codex", Version: "0.169.0", TellsSignIn: true,
		}}, CanManage: true, Now: now,
		Pause: &ProviderPause{
			Since: ago(time.Hour), Until: now.Add(40 * time.Minute), Kind: "Quota or rate limit",
			Reason: "you have hit your usage limit; try again in 40 minutes", Waiting: 3,
		},
		Trial: &ProviderTrial{At: ago(time.Minute), Kind: "Authentication", Reason: "401 invalid api key"},
	}
	gemini := ProviderItem{
		ID: "gemini", Name: "Gemini CLI", Driver: "Agent Client Protocol", On: true, State: "missing",
		Workers: []ProviderWorker{{Name: "forge-1", Problem: "the program gemini was not found in PATH"}},
		Install: "npm install -g @google/gemini-cli", CanManage: true, Now: now,
	}
	own := ProviderItem{
		ID: "mine", Name: "Our agent", Driver: "Agent Client Protocol", Own: true, State: "found",
		Workers: []ProviderWorker{{Name: "forge-1", Path: "/opt/agent/bin/agent", Version: "1.2.0"},
			{Name: "forge-2", Problem: "the program agent was not found in PATH"}, {Name: "forge-3", Looking: true}},
		CanManage: true, Now: now,
		Models: []string{"small", "large"}, Listed: true, Trial: &ProviderTrial{Going: true, NobodyTakes: true},
	}
	looked := ProviderItem{
		ID: "copilot", Name: "GitHub Copilot", Driver: "Agent Client Protocol", On: true, State: "unknown",
		Experimental: true, Now: now,
	}
	all := ProvidersPage{CanManage: true, CanAdd: true, Rows: []ProviderItem{claude, codex, gemini, own, looked}}
	plain := claude
	plain.CanManage = false
	form := NewProviderForm()
	wrong := form
	wrong.ID, wrong.Was, wrong.Name.Value = "mine", "Our agent", "Our agent"
	wrong.Command.Value, wrong.Command.Error = `agent "open`, "A quotation mark or a backslash is left open."
	page := samplePage("Providers", "settings")
	session := SessionPage{
		Session: SessionItem{ID: "1486"}, Queued: []QueuedMessage{{
			ID: "t2", Who: "Mira Okafor", Text: "And then run the tests.", CanWithdraw: true,
		}},
	}
	return []Specimen{
		{Name: "page-providers", Page: Providers(page, all)},
		{Name: "page-providers-read", Page: Providers(page, ProvidersPage{Rows: []ProviderItem{plain}})},
		{Name: "page-provider-new", Page: EditProvider(page, form)},
		{Name: "page-provider-wrong", Page: EditProvider(page, wrong)},
		{Name: "queued-messages", Body: QueuedMessages(session)},
		{Name: "entries-agent", Body: sampleLog([]Entry{
			{ID: "p1", Kind: "plan", At: now, Plan: []PlanStep{{"Read the tests", "completed"},
				{"Mend the parser", "in_progress"}, {"Run the tests", "pending"}}},
			{ID: "p2", Kind: "permission", At: now, Text: "Run npm test", OK: true},
			{ID: "p3", Kind: "permission", At: now, Text: "Read /etc/shadow"},
			{ID: "p4", Kind: "tool", At: now, Tool: &Tool{
				Name: "Bash", Arg: "npm test", Input: "npm test -- --run", Status: "succeeded", Start: now,
				End: now.Add(3 * time.Second), Output: "ok", Open: true, Now: now,
			}},
		})},
		{Name: "attempts", Body: attempts(ExecutionData{
			ExecutionItem: ExecutionItem{Now: now}, Attempts: []Attempt{{
				Number: 1, At: ago(2 * time.Minute), Again: ago(time.Minute), Kind: "Transient",
				Reason: "the model's server answered 500",
			}},
		})},
		{
			Name: "terminal-moves",
			Body: Out("first\x1b[1A\x1b[2K\x1b[1G\x1b[32mgreen\x1b[0m\n10 %\r50 %\r100 %\r\nlast\x1b]0;title\x07\x1bc",
				false, "Output"),
		},
	}
}
