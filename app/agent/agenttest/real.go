package agenttest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// CLI is an agent that people install, and how it is pointed at a Model.
type CLI struct {
	ID      string // in the catalogue of providers
	Program string
	Install string
	Model   string // what to choose; empty: its default
	// Tool is what its model calls Carillon's tool for creating tickets; empty where the agent hides
	// tools from the model until it searches for them.
	Tool     string
	settings func(home, url string) (env []string, files map[string]string)
}

// CLIs are the agents that these tests know how to run without an account and without a network.
var CLIs = []CLI{
	{ID: "claude", Program: "claude", Install: "npm install -g @anthropic-ai/claude-code", Tool: "create_ticket",
		settings: func(_, url string) ([]string, map[string]string) {
			return []string{"ANTHROPIC_BASE_URL=" + url, "ANTHROPIC_API_KEY=test-key", "CLAUDE_CODE_MAX_RETRIES=1"}, nil
		}},
	{ID: "codex", Program: "codex", Install: "npm install -g @openai/codex", Model: "gpt-5.5",
		settings: func(home, url string) ([]string, map[string]string) {
			config := fmt.Sprintf(
				"model_provider = \"test\"\n[model_providers.test]\nname = \"test\"\nbase_url = %q\nenv_key = "+
					"\"CODEX_TEST_KEY\"\nwire_api = \"responses\"\nrequest_max_retries = 1\nstream_max_retries = 1\n",
				url+"/v1")
			return []string{"CODEX_TEST_KEY=test-key", "CODEX_HOME=" + filepath.Join(home, ".codex")},
				map[string]string{".codex/config.toml": config}
		}},
	{ID: "opencode", Program: "opencode", Install: "npm install -g opencode-ai", Tool: "create_ticket",
		settings: func(_, url string) ([]string, map[string]string) {
			return []string{"OPENCODE_CONFIG_CONTENT=" + openCode(url), "OPENCODE_DISABLE_MODELS_FETCH=1"}, nil
		}},
	{ID: "kilo", Program: "kilo", Install: "npm install -g @kilocode/cli", Tool: "create_ticket",
		settings: func(_, url string) ([]string, map[string]string) {
			return []string{"KILO_CONFIG_CONTENT=" + openCode(url), "OPENCODE_CONFIG_CONTENT=" + openCode(url),
				"OPENCODE_DISABLE_MODELS_FETCH=1"}, nil
		}},
	{ID: "gemini", Program: "gemini", Install: "npm install -g @google/gemini-cli", Tool: "create_ticket",
		settings: func(_, url string) ([]string, map[string]string) {
			return []string{"GEMINI_API_KEY=test-key", "GOOGLE_GEMINI_BASE_URL=" + url},
				map[string]string{".gemini/settings.json": `{"security":{"auth":{"selectedType":"gemini-api-key"}},"general":{"maxAttempts":2}}`}
		}},
	{ID: "qwen", Program: "qwen", Install: "npm install -g @qwen-code/qwen-code",
		settings: func(_, url string) ([]string, map[string]string) {
			return []string{"OPENAI_API_KEY=test-key", "OPENAI_BASE_URL=" + url + "/v1", "OPENAI_MODEL=test-model"},
				map[string]string{".qwen/settings.json": `{"security":{"auth":{"selectedType":"openai"}},"model":{"generationConfig":{"maxRetries":1,"retryInitialDelayMs":500}}}`}
		}},
	{ID: "copilot", Program: "copilot", Install: "npm install -g @github/copilot",
		settings: func(_, url string) ([]string, map[string]string) {
			return []string{"COPILOT_OFFLINE=true", "COPILOT_PROVIDER_BASE_URL=" + url + "/v1",
				"COPILOT_PROVIDER_API_KEY=test-key", "COPILOT_MODEL=test-model"}, nil
		}},
}

// openCode is the configuration of OpenCode, and of what was made from it.
func openCode(url string) string {
	text, _ := json.Marshal(object{"autoupdate": false, "model": "test/test-model", "small_model": "test/test-model",
		"provider": object{"test": object{
			"npm": "@ai-sdk/openai-compatible", "options": object{"baseURL": url + "/v1", "apiKey": "test-key"},
			"models": object{"test-model": object{}},
		}}})
	return string(text)
}

// Find skips the test where the agent is not installed, saying how to install it.
func (c CLI) Find(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath(c.Program); err != nil {
		t.Skipf("%s is not installed; to run this test: %s", c.Program, c.Install)
	}
}

// Settings gives the agent a home folder of its own and a Model to talk to, and returns the variables
// that it needs for them.
func (c CLI) Settings(t testing.TB, url string) []string {
	t.Helper()
	home := t.TempDir()
	env, files := c.settings(home, url)
	for name, text := range files {
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"CONFIG", "DATA", "STATE", "CACHE"} { // else they lead out of the home folder
		env = append(env, "XDG_"+name+"_HOME="+filepath.Join(home, ".xdg", name))
	}
	return append(env, "HOME="+home)
}
