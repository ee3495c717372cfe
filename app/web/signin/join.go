package signin

import (
	"errors"
	"net/http"
	"strings"

	"carillon/app/account"
	"carillon/app/cron"
	"carillon/app/fault"
	"carillon/views"
)

// joinPages are the pages to which links of invitations and of resets lead.
type joinPages struct{ *Pages }

// form asks the person of a link for a password. Looking at it does not use the link up: programs follow links in
// messages before people do.
func (s joinPages) form(w http.ResponseWriter, r *http.Request) error {
	j, err := s.Accounts.Joining(r.Context(), r.PathValue("token"))
	if err != nil {
		return s.deadLink(w, r, err)
	}
	s.showForm(w, r, http.StatusOK, j, func(f *views.JoinForm) { f.Name.Value = j.Name })
	return nil
}

func (s joinPages) showForm(w http.ResponseWriter, r *http.Request, status int, j *account.Joining,
	fill func(*views.JoinForm)) {
	f := views.NewJoinForm()
	f.Address, f.Invites, f.Email.Value = views.JoinURL(r.PathValue("token")), j.Invites, j.Email
	if j.Confirms {
		s.Render(w, r, status, views.ConfirmAddress(views.Page{Title: "Confirm your address"}, f.Address, j.Name,
			j.Email))
		return
	}
	f.Password.Autofocus, f.TimeZone.Suggest = !j.Invites, cron.Zones()
	fill(&f)
	s.Render(w, r, status, views.Join(views.Page{Title: "Choose a password"}, f))
}

// deadLink says of every link that does not work the same.
func (s joinPages) deadLink(w http.ResponseWriter, r *http.Request, err error) error {
	if !errors.Is(err, fault.ErrNotFound) {
		return err
	}
	s.Render(w, r, http.StatusNotFound, views.BlankErrorPage(views.Page{Title: "Not found"}, "This link does not work",
		"It was used, it expired, or it was replaced by a newer link. Ask an administrator for another link."))
	return nil
}

func (s joinPages) join(w http.ResponseWriter, r *http.Request) error {
	token := r.PathValue("token")
	if j, err := s.Accounts.Joining(r.Context(), token); err == nil && j.Confirms {
		if err := s.Accounts.ConfirmAddressByLink(r.Context(), token, s.Proxies.Address(r)); err != nil {
			return s.deadLink(w, r, err)
		}
		s.Render(w, r, http.StatusOK, views.BlankErrorPage(views.Page{Title: "Confirmed"}, "Your address is confirmed",
			"Mail of Carillon for you goes to "+j.Email+" now, and a single sign-on finds your account by it."))
		return nil
	}
	in := account.JoinInput{
		Name: r.PostFormValue("name"), Password: r.PostFormValue("password"),
		TimeZone: strings.TrimSpace(r.PostFormValue("time_zone")),
	}
	login, err := s.Accounts.Join(r.Context(), token, in, s.Proxies.Address(r), r.UserAgent())
	var bad fault.Invalid
	if errors.As(err, &bad) {
		j, err := s.Accounts.Joining(r.Context(), token)
		if err != nil {
			return s.deadLink(w, r, err)
		}
		s.showForm(w, r, http.StatusUnprocessableEntity, j, func(f *views.JoinForm) {
			f.Name.Value, f.Name.Error, f.Password.Error = in.Name, bad["name"], bad["password"]
			f.TimeZone = f.TimeZone.Typed(in.TimeZone, bad["time_zone"])
		})
		return nil
	}
	if err != nil {
		return s.deadLink(w, r, err)
	}
	if err := s.remember(w, r, login); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}
