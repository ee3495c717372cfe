package web

import (
	"net/http"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/form"
	"carillon/views"
)

// preferencePages keep what a person chose for all pages.
type preferencePages struct{ *Server }

// The workspace that lists are narrowed to is kept in a cookie of its own: it is a filter, no secret.
const workspaceCookie = "carillon-workspace"

func (s *Server) chosenWorkspace(r *http.Request) string {
	c, err := r.Cookie(workspaceCookie)
	if err != nil || form.OptionalID(c.Value) == uuid.Nil {
		return ""
	}
	return c.Value
}

// workspaceFilter is what a list is narrowed to: by its address, else by the choice kept.
func (s *Server) workspaceFilter(r *http.Request) string {
	if r.URL.Query().Has("workspace") {
		return r.FormValue("workspace")
	}
	return s.chosenWorkspace(r)
}

// workspaceField is the filter by workspace.
func (s *Server) workspaceField(r *http.Request, actor account.Actor, chosen uuid.UUID) (views.Field, error) {
	list, err := s.Rules.Workspaces(r.Context(), actor)
	if err != nil {
		return views.Field{}, err
	}
	f := views.Field{Name: "workspace", Label: "Workspace", Options: []views.Choice{{Label: "Workspace"}}}
	if chosen != uuid.Nil {
		f.Value = chosen.String()
	}
	for _, ws := range list {
		f.Options = append(f.Options, views.Choice{Value: ws.ID.String(), Label: ws.Name})
	}
	return f, nil
}

func (s preferencePages) chooseWorkspace(w http.ResponseWriter, r *http.Request, _ account.Actor) error {
	c := &http.Cookie{
		Name: workspaceCookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: s.PublicURL.Scheme == "https", MaxAge: 365 * 24 * 3600,
	}
	if chosen := form.OptionalID(r.PostFormValue("workspace")); chosen != uuid.Nil {
		c.Value = chosen.String()
	} else {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
	http.Redirect(w, r, back(r, "/"), http.StatusSeeOther)
	return nil
}

func (s preferencePages) chooseTheme(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	if err := s.Accounts.SetTheme(r.Context(), actor, r.PostFormValue("theme")); err != nil {
		return err
	}
	http.Redirect(w, r, back(r, "/"), http.StatusSeeOther)
	return nil
}
