package page

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/middleware"
	"carillon/app/workflow"
	"carillon/db"
	"carillon/views"
)

// Handler answers a signed-in person.
type Handler func(w http.ResponseWriter, r *http.Request, actor account.Actor) error

// Page makes a handler that needs a sign-in. It is, with Open, the one place where an error becomes an answer for
// people.
func (s *Site) Page(h Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		actor, err := s.Actor(r)
		switch {
		case errors.Is(err, fault.ErrNotFound):
			s.askToSignIn(w, r)
			return
		case err != nil:
			s.Fail(w, r, err)
			return
		}
		if err := h(w, r, actor); err != nil {
			if errors.Is(err, fault.ErrForbidden) {
				account.RecordRefusal(r.Context(), actor, "lacks the permission")
			}
			s.Fail(w, r, err)
		}
	}
}

// Open makes a handler that needs no sign-in.
func (s *Site) Open(h func(w http.ResponseWriter, r *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.Fail(w, r, err)
		}
	}
}

// Fail answers an error.
func (s *Site) Fail(w http.ResponseWriter, r *http.Request, err error) {
	var invalid fault.Invalid
	var busy *automation.Busy
	var unable *automation.Unable
	var missing *workflow.MissingParameter
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, fault.ErrNotFound):
		s.Refuse(w, r, http.StatusNotFound, "Not found", "There is nothing here, or you may not see it.")
	case errors.Is(err, fault.ErrForbidden):
		s.Refuse(w, r, http.StatusForbidden, "Not allowed",
			"You may not do this. Ask an administrator for the permission.")
	case errors.Is(err, fault.ErrStale):
		s.Refuse(w, r, http.StatusConflict, "Changed meanwhile",
			"Someone else saved this while you had it open. Reload the page.")
	case errors.As(err, &invalid):
		s.Refuse(w, r, http.StatusBadRequest, "This could not be accepted", Sentences(invalid))
	case errors.As(err, &busy):
		s.refuseWith(w, r, http.StatusConflict, "A run is in flight",
			fault.Sentence(busy.Error()+", so no other was started"),
			views.Link{Text: "See the session", URL: views.SessionURL(busy.Session.String())})
	case errors.As(err, &unable):
		s.refuseWith(w, r, http.StatusBadRequest, "It cannot run", "“"+unable.Automation+"” cannot run: "+unable.Reason+
			".",
			views.Link{Text: "See the execution", URL: views.ExecutionURL(unable.Execution.String())})
	case errors.As(err, &missing), errors.Is(err, automation.ErrTooLarge):
		s.Refuse(w, r, http.StatusBadRequest, "This could not be accepted", "It was not started: "+err.Error()+".")
	case errors.As(err, &tooLarge):
		s.Refuse(w, r, http.StatusRequestEntityTooLarge, "Too large",
			fmt.Sprintf("A form holds at most %d MiB.", tooLarge.Limit>>20))
	case errors.Is(err, errForm):
		s.Refuse(w, r, http.StatusBadRequest, "This could not be accepted", "The form could not be read: "+err.Error()+
			".")
	case r.Context().Err() != nil:
		w.WriteHeader(499) // the person has gone; nobody reads this
	case db.IsUnavailable(err):
		s.Log.Error("answer request", "method", middleware.Method(r), "path", middleware.Path(r), "request",
			middleware.RequestID(r), "err", err)
		w.Header().Set("Retry-After", middleware.AwaySeconds)
		s.Refuse(w, r, http.StatusServiceUnavailable, "The database is not available", middleware.AwayText)
	default:
		s.Log.Error("answer request", "method", middleware.Method(r), "path", middleware.Path(r), "request",
			middleware.RequestID(r), "err", err)
		s.Refuse(w, r, http.StatusInternalServerError, OurFault, "It was noted as "+middleware.RequestID(r)+
			". Try again in a moment.")
	}
}

// OurFault is the title of what failed on our side.
const OurFault = "Something went wrong on our side"

// Sentences are mistakes as one text, always in the same order.
func Sentences(bad fault.Invalid) string {
	var list []string
	for _, field := range slices.Sorted(maps.Keys(bad)) {
		list = append(list, bad[field])
	}
	return strings.Join(list, " ")
}

// Refuse says no, with a sentence.
func (s *Site) Refuse(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	s.refuseWith(w, r, status, title, text, views.Link{})
}

// refuseWith says no: to htmx with a message that app.js shows, else with a page.
func (s *Site) refuseWith(w http.ResponseWriter, r *http.Request, status int, title, text string, link views.Link) {
	if IsFragment(r) || r.Header.Get("HX-Request") == "true" {
		s.Render(w, r, status, views.ErrorFragment(text, link))
		return
	}
	p := views.Page{Title: title, Path: r.URL.Path}
	if status == http.StatusServiceUnavailable { // what surrounds the page cannot be read either
		s.Render(w, r, status, views.BlankErrorPage(p, title, text))
		return
	}
	if actor, err := s.Actor(r); err == nil {
		if frame, err := s.frame(w, r, actor, "", title); err == nil {
			if link.URL != "" {
				frame.Toasts = append(frame.Toasts, views.Toast{Kind: "fail", Text: text, Link: link})
			}
			s.Render(w, r, status, views.ErrorPage(frame, title, text))
			return
		}
	}
	s.Render(w, r, status, views.BlankErrorPage(p, title, text))
}

// IsFragment reports whether htmx asks for a part of a page.
func IsFragment(r *http.Request) bool { return r.Header.Get("HX-Request-Type") == "partial" }

// Render writes a component whole or not at all: half a page with status 200 would be a lie.
func (s *Site) Render(w http.ResponseWriter, r *http.Request, status int, c templ.Component) {
	var b bytes.Buffer
	if err := c.Render(r.Context(), &b); err != nil {
		if r.Context().Err() != nil {
			return // the reader has gone
		}
		s.Log.Error("render", "path", middleware.Path(r), "request", middleware.RequestID(r), "err", err)
		http.Error(w, "Something went wrong on our side.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(stamped(r, b.Bytes()))
}

// Show renders a page or a part of one.
func (s *Site) Show(w http.ResponseWriter, r *http.Request, c templ.Component) error {
	s.Render(w, r, http.StatusOK, c)
	return nil
}

// Redirect sends the browser on, by htmx or not, with a message there, unless it is empty.
func (s *Site) Redirect(w http.ResponseWriter, r *http.Request, to, message string) error {
	if message != "" {
		if err := s.Flash(w, r, views.Toast{Kind: "ok", Text: message}); err != nil {
			return err
		}
	}
	if IsFragment(r) {
		w.Header().Set("HX-Redirect", to)
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// Back is where a person came from, if that is a page of ours.
func Back(r *http.Request, otherwise string) string { return Local(r.FormValue("back"), otherwise) }

// Local lets only addresses of this site through: no scheme, no host, and none of the spellings that browsers take for
// one.
func Local(address, otherwise string) string {
	if !strings.HasPrefix(address, "/") || strings.HasPrefix(address, "//") ||
		strings.ContainsAny(address, "\\\r\n\t") {
		return otherwise
	}
	return address
}

// Join renders components one after the other.
func Join(list ...templ.Component) templ.Component {
	return templ.ComponentFunc(func(ctx context.Context, w io.Writer) error {
		for _, c := range list {
			if err := c.Render(ctx, w); err != nil {
				return err
			}
		}
		return nil
	})
}

// askToSignIn sends someone who is not signed in to the login page, and back afterwards. A form that was sent by then
// is kept in the answer, to be sent again: nothing that was typed is lost.
func (s *Site) askToSignIn(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("HX-Request") == "true" || strings.HasPrefix(r.Header.Get("Accept"), "text/event-stream") {
		s.Render(w, r, http.StatusUnauthorized, views.ErrorFragment("You have been signed out. Sign in again.",
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
		s.Render(w, r, http.StatusUnauthorized, views.SignedOut(views.Page{Title: "You were signed out"}, kept))
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
