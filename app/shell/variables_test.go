package shell

import "testing"

func TestVariablesThatSteerProgramsAreKnown(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"NODE_OPTIONS", "GIT_SSH_COMMAND", "GIT_EXTERNAL_DIFF", "GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "PYTHONSTARTUP",
		"PERL5OPT",
		"RUBYOPT", "LD_PRELOAD", "LD_AUDIT", "BASH_ENV", "PATH", "JAVA_TOOL_OPTIONS", "EDITOR", "PAGER",
	} {
		if !LoadsCode(name) || !Steers(name) {
			t.Errorf("%s loads code: %v, steers: %v", name, LoadsCode(name), Steers(name))
		}
	}
	for _, name := range []string{
		"ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "GOOGLE_GEMINI_BASE_URL", "OPENAI_API_BASE", "HTTPS_PROXY",
		"https_proxy",
		"NODE_TLS_REJECT_UNAUTHORIZED", "OPENCODE_CONFIG_CONTENT", "CLAUDE_CONFIG_DIR", "CODEX_HOME",
		"COPILOT_ALLOW_ALL",
		"COPILOT_PROVIDER_API_KEY_COMMAND", "XDG_CONFIG_HOME", "npm_config_registry", "CARGO_HOME",
		"AWS_ENDPOINT_URL_S3",
	} {
		if LoadsCode(name) || !Steers(name) {
			t.Errorf("%s loads code: %v, steers: %v", name, LoadsCode(name), Steers(name))
		}
	}
	for _, name := range []string{
		"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN", "DASHSCOPE_API_KEY",
		"GH_TOKEN", "STAGE",
		"DATABASE_URL", "PORT", "GIT_AUTHOR_NAME", "NODE_ENV", "AWS_REGION", "TZ", "LANG", "API_URL",
		"COPILOT_GITHUB_TOKEN",
	} {
		if Steers(name) {
			t.Errorf("%s steers nothing", name)
		}
	}
}
