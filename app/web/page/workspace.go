package page

import (
	"net/http"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/form"
	"carillon/views"
)

// WorkspaceCookie keeps the workspace that lists are narrowed to. It is a cookie of its own: a filter, no secret.
const WorkspaceCookie = "carillon-workspace"

// ChosenWorkspace is the id of the workspace that a person narrowed all lists to, or empty.
func (s *Site) ChosenWorkspace(r *http.Request) string {
	c, err := r.Cookie(WorkspaceCookie)
	if err != nil || form.OptionalID(c.Value) == uuid.Nil {
		return ""
	}
	return c.Value
}

// WorkspaceFilter is what a list is narrowed to: by its address, else by the choice kept.
func (s *Site) WorkspaceFilter(r *http.Request) string {
	if r.URL.Query().Has("workspace") {
		return r.FormValue("workspace")
	}
	return s.ChosenWorkspace(r)
}

// WorkspaceField is the filter by workspace.
func (s *Site) WorkspaceField(r *http.Request, actor account.Actor, chosen uuid.UUID) (views.Field, error) {
	list, err := s.Workspaces.List(r.Context(), actor)
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
