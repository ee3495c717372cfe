package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"net"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// environment is the settings of a test, by name.
type environment map[string]string

func (e environment) get(name string) string { return e[name] }

func TestDefaultsGiveALocalServer(t *testing.T) {
	t.Parallel()
	c, err := readConfig(environment{}.get)
	if err != nil {
		t.Fatal(err)
	}
	if c.DatabaseURL != "" || !filepath.IsAbs(c.Data) || filepath.Base(c.Data) != "data" ||
		c.Addr != "127.0.0.1:8080" ||
		c.URL.String() != "http://127.0.0.1:8080" || c.Secret != "" || c.AdminEmail != "" || c.MaxSessions != 4 ||
		c.LogFormat != "" || !c.Shell || c.Gallery {
		t.Errorf("got %+v; want an embedded database in data and a server on 127.0.0.1:8080", c)
	}
	for _, role := range []string{roleWeb, roleScheduler, roleWorker} {
		if !c.has(role) {
			t.Errorf("the role %s is not taken by default", role)
		}
	}
}

func TestSettingsAreTaken(t *testing.T) {
	t.Parallel()
	key := base64.StdEncoding.EncodeToString(make([]byte, 32))
	c, err := readConfig(environment{
		"DATABASE_URL": " postgresql://u:p@db.example.com/carillon ", "CARILLON_DATA": "/srv/carillon",
		"CARILLON_ADDR": "[::1]:9000",
		"CARILLON_URL":  "https://carillon.example.com/", "CARILLON_SECRET": key + ", " + key,
		"CARILLON_ADMIN_EMAIL":    "ada@example.com",
		"CARILLON_ADMIN_PASSWORD": "correct horse battery", "CARILLON_ROLES": "web, worker",
		"CARILLON_MAX_SESSIONS": "12", "CARILLON_PG_BIN": "/opt/pg/bin",
		"CARILLON_LOG": "json", "CARILLON_TRUSTED_PROXIES": "10.0.0.0/8, ::1/128", "CARILLON_SHELL": "off",
		"CARILLON_GALLERY": "on",
		"CARILLON_SANDBOX": "off", "CARILLON_SANDBOX_HIDE": "/srv/keys/:/mnt",
		"CARILLON_SANDBOX_SHOW": "/home/c/.npmrc",
	}.get)
	if err != nil {
		t.Fatal(err)
	}
	if c.DatabaseURL != "postgresql://u:p@db.example.com/carillon" || c.Data != "/srv/carillon" ||
		c.Addr != "[::1]:9000" || c.URL.String() != "https://carillon.example.com" ||
		c.AdminEmail != "ada@example.com" || c.AdminPassword != "correct horse battery" || c.has(roleScheduler) ||
		!c.has(roleWorker) || c.MaxSessions != 12 ||
		c.Sandbox || !slices.Equal(c.Hidden, []string{"/srv/keys", "/mnt"}) ||
		!slices.Equal(c.Shown, []string{"/home/c/.npmrc"}) ||
		c.PGBin != "/opt/pg/bin" || c.LogFormat != "json" || c.Shell || !c.Gallery {
		t.Errorf("got %+v; want what was set", c)
	}
	if want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("::1/128")}; !reflect.DeepEqual(c.Proxies, want) {
		t.Errorf("got %v; want %v", c.Proxies, want)
	}
}

// bad are values that no setting takes, with a part of what is expected instead.
var bad = []struct{ name, value, expected string }{
	{"DATABASE_URL", "hunter2", "postgres://user:password@host:5432/database"},
	{"DATABASE_URL", "mysql://u:hunter2@host/db", "postgres://user:password@host:5432/database"},
	{"DATABASE_URL", "postgres://u:hunter2@host:port/db", "postgres://user:password@host:5432/database"},
	{"CARILLON_DATA", "a\x00b", "a folder"},
	{"CARILLON_SANDBOX", "yes", "on or off"},
	{"CARILLON_RUN_PROCESSES", "5", "from 10"},
	{"CARILLON_RUN_MEMORY", "-1", "MiB"},
	{"CARILLON_RUN_DISK", "-1", "MiB"},
	{"CARILLON_DISK_FREE", "much", "MiB"},
	{"CARILLON_AGENT_USER", "a/b", "the name or number of a user"},
	{"CARILLON_SANDBOX_HIDE", "keys", "absolute paths"},
	{"CARILLON_SANDBOX_SHOW", "/", "absolute paths"},
	{"CARILLON_ADDR", "8080", "host:port"},
	{"CARILLON_ADDR", "localhost", "host:port"},
	{"CARILLON_ADDR", "127.0.0.1:http", "host:port"},
	{"CARILLON_ADDR", "127.0.0.1:65536", "host:port"},
	{"CARILLON_ADDR", "127.0.0.1:-1", "host:port"},
	{"CARILLON_ADDR", "http://127.0.0.1:80", "host:port"},
	{"CARILLON_URL", "carillon.example.com", "https://carillon.example.com"},
	{"CARILLON_URL", "https://", "https://carillon.example.com"},
	{"CARILLON_URL", "ftp://carillon.example.com", "https://carillon.example.com"},
	{"CARILLON_URL", "https://example.com/carillon", "without a path"},
	{"CARILLON_URL", "https://example.com?a=b", "https://carillon.example.com"},
	{"CARILLON_URL", "http://:8080", "https://carillon.example.com"},
	{"CARILLON_URL", "https://ada:hunter2@example.com", "without a path or a user"},
	{"CARILLON_SECRET", "hunter2", "32 bytes in base64"},
	{"CARILLON_SECRET", "aHVudGVyMg==", "32 bytes in base64"},
	{"CARILLON_SECRET", base64.StdEncoding.EncodeToString(make([]byte, 32)) + ",", "32 bytes in base64"},
	{"CARILLON_ADMIN_EMAIL", "ada", "an e-mail address"},
	{"CARILLON_ADMIN_EMAIL", "@", "an e-mail address"},
	{"CARILLON_ADMIN_EMAIL", "Ada Lovelace <ada@example.com>", "an e-mail address"},
	{"CARILLON_ROLES", "web,cook", "web, scheduler and worker"},
	{"CARILLON_ROLES", ",", "web, scheduler and worker"},
	{"CARILLON_MAX_SESSIONS", "0", "from 1 to 1000"},
	{"CARILLON_MAX_SESSIONS", "1001", "from 1 to 1000"},
	{"CARILLON_MAX_SESSIONS", "four", "from 1 to 1000"},
	{"CARILLON_MAX_SESSIONS", "2.5", "from 1 to 1000"},
	{"CARILLON_LOG", "xml", "text or json"},
	{"CARILLON_TRUSTED_PROXIES", "10.0.0.1", "10.0.0.0/8"},
	{"CARILLON_TRUSTED_PROXIES", "10.0.0.0/8,anyone", "10.0.0.0/8"},
	{"CARILLON_SHELL", "yes", "on or off"},
	{"CARILLON_TRIGGER_RATE", "-1", "from 0 to 1000000"},
	{"CARILLON_TRIGGER_RATE", "many", "from 0 to 1000000"},
	{"CARILLON_TRIGGER_RATE", "NaN", "from 0 to 1000000"},
	{"CARILLON_TRIGGER_RATE", "+Inf", "from 0 to 1000000"},
	{"CARILLON_SMTP_URL", "mail.example.com:25", "smtp://user:password@mail.example.com:587"},
	{"CARILLON_SMTP_URL", "smtp://u:hunter2@:25", "smtp://user:password@mail.example.com:587"},
	{"CARILLON_SMTP_FROM", "nobody", "an e-mail address"},
	{"CARILLON_OUTBOUND_PRIVATE", "true", "on or off"},
	{"CARILLON_LOCAL_REPOSITORIES", "/srv/git:git", "absolute folders"},
	{"CARILLON_OIDC_ISSUER", "login.example.com", "https://login.example.com/realms/acme"},
	{"CARILLON_OIDC_ISSUER", "https://ada:hunter2@login.example.com", "https://login.example.com/realms/acme"},
	{"CARILLON_OIDC_ISSUER", "https://login.example.com?realm=acme", "https://login.example.com/realms/acme"},
	{"CARILLON_OIDC_ROLES", "ops", "ops=Administrator,dev=Member"},
	{"CARILLON_OIDC_ROLES", "ops=Administrator,dev=", "ops=Administrator,dev=Member"},
	{"CARILLON_OIDC_ROLES", "=Member", "ops=Administrator,dev=Member"},
	{"CARILLON_OIDC_AUTO_CREATE", "yes", "on or off"},
	{"CARILLON_OIDC_NAME", strings.Repeat("x", 61), "at most 60 characters"},
	{"CARILLON_GALLERY", "1", "on or off"},
}

func TestTheAddressForPeopleIsOneThatTheyCanOpen(t *testing.T) {
	for asked, want := range map[string]string{
		"127.0.0.1:0": "127.0.0.1:4711", ":8080": "127.0.0.1:4711", "0.0.0.0:8080": "127.0.0.1:4711",
		"[::]:8080":           "127.0.0.1:4711",
		"carillon.local:8080": "carillon.local:4711", "[::1]:0": "[::1]:4711",
	} {
		if got := reachable(asked, &net.TCPAddr{IP: net.IPv6unspecified, Port: 4711}); got != want {
			t.Errorf("%s is reached at %s; want %s", asked, got, want)
		}
	}
}

func TestBadValueIsOneLineWithNameValueAndWhatIsExpected(t *testing.T) {
	t.Parallel()
	for _, tt := range bad {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			over, cancel := context.WithCancel(t.Context())
			cancel() // what is taken by mistake is not served
			e := environment{"CARILLON_DATA": filepath.Join(t.TempDir(), "data"), "CARILLON_ADDR": "127.0.0.1:0"}
			e[tt.name] = tt.value
			code := run(over, []string{"serve"}, e.get, strings.NewReader(""), &out, &errs)
			line := errs.String()
			if code != exitError || out.Len() > 0 || strings.Count(line, "\n") != 1 ||
				!strings.HasPrefix(line, "carillon: "+tt.name+" is ") ||
				!strings.Contains(line, "; expected ") || !strings.Contains(line, tt.expected) {
				t.Errorf("status %d, stdout %q, stderr %q; want status %d and one line that names %s and expects %q",
					code, out.String(), line, exitError, tt.name, tt.expected)
			}
			i := slices.IndexFunc(settings, func(s setting) bool { return s.name == tt.name })
			switch shown := strings.Contains(line, settings[i].masked(tt.value)); {
			case !shown:
				t.Errorf("%q does not show the value as %s", line, settings[i].masked(tt.value))
			case strings.Contains(line, "hunter2"):
				t.Errorf("%q shows a secret", line)
			}
		})
	}
}

func TestEverySettingHasABadValueOrTakesAnyText(t *testing.T) {
	t.Parallel()
	free := []string{"CARILLON_ADMIN_PASSWORD", "CARILLON_PG_BIN", "CARILLON_OIDC_CLIENT_ID",
		"CARILLON_OIDC_CLIENT_SECRET",
		"CARILLON_OIDC_SCOPES", "CARILLON_OIDC_GROUPS_CLAIM"} // judged by those who use them
	for _, s := range settings {
		tested := slices.ContainsFunc(bad, func(b struct{ name, value, expected string }) bool {
			return b.name == s.name
		})
		if tested == slices.Contains(free, s.name) {
			t.Errorf("%s: has a bad value here %v, takes any text %v; want one of both", s.name, tested,
				slices.Contains(free, s.name))
		}
		if s.meaning == "" {
			t.Errorf("%s has no explanation", s.name)
		}
	}
}

func TestSettingsThatBelongTogetherAreSetTogether(t *testing.T) {
	t.Parallel()
	for _, e := range []environment{
		{"CARILLON_ADMIN_EMAIL": "ada@example.com"}, {"CARILLON_ADMIN_PASSWORD": "correct horse battery"},
		{"CARILLON_SMTP_URL": "smtp://mail.example.com"}, {"CARILLON_SMTP_FROM": "carillon@example.com"},
	} {
		if _, err := readConfig(e.get); err == nil || !strings.Contains(err.Error(), "must be set together") {
			t.Errorf("%v: got %v; want that they must be set together", e, err)
		}
	}
}

func TestPrintedSettingsMaskSecrets(t *testing.T) {
	t.Parallel()
	e := environment{
		"DATABASE_URL":         "postgres://u:hunter2@host/db",
		"CARILLON_SECRET":      base64.StdEncoding.EncodeToString(make([]byte, 32)),
		"CARILLON_ADMIN_EMAIL": "ada@example.com", "CARILLON_ADMIN_PASSWORD": "hunter2",
		"CARILLON_SMTP_URL": "smtp://u:hunter2@host", "CARILLON_SMTP_FROM": "carillon@example.com",
		"CARILLON_ADDR": "127.0.0.1:9000",
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"config"}, e.get, strings.NewReader(""), &out, &errs); code != exitOK {
		t.Fatalf("status %d, stderr %q; want 0", code, errs.String())
	}
	if strings.Contains(out.String(), "hunter2") || strings.Contains(out.String(), e["CARILLON_SECRET"]) {
		t.Errorf("got\n%s\nwith a secret", out.String())
	}
	if !strings.Contains(out.String(), `"127.0.0.1:9000"`) {
		t.Errorf("got\n%s\nwithout the address", out.String())
	}
	for _, s := range settings {
		if !strings.Contains(out.String(), s.name) {
			t.Errorf("%s is not printed", s.name)
		}
	}
}

func TestPrintingSettingsSaysWhichOneServeWouldRefuse(t *testing.T) {
	t.Parallel()
	o := call(t, environment{"CARILLON_MAX_SESSIONS": "0", "CARILLON_SECRET": "hunter2"}, "", "config")
	oneLine(t, o, "CARILLON_SECRET is set (hidden); expected") // the first one
	for _, s := range settings {
		if !strings.Contains(o.stdout, s.name) {
			t.Errorf("%s is not printed", s.name)
		}
	}
	if strings.Contains(o.stdout+o.stderr, "hunter2") {
		t.Errorf("got %+v with a secret", o)
	}
}

func TestTheFoldersOfTheDatabasesSocketsAreKnown(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"postgres://carillon@/carillon?host=/var/run/postgresql":          "/var/run/postgresql",
		"postgres:///carillon?host=%2Ftmp%2Fcarillon-pg-1&port=5432":      "/tmp/carillon-pg-1",
		"postgres://u:p@db.example.com:5432/carillon":                     "",
		"postgres://u:p@db.example.com:5432/carillon?sslrootcert=/srv/ca": "",
	} {
		if got := strings.Join(socketFolders(address), " "); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}
