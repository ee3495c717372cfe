package signin

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"carillon/app/account"
	"carillon/app/cron"
	"carillon/app/fault"
	"carillon/app/web/page"
	"carillon/views"
)

// loginPages are the pages that need no sign-in: signing in, single sign-on and the first set-up.
type loginPages struct{ *Pages }

func (s loginPages) form(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.Actor(r); err == nil {
		return s.Redirect(w, r, page.Local(r.FormValue("next"), "/"), "")
	}
	done, err := s.Accounts.IsSetUp(r.Context())
	if err != nil {
		return err
	}
	f := s.fields(page.Local(r.FormValue("next"), ""))
	if !done {
		f.Note = "Nobody has an account yet. Open the link that the server printed when it started."
	}
	return s.Show(w, r, views.Login(views.Page{Title: "Sign in"}, f))
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
	http.Redirect(w, r, page.Local(r.PostFormValue("next"), "/"), http.StatusSeeOther)
	return nil
}

func (s loginPages) formAgain(w http.ResponseWriter, r *http.Request, status int, wrong string) error {
	f := s.fields(page.Local(r.PostFormValue("next"), ""))
	f.Email.Value, f.Wrong = r.PostFormValue("email"), wrong
	s.Render(w, r, status, views.Login(views.Page{Title: "Sign in"}, f))
	return nil
}

func (s loginPages) signOut(w http.ResponseWriter, r *http.Request) error {
	if login, err := s.LoginID(r); err == nil {
		if err := s.Accounts.SignOut(r.Context(), login); err != nil {
			return err
		}
	}
	c := s.Cookie(r)
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
	return s.Show(w, r, views.Setup(views.Page{Title: "Set up"}, f))
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
		s.Render(w, r, http.StatusUnprocessableEntity, views.Setup(views.Page{Title: "Set up"}, f))
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
