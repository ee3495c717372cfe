// Package middleware is what every request needs, whichever door it comes through: a line in the log, a name in it, the
// client's address, security headers, a token, and limits on how often somebody may ask.
package middleware

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/db"
)

// Access writes a line in the log for each request, and turns a panic into an answer.
type Access struct {
	Log     *slog.Logger
	Proxies Proxies
	// Failed answers a request whose handler panicked before anything was sent. The log has it as the request's name.
	Failed func(w http.ResponseWriter, r *http.Request)
	// Denied is told what a request was refused.
	Denied func(r *http.Request, refusals *account.Refusals)
}

type requestKey struct{}

// RequestID is the name of a request in the log and in an apology; empty: Access has not seen it.
func RequestID(r *http.Request) string {
	id, _ := r.Context().Value(requestKey{}).(string)
	return id
}

// Handler is next behind the log. What the database writes for the request knows the client's address.
func (a *Access) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now() // how long it took, which no rule depends on
		id := uuid.NewString()[:8]
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, id))
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			p := recover()
			if p != nil && p != http.ErrAbortHandler {
				a.Log.Error("panic", "request", id, "path", Path(r), "panic", p, "stack", string(debug.Stack()))
				if !rec.begun {
					a.Failed(rec, r)
					p = nil
				}
			}
			if !strings.HasPrefix(r.URL.Path, "/static/") {
				a.Log.Info("request", "method", Method(r), "path", Path(r), "status", rec.status, "bytes", rec.bytes,
					"took", time.Since(begun).Round(time.Microsecond), "request", id)
			}
			if p != nil { // what was sent so far must not pass for the whole
				panic(http.ErrAbortHandler)
			}
		}()
		ctx, refusals := account.WithRefusals(db.WithAddress(r.Context(), a.Proxies.Address(r)))
		r = r.WithContext(ctx)
		defer a.Denied(r, refusals)
		next.ServeHTTP(rec, r)
	})
}

// recorder notes what an answer was, for the log.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
	begun  bool // the status has been sent
}

func (r *recorder) WriteHeader(status int) {
	r.status, r.begun = status, true
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.begun = true
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// maxLogged is the most bytes of a path in the log: anybody may send 64 KiB of path.
const maxLogged = 500

// Path is a request's path for the log, without secrets. It has none either where the path is not spelled as it should
// be: a slash too many or a capital letter misses the route, and the token is in it all the same.
func Path(r *http.Request) string {
	return shortened(withoutSecrets(r.URL.Path), maxLogged)
}

// Method is a request's method for the log: a stranger may call it anything.
func Method(r *http.Request) string { return shortened(r.Method, 20) }

func shortened(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

func withoutSecrets(path string) string {
	lower := strings.ToLower(path)
	for _, before := range []string{"http-trigger/", "join/"} {
		i := strings.Index(lower, before)
		switch {
		case i < 0:
		case len(lower) != len(path): // letters whose small form is longer or shorter
			return "***"
		default:
			return path[:i+len(before)] + "***"
		}
	}
	return path
}
