package main

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"carillon/app/agent"
	"carillon/app/runas"
	"carillon/app/secret"
)

// config has the values of the settings.
type config struct {
	DatabaseURL   string
	Data          string
	Addr          string
	URL           *url.URL
	Secret        string
	AdminEmail    string
	AdminPassword string
	Roles         []string
	MaxSessions   int
	PGBin         string
	LogFormat     string
	Proxies       []netip.Prefix
	Shell         bool
	Sandbox       bool        // a new workspace begins with a sandbox if one can be made
	agents        *runas.User // user of AgentUser; nil: the server's user
	AgentUser     string      // name or number of the user that agents and scripts run as; empty: the server's user
	Hidden        []string    // paths that sandboxes hide beside their own
	Limits        agent.Limits
	Shown         []string // paths of homes that sandboxes show, read-only
	Gallery       bool
	SMTP          *url.URL // nil: no e-mail
	SMTPFrom      mail.Address
	Private       bool // people's webhooks, forges and remotes may lead into private networks

	LocalRepositories []string // folders with repositories that any manager of workspaces may use
	TriggerRate       float64
	OIDC              oidcConfig
}

// The roles of a process.
const (
	roleWeb       = "web"
	roleScheduler = "scheduler"
	roleWorker    = "worker"
)

func (c *config) has(role string) bool { return slices.Contains(c.Roles, role) }

// setting is one environment variable. read stores its value in the config, or returns what is expected instead.
type setting struct {
	name, byDefault, meaning string
	secret                   bool
	read                     func(c *config, text string) (expected string)
}

// settings is the table of all settings.
var settings = []setting{
	{"DATABASE_URL", "", "PostgreSQL 15 or later; empty: an embedded one in CARILLON_DATA", true,
		func(c *config, text string) string {
			c.DatabaseURL = text
			if text == "" {
				return ""
			}
			u, err := url.Parse(text)
			if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
				return "a URL such as postgres://user:password@host:5432/database"
			}
			return ""
		}},
	{"CARILLON_DATA", "data", "folder of the embedded database, clones, worktrees and the key file", false,
		func(c *config, text string) string {
			abs, err := filepath.Abs(text)
			if err != nil || strings.ContainsRune(text, 0) {
				return "a folder"
			}
			c.Data = abs
			return ""
		}},
	{"CARILLON_ADDR", "127.0.0.1:8080", "listen address", false, func(c *config, text string) string {
		host, port, err := net.SplitHostPort(text)
		n, portErr := strconv.Atoi(port)
		if err != nil || portErr != nil || n < 0 || n > 65535 || strings.ContainsAny(host, "/ ") {
			return "host:port, such as 127.0.0.1:8080"
		}
		c.Addr = text
		return ""
	}},
	{"CARILLON_URL", "", "public base of links and webhook URLs; empty: http:// and the listen address", false,
		func(c *config, text string) string {
			if text == "" {
				return ""
			}
			u, err := url.Parse(text)
			if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil ||
				u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
				return "an address such as https://carillon.example.com, without a path or a user"
			}
			u.Path = ""
			c.URL = u
			return ""
		}},
	{"CARILLON_SECRET", "",
		"32 bytes in base64 that sign cookies and seal secrets; several, newest first, for rotation; empty: made " +
			"once, kept in CARILLON_DATA", true, func(c *config, text string) string {
			c.Secret = text
			if text == "" {
				return ""
			}
			if _, err := secret.Parse(text); err != nil {
				return strings.TrimPrefix(err.Error(), "expected ")
			}
			return ""
		}},
	{"CARILLON_ADMIN_EMAIL", "",
		"with CARILLON_ADMIN_PASSWORD: makes the first administrator at the first start; empty: /setup asks", false,
		func(c *config, text string) string {
			if text == "" {
				return ""
			}
			if a, err := mail.ParseAddress(text); err != nil || a.Address != text {
				return "an e-mail address, without a name"
			}
			c.AdminEmail = text
			return ""
		}},
	{"CARILLON_ADMIN_PASSWORD", "", "see CARILLON_ADMIN_EMAIL", true, func(c *config, text string) string {
		c.AdminPassword = text
		return ""
	}},
	{"CARILLON_ROLES", "web,scheduler,worker", "what this process does", false, func(c *config, text string) string {
		for role := range strings.SplitSeq(text, ",") {
			role = strings.TrimSpace(role)
			if role != roleWeb && role != roleScheduler && role != roleWorker {
				return "some of web, scheduler and worker, separated by commas"
			}
			if !slices.Contains(c.Roles, role) {
				c.Roles = append(c.Roles, role)
			}
		}
		return ""
	}},
	{"CARILLON_MAX_SESSIONS", "4", "sessions that this worker runs at once", false,
		func(c *config, text string) string {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 || n > 1000 {
				return "a whole number from 1 to 1000"
			}
			c.MaxSessions = n
			return ""
		}},
	{"CARILLON_PG_BIN", "", "folder with postgres and initdb for the embedded database; empty: looked for", false,
		func(c *config, text string) string {
			c.PGBin = text
			return ""
		}},
	{"CARILLON_LOG", "", "text or json; empty: text on a terminal, else json", false,
		func(c *config, text string) string {
			if text != "" && text != "text" && text != "json" {
				return "text or json"
			}
			c.LogFormat = text
			return ""
		}},
	{"CARILLON_TRUSTED_PROXIES", "",
		"networks whose X-Forwarded-For is believed, such as 10.0.0.0/8, separated by commas", false,
		func(c *config, text string) string {
			for part := range strings.SplitSeq(text, ",") {
				if part = strings.TrimSpace(part); part == "" {
					continue
				}
				p, err := netip.ParsePrefix(part)
				if err != nil {
					return "networks such as 10.0.0.0/8, separated by commas"
				}
				c.Proxies = append(c.Proxies, p)
			}
			return ""
		}},
	{"CARILLON_SHELL", "on", "on or off: whether the Shell provider, which runs commands on a worker, can be used",
		false, onOff(func(c *config, on bool) {
			c.Shell = on
		})},
	{"CARILLON_SANDBOX", "on",
		"on or off: whether a new workspace begins with a sandbox for its agents, where bubblewrap works", false,
		onOff(func(c *config, on bool) {
			c.Sandbox = on
		})},
	{"CARILLON_SANDBOX_HIDE", "",
		"files and folders that sandboxes hide, beside homes, /run and Carillon's data: absolute paths separated by " +
			"colons", false, readPaths(func(c *config, paths []string) {
			c.Hidden = paths
		})},
	{"CARILLON_SANDBOX_SHOW", "",
		"files and folders of homes that sandboxes show, read-only, such as /home/carillon/.npmrc: absolute paths " +
			"separated by colons", false, readPaths(func(c *config, paths []string) {
			c.Shown = paths
		})},
	{"CARILLON_AGENT_USER", "",
		"name or number of the user that agents and scripts run as, where this worker may change to it (root may); " +
			"empty: Carillon's own", false, func(c *config, text string) string {
			if strings.ContainsAny(text, "\x00\n :/") {
				return "the name or number of a user of this machine"
			}
			c.AgentUser = text
			return ""
		}},
	{"CARILLON_RUN_PROCESSES", "2000", "processes that a message's agent may have at once; 0: no limit", false,
		func(c *config, text string) string {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 || n != 0 && n < 10 {
				return "0, or a whole number from 10"
			}
			c.Limits.Processes = n
			return ""
		}},
	{"CARILLON_RUN_MEMORY", "0", "MiB of memory that a message's agent and all that it starts may use; 0: no limit",
		false, func(c *config, text string) string {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil || n < 0 || n > 1<<30 {
				return "0, or a number of MiB"
			}
			c.Limits.Memory = n << 20
			return ""
		}},
	{"CARILLON_RUN_DISK", "20480", "MiB of files that a message's agent and all that it starts may write; 0: no limit",
		false, func(c *config, text string) string {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil || n < 0 || n > 1<<30 {
				return "0, or a number of MiB"
			}
			c.Limits.Disk = n << 20
			return ""
		}},
	{"CARILLON_DISK_FREE", "256",
		"MiB that are to be free on the disk of the data folder; with less no run begins; 0: no limit", false,
		func(c *config, text string) string {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil || n < 0 || n > 1<<30 {
				return "0, or a number of MiB"
			}
			c.Limits.FreeDisk = n << 20
			return ""
		}},
	{"CARILLON_TRIGGER_RATE", "50",
		"calls a second that each webhook token may make, with bursts of twenty times as many; 0: no limit", false,
		func(c *config, text string) string {
			n, err := strconv.ParseFloat(text, 64)
			if err != nil || !(n >= 0 && n <= 1e6) { // NaN is neither
				return "a number from 0 to 1000000"
			}
			c.TriggerRate = n
			return ""
		}},
	{"CARILLON_SMTP_URL", "",
		"mail server for copies of notices, smtp://user:password@host:587 or smtps://…:465; empty: no e-mail", true,
		func(c *config, text string) string {
			if text == "" {
				return ""
			}
			u, err := url.Parse(text)
			if err != nil || (u.Scheme != "smtp" && u.Scheme != "smtps") || u.Hostname() == "" ||
				strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
				return "an address such as smtp://user:password@mail.example.com:587, signs such as @ in the " +
					"password as %40"
			}
			if _, err := strconv.ParseUint(cmp.Or(u.Port(), "587"), 10, 16); err != nil {
				return "a port up to 65535"
			}
			if _, set := u.User.Password(); u.User != nil && (!set || u.User.Username() == "") {
				return "a user with a password, or neither"
			}
			c.SMTP = u
			return ""
		}},
	{"CARILLON_SMTP_FROM", "", "sender of e-mail, such as Carillon <carillon@example.com>; with CARILLON_SMTP_URL",
		false, func(c *config, text string) string {
			if text == "" {
				return ""
			}
			from, err := mail.ParseAddress(text)
			if err != nil {
				return "an e-mail address, such as Carillon <carillon@example.com>"
			}
			c.SMTPFrom = *from
			return ""
		}},
	{"CARILLON_OUTBOUND_PRIVATE", "off",
		"on or off: whether people's webhooks, and the forges and repositories of workspaces, may be on this machine " +
			"and in private networks", false, onOff(func(c *config, on bool) {
			c.Private = on
		})},
	{"CARILLON_LOCAL_REPOSITORIES", "",
		"folders of this machine, parted by colons, below which anybody who manages workspaces may name a " +
			"repository; elsewhere administrators alone", false, func(c *config, text string) string {
			c.LocalRepositories = nil
			for folder := range strings.SplitSeq(text, ":") {
				if text != "" && !filepath.IsAbs(folder) {
					return "absolute folders, parted by colons, such as /srv/git:/home/git"
				}
				if text != "" {
					c.LocalRepositories = append(c.LocalRepositories, filepath.Clean(folder))
				}
			}
			return ""
		}},
	{"CARILLON_OIDC_ISSUER", "",
		"single sign-on: address of an OpenID Connect provider; empty: none. It must know CARILLON_URL with " +
			"/login/sso/callback", false, readIssuer},
	{"CARILLON_OIDC_CLIENT_ID", "", "by which the provider knows this server; with CARILLON_OIDC_ISSUER", false,
		func(c *config, text string) string {
			c.OIDC.ClientID = text
			return ""
		}},
	{"CARILLON_OIDC_CLIENT_SECRET", "", "what the provider gave with it; empty for a public client", true,
		func(c *config, text string) string {
			c.OIDC.ClientSecret = text
			return ""
		}},
	{"CARILLON_OIDC_SCOPES", "openid profile email", "what to ask the provider for, separated by spaces", false,
		func(c *config, text string) string {
			c.OIDC.Scopes = strings.Fields(text)
			return ""
		}},
	{"CARILLON_OIDC_GROUPS_CLAIM", "groups",
		"claim that lists a person's groups, such as realm_access.roles; with CARILLON_OIDC_ROLES", false,
		func(c *config, text string) string {
			c.OIDC.GroupsClaim = text
			return ""
		}},
	{"CARILLON_OIDC_ROLES", "",
		"roles of groups, such as ops=Administrator,dev=Member, brought up to date at each sign-in; empty: roles are " +
			"given here", false, readGroupRoles},
	{"CARILLON_OIDC_AUTO_CREATE", "off",
		"on or off: whether a first sign-in adds the person, with the roles of their groups, else as a Member", false,
		onOff(func(c *config, on bool) {
			c.OIDC.AutoCreate = on
		})},
	{"CARILLON_OIDC_NAME", "Sign in with single sign-on", "what the button says", false,
		func(c *config, text string) string {
			if !utf8.ValidString(text) || utf8.RuneCountInString(text) > 60 {
				return "at most 60 characters"
			}
			c.OIDC.Name = text
			return ""
		}},
	{"CARILLON_GALLERY", "off", "on or off: serve /gallery, every component in every state, for development", false,
		onOff(func(c *config, on bool) {
			c.Gallery = on
		})},
}

// readPaths reads a list of absolute paths.
func readPaths(set func(*config, []string)) func(*config, string) string {
	return func(c *config, text string) string {
		var paths []string
		for _, path := range filepath.SplitList(text) {
			if clean := filepath.Clean(path); filepath.IsAbs(clean) && clean != "/" && !strings.ContainsRune(clean, 0) {
				paths = append(paths, clean)
				continue
			}
			return "absolute paths separated by colons, such as /srv/keys:/mnt/backup"
		}
		set(c, paths)
		return ""
	}
}

func onOff(set func(*config, bool)) func(*config, string) string {
	return func(c *config, text string) string {
		if text != "on" && text != "off" {
			return "on or off"
		}
		set(c, text == "on")
		return ""
	}
}

// readConfig reads the settings. The error names the first bad one, its value and what is expected.
func readConfig(getenv func(string) string) (*config, error) {
	c := &config{}
	for _, s := range settings {
		text := strings.TrimSpace(getenv(s.name))
		if text == "" {
			text = s.byDefault
		}
		if expected := s.read(c, text); expected != "" {
			return nil, fmt.Errorf("%s is %s; expected %s", s.name, s.masked(text), expected)
		}
	}
	if c.URL == nil {
		c.URL = &url.URL{Scheme: "http", Host: c.Addr}
	}
	if (c.AdminEmail == "") != (c.AdminPassword == "") {
		return nil, fmt.Errorf("CARILLON_ADMIN_EMAIL and CARILLON_ADMIN_PASSWORD must be set together")
	}
	if (c.SMTP == nil) != (c.SMTPFrom.Address == "") {
		return nil, fmt.Errorf("CARILLON_SMTP_URL and CARILLON_SMTP_FROM must be set together")
	}
	if (c.OIDC.Issuer == "") != (c.OIDC.ClientID == "") {
		return nil, fmt.Errorf("CARILLON_OIDC_ISSUER and CARILLON_OIDC_CLIENT_ID must be set together")
	}
	return c, nil
}

// masked gives a value for printing, without secrets.
func (s setting) masked(text string) string {
	switch {
	case text == "":
		return "not set"
	case s.secret:
		return "set (hidden)"
	}
	if u, err := url.Parse(text); err == nil && u.User != nil { // an address with a password
		text = u.Redacted()
	}
	return strconv.Quote(text)
}

// printSettings lists every setting with its value, secrets masked.
func printSettings(w io.Writer, getenv func(string) string) {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, s := range settings {
		text := strings.TrimSpace(getenv(s.name))
		if text == "" {
			text = s.byDefault
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", s.name, s.masked(text), s.meaning)
	}
	_ = table.Flush()
}
