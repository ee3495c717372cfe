// Package web is the HTTP side of Carillon: it turns requests into operations of the rules, and their rows and errors
// into pages, fragments and answers. It decides nothing about automations.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/bot"
	"carillon/app/fault"
	"carillon/app/middleware"
	"carillon/app/web/page"
	"carillon/app/web/runs"
	"carillon/app/web/settings"
	"carillon/app/web/signin"
	"carillon/app/workflow"
	"carillon/db"
	"carillon/static"
	"carillon/views"
)

// Server answers requests. Its fields are set once, in main; Init prepares the rest.
type Server struct {
	page.Site
	SignIn    signin.Pages
	Runs      runs.Pages
	Settings  settings.Pages
	Workflows *workflow.Service
	Bots      *bot.Service
	// SincePass is how long ago the scheduler of this process completed a pass; nil where it has none.
	SincePass func() time.Duration
	Gallery   bool // serve the gallery of components, in development

	Metrics http.Handler // answers Prometheus; nil: nobody is answered
	// Envelope is the answer to a call of the HTTP trigger as its caller reads it.
	Envelope func(*automation.Answer) any
	// APIHelp is what the help says of the API, with its operations.
	APIHelp func() views.APIHelpPage

	// Refusals bounds the refusals that are written into the audit log, by person and address. Init makes it.
	Refusals *middleware.RateLimiter

	denialLimiter *middleware.RateLimiter  // pages that were refused and written down, by person and page
	migrated      *middleware.Shared[bool] // whether the database is
}

// Init prepares a Server for Handler and for Runs.Listen.
func (s *Server) Init() {
	s.Site.Init()
	s.SignIn.Init(&s.Site)
	s.Runs.Init(&s.Site)
	s.Settings.Init(&s.Site)
	s.denialLimiter = middleware.NewRateLimiter(rate.Every(time.Minute), 1)
	s.Refusals = middleware.NewRateLimiter(rate.Every(3*time.Second), 1000)
	s.migrated = &middleware.Shared[bool]{}
}

// Routes adds the addresses of pages: those of this package and of the packages under it. Actions are nouns; what a
// route needs beyond a sign-in is decided by the operation that it calls.
func (s *Server) Routes(mux *middleware.Routes) {
	mux.Handle("GET /static/", static.Handler())
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /readyz", s.ready)
	if s.Metrics != nil {
		mux.Handle("GET /metrics", s.Metrics)
	}

	mux.Programs("/api/", middleware.RefuseProgram)

	s.SignIn.Routes(mux)
	s.Runs.Routes(mux)
	s.Settings.Routes(mux)

	overview := overviewPages{s}
	mux.HandleFunc("GET /{$}", s.Page(overview.whole))
	mux.HandleFunc("GET /overview/now", s.Page(overview.now))

	automations := automationPages{s}
	deliveries := deliveryPages{s}
	mux.HandleFunc("GET /automations", s.Page(automations.list))
	mux.HandleFunc("POST /automations", s.Page(automations.create))
	mux.HandleFunc("GET /automations/new", s.Page(automations.new))
	mux.HandleFunc("POST /automations/bulk", s.Page(automations.bulk))
	mux.HandleFunc("GET /automations/schedule", s.Page(automations.schedule))
	mux.HandleFunc("GET /automations/moment", s.Page(automations.moment))
	mux.HandleFunc("POST /automations/placeholders", s.Page(automations.placeholders))
	mux.HandleFunc("GET /automations/models", s.Page(automations.models))
	mux.HandleFunc("GET /automations/parameters", s.Page(automations.workflowParameters))
	mux.HandleFunc("GET /automations/{id}", s.Page(automations.one))
	mux.HandleFunc("POST /automations/{id}", s.Page(automations.update))
	mux.HandleFunc("GET /automations/{id}/settings", s.Page(automations.settings))
	mux.HandleFunc("GET /automations/{id}/edit", s.Page(automations.edit))
	mux.HandleFunc("GET /automations/{id}/row", s.Page(automations.row))
	mux.HandleFunc("GET /automations/{id}/runs", s.Page(automations.askToRun))
	mux.HandleFunc("POST /automations/{id}/runs", s.Page(automations.run))
	mux.HandleFunc("POST /automations/{id}/enabled", s.Page(automations.enable))
	mux.HandleFunc("POST /automations/{id}/budget/{limit}", s.Page(automations.raiseBudget))
	mux.HandleFunc("POST /automations/{id}/token", s.Page(automations.regenerateToken))
	mux.HandleFunc("POST /automations/{id}/transfer", s.Page(automations.transfer))
	mux.HandleFunc("POST /automations/{id}/offer", s.Page(automations.answerOffer))
	mux.HandleFunc("GET /automations/{id}/deliveries", s.Page(deliveries.list))
	mux.HandleFunc("GET /automations/{id}/deliveries/{delivery}", s.Page(deliveries.one))
	mux.HandleFunc("POST /automations/{id}/deliveries/{delivery}/replays", s.Page(deliveries.replay))
	mux.HandleFunc("GET /automations/{id}/trial", s.Page(automations.trial))
	mux.HandleFunc("POST /automations/{id}/trial", s.Page(automations.trial))
	mux.HandleFunc("POST /automations/{id}/deletion", s.Page(automations.delete))

	inbox := inboxPages{s}
	mux.HandleFunc("GET /inbox", s.Page(inbox.list))
	mux.HandleFunc("GET /inbox/link", s.Page(inbox.link))
	mux.HandleFunc("POST /inbox/reading", s.Page(inbox.readAll))
	mux.HandleFunc("GET /inbox/{id}", s.Page(inbox.one))
	mux.HandleFunc("POST /inbox/{id}/reading", s.Page(inbox.read))
	mux.HandleFunc("POST /inbox/{id}/star", s.Page(inbox.star))
	mux.HandleFunc("POST /inbox/{id}/dismissal", s.Page(inbox.dismiss))

	tickets := ticketPages{s}
	mux.HandleFunc("GET /tickets", s.Page(tickets.list))
	mux.HandleFunc("POST /tickets", s.Page(tickets.create))
	mux.HandleFunc("GET /tickets/new", s.Page(tickets.new))
	mux.HandleFunc("GET /tickets/assignees", s.Page(tickets.assignees))
	mux.HandleFunc("GET /tickets/{id}", s.Page(tickets.one))
	mux.HandleFunc("POST /tickets/{id}", s.Page(tickets.update))
	mux.HandleFunc("GET /tickets/{id}/edit", s.Page(tickets.edit))
	mux.HandleFunc("POST /tickets/{id}/status", s.Page(tickets.move))
	mux.HandleFunc("POST /tickets/{id}/unlinking", s.Page(tickets.unlink))

	workflows := workflowPages{s}
	mux.HandleFunc("GET /workflows", s.Page(workflows.list))
	mux.HandleFunc("POST /workflows", s.Page(workflows.create))
	mux.HandleFunc("GET /workflows/new", s.Page(workflows.new))
	mux.HandleFunc("GET /workflows/{id}", s.Page(workflows.one))
	mux.HandleFunc("POST /workflows/{id}", s.Page(workflows.update))
	mux.HandleFunc("GET /workflows/{id}/edit", s.Page(workflows.edit))
	mux.HandleFunc("POST /workflows/{id}/copies", s.Page(workflows.duplicate))
	mux.HandleFunc("POST /workflows/{id}/deletion", s.Page(workflows.remove))

	bots := botPages{s}
	mux.HandleFunc("GET /bots", s.Page(bots.list))
	mux.HandleFunc("POST /bots", s.Page(bots.create))
	mux.HandleFunc("GET /bots/new", s.Page(bots.new))
	mux.HandleFunc("GET /bots/{id}", s.Page(bots.one))
	mux.HandleFunc("POST /bots/{id}", s.Page(bots.update))
	mux.HandleFunc("GET /bots/{id}/edit", s.Page(bots.edit))
	mux.HandleFunc("POST /bots/{id}/deletion", s.Page(bots.remove))

	workspaces := workspacePages{s}
	mux.HandleFunc("GET /workspaces", s.Page(workspaces.list))
	mux.HandleFunc("POST /workspaces", s.Page(workspaces.create))
	mux.HandleFunc("GET /workspaces/new", s.Page(workspaces.new))
	mux.HandleFunc("GET /workspaces/{id}", s.Page(workspaces.one))
	mux.HandleFunc("POST /workspaces/{id}", s.Page(workspaces.update))
	mux.HandleFunc("GET /workspaces/{id}/edit", s.Page(workspaces.edit))
	mux.HandleFunc("POST /workspaces/{id}/members", s.Page(workspaces.addMember))
	mux.HandleFunc("POST /workspaces/{id}/removal", s.Page(workspaces.removeMember))
	mux.HandleFunc("POST /workspaces/{id}/check", s.Page(workspaces.check))
	mux.HandleFunc("POST /workspaces/{id}/deletion", s.Page(workspaces.remove))

	help := helpPages{s}
	mux.HandleFunc("GET /help", s.Page(help.list))
	mux.HandleFunc("GET /help/{page}", s.Page(help.manual))
	mux.HandleFunc("GET /help/api", s.Page(help.api))
	mux.HandleFunc("GET /help/promises", s.Page(help.promises))

	if s.Gallery {
		mux.HandleFunc("GET /gallery", s.Page(help.gallery))
	}
}

// denied writes what a request was refused into the audit log. Of a page that asks for the same part again and again,
// it writes one line a minute, and of one person at one address a thousand at once, and then one every three seconds.
func (s *Server) denied(r *http.Request, refusals *account.Refusals) {
	actor, why, any := refusals.Take()
	if !any {
		return
	}
	asked := middleware.Method(r) + " " + middleware.Path(r)
	if r.Method == http.MethodGet && s.denialLimiter.Take(actor.ID.String()+" "+asked) > 0 {
		return
	}
	if s.Refusals.Take(actor.ID.String()+" "+s.Proxies.Address(r)) > 0 {
		return
	}
	// one does not get out of the log by hanging up
	ctx := db.WithTokenName(context.WithoutCancel(r.Context()), actor.TokenName)
	if err := s.Accounts.AuditDenied(ctx, actor, asked, why, s.Proxies.Address(r)); err != nil {
		s.Log.Error("write a refusal into the audit log", "request", middleware.RequestID(r), "err", err)
	}
}

// routed answers what the table has no route for: that the address takes other methods, or that there is nothing.
func (s *Server) routed(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		verdict := &verdict{header: http.Header{}}
		h.ServeHTTP(verdict, r)
		if verdict.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", verdict.header.Get("Allow"))
			s.Refuse(w, r, verdict.status, "Not available here", "This address does not answer to "+r.Method+".")
			return
		}
		s.Page(s.nowhere)(w, r)
	})
}

func (s *Server) nowhere(http.ResponseWriter, *http.Request, account.Actor) error {
	return fault.ErrNotFound
}

// verdict takes what ServeMux would answer by itself, which alone knows the methods of an address.
type verdict struct {
	header http.Header
	status int
}

func (v *verdict) Header() http.Header { return v.header }

func (v *verdict) WriteHeader(status int) { v.status = status }

func (v *verdict) Write(b []byte) (int, error) { return len(b), nil }

// HTTP is a server for the routes of all doors, with the time limits that untrusted clients need. Streams lift theirs.
func (s *Server) HTTP(routes *middleware.Routes) *http.Server {
	srv := &http.Server{
		Handler: s.Handler(routes), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
		WriteTimeout: 2 * time.Minute,
		IdleTimeout:  2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
	srv.RegisterOnShutdown(s.Runs.CloseStreams)
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
		s.Refuse(w, r, http.StatusForbidden, "Refused",
			"The request came from another site.")
	}))
	pages := s.Checked(protection.Handler(s.routed(&routes.ServeMux)))
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
			s.Refuse(w, r, http.StatusInternalServerError, page.OurFault, text)
		}}
	return access.Handler(middleware.SecurityHeaders(site, s.PublicURL.Scheme == "https"))
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

// Patterns are the routes of pages.
func Patterns() []string {
	var routes middleware.Routes
	(&Server{}).Routes(&routes)
	return routes.Patterns()
}
