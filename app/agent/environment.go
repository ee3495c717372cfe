package agent

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"carillon/app/shell"
)

// passedVariables are the server's variables that are passed to every child; a name ending in * is a prefix.
var passedVariables = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_*", "TZ",
	"XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO",
}

// secretVariables are secrets of the server, which no provider's list can pass on.
var secretVariables = []string{"CARILLON_*", "DATABASE_URL", "PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE"}

// environment makes the whole environment of a child. It begins empty, so that no secret of the server is inherited.
// refused names the workspace's variables that are not allowed.
func environment(server []string, p Provider, t Turn) (env, refused []string) {
	values := map[string]string{}
	home := ""
	if p.User != nil {
		home = p.User.Home
	}
	if t.Sandbox != nil && t.Sandbox.Home != "" {
		home = t.Sandbox.Home
	}
	allowed, others := slices.Concat(passedVariables, p.Keys, p.PassEnv), p.unusableKeys(server, t)
	for _, kv := range server {
		name, value, _ := strings.Cut(kv, "=")
		if matchesName(allowed, name) && !matchesName(secretVariables, name) && !matchesName(others, name) &&
			(home == "" || !isPathVariable(name)) {
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
		if !ok || name == "" || strings.ContainsRune(kv, 0) || strings.ContainsAny(name, " \t\n%()") ||
			shell.Reserved(name) {
			refused = append(refused, name)
			continue
		}
		values[name] = value
	}
	for _, name := range p.PinEnv {
		if _, set := values[name]; !set {
			values[name] = ""
		}
	}
	held := p.HoldEnv
	if t.ReadOnly {
		held = slices.Concat(held, p.ReadEnv)
	}
	for _, kv := range held { // after the workspace's variables, to override them
		name, value, _ := strings.Cut(kv, "=")
		values[name] = value
	}
	if home != "" {
		values["HOME"] = home
	}
	if p.User != nil {
		values["USER"], values["LOGNAME"] = p.User.Name, p.User.Name
	}
	values["TMPDIR"], values["PWD"] = filepath.Join(t.RunDir, tempFolder), t.Dir
	for name, value := range values {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env, refused
}

// unusableKeys lists the keys that a turn does not need: those of other vendors than its model's, and those of clouds
// that are not in use. Without a model the vendor is the first one, by name, for which the server has a key.
func (p Provider) unusableKeys(server []string, t Turn) []string {
	var list []string
	for cloud, names := range p.KeysWhere {
		if !isSet(server, cloud) && !isSet(t.Env, cloud) {
			list = append(list, names...)
		}
	}
	if t.allVendors {
		return list
	}
	own, _, chosen := strings.Cut(t.Model, "/")
	for _, vendor := range slices.Sorted(maps.Keys(p.VendorKeys)) {
		names := p.VendorKeys[vendor]
		has := slices.ContainsFunc(names, func(name string) bool { return isSet(server, name) || isSet(t.Env, name) })
		if !chosen && has {
			own, chosen = vendor, true
		}
		if vendor != own {
			list = append(list, names...)
		}
	}
	return slices.DeleteFunc(list, func(name string) bool { return slices.Contains(p.VendorKeys[own], name) })
}

// isSet reports whether a variable of an environment has a value.
func isSet(environment []string, name string) bool { return variable(environment, name) != "" }

func matchesName(list []string, name string) bool {
	return slices.ContainsFunc(list, func(s string) bool {
		prefix, is := strings.CutSuffix(s, "*")
		return s == name || is && strings.HasPrefix(name, prefix)
	})
}

// env is the environment of this run's child. It warns of variables that were left out.
func (r *run) env() []string {
	env, refused := environment(os.Environ(), r.Provider, r.Turn)
	for _, name := range refused {
		r.warn("The workspace variable %s was left out: it may not be set.", name)
	}
	for _, name := range r.pins {
		if !slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, name+"=") }) {
			env = append(env, name+"=")
		}
	}
	if r.ignored != "" {
		env = ignoring(env, r.ignored)
	}
	return env
}

// KeysSet lists the names of the variables in an environment that have credentials of a provider.
func KeysSet(p Provider, environment []string) []string {
	var names []string
	for _, kv := range environment {
		if name, value, _ := strings.Cut(kv, "="); value != "" && matchesName(p.Keys, name) &&
			!matchesName(secretVariables, name) &&
			!strings.HasSuffix(name, "_CA_BUNDLE") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// credentialSuffixes are suffixes of names of variables with a secret, in contrast to an address or an option.
var credentialSuffixes = []string{"_KEY", "_TOKEN", "_SECRET_ACCESS_KEY", "_APPLICATION_CREDENTIALS"}

// SignedIn gives the source of a provider's credentials, without a call of the program: the name of a variable in an
// environment, or a file below the home folder. It is empty if there is neither. The model's server may refuse the
// credentials.
func SignedIn(p Provider, environment []string) string {
	if name := signedInBy(p, environment); name != "" {
		return name
	}
	home := variable(environment, "HOME")
	if p.User != nil {
		home = p.User.Home
	}
	if p.Account == "" || !filepath.IsAbs(home) {
		return ""
	}
	const emptyObject = 3 // bytes; a file after a sign-out
	if file, err := os.Stat(filepath.Join(home, p.Account)); err != nil || !file.Mode().IsRegular() ||
		file.Size() <= emptyObject {
		return ""
	}
	return "~/" + p.Account
}

// signedInBy is the name of a set variable with credentials of a provider; empty: there is none.
func signedInBy(p Provider, environment []string) string {
	for _, name := range KeysSet(p, environment) {
		if slices.ContainsFunc(credentialSuffixes, func(end string) bool { return strings.HasSuffix(name, end) }) {
			return name
		}
	}
	return ""
}

// KnowsSignIn reports whether SignedIn knows the file of a provider's sign-in.
func KnowsSignIn(p Provider) bool { return p.Account != "" }
