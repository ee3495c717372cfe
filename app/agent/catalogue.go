package agent

import (
	"maps"
	"slices"
)

// Catalogue gives the known providers. It has the names of keys alone: their values stay in the server's environment
// and are never stored.
func Catalogue() []Provider {
	ofVendors := map[string][]string{
		"anthropic": {"ANTHROPIC_API_KEY"}, "openai": {"OPENAI_API_KEY"}, "openrouter": {"OPENROUTER_API_KEY"},
		"google":  {"GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"},
		"mistral": {"MISTRAL_API_KEY"}, "groq": {"GROQ_API_KEY"}, "deepseek": {"DEEPSEEK_API_KEY"},
		"xai": {"XAI_API_KEY"},
	}
	vendors := slices.Sorted(maps.Keys(ofVendors))
	keys := func(own string) []string {
		list := []string{own}
		for _, vendor := range vendors {
			list = append(list, ofVendors[vendor]...)
		}
		return list
	}
	return []Provider{
		{
			ID: "shell", Name: "Shell script", Driver: DriverShell, Command: []string{"bash"}, Unpriced: true,
			Install: "Install bash with the system's package manager.",
		},
		{
			ID: "claude", Name: "Claude Code", Driver: DriverClaude, Command: []string{"claude"},
			Install: "npm install -g @anthropic-ai/claude-code",
			SignIn: "Set ANTHROPIC_API_KEY for the server, or run claude once as the server's user and sign in with " +
				"/login.",
			Account: ".claude/.credentials.json",
			Keys:    []string{"ANTHROPIC_*", "CLAUDE_*", "AWS_*", "GOOGLE_*"},
			KeysWhere: map[string][]string{
				"CLAUDE_CODE_USE_BEDROCK": {"AWS_*"}, "CLAUDE_CODE_USE_VERTEX": {"GOOGLE_*"},
			},
			PinEnv: []string{"ANTHROPIC_BASE_URL"}, Unread: true,
			SetEnv: []string{"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1",
				"CLAUDE_CODE_MAX_RETRIES=4", "ENABLE_TOOL_SEARCH=false"},
			Models: []string{"opus", "sonnet", "haiku"}, InstructionFile: "CLAUDE.md",
			State: []string{".claude/projects"},
			Config: []string{".claude/settings.json", ".claude/CLAUDE.md", ".claude/agents", ".claude/commands",
				".claude/skills",
				".claude/plugins"},
		},
		{
			ID: "codex", Name: "Codex", Driver: DriverCodex, Command: []string{"codex"},
			Install: "npm install -g @openai/codex",
			SignIn:  "Set CODEX_API_KEY for the server, or run codex login once as the server's user.",
			Account: ".codex/auth.json",
			Keys:    []string{"OPENAI_*", "CODEX_*"}, Unpriced: true, State: []string{".codex/sessions"},
			Config: []string{".codex/config.toml", ".codex/hooks.json", ".codex/AGENTS.md", ".codex/prompts"},
		},
		{
			ID: "opencode", Name: "OpenCode", Driver: DriverACP, Command: []string{"opencode", "acp"},
			Install: "npm install -g opencode-ai",
			SignIn: "Set the key of a model's vendor for the server, or run opencode auth login once as the " +
				"server's user.",
			Account: ".local/share/opencode/auth.json",
			Keys:    keys("OPENCODE_*"), VendorKeys: ofVendors,
			SetEnv: []string{"OPENCODE_DISABLE_AUTOUPDATE=1"}, ReadMode: "plan", Understates: true,
			// some of its files it reads all the same
			HoldEnv: []string{"OPENCODE_DISABLE_PROJECT_CONFIG=1"}, Unread: true,
			Obeys: []string{"opencode.json", "opencode.jsonc", ".opencode"},
			// in its mode plan the shell still writes
			ReadEnv: []string{`OPENCODE_PERMISSION={"bash":"deny","edit":"deny"}`},
			State:   xdg("opencode"), Config: []string{".config/opencode"},
		},
		{
			ID: "kilo", Name: "Kilo Code", Driver: DriverACP, Command: []string{"kilo", "acp"},
			Install: "npm install -g @kilocode/cli",
			SignIn: "Set KILO_API_KEY or the key of a model's vendor for the server, or run kilo auth login once as " +
				"the server's user.",
			Account: ".local/share/kilo/auth.json",
			Keys:    keys("KILO_*"), VendorKeys: ofVendors, ReadMode: "plan", Understates: true, State: xdg("kilo"),
			Config:  []string{".config/kilo"},
			HoldEnv: []string{"KILO_DISABLE_PROJECT_CONFIG=1"}, Unread: true,
			Obeys: []string{"kilo.json", "kilo.jsonc", "opencode.json", "opencode.jsonc", ".kilo", ".kilocode",
				".opencode"},
			ReadEnv: []string{`KILO_PERMISSION={"bash":"deny","edit":"deny"}`},
		},
		{
			ID: "gemini", Name: "Gemini CLI", Driver: DriverACP, Command: []string{"gemini", "--acp", "--skip-trust"},
			Install: "npm install -g @google/gemini-cli",
			SignIn:  "Set GEMINI_API_KEY for the server, or run gemini once as the server's user and sign in.",
			Account: ".gemini/oauth_creds.json",
			Keys:    []string{"GEMINI_*", "GOOGLE_*"}, Unpriced: true, AutoMode: "yolo", ReadMode: "plan",
			PinEnv: []string{"GOOGLE_GEMINI_BASE_URL", "GOOGLE_VERTEX_BASE_URL"}, DotEnv: []string{".env"},
			Obeys: []string{".gemini"},
			Chats: ".gemini/tmp", InstructionFile: "GEMINI.md", State: []string{".gemini/tmp"},
			Config: []string{".gemini/settings.json", ".gemini/GEMINI.md", ".gemini/.env", ".gemini/extensions",
				".gemini/commands"},
		},
		{
			ID: "qwen", Name: "Qwen Code", Driver: DriverACP, Command: []string{"qwen", "--acp"},
			Install: "npm install -g @qwen-code/qwen-code",
			SignIn: "Set OPENAI_API_KEY, OPENAI_BASE_URL and OPENAI_MODEL, or DASHSCOPE_API_KEY, for the server, or " +
				"run qwen once as the server's user and sign in.",
			Account: ".qwen/oauth_creds.json",
			Keys:    []string{"OPENAI_*", "DASHSCOPE_*", "QWEN_*"}, Unpriced: true, AutoMode: "yolo", ReadMode: "plan",
			PinEnv: []string{"OPENAI_BASE_URL"}, DotEnv: []string{".env"}, Obeys: []string{".qwen"},
			InstructionFile: "QWEN.md", State: []string{".qwen/projects", ".qwen/tmp"},
			Config: []string{".qwen/settings.json", ".qwen/QWEN.md", ".qwen/.env", ".qwen/extensions",
				".qwen/commands"},
		},
		{
			ID: "copilot", Name: "GitHub Copilot", Driver: DriverACP, Command: []string{"copilot", "--acp"}, Asks: true,
			Install: "npm install -g @github/copilot",
			SignIn: "Set COPILOT_GITHUB_TOKEN or GH_TOKEN for the server, or run copilot once as the server's user " +
				"and sign in with /login.",
			Keys: []string{"COPILOT_*", "GH_TOKEN"}, Unpriced: true, Experimental: true, State: []string{".copilot"},
			HoldEnv: []string{"COPILOT_ALLOW_ALL=false"}, Obeys: []string{".github/hooks", ".github/copilot"},
		},
	}
}

// xdg gives the folders for the conversations of a program that follows the XDG specification.
func xdg(name string) []string { return []string{".local/share/" + name, ".local/state/" + name} }
