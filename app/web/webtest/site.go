// Package webtest is the site for tests of its doors: the pages and the doors of programs on a database of their own,
// behind a real server, with people in browsers, programs with tokens, tools, senders of webhooks, and what a walk over
// all routes needs.
package webtest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/agent"
	"carillon/app/api"
	"carillon/app/apptest"
	"carillon/app/automation"
	"carillon/app/bot"
	"carillon/app/mcp"
	"carillon/app/middleware"
	"carillon/app/plan"
	"carillon/app/provider"
	"carillon/app/toggle"
	"carillon/app/web"
	"carillon/app/web/page"
	"carillon/app/web/signin"
	"carillon/app/webhook"
	"carillon/app/workflow"
	"carillon/db"
	"carillon/db/dbtest"
)

// Site is the whole HTTP side on a database of its own, behind a real server.
type Site struct {
	T         *testing.T
	Server    *web.Server
	Calls     *webhook.Server
	Programs  *api.Server
	Tools     *mcp.Server
	Routes    *middleware.Routes
	Bearers   *middleware.Tokens
	Rules     *automation.Service
	Workflows *workflow.Service
	Bots      *bot.Service
	HTTP      *httptest.Server
	Workspace string
}

// Open opens a site for a test that runs beside others.
func Open(t *testing.T) *Site {
	t.Parallel()
	return OpenAlone(t)
}

// OpenAlone is Open for a test that runs beside no other of the package, as it must where what the process spends is
// measured.
func OpenAlone(t *testing.T) *Site {
	d := dbtest.New(t)
	log := slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	var rules *automation.Service
	now := func() time.Time { return rules.Now() } // tests move it
	rules = apptest.NewRules(d, now, provider.Provider{ID: "shell", Name: "Shell script", Script: true},
		provider.Provider{ID: "agent", Name: "Agent"})
	rules.Now, rules.Log = time.Now, log
	apptest.Prepare(t, d, rules)
	services := apptest.Wire(rules)
	s := &Site{T: t, Rules: rules, Workflows: services.Workflows, Bots: services.Bots}
	mux := http.NewServeMux()
	s.HTTP = httptest.NewServer(mux)
	t.Cleanup(s.HTTP.Close)
	public, err := url.Parse(s.HTTP.URL)
	Check(t, err)
	s.Server = &web.Server{
		Site: page.Site{
			DB: d, Accounts: &account.Service{
				DB: d, Now: time.Now, Log: log, Joined: rules.Workspaces.JoinScratch, PasswordMemory: 64,
			}, Rules: rules, Keys: rules.Keys, Inbox: services.Inbox,
			Tickets:    services.Tickets,
			Workspaces: rules.Workspaces, ProviderRules: rules.Providers, Toggles: &toggle.Service{DB: d, Now: now},
			Providers: func() []agent.Provider {
				return []agent.Provider{{ID: "shell", Name: "Shell script", Driver: agent.DriverShell},
					{ID: "agent", Name: "Agent"}}
			},
			PublicURL: public, Now: time.Now, Log: log,
		},
		SignIn: signin.Pages{SetupToken: "one-time"}, Workflows: s.Workflows, Bots: s.Bots,
	}
	s.Bearers = &middleware.Tokens{Person: s.Server.Accounts.ActorByToken, Bad: middleware.NewBadTokenLimiter()}
	s.Server.Init()
	s.Calls = &webhook.Server{
		Rules: rules, Workspaces: rules.Workspaces, PublicURL: public, Tokens: s.Bearers,
		Calls: webhook.NewCallLimiter(0), Now: time.Now, Log: log,
	}
	s.Programs = &api.Server{
		DB: d, Accounts: s.Server.Accounts, Rules: rules, Workflows: s.Workflows, Bots: s.Bots, Inbox: s.Server.Inbox,
		Tickets: s.Server.Tickets, Workspaces: rules.Workspaces, Providers: rules.Providers,
		Plans:     &plan.Service{DB: d, Keys: rules.Keys, Automations: rules, Workflows: s.Workflows, Bots: s.Bots},
		PublicURL: public, Tokens: s.Bearers, Log: log,
	}
	s.Tools = &mcp.Server{
		DB: d, Rules: rules, Tickets: s.Server.Tickets, Workspaces: rules.Workspaces, PublicURL: public,
		Tokens: s.Bearers, Log: log,
	}
	s.Server.Envelope, s.Server.APIHelp = s.Calls.Envelope, s.Programs.Help
	s.Routes = s.Compose(s.Server)
	mux.Handle("/", s.Server.Handler(s.Routes))
	list, err := db.Workspaces(t.Context(), d, [16]byte{})
	Check(t, err)
	s.Workspace = list[0].ID.String()
	return s
}

// Compose is the table of the routes of all doors, with the pages of a server.
func (s *Site) Compose(pages *web.Server) *middleware.Routes {
	routes := &middleware.Routes{}
	pages.Routes(routes)
	s.Calls.Routes(routes)
	s.Programs.Routes(routes)
	s.Tools.Routes(routes)
	return routes
}

// HandlerOf is the whole site with the pages of a server.
func (s *Site) HandlerOf(pages *web.Server) http.Handler { return pages.Handler(s.Compose(pages)) }

// Patience bounds each wait for what has to happen. It is long because a test must not fail on a slow or busy machine.
const Patience = 10 * time.Minute

// Browser is a client that keeps cookies and does not follow redirects.
type Browser struct {
	*Site
	Client *http.Client
	Actor  account.Actor
}

// As signs a new person of a role in, without the cost of a password.
func (s *Site) As(name, role string) *Browser {
	s.T.Helper()
	r, err := db.RoleByKey(s.T.Context(), s.Server.DB, role)
	Check(s.T, err)
	now := time.Now()
	u := &db.User{
		ID: db.NewID(), Email: name + "@example.com", Name: name, TimeZone: "UTC", CreatedAt: now, UpdatedAt: now,
	}
	login := &db.Login{ID: db.NewID(), UserID: u.ID, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(time.Hour)}
	Check(s.T, s.Server.DB.RunInTx(s.T.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		return errors.Join(db.InsertUser(ctx, tx, u, r.ID), s.Rules.Workspaces.JoinScratch(ctx, tx, u.ID),
			db.InsertLogin(ctx, tx, login))
	}))
	b := s.Nobody()
	w := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodGet, s.HTTP.URL, nil)
	c := s.Server.Cookie(req)
	c.Values["login"] = login.ID.String()
	Check(s.T, c.Save(req, w))
	address, err := url.Parse(s.HTTP.URL)
	Check(s.T, err)
	b.Client.Jar.SetCookies(address, w.Result().Cookies())
	u, err = db.UserByID(s.T.Context(), s.Server.DB, u.ID)
	Check(s.T, err)
	b.Actor = account.ActorOf(u)
	return b
}

// Nobody is a browser without a sign-in.
func (s *Site) Nobody() *Browser {
	jar, err := cookiejar.New(nil)
	Check(s.T, err)
	return &Browser{Site: s, Client: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}}
}

// Answer is a response, read.
type Answer struct {
	*http.Response
	Text string
}

// Do sends a request and reads its answer whole.
func (b *Browser) Do(req *http.Request) *Answer {
	b.T.Helper()
	res, err := b.Client.Do(req)
	Check(b.T, err)
	defer res.Body.Close() //nolint:errcheck // read to its end below
	body, err := io.ReadAll(res.Body)
	Check(b.T, err)
	return &Answer{res, string(body)}
}

// Get asks for an address.
func (b *Browser) Get(path string) *Answer {
	b.T.Helper()
	req, err := http.NewRequest(http.MethodGet, b.HTTP.URL+path, nil)
	Check(b.T, err)
	return b.Do(req)
}

// Post sends a form of pairs of a name and a value.
func (b *Browser) Post(path string, fields ...string) *Answer {
	b.T.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	req, err := http.NewRequest(http.MethodPost, b.HTTP.URL+path, strings.NewReader(form.Encode()))
	Check(b.T, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.Do(req)
}

// Check ends a test that an error is in the way of.
func Check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Expect fails unless an answer has a status and a text.
func (a *Answer) Expect(t *testing.T, status int, want string) {
	t.Helper()
	if a.StatusCode != status || !strings.Contains(a.Text, want) {
		t.Errorf("%s %s answered %d %.600s; want %d with %q", a.Request.Method, a.Request.URL, a.StatusCode, a.Text,
			status, want)
	}
}

// testLog writes what the server warns of into the test's own log.
type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	if l.t.Context().Err() == nil {
		l.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

// Runs are the executions of an automation, the newest first, in full.
func (s *Site) Runs(of uuid.UUID) (list []db.Execution) {
	s.T.Helper()
	Check(s.T, s.Server.DB.NewSelect().Model(&list).Where("e.automation_id = ?", of).OrderExpr("e.id DESC").
		Scan(s.T.Context()))
	return list
}

// Ticket makes a ticket of a person's by the form, and returns its address.
func (b *Browser) Ticket(fields ...string) string {
	b.T.Helper()
	a := b.Post("/tickets", append([]string{"workspace", b.Workspace}, fields...)...)
	if a.StatusCode != http.StatusSeeOther {
		b.T.Fatalf("creating a ticket answered %d %.300s", a.StatusCode, a.Text)
	}
	return a.Header.Get("Location")
}
