package settings

import (
	"net/http"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/form"
	"carillon/app/web/page"
)

// preferencePages keep what a person chose for all pages.
type preferencePages struct{ *Pages }

func (s preferencePages) chooseWorkspace(w http.ResponseWriter, r *http.Request, _ account.Actor) error {
	c := &http.Cookie{
		Name: page.WorkspaceCookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: s.PublicURL.Scheme == "https", MaxAge: 365 * 24 * 3600,
	}
	if chosen := form.OptionalID(r.PostFormValue("workspace")); chosen != uuid.Nil {
		c.Value = chosen.String()
	} else {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
	http.Redirect(w, r, page.Back(r, "/"), http.StatusSeeOther)
	return nil
}

func (s preferencePages) chooseTheme(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	if err := s.Accounts.SetTheme(r.Context(), actor, r.PostFormValue("theme")); err != nil {
		return err
	}
	http.Redirect(w, r, page.Back(r, "/"), http.StatusSeeOther)
	return nil
}
