package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// passed are the server's variables that every child gets; a name ending in * is a prefix.
var passed = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_*", "TZ",
	"XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO",
}

// secret are the server's own, which no list of a provider can pass on.
var secret = []string{"CARILLON_*", "DATABASE_URL", "PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE"}

// reserved are names that a workspace cannot set: the run's own, and those that make the dynamic
// linker or a shell load code before the program.
var reserved = []string{
	"PARAM_*", "PARAMS_FILE", "TMPDIR", "TMP", "TEMP",
	"LD_*", "DYLD_*", "BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "PS4", "BASH_FUNC_*",
}

// environment is what a child sees, in full. It begins with nothing, so that a secret of the server
// has no way in. The second result names what the workspace wanted and may not set.
func environment(server []string, p Provider, t Turn) (env, refused []string) {
	values := map[string]string{}
	home := ""
	if t.Sandbox != nil {
		home = t.Sandbox.Home
	}
	allowed := slices.Concat(passed, p.Keys, p.PassEnv)
	for _, kv := range server {
		name, value, _ := strings.Cut(kv, "=")
		if named(allowed, name) && !named(secret, name) && (home == "" || !elsewhere(name)) {
			values[name] = value
		}
	}
	for _, kv := range []string{"TERM=dumb", "NO_COLOR=1", "CI=1", "GIT_TERMINAL_PROMPT=0"} {
		name, value, _ := strings.Cut(kv, "=")
		values[name] = value
	}
	for _, kv := range p.SetEnv {
		if name, value, ok := strings.Cut(kv, "="); ok && name != "" {
			values[name] = value
		}
	}
	for _, kv := range t.Env {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || name == "" || strings.ContainsRune(kv, 0) || strings.ContainsAny(name, " \t\n%()") || named(reserved, name) {
			refused = append(refused, name)
			continue
		}
		values[name] = value
	}
	if t.ReadOnly { // after what the workspace wants
		for _, kv := range p.ReadEnv {
			name, value, _ := strings.Cut(kv, "=")
			values[name] = value
		}
	}
	if home != "" {
		values["HOME"] = home
	}
	values["TMPDIR"], values["PWD"] = filepath.Join(t.RunDir, "tmp"), t.Dir
	for name, value := range values {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env, refused
}

func named(list []string, name string) bool {
	return slices.ContainsFunc(list, func(s string) bool {
		prefix, is := strings.CutSuffix(s, "*")
		return s == name || is && strings.HasPrefix(name, prefix)
	})
}

// env is the environment of this run's child. It tells the reader what was left out.
func (r *run) env() []string {
	env, refused := environment(os.Environ(), r.Provider, r.Turn)
	for _, name := range refused {
		r.warn("The workspace variable %s was left out: it may not be set.", name)
	}
	return env
}

// KeysSet lists the names of the variables, of an environment, by which a provider may sign in.
func KeysSet(p Provider, environment []string) []string {
	var names []string
	for _, kv := range environment {
		if name, value, _ := strings.Cut(kv, "="); value != "" && named(p.Keys, name) && !named(secret, name) && !strings.HasSuffix(name, "_CA_BUNDLE") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// credential are the ends of names of variables that hold a secret, rather than an address or a choice.
var credential = []string{"_KEY", "_TOKEN", "_SECRET_ACCESS_KEY", "_APPLICATION_CREDENTIALS"}

// SignedIn tells by what a provider's program is signed in, as far as that is known without asking it: the name of a
// variable of an environment, or a file of its own below the home folder. Empty: neither was found. The model's server
// may refuse either.
func SignedIn(p Provider, environment []string) string {
	for _, name := range KeysSet(p, environment) {
		if slices.ContainsFunc(credential, func(end string) bool { return strings.HasSuffix(name, end) }) {
			return name
		}
	}
	home := variable(environment, "HOME")
	if p.Account == "" || !filepath.IsAbs(home) {
		return ""
	}
	const emptyObject = 3 // bytes: what is left of a file after its owner signed out
	if file, err := os.Stat(filepath.Join(home, p.Account)); err != nil || !file.Mode().IsRegular() ||
		file.Size() <= emptyObject {
		return ""
	}
	return "~/" + p.Account
}

// TellsSignIn reports whether SignedIn knows where to look for the sign-in of a provider.
func TellsSignIn(p Provider) bool { return p.Account != "" }
