package shell

import "strings"

// A name that ends in * is a prefix, in all of these lists.

// runVariables are the variables that Carillon sets for a run.
var runVariables = []string{"PARAM_*", "PARAMS_FILE", "TMPDIR", "TMP", "TEMP"}

// preloadVariables are variables that make the dynamic linker or a shell load code before the program starts.
var preloadVariables = []string{
	"LD_*", "DYLD_*", "BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "PS4", "PROMPT_COMMAND", "BASH_FUNC_*",
}

// systemVariables are the variables that the system or Carillon sets for everybody.
var systemVariables = []string{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "IFS", "CARILLON_*"}

// codeVariables are variables whose values an interpreter, Git or another common tool loads or runs as code.
var codeVariables = []string{
	"NODE_OPTIONS", "NODE_PATH", "NODE_REPL_EXTERNAL_MODULE", "PYTHONSTARTUP", "PYTHONPATH", "PYTHONHOME",
	"PYTHONUSERBASE",
	"PYTHONINSPECT", "PYTHONBREAKPOINT", "PYTHONPLATLIBDIR", "PYTHONPYCACHEPREFIX", "PYTHONWARNINGS", "PERL5OPT",
	"PERL5LIB",
	"PERLLIB", "PERL5DB", "RUBYOPT", "RUBYLIB", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH",
	"PHPRC", "PHP_INI_SCAN_DIR", "LUA_INIT*", "LUA_PATH", "LUA_CPATH", "DOTNET_STARTUP_HOOKS", "CORECLR_*",
	"RUSTC_WRAPPER",
	"GIT_SSH", "GIT_SSH_COMMAND", "GIT_EXTERNAL_DIFF", "GIT_CONFIG*", "GIT_PAGER", "GIT_EDITOR", "GIT_SEQUENCE_EDITOR",
	"GIT_ASKPASS", "GIT_PROXY_COMMAND", "GIT_EXEC_PATH", "GIT_TEMPLATE_DIR", "SSH_ASKPASS", "SUDO_ASKPASS",
	"GCONV_PATH",
	"OPENSSL_CONF", "OPENSSL_MODULES", "EDITOR", "VISUAL", "PAGER", "MANPAGER", "LESSOPEN", "LESSCLOSE", "BROWSER",
	"MAKEFLAGS", "MAKEFILES", "ZDOTDIR", "BASH_LOADABLES_PATH",
}

// routingVariables are variables that decide which servers a program uses and trusts, where it finds its configuration,
// and from where it fetches packages. agentVariables and steeringSuffixes have further ones of agents and vendors.
var routingVariables = []string{
	"NO_PROXY", "no_proxy", "NODE_TLS_REJECT_UNAUTHORIZED", "NODE_EXTRA_CA_CERTS", "NODE_USE_ENV_PROXY",
	"SSL_CERT_FILE",
	"SSL_CERT_DIR", "SSH_AUTH_SOCK", "HOSTALIASES", "LOCPATH", "PYTHONHTTPSVERIFY", "OTEL_*", "GH_HOST", "XDG_*",
	"KUBECONFIG",
	"DOCKER_HOST", "DOCKER_CONFIG", "AWS_ENDPOINT_URL*", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE",
	"NPM_CONFIG_*",
	"npm_config_*", "YARN_*", "BUN_*", "DENO_*", "PIP_*", "UV_*", "BUNDLE_*", "GEM_*", "CARGO_*", "MAVEN_OPTS",
	"GRADLE_OPTS",
	"GOFLAGS", "GOPROXY", "GOENV", "GOTOOLCHAIN", "GOSUMDB", "GONOSUMDB", "GOINSECURE", "CGO_*", "CC", "CXX", "RUSTC",
	"RUSTFLAGS", "GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY",
	"GIT_ALTERNATE_*",
	"GIT_ALLOW_PROTOCOL", "GIT_SSL_*", "GIT_TRACE*", "GIT_NAMESPACE", "GIT_ATTR_SOURCE",
}

// agentVariables are variables that configure agents. Many of them name a command to run or a file with commands.
var agentVariables = []string{
	"CLAUDE_*", "CODEX_*", "OPENCODE_*", "KILO_*", "GEMINI_*", "QWEN_*", "COPILOT_*", "DASHSCOPE_*",
}

// steeringSuffixes are suffixes of names of variables that redirect any program.
var steeringSuffixes = []string{
	"_BASE_URL", "_API_BASE", "_BASE", "_ENDPOINT", "_API_URL", "_PROXY", "_CA_BUNDLE", "_CAINFO", "_CUSTOM_HEADERS",
	"_COMMAND", "_PRELOAD", "_HELPER", "_ASKPASS", "_CONFIG_DIR", "_CONFIG_CONTENT",
}

// credentialSuffixes are suffixes of names of variables with a credential alone, which changes nothing else.
var credentialSuffixes = []string{"_API_KEY", "_TOKEN", "_SECRET", "_PASSWORD"}

// Reserved reports whether a variable belongs to the run or loads code before a program starts. A run accepts such a
// variable from nobody.
func Reserved(name string) bool {
	return isNamed(runVariables, name) || isNamed(preloadVariables, name)
}

// Own reports whether a variable is Reserved or set by the system. Nobody can set such a variable for a workspace.
func Own(name string) bool { return Reserved(name) || isNamed(systemVariables, name) }

// LoadsCode reports whether a variable decides which code bash, the linker, an interpreter or a common tool runs.
func LoadsCode(name string) bool {
	return name == "PATH" || isNamed(preloadVariables, name) || isNamed(codeVariables, name)
}

// Steers reports whether a variable decides which code a run executes, or which servers its programs use and give their
// keys to. Setting one is equivalent to running commands.
func Steers(name string) bool {
	if LoadsCode(name) || isNamed(routingVariables, name) || hasEnd(steeringSuffixes, name) {
		return true
	}
	return isNamed(agentVariables, name) && !hasEnd(credentialSuffixes, name)
}

func hasEnd(list []string, name string) bool {
	name = strings.ToUpper(name)
	for _, end := range list {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

func isNamed(list []string, name string) bool {
	for _, s := range list {
		prefix, is := strings.CutSuffix(s, "*")
		if s == name || is && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
