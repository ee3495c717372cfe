package page

import (
	"encoding/json"
	"net/http"

	"github.com/google/uuid"
	"github.com/gorilla/sessions"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/views"
)

// cookieName is the one cookie: the login, and messages for the next page.
const cookieName = "carillon"

// Cookie is a browser's cookie. One that cannot be read, after a change of keys or a forgery, is a new one.
func (s *Site) Cookie(r *http.Request) *sessions.Session {
	c, _ := s.cookies.Get(r, cookieName)
	return c
}

// Actor is the person signed in. It returns fault.ErrNotFound when nobody is.
func (s *Site) Actor(r *http.Request) (account.Actor, error) {
	login, err := s.LoginID(r)
	if err != nil {
		return account.Actor{}, fault.ErrNotFound
	}
	return s.Accounts.Actor(r.Context(), login)
}

// LoginID is the id in the cookie.
func (s *Site) LoginID(r *http.Request) (uuid.UUID, error) {
	text, _ := s.Cookie(r).Values["login"].(string)
	return uuid.Parse(text)
}

// Flash keeps a message for the next page, beside the newest one already kept. A cookie holds 4 KB: a message that does
// not fit is dropped, since what it tells of has been done.
func (s *Site) Flash(w http.ResponseWriter, r *http.Request, t views.Toast) error {
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	c := s.Cookie(r)
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
func (s *Site) flashed(w http.ResponseWriter, r *http.Request) []views.Toast {
	c := s.Cookie(r)
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
