// Package signin has the pages that need no sign-in: signing in by a password or by single sign-on, the first set-up,
// and the pages to which links of invitations and of resets lead.
package signin

import (
	"crypto/subtle"
	"net/http"

	"github.com/gorilla/sessions"

	"carillon/app/middleware"
	"carillon/app/sso"
	"carillon/app/web/page"
	"carillon/db"
)

// Pages are the pages that need no sign-in. The fields that main sets are set once; Init prepares the rest.
type Pages struct {
	*page.Site
	// SetupToken is the secret of the one-time link that makes the first administrator.
	SetupToken string
	// SignOn is the provider of single sign-on; nil: there is none. SignOnName is what its button says.
	SignOn     *sso.Provider
	SignOnName string

	attempts *sessions.CookieStore // of signing in by single sign-on
}

// Init prepares the pages for a site.
func (s *Pages) Init(site *page.Site) {
	s.Site = site
	s.attempts = s.newAttempts()
}

// Routes adds the addresses of the pages.
func (s *Pages) Routes(mux *middleware.Routes) {
	login := loginPages{s}
	mux.HandleFunc("GET /login", s.Open(login.form))
	mux.HandleFunc("POST /login", s.Open(login.signIn))
	mux.HandleFunc("GET /login/sso", s.Open(login.beginSignOn))
	mux.HandleFunc("GET /login/sso/callback", s.Open(login.finishSignOn))
	mux.HandleFunc("GET /setup", s.Open(login.setupForm))
	mux.HandleFunc("POST /setup", s.Open(login.setUp))
	mux.HandleFunc("POST /logout", s.Open(login.signOut))

	join := joinPages{s}
	mux.HandleFunc("GET /join/{token}", s.Open(join.form))
	mux.HandleFunc("POST /join/{token}", s.Open(join.join))
}

// remember puts a new login into the cookie; an old one of this browser ends.
func (s *Pages) remember(w http.ResponseWriter, r *http.Request, login *db.Login) error {
	if old, err := s.LoginID(r); err == nil {
		if err := s.Accounts.SignOut(r.Context(), old); err != nil {
			return err
		}
	}
	c := s.Cookie(r)
	clear(c.Values)
	c.Values["login"] = login.ID.String()
	return c.Save(r, w)
}

// sameSecret compares in constant time.
func sameSecret(a, b string) bool {
	return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
