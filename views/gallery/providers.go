package gallery

import (
	"time"

	"carillon/views"
)

func providerSpecimens() []Specimen {
	claude := views.ProviderItem{
		ID: "claude", Name: "Claude Code", Driver: "Claude Code’s own stream", On: true, State: "found",
		Workers: []views.ProviderWorker{{
			Name: "forge-1", Path: "/usr/local/bin/claude", Version: "2.1.330", SignedIn: "ANTHROPIC_API_KEY",
		}},
		SignIn: "Set ANTHROPIC_API_KEY for the server, or run claude once as the server's user and sign in with " +
			"/login.",
		Keys:   []views.ProviderKey{{Name: "ANTHROPIC_API_KEY", Set: true}, {Name: "CLAUDE_*"}},
		Models: []string{"opus", "sonnet", "haiku"},
		ModelsField: views.Field{
			Name: "models", ID: "models-claude", Label: "Models", Mono: true, Value: "opus\nsonnet\nhaiku",
		}, CanManage: true, Now: now,
		Refused: []views.RefusedModel{{
			Name: "haiku-1",
			Reason: "There's an issue with the selected model (haiku-1). It may not exist or you may not have access " +
				"to it.", At: ago(time.Hour),
		}},
		Trial: &views.ProviderTrial{
			OK: true, At: ago(12 * time.Minute), Took: "4 s", Answer: "ready",
			Usage: "1,013 tokens in (1,000 cached), 3 out, $0.25",
		},
	}
	codex := views.ProviderItem{
		ID: "codex", Name: "Codex", Driver: "Codex’s own stream", On: true, State: "found",
		Workers: []views.ProviderWorker{{
			Name: "forge-1", Path: "/usr/local/bin/codex", Version: "0.169.0", TellsSignIn: true,
		}}, CanManage: true, Now: now,
		Pause: &views.ProviderPause{
			Since: ago(time.Hour), Until: now.Add(40 * time.Minute), Kind: "Quota or rate limit",
			Reason: "you have hit your usage limit; try again in 40 minutes", Waiting: 3,
		},
		Trial: &views.ProviderTrial{At: ago(time.Minute), Kind: "Authentication", Reason: "401 invalid api key"},
	}
	gemini := views.ProviderItem{
		ID: "gemini", Name: "Gemini CLI", Driver: "Agent Client Protocol", On: true, State: "missing",
		Workers: []views.ProviderWorker{{Name: "forge-1", Problem: "the program gemini was not found in PATH"}},
		Install: "npm install -g @google/gemini-cli", CanManage: true, Now: now,
	}
	own := views.ProviderItem{
		ID: "mine", Name: "Our agent", Driver: "Agent Client Protocol", Own: true, State: "found",
		Workers: []views.ProviderWorker{{Name: "forge-1", Path: "/opt/agent/bin/agent", Version: "1.2.0"},
			{Name: "forge-2", Problem: "the program agent was not found in PATH"}, {Name: "forge-3", Looking: true}},
		CanManage: true, Now: now,
		Models: []string{"small", "large"}, Listed: true, Trial: &views.ProviderTrial{Going: true, NobodyTakes: true},
	}
	looked := views.ProviderItem{
		ID: "copilot", Name: "GitHub Copilot", Driver: "Agent Client Protocol", On: true, State: "unknown",
		Experimental: true, Now: now,
	}
	all := views.ProvidersPage{CanManage: true, CanAdd: true, Rows: []views.ProviderItem{claude, codex, gemini, own,
		looked}}
	plain := claude
	plain.CanManage = false
	form := views.NewProviderForm()
	wrong := form
	wrong.ID, wrong.Was, wrong.Name.Value = "mine", "Our agent", "Our agent"
	wrong.Command.Value, wrong.Command.Error = `agent "open`, "A quotation mark or a backslash is left open."
	page := samplePage("Providers", "settings")
	return []Specimen{
		{Name: "page-providers", Page: views.Providers(page, all)},
		{Name: "page-providers-read", Page: views.Providers(page,
			views.ProvidersPage{Rows: []views.ProviderItem{plain}})},
		{Name: "page-provider-new", Page: views.EditProvider(page, form)},
		{Name: "page-provider-wrong", Page: views.EditProvider(page, wrong)},
	}
}
