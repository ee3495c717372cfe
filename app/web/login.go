package web

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/sessions"

	"carillon/app/account"
	"carillon/app/cron"
	"carillon/app/fault"
	"carillon/db"
	"carillon/views"
)

// loginPages are the pages that need no sign-in: signing in, single sign-on and the first set-up.
type loginPages struct{ *Server }

// cookieName is the one cookie: the login, and messages for the next page.
const cookieName = "carillon"

// cookie is a browser's cookie. One that cannot be read, after a change of keys or a forgery, is a new one.
func (s *Server) cookie(r *http.Request) *sessions.Session {
	c, _ := s.cookies.Get(r, cookieName)
	return c
}

// actor is the person signed in. It returns fault.ErrNotFound when nobody is.
func (s *Server) actor(r *http.Request) (account.Actor, error) {
	login, err := s.login(r)
	if err != nil {
		return account.Actor{}, fault.ErrNotFound
	}
	return s.Accounts.Actor(r.Context(), login)
}

// login is the id in the cookie.
func (s *Server) login(r *http.Request) (uuid.UUID, error) {
	text, _ := s.cookie(r).Values["login"].(string)
	return uuid.Parse(text)
}

// askToSignIn sends someone who is not signed in to the login page, and back afterwards. A form that was sent by then
// is kept in the answer, to be sent again: nothing that was typed is lost.
func (s *Server) askToSignIn(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("HX-Request") == "true" || strings.HasPrefix(r.Header.Get("Accept"), "text/event-stream") {
		s.render(w, r, http.StatusUnauthorized, views.ErrorFragment("You have been signed out. Sign in again.",
			views.Link{Text: "Sign in", URL: "/login"}))
		return
	}
	if r.Method == http.MethodPost && len(r.PostForm) > 0 {
		kept := views.KeptForm{Address: r.URL.RequestURI()}
		for _, name := range slices.Sorted(maps.Keys(r.PostForm)) {
			for _, v := range r.PostForm[name] {
				kept.Fields = append(kept.Fields, views.Value{Name: name, Value: v})
			}
		}
		s.render(w, r, http.StatusUnauthorized, views.SignedOut(views.Page{Title: "You were signed out"}, kept))
		return
	}
	next := "/"
	if r.Method == http.MethodGet {
		next = r.URL.RequestURI()
	}
	to := "/login"
	if next != "/" {
		to += "?next=" + url.QueryEscape(next)
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (s loginPages) form(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.actor(r); err == nil {
		return s.redirect(w, r, local(r.FormValue("next"), "/"), "")
	}
	done, err := s.Accounts.IsSetUp(r.Context())
	if err != nil {
		return err
	}
	f := s.fields(local(r.FormValue("next"), ""))
	if !done {
		f.Note = "Nobody has an account yet. Open the link that the server printed when it started."
	}
	return s.show(w, r, views.Login(views.Page{Title: "Sign in"}, f))
}

func (s loginPages) signIn(w http.ResponseWriter, r *http.Request) error {
	login, err := s.Accounts.SignIn(r.Context(), r.PostFormValue("email"), r.PostFormValue("password"),
		s.Proxies.Address(r), r.UserAgent())
	var throttled *account.Throttled
	switch {
	case errors.Is(err, account.ErrWrongCredentials):
		return s.formAgain(w, r, http.StatusUnprocessableEntity, "The e-mail address or the password is wrong.")
	case errors.As(err, &throttled):
		wait := max(throttled.Until.Sub(s.Now()), time.Second)
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		minutes := "a minute"
		if n := int(math.Ceil(wait.Minutes())); n > 1 {
			minutes = strconv.Itoa(n) + " minutes"
		}
		return s.formAgain(w, r, http.StatusTooManyRequests, "There were too many attempts. Try again in "+minutes+
			".")
	case err != nil:
		return err
	}
	if err := s.remember(w, r, login); err != nil {
		return err
	}
	http.Redirect(w, r, local(r.PostFormValue("next"), "/"), http.StatusSeeOther)
	return nil
}

func (s loginPages) formAgain(w http.ResponseWriter, r *http.Request, status int, wrong string) error {
	f := s.fields(local(r.PostFormValue("next"), ""))
	f.Email.Value, f.Wrong = r.PostFormValue("email"), wrong
	s.render(w, r, status, views.Login(views.Page{Title: "Sign in"}, f))
	return nil
}

// remember puts a new login into the cookie; an old one of this browser ends.
func (s *Server) remember(w http.ResponseWriter, r *http.Request, login *db.Login) error {
	if old, err := s.login(r); err == nil {
		if err := s.Accounts.SignOut(r.Context(), old); err != nil {
			return err
		}
	}
	c := s.cookie(r)
	clear(c.Values)
	c.Values["login"] = login.ID.String()
	return c.Save(r, w)
}

func (s loginPages) signOut(w http.ResponseWriter, r *http.Request) error {
	if login, err := s.login(r); err == nil {
		if err := s.Accounts.SignOut(r.Context(), login); err != nil {
			return err
		}
	}
	c := s.cookie(r)
	clear(c.Values)
	c.Options.MaxAge = -1
	if err := c.Save(r, w); err != nil {
		return err
	}
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// setupForm asks for the first administrator, of whoever has the one-time link.
func (s loginPages) setupForm(w http.ResponseWriter, r *http.Request) error {
	if err := s.maySetUp(r); err != nil {
		return err
	}
	f := views.NewSetupForm()
	f.Token, f.TimeZone.Suggest = r.FormValue("token"), cron.Zones()
	return s.show(w, r, views.Setup(views.Page{Title: "Set up"}, f))
}

func (s loginPages) maySetUp(r *http.Request) error {
	done, err := s.Accounts.IsSetUp(r.Context())
	if err != nil {
		return err
	}
	if done || !sameSecret(s.SetupToken, r.FormValue("token")) {
		return fault.ErrNotFound
	}
	return nil
}

func (s loginPages) setUp(w http.ResponseWriter, r *http.Request) error {
	if err := s.maySetUp(r); err != nil {
		return err
	}
	in := account.NewUser{
		Email: r.PostFormValue("email"), Name: r.PostFormValue("name"), Password: r.PostFormValue("password"),
		TimeZone: strings.TrimSpace(r.PostFormValue("time_zone")),
	}
	_, err := s.Accounts.Setup(r.Context(), in)
	var invalid fault.Invalid
	switch {
	case errors.Is(err, account.ErrSetUp):
		return fault.ErrNotFound
	case errors.As(err, &invalid):
		f := views.NewSetupForm()
		f.Token = r.FormValue("token")
		f.Name.Value, f.Email.Value = in.Name, in.Email
		f.TimeZone.Suggest = cron.Zones()
		f.TimeZone = f.TimeZone.Typed(in.TimeZone, invalid["time_zone"])
		f.Name.Error, f.Email.Error, f.Password.Error = invalid["name"], invalid["email"], invalid["password"]
		s.render(w, r, http.StatusUnprocessableEntity, views.Setup(views.Page{Title: "Set up"}, f))
		return nil
	case err != nil:
		return err
	}
	login, err := s.Accounts.SignIn(r.Context(), in.Email, in.Password, s.Proxies.Address(r), r.UserAgent())
	var throttled *account.Throttled
	switch {
	case errors.As(err, &throttled): // others guessed from this address; the account is there all the same
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return nil
	case err != nil:
		return err
	}
	if err := s.remember(w, r, login); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// flash keeps a message for the next page, beside the newest one already kept. A cookie holds 4 KB: a message that does
// not fit is dropped, since what it tells of has been done.
func (s *Server) flash(w http.ResponseWriter, r *http.Request, t views.Toast) error {
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	c := s.cookie(r)
	if kept := c.Flashes(); len(kept) > 0 {
		c.AddFlash(kept[len(kept)-1])
	}
	c.AddFlash(string(text))
	if c.Save(r, w) == nil {
		return nil
	}
	c.Flashes()
	return c.Save(r, w)
}

// flashed takes the messages kept for this page.
func (s *Server) flashed(w http.ResponseWriter, r *http.Request) []views.Toast {
	c := s.cookie(r)
	kept := c.Flashes()
	if len(kept) == 0 {
		return nil
	}
	if err := c.Save(r, w); err != nil {
		s.Log.Warn("save cookie", "err", err)
	}
	var list []views.Toast
	for _, k := range kept {
		var t views.Toast
		if text, ok := k.(string); ok && json.Unmarshal([]byte(text), &t) == nil {
			list = append(list, t)
		}
	}
	return list
}
