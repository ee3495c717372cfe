package web

import (
	"net/http"

	"carillon/app/account"
	"carillon/views"
)

// userHandover offers to give a person's automations to somebody else.
func (s *Server) userHandover(r *http.Request, actor account.Actor, d *account.PersonDetail, p *views.UserPage) error {
	return nil
}
