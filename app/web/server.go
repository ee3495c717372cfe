// Package web is the HTTP side of Carillon: it turns requests into operations of the rules, and their rows and errors
// into pages, fragments and answers. It decides nothing about automations.
package web

import (
	"context"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/gorilla/sessions"
	"golang.org/x/time/rate"

	"carillon/app/account"
	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/middleware"
	"carillon/app/secret"
	"carillon/app/sso"
	"carillon/db"
	"carillon/static"
	"carillon/views"
)

// Server answers requests. Its fields are set once, in main; Init prepares the rest.
type Server struct {
	DB        *db.DB
	Accounts  *account.Service
	Rules     *automation.Service
	Keys      *secret.Keys
	Providers func() []agent.Provider
	// Found says what is installed of a provider on the workers, the best of it, as far as it is known yet; nil:
	// everything counts as there.
	Found func(id string) (agent.Found, bool)
	// Workers lists the workers that live, with what each has found; nil: everything counts as there.
	Workers   func() []db.Worker
	PublicURL *url.URL // base of links, and what decides whether cookies are Secure
	Proxies   middleware.Proxies
	Now       func() time.Time
	Log       *slog.Logger
	// SetupToken is the secret of the one-time link that makes the first administrator.
	SetupToken string
	// SincePass is how long ago the scheduler of this process completed a pass; nil where it has none.
	SincePass func() time.Duration
	// SignOn is the provider of single sign-on; nil: there is none. SignOnName is what its button says.
	SignOn     *sso.Provider
	SignOnName string
	Gallery    bool // serve the gallery of components, in development

	Metrics http.Handler // answers Prometheus; nil: nobody is answered
	// Bearer is the person of an API token. It returns fault.ErrNotFound for a token that is none, or not good any
	// more; nil: no tokens of people are known here.
	Bearer func(ctx context.Context, token string) (account.Actor, error)
	// TriggerRate is how many calls a second each webhook token may make, beyond a burst; 0 is without limit.
	TriggerRate float64

	// Letter sends an e-mail of plain text now; nil: there is no mail server.
	Letter func(ctx context.Context, to, subject, text string) error

	cookies         *sessions.CookieStore
	attempts        *sessions.CookieStore   // of signing in by single sign-on
	badTokenLimiter *middleware.RateLimiter // bad tokens, by address
	tokenLimiter    *middleware.RateLimiter // calls, by token
	denialLimiter   *middleware.RateLimiter // pages that were refused and written down, by person and page
	refusals        *middleware.RateLimiter // all refusals written down, by person and address
	migrated        *Shared[bool]           // whether the database is
	hub             *hub
	stop            chan struct{} // closed when streams are to end
}

// Init prepares a Server for Handler and Listen.
func (s *Server) Init() {
	s.hub = newHub()
	s.badTokenLimiter = middleware.NewRateLimiter(rate.Every(3*time.Second), 20)
	s.tokenLimiter = middleware.NewRateLimiter(rate.Inf, 0)
	s.denialLimiter = middleware.NewRateLimiter(rate.Every(time.Minute), 1)
	s.refusals = middleware.NewRateLimiter(rate.Every(3*time.Second), 1000)
	s.migrated = &Shared[bool]{}
	if s.TriggerRate > 0 {
		s.tokenLimiter = middleware.NewRateLimiter(rate.Limit(s.TriggerRate), max(1, int(20*s.TriggerRate)))
	}
	s.stop = make(chan struct{})
	s.cookies = sessions.NewCookieStore(s.Keys.Cookies()...)
	s.cookies.Options = &sessions.Options{
		Path: "/", MaxAge: int(account.LoginLifetime / time.Second), HttpOnly: true,
		SameSite: http.SameSiteLaxMode, Secure: s.PublicURL.Scheme == "https",
	}
	// Options alone would leave the codecs accepting cookies of 30 days.
	s.cookies.MaxAge(s.cookies.Options.MaxAge)
	s.attempts = s.newAttempts()
}

// Listen hears what changes, for live pages, until ctx is over.
func (s *Server) Listen(ctx context.Context) error {
	return s.DB.Listen(ctx, s.Log, s.hub.wakeAll, s.hub.wake)
}

// CloseStreams ends the live streams, so that a server can shut down without waiting for readers.
func (s *Server) CloseStreams() { close(s.stop) }

// HTTP is a server for the handler with the time limits that untrusted clients need. Streams lift theirs.
func (s *Server) HTTP() *http.Server {
	srv := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
		WriteTimeout: 2 * time.Minute,
		IdleTimeout:  2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
	srv.RegisterOnShutdown(s.CloseStreams)
	return srv
}

// Handler is the whole site: every route, behind what all of them need.
func (s *Server) Handler() http.Handler {
	mux := &routeTable{}
	s.routes(mux)
	protection := http.NewCrossOriginProtection()
	if err := protection.AddTrustedOrigin(s.PublicURL.Scheme + "://" + s.PublicURL.Host); err != nil {
		s.Log.Warn("trust the public address", "err", err) // only odd schemes; same-origin requests pass by themselves
	}
	// These carry a secret of their own and no cookie, and answer in JSON.
	protection.AddInsecureBypassPattern("/api/automations/http-trigger")
	protection.AddInsecureBypassPattern("/api/automations/http-trigger/{token}")
	protection.AddInsecureBypassPattern("/api/forges/{kind}/{workspace}")
	protection.AddInsecureBypassPattern(apiPrefix + "/")
	protection.AddInsecureBypassPattern("/mcp")
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, http.StatusForbidden, "Not from here",
			"This request came from another site, so it was not carried out.")
	}))
	return s.around(s.checked(protection.Handler(s.plain(s.routed(&mux.ServeMux)))))
}

// around puts around a site what every answer needs.
func (s *Server) around(site http.Handler) http.Handler {
	access := &middleware.Access{Log: s.Log, Proxies: s.Proxies, Denied: s.denied,
		Failed: func(w http.ResponseWriter, r *http.Request) {
			s.refuse(w, r, http.StatusInternalServerError, ourFault, "It was noted as "+middleware.RequestID(r)+
				". Try again in a moment.")
		}}
	return access.Handler(middleware.SecurityHeaders(site, s.PublicURL.Scheme == "https"))
}

// routes is the table of everything that can be asked for. Actions are nouns; what a route needs beyond a sign-in is
// decided by the operation that it calls.
func (s *Server) routes(mux *routeTable) {
	mux.Handle("GET /static/", static.Handler())
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /readyz", s.ready)
	if s.Metrics != nil {
		mux.Handle("GET /metrics", s.Metrics)
	}

	mux.HandleFunc("/api/automations/http-trigger", s.trigger)
	mux.HandleFunc("/api/automations/http-trigger/{token}", s.trigger)
	mux.HandleFunc("/api/forges/{kind}/{workspace}", s.forgeHook)
	s.apiRoutes(mux)
	mux.HandleFunc("/api/", s.noAPI)
	mux.Handle("/mcp", s.mcpServer())

	mux.HandleFunc("GET /login", s.open(s.loginPage))
	mux.HandleFunc("POST /login", s.open(s.signIn))
	mux.HandleFunc("GET /login/sso", s.open(s.beginSignOn))
	mux.HandleFunc("GET /login/sso/callback", s.open(s.finishSignOn))
	mux.HandleFunc("GET /setup", s.open(s.setupPage))
	mux.HandleFunc("POST /setup", s.open(s.setUp))
	mux.HandleFunc("POST /logout", s.open(s.signOut))

	mux.HandleFunc("GET /{$}", s.page(s.overview))
	mux.HandleFunc("GET /overview/now", s.page(s.overviewNow))

	mux.HandleFunc("GET /automations", s.page(s.automations))
	mux.HandleFunc("POST /automations", s.page(s.createAutomation))
	mux.HandleFunc("GET /automations/new", s.page(s.newAutomation))
	mux.HandleFunc("POST /automations/bulk", s.page(s.bulk))
	mux.HandleFunc("GET /automations/schedule", s.page(s.schedulePreview))
	mux.HandleFunc("GET /automations/moment", s.page(s.momentPart))
	mux.HandleFunc("POST /automations/placeholders", s.page(s.placeholders))
	mux.HandleFunc("GET /automations/models", s.page(s.models))
	mux.HandleFunc("GET /automations/parameters", s.page(s.workflowParameters))
	mux.HandleFunc("GET /automations/{id}", s.page(s.automation))
	mux.HandleFunc("POST /automations/{id}", s.page(s.updateAutomation))
	mux.HandleFunc("GET /automations/{id}/settings", s.page(s.automationSettings))
	mux.HandleFunc("GET /automations/{id}/edit", s.page(s.editAutomation))
	mux.HandleFunc("GET /automations/{id}/row", s.page(s.automationRow))
	mux.HandleFunc("GET /automations/{id}/runs", s.page(s.askToRun))
	mux.HandleFunc("POST /automations/{id}/runs", s.page(s.startRun))
	mux.HandleFunc("POST /automations/{id}/enabled", s.page(s.enable))
	mux.HandleFunc("POST /automations/{id}/token", s.page(s.regenerate))
	mux.HandleFunc("POST /automations/{id}/transfer", s.page(s.transfer))
	mux.HandleFunc("POST /automations/{id}/offer", s.page(s.answerOffer))
	mux.HandleFunc("GET /automations/{id}/deliveries", s.page(s.deliveries))
	mux.HandleFunc("GET /automations/{id}/deliveries/{delivery}", s.page(s.delivery))
	mux.HandleFunc("POST /automations/{id}/deliveries/{delivery}/replays", s.page(s.replay))
	mux.HandleFunc("GET /automations/{id}/trial", s.page(s.trial))
	mux.HandleFunc("POST /automations/{id}/trial", s.page(s.trial))
	mux.HandleFunc("POST /automations/{id}/deletion", s.page(s.deleteAutomation))

	mux.HandleFunc("GET /executions", s.page(s.executions))
	mux.HandleFunc("GET /executions/{id}", s.page(s.execution))
	mux.HandleFunc("GET /executions/{id}/row", s.page(s.executionRow))
	mux.HandleFunc("POST /executions/{id}/repetitions", s.page(s.runAgain))
	mux.HandleFunc("POST /executions/{id}/cancellation", s.page(s.cancelExecution))

	mux.HandleFunc("GET /sessions", s.page(s.sessions))
	mux.HandleFunc("GET /sessions/{id}", s.page(s.session))
	mux.HandleFunc("GET /sessions/{id}/row", s.page(s.sessionRow))
	mux.HandleFunc("GET /sessions/{id}/head", s.page(s.sessionPart(views.SessionHead)))
	mux.HandleFunc("GET /sessions/{id}/changes", s.page(s.sessionChanges))
	mux.HandleFunc("GET /sessions/{id}/stream", s.page(s.sessionStream))
	mux.HandleFunc("POST /sessions/{id}/stop", s.page(s.stopSession))
	mux.HandleFunc("POST /sessions/{id}/completion", s.page(s.completeSession))
	mux.HandleFunc("POST /sessions/{id}/reopening", s.page(s.reopenSession))
	mux.HandleFunc("POST /sessions/{id}/relocation", s.page(s.giveUpWorker))
	mux.HandleFunc("POST /sessions/{id}/messages", s.page(s.replyToSession))
	mux.HandleFunc("POST /sessions/{id}/messages/{message}/withdrawal", s.page(s.withdrawMessage))
	mux.HandleFunc("POST /sessions/{id}/interruption", s.page(s.interruptSession))
	mux.HandleFunc("POST /sessions/{id}/context", s.page(s.resetSession))
	mux.HandleFunc("GET /sessions/{id}/queued", s.page(s.sessionPart(views.QueuedMessages)))
	mux.HandleFunc("GET /sessions/{id}/pulls", s.page(s.sessionPart(views.SessionPullRequests)))
	mux.HandleFunc("GET /sessions/{id}/steps", s.page(s.sessionPart(views.SessionSteps)))
	mux.HandleFunc("GET /sessions/{id}/events.ndjson", s.page(s.sessionEvents))
	mux.HandleFunc("POST /sessions/{id}/pull-request", s.page(s.linkPullRequest))
	mux.HandleFunc("POST /sessions/{id}/pull-request-removal", s.page(s.unlinkPullRequest))
	mux.HandleFunc("POST /sessions/{id}/pull-requests", s.page(s.createPullRequest))

	mux.HandleFunc("GET /inbox", s.page(s.inbox))
	mux.HandleFunc("GET /inbox/link", s.page(s.inboxLink))
	mux.HandleFunc("POST /inbox/reading", s.page(s.readAll))
	mux.HandleFunc("GET /inbox/{id}", s.page(s.notice))
	mux.HandleFunc("POST /inbox/{id}/reading", s.page(s.readNotice))
	mux.HandleFunc("POST /inbox/{id}/star", s.page(s.starNotice))
	mux.HandleFunc("POST /inbox/{id}/dismissal", s.page(s.dismissNotice))

	mux.HandleFunc("GET /tickets", s.page(s.tickets))
	mux.HandleFunc("POST /tickets", s.page(s.createTicket))
	mux.HandleFunc("GET /tickets/new", s.page(s.newTicket))
	mux.HandleFunc("GET /tickets/assignees", s.page(s.assignees))
	mux.HandleFunc("GET /tickets/{id}", s.page(s.ticket))
	mux.HandleFunc("POST /tickets/{id}", s.page(s.updateTicket))
	mux.HandleFunc("GET /tickets/{id}/edit", s.page(s.editTicket))
	mux.HandleFunc("POST /tickets/{id}/status", s.page(s.moveTicket))
	mux.HandleFunc("POST /tickets/{id}/unlinking", s.page(s.unlinkTicket))
	mux.HandleFunc("GET /sessions/{id}/tickets", s.page(s.sessionTickets))
	mux.HandleFunc("POST /sessions/{id}/tickets", s.page(s.linkTicket))

	mux.HandleFunc("GET /workflows", s.page(s.workflows))
	mux.HandleFunc("POST /workflows", s.page(s.createWorkflow))
	mux.HandleFunc("GET /workflows/new", s.page(s.newWorkflow))
	mux.HandleFunc("GET /workflows/{id}", s.page(s.workflow))
	mux.HandleFunc("POST /workflows/{id}", s.page(s.updateWorkflow))
	mux.HandleFunc("GET /workflows/{id}/edit", s.page(s.editWorkflow))
	mux.HandleFunc("POST /workflows/{id}/copies", s.page(s.duplicateWorkflow))
	mux.HandleFunc("POST /workflows/{id}/deletion", s.page(s.removeWorkflow))

	mux.HandleFunc("GET /workspaces", s.page(s.workspaces))
	mux.HandleFunc("POST /workspaces", s.page(s.createWorkspace))
	mux.HandleFunc("GET /workspaces/new", s.page(s.newWorkspace))
	mux.HandleFunc("GET /workspaces/{id}", s.page(s.workspace))
	mux.HandleFunc("POST /workspaces/{id}", s.page(s.updateWorkspace))
	mux.HandleFunc("GET /workspaces/{id}/edit", s.page(s.editWorkspace))
	mux.HandleFunc("POST /workspaces/{id}/members", s.page(s.addMember))
	mux.HandleFunc("POST /workspaces/{id}/removal", s.page(s.removeMember))
	mux.HandleFunc("POST /workspaces/{id}/check", s.page(s.checkWorkspace))
	mux.HandleFunc("POST /workspaces/{id}/deletion", s.page(s.removeWorkspace))

	mux.HandleFunc("GET /settings", s.page(s.settings))
	mux.HandleFunc("GET /settings/profile", s.page(s.profile))
	mux.HandleFunc("POST /settings/profile", s.page(s.updateProfile))
	mux.HandleFunc("POST /settings/profile/password", s.page(s.changePassword))
	mux.HandleFunc("POST /settings/profile/notices", s.page(s.updateNotices))
	mux.HandleFunc("POST /settings/profile/webhook-secret", s.page(s.renewWebhookSecret))
	mux.HandleFunc("POST /settings/profile/sign-outs", s.page(s.endOtherLogins))
	mux.HandleFunc("POST /settings/profile/sign-outs/{id}", s.page(s.endLogin))

	s.tokenRoutes(mux)
	s.providerRoutes(mux)
	s.qualityRoutes(mux)
	s.botRoutes(mux)
	s.peopleRoutes(mux)
	s.roleRoutes(mux)
	s.auditRoutes(mux)

	mux.HandleFunc("POST /preferences/theme", s.page(s.chooseTheme))
	mux.HandleFunc("POST /preferences/workspace", s.page(s.chooseWorkspace))
	if s.Gallery {
		mux.HandleFunc("GET /gallery", s.page(s.gallery))
	}
}

// plain keeps odd spellings of programs' addresses from being answered with a redirect to the usual one, as browsers
// are.
func (s *Server) plain(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") && path.Clean(r.URL.Path) != strings.TrimSuffix(r.URL.Path, "/") {
			s.noAPI(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// triggerPath is where the HTTP trigger is called.
const triggerPath = "/api/automations/http-trigger"

// noAPI answers programs that ask for what is not there: in JSON, and callers of the HTTP trigger in its envelope.
func (s *Server) noAPI(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == triggerPath+"/" { // the token left out, the slash before it not
		s.trigger(w, r)
		return
	}
	if strings.HasPrefix(r.URL.Path, triggerPath) {
		s.tell(w, &automation.Answer{Status: http.StatusNotFound, Error: "there is nothing at this address"})
		return
	}
	if isAPI(r) {
		writeProblem(w, &APIProblem{Status: http.StatusNotFound, Detail: "There is nothing at this address."})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write([]byte(`{"error":"there is nothing at this address"}` + "\n"))
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// ready answers 200 when the database is reachable and migrated.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	migrated, err := s.migrated.Get(func() (bool, error) { // for all who ask, so also where this one hangs up
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 3*time.Second)
		defer cancel()
		return db.Migrated(ctx, s.DB)
	})
	switch {
	case err != nil:
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
	case !migrated:
		http.Error(w, "the database is not migrated", http.StatusServiceUnavailable)
	case s.SincePass != nil && s.SincePass() > time.Minute:
		http.Error(w, "the scheduler has not completed a pass within the last minute", http.StatusServiceUnavailable)
	default:
		_, _ = w.Write([]byte("ready\n"))
	}
}

// sameSecret compares in constant time.
func sameSecret(a, b string) bool {
	return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
