package web

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
	"carillon/app/web/page"
	"carillon/app/web/signin"
	"carillon/app/webhook"
	"carillon/app/workflow"
	"carillon/db"
	"carillon/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// site is the whole HTTP side on a database of its own, behind a real server.
type site struct {
	t         *testing.T
	server    *Server
	calls     *webhook.Server
	programs  *api.Server
	tools     *mcp.Server
	routes    *middleware.Routes
	bearers   *middleware.Tokens
	rules     *automation.Service
	workflows *workflow.Service
	bots      *bot.Service
	http      *httptest.Server
	workspace string
}

func open(t *testing.T) *site {
	t.Parallel()
	return openAlone(t)
}

// openAlone is open for a test that runs beside no other of the package, as it must where what the process spends is
// measured.
func openAlone(t *testing.T) *site {
	d := dbtest.New(t)
	log := slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	var rules *automation.Service
	now := func() time.Time { return rules.Now() } // tests move it
	rules = apptest.NewRules(d, now, provider.Provider{ID: "shell", Name: "Shell script", Script: true},
		provider.Provider{ID: "agent", Name: "Agent"})
	rules.Now, rules.Log = time.Now, log
	apptest.Prepare(t, d, rules)
	services := apptest.Wire(rules)
	s := &site{t: t, rules: rules, workflows: services.Workflows, bots: services.Bots}
	mux := http.NewServeMux()
	s.http = httptest.NewServer(mux)
	t.Cleanup(s.http.Close)
	public, err := url.Parse(s.http.URL)
	check(t, err)
	s.server = &Server{
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
		SignIn: signin.Pages{SetupToken: "one-time"}, Workflows: s.workflows, Bots: s.bots,
	}
	s.bearers = &middleware.Tokens{Person: s.server.Accounts.ActorByToken, Bad: middleware.NewBadTokenLimiter()}
	s.server.Init()
	s.calls = &webhook.Server{
		Rules: rules, Workspaces: rules.Workspaces, PublicURL: public, Tokens: s.bearers,
		Calls: webhook.NewCallLimiter(0), Now: time.Now, Log: log,
	}
	s.programs = &api.Server{
		DB: d, Accounts: s.server.Accounts, Rules: rules, Workflows: s.workflows, Bots: s.bots, Inbox: s.server.Inbox,
		Tickets: s.server.Tickets, Workspaces: rules.Workspaces, Providers: rules.Providers,
		Plans:     &plan.Service{DB: d, Keys: rules.Keys, Automations: rules, Workflows: s.workflows, Bots: s.bots},
		PublicURL: public, Tokens: s.bearers, Log: log,
	}
	s.tools = &mcp.Server{
		DB: d, Rules: rules, Tickets: s.server.Tickets, Workspaces: rules.Workspaces, PublicURL: public,
		Tokens: s.bearers, Log: log,
	}
	s.server.Envelope, s.server.APIHelp = s.calls.Envelope, s.programs.Help
	s.routes = s.compose(s.server)
	mux.Handle("/", s.server.Handler(s.routes))
	list, err := db.Workspaces(t.Context(), d, [16]byte{})
	check(t, err)
	s.workspace = list[0].ID.String()
	return s
}

// compose is the table of the routes of all doors, with the pages of a server.
func (s *site) compose(pages *Server) *middleware.Routes {
	routes := &middleware.Routes{}
	pages.Routes(routes)
	s.calls.Routes(routes)
	s.programs.Routes(routes)
	s.tools.Routes(routes)
	return routes
}

// allPatterns are the routes of all doors.
func allPatterns() []string {
	s := &site{
		calls: &webhook.Server{}, programs: &api.Server{PublicURL: &url.URL{}, Tokens: &middleware.Tokens{}},
		tools: &mcp.Server{Tokens: &middleware.Tokens{}},
	}
	return s.compose(&Server{}).Patterns()
}

// handlerOf is the whole site with the pages of a server.
func (s *site) handlerOf(pages *Server) http.Handler { return pages.Handler(s.compose(pages)) }

// patience bounds each wait for what has to happen. It is long because a test must not fail on a slow or busy machine.
const patience = 10 * time.Minute

// browser is a client that keeps cookies and does not follow redirects.
type browser struct {
	*site
	client *http.Client
	actor  account.Actor
}

// as signs a new person of a role in, without the cost of a password.
func (s *site) as(name, role string) *browser {
	s.t.Helper()
	r, err := db.RoleByKey(s.t.Context(), s.server.DB, role)
	check(s.t, err)
	now := time.Now()
	u := &db.User{
		ID: db.NewID(), Email: name + "@example.com", Name: name, TimeZone: "UTC", CreatedAt: now, UpdatedAt: now,
	}
	login := &db.Login{ID: db.NewID(), UserID: u.ID, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(time.Hour)}
	check(s.t, s.server.DB.RunInTx(s.t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		return errors.Join(db.InsertUser(ctx, tx, u, r.ID), s.rules.Workspaces.JoinScratch(ctx, tx, u.ID),
			db.InsertLogin(ctx, tx, login))
	}))
	b := s.nobody()
	w := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodGet, s.http.URL, nil)
	c := s.server.Cookie(req)
	c.Values["login"] = login.ID.String()
	check(s.t, c.Save(req, w))
	address, err := url.Parse(s.http.URL)
	check(s.t, err)
	b.client.Jar.SetCookies(address, w.Result().Cookies())
	u, err = db.UserByID(s.t.Context(), s.server.DB, u.ID)
	check(s.t, err)
	b.actor = account.ActorOf(u)
	return b
}

// nobody is a browser without a sign-in.
func (s *site) nobody() *browser {
	jar, err := cookiejar.New(nil)
	check(s.t, err)
	return &browser{site: s, client: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}}
}

// answer is a response, read.
type answer struct {
	*http.Response
	body string
}

func (b *browser) do(req *http.Request) *answer {
	b.t.Helper()
	res, err := b.client.Do(req)
	check(b.t, err)
	defer res.Body.Close() //nolint:errcheck // read to its end below
	body, err := io.ReadAll(res.Body)
	check(b.t, err)
	return &answer{res, string(body)}
}

func (b *browser) get(path string) *answer {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodGet, b.http.URL+path, nil)
	check(b.t, err)
	return b.do(req)
}

func (b *browser) post(path string, fields ...string) *answer {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	req, err := http.NewRequest(http.MethodPost, b.http.URL+path, strings.NewReader(form.Encode()))
	check(b.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(req)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// expect fails unless an answer has a status and a text.
func (a *answer) expect(t *testing.T, status int, want string) {
	t.Helper()
	if a.StatusCode != status || !strings.Contains(a.body, want) {
		t.Errorf("%s %s answered %d %.600s; want %d with %q", a.Request.Method, a.Request.URL, a.StatusCode, a.body,
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

// runs are the executions of an automation, the newest first, in full.
func (s *site) runs(of uuid.UUID) (list []db.Execution) {
	s.t.Helper()
	check(s.t, s.server.DB.NewSelect().Model(&list).Where("e.automation_id = ?", of).OrderExpr("e.id DESC").
		Scan(s.t.Context()))
	return list
}
