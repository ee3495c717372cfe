package agent

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"carillon/app/shell"
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

// environment is what a child sees, in full. It begins with nothing, so that a secret of the server
// has no way in. The second result names what the workspace wanted and may not set.
func environment(server []string, p Provider, t Turn) (env, refused []string) {
	values := map[string]string{}
	home := ""
	if p.User != nil {
		home = p.User.Home
	}
	if t.Sandbox != nil && t.Sandbox.Home != "" {
		home = t.Sandbox.Home
	}
	allowed, others := slices.Concat(passed, p.Keys, p.PassEnv), p.othersKeys(server, t)
	for _, kv := range server {
		name, value, _ := strings.Cut(kv, "=")
		if named(allowed, name) && !named(secret, name) && !named(others, name) && (home == "" || !elsewhere(name)) {
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
	for _, kv := range held { // after what the workspace wants
		name, value, _ := strings.Cut(kv, "=")
		values[name] = value
	}
	if home != "" {
		values["HOME"] = home
	}
	if p.User != nil {
		values["USER"], values["LOGNAME"] = p.User.Name, p.User.Name
	}
	values["TMPDIR"], values["PWD"] = filepath.Join(t.RunDir, temporary), t.Dir
	for name, value := range values {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env, refused
}

// othersKeys are the keys that are of no use to a turn: those of vendors that its model is not of, and of clouds that
// are not in use. Without a model it is of the first vendor, by name, of which the server has a key.
func (p Provider) othersKeys(server []string, t Turn) []string {
	var list []string
	for cloud, names := range p.KeysWhere {
		if !on(server, cloud) && !on(t.Env, cloud) {
			list = append(list, names...)
		}
	}
	if t.allVendors {
		return list
	}
	own, _, chosen := strings.Cut(t.Model, "/")
	for _, vendor := range slices.Sorted(maps.Keys(p.VendorKeys)) {
		names := p.VendorKeys[vendor]
		has := slices.ContainsFunc(names, func(name string) bool { return on(server, name) || on(t.Env, name) })
		if !chosen && has {
			own, chosen = vendor, true
		}
		if vendor != own {
			list = append(list, names...)
		}
	}
	return slices.DeleteFunc(list, func(name string) bool { return slices.Contains(p.VendorKeys[own], name) })
}

// on reports whether an environment has a variable with a value.
func on(environment []string, name string) bool { return variable(environment, name) != "" }

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

// KeysSet lists the names of the variables, of an environment, by which a provider may sign in.
func KeysSet(p Provider, environment []string) []string {
	var names []string
	for _, kv := range environment {
		if name, value, _ := strings.Cut(kv, "="); value != "" && named(p.Keys, name) && !named(secret, name) &&
			!strings.HasSuffix(name, "_CA_BUNDLE") {
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
	const emptyObject = 3 // bytes: what is left of a file after its owner signed out
	if file, err := os.Stat(filepath.Join(home, p.Account)); err != nil || !file.Mode().IsRegular() ||
		file.Size() <= emptyObject {
		return ""
	}
	return "~/" + p.Account
}

// signedInBy is the name of a variable by which a provider's program is signed in; empty where there is none.
func signedInBy(p Provider, environment []string) string {
	for _, name := range KeysSet(p, environment) {
		if slices.ContainsFunc(credential, func(end string) bool { return strings.HasSuffix(name, end) }) {
			return name
		}
	}
	return ""
}

// TellsSignIn reports whether SignedIn knows where to look for the sign-in of a provider.
func TellsSignIn(p Provider) bool { return p.Account != "" }
