// Package web is the HTTP side of Carillon: it turns requests into operations of the rules, and their rows and errors
// into pages, fragments and answers. It decides nothing about automations.
package web

import (
	"context"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/sessions"
	"golang.org/x/time/rate"

	"carillon/app/account"
	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/bot"
	"carillon/app/middleware"
	"carillon/app/secret"
	"carillon/app/sso"
	"carillon/app/workflow"
	"carillon/db"
	"carillon/static"
	"carillon/views"
)

// Server answers requests. Its fields are set once, in main; Init prepares the rest.
type Server struct {
	DB        *db.DB
	Accounts  *account.Service
	Rules     *automation.Service
	Workflows *workflow.Service
	Bots      *bot.Service
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
	// Envelope is the answer to a call of the HTTP trigger as its caller reads it.
	Envelope func(*automation.Answer) any
	// APIHelp is what the help says of the API, with its operations.
	APIHelp func() views.APIHelpPage

	// Letter sends an e-mail of plain text now; nil: there is no mail server.
	Letter func(ctx context.Context, to, subject, text string) error

	cookies       *sessions.CookieStore
	attempts      *sessions.CookieStore    // of signing in by single sign-on
	denialLimiter *middleware.RateLimiter  // pages that were refused and written down, by person and page
	refusals      *middleware.RateLimiter  // all refusals written down, by person and address
	migrated      *middleware.Shared[bool] // whether the database is
	hub           *hub
	stop          chan struct{} // closed when streams are to end
}

// Init prepares a Server for Handler and Listen.
func (s *Server) Init() {
	s.hub = newHub()
	s.denialLimiter = middleware.NewRateLimiter(rate.Every(time.Minute), 1)
	s.refusals = middleware.NewRateLimiter(rate.Every(3*time.Second), 1000)
	s.migrated = &middleware.Shared[bool]{}
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

// HTTP is a server for the routes of all doors, with the time limits that untrusted clients need. Streams lift theirs.
func (s *Server) HTTP(routes *middleware.Routes) *http.Server {
	srv := &http.Server{
		Handler: s.Handler(routes), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
		WriteTimeout: 2 * time.Minute,
		IdleTimeout:  2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
	srv.RegisterOnShutdown(s.CloseStreams)
	return srv
}

// Handler is the whole site: the routes of all doors, behind what all of them need. It answers in pages what no door
// of programs answers.
func (s *Server) Handler(routes *middleware.Routes) http.Handler {
	protection := http.NewCrossOriginProtection()
	if err := protection.AddTrustedOrigin(s.PublicURL.Scheme + "://" + s.PublicURL.Host); err != nil {
		s.Log.Warn("trust the public address", "err", err) // only odd schemes; same-origin requests pass by themselves
	}
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, http.StatusForbidden, "Refused",
			"The request came from another site.")
	}))
	pages := s.checked(protection.Handler(s.routed(&routes.ServeMux)))
	return s.around(routes.Dispatch(pages), routes)
}

// around puts around a site what every answer needs.
func (s *Server) around(site http.Handler, routes *middleware.Routes) http.Handler {
	access := &middleware.Access{Log: s.Log, Proxies: s.Proxies, Denied: s.denied,
		Failed: func(w http.ResponseWriter, r *http.Request) {
			text := "It was noted as " + middleware.RequestID(r) + ". Try again in a moment."
			if refuse := routes.RefusalOf(r); refuse != nil {
				refuse(w, r, http.StatusInternalServerError, text)
				return
			}
			s.refuse(w, r, http.StatusInternalServerError, ourFault, text)
		}}
	return access.Handler(middleware.SecurityHeaders(site, s.PublicURL.Scheme == "https"))
}

// Routes adds the addresses of pages. Actions are nouns; what a route needs beyond a sign-in is decided by the
// operation that it calls.
func (s *Server) Routes(mux *middleware.Routes) {
	mux.Handle("GET /static/", static.Handler())
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /readyz", s.ready)
	if s.Metrics != nil {
		mux.Handle("GET /metrics", s.Metrics)
	}

	mux.Programs("/api/", middleware.RefuseProgram)

	login := loginPages{s}
	mux.HandleFunc("GET /login", s.open(login.form))
	mux.HandleFunc("POST /login", s.open(login.signIn))
	mux.HandleFunc("GET /login/sso", s.open(login.beginSignOn))
	mux.HandleFunc("GET /login/sso/callback", s.open(login.finishSignOn))
	mux.HandleFunc("GET /setup", s.open(login.setupForm))
	mux.HandleFunc("POST /setup", s.open(login.setUp))
	mux.HandleFunc("POST /logout", s.open(login.signOut))

	join := joinPages{s}
	mux.HandleFunc("GET /join/{token}", s.open(join.form))
	mux.HandleFunc("POST /join/{token}", s.open(join.join))

	overview := overviewPages{s}
	mux.HandleFunc("GET /{$}", s.page(overview.whole))
	mux.HandleFunc("GET /overview/now", s.page(overview.now))

	automations := automationPages{s}
	deliveries := deliveryPages{s}
	mux.HandleFunc("GET /automations", s.page(automations.list))
	mux.HandleFunc("POST /automations", s.page(automations.create))
	mux.HandleFunc("GET /automations/new", s.page(automations.new))
	mux.HandleFunc("POST /automations/bulk", s.page(automations.bulk))
	mux.HandleFunc("GET /automations/schedule", s.page(automations.schedule))
	mux.HandleFunc("GET /automations/moment", s.page(automations.moment))
	mux.HandleFunc("POST /automations/placeholders", s.page(automations.placeholders))
	mux.HandleFunc("GET /automations/models", s.page(automations.models))
	mux.HandleFunc("GET /automations/parameters", s.page(automations.workflowParameters))
	mux.HandleFunc("GET /automations/{id}", s.page(automations.one))
	mux.HandleFunc("POST /automations/{id}", s.page(automations.update))
	mux.HandleFunc("GET /automations/{id}/settings", s.page(automations.settings))
	mux.HandleFunc("GET /automations/{id}/edit", s.page(automations.edit))
	mux.HandleFunc("GET /automations/{id}/row", s.page(automations.row))
	mux.HandleFunc("GET /automations/{id}/runs", s.page(automations.askToRun))
	mux.HandleFunc("POST /automations/{id}/runs", s.page(automations.run))
	mux.HandleFunc("POST /automations/{id}/enabled", s.page(automations.enable))
	mux.HandleFunc("POST /automations/{id}/budget/{limit}", s.page(automations.raiseBudget))
	mux.HandleFunc("POST /automations/{id}/token", s.page(automations.regenerateToken))
	mux.HandleFunc("POST /automations/{id}/transfer", s.page(automations.transfer))
	mux.HandleFunc("POST /automations/{id}/offer", s.page(automations.answerOffer))
	mux.HandleFunc("GET /automations/{id}/deliveries", s.page(deliveries.list))
	mux.HandleFunc("GET /automations/{id}/deliveries/{delivery}", s.page(deliveries.one))
	mux.HandleFunc("POST /automations/{id}/deliveries/{delivery}/replays", s.page(deliveries.replay))
	mux.HandleFunc("GET /automations/{id}/trial", s.page(automations.trial))
	mux.HandleFunc("POST /automations/{id}/trial", s.page(automations.trial))
	mux.HandleFunc("POST /automations/{id}/deletion", s.page(automations.delete))

	executions := executionPages{s}
	mux.HandleFunc("GET /executions", s.page(executions.list))
	mux.HandleFunc("GET /executions/{id}", s.page(executions.one))
	mux.HandleFunc("GET /executions/{id}/row", s.page(executions.row))
	mux.HandleFunc("POST /executions/{id}/repetitions", s.page(executions.repeat))
	mux.HandleFunc("POST /executions/{id}/cancellation", s.page(executions.cancel))

	sessions := sessionPages{s}
	mux.HandleFunc("GET /sessions", s.page(sessions.list))
	mux.HandleFunc("GET /sessions/{id}", s.page(sessions.one))
	mux.HandleFunc("GET /sessions/{id}/row", s.page(sessions.row))
	mux.HandleFunc("GET /sessions/{id}/head", s.page(sessions.part(views.SessionHead)))
	mux.HandleFunc("GET /sessions/{id}/changes", s.page(sessions.changes))
	mux.HandleFunc("GET /sessions/{id}/stream", s.page(sessions.stream))
	mux.HandleFunc("POST /sessions/{id}/stop", s.page(sessions.cancel))
	mux.HandleFunc("POST /sessions/{id}/completion", s.page(sessions.complete))
	mux.HandleFunc("POST /sessions/{id}/reopening", s.page(sessions.reopen))
	mux.HandleFunc("POST /sessions/{id}/relocation", s.page(sessions.giveUpWorker))
	mux.HandleFunc("POST /sessions/{id}/messages", s.page(sessions.reply))
	mux.HandleFunc("POST /sessions/{id}/messages/{message}/withdrawal", s.page(sessions.withdraw))
	mux.HandleFunc("POST /sessions/{id}/interruption", s.page(sessions.interrupt))
	mux.HandleFunc("POST /sessions/{id}/context", s.page(sessions.resetContext))
	mux.HandleFunc("GET /sessions/{id}/queued", s.page(sessions.part(views.QueuedMessages)))
	mux.HandleFunc("GET /sessions/{id}/pulls", s.page(sessions.part(views.SessionPullRequests)))
	mux.HandleFunc("GET /sessions/{id}/steps", s.page(sessions.part(views.SessionSteps)))
	mux.HandleFunc("GET /sessions/{id}/events.ndjson", s.page(sessions.events))
	mux.HandleFunc("POST /sessions/{id}/pull-request", s.page(sessions.linkPullRequest))
	mux.HandleFunc("POST /sessions/{id}/pull-request-removal", s.page(sessions.unlinkPullRequest))
	mux.HandleFunc("POST /sessions/{id}/pull-requests", s.page(sessions.createPullRequest))

	inbox := inboxPages{s}
	mux.HandleFunc("GET /inbox", s.page(inbox.list))
	mux.HandleFunc("GET /inbox/link", s.page(inbox.link))
	mux.HandleFunc("POST /inbox/reading", s.page(inbox.readAll))
	mux.HandleFunc("GET /inbox/{id}", s.page(inbox.one))
	mux.HandleFunc("POST /inbox/{id}/reading", s.page(inbox.read))
	mux.HandleFunc("POST /inbox/{id}/star", s.page(inbox.star))
	mux.HandleFunc("POST /inbox/{id}/dismissal", s.page(inbox.dismiss))

	tickets := ticketPages{s}
	mux.HandleFunc("GET /tickets", s.page(tickets.list))
	mux.HandleFunc("POST /tickets", s.page(tickets.create))
	mux.HandleFunc("GET /tickets/new", s.page(tickets.new))
	mux.HandleFunc("GET /tickets/assignees", s.page(tickets.assignees))
	mux.HandleFunc("GET /tickets/{id}", s.page(tickets.one))
	mux.HandleFunc("POST /tickets/{id}", s.page(tickets.update))
	mux.HandleFunc("GET /tickets/{id}/edit", s.page(tickets.edit))
	mux.HandleFunc("POST /tickets/{id}/status", s.page(tickets.move))
	mux.HandleFunc("POST /tickets/{id}/unlinking", s.page(tickets.unlink))
	mux.HandleFunc("GET /sessions/{id}/tickets", s.page(sessions.tickets))
	mux.HandleFunc("POST /sessions/{id}/tickets", s.page(sessions.linkTicket))

	workflows := workflowPages{s}
	mux.HandleFunc("GET /workflows", s.page(workflows.list))
	mux.HandleFunc("POST /workflows", s.page(workflows.create))
	mux.HandleFunc("GET /workflows/new", s.page(workflows.new))
	mux.HandleFunc("GET /workflows/{id}", s.page(workflows.one))
	mux.HandleFunc("POST /workflows/{id}", s.page(workflows.update))
	mux.HandleFunc("GET /workflows/{id}/edit", s.page(workflows.edit))
	mux.HandleFunc("POST /workflows/{id}/copies", s.page(workflows.duplicate))
	mux.HandleFunc("POST /workflows/{id}/deletion", s.page(workflows.remove))

	bots := botPages{s}
	mux.HandleFunc("GET /bots", s.page(bots.list))
	mux.HandleFunc("POST /bots", s.page(bots.create))
	mux.HandleFunc("GET /bots/new", s.page(bots.new))
	mux.HandleFunc("GET /bots/{id}", s.page(bots.one))
	mux.HandleFunc("POST /bots/{id}", s.page(bots.update))
	mux.HandleFunc("GET /bots/{id}/edit", s.page(bots.edit))
	mux.HandleFunc("POST /bots/{id}/deletion", s.page(bots.remove))

	workspaces := workspacePages{s}
	mux.HandleFunc("GET /workspaces", s.page(workspaces.list))
	mux.HandleFunc("POST /workspaces", s.page(workspaces.create))
	mux.HandleFunc("GET /workspaces/new", s.page(workspaces.new))
	mux.HandleFunc("GET /workspaces/{id}", s.page(workspaces.one))
	mux.HandleFunc("POST /workspaces/{id}", s.page(workspaces.update))
	mux.HandleFunc("GET /workspaces/{id}/edit", s.page(workspaces.edit))
	mux.HandleFunc("POST /workspaces/{id}/members", s.page(workspaces.addMember))
	mux.HandleFunc("POST /workspaces/{id}/removal", s.page(workspaces.removeMember))
	mux.HandleFunc("POST /workspaces/{id}/check", s.page(workspaces.check))
	mux.HandleFunc("POST /workspaces/{id}/deletion", s.page(workspaces.remove))

	profile := profilePages{s}
	mux.HandleFunc("GET /settings", s.page(profile.index))
	mux.HandleFunc("GET /settings/profile", s.page(profile.one))
	mux.HandleFunc("POST /settings/profile", s.page(profile.update))
	mux.HandleFunc("POST /settings/profile/password", s.page(profile.changePassword))
	mux.HandleFunc("POST /settings/profile/notices", s.page(profile.updateNotices))
	mux.HandleFunc("POST /settings/profile/webhook-secret", s.page(profile.renewWebhookSecret))
	mux.HandleFunc("POST /settings/profile/sign-outs", s.page(profile.endOtherLogins))
	mux.HandleFunc("POST /settings/profile/sign-outs/{id}", s.page(profile.endLogin))

	tokens := tokenPages{s}
	mux.HandleFunc("GET /settings/tokens", s.page(tokens.list))
	mux.HandleFunc("POST /settings/tokens", s.page(tokens.create))
	mux.HandleFunc("POST /settings/tokens/{id}/revocation", s.page(tokens.revoke))

	providers := providerPages{s}
	mux.HandleFunc("GET /settings/providers", s.page(providers.list))
	mux.HandleFunc("POST /settings/providers", s.page(providers.create))
	mux.HandleFunc("GET /settings/providers/new", s.page(providers.new))
	mux.HandleFunc("GET /settings/providers/{provider}", s.page(providers.one))
	mux.HandleFunc("POST /settings/providers/{provider}", s.page(providers.update))
	mux.HandleFunc("GET /settings/providers/{provider}/edit", s.page(providers.edit))
	mux.HandleFunc("POST /settings/providers/{provider}/enabled", s.page(providers.enable))
	mux.HandleFunc("POST /settings/providers/{provider}/models", s.page(providers.saveModels))
	mux.HandleFunc("POST /settings/providers/{provider}/trial", s.page(providers.try))
	mux.HandleFunc("POST /settings/providers/{provider}/resumption", s.page(providers.resume))
	mux.HandleFunc("POST /settings/providers/{provider}/deletion", s.page(providers.delete))

	usage := usagePages{s}
	isolation := isolationPages{s}
	toggles := togglePages{s}
	mux.HandleFunc("GET /settings/usage", s.page(usage.list))
	mux.HandleFunc("GET /settings/isolation", s.page(isolation.list))
	mux.HandleFunc("GET /settings/toggles", s.page(toggles.list))
	mux.HandleFunc("POST /settings/toggles", s.page(toggles.save))
	mux.HandleFunc("POST /settings/toggles/{key}/reset", s.page(toggles.reset))

	users := userPages{s}
	mux.HandleFunc("GET /settings/users", s.page(users.list))
	mux.HandleFunc("POST /settings/users", s.page(users.invite))
	mux.HandleFunc("GET /settings/users/new", s.page(users.new))
	mux.HandleFunc("GET /settings/users/{id}", s.page(users.one))
	mux.HandleFunc("POST /settings/users/{id}", s.page(users.update))
	mux.HandleFunc("POST /settings/users/{id}/roles", s.page(users.setRoles))
	mux.HandleFunc("POST /settings/users/{id}/invitation", s.page(users.renewInvitation))
	mux.HandleFunc("POST /settings/users/{id}/reset", s.page(users.resetPassword))
	mux.HandleFunc("POST /settings/users/{id}/address", s.page(users.renewAddressLink))
	mux.HandleFunc("POST /settings/users/{id}/deactivation", s.page(users.deactivate))
	mux.HandleFunc("POST /settings/users/{id}/activation", s.page(users.activate))
	mux.HandleFunc("POST /settings/users/{id}/unlinking", s.page(users.unlink))
	mux.HandleFunc("POST /settings/users/{id}/token-revocation", s.page(users.revokeTokens))
	mux.HandleFunc("POST /settings/users/{id}/memberships", s.page(users.changeMembership))
	mux.HandleFunc("POST /settings/users/{id}/transfer", s.page(users.handOver))

	roles := rolePages{s}
	mux.HandleFunc("GET /settings/roles", s.page(roles.list))
	mux.HandleFunc("POST /settings/roles", s.page(roles.create))
	mux.HandleFunc("GET /settings/roles/new", s.page(roles.new))
	mux.HandleFunc("GET /settings/roles/{id}", s.page(roles.one))
	mux.HandleFunc("POST /settings/roles/{id}", s.page(roles.update))
	mux.HandleFunc("POST /settings/roles/{id}/deletion", s.page(roles.delete))

	audit := auditPages{s}
	mux.HandleFunc("GET /settings/audit", s.page(audit.list))
	mux.HandleFunc("GET /settings/audit/export/{format}", s.page(audit.export))

	help := helpPages{s}
	mux.HandleFunc("GET /help", s.page(help.list))
	mux.HandleFunc("GET /help/{page}", s.page(help.manual))
	mux.HandleFunc("GET /help/permissions", s.page(roles.permissions))
	mux.HandleFunc("GET /help/api", s.page(help.api))
	mux.HandleFunc("GET /help/promises", s.page(help.promises))

	preferences := preferencePages{s}
	mux.HandleFunc("POST /preferences/theme", s.page(preferences.chooseTheme))
	mux.HandleFunc("POST /preferences/workspace", s.page(preferences.chooseWorkspace))
	if s.Gallery {
		mux.HandleFunc("GET /gallery", s.page(help.gallery))
	}
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

// Patterns are the routes of pages.
func Patterns() []string {
	var routes middleware.Routes
	(&Server{PublicURL: &url.URL{}}).Routes(&routes)
	return routes.Patterns()
}

// link is an address of this site in full.
func (s *Server) link(path string) string { return s.PublicURL.JoinPath(path).String() }
