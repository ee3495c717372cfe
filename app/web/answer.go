package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/a-h/templ"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/middleware"
	"carillon/app/workflow"
	"carillon/db"
	"carillon/views"
)

// maxForm is the most bytes of a form. It is far above what any field may hold, so that a text that is too long comes
// back to its form with a sentence about it, and is not lost.
const maxForm = 16 << 20

// maxStrangersForm is the same of a browser that has no cookie of a sign-in: a form takes several times its size in
// memory, and anybody may send one.
const maxStrangersForm = 2 << 20

// handler answers a signed-in person.
type handler func(w http.ResponseWriter, r *http.Request, actor account.Actor) error

// page makes a handler that needs a sign-in. It is, with open, the one place where an error becomes an answer for
// people.
func (s *Server) page(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		actor, err := s.actor(r)
		switch {
		case errors.Is(err, fault.ErrNotFound):
			s.askToSignIn(w, r)
			return
		case err != nil:
			s.fail(w, r, err)
			return
		}
		if err := h(w, r, actor); err != nil {
			if errors.Is(err, fault.ErrForbidden) {
				account.RecordRefusal(r.Context(), actor, "lacks the permission")
			}
			s.fail(w, r, err)
		}
	}
}

// denied writes what a request was refused into the audit log. Of a page that asks for the same part again and again,
// it writes one line a minute, and of one person at one address a thousand at once, and then one every three seconds.
func (s *Server) denied(r *http.Request, refusals *account.Refusals) {
	actor, why, any := refusals.Take()
	if !any {
		return
	}
	asked := middleware.Method(r) + " " + middleware.Path(r)
	if r.Method == http.MethodGet && s.denialLimiter.Take(actor.ID.String()+" "+asked) > 0 {
		return
	}
	if s.refusals.Take(actor.ID.String()+" "+s.Proxies.Address(r)) > 0 {
		return
	}
	// one does not get out of the log by hanging up
	ctx := db.WithTokenName(context.WithoutCancel(r.Context()), actor.TokenName)
	if err := s.Accounts.AuditDenied(ctx, actor, asked, why, s.Proxies.Address(r)); err != nil {
		s.Log.Error("write a refusal into the audit log", "request", middleware.RequestID(r), "err", err)
	}
}

// routed answers what the table has no route for: that the address takes other methods, or that there is nothing.
func (s *Server) routed(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		verdict := &verdict{header: http.Header{}}
		h.ServeHTTP(verdict, r)
		if verdict.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", verdict.header.Get("Allow"))
			s.refuse(w, r, verdict.status, "Not available here", "This address does not answer to "+r.Method+".")
			return
		}
		s.page(s.nowhere)(w, r)
	})
}

func (s *Server) nowhere(http.ResponseWriter, *http.Request, account.Actor) error {
	return fault.ErrNotFound
}

// verdict takes what ServeMux would answer by itself, which alone knows the methods of an address.
type verdict struct {
	header http.Header
	status int
}

func (v *verdict) Header() http.Header         { return v.header }
func (v *verdict) WriteHeader(status int)      { v.status = status }
func (v *verdict) Write(b []byte) (int, error) { return len(b), nil }

// open makes a handler that needs no sign-in.
func (s *Server) open(h func(w http.ResponseWriter, r *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	}
}

// fail answers an error.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var invalid fault.Invalid
	var busy *automation.Busy
	var unable *automation.Unable
	var missing *workflow.MissingParameter
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, fault.ErrNotFound):
		s.refuse(w, r, http.StatusNotFound, "Not found", "There is nothing here, or you may not see it.")
	case errors.Is(err, fault.ErrForbidden):
		s.refuse(w, r, http.StatusForbidden, "Not allowed",
			"You may not do this. Ask an administrator for the permission.")
	case errors.Is(err, fault.ErrStale):
		s.refuse(w, r, http.StatusConflict, "Changed meanwhile",
			"Someone else saved this while you had it open. Reload the page.")
	case errors.As(err, &invalid):
		s.refuse(w, r, http.StatusBadRequest, "This could not be accepted", sentences(invalid))
	case errors.As(err, &busy):
		s.refuseWith(w, r, http.StatusConflict, "A run is in flight",
			fault.Sentence(busy.Error()+", so no other was started"),
			views.Link{Text: "See the session", URL: views.SessionURL(busy.Session.String())})
	case errors.As(err, &unable):
		s.refuseWith(w, r, http.StatusBadRequest, "It cannot run", "“"+unable.Automation+"” cannot run: "+unable.Reason+
			".",
			views.Link{Text: "See the execution", URL: views.ExecutionURL(unable.Execution.String())})
	case errors.As(err, &missing), errors.Is(err, automation.ErrTooLarge):
		s.refuse(w, r, http.StatusBadRequest, "This could not be accepted", "It was not started: "+err.Error()+".")
	case errors.As(err, &tooLarge):
		s.refuse(w, r, http.StatusRequestEntityTooLarge, "Too large",
			fmt.Sprintf("A form holds at most %d MiB.", tooLarge.Limit>>20))
	case errors.Is(err, errForm):
		s.refuse(w, r, http.StatusBadRequest, "This could not be accepted", "The form could not be read: "+err.Error()+
			".")
	case r.Context().Err() != nil:
		w.WriteHeader(499) // the person has gone; nobody reads this
	case db.IsUnavailable(err):
		s.Log.Error("answer request", "method", middleware.Method(r), "path", middleware.Path(r), "request",
			middleware.RequestID(r), "err", err)
		w.Header().Set("Retry-After", middleware.AwaySeconds)
		s.refuse(w, r, http.StatusServiceUnavailable, "The database is not available", middleware.AwayText)
	default:
		s.Log.Error("answer request", "method", middleware.Method(r), "path", middleware.Path(r), "request",
			middleware.RequestID(r), "err", err)
		s.refuse(w, r, http.StatusInternalServerError, ourFault, "It was noted as "+middleware.RequestID(r)+
			". Try again in a moment.")
	}
}

// ourFault is the title of what failed on our side.
const ourFault = "Something went wrong on our side"

// sentences are mistakes as one text, always in the same order.
func sentences(bad fault.Invalid) string {
	var list []string
	for _, field := range slices.Sorted(maps.Keys(bad)) {
		list = append(list, bad[field])
	}
	return strings.Join(list, " ")
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	s.refuseWith(w, r, status, title, text, views.Link{})
}

// refuseWith says no: to htmx with a message that app.js shows, else with a page.
func (s *Server) refuseWith(w http.ResponseWriter, r *http.Request, status int, title, text string, link views.Link) {
	if fragment(r) || r.Header.Get("HX-Request") == "true" {
		s.render(w, r, status, views.ErrorFragment(text, link))
		return
	}
	p := views.Page{Title: title, Path: r.URL.Path}
	if status == http.StatusServiceUnavailable { // what surrounds the page cannot be read either
		s.render(w, r, status, views.BlankErrorPage(p, title, text))
		return
	}
	if actor, err := s.actor(r); err == nil {
		if frame, err := s.frame(w, r, actor, "", title); err == nil {
			if link.URL != "" {
				frame.Toasts = append(frame.Toasts, views.Toast{Kind: "fail", Text: text, Link: link})
			}
			s.render(w, r, status, views.ErrorPage(frame, title, text))
			return
		}
	}
	s.render(w, r, status, views.BlankErrorPage(p, title, text))
}

// fragment reports whether htmx asks for a part of a page.
func fragment(r *http.Request) bool { return r.Header.Get("HX-Request-Type") == "partial" }

// render writes a component whole or not at all: half a page with status 200 would be a lie.
func (s *Server) render(w http.ResponseWriter, r *http.Request, status int, c templ.Component) {
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

// show renders a page or a part of one.
func (s *Server) show(w http.ResponseWriter, r *http.Request, c templ.Component) error {
	s.render(w, r, http.StatusOK, c)
	return nil
}

// redirect sends the browser on, by htmx or not, with a message there, unless it is empty.
func (s *Server) redirect(w http.ResponseWriter, r *http.Request, to, message string) error {
	if message != "" {
		if err := s.flash(w, r, views.Toast{Kind: "ok", Text: message}); err != nil {
			return err
		}
	}
	if fragment(r) {
		w.Header().Set("HX-Redirect", to)
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// back is where a person came from, if that is a page of ours.
func back(r *http.Request, otherwise string) string { return local(r.FormValue("back"), otherwise) }

// local lets only addresses of this site through: no scheme, no host, and none of the spellings that browsers take for
// one.
func local(address, otherwise string) string {
	if !strings.HasPrefix(address, "/") || strings.HasPrefix(address, "//") ||
		strings.ContainsAny(address, "\\\r\n\t") {
		return otherwise
	}
	return address
}

var errForm = errors.New("something in it is not text")

// checked reads forms within a bound and refuses what no text column can hold.
func (s *Server) checked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !utf8.ValidString(r.URL.Path) || strings.ContainsRune(r.URL.Path, 0) {
			s.refuse(w, r, http.StatusNotFound, "Not found", "There is nothing here, or you may not see it.")
			return
		}
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); strings.HasPrefix(kind, "multipart/") {
			// No form of ours is one, and what would be read of it later has not been looked at here.
			s.refuse(w, r, http.StatusUnsupportedMediaType, "Not available here",
				"This address takes no forms of this kind.")
			return
		}
		most := int64(maxForm)
		if _, err := s.login(r); err != nil {
			most = maxStrangersForm
		}
		r.Body = http.MaxBytesReader(w, r.Body, most)
		if err := r.ParseForm(); err != nil {
			s.fail(w, r, fmt.Errorf("%w (%w)", errForm, err))
			return
		}
		for name, values := range r.Form {
			for _, v := range append(values, name) {
				if strings.ContainsRune(v, 0) || !utf8.ValidString(v) {
					s.fail(w, r, errForm)
					return
				}
			}
		}
		lines(r.Form)
		lines(r.PostForm)
		next.ServeHTTP(w, r)
	})
}

// lines writes the ends of lines as they are stored: browsers send each as two characters, whatever it was when the
// form was made.
func lines(values url.Values) {
	for _, list := range values {
		for i, v := range list {
			list[i] = strings.ReplaceAll(v, "\r\n", "\n")
		}
	}
}

// join renders components one after the other.
func join(list ...templ.Component) templ.Component {
	return templ.ComponentFunc(func(ctx context.Context, w io.Writer) error {
		for _, c := range list {
			if err := c.Render(ctx, w); err != nil {
				return err
			}
		}
		return nil
	})
}
