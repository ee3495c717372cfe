// Package page is what the pages of all packages share: who is signed in, the frame round a page, messages for the next
// page, answers and errors, forms that come back merged with what was saved meanwhile, and lists that are turned over.
// It knows no page.
package page

import (
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/sessions"

	"carillon/app/account"
	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/inbox"
	"carillon/app/middleware"
	"carillon/app/provider"
	"carillon/app/secret"
	"carillon/app/ticket"
	"carillon/app/toggle"
	"carillon/app/workspace"
	"carillon/db"
)

// Site is what every page works with. Its fields are set once, in main; Init prepares the rest.
type Site struct {
	DB            *db.DB
	Accounts      *account.Service
	Rules         *automation.Service
	Inbox         *inbox.Service
	Tickets       *ticket.Service
	Toggles       *toggle.Service
	Workspaces    *workspace.Service
	ProviderRules *provider.Service
	Keys          *secret.Keys
	Providers     func() []agent.Provider
	// Found says what is installed of a provider on the workers, the best of it, as far as it is known yet; nil:
	// everything counts as there.
	Found func(id string) (agent.Found, bool)
	// Workers lists the workers that live, with what each has found; nil: everything counts as there.
	Workers   func() []db.Worker
	PublicURL *url.URL // base of links, and what decides whether cookies are Secure
	Proxies   middleware.Proxies
	Now       func() time.Time
	Log       *slog.Logger

	cookies *sessions.CookieStore
}

// Init prepares the cookies.
func (s *Site) Init() {
	s.cookies = sessions.NewCookieStore(s.Keys.Cookies()...)
	s.cookies.Options = &sessions.Options{
		Path: "/", MaxAge: int(account.LoginLifetime / time.Second), HttpOnly: true,
		SameSite: http.SameSiteLaxMode, Secure: s.PublicURL.Scheme == "https",
	}
	// Options alone would leave the codecs accepting cookies of 30 days.
	s.cookies.MaxAge(s.cookies.Options.MaxAge)
}

// Link is an address of this site in full.
func (s *Site) Link(path string) string { return s.PublicURL.JoinPath(path).String() }
