package signin

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/sessions"

	"carillon/app/account"
	"carillon/app/middleware"
	"carillon/app/sso"
	"carillon/app/web/page"
	"carillon/db"
	"carillon/views"
)

// attemptCookie keeps an attempt to sign in by single sign-on in the browser that began it.
const attemptCookie = "carillon-sign-on"

// attemptTime is how long somebody may take at the provider.
const attemptTime = 10 * time.Minute

const signOnPath = "/login/sso"

// newAttempts makes the store of the cookie of attempts. It is Lax: the provider sends the browser back from another
// site.
func (s *Pages) newAttempts() *sessions.CookieStore {
	store := sessions.NewCookieStore(s.Keys.Cookies()...)
	store.Options = &sessions.Options{
		Path: signOnPath, MaxAge: int(attemptTime / time.Second), HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: s.PublicURL.Scheme == "https",
	}
	store.MaxAge(store.Options.MaxAge)
	return store
}

// attempt is what the cookie holds.
type attempt struct {
	sso.Attempt
	Next  string    `json:"next"` // where to go on to
	Until time.Time `json:"until"`
}

// fields is the sign-in with the ways that there are.
func (s loginPages) fields(next string) views.LoginForm {
	f := views.NewLoginForm()
	f.Next = next
	if s.SignOn != nil {
		f.Providers = []views.Link{{Text: s.SignOnName, URL: signOnURL(next)}}
	}
	return f
}

func signOnURL(next string) string {
	if next == "" {
		return signOnPath
	}
	return signOnPath + "?" + url.Values{"next": {next}}.Encode()
}

// beginSignOn sends the browser to the provider. It is a link and no form: the policy forbids forms that lead
// elsewhere, by redirects too.
func (s loginPages) beginSignOn(w http.ResponseWriter, r *http.Request) error {
	next := page.Local(r.FormValue("next"), "")
	if s.SignOn == nil {
		return s.Redirect(w, r, "/login", "")
	}
	if _, err := s.Actor(r); err == nil {
		return s.Redirect(w, r, page.Local(next, "/"), "")
	}
	a := attempt{Attempt: sso.NewAttempt(), Next: next, Until: s.Now().Add(attemptTime)}
	to, err := s.SignOn.URL(r.Context(), s.signOnBack(), a.Attempt)
	if err != nil {
		s.Log.Warn("begin a single sign-on", "request", middleware.RequestID(r), "err", err)
		return s.signOnFailed(w, r, http.StatusBadGateway, next, unreachable)
	}
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	c, _ := s.attempts.New(r, attemptCookie) // an old one, of another tab, is over
	clear(c.Values)
	c.Values["attempt"] = string(text)
	if err := c.Save(r, w); err != nil { // too long an address to go on to
		a.Next = ""
		if text, err = json.Marshal(a); err != nil {
			return err
		}
		c.Values["attempt"] = string(text)
		if err := c.Save(r, w); err != nil {
			return err
		}
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

const (
	unreachable = "The sign-on provider does not answer. Try again in a moment, or use your password."
	notConfirm  = "The sign-on provider did not confirm this sign-in. Start again."
	notBegun    = "This sign-in was not started in this browser, took too long, or is already finished. Start again."
)

// signOnBack is the address to which the provider sends browsers back, which it must know.
func (s loginPages) signOnBack() string { return s.PublicURL.JoinPath(signOnPath, "callback").String() }

// finishSignOn takes a browser that comes back from the provider.
func (s loginPages) finishSignOn(w http.ResponseWriter, r *http.Request) error {
	if s.SignOn == nil {
		return s.Redirect(w, r, "/login", "")
	}
	query := r.URL.Query()
	a, err := s.takeAttempt(w, r, query.Get("state"))
	if err != nil {
		return err
	}
	if a == nil {
		return s.signOnFailed(w, r, http.StatusBadRequest, "", notBegun)
	}
	if said := query.Get("error"); said != "" {
		s.Log.Info("the sign-on provider refused", "request", middleware.RequestID(r), "error",
			db.Printable(said, 100), "description", db.Printable(query.Get("error_description"), 500))
		if said == "access_denied" {
			return s.signOnFailed(w, r, http.StatusForbidden, a.Next,
				"You were not signed in: the provider says that it was denied.")
		}
		return s.signOnFailed(w, r, http.StatusBadGateway, a.Next, notConfirm)
	}
	if by := query.Get("iss"); by != "" && by != s.SignOn.Issuer {
		return s.signOnFailed(w, r, http.StatusBadRequest, a.Next,
			"This answer came from another provider. Start again.")
	}
	who, err := s.SignOn.Exchange(r.Context(), s.signOnBack(), query.Get("code"), a.Attempt)
	if err != nil {
		s.Log.Warn("finish a single sign-on", "request", middleware.RequestID(r), "err", err)
		switch {
		case errors.Is(err, sso.ErrRefused):
			return s.signOnFailed(w, r, http.StatusBadRequest, a.Next, notConfirm)
		case errors.Is(err, sso.ErrUntrusted):
			return s.signOnFailed(w, r, http.StatusBadGateway, a.Next,
				"The answer of the sign-on provider is not valid, so you were not signed in. Tell an administrator "+
					"if this happens again.")
		}
		return s.signOnFailed(w, r, http.StatusBadGateway, a.Next, unreachable)
	}
	login, err := s.Accounts.SignInExternal(r.Context(), account.ExternalIdentity{
		Issuer: s.SignOn.Issuer, Subject: who.Subject, Email: who.Email, EmailVerified: who.EmailVerified,
		Name: who.Name, Groups: who.Groups, GroupsKnown: who.GroupsKnown,
	}, s.Proxies.Address(r), r.UserAgent())
	var refused *account.NotAdmitted
	if errors.As(err, &refused) {
		s.Log.Info("a person of the sign-on provider is not let in", "request", middleware.RequestID(r), "subject",
			who.Subject, "reason", refused.Reason)
		return s.signOnFailed(w, r, http.StatusForbidden, a.Next, refused.Reason)
	}
	if err != nil {
		return err
	}
	if err := s.remember(w, r, login); err != nil {
		return err
	}
	http.Redirect(w, r, page.Local(a.Next, "/"), http.StatusSeeOther)
	return nil
}

// takeAttempt reads the attempt of a state from the cookie and removes it: it serves once. It is nil when there is none
// that holds; another attempt, begun in another tab, stays.
func (s loginPages) takeAttempt(w http.ResponseWriter, r *http.Request, state string) (*attempt, error) {
	c, _ := s.attempts.New(r, attemptCookie)
	text, _ := c.Values["attempt"].(string)
	var a attempt
	if json.Unmarshal([]byte(text), &a) != nil || !sameSecret(a.State, state) {
		return nil, nil
	}
	clear(c.Values)
	c.Options.MaxAge = -1
	if err := c.Save(r, w); err != nil {
		return nil, err
	}
	if !s.Now().Before(a.Until) {
		return nil, nil
	}
	return &a, nil
}

// signOnFailed shows the sign-in again, with the reason.
func (s loginPages) signOnFailed(w http.ResponseWriter, r *http.Request, status int, next, wrong string) error {
	f := s.fields(next)
	f.Wrong = wrong
	s.Render(w, r, status, views.Login(views.Page{Title: "Sign in"}, f))
	return nil
}
